package live

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"liuyun/internal/av/hls"
	"liuyun/internal/testkit"
)

// known is what a parser that is not ours has to see in a playlist.
type known struct {
	Kind            string   `json:"kind"`
	Variants        *int     `json:"variants,omitempty"`
	Sound           *int     `json:"sound,omitempty"`
	Keys            *int     `json:"keys,omitempty"`
	Sequence        *int64   `json:"sequence,omitempty"`
	Skipped         *int     `json:"skipped,omitempty"`
	Segments        *int     `json:"segments,omitempty"`
	Seconds         *float64 `json:"seconds,omitempty"`
	Parts           *int     `json:"parts,omitempty"`
	Hint            *string  `json:"hint,omitempty"`
	Discontinuities *int     `json:"discontinuities,omitempty"`
	Gaps            *int     `json:"gaps,omitempty"`
}

// skipTag is how many segments a delta update leaves out.
var skipTag = regexp.MustCompile(`#EXT-X-SKIP:SKIPPED-SEGMENTS=(\d+)`)

// checkPlaylists has two parsers that are not ours read all playlists of a stream.
func checkPlaylists(t *testing.T, master string) {
	t.Helper()
	script := filepath.Join(e2e(t), "playlists.mjs")
	dir := t.TempDir()
	count := 0
	write := func(text []byte, k known) {
		count++
		name := filepath.Join(dir, fmt.Sprintf("%02d-%s", count, k.Kind))
		data, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		for path, content := range map[string][]byte{name + ".m3u8": text, name + ".json": data} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := playlistText(t, master)
	m := knownMultivariant(text)
	write(text, m)
	for _, address := range mediaPlaylists(t, master, text) {
		full := playlistText(t, address)
		k, checked := knownMedia(t, full, nil)
		write(full, k)
		if k.Kind == "media" {
			delta := playlistText(t, address+"?_HLS_skip=YES")
			k, _ := knownMedia(t, delta, checked)
			write(delta, k)
		}
	}
	out, err := exec.CommandContext(t.Context(), testkit.Program(t, "node"), script, dir).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", strings.TrimSpace(string(out)))
}

func playlistText(t *testing.T, address string) []byte {
	t.Helper()
	status, _, text, err := get(t.Context(), address)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s, %v", address, status, text, err)
	}
	return text
}

func knownMultivariant(text []byte) known {
	tag := func(name string) *int { n := strings.Count(string(text), "\n"+name); return &n }
	return known{Kind: "multivariant", Variants: tag("#EXT-X-STREAM-INF:"), Sound: tag("#EXT-X-MEDIA:TYPE=AUDIO"), Keys: tag("#EXT-X-I-FRAME-STREAM-INF:")}
}

// mediaPlaylists are all that the multivariant playlist names.
func mediaPlaylists(t *testing.T, master string, text []byte) (addresses []string) {
	t.Helper()
	base, err := url.Parse(master)
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range regexp.MustCompile(`(?m)(?:URI="([^"]*)"|^([^#\n].*)$)`).FindAllStringSubmatch(string(text), -1) {
		address, err := base.Parse(uri[1] + uri[2])
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, address.String())
	}
	return addresses
}

// knownMedia is what our own checker reads.
func knownMedia(t *testing.T, text []byte, before *hls.Checked) (known, *hls.Checked) {
	t.Helper()
	checked, problems := hls.Check(text, before)
	for _, p := range problems {
		t.Errorf("%v\n%s", p, text)
	}
	l := &checked.Playlist
	k := known{Kind: "media", Sequence: &l.MediaSequence, Hint: &l.Hint}
	skipped, segments, parts, discontinuities, gaps, seconds := 0, 0, len(l.Open.Parts), 0, 0, 0.0
	if found := skipTag.FindSubmatch(text); found != nil {
		k.Kind = "delta"
		fmt.Sscan(string(found[1]), &skipped)
	}
	if l.KeysOnly {
		k.Kind = "keys"
	}
	for _, s := range l.Segments[skipped:] {
		segments++
		seconds += s.Duration.Seconds()
		parts += len(s.Parts)
		if s.Discontinuity {
			discontinuities++
		}
		if s.Gap {
			gaps++
		}
	}
	k.Skipped, k.Segments, k.Seconds, k.Parts, k.Discontinuities, k.Gaps = &skipped, &segments, &seconds, &parts, &discontinuities, &gaps
	return k, checked
}
