package window

import "time"

// wallClock says what time of day a moment of the stream was. Units come late now and
// then, and never early: what counts is the least difference between the time of day
// and that of the stream within the last seconds. It follows a drift slowly, and a
// jump, which is what remains of an outage, at once.
type wallClock struct {
	valid  bool
	offset time.Duration // time of day, since 1970, at the stream's zero
	low    time.Duration // least offset since from
	from   time.Duration
	last   time.Duration // offset of the unit before
}

const (
	wallLook  = 2 * time.Second        // of the stream, between two looks
	wallSlew  = 5 * time.Millisecond   // at most, at a look
	wallBack  = 200 * time.Millisecond // at most, at a look, back: times in a playlist only grow
	wallJump  = time.Second            // what lasts for a look and is larger is no delay
	wallBreak = 5 * time.Second        // between two units: nobody waits that long for a packet
	wallFine  = 500 * time.Microsecond // smaller differences are not followed
)

// see takes a unit, and reports whether a new segment should begin, with it if it is a
// key frame, because its time of day is another than the segment before would say.
// rfc8216bis 6.2.1 wants a discontinuity there.
func (w *wallClock) see(at time.Duration, day time.Time, key bool) bool {
	if day.IsZero() {
		return false
	}
	now := time.Duration(day.UnixNano()) - at
	if !w.valid {
		w.reset(at, day)
		return false
	}
	broke := now-w.last > wallBreak && key
	w.last = now
	if broke {
		w.reset(at, day)
		return true
	}
	w.low = min(w.low, now)
	if at-w.from < wallLook {
		return false
	}
	jumped := false
	switch off := w.low - w.offset; {
	case off > wallJump:
		w.offset, jumped = w.low, true
	case off < -wallBack/2: // no unit comes early: what was thought of as its time was late
		w.offset += max(off, -wallBack)
	case off.Abs() > wallFine:
		w.offset += min(max(off/8, -wallSlew), wallSlew)
	}
	w.low, w.from = now, at
	return jumped
}

// reset begins anew with a unit.
func (w *wallClock) reset(at time.Duration, day time.Time) {
	*w = wallClock{}
	if day.IsZero() {
		return
	}
	now := time.Duration(day.UnixNano()) - at
	*w = wallClock{valid: true, offset: now, low: now, from: at, last: now}
}
