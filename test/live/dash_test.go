package live

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// dash.js and shaka play a stream as DASH of low latency while its encoder is killed and
// comes back with pictures of another size, which begins another period. Machines are
// slow: that they wait now and then is not held against them, but they play on without
// an error.
func TestDASH(t *testing.T) {
	chromium := testkit.Program(t, "chromium")
	root := testkit.Root(t)
	if _, err := os.Stat(filepath.Join(root, "test", "e2e", "node_modules")); err != nil {
		t.Skip("the players are not installed: run make e2e")
	}
	p := program.Build(t, root)
	c := start(t, p, filepath.Join(t.TempDir(), "data"))
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
	lab := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(root, "test", "e2e"))))
	defer lab.Close()
	const watched = 40 * time.Second
	w := c.watchers(t, map[string]any{
		"chromium": chromium, "lab": lab.URL + "/lab/live.html", "seconds": watched.Seconds(),
		"players": map[string]string{"dash.js": manifest, "shaka-dash": manifest},
	})
	w.wait(watched / 4)
	encoder.kill()
	pushSize(t, ingest(s, s.Ingest.RTMP.Key), "480x270")
	<-w.ended
	var states map[string]struct {
		Latency, Seconds, Progress, Lasting float64
		Stalls                              []struct{ At, Seconds float64 }
		Problems                            []string
	}
	if err := json.Unmarshal(w.answer, &states); err != nil {
		t.Fatalf("%v: %s%s", err, w.answer, w.said.String())
	}
	for name, state := range states {
		t.Logf("%s: %+v", name, state)
		if len(state.Problems) > 0 || state.Progress < state.Seconds/2 {
			t.Errorf("%s plays %.1f s of %.1f s and says %q", name, state.Progress, state.Seconds, state.Problems)
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
