package route

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParsePrefixes(t *testing.T) {
	t.Parallel()
	p, err := ParsePrefixes([]byte("# of the operator\n\n10.0.0.0/8\teu # all\r\n10.1.0.0/16 eu/de\n10.1.2.3 one\n::/0 six\n2001:db8::/32 asia"))
	if err != nil {
		t.Fatal(err)
	}
	if p.table.Size() != 5 {
		t.Errorf("%d prefixes", p.table.Size())
	}
	for address, want := range map[string]string{
		"10.2.0.1": "eu", "10.1.9.9": "eu/de", "10.1.2.3": "one", "::ffff:10.1.2.3": "one", "11.0.0.1": "", "2001:db8::1": "asia",
		"fe80::1%eth0": "six",
	} {
		if got := p.Region(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if got := (*Prefixes)(nil).Region(netip.MustParseAddr("10.1.1.1")); got != "" {
		t.Errorf("no table: %q", got)
	}
}

func TestParsePrefixesErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.0/8 eu\n\n10.0.0.1/8 eu":        "line 3: 10.0.0.1/8 has bits beyond its length; is 10.0.0.0/8 meant?",
		"10.0.0.0/8":                            "line 1: \"10.0.0.0/8\": write a prefix",
		"10.0.0.0/8 eu more":                    "line 1",
		"10.0.0.0/33 eu":                        "is no prefix",
		"10.0.0 eu":                             "is no address",
		"fe80::1%a eu":                          "is no address",
		"10.0.0.0/8 eu\n10.0.0.0/8 asia":        "line 2: 10.0.0.0/8 is there twice, first with region eu",
		"::ffff:10.0.0.0/104 eu":                "write IPv4 prefixes as IPv4",
		"10.0.0.0/8 \"eu\"":                     "use letters",
		"10.0.0.0/8 " + strings.Repeat("e", 65): "64 at most",
		"#" + strings.Repeat("e", 600):          "longer than 512",
	} {
		if _, err := ParsePrefixes([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func TestMostPrefixes(t *testing.T) {
	var p Prefixes
	for i := range mostPrefixes {
		p.table.Insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i)}), 24), "eu")
	}
	if err := p.line([]byte("::/0 eu")); err == nil || !strings.Contains(err.Error(), "more than 1048576") {
		t.Errorf("one more: %v", err)
	}
}

// What is read holds: each line's own prefix is of its region, unless a longer one is.
func FuzzPrefixes(f *testing.F) {
	f.Add([]byte("10.0.0.0/8 eu\n2001:db8::/32 asia # x\n\n1.2.3.4 a"))
	f.Add([]byte("::/0 a\n0.0.0.0/0 b\n::1 c\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePrefixes(text)
		if err != nil {
			return
		}
		lines := 0
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			lines++
			prefix, err := parsePrefix(fields[0])
			if err != nil {
				t.Fatal(err)
			}
			if region, ok := p.table.Get(prefix); !ok || region != fields[1] {
				t.Fatalf("%s is of %q, want %q", prefix, region, fields[1])
			}
			if p.Region(prefix.Addr()) == "" {
				t.Fatalf("nothing is known of %s", prefix.Addr())
			}
		}
		if lines != p.table.Size() {
			t.Fatalf("%d prefixes from %d lines", p.table.Size(), lines)
		}
	})
}
