package ladder

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/av/rate"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// machines is a Maker whose children take pictures apart and put them together in no
// time, or as slowly as it says.
type machines struct {
	mu       sync.Mutex
	children []ffmpeg.Live
	die      func(child int, made int) error    // asked after each picture
	cost     func(renditions int) time.Duration // that a picture takes
}

// errKilled is what a child ends by that is killed.
var errKilled = errors.New("killed")

func (m *machines) RunLive(ctx context.Context, l ffmpeg.Live, feed func(context.Context, func(ffmpeg.LiveUnit) error) error) (ffmpeg.Usage, error) {
	m.mu.Lock()
	number := len(m.children)
	m.children = append(m.children, l)
	m.mu.Unlock()
	for _, p := range l.Pictures {
		_ = p.Output.Begin([]byte{byte(p.Height)})
	}
	made, forced := 0, int64(-1)
	begun := make([]bool, len(l.Pictures))
	err := feed(ctx, func(u ffmpeg.LiveUnit) error {
		if m.cost != nil {
			select {
			case <-time.After(m.cost(len(l.Pictures))):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		key := u.Key
		if period := int64(l.Keys.Seconds() * 90000); period > 0 {
			key = u.PTS/period > forced
			forced = u.PTS / period
		}
		for i, p := range l.Pictures {
			if u.PTS > p.After {
				_ = p.Output.Take(ffmpeg.LiveUnit{PTS: u.PTS, Key: key || !begun[i], Data: u.Data})
				begun[i] = true
			}
		}
		made++
		if m.die != nil {
			return m.die(number, made)
		}
		return nil
	})
	return ffmpeg.Usage{}, err
}

func (m *machines) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.children)
}

// stage is a ladder that works, and what it makes.
type stage struct {
	t      *testing.T
	source *hub.Stream
	ladder *Ladder
	end    func()

	mu      sync.Mutex
	planned []string
	units   map[string][]hub.Unit
	streams map[string]int   // of a rung, one after the other
	heights map[string][]int // of the periods of those
	n       int64
	reading sync.WaitGroup
}

func newStage(t *testing.T, m Maker, p Plan) *stage { return newStageOf(t, Options{Maker: m}, p) }

func newStageOf(t *testing.T, o Options, p Plan) *stage {
	s := &stage{t: t, source: hub.New(hub.DefaultLimits()), units: make(map[string][]hub.Unit), streams: make(map[string]int), heights: make(map[string][]int)}
	o.Source, o.Log, o.Made = s.source, slog.New(slog.DiscardHandler), s.made
	o.Planned = func(rungs []rate.Rung, pace timebase.Rational) {
		if pace != timebase.R(25, 1) {
			t.Errorf("%v pictures a second, want 25", pace)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.planned = nil
		for _, r := range rungs {
			s.planned = append(s.planned, r.Name)
		}
	}
	s.ladder = New(o)
	s.ladder.Set(p)
	var running sync.WaitGroup
	running.Go(func() { s.ladder.Run(t.Context()) })
	s.end = func() {
		s.source.End(nil)
		running.Wait()
		s.reading.Wait()
	}
	return s
}

func (s *stage) made(r ingest.Rung) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[r.Name]++
	reader := r.Stream.Read()
	s.reading.Go(func() {
		first := true
		for {
			item, err := reader.Next(context.Background())
			if err != nil {
				return
			}
			if item.Tracks != nil {
				first = true
				s.mu.Lock()
				s.heights[r.Name] = append(s.heights[r.Name], item.Tracks[0].Height)
				s.mu.Unlock()
				continue
			}
			if first && !item.Unit.Key {
				s.t.Errorf("%s begins with no key frame", r.Name)
			}
			first = false
			s.mu.Lock()
			s.units[r.Name] = append(s.units[r.Name], item.Unit)
			s.mu.Unlock()
		}
	})
}

// play sends pictures as they come, 25 a second.
func (s *stage) play(pictures int) {
	for range pictures {
		u := picture(s.n)
		u.Wall = time.Now()
		s.source.Write(u)
		s.n++
		time.Sleep(40 * time.Millisecond)
	}
}

// numbers are the pictures of a rung, and which of them are key frames.
func (s *stage) numbers(rung string) (all, keys []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.units[rung] {
		n := (u.PTS - step) / step
		all = append(all, n)
		if u.Key {
			keys = append(keys, n)
		}
		if u.DTS != u.PTS || int64(u.Data[0]) != n%256 || u.Wall.IsZero() {
			s.t.Errorf("%s: picture %d is %+v", rung, n, u)
		}
	}
	return all, keys
}

func numbers(from, to, by int64) (list []int64) {
	for n := from; n < to; n += by {
		list = append(list, n)
	}
	return list
}

// Each rung has all pictures, and the key frames of the source.
func TestLadder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, &machines{}, Plan{Names: []string{rate.Auto}})
		s.source.Begin([]hub.Track{*videoTrack(), {Codec: hub.AAC, Clock: 48000}})
		s.play(95)
		if got := s.ladder.Rungs(); len(got) != 3 || got[0].Name != "720p" || got[0].Height != 720 || got[0].Bitrate < 1e6 {
			t.Errorf("rungs: %+v", got)
		}
		s.end()
		if got := strings.Join(s.planned, " "); got != "720p 480p 360p" {
			t.Errorf("planned %q", got)
		}
		for _, rung := range s.planned {
			all, keys := s.numbers(rung)
			if !slices.Equal(all, numbers(0, 95, 1)) || !slices.Equal(keys, numbers(0, 95, 10)) {
				t.Errorf("%s: pictures %v, key frames %v", rung, all, keys)
			}
		}
		if len(s.ladder.Rungs()) != 0 {
			t.Error("rungs are made after the end")
		}
	})
}

// A child that dies is followed by one that goes on with the next picture: viewers
// see no gap, and key frames stay where the source has them.
func TestChildThatDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &machines{die: func(child, made int) error {
			if child < 3 && made == 27+child {
				return errKilled
			}
			return nil
		}}
		s := newStage(t, m, Plan{Names: []string{"480p"}})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(200)
		s.end()
		all, keys := s.numbers("480p")
		if !slices.Equal(all, numbers(0, 200, 1)) || !slices.Equal(keys, numbers(0, 200, 10)) {
			t.Errorf("pictures %v, key frames %v", all, keys)
		}
		if m.count() != 4 || s.streams["480p"] != 1 {
			t.Errorf("%d children, %d streams, want 4, 1", m.count(), s.streams["480p"])
		}
	})
}

// A child that dies again and again is not started without rest, and it is said why
// nothing is made.
func TestChildThatAlwaysDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &machines{die: func(int, int) error { return errKilled }}
		s := newStage(t, m, Plan{Names: []string{"480p"}})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(25 * 60)
		if got := m.count(); got < 5 || got > 15 {
			t.Errorf("%d children in a minute", got)
		}
		if says := s.ladder.Health().Says; !strings.Contains(says, "killed") {
			t.Errorf("health says %q", says)
		}
		s.end()
	})
}

// A child that takes pictures and makes none is ended, and another one goes on.
func TestChildThatStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &machines{die: func(child, made int) error { return nil }}
		s := newStage(t, &stuck{Maker: m}, Plan{Names: []string{"360p"}, Whole: true})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(25 * 60)
		s.end()
		all, _ := s.numbers("360p")
		if len(all) == 0 || all[len(all)-1] != s.n-1 || m.count() == 0 {
			t.Errorf("%d pictures, by %d children that work", len(all), m.count())
		}
	})
}

// stuck is a Maker whose first child takes all that it is given, and makes nothing.
type stuck struct {
	Maker
	used bool
}

func (s *stuck) RunLive(ctx context.Context, l ffmpeg.Live, feed func(context.Context, func(ffmpeg.LiveUnit) error) error) (ffmpeg.Usage, error) {
	if s.used {
		return s.Maker.RunLive(ctx, l, feed)
	}
	s.used = true
	return ffmpeg.Usage{}, feed(ctx, func(ffmpeg.LiveUnit) error { return nil })
}

// Where the source's key frames are of no use there are others, equal on all rungs,
// whenever a child begins.
func TestOwnKeyFrames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &machines{die: func(child, made int) error {
			if child == 0 && made == 60 {
				return errKilled
			}
			return nil
		}}
		s := newStage(t, m, Plan{Names: []string{"360p"}, Whole: true, Every: time.Second})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(140)
		s.end()
		for _, rung := range []string{"1080p", "360p"} {
			all, keys := s.numbers(rung)
			// Times begin with one step: pictures 24, 49 … are at whole seconds.
			if !slices.Equal(all, numbers(24, 140, 1)) || !slices.Equal(keys, numbers(24, 140, 25)) {
				t.Errorf("%s: pictures %v, key frames %v", rung, all, keys)
			}
		}
	})
}

// behind is a Maker whose children hold back so many pictures until others have come,
// as ffmpeg does.
type behind struct {
	Maker
	pictures int
}

func (b behind) RunLive(ctx context.Context, l ffmpeg.Live, feed func(context.Context, func(ffmpeg.LiveUnit) error) error) (ffmpeg.Usage, error) {
	return b.Maker.RunLive(ctx, l, func(ctx context.Context, write func(ffmpeg.LiveUnit) error) error {
		var held []ffmpeg.LiveUnit
		err := feed(ctx, func(u ffmpeg.LiveUnit) error {
			held = append(held, u)
			if len(held) <= b.pictures {
				return nil
			}
			u, held = held[0], held[1:]
			return write(u)
		})
		for _, u := range held {
			if err == nil {
				err = write(u)
			}
		}
		return err
	})
}

// While the source repeats a key frame, rungs repeat one of theirs, each when the source
// does, however many pictures children hold back, and then go on with a key frame. Where
// key frames are not the source's, children make all of it.
func TestStill(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		plan  Plan
		least int // pictures of five that are there when they come
	}{
		"the source's keys": {Plan{Names: []string{"480p", "360p"}}, 5},
		"own keys":          {Plan{Names: []string{"480p", "360p"}, Whole: true, Every: time.Second}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, behind{&machines{}, 4}, test.plan)
				s.source.Begin([]hub.Track{*videoTrack()})
				s.play(38) // the child has 34 of them
				there := 0
				for range 5 {
					time.Sleep(200 * time.Millisecond)
					s.n += 5
					u := picture(s.n)
					u.Key, u.Still, u.Data, u.Wall = true, true, []byte{30}, time.Now()
					s.source.Write(u)
					synctest.Wait()
					s.mu.Lock()
					if last := s.units["480p"][len(s.units["480p"])-1]; last.PTS == u.PTS && last.Key && last.Still && last.Data[0] == 30 {
						there++
					}
					s.mu.Unlock()
				}
				s.n = 70 // the encoder is back
				s.play(30)
				s.end()
				if there < test.least {
					t.Errorf("%d of five stills are there when the source has them", there)
				}
				for _, rung := range []string{"480p", "360p"} {
					units := s.units[rung]
					for i := 1; i < len(units); i++ {
						if units[i].PTS <= units[i-1].PTS || test.least > 0 && units[i-1].Still && !units[i].Key {
							t.Errorf("%s: %+v follows %+v", rung, units[i], units[i-1])
						}
					}
					if n := len(units); units[n-1].PTS != picture(99).PTS || units[n-30].Data[0] != 70 {
						t.Errorf("%s ends with %+v", rung, units[n-1])
					}
				}
			})
		})
	}
}

// Another period goes on in the same rungs, whatever its size.
func TestPeriods(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &machines{}
		s := newStage(t, m, Plan{Names: []string{"720p", "360p"}})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(50)
		small := *videoTrack()
		small.Width, small.Height = 640, 480
		s.source.Begin([]hub.Track{{Codec: hub.AAC, Clock: 48000}, small})
		for range 30 {
			u := picture(s.n)
			u.Track, u.Wall = 1, time.Now()
			s.source.Write(u)
			s.n++
			time.Sleep(40 * time.Millisecond)
		}
		s.end()
		for _, rung := range []string{"720p", "360p"} {
			all, _ := s.numbers(rung)
			if !slices.Equal(all, numbers(0, 80, 1)) || s.streams[rung] != 1 {
				t.Errorf("%s: pictures %v in %d streams", rung, all, s.streams[rung])
			}
		}
		if m.count() != 2 || m.children[0].Pictures[0].Fit || !m.children[1].Pictures[0].Fit {
			t.Errorf("%d children, want one a period, and bars beside what has another shape", m.count())
		}
	})
}

// What is asked for can change while it goes on.
func TestSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, &machines{}, Plan{})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(55)
		if len(s.ladder.Rungs()) != 0 {
			t.Error("rungs are made that nobody asked for")
		}
		s.ladder.Set(Plan{Names: []string{"480p"}})
		s.play(50)
		s.ladder.Set(Plan{Names: []string{"480p", "360p"}})
		s.play(50)
		s.ladder.Set(Plan{Names: []string{"360p"}})
		s.play(50)
		s.end()
		large, _ := s.numbers("480p")
		if first := large[0]; first > 50 || first%10 != 0 || large[len(large)-1] < 150 || !slices.Equal(large, numbers(first, large[len(large)-1]+1, 1)) {
			t.Errorf("480p: pictures %v", large)
		}
		less, _ := s.numbers("360p")
		if first := less[0]; first > 110 || first%10 != 0 || !slices.Equal(less, numbers(first, 205, 1)) {
			t.Errorf("360p: pictures %v", less)
		}
	})
}

// A machine that is too slow sheds the largest rung first, says so, and tries again.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		slow.Store(true)
		m := &machines{cost: func(renditions int) time.Duration {
			if slow.Load() {
				return time.Duration(renditions) * 19 * time.Millisecond // of 40
			}
			return time.Millisecond
		}}
		s := newStage(t, m, Plan{Names: []string{rate.Auto}})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(25 * 40)
		h := s.ladder.Health()
		if s := h.Rungs[0]; s.Name != "720p" || s.State != Shed || s.Width != 1280 || s.Height != 720 || h.Rungs[1].State != Made || h.Rungs[2].State != Made {
			t.Errorf("health: %+v", h)
		}
		if last := m.children[m.count()-1]; len(last.Pictures) != 2 || last.Pictures[0].Height != 480 {
			t.Errorf("made: %+v", last.Pictures)
		}
		slow.Store(false)
		s.play(25 * 120)
		if h := s.ladder.Health(); h.Rungs[0].State != Made || len(s.ladder.Rungs()) != 3 {
			t.Errorf("health after the load: %+v", h)
		}
		s.end()
		for _, rung := range []string{"480p", "360p"} {
			if all, _ := s.numbers(rung); !slices.Equal(all, numbers(0, s.n, 1)) || s.streams[rung] != 1 {
				t.Errorf("%s has gaps: %d pictures of %d in %d streams", rung, len(all), s.n, s.streams[rung])
			}
		}
		// 720p has the pictures of 480p meanwhile, from a key frame on.
		all, _ := s.numbers("720p")
		if missing := s.n - int64(len(all)); s.streams["720p"] != 1 || missing >= 10 || !slices.Equal(s.heights["720p"], []int{720, 480, 720}) {
			t.Errorf("720p: %d streams, %v high, %d pictures are missing", s.streams["720p"], s.heights["720p"], missing)
		}
	})
}

// What is dropped because nothing can keep up is counted, and begins a new stream.
func TestMuchTooSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &machines{cost: func(int) time.Duration { return 100 * time.Millisecond }}
		s := newStage(t, m, Plan{Names: []string{"360p"}, Whole: true})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(25 * 300)
		if h := s.ladder.Health(); h.Lost == 0 || h.Rungs[0].State != Shed || h.Rungs[1].State != Made {
			t.Errorf("health: %+v", h)
		}
		s.end()
		if s.streams["360p"] < 2 {
			t.Errorf("360p came in %d streams, though pictures are missing", s.streams["360p"])
		}
	})
}
