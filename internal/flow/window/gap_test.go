package window

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/flow/hub"
)

// What is missing in a stream is bridged or told, and the rules are kept.
func TestMissing(t *testing.T) {
	t.Parallel()
	between := func(from, to time.Duration) func(time.Duration) bool {
		return func(at time.Duration) bool { return at >= from && at < to }
	}
	const s = time.Second
	tests := map[string]struct {
		silent, blind func(time.Duration) bool
		gaps          int64
	}{
		"a picture":             {blind: between(5*s, 5*s+s/25)},
		"half a second":         {blind: between(5*s, 5*s+s/2)},
		"two seconds":           {blind: between(5*s+s/3, 7*s+s/3)},
		"too many pictures":     {blind: between(5*s, 15*s), gaps: 1},
		"sound for a moment":    {silent: between(5*s, 5*s+s/4)},
		"sound for a while":     {silent: between(5*s, 9*s)},
		"sound for segments":    {silent: between(5*s, 20*s)},
		"sound at the start":    {silent: between(0, 9*s)},
		"sound to the end":      {silent: between(15*s, 100*s)},
		"sound altogether":      {silent: between(0, 100*s)},
		"both":                  {silent: between(5*s, 15*s), blind: between(5*s, 15*s), gaps: 1},
		"pictures at the start": {blind: between(0, 3*s)},
		"sound, again and again": {silent: func(at time.Duration) bool {
			return at/(700*time.Millisecond)%2 == 1
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{})
			source := source{rate: 25, gop: every(50), noise: true, silent: test.silent, blind: test.blind}
			b.begin(source.tracks())
			b.play(&source, 40)
			b.finish()
			if got := b.g.Health().Gaps; got != test.gaps {
				t.Errorf("got %d gaps, want %d", got, test.gaps)
			}
			video, audio := b.playlist("video"), b.playlist("audio")
			if v, a := len(video.Segments), len(audio.Segments); v != a {
				t.Errorf("%d segments of pictures, %d of sound", v, a)
			}
			for i, segment := range video.Segments {
				if segment.Gap {
					t.Errorf("segment %d of pictures is a gap", i)
				}
				if audio.Segments[i].Discontinuity != segment.Discontinuity {
					t.Errorf("segment %d: a discontinuity of one alone", i)
				}
			}
			wholeFiles(t, b)
		})
	}
}

// wholeFiles says whether the parts of each segment, end to end, are the segment.
func wholeFiles(t *testing.T, b *bench) {
	t.Helper()
	for _, r := range b.g.all() {
		for _, s := range r.listed(b.g.first) {
			if s.gap || s.parts == nil {
				continue
			}
			var joined []byte
			for i, p := range s.parts {
				if !p.gap {
					joined = append(joined, b.fetch(r.name, partName(s.number, i))...)
				}
			}
			if whole := b.fetch(r.name, fmt.Sprintf("%d.m4s", s.number)); !bytes.Equal(whole, joined) {
				t.Errorf("%s/%d: the parts are not the segment", r.name, s.number)
			}
		}
	}
}

// Other tracks are a discontinuity with another init section, in all renditions at
// once; the same tracks again are none.
func TestPeriods(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	b.play(&s, 10)
	b.begin(s.tracks())
	b.play(&s, 20)
	if n := discontinuities(b, "video"); n != 0 {
		t.Errorf("the same tracks again: %d discontinuities", n)
	}
	larger := s.tracks()
	larger[0].Width, larger[0].Height = 1280, 720
	b.begin(larger)
	b.play(&s, 30)
	alone := s.tracks()[:1]
	b.begin(alone)
	b.play(&s, 50) // its sound is of no track now
	b.begin(s.tracks())
	b.play(&s, 60)
	b.finish()
	for _, name := range []string{"video", "audio"} {
		if n := discontinuities(b, name); n != 3 {
			t.Errorf("%s: %d discontinuities, want 3", name, n)
		}
	}
	compare(t, b)
	gaps := 0
	for _, segment := range b.playlist("audio").Segments {
		if segment.Gap {
			gaps++
		}
	}
	if gaps < 4 {
		t.Errorf("%d gaps for 20 s without sound", gaps)
	}
}

func discontinuities(b *bench, name string) (n int) {
	for _, s := range b.playlist(name).Segments {
		if s.Discontinuity {
			n++
		}
	}
	return n
}

// What nobody sent has segments of its own, and so has the sound of that time: a
// recording leaves them out, and ends where the encoder did.
func TestStill(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	const from, to = 5320 * time.Millisecond, 16 * time.Second
	for s.now() < 24*time.Second {
		picture := s.pictures
		u, _ := s.next()
		if at := time.Duration(picture) * time.Second / 25; u.Track == 0 && at >= from && at < to {
			u.Key, u.Still = true, true
		}
		b.write(u)
	}
	b.finish()
	var still time.Duration
	for _, segment := range b.g.named("video").segments {
		at, end := duration(segment.start, segment.clock), duration(segment.start, segment.clock)+segment.duration
		if want := at >= from && at < to; segment.still != want || at < from && end > from || at < to && end > to {
			t.Errorf("segment from %v to %v: still %v", at, end, segment.still)
		}
		if segment.still {
			still += segment.duration
		}
		sound := b.g.named("audio").find(segment.number)
		if off := duration(sound.start, sound.clock) + sound.duration - end; off.Abs() > time.Second/25 {
			t.Errorf("segment to %v: its sound ends %v off", end, off)
		}
	}
	if still != to-from {
		t.Errorf("%v are still, want %v", still, to-from)
	}
}

// Sound that comes later than the stream has its own beginning, and the same numbers.
func TestSoundThatComesLater(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks()[:1])
	b.play(&s, 10)
	b.begin(s.tracks())
	b.play(&s, 30)
	b.finish()
	v, a := b.playlist("video"), b.playlist("audio")
	if v.MediaSequence >= a.MediaSequence || v.MediaSequence+int64(len(v.Segments)) != a.MediaSequence+int64(len(a.Segments)) {
		t.Errorf("pictures from %d, sound from %d", v.MediaSequence, a.MediaSequence)
	}
}

// Times of day follow the encoder's, without its jitter; after an outage they are
// right at once.
func TestTimesOfDay(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	b.play(&s, 20)
	late := 0
	for range 25 * 20 { // each third unit comes late
		u, _ := s.next()
		if late++; late%3 == 0 {
			u.Wall = u.Wall.Add(700 * time.Millisecond)
		}
		b.write(u)
	}
	s.late = time.Minute
	b.play(&s, 60)
	b.finish()
	var out time.Duration
	for i, segment := range b.playlist("video").Segments {
		var at time.Duration
		for _, before := range b.playlist("video").Segments[:i] {
			at += before.Duration
		}
		off := segment.Time.Sub(noon().Add(at))
		if off < out-20*time.Millisecond || off > out+20*time.Millisecond && off < 59*time.Second {
			t.Errorf("segment %d: %v off, was %v", i, off, out)
		}
		out = off.Round(time.Minute)
	}
	if out != time.Minute {
		t.Errorf("at the end %v off, want a minute", out)
	}
}

// Run goes on where it ended, if the time does, and behind a discontinuity if not.
func TestRunAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, err := New(Options{Folder: t.TempDir(), First: 7})
		if err != nil {
			t.Fatal(err)
		}
		defer g.files.close()
		s := source{rate: 25, gop: every(50), noise: true}
		for i, want := range []int64{0, 0, 1} {
			if i == 2 {
				s.zero = 90000 * 1000
			}
			stream := hub.New(hub.DefaultLimits())
			stream.Begin(s.tracks())
			ran := make(chan error)
			go func() { ran <- g.Run(t.Context(), stream.Read()) }()
			for end := s.now() + 8*time.Second; s.now() < end || s.pictures%50 != 0; {
				u, _ := s.next()
				stream.Write(u)
				synctest.Wait()
			}
			stream.End(nil)
			if err := <-ran; err != nil {
				t.Fatal(err)
			}
			if g.cut.line != want {
				t.Errorf("after run %d: %d discontinuities, want %d", i, g.cut.line, want)
			}
		}
	})
}
