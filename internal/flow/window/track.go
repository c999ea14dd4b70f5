package window

import (
	"errors"
	"slices"
	"time"

	"liuyun/internal/av/mp4"
	"liuyun/internal/flow/hub"
)

// track is one rendition as it is cut.
type track struct {
	g      *Group
	r      *rendition
	clock  int64
	sound  bool
	frame  int64 // what a unit lasts, as far as is known
	limit  int64 // a part lasts at most
	least  int64 // and at least, but for a segment's last
	most   int64 // a segment lasts at most
	usual  int64 // how long the segment before the open one was; 0 is unknown
	queue  []hub.Unit
	placed bool  // cursor is valid
	open   bool  // a segment is
	cursor int64 // decode time of the next sample
	number int64 // of the open segment
	start  int64 // of it
	part   int64 // start of the open part

	samples     []mp4.Sample
	data        [][]byte
	bytes       int
	independent bool // the open part begins with a key frame
	still       bool // all of it repeats a picture
	sequence    uint32
	wall        int64  // of day at the zero of the stream, in nanoseconds; 0 is unknown
	told        uint64 // number of the last event that is in a part
}

// track returns a track that is cut into parts of the group's length.
func (g *Group) track(r *rendition, clock int64, sound bool, frame int64) *track {
	t := &track{g: g, r: r, clock: clock, sound: sound, frame: frame}
	t.limit, t.least = g.partTicks(clock)
	t.most = ticks(g.o.Longest, clock)
	return t
}

// turn ends a track's segment at its cursor and begins the one of b, whose first
// sample is presented at that time, which was that time of day.
func (t *track) turn(b *boundary, shown, day int64) error {
	p, buffer, err := t.flush()
	if err != nil {
		return err
	}
	next := &segment{
		number: b.number, discontinuity: b.discontinuity, line: b.line, dependent: b.dependent,
		start: t.cursor, clock: t.clock, begin: shown, anchor: b.anchor,
	}
	t.wall = 0
	if b.hasWall {
		t.wall, next.time = day-int64(duration(t.cursor, t.clock)), day
	}
	t.g.publish(t.r, p, buffer, t.open, next)
	t.usual = 0
	if t.open {
		t.usual = t.cursor - t.start
	}
	t.open, t.number, t.start, t.part = true, b.number, t.cursor, t.cursor
	return nil
}

// endPart ends the open part when the next unit is likely not to fit, or when it is as
// long as the others will be.
func (t *track) endPart() error {
	length := t.cursor - t.part
	if length < t.limit && (length < t.least || length+t.frame <= t.limit && !t.even(length)) {
		return nil
	}
	p, buffer, err := t.flush()
	if err != nil {
		return err
	}
	t.g.publish(t.r, p, buffer, false, nil)
	return nil
}

// even reports whether the open part is as long as all that will follow in a segment
// that is as long as the one before. Else the last part might have a frame or two:
// players that look for their next part with some tolerance miss one so short.
func (t *track) even(length int64) bool {
	left := t.usual - (t.part - t.start)
	if left <= t.limit { // the last: the segment ends it
		return false
	}
	parts := (left + t.limit - 1) / t.limit
	return length+t.frame/2 >= left/parts
}

// end ends the open segment of t with nothing after it.
func (t *track) end() error {
	p, buffer, err := t.flush()
	if err != nil {
		return err
	}
	t.g.publish(t.r, p, buffer, true, nil)
	t.open = false
	return nil
}

// add appends a unit to the open part. It lasts until the next one is decoded, but
// not beyond the part or the segment: then the next is decoded sooner than its
// source said, and presented when it should be.
func (t *track) add(u *hub.Unit, lasts int64) {
	if len(t.samples) == 0 {
		t.independent, t.still = u.Key, u.Still
	}
	t.still = t.still && u.Still
	lasts = min(lasts, t.limit-(t.cursor-t.part), t.most+t.clock/4-(t.cursor-t.start))
	lasts = max(lasts, 1)
	t.samples = append(t.samples, mp4.Sample{
		Duration: uint32(lasts), CompositionOffset: int32(max(u.PTS-t.cursor, 0)), Sync: u.Key,
	})
	t.data = append(t.data, u.Data)
	t.bytes += len(u.Data)
	t.cursor += lasts
}

// flush makes the open part, or nil if it is empty.
func (t *track) flush() (*part, *buffer, error) {
	if len(t.samples) == 0 {
		return nil, nil, nil
	}
	t.sequence++
	f := mp4.Fragment{Sequence: t.sequence, DecodeTime: uint64(t.part), Samples: t.samples, Data: t.data}
	if !t.sound {
		if t.wall != 0 {
			f.Wall = time.Unix(0, t.wall+int64(duration(t.part, t.clock)))
		}
		f.Events, t.told = t.g.untold(t.told)
	}
	head, err := mp4.AppendFragmentHead(nil, f)
	if err != nil {
		return nil, nil, errors.Join(errPart, err)
	}
	b := newBuffer(head, slices.Clone(t.data), t.g.o.Buffers)
	p := &part{
		duration: t.since(t.cursor) - t.since(t.part), size: int64(b.size),
		independent: t.independent, still: t.still, frames: int32(len(t.samples)),
	}
	if t.independent && !t.sound && t.part == t.start { // all but the samples after the first
		p.key = p.size - int64(t.bytes-len(t.data[0]))
	}
	clear(t.data)
	t.samples, t.data, t.bytes, t.part = t.samples[:0], t.data[:0], 0, t.cursor
	return p, b, nil
}

// errPart is what Run ends with where a part cannot be written.
var errPart = errors.New("make a part")

// since is the time from the start of the open segment, so that parts add up.
func (t *track) since(at int64) time.Duration { return duration(at-t.start, t.clock) }
