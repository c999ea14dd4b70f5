package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"liuyun/test/program"
)

// The disk fills up in each phase; with more room the same command goes on.
func TestDiskFull(t *testing.T) {
	j := sounding(t)
	want, _ := j.undisturbed(t)
	analysed, needed := sizes(t, j)
	reached := map[string]bool{}
	for _, size := range []int64{
		analysed / 4, analysed * 3 / 4, analysed + (needed-analysed)/10, needed * 4 / 10, needed * 8 / 10,
	} {
		t.Run(fmt.Sprintf("%dk", size>>10), func(t *testing.T) {
			d := program.NewDisk(t, size)
			dir := filepath.Join(d.Root, "out")
			result := j.run(t, dir)
			last := result.Last()
			t.Logf("%s", result)
			reached[result.Phase()] = true
			if result.Status != 6 || last.Code != "storage_full" {
				t.Fatalf("on a full disk: %s", result)
			}
			if !strings.Contains(last.Message, "full") || !strings.Contains(last.Message, "make room") {
				t.Errorf("the message does not say what to do: %q", last.Message)
			}
			if again := j.run(t, dir); again.Status != 6 {
				t.Errorf("again, with no more room: %s", again)
			}
			program.NoOrphans(t, dir)
			_, units := committed(t, dir)
			d.Remount(t, 0, 4*needed)
			if got := j.finish(t, dir).Last().Run.Reused; got < units {
				t.Errorf("%d units used again, %d were committed", got, units)
			}
			same(t, want, dir)
		})
	}
	for _, phase := range []string{"analyse", "encode", "package"} {
		if !reached[phase] {
			t.Errorf("the disk was never full in phase %s: %v", phase, reached)
		}
	}
}

// sizes measures how much a job has written when its analysis is committed, and
// when it is about to be done.
func sizes(t *testing.T, j job) (analysed, needed int64) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	killAt(t, j, dir, moment{"encode", 0})
	analysed = bytesBelow(t, dir)
	killAt(t, j, dir, moment{"package", 0})
	needed = bytesBelow(t, dir)
	j.finish(t, dir)
	needed += bytesBelow(t, dir)
	return analysed, needed
}

func bytesBelow(t *testing.T, dir string) int64 {
	t.Helper()
	var sum int64
	for name := range program.Tree(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		const page = 4096
		sum += (info.Size() + page - 1) / page * page
	}
	return sum
}

// A folder that may not be written to is named, and nothing is left running.
func TestReadOnly(t *testing.T) {
	j := short(t)
	root := readOnly(t)
	for _, dir := range []string{filepath.Join(root, "out"), root} {
		result := j.run(t, dir)
		if result.Status != 4 || !strings.Contains(result.Last().Message, dir) {
			t.Errorf("into %s: %s", dir, result)
		}
	}
}

// readOnly is a folder that not even root may write to.
func readOnly(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
		return dir
	}
	d := program.NewDisk(t, 1<<20)
	d.Remount(t, syscall.MS_RDONLY, 1<<20)
	return d.Root
}
