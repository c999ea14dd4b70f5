// Package ladder makes renditions of what a stream carries, while it comes: smaller
// pictures for slower networks, and sound in another codec. It reads a hub's stream,
// has one child decode it once and encode all renditions, and writes a hub's stream
// for each. The renditions have the times and the key frames of the source. A child
// that dies is followed by another that goes on at the next picture, and a machine
// that cannot keep up makes fewer renditions.
package ladder

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/av/rate"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/kit/proc"
)

// Maker runs children: [ffmpeg.Tools].
type Maker interface {
	RunLive(ctx context.Context, l ffmpeg.Live, feed func(ctx context.Context, write func(ffmpeg.LiveUnit) error) error) (ffmpeg.Usage, error)
}

// Plan says what is to be made of the pictures.
type Plan struct {
	// Names are the rungs: see [rate.Live].
	Names []string
	// Whole adds one of the source's own size, where viewers cannot be given the source
	// itself. With it one rung at least is made whatever happens. Of what is not H.264
	// there is one in any case, because some players cannot play the source.
	Whole bool
	// Every is how far apart key frames are where those of the source are of no use;
	// 0 places them where the source has them.
	Every time.Duration
}

func (p Plan) equal(other Plan) bool {
	return slices.Equal(p.Names, other.Names) && p.Whole == other.Whole && p.Every == other.Every
}

// Options are what a ladder stands on. All must be set but Limits.
type Options struct {
	Source *hub.Stream
	Maker  Maker
	Limits proc.Limits // of a child
	// Hold is how long pictures may be held back, on the way in and on the way out, so
	// that several go at once: each time that a child or its reader wakes up costs as much
	// as a good part of a picture.
	Hold  time.Duration
	Adapt Adaption
	Log   *slog.Logger
	// Made is told of each rung when it begins to be made: its stream has the pictures
	// from a key frame on, and ends when the rung is made no longer. It must not wait.
	Made func(r ingest.Rung)
	// Planned is told which rungs there are to be, the largest first, and how many
	// pictures a second, before the first of them is made, and again when that changes.
	// It must not wait.
	Planned func(rungs []rate.Rung, pace timebase.Rational)
	// Break asks for a moment from which renditions may be coded otherwise, and Breaks
	// reports whether a picture of the source is such a one, which it may wait for. Without
	// them each key frame is. Break must not wait.
	Break  func()
	Breaks func(ctx context.Context, pts, clock int64) bool
}

// Adaption is what is decided by what the pictures of a stream show.
type Adaption struct {
	// Rungs leaves out those that show no more than the next smaller one.
	Rungs bool
	// Bits gives more or fewer of them to rungs, from second to second.
	Bits bool
}

// Ladder makes the renditions of one stream. New starts nothing; see Run.
type Ladder struct {
	Options
	tape     *tape
	wake     chan struct{} // what is to be made has changed
	turning  atomic.Bool   // and so has what there is, from the next break on
	adaption *adaption     // nil where nothing is adapted

	mu      sync.Mutex
	plan    Plan
	planned Plan    // that rungs are of
	rungs   []*rung // the largest first
	shedder shedder

	failures int    // of children, in a row
	problem  string // why nothing is made though it should be
}

// New returns a ladder that makes nothing until it has a plan.
func New(o Options) *Ladder {
	l := &Ladder{Options: o, tape: newTape(tapeLimits()), wake: make(chan struct{}, 1)}
	if o.Adapt != (Adaption{}) {
		l.adaption = newAdaption(l)
	}
	return l
}

// tapeLimits hold ten seconds of most streams.
func tapeLimits() hub.Limits { return hub.Limits{Units: 1024, Bytes: 32 << 20} }

// rungLimits are those of a rung's stream.
func rungLimits() hub.Limits { return hub.Limits{Units: 512, Bytes: 8 << 20} }

// Set sets the plan. Rungs that are in both are made on without a gap.
func (l *Ladder) Set(p Plan) {
	l.mu.Lock()
	same := l.plan.equal(p)
	l.plan = p
	l.mu.Unlock()
	if !same {
		l.poke()
	}
}

func (l *Ladder) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// turn has the child end at the next break, so that nothing is missing where another one
// makes more rungs, or fewer. The ladder's mutex is held.
func (l *Ladder) turn() {
	if l.planned.Every > 0 { // a source whose key frames are of no use has no breaks
		l.poke()
		return
	}
	l.turning.Store(true)
	l.askToBreak()
}

func (l *Ladder) askToBreak() {
	if l.Break != nil {
		l.Break()
	}
}

// turns reports whether the child is to end before that picture.
func (l *Ladder) turns(ctx context.Context, e entry) bool {
	if !e.Key || !l.turning.Load() {
		return false
	}
	if l.Breaks == nil || l.Breaks(ctx, e.PTS, e.track.Clock) {
		return true
	}
	l.askToBreak() // the child may never get the picture that was one
	return false
}

// Rungs are the rungs that there are, the largest first.
func (l *Ladder) Rungs() []ingest.Rung {
	l.mu.Lock()
	defer l.mu.Unlock()
	var made []ingest.Rung
	for _, r := range l.rungs {
		if out, ok := r.made(); ok {
			made = append(made, out)
		}
	}
	return made
}

// State is where a rung is.
type State string

// The states.
const (
	Made  State = "made"
	Shed  State = "shed"  // the machine cannot keep up with it
	Spare State = "spare" // it would show no more than the next smaller one
)

// Status is how a rung goes.
type Status struct {
	Name    string
	State   State
	Width   int
	Height  int
	Bitrate int64 // bits a second that it may need
	// What it took in the last second that was looked at, with the mean quantiser and by
	// how many steps that was moved, and for what reason: see [rate.Choice]. All are zero
	// where nothing is adapted.
	Spent  int64
	QP     float64
	Offset float64
	Why    rate.Why
}

// Health is how a ladder goes.
type Health struct {
	Rungs []Status // of the plan, the largest first
	Lag   time.Duration
	Lost  int64 // pictures that were left out because the machine was too slow
	// Unseen counts pictures that nobody has looked at, because the machine was too slow.
	Unseen int64
	Says   string // why nothing is made though it should be, or ""
}

// Health returns how it goes.
func (l *Ladder) Health() Health {
	h := Health{Lag: l.lag(), Lost: l.tape.missed()}
	l.mu.Lock()
	defer l.mu.Unlock()
	h.Says = l.problem
	if l.adaption != nil {
		h.Unseen = l.adaption.dropped.Load()
	}
	worth := l.worth()
	shed := worth[:min(l.shedder.shed, len(worth))]
	for _, r := range l.rungs {
		s := Status{Name: r.Name, State: Made, Width: r.Width, Height: r.Height, Bitrate: r.Cap}
		switch {
		case r.spare:
			s.State = Spare
		case slices.Contains(shed, r):
			s.State = Shed
		case l.adaption != nil:
			s.Spent, s.QP, s.Offset, s.Why = r.bitrate, r.qp, rate.LiveOffsets()[r.offset], r.why
		}
		h.Rungs = append(h.Rungs, s)
	}
	return h
}

// worth are the rungs that are worth making, the largest first.
func (l *Ladder) worth() []*rung {
	return slices.DeleteFunc(slices.Clone(l.rungs), func(r *rung) bool { return r.spare })
}

// Run makes what the plan says, until the source ends or ctx does.
func (l *Ladder) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var recording sync.WaitGroup
	recording.Go(func() { l.tape.record(ctx, l.Source.Read().Every(l.Hold), l.still) })
	if l.adaption != nil {
		recording.Go(func() { l.adaption.run(ctx) })
	}
	defer recording.Wait()
	defer cancel()
	defer l.finish()
	for ctx.Err() == nil && !l.vain() {
		from, ok := l.tape.begin(ctx)
		if !ok {
			return
		}
		made := l.prepare(from)
		if len(made) == 0 {
			l.idle(ctx)
			continue
		}
		l.generation(ctx, from, made)
	}
}

// prepare plans the rungs for what comes, and returns those that are to be made.
func (l *Ladder) prepare(from start) []*rung {
	select {
	case <-l.wake: // what has changed is seen now
	default:
	}
	l.mu.Lock()
	src := rate.Source{Width: from.track.Width, Height: from.track.Height, FrameRate: from.rate}
	planned := l.replan(src, from.track.Codec)
	made := l.worth()
	made = made[min(l.shedder.shed, len(made)):]
	var all []rate.Rung
	var begin []ingest.Rung
	for i, r := range l.rungs {
		all = append(all, r.Rung)
		if r.by = l.standIn(i, made); r.by != nil && r.beginAt(from) {
			rung, _ := r.made()
			begin = append(begin, rung)
		}
		if r.by == nil && !slices.Contains(made, r) {
			r.end()
		}
	}
	l.turning.Store(false)
	l.mu.Unlock()
	if planned {
		l.Planned(all, from.rate)
	}
	for _, rung := range begin {
		l.Made(rung)
	}
	return made
}

// standIn is the rung of those that are made whose pictures one has that is not made: the
// next smaller one. Players stand still where there is nothing. Where a child places key
// frames itself there is none, because they would not be where it ends.
func (l *Ladder) standIn(i int, made []*rung) *rung {
	if l.planned.Every > 0 || slices.Contains(made, l.rungs[i]) {
		return nil
	}
	for _, smaller := range l.rungs[i+1:] {
		if slices.Contains(made, smaller) {
			return smaller
		}
	}
	return nil
}

// replan makes the rungs those of the plan. A rung keeps its size for as long as it is
// planned, whatever size the source takes on: players go on with it.
func (l *Ladder) replan(src rate.Source, codec hub.Codec) (changed bool) {
	old := l.rungs
	if l.planned.equal(l.plan) {
		return false
	}
	l.rungs, l.planned = nil, l.plan
	for _, planned := range rate.Live(src, l.plan.Names, l.plan.Whole || codec != hub.H264) {
		i := slices.IndexFunc(old, func(r *rung) bool { return r.Name == planned.Name })
		if i < 0 {
			l.rungs = append(l.rungs, &rung{Rung: planned, ladder: l, offset: rate.LiveUnmoved})
			continue
		}
		old[i].spare = false // until it is seen what is next to it now
		l.rungs = append(l.rungs, old[i])
	}
	for _, r := range old {
		if !slices.Contains(l.rungs, r) {
			r.end()
		}
	}
	return true
}

// idle waits where nothing is to be made, until that may have changed.
func (l *Ladder) idle(ctx context.Context) {
	begun := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			return
		case <-time.After(judging):
			if newest, ok := l.tape.newest(); ok {
				l.tape.release(newest)
			}
			if fewer, more := l.judge(time.Now(), begun); fewer || more || l.tape.over() {
				return
			}
		}
	}
}

// still has the rungs repeat a key frame of their own where the source repeats one of
// its, at once: children hold back a few pictures until others have come, and stills
// are far apart. It reports whether all could; where not, the children make it.
func (l *Ladder) still(u hub.Unit) bool {
	behind, period := l.lag(), l.tape.period()
	l.mu.Lock()
	defer l.mu.Unlock()
	made := slices.DeleteFunc(slices.Clone(l.rungs), func(r *rung) bool { return r.stream == nil })
	if len(made) == 0 || behind > late || slices.ContainsFunc(made, func(r *rung) bool { return !r.repeats(period) }) {
		return false
	}
	for _, r := range made {
		r.hold(u)
	}
	return true
}

// judging is how often it is looked whether the machine keeps up.
const judging = 250 * time.Millisecond

// judge reports whether fewer or more rungs are to be made.
func (l *Ladder) judge(now, started time.Time) (fewer, more bool) {
	lag := l.lag()
	l.mu.Lock()
	defer l.mu.Unlock()
	before, worth := l.shedder.shed, l.worth()
	if !l.shedder.see(now, started, lag, len(worth), l.plan.Whole) {
		return false, false
	}
	if fewer = l.shedder.shed > before; fewer {
		l.Log.Warn("the machine cannot keep up: a rendition is made no longer", "rung", worth[before].Name, "behind", lag)
	} else {
		l.Log.Info("a rendition is tried again", "rung", worth[l.shedder.shed].Name)
	}
	return fewer, !fewer
}

// lag is how far what is made is behind the source, in its time.
func (l *Ladder) lag() time.Duration {
	behind, clock, made := l.hindmost()
	newest, ok := l.tape.newest()
	if !ok || !made {
		return 0
	}
	return time.Duration(float64(max(0, newest-behind)) / float64(clock) * float64(time.Second))
}

// hindmost is how far all rungs have come that are made, in ticks of the clock. ok is
// false where none is.
func (l *Ladder) hindmost() (pts, clock int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rungs {
		if at, c, made := r.at(); made && r.by == nil && (!ok || at < pts) {
			pts, clock, ok = at, c, true
		}
	}
	return pts, clock, ok
}

// finish ends all rungs.
func (l *Ladder) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rungs {
		r.end()
	}
}
