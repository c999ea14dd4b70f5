package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"liuyun/internal/console"
	"liuyun/internal/testkit"
	process "liuyun/test/program"
)

// One story with a live stream in the console, at both widths, each in a language:
// see live.mjs. Each has a server and an encoder of its own.
func TestLive(t *testing.T) {
	chromium, ffmpeg := testkit.Program(t, "chromium"), testkit.FFmpeg(t)
	testkit.Need(t, console.Built(), "the console is not built: run make e2e")
	server := process.Build(t, testkit.Root(t))
	shots := filepath.Join(testkit.Root(t), "build", "e2e")
	if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, language, theme, protocol string
		phone                           bool
	}{
		{"live-desktop-en", "en", "light", "rtmp", false},
		{"live-phone-zh", "zh", "dark", "rtsp", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			running := server.Serve(t, filepath.Join(t.TempDir(), "data"), "--set", "live.rtmp_listen=127.0.0.1:0", "--set", "live.rtsp_listen=127.0.0.1:0")
			job, err := json.Marshal(map[string]any{
				"name": test.name, "chromium": chromium, "url": running.URL, "key": running.Key,
				"language": test.language, "theme": test.theme, "phone": test.phone, "screenshots": shots,
				"ffmpeg": ffmpeg, "pictures": testkit.NumberedGraph("25"), "protocol": test.protocol,
			})
			if err != nil {
				t.Fatal(err)
			}
			out, err := node(t, job, "live.mjs")
			if err != nil {
				t.Fatal(err)
			}
			var found struct {
				Problems []string
				Steps    []struct {
					Name    string
					Seconds float64
				}
				Latency struct{ Shown, Measured float64 }
			}
			if err := json.Unmarshal(out, &found); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, problem := range found.Problems {
				t.Error(problem)
			}
			if len(found.Steps) == 0 {
				t.Error("no step was done")
			}
			t.Logf("%v; seconds from the encoder to the screen: %.1f shown, %.1f measured with the encoder's start", found.Steps, found.Latency.Shown, found.Latency.Measured)
			checkScreenshot(t, test.name+"-stream-live")
			checkScreenshot(t, test.name+"-embed-live")
		})
	}
}
