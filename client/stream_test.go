package client_test

import (
	"testing"
	"time"

	"liuyun/client"
)

func TestStreams(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	ctx := t.Context()
	s := must[client.Stream](t)(c.Streams.Create(ctx, client.NewStream{Name: "hall"}))
	if s.Name != "hall" || s.Status != client.StreamIdle || s.Ingest.RTMP.Key == "" || s.Health != nil {
		t.Errorf("created %+v", s)
	}
	name := "Town hall"
	s = must[client.Stream](t)(c.Streams.Update(ctx, s.ID, client.StreamChange{Name: &name, Rev: s.Rev}))
	if s.Name != name {
		t.Errorf("renamed %+v", s)
	}
	if _, err := c.Streams.Update(ctx, s.ID, client.StreamChange{Name: &name, Rev: 99}); client.CodeOf(err) != client.Conflict {
		t.Errorf("another revision: %v", err)
	}
	if rotated := must[client.Stream](t)(c.Streams.RotateKey(ctx, s.ID, time.Hour)); rotated.Ingest.RTMP.Key != "lys_second" {
		t.Errorf("rotated %+v", rotated)
	}
	if p := must[client.StreamPlayback](t)(c.Streams.SignedPlayback(ctx, s.ID, time.Hour)); p.Expires == nil || p.HLS == "" {
		t.Errorf("signed %+v", p)
	}
	record := true
	if r := must[client.Stream](t)(c.Streams.Update(ctx, s.ID, client.StreamChange{Record: &record})); !r.Record {
		t.Errorf("recorded %+v", r)
	}
	if clip := must[client.Clip](t)(c.Streams.Clip(ctx, s.ID, client.NewClip{Name: "goal", Last: 30 * time.Second})); clip.Asset == "" || clip.Name != "goal" {
		t.Errorf("clip %+v", clip)
	}
	if r := must[client.StreamStatistics](t)(c.Streams.Statistics(ctx, s.ID)); r.Since == nil || r.Until != nil || r.BytesIn != 1000 || r.BytesOut != 5000 || r.Viewers != 2 ||
		r.Most != 3 || r.MostAt == nil || r.Ways.HTTP.BytesOut != 3000 || r.Ways.WebRTC != (client.StreamWay{BytesOut: 2000, Viewers: 2}) || len(r.Series) != 1 || r.Series[0].BitsOut != 4000 {
		t.Errorf("statistics %+v", r)
	}
	if err := c.Streams.Caption(ctx, s.ID, client.NewCaption{Language: "en", Text: "hello"}); err != nil {
		t.Error(err)
	}
	if id := must[string](t)(c.Streams.Mark(ctx, s.ID, client.NewMarker{Break: "out", Duration: time.Minute})); id != "splice-1-1" {
		t.Errorf("got %s", id)
	}
	if _, err := c.Streams.Clip(ctx, s.ID, client.NewClip{}); client.CodeOf(err) != client.Invalid {
		t.Errorf("a clip of nothing: %v", err)
	}
	if r := must[client.Stream](t)(c.Streams.Stop(ctx, s.ID)); !r.Stopped || r.Source != nil {
		t.Errorf("stopped %+v", r)
	}
	if r := must[client.Stream](t)(c.Streams.Start(ctx, s.ID)); r.Stopped {
		t.Errorf("started %+v", r)
	}
	fetched := must[client.Stream](t)(c.Streams.Create(ctx, client.NewStream{Name: "harbour", Source: client.NewStreamSource{URL: "rtsp://camera.example/1"}}))
	if fetched.Source == nil || fetched.Source.URL != "rtsp://camera.example/1" || fetched.Source.State != "connecting" {
		t.Errorf("fetched %+v", fetched.Source)
	}
	if r := must[client.Stream](t)(c.Streams.Stop(ctx, fetched.ID)); !r.Stopped || r.Source.State != "stopped" {
		t.Errorf("stopped %+v", r.Source)
	}
	if r := must[client.Stream](t)(c.Streams.Start(ctx, fetched.ID)); r.Source.State != "connecting" {
		t.Errorf("started %+v", r.Source)
	}
	if err := c.Streams.Delete(ctx, fetched.ID); err != nil {
		t.Error(err)
	}
	count := 0
	for one, err := range c.Streams.List(ctx, client.StreamIdle) {
		if err != nil || one.Ingest.RTMP.Key != "" {
			t.Fatalf("listed %+v, %v", one, err)
		}
		count++
	}
	if count != 1 {
		t.Errorf("%d streams are idle", count)
	}
	if err := c.Streams.Delete(ctx, s.ID); err != nil {
		t.Error(err)
	}
	if _, err := c.Streams.Get(ctx, s.ID); client.CodeOf(err) != client.NotFound {
		t.Errorf("after its deletion: %v", err)
	}
}
