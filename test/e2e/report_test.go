package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"liuyun/internal/testkit"
	process "liuyun/test/program"
)

// A comparison page, made of real encodes, in a browser without a network: see
// report.mjs.
func TestReport(t *testing.T) {
	chromium := testkit.Program(t, "chromium")
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	clip := testkit.Generate(t, testkit.Numbered("25", 50, 20, 35))
	for name, crf := range map[string]string{"good.mp4": "24", "bad.mp4": "44"} {
		command := exec.Command(testkit.FFmpeg(t), "-v", "error", "-i", clip, "-an", "-c:v", "libx264", "-preset", "ultrafast", "-crf", crf, at(name))
		if text, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	liuyun := process.Build(t, testkit.Root(t))
	command := exec.Command(liuyun.Path, "compare", clip, at("good.mp4"), at("bad.mp4"), "--report", at("page.html"), "--quiet")
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	shots := filepath.Join(testkit.Root(t), "build", "e2e")
	if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	job, err := json.Marshal(map[string]string{"chromium": chromium, "page": at("page.html"), "screenshots": shots})
	if err != nil {
		t.Fatal(err)
	}
	out, err := node(t, job, "report.mjs")
	if err != nil {
		t.Fatal(err)
	}
	var found struct{ Problems []string }
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, problem := range found.Problems {
		t.Error(problem)
	}
}
