package window

import (
	"context"
	"time"

	"liuyun/internal/base/timebase"
)

// mark is a boundary as the renditions see it that are made of the stream: they come
// later than the source, and are cut at the same moments of presentation.
type mark struct {
	boundary
	clock int64 // ticks a second of the source's lead, in which the times are
	end   int64 // where the segment ends in presentation; 0 is not known yet
}

// maxMarks is how many boundaries are known. A rendition that is so far behind has been
// given up for long.
const maxMarks = 16

// in is a time of the mark in ticks of another track.
func (m *mark) in(at int64, t *track) int64 { return timebase.MulDiv(at, t.clock, m.clock) }

// mark tells the renditions that are made of the stream where a segment begins.
func (g *Group) mark(lead *track, b *boundary) {
	g.mu.Lock()
	if n := len(g.marks); n > 0 && g.marks[n-1].end == 0 {
		g.marks[n-1].end = b.shown
	}
	if len(g.marks) == maxMarks {
		g.marks = append(g.marks[:0], g.marks[1:]...)
	}
	g.marks = append(g.marks, mark{boundary: *b, clock: lead.clock})
	g.mu.Unlock()
	g.reached(lead, b.at)
	g.hurry(b.number)
}

// markEnd tells them that the open segment has ended, and nothing follows it now.
func (g *Group) markEnd(lead *track) {
	g.mu.Lock()
	if n := len(g.marks); n > 0 && g.marks[n-1].end == 0 {
		m := &g.marks[n-1]
		m.end = lead.cursor + m.shown - m.at
	}
	g.advanced()
	g.mu.Unlock()
}

// reached notes that no further boundary comes before that time of the lead.
func (g *Group) reached(lead *track, at int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = at
	g.advanced()
}

// advanced wakes those who wait for the source. Group.mu is held.
func (g *Group) advanced() {
	if g.progress != nil {
		close(g.progress)
		g.progress = nil
	}
}

// behind returns what to wait for while boundaries before a time of t may still come,
// nil when all are known.
func (g *Group) behind(at int64, t *track) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.marks); n > 0 {
		m := &g.marks[n-1]
		at = timebase.MulDiv(at+t.frame/2, m.clock, t.clock)
		if m.end > 0 && at < m.end || m.end == 0 && at <= g.known {
			return nil
		}
	}
	if g.ended {
		return nil
	}
	if g.progress == nil {
		g.progress = make(chan struct{})
	}
	return g.progress
}

// Break has a discontinuity where the source has its next key frame: from there on what is
// made of it may be coded otherwise.
func (g *Group) Break() { g.breaks.Store(true) }

// mostWait is how long the source may be behind who reads it too.
const mostWait = time.Second

// Breaks reports whether a segment begins after a discontinuity with the picture of the
// source that is presented at a time, in ticks of its clock. It waits until the source has
// been cut up to there, a second at most.
func (g *Group) Breaks(ctx context.Context, at, clock int64) bool {
	ctx, cancel := context.WithTimeout(ctx, mostWait)
	defer cancel()
	for {
		breaks, wait := g.breaksAt(at, clock)
		if wait == nil {
			return breaks
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return false
		}
	}
}

func (g *Group) breaksAt(at, clock int64) (breaks bool, wait <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := len(g.marks) - 1
	for i := last; i >= 0; i-- {
		m := &g.marks[i]
		here := timebase.MulDiv(at, m.clock, clock)
		if m.shown == here {
			return m.discontinuity, nil
		}
		if m.shown < here && i == last && g.known < here && !g.ended {
			break // it has not come as far
		}
		if m.shown < here || i == 0 {
			return false, nil
		}
	}
	if g.progress == nil {
		g.progress = make(chan struct{})
	}
	return false, g.progress
}

// markAt returns the segment in which a time of presentation of t lies.
func (g *Group) markAt(at int64, t *track) (mark, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := len(g.marks) - 1; i >= 0; i-- {
		m := &g.marks[i]
		if m.in(m.shown, t) <= at+t.frame/2 {
			return *m, m.end == 0 || at < m.in(m.end, t)
		}
	}
	return mark{}, false
}

// markOf returns the mark of a segment, if it is known.
func (g *Group) markOf(number int64) (mark, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.marks {
		if g.marks[i].number == number {
			return g.marks[i], true
		}
	}
	return mark{}, false
}

// firstOpen is the number of the first segment of which it is not known where it ends.
func (g *Group) firstOpen() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	number := int64(0)
	for i := range g.marks {
		if g.marks[i].end > 0 {
			number = g.marks[i].number + 1
		}
	}
	return number
}

// lateBefore returns the number of the newest segment that began so long ago that what
// is missing of those before it does not come any more.
func (g *Group) lateBefore() (number int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.marks) == 0 {
		return 0
	}
	now := g.marks[len(g.marks)-1].shown
	for i := range g.marks {
		if m := &g.marks[i]; duration(now-m.shown, m.clock) >= g.o.Longest {
			number = m.number
		}
	}
	return number
}

// anchor says what time of day it was where a period of DASH began. Within a period
// presentation goes on without a break, and no more than maxDrift away from the time
// of day.
type anchor struct {
	Number int64 `json:"number"` // of the first segment
	Zero   int64 `json:"zero"`   // nanoseconds from the zero of the stream
	Day    int64 `json:"day"`    // nanoseconds since 1970, whole milliseconds
}

// maxDrift is how far presentation may be from the time of day before a period ends.
const maxDrift = time.Second

// moor gives a boundary its anchor.
func (c *cutter) moor(lead *track, b *boundary) {
	renew := c.g.renew.Swap(false)
	if !b.hasWall {
		c.anchor = nil
		return
	}
	zero := duration(b.shown, lead.clock)
	day := b.wall + duration(b.at, lead.clock)
	if a := c.anchor; a != nil && !renew && !b.discontinuity {
		if off := day - time.Duration(a.Day) - (zero - time.Duration(a.Zero)); off.Abs() <= maxDrift {
			b.anchor = a
			return
		}
	}
	c.anchor = &anchor{Number: b.number, Zero: int64(zero), Day: int64(day.Round(time.Millisecond))}
	b.anchor = c.anchor
}
