package window

import (
	"bytes"
	"strings"
	"testing"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
)

// The playlist of key frames keeps to the rules, and each range of it is a whole key
// frame with what comes before it.
func TestKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	if _, err := b.g.Keys(t.Context(), "video"); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	s := &source{rate: 25, gop: func(n int64) bool { return n%50 == 0 && n != 300 }, noise: true}
	b.begin(s.tracks())
	var before *hls.Checked
	for n := 1; n <= 60; n++ {
		b.play(s, float64(n))
		if n < 3 {
			continue
		}
		answer, err := b.g.Keys(t.Context(), "video")
		if err != nil {
			t.Fatal(err)
		}
		checked, problems := hls.Check(answer.Text, before)
		if len(problems) > 0 {
			t.Fatalf("%v\n%s", problems, answer.Text)
		}
		before = checked
	}
	p := before.Playlist
	if !p.KeysOnly || len(p.Segments) != len(b.playlist("video").Segments) {
		t.Fatalf("%d key frames of %d segments", len(p.Segments), len(b.playlist("video").Segments))
	}
	for _, s := range p.Segments {
		if s.Gap {
			t.Errorf("%s has no key frame", s.URI)
			continue
		}
		data := b.fetch("video", s.URI)[:s.Range.Length]
		// The data of a picture is its number, and 92 bytes of nothing.
		if mdat := bytes.Index(data, []byte("mdat")); len(data)-mdat-4 != 100 {
			t.Errorf("%s: %d bytes behind the header", s.URI, len(data)-mdat-4)
		}
	}
	if _, err := b.g.Keys(t.Context(), "audio"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("got %v", err)
	}
	master, err := b.g.Master()
	if err != nil || !strings.Contains(string(master.Text), `#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=`) || !strings.Contains(string(master.Text), `URI="video/keys.m3u8"`) {
		t.Errorf("%v\n%s", err, master.Text)
	}
	b.finish()
}

// A segment that begins without a key frame is a gap among key frames.
func TestKeysOfLongGroups(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := &source{rate: 25, gop: every(500)}
	b.begin(s.tracks())
	b.play(s, 40)
	answer, err := b.g.Keys(t.Context(), "video")
	if err != nil {
		t.Fatal(err)
	}
	checked, problems := hls.Check(answer.Text, nil)
	gaps := 0
	for _, s := range checked.Playlist.Segments {
		if s.Gap {
			gaps++
		}
	}
	if len(problems) > 0 || gaps == 0 || gaps == len(checked.Playlist.Segments) {
		t.Errorf("%d gaps, %v\n%s", gaps, problems, answer.Text)
	}
	b.finish()
}
