package cloud

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"liuyun/client"
)

// A file is uploaded, plays, gets subtitles, is made private and is deleted.
func TestStory(t *testing.T) {
	n := start(t)
	source := film(t)
	a := n.upload(t, source, client.UploadOptions{Name: "Harbour 港口.mp4", Options: quick()})
	a = n.ready(t, a.ID)
	if a.Name != "Harbour 港口.mp4" || len(a.Renditions) != 2 || a.Duration < 11.9 || a.Progress != 1 {
		t.Errorf("ready asset: %+v", a)
	}
	sameMedia(t, n.result(t, a.ID), encodeAlone(t, source, "--preset", "ultrafast", "--ladder", "180,90"))
	n.plays(t, a.Playback.HLS, 300)
	n.plays(t, a.Playback.DASH, 300)
	for _, address := range []string{a.Thumbnails.Poster, a.Thumbnails.Storyboard, a.Playback.Embed} {
		if status, body := n.read(t, address); status != http.StatusOK || len(body) == 0 {
			t.Errorf("%s: status %d, %d bytes", address, status, len(body))
		}
	}
	n.subtitles(t, a)
	n.private(t, a)
	if err := n.Assets.Delete(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Assets.Get(t.Context(), a.ID); client.CodeOf(err) != client.NotFound {
		t.Errorf("after delete: %v", err)
	}
	if status, _ := n.read(t, a.Playback.HLS); status != http.StatusNotFound {
		t.Errorf("a deleted asset plays: status %d", status)
	}
	n.gone(t, a.ID)
	if status := n.Stop(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// plays has ffmpeg decode every picture of a stream.
func (n node) plays(t *testing.T, address string, pictures int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0",
		"-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", n.Resolve(address)).CombinedOutput()
	// HLS is listed by programs too, so the number may be there twice.
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if got := strings.Trim(first, ", \r"); err != nil || got != itoa(pictures) {
		t.Errorf("%s: %v, pictures %q, want %d", address, err, got, pictures)
	}
}

// subtitles are added and deleted without encoding anything again.
func (n node) subtitles(t *testing.T, a client.Asset) {
	t.Helper()
	const words = "1\n00:00:01,000 --> 00:00:03,000\n流云\n"
	if _, err := n.Assets.PutSubtitle(t.Context(), a.ID, "zh-Hans", "中文", strings.NewReader(words)); err != nil {
		t.Fatal(err)
	}
	a = n.until(t, a.ID, "ready with subtitles", func(a client.Asset) bool {
		return len(a.Subtitles) == 1 && a.Subtitles[0].Status == "ready"
	})
	if _, playlist := n.read(t, a.Playback.HLS); !strings.Contains(string(playlist), `LANGUAGE="zh-Hans"`) {
		t.Errorf("no subtitles in\n%s", playlist)
	}
	if _, err := n.Assets.DeleteSubtitle(t.Context(), a.ID, "zh-Hans"); err != nil {
		t.Fatal(err)
	}
	n.until(t, a.ID, "without subtitles", func(a client.Asset) bool { return len(a.Subtitles) == 0 })
	units := 0
	for job, err := range n.Jobs.List(t.Context(), client.JobFilter{Asset: a.ID, Kind: "unit"}) {
		if err != nil {
			t.Fatal(err)
		}
		units++
		if job.CreatedAt.After(*a.ReadyAt) {
			t.Errorf("unit %s was made for subtitles", job.ID)
		}
	}
	if units == 0 {
		t.Error("no unit is listed")
	}
}

// private media needs a signed address, which opens one asset only and ends.
func (n node) private(t *testing.T, a client.Asset) {
	t.Helper()
	signed := client.Signed
	changed, err := n.Assets.Update(t.Context(), a.ID, client.AssetChange{Policy: &signed})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := n.read(t, a.Playback.HLS); status != http.StatusForbidden {
		t.Errorf("unsigned address of a signed asset: status %d", status)
	}
	if changed.Playback.HLS == a.Playback.HLS || changed.Playback.Expires == nil {
		t.Errorf("addresses are not signed: %+v", changed.Playback)
	}
	n.plays(t, changed.Playback.HLS, 300)
	link, err := n.Assets.SignedPlayback(t.Context(), a.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	n.plays(t, link.DASH, 300)
	forged := strings.Replace(link.HLS, "/play/~", "/play/~x", 1)
	if status, _ := n.read(t, forged); status != http.StatusForbidden {
		t.Errorf("forged address: status %d", status)
	}
}

// gone waits until nothing of an asset is in the blob store.
func (n node) gone(t *testing.T, id string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for len(n.left(t, id)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %q", n.left(t, id))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// An asset that is deleted while it is made leaves nothing behind.
func TestDeleteWhileProcessing(t *testing.T) {
	n := start(t)
	a := n.upload(t, film(t), client.UploadOptions{Options: &client.EncodeOptions{Preset: "slow", Ladder: "360,180"}})
	n.until(t, a.ID, "being encoded", func(a client.Asset) bool { return a.Phase == "encode" })
	if err := n.Assets.Delete(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	n.gone(t, a.ID)
}

// What is no media fails with a reason, and can be tried again.
func TestFailed(t *testing.T) {
	n := start(t)
	junk := t.TempDir() + "/junk.mp4"
	writeFile(t, junk, strings.Repeat("no media ", 1000))
	a := n.upload(t, junk, client.UploadOptions{})
	a = n.until(t, a.ID, "failed", func(a client.Asset) bool { return a.Status.Ended() })
	if a.Status != client.Failed || a.Failure == nil || !strings.Contains(a.Failure.Message, "not a media file") {
		t.Errorf("junk: %s %+v", a.Status, a.Failure)
	}
	if _, err := n.Assets.Retry(t.Context(), a.ID); err != nil {
		t.Errorf("retry: %v", err)
	}
	n.until(t, a.ID, "failed again", func(a client.Asset) bool { return a.Status.Ended() })
}
