package rtsp

import (
	"time"

	"github.com/pion/rtcp"

	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/ingest"
)

// clock puts the timestamps of the tracks of one source, each of which begins
// anywhere and has a rate of its own, on one time of [ingest.Timescale] ticks.
//
// At first a track's timestamps stand where its first packet came. Once sender reports
// (RFC 3550, 6.4.1) say of the leading track and another which of their timestamps are
// of the same moment, the other is put beside the leading one by them.
type clock struct {
	start   time.Time // when the first packet of all came: time 0
	leading int       // the track that stays where it is: pictures, where there are some
	tracks  []trackClock
}

type trackClock struct {
	rate   int64
	unwrap ingest.Unwrapper
	zero   int64 // ticks at timestamp 0, unwrapped
	known  bool  // a packet has come

	reported bool   // a report has come:
	ntp      uint64 // at this moment, in 2^-32 s,
	stamp    uint32 // this was the timestamp
}

// Reports are believed that move a track by less than this: clocks of cameras that are
// set while they send, or that differ from track to track, say more.
const believable = 2 * ingest.Timescale

// steady is how far from its place, as reports say it, a track may be: they tremble.
const steady = ingest.Timescale / 100

// add adds a track and returns its number.
func (c *clock) add(rate int) int {
	c.tracks = append(c.tracks, trackClock{rate: int64(rate), unwrap: ingest.Unwrapper{Bits: 32}})
	return len(c.tracks) - 1
}

// time returns the moment of a timestamp of a packet that came at that time.
func (c *clock) time(track int, stamp uint32, at time.Time) int64 {
	t := &c.tracks[track]
	value := t.unwrap.Unwrap(uint64(stamp))
	if c.start.IsZero() {
		c.start = at
	}
	if !t.known {
		t.known = true
		arrived := timebase.MulDiv(int64(at.Sub(c.start)), ingest.Timescale, int64(time.Second))
		t.zero = arrived - t.ticks(value)
		c.align()
	}
	return t.zero + t.ticks(value)
}

// ticks turns a length of the track's own time into ticks.
func (t *trackClock) ticks(value int64) int64 {
	return timebase.MulDiv(value, ingest.Timescale, t.rate)
}

// at returns the moment that the track's report says is ntp.
func (t *trackClock) at(ntp uint64) int64 {
	near := t.unwrap // a copy: what is unwrapped here is not the last packet
	passed := int64(ntp - t.ntp)
	seconds, part := passed>>32, passed&(1<<32-1)
	return t.zero + t.ticks(near.Unwrap(uint64(t.stamp))) + seconds*ingest.Timescale + part*ingest.Timescale>>32
}

// report takes a sender report of a track.
func (c *clock) report(track int, r *rtcp.SenderReport) {
	if r.NTPTime == 0 {
		return // it has no time of day
	}
	t := &c.tracks[track]
	t.reported, t.ntp, t.stamp = true, r.NTPTime, r.RTPTime
	c.align()
}

// align puts the other tracks beside the leading one, as far as that is known.
func (c *clock) align() {
	lead := &c.tracks[c.leading]
	if !lead.known || !lead.reported {
		return
	}
	for i := range c.tracks {
		t := &c.tracks[i]
		if i == c.leading || !t.known || !t.reported {
			continue
		}
		off := t.at(t.ntp) - lead.at(t.ntp)
		if max(off, -off) > steady && max(off, -off) < believable {
			t.zero -= off
		}
	}
}
