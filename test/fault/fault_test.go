// Package fault kills, stops, starves and disturbs liuyun while it encodes, as a
// real process with real children, and holds it to what it promises: the next
// run of the same command finishes, what was committed is not made again, and
// the output is byte for byte that of a run which nothing disturbed. Moments are
// random from a seed that the test logs; LIUYUN_FAULT_SEED repeats one.
package fault

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// limit is the wall time of one run; an undisturbed one takes seconds.
const limit = 2 * time.Minute

const workers = 2

// job is one source with the options that it is encoded with.
type job struct {
	liuyun program.Program
	source string
	args   []string
}

// silent is a film of several shots without sound: several units. Its caps are
// far, so that no unit is encoded again.
func silent(t *testing.T) job {
	return job{
		program.Build(t, testkit.Root(t)),
		testkit.Generate(t, testkit.Numbered("25", 1300, 220, 440, 660, 880, 1100)),
		[]string{"--preset", "ultrafast", "--ladder", "180:20M,90:20M", "-j", strconv.Itoa(workers)},
	}
}

// sounding is one long shot at an odd rate with sound, and everything that
// can be asked for besides: a long packaging.
func sounding(t *testing.T) job {
	subtitles := filepath.Join(t.TempDir(), "en.srt")
	if err := os.WriteFile(subtitles, []byte("1\n00:00:01,000 --> 00:00:03,000\nFlowing cloud\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return job{
		program.Build(t, testkit.Root(t)),
		testkit.Generate(t, testkit.Pattern(640, 360, "30000/1001", 20)),
		[]string{"--preset", "superfast", "--ladder", "360,240", "-j", strconv.Itoa(workers),
			"--mp4", "--keep-original", "--loudness", "-23", "--subtitles", "en=" + subtitles},
	}
}

// short is quick: a few seconds of picture and sound.
func short(t *testing.T) job {
	return job{
		program.Build(t, testkit.Root(t)),
		testkit.Generate(t, testkit.Pattern(320, 180, "25", 6)),
		[]string{"--preset", "ultrafast", "-j", strconv.Itoa(workers)},
	}
}

func (j job) arguments(dir string) []string {
	return append([]string{"encode", j.source, "-o", dir}, j.args...)
}

func (j job) start(t *testing.T, dir string) *program.Run {
	t.Helper()
	return j.liuyun.Start(t, j.arguments(dir)...)
}

func (j job) run(t *testing.T, dir string) program.Result {
	t.Helper()
	return j.liuyun.Run(t, limit, j.arguments(dir)...)
}

// finish runs the job, which has to end well.
func (j job) finish(t *testing.T, dir string) program.Result {
	t.Helper()
	result := j.run(t, dir)
	if result.Status != 0 || result.Last().Type != "report" {
		t.Fatalf("a run that nothing disturbs: %s", result)
	}
	return result
}

// undisturbed is the tree that a run without any fault makes, and that run.
func (j job) undisturbed(t *testing.T) (map[string]string, program.Result) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "undisturbed")
	result := j.finish(t, dir)
	return program.Tree(t, dir), result
}

// same fails the test unless dir holds exactly the tree want.
func same(t *testing.T, want map[string]string, dir string) {
	t.Helper()
	if diff := cmp.Diff(want, program.Tree(t, dir)); diff != "" {
		t.Errorf("the output is not that of an undisturbed run (-want +got):\n%s", diff)
	}
}

// random returns a source of moments. Its seed is in the log.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LIUYUN_FAULT_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LIUYUN_FAULT_SEED=%d repeats the moments", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// committed lists the results that an interrupted run left: their names with
// the time of each file, by which one that is made again shows. units are those
// among them that hold encoded pictures.
func committed(t *testing.T, dir string) (results map[string]string, units int) {
	t.Helper()
	results = make(map[string]string)
	root := filepath.Join(dir, ".liuyun", "units")
	entries, err := os.ReadDir(root)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		var files strings.Builder
		err := filepath.WalkDir(filepath.Join(root, entry.Name()), func(path string, file fs.DirEntry, err error) error {
			if err != nil || file.IsDir() {
				return err
			}
			info, err := file.Info()
			if err == nil {
				fmt.Fprintf(&files, "%s %d %s; ", file.Name(), info.Size(), info.ModTime().Format(time.RFC3339Nano))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		results[entry.Name()] = files.String()
		if holdsPictures(filepath.Join(root, entry.Name())) {
			units++
		}
	}
	return results, units
}

// holdsPictures tells a unit of all rungs from sound, the analysis and a rung that
// was encoded again to keep to its cap.
func holdsPictures(folder string) bool {
	return len(glob(folder, "h264-*.mp4")) > 1
}

func glob(folder, pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(folder, pattern)) // the patterns here are sound
	return found
}

// inFlight is how many units an interrupted run was making.
func inFlight(dir string) int {
	count := 0
	for _, folder := range glob(filepath.Join(dir, ".liuyun", "scratch"), "*") {
		if holdsPictures(folder) {
			count++
		}
	}
	return count
}
