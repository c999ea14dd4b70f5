package window

import "path"

// What the window needs whatever happens, in target durations.
const (
	leastWindow = 3 // rfc8216bis 6.2.2: no playlist is shorter because segments went
	inMemory    = 5 // of segments that are not on the disk
	partsFor    = 8 // parts can be asked for by name
	graceFor    = 3 // what has left the playlists can still be had
)

// trim lets go what is too old or too much.
func (g *Group) trim() {
	for _, r := range g.renditions {
		g.forgetParts(r)
	}
	g.expire()
	lead := g.renditions[0]
	list := lead.listed(g.first)
	span := lasting(list)
	for len(list) > 1 && span-list[0].duration >= g.o.Keep && g.canLose(list[0].number) {
		span -= list[0].duration
		list = list[1:]
		g.first++
	}
	old := lead.segments[:len(lead.segments)-len(list)]
	for grace := lasting(old); len(old) > 0 && grace-old[0].duration >= graceFor*g.o.Longest && !g.holds(old[0].number); old = old[1:] {
		grace -= old[0].duration
		g.drop(old[0].number)
	}
	for g.o.MaxBytes > 0 && g.bytes > g.o.MaxBytes && g.shrink() {
	}
}

// shrink drops the oldest segment of all, if the window can do without.
func (g *Group) shrink() bool {
	lead := g.renditions[0]
	if len(lead.segments) == 0 {
		return false
	}
	oldest := lead.segments[0]
	if oldest.number >= g.first {
		if !g.canLose(oldest.number) {
			return false
		}
		g.first = oldest.number + 1
	}
	g.drop(oldest.number)
	return true
}

// canLose reports whether each playlist is long enough without its segments up to that
// number.
func (g *Group) canLose(number int64) bool {
	for _, r := range g.renditions {
		has := len(r.segments) > 0 && r.segments[0].number <= number
		if has && lasting(r.listed(number+1)) < leastWindow*g.o.Longest {
			return false
		}
	}
	return true
}

// expire lets segments go that did not get to the disk in time. The window begins
// after them: it has no holes.
func (g *Group) expire() {
	for _, r := range g.renditions {
		ago := r.openFor()
		for i := len(r.segments) - 1; i >= 0; i-- {
			s := r.segments[i]
			ago += s.duration
			if !s.saved && ago > inMemory*g.o.Longest {
				g.first = max(g.first, s.number+1)
				g.drop(s.number)
				break
			}
		}
	}
}

// forgetParts drops what is known of parts that nobody asks for any more.
func (g *Group) forgetParts(r *rendition) {
	ago := r.openFor()
	for i := len(r.segments) - 1; i >= 0; i-- {
		s := r.segments[i]
		if ago > partsFor*g.o.Longest && s.saved {
			if s.parts == nil {
				return
			}
			s.parts = nil
		}
		ago += s.duration
	}
}

// drop deletes the segments up to that number.
func (g *Group) drop(number int64) {
	for _, r := range g.renditions {
		n := 0
		for n < len(r.segments) && r.segments[n].number <= number {
			s := r.segments[n]
			s.gone = true
			g.bytes -= s.size
			s.free()
			if s.saved && !s.gap {
				g.removals = append(g.removals, r.file(s.number))
			}
			n++
		}
		clear(r.segments[:n])
		r.segments = r.segments[n:]
		for len(r.inits) > 1 && len(r.segments) > 0 && r.inits[1].Number <= r.segments[0].number {
			r.inits = r.inits[1:]
		}
	}
}

// file is where a segment lies below the folder.
func (r *rendition) file(number int64) string {
	return path.Join(r.name, segmentURI(number))
}
