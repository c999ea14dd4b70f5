package live

import (
	"os/exec"
	"strings"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// pushSRT is push by SRT.
func pushSRT(t *testing.T, address string) *encoder {
	t.Helper()
	e := &encoder{ended: make(chan struct{})}
	e.command = exec.Command(testkit.FFmpeg(t), "-nostdin", "-v", "warning", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
		"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "50", "-bf", "2",
		"-pix_fmt", "yuv420p", "-b:v", "300k", "-c:a", "aac", "-b:a", "64k", "-ac", "2", "-f", "mpegts", address)
	e.command.Stderr = &e.said
	if err := e.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = e.command.Wait(); close(e.ended) }() // it is killed
	t.Cleanup(e.kill)
	return e
}

// What is pushed by SRT is watched, and an encoder that comes back goes on. Other
// streams take it on: one by SRT, one by its playlists of low latency, and one of those
// goes on when the first stream does.
func TestSRT(t *testing.T) {
	testkit.FFprobe(t)
	c := start(t, program.Build(t, testkit.Root(t)), t.TempDir(), "--set", "live.allow=127.0.0.1")
	s := c.newStream(t)
	address, _, found := strings.Cut(s.Ingest.SRT.URL, "?streamid=publish:"+s.Ingest.RTMP.Key)
	if !found {
		t.Fatalf("encoders are told %q", s.Ingest.SRT.URL)
	}
	first := pushSRT(t, s.Ingest.SRT.URL)
	c.await(t, s.ID, client.StreamLive)
	master := c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	folder := strings.TrimSuffix(master, "master.m3u8")
	video, audio := poll(t, folder+"video/media.m3u8"), poll(t, folder+"audio/media.m3u8")
	watch(t, master)
	c.healthy(t, s.ID)

	for name, source := range map[string]string{"srt": address + "?streamid=read:" + s.ID, "hls": master} {
		relay, err := c.Streams.Create(t.Context(), client.NewStream{Name: name, Source: client.NewStreamSource{URL: source}})
		if err != nil {
			t.Fatal(err)
		}
		c.await(t, relay.ID, client.StreamLive)
		relayed := c.Resolve(relay.Playback.HLS)
		c.playable(t, relayed)
		rendition := poll(t, strings.TrimSuffix(relayed, "master.m3u8")+"video/media.m3u8")
		watch(t, relayed)
		l, _ := rendition.playlist()
		rendition.awaitSegments(t, next(l)+1)
		rendition.verdict(t)
		if name == "hls" {
			if stopped, err := c.Streams.Stop(t.Context(), relay.ID); err != nil || stopped.Source.State != "stopped" {
				t.Errorf("stopped: %+v, %v", stopped.Source, err)
			}
			continue
		}
		first.kill()
		c.await(t, s.ID, client.StreamReconnecting)
		pushSRT(t, s.Ingest.SRT.URL)
		c.await(t, s.ID, client.StreamLive)
		c.await(t, relay.ID, client.StreamLive)
	}
	l, _ := video.playlist()
	video.awaitSegments(t, next(l)+1)
	watch(t, master)
	video.verdict(t)
	audio.verdict(t)
}
