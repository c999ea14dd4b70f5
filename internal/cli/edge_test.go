package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/client"
	"liuyun/internal/testkit/fakecloud"
)

// seen is output that tells when it has come.
type seen struct {
	io.Writer
	want string
	do   func()
	once sync.Once
}

func (s *seen) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.want) {
		s.once.Do(s.do)
	}
	return s.Writer.Write(p)
}

// Who has seen enough requests ends the command, which is no failure.
func TestTailEndsWell(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ option, want string }{
		{"--quiet", " berlin 200 hit  GET www.example.org/a·b 1.5 kB 0.250 s 192.0.2.0\n"},
		{"--json", `{"type":"request","at":"2026-11-24T12:00:00Z","edge":"berlin","client":"192.0.2.0","method":"GET","host":"www.example.org","path":"/a\nb","status":200,"bytes":1500,"seconds":0.25,"cache":"hit"}` + "\n"},
	} {
		cloud := fakecloud.Start(t)
		cloud.Ask("/a\nb")
		key := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(key, []byte(fakecloud.AdminKey), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var out, problems bytes.Buffer
		env := Env{
			Args:    []string{"edge", "tail", "cloud", "--server", cloud.URL, "--key-file", key, test.option},
			Environ: []string{"XDG_CONFIG_HOME=" + t.TempDir()}, Stdin: strings.NewReader(""), Stdout: &seen{Writer: &out, want: "berlin", do: cancel}, Stderr: &problems,
		}
		if got := Main(ctx, env); got != 0 || problems.Len() > 0 {
			t.Errorf("%s: exit status %d, %s", test.option, got, &problems)
		}
		if !strings.HasSuffix(out.String(), test.want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s: got %q, want %q at its end", test.option, out.String(), test.want)
		}
	}
}

// A document is what --json wrote, changed or not, and nothing that would be lost.
func TestParseSite(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"type":"site","id":"sit_1","name":"a","hosts":["a.example"],"origins":[{"url":"https://o.example"}],"certificate":{"names":["a.example"],"not_after":"2027-01-02T03:04:05Z"},"rev":7,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`: "",
		`{"name":"a","rules":[{"path":"/x","ttl":0}]}`: "",
		`{"nmae":"a"}`:                    `unknown field "nmae"`,
		`{"rules":[{"path":"/","tl":1}]}`: `unknown field "tl"`,
		`{"type":"stream"}`:               `its type is "stream"`,
		`{"name":"a"} {"name":"b"}`:       "more follows",
		`{"rev":"1"}`:                     "rev",
		`[]`:                              "array",
		``:                                "EOF",
	} {
		doc, err := parseSite([]byte(text))
		switch {
		case want == "" && (err != nil || doc.Name != "a"):
			t.Errorf("%s: got %+v, %v", text, doc, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	doc, err := parseSite([]byte(`{"id":"sit_1","name":"a","rules":[{"path":"/x","ttl":0}],"rev":7}`))
	if err != nil || doc.ID != "sit_1" || doc.Rev != 7 || len(doc.Rules) != 1 || doc.Rules[0].TTL == nil {
		t.Errorf("got %+v, %v", doc, err)
	}
}

// FuzzParseSite: whatever is read as a site is one in its own JSON, too.
func FuzzParseSite(f *testing.F) {
	f.Add([]byte(`{"type":"site","id":"sit_1","name":"a","hosts":["a.example"],"origins":[{"url":"https://o.example","weight":2}],"rev":7,"created_at":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"rules":[{"path":"/x","ttl":0,"request":[{"name":"a","value":""}]}],"health":{"path":"/"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := parseSite(text)
		if err != nil {
			return
		}
		var again bytes.Buffer
		s := &session{env: Env{Stdout: &again}}
		if err := s.writeObject("site", doc.Site); err != nil {
			if !strings.Contains(err.Error(), "year outside of range") { // JSON has four digits for it
				t.Fatal(err)
			}
			return
		}
		if _, err := parseSite(again.Bytes()); err != nil {
			t.Errorf("%q is written as %q: %v", text, &again, err)
		}
	})
}

func TestSparkline(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration, requests int64) client.TrafficPoint {
		return client.TrafficPoint{At: now.Add(-ago), Requests: requests}
	}
	for name, test := range map[string]struct {
		points []client.TrafficPoint
		want   string
	}{
		"nothing":              {nil, strings.Repeat(" ", 60)},
		"minutes are summed":   {[]client.TrafficPoint{at(59*time.Minute, 1), at(70*time.Second, 40), at(61*time.Second, 40), at(0, 40)}, "▁" + strings.Repeat(" ", 57) + "█▄"},
		"older than an hour":   {[]client.TrafficPoint{at(time.Hour, 1000), at(0, 2)}, strings.Repeat(" ", 59) + "█"},
		"a clock that is fast": {[]client.TrafficPoint{at(-time.Hour, 1)}, strings.Repeat(" ", 59) + "█"},
	} {
		if got := sparkline(test.points, now); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	text := trafficText(client.Traffic{Points: []client.TrafficPoint{at(0, 3)}, Origins: []client.OriginState{{Edge: "a", URL: "https://o.example", State: "up"}}}, 80, now)
	want := "Requests: 3 in the last hour, 0 % from what is stored\n" + strings.Repeat(" ", 59) + "█\nBytes: 0 B to viewers, 0 B from origins\nOrigin: https://o.example is up for a"
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEgressText(t *testing.T) {
	t.Parallel()
	for bits, want := range map[float64]string{0: "0 kbit/s", 1600: "2 kbit/s", 999_000: "999 kbit/s", 48e6: "48.00 Mbit/s"} {
		if got := egressText(bits); got != want {
			t.Errorf("%v: %q, want %q", bits, got, want)
		}
	}
}
