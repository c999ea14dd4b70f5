package cloud

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
)

// Fifty uploads at once, while nobody encodes: each is acknowledged and queued, in
// little memory. Then a worker comes and is killed, and none is lost.
func TestFiftyUploads(t *testing.T) {
	t.Parallel()
	const many = 50
	c := startCluster(t, "127.0.0.1")
	clip := testkit.Generate(t, testkit.Pattern(160, 90, "25", 1))
	assets := c.uploadAtOnce(t, clip, many)
	for _, id := range assets {
		if a, err := c.Assets.Get(t.Context(), id); err != nil || a.Status != client.Queued || a.Size == 0 {
			t.Errorf("asset %s after its upload: %s %v", id, a.Status, err)
		}
	}
	now, peak := c.Memory()>>20, c.PeakMemory()>>20
	t.Logf("with %d assets queued the control node holds %d MiB, at most %d MiB", many, now, peak)
	// A bound against nonsense; the bar is a benchmark's.
	if peak > 400 {
		t.Errorf("%d queued assets hold %d MiB of memory", many, peak)
	}
	w := c.join(t)
	c.ready(t, assets[0])
	w.Kill()
	w.again(t)
	for _, id := range assets[:10] {
		c.ready(t, id)
	}
	// The others are ready too, or on their way: none failed, none is without a job.
	for _, id := range assets {
		a, err := c.Assets.Get(t.Context(), id)
		if err != nil || a.Status != client.Ready && a.Status != client.Processing && a.Status != client.Queued {
			t.Errorf("asset %s is lost: %s %v %v", id, a.Status, a.Failure, err)
		}
		if jobs := c.jobs(t, id, "transcode"); len(jobs) != 1 || jobs[0].State == "failed" {
			t.Errorf("asset %s has the jobs %+v, want one that has not failed", id, jobs)
		}
	}
}

// uploadAtOnce uploads a clip many times at once and returns the assets.
func (n node) uploadAtOnce(t *testing.T, clip string, many int) []string {
	t.Helper()
	content, err := os.Open(clip)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	info, err := content.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	assets := make([]string, many)
	for i := range assets {
		group.Go(func() {
			a, err := n.Upload(t.Context(), content, info.Size(), client.UploadOptions{Name: fmt.Sprintf("clip %d.mp4", i), Options: lowest()})
			if err != nil {
				t.Errorf("upload %d: %v", i, err)
			}
			assets[i] = a.ID
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return assets
}
