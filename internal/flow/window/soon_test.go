package window

import (
	"strings"
	"testing"
	"time"
)

// A stream can be watched a second after its first key frame, though the next is far.
// What follows begins without one and lasts until there is one, as all do then.
func TestSoon(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Soon: time.Second})
	s := &source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	b.play(s, 1.1)
	if got := len(b.playlist("video").Segments); got != 1 {
		t.Errorf("%d segments after a little more than a second", got)
	}
	master, err := b.g.Master()
	if err != nil || !strings.Contains(string(master.Text), "video/media.m3u8") {
		t.Errorf("the stream cannot be watched: %v, %s", err, master.Text)
	}
	b.play(s, 20)
	var got []time.Duration
	for _, segment := range b.playlist("video").Segments {
		got = append(got, segment.Duration.Round(time.Millisecond))
	}
	if len(got) < 4 || got[0] != time.Second || got[1] != time.Second || got[2] != 4*time.Second || got[3] != 4*time.Second {
		t.Errorf("segments last %v", got)
	}
	if n := b.g.Health().Dependent; n != 0 {
		t.Errorf("health counts %d segments without a key frame", n)
	}
	b.finish()
}
