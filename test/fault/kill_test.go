package fault

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"liuyun/test/program"
)

// moment is when a run is killed: so long after it came to a phase.
type moment struct {
	phase string
	after time.Duration
}

// moments are random ones in each phase, in an order in which the job can still
// come to them. A run that goes on has little to do in the phases before.
func moments(r *rand.Rand, whole time.Duration) []moment {
	within := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
	var list []moment
	for range 4 {
		list = append(list, moment{"analyse", within(whole / 30)})
	}
	for range 8 {
		list = append(list, moment{"encode", within(whole / 5)})
	}
	// Packaging is over soon: the first kill comes at once, so that there is one.
	for i := range 4 {
		list = append(list, moment{"package", within(whole/400)*time.Duration(i) + 1})
	}
	return list
}

// liuyun is killed again and again while it does one job. The machine may be quicker
// then than it was undisturbed, when other work on it has ended, and the job be done too
// soon: then it is done anew, with the kills closer together.
func TestKill(t *testing.T) {
	for name, make := range map[string]func(*testing.T) job{"silent": silent, "sounding": sounding} {
		t.Run(name, func(t *testing.T) {
			r := random(t)
			j := make(t)
			want, undisturbed := j.undisturbed(t)
			for try, whole := 1, undisturbed.Wall; ; try, whole = try+1, whole/2 {
				dir := filepath.Join(t.TempDir(), "out")
				killed := killAll(t, j, dir, moments(r, whole), undisturbed.Last().Run.Units)
				same(t, want, dir)
				if killed["analyse"]+killed["encode"]+killed["package"] >= 12 && killed["analyse"] > 0 && killed["encode"] > 0 && killed["package"] > 0 {
					break
				}
				if t.Logf("killed only so often in each phase: %v", killed); try == 4 {
					t.Fatal("it is done too soon, again and again")
				}
			}
		})
	}
}

// killAll does the job into dir, killed at each of those moments, and ends it. It counts
// the kills in each phase.
func killAll(t *testing.T, j job, dir string, list []moment, all int) (killed map[string]int) {
	t.Helper()
	killed = map[string]int{}
	for _, at := range list {
		before, _ := committed(t, dir)
		result := killAt(t, j, dir, at)
		if result.Status == 0 && result.Phase() == "package" {
			t.Logf("done before it was killed %v into %s", at.after, at.phase)
			break
		}
		if result.Status >= 0 {
			t.Fatalf("not killed %v into %s: %s", at.after, at.phase, result)
		}
		killed[result.Phase()]++
		if _, err := os.Stat(filepath.Join(dir, "report.json")); err == nil {
			t.Logf("killed %v into %s, when the report was in its place: what is removed then is not needed", at.after, at.phase)
			j.finish(t, dir)
			break
		}
		after, units := committed(t, dir)
		for name, files := range before {
			if after[name] != files {
				t.Errorf("%s was committed and has been made again:\n%s\n%s", name, files, after[name])
			}
		}
		if n := inFlight(dir); n > workers {
			t.Errorf("%d units were in work with %d workers", n, workers)
		}
		t.Logf("killed %4d ms into %-8s %2d results committed, %2d of %d units, %d in work",
			at.after.Milliseconds(), result.Phase(), len(after), units, all, inFlight(dir))
	}
	if _, units := committed(t, dir); units > 0 {
		run := j.finish(t, dir).Last().Run
		// A kill after the report was in its place left nothing to do.
		if !run.Complete && (run.Reused != units || run.Units != all) {
			t.Errorf("the last run used %d of %d units, %d of %d were committed", run.Reused, run.Units, units, all)
		}
	}
	return killed
}

// killAt runs the job and kills it.
func killAt(t *testing.T, j job, dir string, at moment) program.Result {
	t.Helper()
	run := j.start(t, dir)
	if run.AwaitPhase(at.phase) {
		run.WaitAtMost(at.after)
	}
	run.Signal(syscall.SIGKILL)
	result := run.Wait()
	program.NoOrphans(t, dir)
	return result
}

// A child is killed at a random moment: the same run mends it, or ends with a
// reason and the next one goes on.
func TestKillChildren(t *testing.T) {
	r := random(t)
	j := silent(t)
	want, undisturbed := j.undisturbed(t)
	mended := 0
	for round := range 3 {
		dir := filepath.Join(t.TempDir(), "out")
		run := j.start(t, dir)
		run.AwaitPhase("analyse")
		run.WaitAtMost(time.Duration(r.Int64N(int64(undisturbed.Wall / 2))))
		victims := 0
		for range 2 + r.IntN(2) {
			victims += killOne(r, run)
		}
		result := run.Wait()
		t.Logf("round %d: %d children killed: %s", round, victims, result)
		switch result.Status {
		case 0:
			mended++
		case 6:
			if !strings.Contains(result.Last().Message, "killed") {
				t.Errorf("the message does not say that ffmpeg was killed: %s", result)
			}
			j.finish(t, dir)
		default:
			t.Errorf("after children were killed: %s", result)
			continue
		}
		same(t, want, dir)
	}
	if mended == 0 {
		t.Error("no run mended the loss of a child by itself")
	}
}

// killOne kills a child of a run as soon as there is one.
func killOne(r *rand.Rand, run *program.Run) int {
	var children []int
	program.Eventually(time.Second, func() bool {
		children = program.Children(run.Pid)
		return len(children) > 0 || run.WaitAtMost(time.Millisecond)
	})
	if len(children) == 0 || syscall.Kill(children[r.IntN(len(children))], syscall.SIGKILL) != nil {
		return 0
	}
	return 1
}

// In the encode phase a run mends the loss of a child by itself.
func TestKillAnEncoder(t *testing.T) {
	j := silent(t)
	want, _ := j.undisturbed(t)
	dir := filepath.Join(t.TempDir(), "out")
	run := j.start(t, dir)
	run.AwaitPhase("encode")
	if killOne(random(t), run) == 0 {
		t.Fatal("no child to kill in the encode phase")
	}
	result := run.Wait()
	if result.Status != 0 || result.Last().Run.Retried == 0 {
		t.Errorf("after an encoder was killed: %s, %d retries", result, result.Last().Run.Retried)
	}
	same(t, want, dir)
}

// A child that is stopped and goes on later does no harm.
func TestStopAndContinue(t *testing.T) {
	j := silent(t)
	want, _ := j.undisturbed(t)
	dir := filepath.Join(t.TempDir(), "out")
	run := j.start(t, dir)
	run.AwaitPhase("encode")
	stopped := 0
	for range 3 {
		var children []int
		program.Eventually(time.Second, func() bool {
			children = program.Children(run.Pid)
			return len(children) > 0 || run.WaitAtMost(time.Millisecond)
		})
		for _, child := range children {
			if syscall.Kill(child, syscall.SIGSTOP) == nil {
				stopped++
			}
		}
		if run.WaitAtMost(200*time.Millisecond) && len(children) > 0 {
			t.Errorf("the run ended while children %v were stopped", children)
		}
		for _, child := range children {
			_ = syscall.Kill(child, syscall.SIGCONT)
		}
		run.WaitAtMost(50 * time.Millisecond)
	}
	if result := run.Wait(); result.Status != 0 || stopped == 0 {
		t.Errorf("after %d stops: %s", stopped, result)
	}
	same(t, want, dir)
}

// Ctrl-C ends a run in good order, in every phase.
func TestInterrupt(t *testing.T) {
	j := sounding(t)
	want, _ := j.undisturbed(t)
	dir := filepath.Join(t.TempDir(), "out")
	for _, phase := range []string{"analyse", "encode", "package"} {
		run := j.start(t, dir)
		if !run.AwaitPhase(phase) {
			t.Fatalf("no phase %s: %s", phase, run.Wait())
		}
		run.Signal(syscall.SIGINT)
		result := run.Wait()
		program.NoOrphans(t, dir)
		last := result.Last()
		if result.Status != 130 || last.Code != "canceled" || !strings.Contains(last.Message, "same command again") {
			t.Errorf("SIGINT in %s: %s", phase, result)
		}
		if result.Wall > limit/4 {
			t.Errorf("SIGINT in %s: ended only after %v", phase, result.Wall)
		}
	}
	if last := j.finish(t, dir).Last(); last.Run.Reused == 0 {
		t.Errorf("nothing was kept: %+v", last.Run)
	}
	same(t, want, dir)
}
