package cloud

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// point makes a name lead to a program, at once and whole.
func point(t *testing.T, name, to string) {
	t.Helper()
	if err := os.Symlink(to, name+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// The ffmpeg of a worker breaks while it encodes. The worker puts itself aside at
// the first unit that fails; no asset pays for it, another worker makes them. When
// the program is whole again, so is the worker.
func TestWrongFFmpeg(t *testing.T) {
	t.Parallel()
	whole, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("there is no ffmpeg")
	}
	name := filepath.Join(t.TempDir(), "ffmpeg")
	point(t, name, whole)
	c := startCluster(t, "127.0.0.1")
	bad := c.join(t, "--set", "ffmpeg.ffmpeg_path="+name)
	source := testkit.Generate(t, testkit.Numbered("25", 1000, 220, 440, 660, 880))
	a := c.upload(t, source, client.UploadOptions{Options: &client.EncodeOptions{Preset: "slow", Ladder: "180,90"}})
	c.running(t, a.ID, bad.Node)

	point(t, name, "/bin/false")
	c.state(t, bad.Node, "aside", "ffmpeg")
	b := c.upload(t, film(t), client.UploadOptions{Options: quick()})
	good := c.join(t)
	for _, id := range []string{a.ID, b.ID} {
		c.ready(t, id)
	}
	sameMedia(t, c.result(t, a.ID), encodeAlone(t, source, "--preset", "slow", "--ladder", "180,90"))
	for _, job := range append(c.jobs(t, a.ID, ""), c.jobs(t, b.ID, "")...) {
		if job.State == "failed" {
			t.Errorf("%s job %s failed for its worker's fault: %v", job.Kind, job.ID, job.Failure)
		}
		if job.Asset == b.ID && job.Node != good.Node {
			t.Errorf("%s job %s was given to the worker that is aside", job.Kind, job.ID)
		}
	}
	point(t, name, whole)
	c.state(t, bad.Node, "ready", "")
	good.Kill()
	last := c.upload(t, film(t), client.UploadOptions{Options: quick()})
	c.ready(t, last.ID)
}

// The disk of a worker stops taking writes. It puts itself aside, another worker
// does what there is, and it comes back when the disk does.
func TestDeadDisk(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	d := program.NewDisk(t, size)
	c := startCluster(t, "127.0.0.1")
	bad := c.joinWithin(t, filepath.Join(d.Root, "worker"), nil, "--set", "blob.reserve_bytes=1MiB", "--set", "blob.reserve_percent=0")
	c.state(t, bad.Node, "ready", "")
	d.Remount(t, syscall.MS_RDONLY, size)
	// Perhaps it takes the asset before it looks at its disk: that must do no harm.
	a := c.upload(t, film(t), client.UploadOptions{Options: quick()})
	c.state(t, bad.Node, "aside", "cannot be written")
	good := c.join(t)
	c.ready(t, a.ID)
	for _, job := range c.jobs(t, a.ID, "") {
		if job.Node != good.Node {
			t.Errorf("%s job %s was done by node %q", job.Kind, job.ID, job.Node)
		}
	}
	d.Remount(t, 0, size)
	c.state(t, bad.Node, "ready", "")
	good.Kill()
	b := c.upload(t, film(t), client.UploadOptions{Options: quick()})
	c.ready(t, b.ID)
}
