package live

import "time"

// What the clock takes for a mistake of the encoder, in milliseconds.
const (
	longestStep    = 2500  // time without any unit that is kept; more of it is closed up
	unexplained    = 1000  // a step ahead may be so much longer than the time that really passed
	backStep       = 100   // units may be so much out of order
	apart          = 10000 // the tracks of a stream may begin so far from each other
	joint          = 100   // from the last unit of one connection to the first of the next
	usualStep      = 20    // from a track's last unit to the next where nothing tells
	silenceMargin  = 500   // silence is made up to so much behind the pictures
	silencePatient = 1000  // sound is missing when pictures are so far ahead of it …
	silenceLongest = 8000  // … at first; sound that came later all the same gets more time
	longestOffset  = 10000 // from decoding to presentation; more is nonsense
	pictureTicks   = 90    // a millisecond
)

// clock makes of an encoder's timestamps those of a hub stream. Encoders give
// milliseconds in 32 bits, from any beginning. What comes out grows within a track
// for as long as the clock lives, over wraps, jumps in both directions and new
// connections, and what belongs together stays together: all tracks are moved by
// the same amount wherever their timestamps allow it.
//
// It reads no clock, so that the same input gives the same output.
type clock struct {
	rate, frame int64 // of sound: samples a second, samples a frame; 0 without sound

	lanes  [2]lane
	head   int64 // of the newest unit, in milliseconds of the output
	headAt time.Time
	floor  int64 // nothing comes before it

	raw   uint32 // the newest timestamp, and the same without wraps
	wide  int64
	wraps bool // both hold

	anchor   int64 // an input, and when it came: what drift is counted from
	anchorAt time.Time
	drift    time.Duration
	jumps    int64 // so often a timestamp could not be
	awaits   bool  // pictures have come, and sound is to come
	awaited  int64 // since then
	patience int64 // how far pictures may be ahead of sound
}

// The lanes of a clock.
const (
	pictures = iota
	sounds
)

// lane is one track on the clock.
type lane struct {
	moved bool  // shift holds, for this connection
	shift int64 // from input to output, in milliseconds
	begun bool  // what follows holds
	ms    int64 // of the newest unit, in milliseconds of the output
	step  int64 // to it from the one before
	next  int64 // ticks: the least that the next unit may have; of sound, what it should have
}

// newClock returns a clock whose first unit comes at start or right after it.
func newClock(start time.Duration) clock {
	ms := max(0, start.Milliseconds())
	return clock{head: ms, floor: ms, patience: silencePatient}
}

// connect begins another connection: its timestamps have nothing to do with those
// of the one before.
func (c *clock) connect() {
	c.wraps, c.patience, c.drift, c.anchorAt = false, silencePatient, 0, time.Time{}
	for i := range c.lanes {
		c.lanes[i].moved = false
	}
}

// setSound says how sound is coded from now on; zeros are no sound.
func (c *clock) setSound(rate, frame int64) {
	l := &c.lanes[sounds]
	switch {
	case rate == 0:
		*l, c.awaits = lane{}, false
	case l.begun && c.rate != rate:
		l.next = (l.next*rate + c.rate - 1) / c.rate
	}
	c.rate, c.frame = rate, frame
}

// picture places a picture that came at a time with a timestamp and an offset from
// decoding to presentation, in milliseconds.
func (c *clock) picture(stamp uint32, offset int32, at time.Time) (dts, pts int64) {
	l := &c.lanes[pictures]
	dts = max(l.next, c.place(pictures, stamp, at)*pictureTicks)
	l.next = dts + 1
	if offset > longestOffset || offset < -longestOffset {
		offset = 0
	}
	return dts, dts + int64(offset)*pictureTicks
}

// sound places a frame of sound. Missing is how many frames of silence belong
// before it: they begin at dts − missing frames. A frame whose time is over already
// is not to be used.
func (c *clock) sound(stamp uint32, at time.Time) (dts int64, missing int64, use bool) {
	l := &c.lanes[sounds]
	begun := l.begun
	want := c.samples(c.place(sounds, stamp, at))
	dts = want
	if begun {
		// Timestamps have whole milliseconds: sound goes on sample by sample.
		dts = l.next
		slack := 2 * c.frame
		switch ahead := want - l.next; {
		case ahead < -slack:
			c.patience = min(2*c.patience, silenceLongest)
			return 0, 0, false
		case ahead > slack:
			missing = min(ahead/c.frame, c.framesIn(silenceLongest))
			dts = l.next + ahead/c.frame*c.frame
		}
	}
	l.next = dts + c.frame
	return dts, missing, true
}

// silence says how many frames of sound are missing behind the pictures, and where
// the first of them goes: an encoder that sends pictures alone would keep players
// waiting for sound. Their places are then taken.
func (c *clock) silence() (dts, missing int64) {
	p, l := &c.lanes[pictures], &c.lanes[sounds]
	if c.rate == 0 || !p.begun {
		return 0, 0
	}
	if !l.begun {
		if !c.awaits {
			c.awaits, c.awaited = true, p.ms
		}
		if p.ms-c.awaited < c.patience {
			return 0, 0
		}
		l.begun, l.ms, l.step, l.next = true, max(c.floor, c.awaited-apart), usualStep, c.samples(c.awaited)
	}
	end := l.next * 1000 / c.rate
	if p.ms-end < c.patience {
		return 0, 0
	}
	dts = l.next
	missing = min((c.samples(p.ms-silenceMargin)-dts)/c.frame, c.framesIn(silenceLongest))
	l.next += missing * c.frame
	return dts, missing
}

func (c *clock) samples(ms int64) int64 { return (ms*c.rate + 500) / 1000 }

// framesIn is how many frames of sound so many milliseconds have.
func (c *clock) framesIn(ms int64) int64 { return ms * c.rate / 1000 / c.frame }

// place finds the moment of a unit, in milliseconds of the output. It is that of
// the unit before moved on by what the encoder says, unless that cannot be.
func (c *clock) place(which int, stamp uint32, at time.Time) int64 {
	l, other := &c.lanes[which], &c.lanes[1-which]
	wide := c.unwrap(stamp)
	shift, found := c.shiftOf(l, other, wide, at)
	if !found {
		if l.moved {
			c.jumps++
		}
		shift = c.goOn(l, other) - wide
		c.anchor, c.anchorAt = wide, at
	}
	l.moved, l.shift = true, shift
	if !c.anchorAt.IsZero() {
		c.drift = time.Duration(wide-c.anchor)*time.Millisecond - at.Sub(c.anchorAt)
	}
	ms := wide + l.shift
	if l.begun {
		l.step = min(max(ms-l.ms, 1), longestStep)
	} else {
		l.begun, l.step = true, usualStep
	}
	l.ms = max(l.ms, ms)
	if ms > c.head {
		c.head, c.headAt = ms, at
	}
	return ms
}

// shiftOf chooses how a unit is moved: as the one before on its track, or as those
// of the other track after a jump of both.
func (c *clock) shiftOf(l, other *lane, wide int64, at time.Time) (shift int64, found bool) {
	expected, nearest := l.ms+l.step, int64(0)
	for _, by := range [2]*lane{l, other} {
		if !by.moved || !c.fits(l, wide+by.shift, at) {
			continue
		}
		away := max(wide+by.shift-expected, expected-wide-by.shift)
		if !found || away < nearest {
			shift, nearest, found = by.shift, away, true
		}
	}
	return shift, found
}

// goOn is where a unit goes whose timestamp says nothing.
func (c *clock) goOn(l, other *lane) int64 {
	switch {
	case !l.begun && !other.begun:
		return c.head
	case !l.moved && !other.moved: // a new connection
		return c.head + joint
	case !l.begun:
		return c.head
	}
	return max(c.head, l.ms+l.step)
}

// fits reports whether a unit of a lane may be at that moment.
func (c *clock) fits(l *lane, ms int64, at time.Time) bool {
	if ms < c.floor || (l.begun && ms < l.ms-backStep) || (!l.begun && ms < c.head-apart) {
		return false
	}
	ahead := ms - c.head
	if !l.begun {
		return ahead <= apart
	}
	return ahead <= unexplained || (ahead <= longestStep && ahead-at.Sub(c.headAt).Milliseconds() <= unexplained)
}

// unwrap makes 64 bits of 32, by the shorter way round.
func (c *clock) unwrap(stamp uint32) int64 {
	if c.wraps {
		c.wide += int64(int32(stamp - c.raw))
	} else {
		c.wide, c.wraps = int64(stamp), true
	}
	c.raw = stamp
	return c.wide
}
