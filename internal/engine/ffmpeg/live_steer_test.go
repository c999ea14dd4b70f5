package ffmpeg

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
)

// gated is an output that counts, and lets others wait for it.
type gated struct {
	mu    sync.Mutex
	more  *sync.Cond
	times []int64
	keys  []int64
	sizes []int
}

func newGated() *gated {
	g := &gated{}
	g.more = sync.NewCond(&g.mu)
	return g
}

func (g *gated) Begin([]byte) error { return nil }

func (g *gated) Take(u LiveUnit) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.times, g.sizes = append(g.times, u.PTS), append(g.sizes, len(u.Data))
	if u.Key {
		g.keys = append(g.keys, u.PTS)
	}
	g.more.Broadcast()
	return nil
}

// await waits until so many pictures are out, or the context has ended.
func (g *gated) await(ctx context.Context, count int) {
	stop := context.AfterFunc(ctx, g.more.Broadcast)
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.times) < count && ctx.Err() == nil {
		g.more.Wait()
	}
}

// recent is the mean size of the last pictures.
func (g *gated) recent(count int) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	sum := 0
	for _, size := range g.sizes[max(0, len(g.sizes)-count):] {
		sum += size
	}
	return float64(sum) / float64(count)
}

// noisy is a clip whose bits follow the quantiser.
func noisy() testkit.Clip {
	return testkit.Clip{Name: "noisy.mp4", Args: []string{
		"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2,noise=alls=10:allf=t",
		"-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-g", "50", "-pix_fmt", "yuv420p", "-video_track_timescale", "90000", "-threads", "1",
	}}
}

// pressed makes rounds of a clip, as fast as a child takes them, until done says so
// after one of them, or there were most.
func pressed(units []LiveUnit, out *gated, most int, done func(round int) bool) (fed *[]LiveUnit, feed func(context.Context, func(LiveUnit) error) error) {
	fed = &[]LiveUnit{}
	length := units[len(units)-1].PTS + units[1].PTS - units[0].PTS
	const behind = 12 // pictures that a child may have taken and not made
	return fed, func(ctx context.Context, write func(LiveUnit) error) error {
		for round := range most {
			for _, u := range units {
				u.PTS += int64(round) * length
				*fed = append(*fed, u)
				if err := write(u); err != nil {
					return err
				}
				out.await(ctx, len(*fed)-behind)
			}
			if done(round) {
				return nil
			}
		}
		return errors.New("nothing has changed")
	}
}

// The bits of a rendition follow what it is told while it is made; no picture is lost,
// and those of others stay as they are.
func TestLiveSteering(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	src, units := liveClip(t, noisy())
	src.Rate = timebase.R(25, 1)
	out, other := newGated(), newGated()
	var steering LiveSteering
	if err := steering.Offset(0, 1); !errors.Is(err, ErrNotSteered) {
		t.Errorf("without a child: got %v", err)
	}
	begin, steps := 0.0, []int{1, 0}
	fed, feed := pressed(units, out, 200, func(round int) bool {
		now := out.recent(len(units))
		switch {
		case round == 0:
			return false // the first second has other predictions
		case begin == 0:
			begin = now
		case len(steps) == 1 && now < begin/2: // coarser has come
		case len(steps) == 0 && now > begin*0.9:
			return true
		default:
			return false
		}
		if err := steering.Offset(0, steps[0]); err != nil {
			t.Error(err)
		}
		steps = steps[1:]
		return false
	})
	usage, err := tools.RunLive(t.Context(), Live{Source: src, Limits: liveLimits, Steering: &steering, Pictures: []LivePictures{
		{Width: 320, Height: 180, Rate: 20_000_000, After: Beginning, Offsets: []float64{0, 12}, Output: out},
		{Width: 160, Height: 90, Rate: 20_000_000, After: Beginning, Offsets: []float64{0, 12}, Offset: 1, Output: other},
	}}, feed)
	if err != nil {
		t.Fatal(err, usage.Messages)
	}
	if usage.Warnings+usage.Errors > 0 {
		t.Errorf("the child says %q", usage.Messages)
	}
	want, keys := shown(*fed, 0)
	for i, o := range []*gated{out, other} {
		if !slices.Equal(o.times, want) || !slices.Equal(o.keys, keys) {
			t.Errorf("rendition %d: %d pictures, key frames at %v; want %d, %v", i, len(o.times), o.keys, len(want), keys)
		}
	}
	round := len(units)
	first, last := mean(other.sizes[round:2*round]), mean(other.sizes[len(other.sizes)-round:])
	if last < 0.9*first || last > 1.1*first {
		t.Errorf("the other rendition has gone from %.0f to %.0f bytes a picture", first, last)
	}
	if err := steering.Offset(0, 1); !errors.Is(err, ErrNotSteered) {
		t.Errorf("after the child: got %v", err)
	}
}

func mean(sizes []int) float64 {
	sum := 0
	for _, size := range sizes {
		sum += size
	}
	return float64(sum) / float64(len(sizes))
}

// A child that does not read its orders holds up nobody: they are refused when the pipe
// is full.
func TestOrdersNobodyReads(t *testing.T) {
	t.Parallel()
	var steering LiveSteering
	in, release, err := steering.hold()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for n := range 1 << 20 {
		if err := steering.Offset(0, n%10); err != nil {
			if !errors.Is(err, ErrNotSteered) {
				t.Errorf("got %v", err)
			}
			in.Close()
			if err := steering.Offset(0, 1); !errors.Is(err, ErrNotSteered) {
				t.Errorf("nobody can read: got %v", err)
			}
			return
		}
	}
	t.Error("all orders were taken")
}

// Views have the pictures that were asked for, whole, and hold up nothing.
func TestLiveViews(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	src, units := liveClip(t, noisy())
	src.Rate = timebase.R(25, 1)
	out := newGated()
	var small, large [][]byte
	keep := func(to *[][]byte) func([]byte) {
		return func(luma []byte) { *to = append(*to, slices.Clone(luma)) }
	}
	if usage, err := tools.RunLive(t.Context(), Live{
		Source: src, Limits: liveLimits,
		Pictures: []LivePictures{{Width: 320, Height: 180, Rate: 2_000_000, After: Beginning, Output: out}},
		Views:    []LiveView{{Width: 160, Height: 96, Every: 10, Run: 2, Take: keep(&small)}, {Width: 320, Height: 180, Every: 25, Run: 1, Take: keep(&large)}},
	}, all(units)); err != nil {
		t.Fatal(err, usage.Messages)
	}
	want, _ := shown(units, 0)
	if !slices.Equal(out.times, want) {
		t.Errorf("%d pictures, want %d", len(out.times), len(want))
	}
	if len(small) != 10 || len(large) != 2 || len(small[0]) != 160*96 || len(large[0]) != 320*180 {
		t.Errorf("%d small and %d large pictures", len(small), len(large))
	}
}

// What comes of a view in any pieces is cut into whole pictures.
func TestViewReader(t *testing.T) {
	t.Parallel()
	var got []string
	r := &viewReader{view: LiveView{Width: 3, Height: 2, Take: func(p []byte) { got = append(got, string(p)) }}}
	for _, piece := range []string{"a", "bcdefgh", "", "ijklmnopqrs", "tu"} {
		if n, err := r.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := []string{"abcdef", "ghijkl", "mnopqr"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n, err := (&viewReader{}).Write([]byte("x")); n != 1 || err != nil {
		t.Error(n, err)
	}
}

// Branches and views hold back no picture: as many come out as without them.
func TestSteeringAddsNoDelay(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	src, units := liveClip(t, noisy())
	src.Rate = timebase.R(25, 1)
	const fed, held = 40, 2 // one is being decoded, and one ends with the next
	for _, steered := range []bool{false, true} {
		out := newGated()
		l := Live{Source: src, Limits: liveLimits, Pictures: []LivePictures{{Width: 320, Height: 180, Rate: 2_000_000, After: Beginning, Output: out}}}
		if steered {
			l.Steering, l.Pictures[0].Offsets = &LiveSteering{}, []float64{-3, 0, 3}
			l.Views = []LiveView{{Width: 160, Height: 96, Every: 10, Run: 2, Take: func([]byte) {}}, {Width: 320, Height: 180, Every: 20, Run: 1, Take: func([]byte) {}}}
		}
		ctx, cancel := context.WithTimeout(t.Context(), liveLimits.Wall)
		_, err := tools.RunLive(ctx, l, func(ctx context.Context, write func(LiveUnit) error) error {
			if err := all(units[:fed])(ctx, write); err != nil {
				return err
			}
			out.await(ctx, fed-held)
			return ctx.Err()
		})
		cancel()
		if err != nil || len(out.times) != fed {
			t.Errorf("steered %v: %d pictures, %v", steered, len(out.times), err)
		}
	}
}
