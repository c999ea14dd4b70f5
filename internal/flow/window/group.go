package window

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// Group cuts the tracks of one stream into the same segments, and keeps the last of
// them. Its methods may be called by several goroutines.
//
// Its memory is bounded: what has been cut since the open segment began, the few
// segments that wait for the disk, and, where the disk is full, five target durations
// of media; besides about a hundred bytes for each segment of the window. A reader
// that is slow holds what it reads, and nothing else waits for it.
type Group struct {
	o     Options
	cut   *cutter // of Run
	files *files

	running sync.Mutex
	mu      sync.Mutex
	// renditions are in the order in which they came; each has segments of the same
	// numbers, from when it came.
	renditions []*rendition
	partTarget time.Duration // 0 until the first period begins
	first      int64         // number of the oldest segment in the playlists
	begins     int64         // and of the oldest there ever was, since New
	next       int64         // number of the segment after all that were opened
	hold       int64         // nothing is deleted from that number on, see Hold; 0 is nothing
	closes     chan struct{} // closed when a segment is whole; nil when nobody waits
	bytes      int64         // on the disk, or meant to be
	ended      bool
	health     Health

	tasks    []task   // for the disk, in their order
	removals []string // files to delete, before anything is written
	kick     chan struct{}

	marks    []mark        // the newest boundaries
	known    int64         // no boundary before that time of the lead comes any more
	progress chan struct{} // closed when known grows; nil when nobody waits
	renew    atomic.Bool   // the next segment begins another period of DASH
	breaks   atomic.Bool   // the next segment with a key frame is a discontinuity

	plan     Plan
	events   eventLog
	captions []*captions
	master   text
	mpd      text
	lag      time.Duration // of what is made of the stream, at most
	came     chan struct{} // closed when a rendition comes; nil when nobody waits
}

// New opens the window in o.Folder. It starts nothing: see Run.
func New(o Options) (*Group, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	g := &Group{o: o, files: &files{folder: o.Folder}, kick: make(chan struct{}, 1)}
	g.cut = &cutter{g: g, lastKey: -1}
	if err := g.restore(); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the window of the stream in %s cannot be opened", o.Folder)
	}
	return g, nil
}

func (o *Options) complete() error {
	if o.Folder == "" {
		return errors.New("the window has no folder")
	}
	set := func(d *time.Duration, usual time.Duration) {
		if *d == 0 {
			*d = usual
		}
	}
	set(&o.Keep, 2*time.Hour)
	set(&o.Segment, 4*time.Second)
	set(&o.Longest, (o.Segment*3/2 + time.Second - 1).Truncate(time.Second))
	set(&o.Part, 500*time.Millisecond)
	if o.Buffers == nil {
		o.Buffers = new(Buffers)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.First == 0 {
		o.First = time.Now().Unix()
	}
	if o.Longest%time.Second != 0 || o.Segment > o.Longest || o.Part > o.Segment || o.Part < 50*time.Millisecond {
		return fault.New(fault.Invalid, "parts of %v in segments of %v, at most %v, cannot be: the longest is whole seconds, and no part is below 50ms",
			o.Part, o.Segment, o.Longest)
	}
	return nil
}

// Run cuts what r reads, until that ends or ctx does, and returns why: nil when the
// stream has ended well, which is then the end of the playlists too. What is open is
// closed and on the disk when it returns. It may be called again, with another
// reader, and waits for the one before: where the timestamps go on, so do the
// segments.
func (g *Group) Run(ctx context.Context, r *hub.Reader) error {
	g.running.Lock()
	defer g.running.Unlock()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { defer close(stopped); g.keep(stop) }()
	cause := g.read(ctx, r)
	if err := g.cut.finish(); err != nil {
		cause = errors.Join(cause, err)
	}
	g.hurry(g.firstOpen())
	well := errors.Is(cause, hub.ErrEnded)
	g.mu.Lock()
	g.ended = well
	g.laterClosed()
	g.wakeAll()
	g.advanced()
	g.mu.Unlock()
	close(stop)
	<-stopped
	g.files.close() // until there is more to write
	if well {
		return nil
	}
	return cause
}

// read hands items to the cutter.
func (g *Group) read(ctx context.Context, r *hub.Reader) error {
	for {
		item, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if item.Tracks != nil {
			err = g.cut.begin(item.Tracks)
		} else {
			err = g.cut.write(item.Unit)
		}
		if err != nil {
			return err
		}
	}
}

// End writes the end of the playlists, as after a Run whose stream ended well. It
// waits for a Run that has not returned.
func (g *Group) End() {
	g.running.Lock()
	defer g.running.Unlock()
	g.hurry(g.firstOpen())
	g.mu.Lock()
	g.ended = true
	g.laterClosed()
	g.wakeAll()
	g.advanced()
	g.mu.Unlock()
	stop := make(chan struct{})
	close(stop)
	g.keep(stop)
}

// Ended reports whether the playlists have their end. Where a stream begins anew, they have
// it until its first segment.
func (g *Group) Ended() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ended
}

// laterClosed notes that no segment is open.
func (g *Group) laterClosed() {
	g.later(task{line: record{Open: g.openRecord(g.cut.next - 1), Closed: true, Ended: g.ended}})
}

// Health says how it goes.
func (g *Group) Health() Health {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.health
	h.Bytes = g.bytes
	if len(g.renditions) > 0 {
		for _, s := range g.renditions[0].listed(g.first) {
			h.Window += s.duration
		}
	}
	return h
}

// count changes the health.
func (g *Group) count(change func(*Health)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.health)
}

// fixPart decides the part target, once: as many whole frames as go into Part, of the
// track for which that is most.
func (g *Group) fixPart(period []hub.Track, order []int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.partTarget > 0 {
		return
	}
	const slack = 2 * time.Millisecond // of timestamps in milliseconds
	target := time.Duration(0)
	for _, i := range order {
		t := &period[i]
		if t.Codec.Video() && !t.Rate.Valid() {
			target = g.o.Part
			continue
		}
		frame := duration(nominal(t), t.Clock)
		fit := frame * max(g.o.Part/max(frame, 1), 1)
		if frame <= g.o.Part {
			fit = min(fit+slack, g.o.Part)
		}
		target = max(target, fit)
	}
	g.partTarget = min(target, g.o.Longest).Truncate(time.Microsecond)
	g.later(task{line: record{Start: &startRecord{Target: g.o.Longest, Part: g.partTarget}}})
}

// partTicks is how long parts are at most, and at least but for a segment's last.
// Playlists round to microseconds: neither is missed by that.
func (g *Group) partTicks(clock int64) (limit, least int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	const rounding = 2 * time.Microsecond
	return ticks(g.partTarget-rounding, clock), ticks(g.partTarget*85/100+rounding, clock) + 1
}

// rendition is one playlist. Group.mu guards it.
type rendition struct {
	name     string
	inits    []*initSection // that segments need, the newest last
	segments []*segment     // whole, and not deleted, the oldest first
	open     *segment       // may be nil
	version  int64
	wait     chan struct{} // closed when a part or segment comes; nil when nobody waits
	texts    [2]text       // the whole playlist, and the delta update
	reported struct {      // what that version says of the others
		version int64
		list    []hls.Report
	}
	keys    text          // the playlist of key frames
	frames  int64         // of pictures so far
	lasted  time.Duration // that they were shown
	waiting int           // segments that wait for the disk
	derived *derived      // nil for what the source sends
	going   bool          // it is derived, and more may come after the source has ended
	growing bool          // so does what came of the open one
}

// listed are the whole segments from that number.
func (r *rendition) listed(first int64) []*segment {
	if len(r.segments) == 0 {
		return nil
	}
	return r.segments[min(max(first-r.segments[0].number, 0), int64(len(r.segments))):]
}

// find returns the segment of that number, the open one too, or nil.
func (r *rendition) find(number int64) *segment {
	if r.open != nil && r.open.number == number {
		return r.open
	}
	if len(r.segments) == 0 || number < r.segments[0].number || number > r.segments[len(r.segments)-1].number {
		return nil
	}
	return r.segments[number-r.segments[0].number]
}

func (r *rendition) init() *initSection { return r.inits[len(r.inits)-1] }

// wake tells those who wait that something has come.
func (r *rendition) wake() {
	r.version++
	if r.wait != nil {
		close(r.wait)
		r.wait = nil
	}
}

func (g *Group) wakeAll() {
	for _, r := range g.renditions {
		r.wake()
	}
}

// all returns the renditions there are.
func (g *Group) all() []*rendition {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]*rendition(nil), g.renditions...)
}

// rendition returns the one of that name, and makes it if it is new.
func (g *Group) rendition(name string) *rendition {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.named(name); r != nil {
		return r
	}
	return g.add(name, false)
}

// add makes a rendition. What the source sends stands before what is made of it.
// Group.mu is held.
func (g *Group) add(name string, derived bool) *rendition {
	r := &rendition{name: name}
	place := len(g.renditions)
	for i := len(g.renditions) - 1; i >= 0 && !derived && g.renditions[i].derived != nil; i-- {
		place = i
	}
	g.renditions = slices.Insert(g.renditions, place, r)
	if g.came != nil {
		close(g.came)
		g.came = nil
	}
	return r
}

func (g *Group) named(name string) *rendition {
	for _, r := range g.renditions {
		if r.name == name {
			return r
		}
	}
	return nil
}

// setInit sets what segments from that number on are decoded with.
func (g *Group) setInit(r *rendition, number int64, i *initSection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(r.inits) > 0 && bytes.Equal(r.init().Data, i.Data) {
		return
	}
	r.inits = append(r.inits, i.at(number))
	r.frames, r.lasted = 0, 0
	g.later(task{line: record{Rendition: r.name, Init: i}})
}

// publish adds a part, if p is not nil, ends the open segment, and opens next, if that
// is not nil: all at once, so that a part that is announced always comes.
func (g *Group) publish(r *rendition, p *part, b *buffer, end bool, next *segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p != nil {
		s := r.open
		if r == g.renditions[0] && s.time != 0 {
			g.health.Delay = max(0, time.Since(time.Unix(0, s.time))-s.lasts())
		}
		p.offset = s.size
		s.size += p.size
		if len(s.parts) == 0 {
			s.key = p.key
		}
		s.parts = append(s.parts, *p)
		if b != nil {
			s.memory = append(s.memory, b)
			r.frames += int64(p.frames)
			r.lasted += p.duration
			if !end && !r.growing {
				r.growing = true
				g.later(task{r: r, grow: s})
			}
		}
	}
	if end {
		g.endSegment(r)
	}
	if next != nil {
		next.init, next.uri = r.init(), segmentURI(next.number)
		next.parts = make([]part, 0, int(g.o.Longest/g.partTarget)+2)
		r.open, g.ended, g.next = next, g.ended && r.derived != nil, max(g.next, next.number+1)
		g.later(task{line: record{Rendition: r.name, Open: g.openRecord(next.number), Began: next.record()}})
	}
	r.wake()
}

// endSegment makes the open segment a whole one.
func (g *Group) endSegment(r *rendition) {
	s := r.open
	if len(s.parts) == 0 { // it began and ended within half a frame of this track
		s.parts = append(s.parts, part{duration: time.Millisecond, gap: true})
	}
	s.still = !slices.ContainsFunc(s.parts, func(p part) bool { return !p.gap && !p.still })
	s.gap, s.duration = len(s.memory) == 0, s.lasts()
	r.open = nil
	r.segments = append(r.segments, s)
	if g.closes != nil {
		close(g.closes)
		g.closes = nil
	}
	g.bytes += s.size
	if r == g.renditions[0] {
		g.freeze(r, s)
	}
	switch {
	case s.gap:
		s.saved = true
		g.later(task{line: record{Rendition: r.name, Segment: s.record()}})
	case r.waiting < maxWaiting:
		r.waiting++
		g.later(task{r: r, save: s})
	}
	g.trim()
}

// maxWaiting is how many segments of a rendition wait for the disk. Others stay in
// memory for as long as live viewers need them.
const maxWaiting = 4

// rate is that of the pictures: what the source says, else what was seen.
func (r *rendition) rate() timebase.Rational {
	if rate := r.init().Rate; rate.Valid() {
		return rate
	}
	if r.frames == 0 || r.lasted <= 0 {
		return timebase.R(25, 1)
	}
	return timebase.R(max(timebase.MulDiv(r.frames, int64(1000*time.Second), int64(r.lasted)), 1), 1000)
}
