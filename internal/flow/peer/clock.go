package peer

import (
	"time"

	"liuyun/internal/flow/ingest"
)

// common is the time that the tracks of one sender share. Until its reports say how
// the tracks belong together, when they came says it.
type common struct {
	begin time.Time // when the first packet came

	reported bool
	base     int64 // ticks of the common time at the sender's zero (NTP)
}

// Limits of what reports may do.
const (
	// slew is how much faster or slower a track's time may go while it moves to where
	// a report says it belongs: one part in so many.
	slew = 40
	// farthest is how far off a report may say that a track is. What says more is about
	// a clock that was set.
	farthest = 2 * ingest.Timescale
)

// trackClock turns the RTP timestamps of one track into the common time.
type trackClock struct {
	common *common
	rate   int64 // ticks a second of the timestamps

	unwrap ingest.Unwrapper
	known  bool
	last   int64 // timestamp
	offset int64 // of the common time to that of the track, in ingest.Timescale
	target int64 // where a report says that offset belongs
}

func newTrackClock(c *common, rate int64) *trackClock {
	return &trackClock{common: c, rate: rate, unwrap: ingest.Unwrapper{Bits: 32}}
}

// ticks is a timestamp of the track in ingest.Timescale.
func (t *trackClock) ticks(stamp int64) int64 { return stamp * ingest.Timescale / t.rate }

// at returns the common time of a timestamp of a packet that came then.
func (t *trackClock) at(stamp uint32, at time.Time) int64 {
	now := t.unwrap.Unwrap(uint64(stamp))
	if !t.known {
		t.known, t.last = true, now
		if t.common.begin.IsZero() {
			t.common.begin = at
		}
		t.offset = at.Sub(t.common.begin).Microseconds()*(ingest.Timescale/1000)/1000 - t.ticks(now)
		t.target = t.offset
	}
	if step := max(0, t.ticks(now-t.last)/slew); t.offset < t.target {
		t.offset = min(t.offset+step, t.target)
	} else {
		t.offset = max(t.offset-step, t.target)
	}
	t.last = max(t.last, now)
	return t.ticks(now) + t.offset
}

// report takes a sender report: the sender's time, in NTP, of a timestamp.
func (t *trackClock) report(ntp uint64, stamp uint32) {
	if ntp == 0 || !t.known {
		return
	}
	// The report's timestamp is near the last one; it must not move what is unwrapped.
	near := t.unwrap
	moment := t.ticks(near.Unwrap(uint64(stamp)))
	sender := int64(ntp>>32)*ingest.Timescale + int64((ntp&0xffffffff)*ingest.Timescale>>32)
	off := t.common.base + sender - moment - t.offset
	if !t.common.reported || off > farthest || off < -farthest {
		t.common.reported = true
		t.common.base = moment + t.offset - sender
		return
	}
	t.target = t.offset + off
}

// settle moves the track at once to where it belongs: nothing of it is used yet.
func (t *trackClock) settle() { t.offset = t.target }
