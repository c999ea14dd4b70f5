package live

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/av/hls"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// awaitOnAir waits until that is what viewers see.
func (c *cloud) awaitOnAir(t *testing.T, id, want string) {
	t.Helper()
	var h *client.StreamHealth
	if !program.Eventually(patience, func() bool {
		s, err := c.Streams.Get(t.Context(), id)
		if err != nil {
			return false
		}
		h = s.Health
		return h != nil && h.OnAir == want
	}) {
		t.Fatalf("health is %+v, want %s on air", h, want)
	}
}

// Two encoders, of which the first is killed and comes back, then both; what viewers
// get goes on all the time, and nothing in it says that anything happened.
func TestBackup(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	c := start(t, filepath.Join(t.TempDir(), "data"))
	s := c.newStream(t)
	address := ingest(s, s.Ingest.RTMP.Key)
	first := push(t, address)
	c.awaitOnAir(t, s.ID, "primary")
	second := push(t, address+"?backup=1")
	master := c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	video := rendition(t, master, "video")
	audio := rendition(t, master, "audio")
	if !program.Eventually(patience, func() bool {
		s, err := c.Streams.Get(t.Context(), s.ID)
		return err == nil && s.Health != nil && len(s.Health.Inputs) == 2 && s.Health.Inputs[1].Bitrate > 0
	}) {
		t.Fatal("the backup is not seen")
	}
	onward := func() {
		l, _ := video.playlist()
		video.awaitSegments(t, next(l)+1)
	}
	onward()
	first.kill()
	c.awaitOnAir(t, s.ID, "backup")
	onward()
	first = push(t, address)
	c.awaitOnAir(t, s.ID, "primary")
	onward()
	second.kill()
	first.kill()
	c.awaitOnAir(t, s.ID, "slate")
	onward()
	push(t, address)
	c.awaitOnAir(t, s.ID, "primary")
	onward()
	for _, l := range []hls.LivePlaylist{video.verdict(t), audio.verdict(t)} {
		for _, segment := range l.Segments {
			if segment.Discontinuity || segment.Gap {
				t.Errorf("%s is %+v, though only encoders changed", segment.URI, segment)
			}
		}
	}
	decodeAll(t, master)
}

// decodeAll has ffmpeg decode all that is there of a stream that goes on, and holds it
// to have no hole of half a second.
func decodeAll(t *testing.T, master string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, testkit.FFmpeg(t), "-nostdin", "-v", "error", "-live_start_index", "0", "-t", "30", "-i", master, "-map", "0:v:0", "-map", "0:a:0",
		"-vf", "select='gt(t-prev_t\\,0.5)'", "-fps_mode", "passthrough", "-f", "framecrc", "-")
	begun := time.Now()
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v after %s: %s", err, time.Since(begun), out)
	}
	pictures, complaints := 0, 0
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, "0,"):
			pictures++
		case !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "1,"):
			complaints++
			t.Logf("ffmpeg: %s", line)
		}
	}
	if pictures > 0 || complaints > 0 {
		t.Errorf("%d holes, %d complaints", pictures, complaints)
	}
}
