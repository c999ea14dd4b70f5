package cloud

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// smallDisk has room for a cloud and a few short films above the reserve.
const (
	smallDisk = 160 << 20
	reserve   = 8 << 20
)

// startOnDisk starts a whole cloud on a disk that can be filled.
func startOnDisk(t *testing.T) (node, program.Disk) {
	t.Helper()
	d := program.NewDisk(t, smallDisk)
	return resume(t, filepath.Join(d.Root, "data"),
		"--set", "blob.reserve_bytes=8MiB", "--set", "blob.reserve_percent=0", "--set", "bus.disk=32MiB"), d
}

// The disk fills up while an asset is made and stays full: first down to the
// reserve, then to the last byte, where not even a record can be written. The
// asset says what it waits for. When there is room everything goes on by itself,
// events too, and nothing is lost.
func TestDiskFullWhileEncoding(t *testing.T) {
	t.Parallel()
	n, d := startOnDisk(t)
	source := testkit.Generate(t, testkit.Numbered("25", 1000, 220, 440, 660, 880))
	events := n.follow(t)
	waiting := n.upload(t, film(t), client.UploadOptions{Options: &client.EncodeOptions{Preset: "slow", Ladder: "180,90"}})
	a := n.upload(t, source, client.UploadOptions{Options: &client.EncodeOptions{Preset: "slow", Ladder: "180,90"}})
	n.until(t, a.ID, "being encoded", func(a client.Asset) bool { return a.Phase == "encode" })

	few := d.Fill(t, reserve/2)
	for _, id := range []string{a.ID, waiting.ID} {
		n.until(t, id, "ready or waiting for storage", func(a client.Asset) bool {
			return a.Status == client.Ready || a.WaitingFor == "storage"
		})
	}
	n.eventually(t, "an event tells of the wait", func() bool { return events.heard("waiting for storage", a.ID) })
	n.refusesUploads(t)
	all := d.Fill(t, 0)
	n.refusesUploads(t)
	n.eventually(t, "something could not be recorded", func() bool { return strings.Contains(n.Log(), "no room for records") })
	for _, id := range []string{a.ID, waiting.ID} {
		if asset, err := n.Assets.Get(t.Context(), id); err != nil || asset.Status == client.Failed {
			t.Errorf("asset %s on a full disk: %s %v %v", id, asset.Status, asset.Failure, err)
		}
	}

	for _, ballast := range []string{few, all} {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	n.ready(t, a.ID)
	sameMedia(t, n.result(t, a.ID), encodeAlone(t, source, "--preset", "slow", "--ladder", "180,90"))
	n.ready(t, waiting.ID)
	for _, job := range append(n.jobs(t, a.ID, ""), n.jobs(t, waiting.ID, "")...) {
		if job.State != "done" {
			t.Errorf("%s job %s is %s: %v", job.Kind, job.ID, job.State, job.Failure)
		}
	}
	n.eventually(t, "the server is ready again", func() bool {
		status, _ := n.read(t, "/readyz")
		return status == 200
	})
	b := n.upload(t, film(t), client.UploadOptions{Options: quick()})
	n.ready(t, b.ID)
	for _, id := range []string{a.ID, waiting.ID, b.ID} {
		n.eventually(t, "an event tells that "+id+" is ready", func() bool { return events.heard(client.AssetReady, id) })
	}
}

// refusesUploads holds a server without room to saying so.
func (n node) refusesUploads(t *testing.T) {
	t.Helper()
	file, err := os.Open(film(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Upload(t.Context(), file, info.Size(), client.UploadOptions{Name: "refused.mp4", Patience: time.Second})
	if client.CodeOf(err) != client.StorageFull {
		t.Errorf("an upload to a full disk: %v, want code %s", err, client.StorageFull)
	}
}

// The disk fills up in the middle of an upload. The upload is refused, and goes on
// from its last acknowledged byte when there is room.
func TestDiskFullWhileUploading(t *testing.T) {
	t.Parallel()
	n, d := startOnDisk(t)
	file, err := os.Open(film(t))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var token, ballast string
	_, err = n.Upload(t.Context(), file, info.Size(), client.UploadOptions{
		Name: "film.mp4", Options: quick(), Chunk: info.Size()/8 + 1, Patience: time.Second,
		OnCreated: func(made string) error { token = made; return nil },
		OnProgress: func(sent, _ int64) {
			if ballast == "" && sent >= info.Size()/2 {
				ballast = d.Fill(t, 0)
			}
		},
	})
	if client.CodeOf(err) != client.StorageFull {
		t.Errorf("an upload while the disk fills up: %v, want code %s", err, client.StorageFull)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	first := int64(-1)
	a, err := n.Upload(t.Context(), file, info.Size(), client.UploadOptions{Resume: token, OnProgress: func(sent, _ int64) {
		if first < 0 {
			first = sent
		}
	}})
	if err != nil {
		t.Fatalf("resume: %v", err)
	}
	if first < info.Size()/4 {
		t.Errorf("resumed at byte %d of %d", first, info.Size())
	}
	n.ready(t, a.ID)
}
