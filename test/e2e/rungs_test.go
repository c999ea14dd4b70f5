package e2e

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"liuyun/internal/console"
	"liuyun/internal/testkit"
	process "liuyun/test/program"
)

// Who has chosen a rendition goes on while it is left out and when it comes back, by HLS
// and by DASH, see rungs.mjs. It is alone in its package then: a machine that cannot keep
// up sheds renditions.
func TestChosenRung(t *testing.T) {
	chromium, ffmpeg := testkit.Program(t, "chromium"), testkit.FFmpeg(t)
	testkit.Need(t, console.Built(), "the console is not built: run make e2e")
	running := process.Build(t, testkit.Root(t)).Serve(t, filepath.Join(t.TempDir(), "data"),
		"--set", "live.rtmp_listen=127.0.0.1:0", "--set", "live.adapt=rungs")
	job, err := json.Marshal(map[string]any{"chromium": chromium, "ffmpeg": ffmpeg, "url": running.URL, "key": running.Key})
	if err != nil {
		t.Fatal(err)
	}
	out, err := node(t, job, "rungs.mjs")
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Problems []string
		Viewers  []struct {
			Delivery string
			Heights  []int
			Still    float64 // seconds
		}
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, problem := range found.Problems {
		t.Error(problem)
	}
	const most = 3 // seconds that a machine with other work on it may take
	for _, v := range found.Viewers {
		if !slices.Equal(v.Heights, []int{480, 360, 480}) || v.Still > most {
			t.Errorf("%s: the picture was %v high, and stood still for %.1f s", v.Delivery, v.Heights, v.Still)
		}
	}
	t.Logf("%+v", found.Viewers)
}
