package ingest

import (
	"bytes"
	"time"

	"liuyun/internal/flow/hub"
)

// Channel is where units of a stream go, over all connections of its encoders. One of
// their feeds is on air; the others are only looked at. It is used by one goroutine at
// a time, with all its feeds.
type Channel struct {
	// Spliced gets what encoders say of splices, with the moment of a picture of the
	// stream that each belongs to, in ticks of Timescale. nil is nobody.
	Spliced func(section []byte, pts int64)

	out    *hub.Stream
	clock  clock
	tracks []hub.Track // of the present period; nil before the first
	onAir  *Feed
}

// NewChannel returns a channel whose first unit comes at start or right after it. What
// is written to out is of no period before that.
func NewChannel(out *hub.Stream, start time.Duration) *Channel {
	return &Channel{out: out, clock: newClock(start)}
}

// Head is how far the time of the stream has come.
func (c *Channel) Head() time.Duration { return timeOf(c.clock.head + joint) }

// Connect begins a connection. Nothing of it goes on before Take.
func (c *Channel) Connect(now time.Time) *Feed {
	return &Feed{channel: c, connected: now, keyAt: now, meter: newMeter()}
}

// Take puts a feed on air, from its next key frame on.
func (c *Channel) Take(f *Feed) {
	c.onAir = f
	c.clock.connect()
	f.stale, f.started = true, false
}

// Drop takes a feed off the air, where it is there.
func (c *Channel) Drop(f *Feed) {
	if c.onAir == f {
		c.onAir = nil
	}
	f.started = false
}

// begin begins a period, unless it is the present one: an encoder that comes back as
// it was goes on where it was.
func (c *Channel) begin(tracks []hub.Track) {
	if !sameTracks(c.tracks, tracks) {
		c.tracks = tracks
		c.out.Begin(tracks)
	}
}

func sameTracks(a, b []hub.Track) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameTrack(&a[i], &b[i]) {
			return false
		}
	}
	return true
}

func sameTrack(a, b *hub.Track) bool {
	return a.Codec == b.Codec && a.Clock == b.Clock && bytes.Equal(a.Config, b.Config)
}
