package hls

import (
	"bytes"
	"strings"
	"testing"

	"github.com/Eyevinn/hls-m3u8/m3u8"
)

func TestAppendSteered(t *testing.T) {
	t.Parallel()
	plain, err := ladder().AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := AppendSteered([]byte("before\n"), plain, "/steer/hls?node=a&content=play%2Fast_1")
	if err != nil {
		t.Fatal(err)
	}
	const tag = `#EXT-X-CONTENT-STEERING:SERVER-URI="/steer/hls?node=a&content=play%2Fast_1",PATHWAY-ID="."` + "\n"
	want := "before\n#EXTM3U\n" + tag + strings.TrimPrefix(string(plain), "#EXTM3U\n")
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
	read := m3u8.NewMasterPlaylist()
	if err := read.DecodeFrom(bytes.NewReader(got[len("before\n"):]), true); err != nil {
		t.Errorf("read back: %v", err)
	}
	if s := read.ContentSteering; s == nil || s.ServerURI != "/steer/hls?node=a&content=play%2Fast_1" || s.PathwayId != "." {
		t.Errorf("read back: %+v", s)
	}
}

func TestAppendSteeredRefuses(t *testing.T) {
	t.Parallel()
	const variant = "#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"
	for _, test := range []struct{ name, playlist, server, want string }{
		{"a playlist of media", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n", "/s", "no multivariant"},
		{"nothing", "", "/s", "no multivariant"},
		{"another file", "WEBVTT\n" + variant, "/s", "no multivariant"},
		{"steered", "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"x\"\n" + variant, "/s", "already"},
		{"pathways", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"a\"\na.m3u8\n", "/s", "of its own"},
		{"a quote in the address", "#EXTM3U\n" + variant, `/s"`, "percent-encoded"},
		{"no address", "#EXTM3U\n" + variant, "", "missing"},
		{"too long", "#EXTM3U\n" + variant + strings.Repeat("#\n", 1<<19), "/s", "longer"},
	} {
		got, err := AppendSteered([]byte("before"), []byte(test.playlist), test.server)
		if err == nil || !strings.Contains(err.Error(), test.want) || string(got) != "before" {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}

// Whatever comes: but for the one line it stays as it is.
func FuzzAppendSteered(f *testing.F) {
	plain, err := ladder().AppendTo(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain, "/steer/hls?node=a")
	f.Add([]byte("#EXTM3U\r\n\r\n#EXT-X-STREAM-INF:BANDWIDTH=1\r\na"), "http://x/")
	f.Fuzz(func(t *testing.T, playlist []byte, server string) {
		got, err := AppendSteered(nil, playlist, server)
		if err != nil {
			return
		}
		before, after, found := bytes.Cut(got, []byte("#EXT-X-CONTENT-STEERING:"))
		_, rest, ended := bytes.Cut(after, []byte("\n"))
		if !found || !ended || !bytes.Equal(append(bytes.Clone(before), rest...), playlist) {
			t.Fatalf("%q became %q", playlist, got)
		}
		if _, err := AppendSteered(nil, got, server); err == nil {
			t.Fatalf("%q is steered twice", playlist)
		}
	})
}
