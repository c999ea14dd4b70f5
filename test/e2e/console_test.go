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

// One story in the console, at both widths and in both languages: see
// console.mjs. Each has a server of its own, where nobody else has been.
func TestConsole(t *testing.T) {
	chromium := testkit.Program(t, "chromium")
	testkit.Need(t, console.Built(), "the console is not built: run make e2e")
	clip := consoleClip(t)
	server := process.Build(t, testkit.Root(t))
	shots := filepath.Join(testkit.Root(t), "build", "e2e")
	if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, language, theme string
		phone                 bool
	}{
		{"console-desktop-en", "en", "light", false},
		{"console-phone-zh", "zh", "light", true},
		{"console-desktop-zh", "zh", "dark", false},
		{"console-phone-en", "en", "dark", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			running := server.Serve(t, filepath.Join(t.TempDir(), "data"), "--set", "webhook.allow=127.0.0.1/32")
			job, err := json.Marshal(map[string]any{
				"name": test.name, "chromium": chromium, "url": running.URL, "key": running.Key, "clip": clip,
				"language": test.language, "theme": test.theme, "phone": test.phone, "screenshots": shots, "subtitles": "testdata",
			})
			if err != nil {
				t.Fatal(err)
			}
			out, err := node(t, job, "console.mjs")
			if err != nil {
				t.Fatal(err)
			}
			var found struct {
				Problems []string
				Steps    []struct {
					Name    string
					Seconds float64
				}
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
			t.Logf("%v", found.Steps)
			checkScreenshot(t, test.name+"-playing")
			checkScreenshot(t, test.name+"-embed-frame")
		})
	}
}

// consoleClip is a film of five seconds that encodes fast: a real one where it is
// there.
func consoleClip(t *testing.T) string {
	path, there := testkit.FindMedia(t, "animation/bbb_720p25_5s_5ch_hq.mp4")
	if !there {
		return testkit.Generate(t, testkit.Numbered("25", 130, 60))
	}
	return testkit.Generate(t, testkit.Clip{
		Name: "bunny.mp4",
		Args: []string{"-i", path, "-vf", "scale=640:360", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "16", "-c:a", "copy"},
	})
}
