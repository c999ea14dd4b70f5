package cloud

import (
	"strings"
	"syscall"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// slots is how many units a worker of these tests makes at a time: that many at
// most are begun again when it is lost.
const slots = 2

// A machine that joined encodes what the control node got, what it makes has the bytes
// of the command line, and it compares that with the source.
func TestJoinedWorker(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "127.0.0.1")
	source := film(t)
	a := c.upload(t, source, client.UploadOptions{Options: quick()})
	w := c.join(t)
	a = c.ready(t, a.ID)
	sameMedia(t, c.result(t, a.ID), encodeAlone(t, source, "--preset", "ultrafast", "--ladder", "180,90"))
	c.plays(t, a.Playback.HLS, 300)
	if _, err := c.Assets.Compare(t.Context(), a.ID, client.CompareOptions{Every: 10}); err != nil {
		t.Fatal(err)
	}
	c.compared(t, a.ID, "ready")
	for _, job := range c.jobs(t, a.ID, "") {
		if job.Node != w.Node || job.Attempt != 1 {
			t.Errorf("%s job %s was done by node %q in attempt %d, want %s in 1", job.Kind, job.ID, job.Node, job.Attempt, w.Node)
		}
	}
	c.state(t, w.Node, "ready", "")
	if status := w.Stop(); status != 0 {
		t.Errorf("exit status of the worker %d", status)
	}
	if status := c.Stop(); status != 0 {
		t.Errorf("exit status of the control node %d", status)
	}
}

// Workers are lost in the middle of a film of many units, in each way that there
// is. Another one finishes it, and it has the bytes of a run that nothing
// disturbed.
func TestLostWorker(t *testing.T) {
	t.Parallel()
	source := testkit.Generate(t, testkit.Numbered("25", 2000, 220, 440, 660, 880, 1100, 1320, 1540, 1760))
	want := encodeAlone(t, source, "--preset", "slow", "--ladder", "180,90")
	for name, lose := range map[string]func(*testing.T, lost){
		"killed": killWorkers, "asleep": suspendWorker, "cut off": cutWorkerOff, "of a deleted asset": deleteUnderWorkers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lose(t, lost{source, want})
		})
	}
}

// lost is the film that workers are lost at, and what is to come of it.
type lost struct{ source, want string }

// begin uploads the film and waits until each of the workers is at a unit of it.
func (l lost) begin(t *testing.T, c cluster, workers ...worker) client.Asset {
	t.Helper()
	a := c.upload(t, l.source, client.UploadOptions{Options: &client.EncodeOptions{Preset: "slow", Ladder: "180,90"}})
	for _, w := range workers {
		c.running(t, a.ID, w.Node)
	}
	return a
}

// finish waits until the asset is ready, compares it, and holds the number of
// units that were begun again to that of the workers lost.
func (l lost) finish(t *testing.T, c cluster, asset string, losses int) {
	t.Helper()
	c.ready(t, asset)
	sameMedia(t, c.result(t, asset), l.want)
	again, all := c.again(t, asset)
	t.Logf("%d of %d units begun again", again, all)
	if again > losses*slots {
		t.Errorf("%d units were begun again after %d losses of %d slots each", again, losses, slots)
	}
	if again == 0 {
		t.Error("no unit was lost: the test disturbed nothing")
	}
}

// Of two workers one is killed and comes back, then an ffmpeg is killed, then the
// other worker for good.
func killWorkers(t *testing.T, l lost) {
	c := startCluster(t, "127.0.0.1")
	first, second := c.join(t), c.join(t)
	a := l.begin(t, c, first, second)

	first.Kill()
	program.NoOrphans(t, first.Data)
	first = first.again(t)
	c.running(t, a.ID, first.Node)

	c.eventually(t, "an ffmpeg is killed", func() bool {
		for _, pid := range program.Children(first.Pid) {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				return true
			}
		}
		return false
	})
	second.Kill()
	program.NoOrphans(t, second.Data)
	l.finish(t, c, a.ID, 3)
}

// A worker sleeps until its leases have ended and another has done its work. When
// it wakes, it notices, and is a worker like any other.
func suspendWorker(t *testing.T, l lost) {
	c := startCluster(t, "127.0.0.1")
	sleeper, other := c.join(t), c.join(t)
	a := l.begin(t, c, sleeper, other)

	sleeper.Suspend()
	l.finish(t, c, a.ID, 1)
	c.state(t, sleeper.Node, "gone", "nothing was heard")
	sleeper.Continue()
	c.eventually(t, "the sleeper notices", func() bool { return strings.Contains(sleeper.Log(), "lease is lost") })
	c.state(t, sleeper.Node, "ready", "")
	sameMedia(t, c.result(t, a.ID), l.want)

	other.Kill()
	b := c.upload(t, film(t), client.UploadOptions{Options: quick()})
	c.ready(t, b.ID)
}

// An asset is deleted while two workers make it. Nothing of it stays.
func deleteUnderWorkers(t *testing.T, l lost) {
	c := startCluster(t, "127.0.0.1")
	first, second := c.join(t), c.join(t)
	a := l.begin(t, c, first, second)
	if err := c.Assets.Delete(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	c.gone(t, a.ID)
	for _, job := range c.jobs(t, a.ID, "") {
		if job.State == "waiting" || job.State == "running" {
			t.Errorf("%s job %s is %s", job.Kind, job.ID, job.State)
		}
	}
	for _, w := range []worker{first, second} {
		if !program.Eventually(patience, func() bool { return len(program.Children(w.Pid)) == 0 }) {
			t.Errorf("worker %s still has %v running", w.Node, program.Children(w.Pid))
		}
	}
	c.gone(t, a.ID) // nor has one written since
}
