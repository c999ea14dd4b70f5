package peer

import (
	"net"
	"strings"
	"testing"

	"liuyun/internal/base/fault"
)

const sampleOffer = `v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=candidate:1 1 udp 2122260223 10.0.0.5 56143 typ host
a=end-of-candidates
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=mid:0
a=sendonly
a=rtpmap:111 opus/48000/2
m=video 9 UDP/TLS/RTP/SAVPF 102
c=IN IP4 0.0.0.0
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=mid:1
a=sendonly
a=rtpmap:102 H264/90000
a=rid:h send
a=rid:l send
a=simulcast:send h;l
`

func TestReadOffer(t *testing.T) {
	t.Parallel()
	o, err := readOffer(strings.ReplaceAll(sampleOffer, "\n", "\r\n"), "sendonly")
	if err != nil {
		t.Fatal(err)
	}
	if !o.video || !o.sound || o.layers != 2 || strings.Contains(o.text, "candidate") || ufragOf(o.text) != "abcd" {
		t.Errorf("got %+v", o)
	}
	changed := replaceCredentials(o.text, "wxyz", "zyxwvutsrqponmlkjihgfe")
	if strings.Count(changed, "a=ice-ufrag:wxyz\r\n") != 2 || strings.Count(changed, "a=ice-pwd:zyxwvutsrqponmlkjihgfe\r\n") != 2 {
		t.Errorf("got %s", changed)
	}
	for name, text := range map[string]string{
		"nothing":       "",
		"no media":      "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\n",
		"wrong way":     strings.ReplaceAll(sampleOffer, "sendonly", "recvonly"),
		"data channel":  sampleOffer + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\n",
		"second camera": sampleOffer + "m=video 9 UDP/TLS/RTP/SAVPF 102\na=mid:2\na=sendonly\n",
		"no mid":        strings.ReplaceAll(sampleOffer, "a=mid:1\n", ""),
	} {
		if _, err := readOffer(text, "sendonly"); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

func TestLayersOf(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{"send h;m;l": 3, "recv 1;2 send 3;~4": 2, "send": 1, "": 1, "send a;b;c;d;e;f": mostLayers, "recv 1;2": 1} {
		if got := layersOf(value); got != want {
			t.Errorf("%q: got %d, want %d", value, got, want)
		}
	}
}

func TestAddCandidates(t *testing.T) {
	t.Parallel()
	text := addCandidates(sampleOffer, []net.IP{net.ParseIP("203.0.113.9"), net.ParseIP("2001:db8::1")}, 8189)
	for _, want := range []string{" udp 2130706431 203.0.113.9 8189 typ host\r\n", " tcp 1526726655 203.0.113.9 8189 typ host tcptype passive\r\n", " 2001:db8::1 8189 typ host\r\n"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not once in %s", want, text)
		}
	}
	if got := addCandidates(sampleOffer, nil, 1); got != sampleOffer {
		t.Error("without addresses something changes")
	}
}

func TestFragments(t *testing.T) {
	t.Parallel()
	fragment := fragmentOf(strings.ReplaceAll(sampleOffer, "\n", "\r\n"))
	ufrag, pwd, err := readFragment(fragment)
	if err != nil || ufrag != "abcd" || pwd != "abcdefghijklmnopqrstuv" {
		t.Errorf("got %q %q %v", ufrag, pwd, err)
	}
	if !strings.Contains(fragment, "a=candidate:1 ") || !strings.Contains(fragment, "m=audio ") || strings.Contains(fragment, "m=video") {
		t.Errorf("got %s", fragment)
	}
	for _, text := range []string{"", "a=ice-ufrag:ab\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n", "a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n", "a=ice-ufrag:ab\tcd\r\na=ice-pwd:abcdefghijklmnopqrstuv"} {
		if _, _, err := readFragment(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// FuzzOffer: whatever a stranger sends, it is refused or has no candidates and what it
// must have.
func FuzzOffer(f *testing.F) {
	f.Add(sampleOffer)
	f.Add("a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuv\n")
	f.Fuzz(func(t *testing.T, text string) {
		if o, err := readOffer(text, "sendonly"); err == nil {
			if strings.Contains(o.text, "\na=candidate:") || o.layers < 1 || o.layers > mostLayers || !o.video && !o.sound {
				t.Errorf("got %+v", o)
			}
			again, err := readOffer(o.text, "sendonly")
			if err != nil || *again != *o {
				t.Errorf("got %+v, then %+v, %v", o, again, err)
			}
		}
		if ufrag, pwd, err := readFragment(text); err == nil && strings.ContainsAny(ufrag+pwd, "\r\n ") {
			t.Errorf("credentials %q %q", ufrag, pwd)
		}
		_ = fragmentOf(text)
	})
}
