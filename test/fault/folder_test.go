package fault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// The second liuyun in a folder leaves at once and does the first no harm.
func TestTwoInOneFolder(t *testing.T) {
	j := silent(t)
	want, _ := j.undisturbed(t)
	dir := filepath.Join(t.TempDir(), "out")
	first := j.start(t, dir)
	if !first.AwaitPhase("encode") {
		t.Fatalf("the first: %s", first.Wait())
	}
	second := j.run(t, dir)
	if second.Status != 5 || !strings.Contains(second.Last().Message, dir) {
		t.Errorf("the second: %s", second)
	}
	if result := first.Wait(); result.Status != 0 {
		t.Errorf("the first: %s", result)
	}
	same(t, want, dir)
}

// What is not ours is never touched.
func TestForeignFolder(t *testing.T) {
	j := short(t)
	for name, files := range map[string][]string{
		"notes":             {"notes.txt"},
		"video folder":      {"video/holiday.mp4"},
		"report of another": {"report.json", "video/holiday.mp4", "original/holiday.mov"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range files {
				write(t, filepath.Join(dir, file), []byte(`{"title": "not from liuyun"}`))
			}
			before := program.Tree(t, dir)
			if result := j.run(t, dir); result.Status != 5 || !strings.Contains(result.Last().Message, dir) {
				t.Errorf("into a folder of somebody else: %s", result)
			}
			same(t, before, dir)
		})
	}
}

// A job that was done is found done, and what a kill in its last moment left is
// cleared away.
func TestCompleteAgain(t *testing.T) {
	j := short(t)
	want, _ := j.undisturbed(t)
	dir := filepath.Join(t.TempDir(), "out")
	j.finish(t, dir)
	// As after a kill between the report, which comes last, and the end.
	write(t, filepath.Join(dir, ".liuyun", "units", "0123", "h264-180p.mp4"), []byte("left"))
	if run := j.finish(t, dir).Last().Run; !run.Complete {
		t.Errorf("the second run did it again: %+v", run)
	}
	same(t, want, dir)
}

// Another file under the same name is another job.
func TestSourceChanges(t *testing.T) {
	one, other := silent(t), short(t)
	content := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	before, after := content(one.source), content(other.source)
	j := short(t)
	j.source = filepath.Join(t.TempDir(), "clip.mp4")
	write(t, j.source, after)
	want, _ := j.undisturbed(t)

	t.Run("while it was stopped", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "out")
		write(t, j.source, before)
		killAt(t, j, dir, moment{"encode", 0})
		write(t, j.source, after)
		if run := j.finish(t, dir).Last().Run; run.Reused != 0 {
			t.Errorf("units of another source were used: %+v", run)
		}
		same(t, want, dir)
	})
	t.Run("after it was done", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "out")
		write(t, j.source, before)
		j.finish(t, dir)
		write(t, j.source, after)
		if run := j.finish(t, dir).Last().Run; run.Complete {
			t.Errorf("another source was taken for the same job: %+v", run)
		}
		same(t, want, dir)
	})
}

// A job replaces all that another one left in its folder.
func TestOtherOptions(t *testing.T) {
	rich, plain := sounding(t), sounding(t)
	rich.args[1] = "ultrafast"
	plain.args = []string{"--preset", "ultrafast", "--ladder", "240"}
	want, _ := plain.undisturbed(t)
	dir := filepath.Join(t.TempDir(), "out")
	rich.finish(t, dir)
	plain.finish(t, dir)
	same(t, want, dir)

	dir = filepath.Join(t.TempDir(), "out")
	killAt(t, rich, dir, moment{"package", 0})
	plain.finish(t, dir)
	same(t, want, dir)
}

// A source that cannot be encoded leaves an earlier result as it was.
func TestBadSourceKeepsTheResult(t *testing.T) {
	j := short(t)
	dir := filepath.Join(t.TempDir(), "out")
	j.finish(t, dir)
	before := program.Tree(t, dir)
	bad := j
	bad.source = filepath.Join(testkit.Root(t), "go.mod")
	if result := bad.run(t, dir); result.Status != 2 {
		t.Errorf("a text file: %s", result)
	}
	after := program.Tree(t, dir)
	for name := range after {
		if strings.HasPrefix(name, ".liuyun") {
			delete(after, name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("the result has %d files after a bad source, %d before", len(after), len(before))
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
