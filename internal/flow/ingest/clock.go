package ingest

import (
	"math"
	"time"

	"liuyun/internal/base/timebase"
)

// What the clock takes for a mistake of the encoder, in ticks.
const (
	ms             = Timescale / 1000
	longestStep    = 2500 * ms  // time without any unit that is kept; more of it is closed up
	unexplained    = 1000 * ms  // a step ahead may be so much longer than the time that really passed
	backStep       = 100 * ms   // units may be so much out of order
	apart          = 10000 * ms // the tracks of a stream may begin so far from each other
	joint          = 100 * ms   // from the last unit of one connection to the first of the next
	usualStep      = 20 * ms    // from a track's last unit to the next where nothing tells
	silenceMargin  = 500 * ms   // silence is made up to so much behind the pictures
	silencePatient = 1000 * ms  // sound is missing when pictures are so far ahead of it …
	silenceLongest = 8000 * ms  // … at first; sound that came later all the same gets more time
	longestOffset  = 10000 * ms // from decoding to presentation; more is nonsense
	largestStamp   = 1 << 52    // so that nothing overflows; more is nonsense
)

// settling is how long drift is not counted for what comes early.
const settling = 10 * time.Second

// clock makes of an encoder's timestamps those of a hub stream. Encoders begin
// anywhere. What comes out grows within a track for as long as the clock lives, over
// jumps in both directions and new connections, and what belongs together stays
// together: all tracks are moved by the same amount wherever their timestamps allow
// it. All times are ticks of Timescale, but for those of sound that is passed on.
//
// It reads no clock, so that the same input gives the same output.
type clock struct {
	rate int64 // of sound: samples a second; 0 without sound

	lanes  [2]lane
	head   int64 // of the newest unit of the output
	headAt time.Time
	floor  int64 // nothing comes before it

	anchor   int64 // an input, and when it came: what drift is counted from
	anchorAt time.Time
	settles  time.Time // until then what comes early is the anchor: an encoder may begin with what it has stored
	drift    time.Duration
	jumps    int64 // so often a timestamp could not be
	awaits   bool  // pictures have come, and sound is to come
	awaited  int64 // since then
	patience int64 // how far pictures may be ahead of sound
	invented bool  // silence was made after the last sound
}

// The lanes of a clock.
const (
	pictures = iota
	sounds
)

// lane is one track on the clock.
type lane struct {
	moved bool      // shift holds, for this connection
	shift int64     // from input to output
	begun bool      // what follows holds
	at    int64     // of the newest unit of the output
	came  time.Time // when that came
	held  int64     // units may be as early as this: what is later was made by us
	step  int64     // to it from the one before
	next  int64     // the least that the next picture may have; of sound, the sample that it should have
}

// newClock returns a clock whose first unit comes at start or right after it.
func newClock(start time.Duration) clock {
	at := max(0, start.Milliseconds()) * ms
	return clock{head: at, floor: at, patience: silencePatient}
}

// connect begins another connection: its timestamps have nothing to do with those
// of the one before.
func (c *clock) connect() {
	c.patience, c.invented, c.drift, c.anchorAt = silencePatient, false, 0, time.Time{}
	for i := range c.lanes {
		c.lanes[i].moved, c.lanes[i].held = false, c.lanes[i].at
	}
}

// quietSince is how long nothing has come on a lane; for ever where nothing ever has.
func (c *clock) quietSince(which int, now time.Time) time.Duration {
	if l := &c.lanes[which]; l.begun {
		return now.Sub(l.came)
	}
	return math.MaxInt64
}

// at is the moment of the output that now is.
func (c *clock) at(now time.Time) int64 {
	if c.headAt.IsZero() { // nothing has come
		return c.head
	}
	return c.head + max(0, ticksOf(now.Sub(c.headAt)))
}

// still places a picture that nobody sent, as long as one has its place before end.
func (c *clock) still(end int64) (dts int64, due bool) {
	l := &c.lanes[pictures]
	if !l.begun || l.at+stillStep > end {
		return 0, false
	}
	l.at = max(l.at+stillStep, end-silenceLongest) // the machine may have slept
	dts = max(l.next, l.at)
	l.next = dts + 1
	c.reach(l.at)
	return dts, true
}

// reach moves the head on, to a moment that is not later than now.
func (c *clock) reach(moment int64) {
	if moment > c.head {
		c.headAt = c.headAt.Add(timeOf(moment - c.head))
		c.head = moment
	}
}

// silenceUntil says how many frames of silence, of so many samples, go before end, and
// where the first of them goes. Their places are then taken.
func (c *clock) silenceUntil(end, quiet int64) (dts, missing int64) {
	l := &c.lanes[sounds]
	if c.rate == 0 {
		return 0, 0
	}
	if !l.begun {
		l.begun, l.at, l.step, l.next = true, end-stillStep, usualStep, c.samples(end-stillStep)
	}
	dts = max(l.next, c.samples(end-silenceLongest))
	missing = max(0, (c.samples(end)-dts)/quiet)
	l.next = dts + missing*quiet
	l.at = max(l.at, timebase.MulDiv(l.next, Timescale, c.rate))
	c.reach(l.at)
	c.invented = true
	return dts, missing
}

// setSound says how many samples a second sound has from now on; 0 is no sound.
func (c *clock) setSound(rate int64) {
	l := &c.lanes[sounds]
	switch {
	case rate == 0:
		*l, c.awaits = lane{}, false
	case l.begun && c.rate != rate:
		l.next = (l.next*rate + c.rate - 1) / c.rate
	}
	c.rate = rate
}

// picture places a picture that came at a time with its timestamps.
func (c *clock) picture(stamp, shown int64, at time.Time) (dts, pts int64) {
	l := &c.lanes[pictures]
	stamp = min(max(stamp, -largestStamp), largestStamp)
	offset := shown - stamp
	if offset > longestOffset || offset < -longestOffset {
		offset = 0
	}
	dts = max(l.next, c.place(pictures, stamp, at))
	l.next = dts + 1
	return dts, dts + offset
}

// sound places a frame of sound, of so many samples, whose silence has as many as
// quiet says; 0 where none can be made. Missing is how many frames of silence belong
// before it: they begin at dts − missing frames; it is 1 where none can be made. A frame whose time is over already is
// not to be used.
func (c *clock) sound(stamp, frame, quiet int64, at time.Time) (dts int64, missing int64, use bool) {
	l := &c.lanes[sounds]
	begun := l.begun
	stamp = min(max(stamp, -largestStamp), largestStamp)
	dts = c.samples(c.place(sounds, stamp, at))
	if begun {
		// Timestamps are coarse: sound goes on sample by sample.
		ahead := dts - l.next
		slack := 2 * frame
		switch {
		case ahead < -slack:
			if c.invented { // what comes now comes late, not twice
				c.patience, c.invented = min(2*c.patience, silenceLongest), false
			}
			return 0, 0, false
		case ahead <= slack:
			dts = l.next
		case quiet == 0:
			missing = 1
		default:
			missing = min(ahead/quiet, c.samples(silenceLongest)/quiet)
			dts = l.next + ahead/quiet*quiet
		}
	}
	l.next, c.invented = dts+frame, false
	return dts, missing, true
}

// silence says how many frames of silence, of so many samples, are missing behind the
// pictures, and where the first of them goes: an encoder that sends pictures alone
// would keep players waiting for sound. Their places are then taken.
func (c *clock) silence(quiet int64) (dts, missing int64) {
	p, l := &c.lanes[pictures], &c.lanes[sounds]
	if c.rate == 0 || !p.begun {
		return 0, 0
	}
	if !l.begun {
		if !c.awaits {
			c.awaits, c.awaited = true, p.at
		}
		if p.at-c.awaited < c.patience {
			return 0, 0
		}
		l.begun, l.at, l.step, l.next = true, max(c.floor, c.awaited-apart), usualStep, c.samples(c.awaited)
	}
	end := timebase.MulDiv(l.next, Timescale, c.rate)
	if p.at-end < c.patience {
		return 0, 0
	}
	dts = l.next
	missing = min(c.samples(p.at-silenceMargin)-dts, c.samples(silenceLongest)) / quiet
	l.next += missing * quiet
	c.invented = true
	return dts, missing
}

func (c *clock) samples(at int64) int64 { return timebase.MulDiv(at, c.rate, Timescale) }

// place finds the moment of a unit in the output. It is that of the unit before moved
// on by what the encoder says, unless that cannot be.
func (c *clock) place(which int, stamp int64, at time.Time) int64 {
	l, other := &c.lanes[which], &c.lanes[1-which]
	shift, found := c.shiftOf(l, other, stamp, at)
	if !found {
		if l.moved {
			c.jumps++
		}
		shift = c.goOn(l, other, at) - stamp
		c.anchor, c.anchorAt, c.settles = stamp, at, at.Add(settling)
	}
	l.moved, l.shift = true, shift
	if !c.anchorAt.IsZero() {
		c.drift = timeOf(stamp-c.anchor) - at.Sub(c.anchorAt)
	}
	if c.drift > 0 && at.Before(c.settles) {
		c.anchor, c.anchorAt, c.drift = stamp, at, 0
	}
	moment := stamp + l.shift
	if l.begun {
		l.step = min(max(moment-l.at, 1), longestStep)
	} else {
		l.begun, l.step = true, usualStep
	}
	l.at, l.came = max(l.at, moment), at
	l.held = min(l.at, max(l.held, moment))
	if moment > c.head {
		c.head, c.headAt = moment, at
	}
	return moment
}

// timeOf is how long so many ticks are.
func timeOf(ticks int64) time.Duration {
	return time.Duration(timebase.MulDiv(ticks, int64(time.Second), Timescale))
}

// ticksOf is how many ticks have passed after so long.
func ticksOf(d time.Duration) int64 { return timebase.MulDiv(int64(d), Timescale, int64(time.Second)) }

// shiftOf chooses how a unit is moved: as the one before on its track, or as those
// of the other track after a jump of both.
func (c *clock) shiftOf(l, other *lane, stamp int64, at time.Time) (shift int64, found bool) {
	expected, nearest := l.at+l.step, int64(0)
	for _, by := range [2]*lane{l, other} {
		if !by.moved || !c.fits(l, stamp+by.shift, at) {
			continue
		}
		away := max(stamp+by.shift-expected, expected-stamp-by.shift)
		if !found || away < nearest {
			shift, nearest, found = by.shift, away, true
		}
	}
	return shift, found
}

// goOn is where a unit goes whose timestamp says nothing.
func (c *clock) goOn(l, other *lane, at time.Time) int64 {
	switch {
	case !l.begun && !other.begun:
		return c.head
	case !l.moved && !other.moved: // a new connection
		if passed := ticksOf(at.Sub(c.headAt)); passed >= 0 && passed <= longestStep {
			return c.head + max(passed, usualStep)
		}
		return c.head + joint
	case !l.begun:
		return c.head
	}
	return max(c.head, l.at+l.step)
}

// fits reports whether a unit of a lane may be at that moment.
func (c *clock) fits(l *lane, moment int64, at time.Time) bool {
	if moment < c.floor || (l.begun && moment < min(l.at, l.held)-backStep) || (!l.begun && moment < c.head-apart) {
		return false
	}
	ahead := moment - c.head
	if !l.begun {
		return ahead <= apart
	}
	return ahead <= unexplained || (ahead <= longestStep && ahead-ticksOf(at.Sub(c.headAt)) <= unexplained)
}

// shown is the moment of the output that a timestamp of pictures is, as far as it is
// known.
func (c *clock) shown(stamp int64) (moment int64, known bool) {
	l := &c.lanes[pictures]
	if !l.moved || stamp < -largestStamp || stamp > largestStamp {
		return 0, false
	}
	return stamp + l.shift, true
}

// offset is how far pictures are ahead of sound.
func (c *clock) offset() int64 {
	p, l := &c.lanes[pictures], &c.lanes[sounds]
	if !p.begun || !l.begun || c.rate == 0 {
		return 0
	}
	return p.at - l.at
}
