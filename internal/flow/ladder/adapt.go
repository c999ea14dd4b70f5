package ladder

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"liuyun/internal/av/rate"
	"liuyun/internal/av/scene"
	"liuyun/internal/engine/ffmpeg"
)

// adaption looks at the pictures of a stream and at what its rungs take, and has the
// child spend its bits accordingly. It takes what a child shows from two short queues:
// where it is too slow, pictures are left out, and the child is not held up.
type adaption struct {
	ladder  *Ladder
	small   chan shown
	large   chan shown
	free    chan []byte // a large picture's memory, to be used again
	dropped atomic.Int64
	child   atomic.Int64 // counts children; what others have shown counts no more

	// Of the goroutine that looks.
	meter   scene.Meter
	before  shown // the last small picture
	second  rate.Seen
	pairs   int
	control rate.Adapter
	judged  []*rung // that it is of
	set     rate.RungSet
	clock   time.Duration // of the source, as far as it was seen
	looked  time.Duration // when a large picture was last looked at
	changed bool          // the picture has, since then
	cut     bool          // to another scene
	sizes   [][2]int      // of what was looked at
	losses  []float64     // that were found then

	// Guarded by the ladder.
	made     []*rung              // by the child that runs, in its order
	steering *ffmpeg.LiveSteering // of that child alone: in another one the order may be another
}

// shown is a picture that a child has shown.
type shown struct {
	child  int64
	number int64
	luma   []byte
	frames time.Duration // how long a picture of the source lasts
	sizes  [][2]int      // of large pictures: those of all rungs
}

// Pictures are shown in pairs that follow each other in the source, so many a second:
// what moves is seen between two of a pair, and cuts and stills between pairs.
const pairsPerSecond = 2

// Large pictures are looked at so far apart: a smaller rendition is made of them for each
// rung, which takes as long as encoding several small pictures.
const (
	lookSoon   = 2 * time.Second // where a rung is left out or may soon be, and after a cut
	lookSeldom = 10 * time.Second
)

func newAdaption(l *Ladder) *adaption {
	return &adaption{ladder: l, small: make(chan shown, 8), large: make(chan shown, 1), free: make(chan []byte, 2)}
}

// views are what a child is to show that begins there. The ladder's mutex is held.
func (a *adaption) views(from start, made []*rung) []ffmpeg.LiveView {
	child := a.child.Add(1)
	a.made, a.steering = made, &ffmpeg.LiveSteering{}
	for _, r := range made {
		r.told = r.offset
	}
	pace := max(from.rate.Float(), 1)
	frames := time.Duration(float64(time.Second) / pace)
	every := max(2, int(pace/pairsPerSecond+0.5))
	views := []ffmpeg.LiveView{{Width: scene.Width, Height: scene.Height, Every: every, Run: 2, Take: a.taker(a.small, child, frames, nil)}}
	if a.ladder.Adapt.Rungs && len(a.ladder.rungs) > 1 {
		var sizes [][2]int
		for _, r := range a.ladder.rungs {
			sizes = append(sizes, [2]int{r.Width, r.Height})
		}
		views = append(views, ffmpeg.LiveView{
			Width: sizes[0][0], Height: sizes[0][1], Every: pairsPerSecond * every, Run: 1, Take: a.taker(a.large, child, frames, sizes),
		})
	}
	return views
}

// taker puts pictures into a queue, where there is room.
func (a *adaption) taker(to chan shown, child int64, frames time.Duration, sizes [][2]int) func([]byte) {
	number := int64(0)
	return func(luma []byte) {
		s := shown{child: child, number: number, frames: frames, sizes: sizes}
		number++
		if len(to) == cap(to) {
			a.dropped.Add(1)
			return
		}
		if sizes != nil {
			select {
			case s.luma = <-a.free:
			default:
			}
		}
		s.luma = append(s.luma[:0], luma...)
		select {
		case to <- s:
		default:
			a.dropped.Add(1)
		}
	}
}

// run looks at what children show until ctx ends.
func (a *adaption) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-a.small:
			if s.child == a.child.Load() {
				a.see(s)
			}
		case s := <-a.large:
			if s.child == a.child.Load() {
				a.look(s)
			}
			select {
			case a.free <- s.luma:
			default:
			}
		}
	}
}

// see takes a small picture, and decides when there are those of a second.
func (a *adaption) see(s shown) {
	if s.child != a.before.child { // it begins a little before where the last one has ended
		a.meter, a.second, a.pairs = scene.Meter{}, rate.Seen{}, 0
	}
	f, compared := a.meter.Add(s.luma)
	pair := s.number%2 == 1 && s.child == a.before.child && s.number == a.before.number+1
	if compared && !f.Duplicate() {
		a.changed = true
	}
	switch {
	case !pair && compared:
		a.second.Cut = a.second.Cut || cut(f)
		a.cut = a.cut || a.second.Cut
	case pair:
		a.second.Add(rate.Seen{Residual: float64(f.Residual), Still: share(f.Duplicate()), Black: share(f.Black)}, a.pairs)
		a.pairs++
	}
	s.luma = nil
	a.before = s
	if a.pairs == pairsPerSecond {
		a.clock += time.Second
		a.decide(a.second)
		a.second, a.pairs = rate.Seen{}, 0
	}
}

// cut reports whether a picture is of another scene than the one half a second before.
func cut(f scene.Frame) bool {
	const change, unexplained = 14, 0.55
	return f.Change > change && f.Residual > unexplained*f.Change
}

func share(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// decide gives each rung that is made an offset for the next second.
func (a *adaption) decide(seen rate.Seen) {
	l := a.ladder
	l.mu.Lock()
	made, steering := a.made, a.steering
	took := make([]rate.Spent, len(made))
	for i, r := range made {
		s := r.spent
		r.spent = spent{}
		took[i] = rate.Spent{Bits: s.bits, Pictures: s.pictures, Pace: r.pace.Float(), Cap: r.Cap}
		r.bitrate, r.qp = s.bits, float64(s.qp)/float64(max(s.pictures, 1))
	}
	if !l.Adapt.Bits {
		l.mu.Unlock()
		return
	}
	if !slices.Equal(made, a.judged) {
		a.judged, a.control = made, rate.Adapter{}
	}
	choices := a.control.Step(seen, took)
	var orders []int
	for i, r := range made {
		r.offset, r.why = choices[i].Offset, choices[i].Why
		if r.told != r.offset {
			orders = append(orders, i)
		}
	}
	l.mu.Unlock()
	for _, i := range orders {
		if steering.Offset(i, choices[i].Offset) != nil {
			continue // it is told again with the next second, or another child begins with it
		}
		l.mu.Lock()
		if a.steering == steering {
			made[i].told = choices[i].Offset
		}
		l.mu.Unlock()
	}
}

// look takes a large picture, and finds out which rungs show no more than the next.
func (a *adaption) look(s shown) {
	if !slices.Equal(s.sizes, a.sizes) {
		a.sizes, a.losses = s.sizes, nil
		a.set.Forget()
	}
	if a.losses != nil && a.clock-a.looked < a.due() {
		return
	}
	if a.changed || a.losses == nil {
		a.losses, a.changed, a.cut = losses(s.luma, s.sizes), false, false
	}
	a.looked = a.clock
	a.set.See(a.clock, a.losses)
	a.leave()
}

// due is how long to wait for the next large picture that is looked at.
func (a *adaption) due() time.Duration {
	switch {
	case a.set.Doubtful() && a.cut:
		return 0
	case a.set.Doubtful() || a.cut:
		return lookSoon
	}
	return lookSeldom
}

// losses are what is lost where each rung but the last is watched in the size of the
// next: see [scene.Loss].
func losses(luma []byte, sizes [][2]int) []float64 {
	list := make([]float64, len(sizes)-1)
	for i := range list {
		a, b := sizes[i], sizes[i+1]
		list[i], luma = scene.Loss(luma, a[0], a[1], b[0], b[1])
	}
	return list
}

// leave has those rungs made that are worth it.
func (a *adaption) leave() {
	l := a.ladder
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rungs) != len(a.sizes) {
		return // another plan has come meanwhile
	}
	changed := false
	for i, r := range l.rungs {
		if r.spare == a.set.Out(i) {
			continue
		}
		r.spare, changed = !r.spare, true
		if r.spare {
			l.Log.Info("a rendition shows no more than the next smaller one, and is left out for now", "rung", r.Name)
		} else {
			l.Log.Info("a rendition shows more again, and is made", "rung", r.Name)
		}
	}
	if changed {
		l.turn()
	}
}

// spent adds up what a rung takes. The ladder's mutex guards it.
type spent struct {
	bits, pictures int64
	qp             int // sum over pictures
}

// add counts a picture of so many bytes.
func (s *spent) add(bytes, qp int) {
	s.bits += 8 * int64(bytes)
	s.pictures++
	s.qp += qp
}
