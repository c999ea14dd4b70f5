package live

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"liuyun/client"
)

// dash.js and shaka play a stream as DASH of low latency while its encoder is killed and
// comes back with pictures of another size, which begins another period. Machines are
// slow: that they wait now and then is not held against them, but they play on without
// an error. They show the captions that there were.
func TestDASH(t *testing.T) {
	needPlayers(t)
	c := start(t, filepath.Join(t.TempDir(), "data"))
	s := c.newStream(t)
	encoder := push(t, ingest(s, s.Ingest.RTMP.Key))
	c.await(t, s.ID, "live")
	manifest := c.Resolve(s.Playback.DASH)
	c.playable(t, manifest)
	if status, header, now, err := get(t.Context(), strings.TrimSuffix(manifest, "manifest.mpd")+"time"); err != nil || status != http.StatusOK ||
		header.Get("Cache-Control") != "no-store" || !isTime(string(now)) {
		t.Errorf("the time of day is %q, %d, %v", now, status, err)
	}
	awaitWindow(t, c.Resolve(s.Playback.HLS), 15*time.Second)
	c.caption(t, s.ID, "") // who comes hears that there are some
	const length = 40 * time.Second
	w := watchIn(t, map[string]string{"dash.js": manifest, "shaka-dash": manifest}, length)
	for begun := time.Now(); time.Since(begun) < length/4; w.wait(time.Second) {
		c.caption(t, s.ID, "Hello & 你好")
	}
	encoder.kill()
	pushSize(t, ingest(s, s.Ingest.RTMP.Key), "480x270")
	for name, state := range w.end(t) {
		t.Logf("%s: %+v", name, state)
		if len(state.Problems) > 0 || state.Progress < state.Seconds/2 {
			t.Errorf("%s plays %.1f s of %.1f s and says %q", name, state.Progress, state.Seconds, state.Problems)
		}
		if !slices.Equal(state.Texts, []string{"Hello & 你好"}) {
			t.Errorf("%s shows %q", name, state.Texts)
		}
	}
	_, _, text, err := get(t.Context(), manifest)
	if periods := strings.Count(string(text), "<Period "); err != nil || periods < 2 {
		t.Errorf("%d periods, %v:\n%s", periods, err, text)
	}
}

func isTime(text string) bool {
	_, err := time.Parse(time.RFC3339Nano, text)
	return err == nil
}

// caption shows a text, or only says that there are some in its language.
func (c *cloud) caption(t *testing.T, stream, text string) {
	t.Helper()
	if err := c.Streams.Caption(t.Context(), stream, client.NewCaption{Language: "en", Text: text, Duration: 3 * time.Second}); err != nil {
		t.Fatal(err)
	}
}
