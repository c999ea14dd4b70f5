package live

import (
	"strings"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// leaves waits until an encoder has gone by itself.
func (e *encoder) leaves(t *testing.T) {
	t.Helper()
	select {
	case <-e.ended:
	case <-time.After(patience):
		t.Error("an encoder of a stopped stream goes on")
	}
}

// A stream is stopped while an encoder sends: that one is sent away, viewers see that
// it is over, what is recorded is an asset, and nobody is let in until it is started.
func TestStop(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	c := start(t, t.TempDir())
	s, err := c.Streams.Create(t.Context(), client.NewStream{Name: "Town hall", Record: true})
	if err != nil {
		t.Fatal(err)
	}
	key := s.Ingest.RTMP.Key
	first, second := push(t, ingest(s, key)), push(t, ingest(s, key)+"?backup=1")
	asset := c.awaitStored(t, s.ID, 4)
	if !program.Eventually(patience, func() bool {
		s, err := c.Streams.Get(t.Context(), s.ID)
		return err == nil && s.Health != nil && len(s.Health.Inputs) == 2
	}) {
		t.Fatal("the backup is not seen")
	}
	master := c.Resolve(s.Playback.HLS)
	video, audio := rendition(t, master, "video"), rendition(t, master, "audio")
	l, _ := video.playlist()
	video.awaitSegments(t, next(l)+1)

	before := len(c.Log())
	stopped, err := c.Streams.Stop(t.Context(), s.ID)
	if err != nil || !stopped.Stopped {
		t.Fatalf("stopped: %+v, %v", stopped, err)
	}
	if !program.Eventually(patience, func() bool {
		pictures, _ := video.playlist()
		sound, _ := audio.playlist()
		return pictures.Ended && sound.Ended
	}) {
		t.Error("the playlists do not end")
	}
	video.verdict(t)
	audio.verdict(t)
	first.leaves(t)
	second.leaves(t)
	if s := c.await(t, s.ID, client.StreamIdle); !s.Stopped || s.LiveSince != nil {
		t.Errorf("stopped: %+v", s)
	}
	if strings.Contains(c.Log()[before:], "stream is reconnecting") {
		t.Error("the encoder is waited for")
	}
	c.whole(t, c.awaitAsset(t, asset), s.ID)
	watch(t, master) // again, from the window

	for _, e := range []*encoder{
		push(t, ingest(s, key)), push(t, ingest(s, key)+"?backup=1"), pushSRT(t, s.Ingest.SRT.URL), pushRTSP(t, "tcp", s.Ingest.RTSP.URL),
	} {
		e.leaves(t)
	}
	if log := c.Log(); strings.Count(log, "an encoder was sent away") != 2 || strings.Count(log, "an encoder was refused") < 4 || !strings.Contains(log, "the stream is stopped; start it") {
		t.Errorf("the log does not say why encoders have gone:\n%s", log)
	}
	if s, err := c.Streams.Start(t.Context(), s.ID); err != nil || s.Stopped || s.Status != client.StreamIdle {
		t.Fatalf("started: %+v, %v", s, err)
	}
	push(t, ingest(s, key))
	c.await(t, s.ID, client.StreamLive)
	again := rendition(t, master, "video")
	l, _ = again.playlist()
	if l = again.awaitSegments(t, next(l)+1); l.Ended {
		t.Error("the playlist of a stream that is started has an end")
	}
	again.verdict(t)
	if status := c.Stop(); status != 0 {
		t.Errorf("the server ended with status %d", status)
	}
}
