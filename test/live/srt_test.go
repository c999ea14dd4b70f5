package live

import (
	"strings"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
)

// What is pushed by SRT is watched, and an encoder that comes back goes on. Other
// streams take it on: one by SRT, one by its playlists of low latency, and one of those
// goes on when the first stream does.
func TestSRT(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	c := start(t, t.TempDir(), "--set", "live.allow=127.0.0.1")
	s := c.newStream(t)
	address, _, found := strings.Cut(s.Ingest.SRT.URL, "?streamid=publish:"+s.Ingest.RTMP.Key)
	if !found {
		t.Fatalf("encoders are told %q", s.Ingest.SRT.URL)
	}
	first := pushSRT(t, s.Ingest.SRT.URL)
	c.await(t, s.ID, client.StreamLive)
	master := c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	video, audio := rendition(t, master, "video"), rendition(t, master, "audio")
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
		rendition := rendition(t, relayed, "video")
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
		c.counts(t, s.ID, "srt", func(s client.StreamStatistics) client.StreamWay { return s.Ways.SRT })
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
