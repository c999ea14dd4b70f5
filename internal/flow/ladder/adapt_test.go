package ladder

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"liuyun/internal/av/rate"
	"liuyun/internal/av/scene"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// showing is a Maker whose children show pictures: fine lines, or none.
type showing struct {
	Maker
	fine atomic.Bool
}

func (s *showing) RunLive(ctx context.Context, l ffmpeg.Live, feed func(context.Context, func(ffmpeg.LiveUnit) error) error) (ffmpeg.Usage, error) {
	return s.Maker.RunLive(ctx, l, func(ctx context.Context, write func(ffmpeg.LiveUnit) error) error {
		n := 0
		return feed(ctx, func(u ffmpeg.LiveUnit) error {
			for _, v := range l.Views {
				if n%v.Every < v.Run {
					v.Take(s.draw(v.Width, v.Height, int(u.PTS/step)))
				}
			}
			n++
			synctest.Wait() // it has been looked at
			return write(u)
		})
	})
}

func (s *showing) draw(width, height, at int) []byte {
	p := make([]byte, width*height)
	for i := range p {
		p[i] = byte(60 + 10*(at%5))
		if s.fine.Load() && i%4 < 2 {
			p[i] = 200
		}
	}
	return p
}

func (s *stage) states() (list []string) {
	for _, r := range s.ladder.Health().Rungs {
		list = append(list, string(r.State))
	}
	return list
}

// Rungs that show no more than the smallest are left out after a while and come back
// soon; the smallest has each picture all the time.
func TestRungsThatShowNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		children := &machines{}
		m := &showing{Maker: children}
		s := newStageOf(t, Options{Maker: m, Adapt: Adaption{Rungs: true, Bits: true}}, Plan{Names: []string{rate.Auto}})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(25 * 20)
		if got := s.states(); !slices.Equal(got, []string{"made", "made", "made"}) {
			t.Errorf("after 20 s: %v", got)
		}
		s.play(25 * 20)
		if got := s.states(); !slices.Equal(got, []string{"spare", "spare", "made"}) {
			t.Errorf("after 40 s without detail: %v", got)
		}
		if last := children.children[children.count()-1]; len(last.Pictures) != 1 || last.Pictures[0].Height != 360 {
			t.Errorf("made: %+v", last.Pictures)
		}
		m.fine.Store(true)
		s.play(25 * 3)
		if got := s.states(); !slices.Equal(got, []string{"made", "made", "made"}) {
			t.Errorf("3 s after there is detail: %v", got)
		}
		s.end()
		for rung, heights := range map[string][]int{"720p": {720, 360, 720}, "480p": {480, 360, 480}, "360p": {360}} {
			all, keys := s.numbers(rung)
			if want := numbers(0, s.n, 1); !slices.Equal(all, want) || !slices.Equal(keys, numbers(0, s.n, 10)) || s.streams[rung] != 1 {
				t.Errorf("%s: %d pictures in %d streams, want %d; %d key frames", rung, len(all), s.streams[rung], len(want), len(keys))
			}
			if !slices.Equal(s.heights[rung], heights) {
				t.Errorf("%s is %v high, want %v", rung, s.heights[rung], heights)
			}
		}
		if s.ladder.Health().Unseen != 0 {
			t.Error("pictures were not looked at")
		}
	})
}

// A child that follows another begins with the offsets that were decided on.
func TestOffsetsOutliveAChild(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &machines{}
		s := newStageOf(t, Options{Maker: m, Adapt: Adaption{Rungs: true, Bits: true}}, Plan{Names: []string{"480p", "360p"}})
		s.source.Begin([]hub.Track{*videoTrack()})
		s.play(25)
		l := s.ladder
		if first := m.children[0]; first.Pictures[0].Offset != rate.LiveUnmoved {
			t.Errorf("the first child begins with offset %d", first.Pictures[0].Offset)
		}
		l.mu.Lock()
		l.rungs[0].offset, l.rungs[1].offset = 4, 1
		l.mu.Unlock()
		s.ladder.poke() // another child
		s.play(25)
		s.end()
		last := m.children[len(m.children)-1]
		if len(m.children) != 2 || last.Pictures[0].Offset != 4 || last.Pictures[1].Offset != 1 || last.Steering == nil || len(last.Views) != 2 {
			t.Errorf("%d children, the last begins with %d and %d", len(m.children), last.Pictures[0].Offset, last.Pictures[1].Offset)
		}
	})
}

// What nobody looks at is left out, and holds up no child; what a child shows that has
// ended counts no more.
func TestViewsThatNobodySees(t *testing.T) {
	t.Parallel()
	l := New(Options{Adapt: Adaption{Rungs: true, Bits: true}, Log: slog.New(slog.DiscardHandler), Made: func(ingest.Rung) {}})
	l.rungs = []*rung{{Rung: rate.Rung{Width: 32, Height: 16}, ladder: l}, {Rung: rate.Rung{Width: 16, Height: 8}, ladder: l}}
	from := start{track: videoTrack()}
	views := l.adaption.views(from, l.rungs)
	for range 1000 {
		views[0].Take(make([]byte, scene.Size))
		views[1].Take(make([]byte, 32*16))
	}
	if got, want := l.adaption.dropped.Load(), int64(2000-cap(l.adaption.small)-cap(l.adaption.large)); got != want {
		t.Errorf("%d pictures are left out, want %d", got, want)
	}
	l.adaption.views(from, l.rungs)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.adaption.run(ctx) }()
	for len(l.adaption.small)+len(l.adaption.large) > 0 { // it takes them at once
		select {
		case <-done:
			t.Fatal("it has ended")
		default:
		}
	}
	cancel()
	<-done
	if l.adaption.clock != 0 || fmt.Sprint(l.adaption.losses) != "[]" {
		t.Error("pictures of a child that has ended were looked at")
	}
}
