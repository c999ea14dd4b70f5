package live

import (
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
)

// What is pushed by RTSP, with pictures that refer to later ones, is watched as what is
// pushed by RTMP: times of decoding are found out, reports put sound beside pictures.
func TestRTSP(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	c := start(t, t.TempDir())
	s := c.newStream(t)
	first := pushRTSP(t, "tcp", s.Ingest.RTSP.URL)
	c.await(t, s.ID, client.StreamLive)
	master := c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	video := rendition(t, master, "video")
	audio := rendition(t, master, "audio")
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
