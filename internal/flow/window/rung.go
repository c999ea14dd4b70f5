package window

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// RunRung cuts one rendition that is made of the stream: pictures of another size, or
// sound in another codec. Its key frames and its times are those of the source, and
// it comes a moment later. Its segments have the numbers and boundaries of the
// source's, by the time of presentation; where it is missing they are gaps. It never
// waits for another rendition, but for the source where it is ahead of that, and
// nothing waits for it.
//
// It goes on until r ends or ctx does, and may be called again for the same name: the
// rendition then begins anew at the next boundary. A second one waits for the first.
func (g *Group) RunRung(ctx context.Context, name string, r *hub.Reader) error {
	if !validRung(name) {
		return fault.New(fault.Invalid, "%q cannot be the name of a rendition", name)
	}
	d := g.derive(name)
	d.running.Lock()
	defer d.running.Unlock()
	d.begin()
	cause := errors.Join(d.read(ctx, r), d.finish())
	if g.running.TryLock() { // nobody else writes what is left
		stop := make(chan struct{})
		close(stop)
		g.keep(stop)
		g.running.Unlock()
	}
	if errors.Is(cause, hub.ErrEnded) {
		return nil
	}
	return cause
}

// validRung reports whether a rendition that is made may be called so: the name is that
// of a folder, and part of addresses.
func validRung(name string) bool {
	for _, taken := range []string{"video", "audio", captionsPrefix} {
		if strings.HasPrefix(name, taken) {
			return false
		}
	}
	return name != "" && len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// derived cuts a rendition that is made of the stream. Whoever takes mu and Group.mu
// takes mu first.
type derived struct {
	g       *Group
	r       *rendition
	running sync.Mutex // held by RunRung

	mu      sync.Mutex
	active  bool // RunRung goes on
	init    *initSection
	t       *track // nil before its first period
	begun   bool   // it has segments
	next    int64  // number of the one after the open one, or after the last
	blind   bool   // nothing is taken until a boundary that decoding can begin with
	pending hub.Unit
	waiting bool // pending is the newest unit, whose duration is not known yet
}

// derive returns the rendition of that name as it is cut, and makes it if it is new.
func (g *Group) derive(name string) *derived {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.named(name)
	if r == nil {
		r = g.add(name, true)
	}
	if r.derived == nil {
		r.derived = &derived{g: g, r: r}
	}
	return r.derived
}

// derivedAll returns all that is made of the stream.
func (g *Group) derivedAll() (all []*derived) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.renditions {
		if r.derived != nil {
			all = append(all, r.derived)
		}
	}
	return all
}

func (d *derived) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active, d.blind = true, true
	d.going(true)
}

// going notes for the playlist whether more may come. Whoever plays DASH is given a new
// period, so that no rendition comes or goes within one.
func (d *derived) going(yes bool) {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	if d.begun || len(d.g.renditions[0].segments) > 1 {
		d.g.renew.Store(true)
	}
	d.r.going = yes
	d.r.wake()
}

// read hands over units, each when the source has come as far.
func (d *derived) read(ctx context.Context, r *hub.Reader) error {
	for {
		item, err := r.Next(ctx)
		if err == nil && item.Tracks != nil {
			err = d.period(&item.Tracks[0])
		} else if err == nil && item.Unit.Track == 0 {
			err = d.take(ctx, item.Unit, item.Lost)
		}
		if err != nil {
			return err
		}
	}
}

func (d *derived) take(ctx context.Context, u hub.Unit, lost bool) error {
	for {
		wait := d.g.behind(u.PTS, d.t)
		if wait == nil {
			return d.write(u, lost)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// period begins with another track.
func (d *derived) period(source *hub.Track) error {
	init, err := newInit(source)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the rendition %s of the stream cannot be packaged", d.r.name)
	}
	init.Rung = true
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle()
	switch {
	case source.Clock <= 0 || d.t != nil && d.t.clock != source.Clock:
		return fmt.Errorf("%s: clock of %d", d.r.name, source.Clock)
	case d.t == nil:
		d.t = d.g.track(d.r, source.Clock, !source.Codec.Video(), nominal(source))
	}
	if d.init == nil || !bytes.Equal(d.init.Data, init.Data) {
		d.blind = true
	}
	d.init = init
	return nil
}

// settle takes the unit that waits, as long as one usually is.
func (d *derived) settle() {
	if d.waiting {
		d.t.add(&d.pending, d.t.frame)
		d.pending, d.waiting = hub.Unit{}, false
	}
}

// write takes a unit, of which all boundaries up to it are known.
func (d *derived) write(u hub.Unit, lost bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.t
	if d.waiting && u.DTS <= d.pending.DTS {
		d.g.count(func(h *Health) { h.Dropped++ })
		return nil
	}
	m, found := d.g.markAt(u.PTS, t)
	within := found && t.open && m.number == t.number
	after := found && t.open && m.number == t.number+1 && !m.discontinuity
	if d.waiting {
		if lost || u.DTS-t.cursor > max(t.limit, 3*t.frame) {
			d.blind = true
		}
		if (within || after) && !d.blind {
			if step := u.DTS - d.pending.DTS; step <= t.limit {
				t.frame = step
			}
			t.add(&d.pending, u.DTS-t.cursor)
			d.pending, d.waiting = hub.Unit{}, false
		}
		d.settle()
	}
	switch {
	case !found || within && d.blind:
		return nil
	case within:
		d.pending, d.waiting = u, true
		return t.endPart()
	}
	return d.enter(&m, u, after && !d.blind)
}

// enter begins the segment of m with u, if it can: where it does not go on from the
// one before, with a key frame that is the boundary's.
func (d *derived) enter(m *mark, u hub.Unit, goesOn bool) error {
	t := d.t
	if d.begun && m.number < d.next && (!t.open || m.number <= t.number) {
		return nil // it was given up
	}
	off := u.PTS - m.in(m.shown, t)
	switch {
	case goesOn:
	case !u.Key || max(off, -off) > 2*t.frame:
		d.blind = true
		return d.fill(m.number)
	case d.begun && d.changed() && !m.discontinuity:
		d.g.breaks.Store(true) // another init section needs a discontinuity, which all have
		d.blind = true
		return d.fill(m.number)
	default:
		if err := d.fill(m.number); err != nil {
			return err
		}
		d.g.setInit(d.r, d.since(m.number), d.init)
		d.backfill(m.number)
		t.cursor, t.placed = u.DTS, true
	}
	t.limit, t.least = d.g.partTicks(t.clock) // which are known now, if they were not before
	b := m.boundary
	b.dependent = !u.Key
	shown := max(u.PTS, t.cursor) // it may be decoded sooner, see [track.add]
	day := int64(0)
	if b.hasWall {
		day = int64(b.wall + duration(b.at, m.clock) + duration(shown-m.in(m.shown, t), t.clock))
	}
	if err := t.turn(&b, shown, day); err != nil {
		return err
	}
	d.pending, d.waiting, d.blind, d.begun, d.next = u, true, false, true, m.number+1
	return nil
}

// changed reports whether what comes needs another init section than what came before.
func (d *derived) changed() bool {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	return !bytes.Equal(d.r.init().Data, d.init.Data)
}

// since is the number of the first segment that the init section is for.
func (d *derived) since(number int64) int64 {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	if lead := d.g.renditions[0]; !d.begun && len(lead.segments) > 0 {
		return min(number, lead.segments[0].number)
	}
	return number
}

// backfill gives a rendition that is new a gap for each segment that others have.
func (d *derived) backfill(number int64) {
	if !d.begun {
		for n := d.since(number); n < number; n++ {
			d.g.missing(d.r, n)
		}
	}
}

// fill ends the open segment, if it is one before that number, and makes gaps of all
// that are missing before it.
func (d *derived) fill(number int64) error {
	if !d.begun {
		return nil
	}
	if t := d.t; t != nil && t.open && t.number < number {
		d.settle()
		if m, found := d.g.markOf(t.number); found && m.end > 0 && m.in(m.end, t)-t.cursor > 2*t.frame {
			if err := t.gapParts(min(m.in(m.end, t), t.start+t.most)); err != nil {
				return err
			}
		}
		if err := t.end(); err != nil {
			return err
		}
	}
	for ; d.next < number; d.next++ {
		d.g.missing(d.r, d.next)
	}
	return nil
}

// missing adds a gap in the place of a segment, as long as that of the source.
func (g *Group) missing(r *rendition, number int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &segment{number: number, uri: segmentURI(number), init: r.init(), gap: true, saved: true, duration: g.partTarget}
	if n := len(r.segments); n > 0 {
		s.line = r.segments[n-1].line
	}
	if like := g.renditions[0].find(number); like != nil {
		s.duration, s.time, s.line, s.discontinuity, s.anchor = like.lasts(), like.time, like.line, like.discontinuity, like.anchor
		s.begin = timebase.MulDiv(like.begin, r.init().Clock, max(like.init.Clock, 1))
	}
	r.segments = append(r.segments, s)
	g.later(task{line: record{Rendition: r.name, Segment: s.record()}})
	r.wake()
}

// hurry has renditions go on that are missing, or have been silent for too long.
func (g *Group) hurry(number int64) {
	for _, d := range g.derivedAll() {
		if err := d.catchUp(number); err != nil {
			g.o.Log.Error("a rendition of the stream was not cut", "rendition", d.r.name, "cause", err)
		}
	}
}

// catchUp makes gaps of what is missing before that number, or, as long as the rendition
// comes, of what is too late.
func (d *derived) catchUp(number int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.active {
		return d.fill(number)
	}
	if late := d.g.lateBefore(); d.next < late || d.t != nil && d.t.open && d.t.number < late {
		d.blind = true
		return d.fill(late)
	}
	return nil
}

// finish ends what RunRung began. A segment whose end is not known yet stays open until
// it is.
func (d *derived) finish() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.active, d.blind = false, true
	d.settle()
	err := d.fill(d.g.firstOpen())
	d.going(false)
	return err
}
