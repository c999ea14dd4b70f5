package window

import (
	"strings"
	"testing"
	"time"
)

func lengths(b *bench, name string) (all []time.Duration) {
	for _, s := range b.playlist(name).Segments {
		all = append(all, s.Duration)
	}
	return all
}

// Segments end at key frames where they can, and each playlist keeps the rules.
func TestCutting(t *testing.T) {
	t.Parallel()
	jitter := func(n int64) int64 { return (n*90000/25+45)/90*90 - n*90000/25 } // to milliseconds
	tests := map[string]struct {
		source    source
		seconds   float64
		first     time.Duration // of the first segment
		second    time.Duration
		dependent bool
	}{
		"a key frame a second":    {source{rate: 25, gop: every(25), noise: true}, 30, time.Second, 4 * time.Second, false},
		"every two":               {source{rate: 25, gop: every(50), noise: true}, 30, 2 * time.Second, 4 * time.Second, false},
		"in milliseconds":         {source{rate: 30, gop: every(60), noise: true, jitter: jitter}, 30, 2 * time.Second, 4 * time.Second, false},
		"3.5, the next too late":  {source{rate: 24, gop: every(84), noise: true}, 30, 3500 * time.Millisecond, 3500 * time.Millisecond, false},
		"as long as may be":       {source{rate: 25, gop: every(150), noise: true}, 30, 6 * time.Second, 6 * time.Second, false},
		"too long":                {source{rate: 25, gop: every(250), noise: true}, 60, 6 * time.Second, 4 * time.Second, true},
		"endless":                 {source{rate: 30, gop: every(1e9), noise: true}, 60, 6 * time.Second, 6 * time.Second, true},
		"pictures alone":          {source{rate: 50, gop: every(100)}, 30, 2 * time.Second, 4 * time.Second, false},
		"few pictures":            {source{rate: 5, gop: every(10), noise: true}, 30, 2 * time.Second, 4 * time.Second, false},
		"one picture a second":    {source{rate: 1, gop: every(2), noise: true}, 30, 2 * time.Second, 4 * time.Second, false},
		"key frames alone":        {source{rate: 25, gop: every(1), noise: true}, 30, time.Second, 4 * time.Second, false},
		"a key frame as it comes": {source{rate: 25, gop: func(n int64) bool { return n == 0 || n%61 == 0 || n%97 == 3 }, noise: true}, 60, 0, 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{})
			b.begin(test.source.tracks())
			b.play(&test.source, test.seconds)
			near := func(got, want time.Duration) bool { return want == 0 || (got-want).Abs() <= 300*time.Millisecond }
			got := lengths(b, "video")
			if !near(got[0], test.first) || !near(got[1], test.second) {
				t.Errorf("got segments of %v, want %v and %v", got, test.first, test.second)
			}
			if h := b.g.Health(); h.Dependent > 0 != test.dependent || h.Gaps > 0 || h.Dropped > 0 {
				t.Errorf("got %+v", h)
			}
			b.finish()
			master, err := b.g.Master()
			if err != nil || strings.Contains(string(master.Text), "INDEPENDENT-SEGMENTS") == test.dependent {
				t.Errorf("%v\n%s", err, master.Text)
			}
			if test.source.noise {
				compare(t, b)
			}
		})
	}
}

// compare says whether both renditions are cut at the same moments.
func compare(t *testing.T, b *bench) {
	t.Helper()
	v, a := b.playlist("video").Segments, b.playlist("audio").Segments
	if len(v) != len(a) {
		t.Fatalf("%d segments of pictures, %d of sound", len(v), len(a))
	}
	for i := range v {
		if off := v[i].Time.Sub(a[i].Time).Abs(); off > 22*time.Millisecond && i > 0 {
			t.Errorf("segment %d: sound begins %v from the pictures", i, off)
		}
	}
}

// Sound alone is cut by time.
func TestSoundAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := source{noise: true}
	b.begin(s.tracks())
	b.play(&s, 40)
	for i, d := range lengths(b, "audio") {
		if want := 4 * time.Second; i > 0 && (d-want).Abs() > 300*time.Millisecond {
			t.Errorf("segment %d lasts %v", i, d)
		}
	}
	b.finish()
}

// Where segments are alike, the last part of each is about as long as the others,
// though whole frames of half a second would leave four over.
func TestEvenParts(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := &source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	b.play(s, 19)
	for _, name := range []string{"video", "audio"} {
		p := b.playlist(name)
		segment := p.Segments[len(p.Segments)-1]
		for i, part := range segment.Parts {
			if part.Duration < p.PartTarget*80/100 {
				t.Errorf("%s: part %d of %d lasts %v, others up to %v", name, i, len(segment.Parts), part.Duration, p.PartTarget)
			}
		}
		if len(segment.Parts) < 8 {
			t.Errorf("%s: %d parts in %v", name, len(segment.Parts), segment.Duration)
		}
	}
	b.finish()
}
