package e2e

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"liuyun/internal/console"
	"liuyun/internal/testkit"
	process "liuyun/test/program"
)

// Chromium publishes by WHIP and watches by WHEP, by itself and in the console, see
// webrtc.mjs.
func TestWebRTC(t *testing.T) {
	chromium, ffmpeg := testkit.Program(t, "chromium"), testkit.FFmpeg(t)
	testkit.Need(t, console.Built(), "the console is not built: run make e2e")
	running := process.Build(t, testkit.Root(t)).Serve(t, filepath.Join(t.TempDir(), "data"))
	job, err := json.Marshal(map[string]any{"chromium": chromium, "ffmpeg": ffmpeg, "url": running.URL, "key": running.Key})
	if err != nil {
		t.Fatal(err)
	}
	out, err := node(t, job, "webrtc.mjs")
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Problems []string
		Delay    struct{ P50, P95 float64 }
		Begins   float64
		Height   int
		Narrow   []struct {
			Rate, Seconds float64
			Height, Lost  int
		}
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, problem := range found.Problems {
		t.Error(problem)
	}
	t.Logf("from the page that draws to the page that shows: %.0f ms, p95 %.0f ms; the first picture after %.0f ms", found.Delay.P50, found.Delay.P95, found.Begins)
	for _, n := range found.Narrow {
		t.Logf("by a line of %v Mb/s, 0 for all there is, %d lines are on show after %.1f s; %d packets were lost by then", n.Rate, n.Height, n.Seconds, n.Lost)
	}
}
