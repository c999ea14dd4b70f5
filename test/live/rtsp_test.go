package live

import (
	"os/exec"
	"strings"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// pushRTSP is push by RTSP.
func pushRTSP(t *testing.T, transport, address string) *encoder {
	t.Helper()
	e := &encoder{ended: make(chan struct{})}
	e.command = exec.Command(testkit.FFmpeg(t), "-nostdin", "-v", "warning", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
		"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "50", "-bf", "2",
		"-pix_fmt", "yuv420p", "-b:v", "300k", "-c:a", "aac", "-b:a", "64k", "-ac", "2", "-f", "rtsp", "-rtsp_transport", transport, address)
	e.command.Stderr = &e.said
	if err := e.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = e.command.Wait(); close(e.ended) }() // it is killed
	t.Cleanup(e.kill)
	return e
}

// What is pushed by RTSP, with pictures that refer to later ones, is watched as what is
// pushed by RTMP: times of decoding are found out, reports put sound beside pictures.
func TestRTSP(t *testing.T) {
	testkit.FFprobe(t)
	c := start(t, program.Build(t, testkit.Root(t)), t.TempDir())
	s := c.newStream(t)
	first := pushRTSP(t, "tcp", s.Ingest.RTSP.URL)
	c.await(t, s.ID, client.StreamLive)
	master := c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	video := poll(t, strings.TrimSuffix(master, "master.m3u8")+"video/media.m3u8")
	audio := poll(t, strings.TrimSuffix(master, "master.m3u8")+"audio/media.m3u8")
	watch(t, master)
	c.healthy(t, s.ID)

	// It comes back over the other transport, and goes on.
	first.kill()
	c.await(t, s.ID, client.StreamReconnecting)
	pushRTSP(t, "udp", s.Ingest.RTSP.URL)
	c.await(t, s.ID, client.StreamLive)
	l, _ := video.playlist()
	video.awaitSegments(t, next(l)+1)
	watch(t, master)
	video.verdict(t)
	audio.verdict(t)
}
