package window

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/av/mp4"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// ladder feeds a source and a rendition that is made of it, which comes later.
type ladder struct {
	*bench
	source *source
	lag    time.Duration
	own    int64      // ticks between key frames of the rendition, at multiples; 0: those of the source
	made   []hub.Unit // of the source's pictures, not written yet
	last   int64      // picture that was made
	rung   *derived
}

const rungName = "360p"

func newLadder(t *testing.T, o Options, s *source, lag time.Duration) *ladder {
	l := &ladder{bench: newBench(t, o), source: s, lag: lag}
	l.begin(s.tracks())
	return l
}

func rungTrack() hub.Track {
	return hub.Track{Codec: hub.H264, Clock: 90000, Config: avcC(), Width: 320, Height: 180, Rate: timebase.R(25, 1)}
}

// start begins the rendition, as RunRung does.
func (l *ladder) start(track hub.Track) {
	l.t.Helper()
	l.made = nil
	l.rung = l.g.derive(rungName)
	l.rung.begin()
	if err := l.rung.period(&track); err != nil {
		l.t.Fatal(err)
	}
}

func (l *ladder) stop() {
	l.t.Helper()
	if err := l.rung.finish(); err != nil {
		l.t.Fatal(err)
	}
	l.rung = nil
	l.check()
}

// until plays so far, in seconds from the beginning.
func (l *ladder) until(seconds float64) {
	l.t.Helper()
	for end := time.Duration(seconds * float64(time.Second)); l.source.now() < end; {
		u, there := l.source.next()
		if !there {
			continue
		}
		l.write(u)
		if u.Track == 0 && l.rung != nil {
			made := u
			made.DTS, made.Data = u.PTS, numbered(u.DTS, 40)
			if l.own > 0 {
				made.Key = u.PTS/l.own > l.last/l.own
			}
			l.last = u.PTS
			l.made = append(l.made, made)
		}
		l.flow(l.source.now() - l.lag)
	}
}

// flow writes what the rendition has until then.
func (l *ladder) flow(end time.Duration) {
	l.t.Helper()
	for l.rung != nil && len(l.made) > 0 && duration(l.made[0].PTS, 90000) <= end {
		u := l.made[0]
		if l.g.behind(u.PTS, l.rung.t) != nil {
			return
		}
		l.made = l.made[1:]
		if err := l.rung.write(u, false); err != nil {
			l.t.Fatal(err)
		}
		if !l.quiet {
			l.g.work()
		}
		l.check()
	}
}

// same holds the segments of the rendition against those of the source.
func (l *ladder) same(gaps func(i int) bool) {
	l.t.Helper()
	video, rung := l.playlist("video"), l.playlist(rungName)
	if video.MediaSequence != rung.MediaSequence {
		l.t.Errorf("begins with %d, the source with %d", rung.MediaSequence, video.MediaSequence)
	}
	for i, s := range rung.Segments {
		v := video.Segments[i]
		if s.Gap != gaps(i) {
			l.t.Errorf("segment %d: gap is %v", i, s.Gap)
		}
		if s.URI != v.URI || (s.Duration-v.Duration).Abs() > 45*time.Millisecond || !s.Time.Equal(v.Time) || s.Discontinuity != v.Discontinuity {
			l.t.Errorf("segment %d: %s of %v at %v, the source has %s of %v at %v", i, s.URI, s.Duration, s.Time, v.URI, v.Duration, v.Time)
		}
	}
}

func never(int) bool { return false }

// A rendition has the segments of the source, whether it comes at once or late.
func TestRungIsCutLikeTheSource(t *testing.T) {
	t.Parallel()
	for _, lag := range []time.Duration{0, 200 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
		l := newLadder(t, Options{}, &source{rate: 25, gop: every(50), noise: true}, lag)
		l.start(rungTrack())
		l.until(41)
		l.flow(time.Hour)
		l.same(never)
		if got, want := len(l.playlist(rungName).Segments), len(l.playlist("video").Segments); got != want {
			t.Errorf("lag of %v: %d segments, the source has %d", lag, got, want)
		}
		last := len(l.playlist(rungName).Segments) - 1
		video, rung := l.playlist("video").Segments[last], l.playlist(rungName).Segments[last]
		if len(video.Parts) == 0 || len(video.Parts) != len(rung.Parts) {
			t.Errorf("lag of %v: %d parts, the source has %d", lag, len(rung.Parts), len(video.Parts))
		}
		l.finish()
	}
}

// Where the source has no key frames, segments begin where renditions have theirs, also
// when pictures are at no whole multiples of that.
func TestSegmentsByTheClock(t *testing.T) {
	t.Parallel()
	for _, zero := range []int64{0, 900, 1800, 2700} {
		first := func(n int64) bool { return n == 0 }
		l := newLadder(t, Options{}, &source{rate: 25, gop: first, noise: true, zero: zero}, 200*time.Millisecond)
		l.own, l.last = 2*90000, 2*90000 // the first key frame is at 4 s
		l.g.Plan(Plan{Rungs: []Rung{{Name: rungName, Width: 320, Height: 180, Bitrate: 100_000}}, WithoutSource: true, Every: 2 * time.Second})
		l.start(rungTrack())
		l.until(41)
		l.flow(time.Hour)
		rung, whole := l.playlist(rungName), 0
		for i, s := range rung.Segments {
			if s.Gap {
				continue
			}
			whole++
			data := l.fetch(rungName, s.URI)
			if parts := mp4.ReadFragments(bytes.NewReader(data), int64(len(data))); len(parts) == 0 || !parts[0].Key {
				t.Errorf("from %d on: segment %d begins with no key frame", zero, i)
			}
			if i < len(rung.Segments)-1 && s.Duration != 4*time.Second {
				t.Errorf("from %d on: segment %d is of %v, want 4 s", zero, i, s.Duration)
			}
		}
		if whole < 8 {
			t.Errorf("from %d on: %d whole segments", zero, whole)
		}
		l.finish()
	}
}

// A rendition that comes in the middle of a stream has gaps before it, one that goes
// has gaps after it, and it may come back.
func TestRungComesAndGoes(t *testing.T) {
	t.Parallel()
	l := newLadder(t, Options{}, &source{rate: 25, gop: every(50), noise: true}, time.Second)
	l.until(14)
	l.start(rungTrack())
	l.until(32)
	l.stop()
	l.until(43)
	l.start(rungTrack())
	l.until(60)
	l.flow(time.Hour)
	l.same(func(i int) bool {
		s := l.playlist("video").Segments[i].Time.Sub(noon())
		return s <= 14*time.Second || s > 30*time.Second && s < 43*time.Second
	})
	l.stop()
	l.finish()
	if p := l.playlist(rungName); !p.Ended {
		t.Error("it has no end")
	}
}

// A rendition that stays away while it should come holds nobody: what it misses
// becomes a gap.
func TestSilentRung(t *testing.T) {
	t.Parallel()
	l := newLadder(t, Options{}, &source{rate: 25, gop: every(50)}, time.Second)
	l.start(rungTrack())
	l.until(20)
	l.lag = time.Hour
	l.until(60)
	video, rung := l.playlist("video"), l.playlist(rungName)
	if behind := len(video.Segments) - len(rung.Segments); behind > 2 {
		t.Errorf("%d segments behind", behind)
	}
	if !rung.Segments[len(rung.Segments)-1].Gap {
		t.Error("there is something in a segment that has not come")
	}
	l.lag = time.Second
	l.made = nil
	l.until(80)
	l.flow(time.Hour)
	if s := l.playlist(rungName).Segments; s[len(s)-1].Gap {
		t.Error("it does not come back")
	}
	l.stop()
	l.finish()
}

// A picture lasts no longer than a part: what comes after a hole is decoded sooner than
// its time says, in renditions too, and has the source's time of day all the same.
func TestRungAfterAHole(t *testing.T) {
	t.Parallel()
	keys := func(n int64) bool { return n%225 == 0 || n%225 == 100 }
	hole := func(at time.Duration) bool { // of nine pictures before each key frame
		n := int64(at / (40 * time.Millisecond))
		return n%225 >= 216 || n%225 > 90 && n%225 < 100
	}
	l := newLadder(t, Options{}, &source{rate: 25, gop: keys, blind: hole}, 200*time.Millisecond)
	l.start(rungTrack())
	l.until(41)
	l.flow(time.Hour)
	l.same(never)
	l.finish()
}

// Where a rendition comes back with another configuration, all begin a new part of the
// stream.
func TestRungChanges(t *testing.T) {
	t.Parallel()
	l := newLadder(t, Options{}, &source{rate: 25, gop: every(50), noise: true}, time.Second)
	l.start(rungTrack())
	l.until(20)
	l.stop()
	other := rungTrack()
	other.Width, other.Height = 640, 360
	l.start(other)
	l.until(50)
	l.flow(time.Hour)
	for _, name := range []string{"video", "audio", rungName} {
		discontinuities := 0
		for _, s := range l.playlist(name).Segments {
			if s.Discontinuity {
				discontinuities++
			}
		}
		if discontinuities != 1 {
			t.Errorf("%s has %d discontinuities", name, discontinuities)
		}
	}
	if s := l.playlist(rungName).Segments; s[len(s)-1].Gap || s[len(s)-1].Map == s[0].Map {
		t.Error("it does not come back as it is now")
	}
	l.stop()
	l.finish()
}

// Where the stream breaks because that was asked for, a rendition goes on with another
// configuration, and has no gap.
func TestRungGoesOnAsAnother(t *testing.T) {
	t.Parallel()
	l := newLadder(t, Options{}, &source{rate: 25, gop: every(50), noise: true}, time.Second)
	l.start(rungTrack())
	l.until(20.5)
	l.g.Break()
	other := rungTrack()
	other.Width, other.Height = 640, 360
	for l.source.now() < 40*time.Second {
		l.until(l.source.now().Seconds() + 0.04)
		if len(l.made) > 0 && l.made[0].Key && l.rung.init.Width != 640 && l.g.Breaks(t.Context(), l.made[0].PTS, 90000) {
			if at := duration(l.made[0].DTS, 90000); at < 22*time.Second || at > 23*time.Second {
				t.Errorf("it breaks at %v", at)
			}
			if err := l.rung.period(&other); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.flow(time.Hour)
	l.same(never)
	list := l.playlist(rungName).Segments
	for i := 1; i < len(list); i++ {
		if s := list[i]; s.Discontinuity != (s.Map != list[i-1].Map) {
			t.Errorf("segment %d: discontinuity is %v, from %s to %s", i, s.Discontinuity, list[i-1].Map, s.Map)
		}
	}
	if list[0].Map == list[len(list)-1].Map {
		t.Error("it has not become another")
	}
	l.stop()
	l.finish()
}

// Breaks waits for the source, and not for one that stays away.
func TestBreaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		s := &source{rate: 25, gop: every(50)}
		b.begin(s.tracks())
		b.play(s, 4.5)
		b.g.Break()
		const second = 90000
		shown := func(at int64) int64 { return at*second + 3600 }
		asked := make(chan bool)
		go func() { asked <- b.g.Breaks(t.Context(), shown(6), second) }()
		synctest.Wait()
		b.play(s, 6.5)
		if !<-asked {
			t.Error("6 s: no break")
		}
		for at, want := range map[int64]bool{2: false, 4: false, 5: false, 6: true} {
			if got := b.g.Breaks(t.Context(), 2*shown(at), 2*second); got != want {
				t.Errorf("%d s: %v", at, got)
			}
		}
		began := time.Now()
		if b.g.Breaks(t.Context(), shown(8), second) || time.Since(began) != mostWait {
			t.Errorf("what has not come breaks, or was waited for %v", time.Since(began))
		}
		b.finish()
	})
}

// What is planned is in the multivariant playlist before it comes, and who asks for it
// waits.
func TestPlan(t *testing.T) {
	t.Parallel()
	l := newLadder(t, Options{}, &source{rate: 25, gop: every(50), noise: true}, time.Second)
	l.g.Plan(Plan{Rungs: []Rung{{Name: rungName, Width: 320, Height: 180, Bitrate: 400_000, Codec: "avc1.64001f"}}})
	l.until(3)
	master, err := l.g.Master()
	if err != nil {
		t.Fatal(err)
	}
	before := string(master.Text)
	if !strings.Contains(before, "360p/media.m3u8") || !strings.Contains(before, "RESOLUTION=320x180") {
		t.Errorf("what is planned is missing:\n%s", before)
	}
	keyFrames := `#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=400000,CODECS="avc1.64001f",RESOLUTION=320x180,VIDEO-RANGE=SDR,URI="360p/keys.m3u8"`
	if !strings.Contains(before, keyFrames) {
		t.Errorf("its key frames are missing:\n%s", before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.g.Playlist(ctx, rungName, Query{MSN: -1, Part: -1}); err == nil || strings.Contains(err.Error(), "no rendition") {
		t.Errorf("got %v, want to wait", err)
	}
	if _, err := l.g.Keys(ctx, rungName); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("key frames: got %v, want to wait", err)
	}
	if _, err := l.g.Keys(ctx, "240p"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("key frames of what is not planned: got %v", err)
	}
	l.start(rungTrack())
	l.until(12)
	if _, err := l.g.Playlist(ctx, rungName, Query{MSN: -1, Part: -1}); err != nil {
		t.Error(err)
	}
	answer, err := l.g.Keys(ctx, rungName)
	if err != nil {
		t.Error(err)
	} else if _, problems := hls.Check(answer.Text, nil); len(problems) > 0 {
		t.Errorf("%v\n%s", problems, answer.Text)
	}
	if master, err = l.g.Master(); err != nil || strings.Count(string(master.Text), "#EXT-X-I-FRAME-STREAM-INF") != 2 || strings.Contains(string(master.Text), keyFrames) {
		t.Errorf("key frames were not measured: %v\n%s", err, master.Text)
	}
	l.g.Plan(Plan{WithoutSource: true})
	if master, err = l.g.Master(); err != nil || strings.Contains(string(master.Text), "video/media") || !strings.Contains(string(master.Text), "360p/media") {
		t.Errorf("%v\n%s", err, master.Text)
	}
	l.stop()
	l.finish()
}

// A window with renditions that are made goes on after the process was lost.
func TestRungAfterRestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := newLadder(t, Options{Folder: folder}, &source{rate: 25, gop: every(50), noise: true}, time.Second)
	l.start(rungTrack())
	l.until(20)
	l.g.files.close()
	before := l.playlist(rungName)
	again := newLadder(t, Options{Folder: folder}, &source{rate: 25, gop: every(50), noise: true, zero: 90000 * 30}, time.Second)
	again.until(10)
	again.start(rungTrack())
	again.until(30)
	again.flow(time.Hour)
	after := again.playlist(rungName)
	if after.Segments[0].URI != before.Segments[0].URI || after.Segments[len(after.Segments)-1].Gap {
		t.Errorf("begins with %s, began with %s; %+v", after.Segments[0].URI, before.Segments[0].URI, after.Segments[len(after.Segments)-1])
	}
	again.stop()
	again.finish()
}

// RunRung and Run go on side by side (with -race), whichever begins first.
func TestRunRung(t *testing.T) {
	t.Parallel()
	for _, rungFirst := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { runBoth(t, rungFirst) })
	}
}

func runBoth(t *testing.T, rungFirst bool) {
	g, err := New(Options{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := &source{rate: 25, gop: every(25), noise: true}
	in, made := hub.New(hub.DefaultLimits()), hub.New(hub.DefaultLimits())
	in.Begin(s.tracks())
	made.Begin([]hub.Track{rungTrack()})
	var both sync.WaitGroup
	begin := []func(){
		func() {
			if err := g.Run(t.Context(), in.Read()); err != nil {
				t.Error(err)
			}
		},
		func() {
			if err := g.RunRung(t.Context(), rungName, made.Read()); err != nil {
				t.Error(err)
			}
		},
	}
	if rungFirst {
		begin[0], begin[1] = begin[1], begin[0]
	}
	for _, f := range begin {
		both.Go(f)
		synctest.Wait()
	}
	for range 600 {
		u, _ := s.next()
		in.Write(u)
		if u.Track == 0 {
			u.DTS = u.PTS
			made.Write(u)
		}
		time.Sleep(14 * time.Millisecond)
	}
	in.End(nil)
	made.End(nil)
	both.Wait()
	for _, name := range []string{"video", rungName} {
		answer, err := g.Playlist(t.Context(), name, Query{MSN: -1, Part: -1})
		if err != nil || !strings.Contains(string(answer.Text), "ENDLIST") || strings.Contains(string(answer.Text), "GAP") {
			t.Errorf("%s: %v\n%s", name, err, answer.Text)
		}
	}
	if err := g.RunRung(t.Context(), "video", made.Read()); err == nil {
		t.Error("a rendition is called as the source's")
	}
}
