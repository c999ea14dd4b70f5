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
	// Endless lets pictures go on without key frames: somebody decodes them from the first
	// on. Else an encoder that sends none for half a minute is refused.
	Endless bool
	// Offer is asked whether a feed that is not on air shall be, when that has a key
	// frame; it calls Take if so. nil is no.
	Offer func(f *Feed, at time.Time)

	out    *hub.Stream
	clock  clock
	tracks []hub.Track // of the present period; nil before the first
	sound  sounding    // of the present period
	onAir  *Feed
	still  hub.Unit // the last picture of the period with which decoding begins

	holding bool // nothing has come since Hold went on in its place
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
	if was := c.onAir; was != nil {
		was.started = false
	}
	c.onAir = f
	c.clock.connect()
	f.stale, f.started, f.broken = true, false, false
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
func (c *Channel) begin(tracks []hub.Track, sound sounding) {
	c.sound = sound
	if !sameTracks(c.tracks, tracks) {
		c.tracks, c.still = tracks, hub.Unit{}
		c.out.Begin(tracks)
	}
}

// stillStep is how far the pictures of a slate are apart: parts of windows are no
// shorter.
const stillStep = 200 * ms

// Hold fills the time of the stream up to now where nothing has come for as long as
// after says: the last key frame is repeated, and silence where sound is missing too.
// Who is on air then goes on at a key frame, because what comes before that refers to
// pictures that decoders have thrown away.
func (c *Channel) Hold(now time.Time, after time.Duration) {
	if len(c.tracks) == 0 {
		return
	}
	end := c.clock.at(now)
	silent := c.clock.quietSince(sounds, now) >= after
	if c.tracks[0].Codec.Video() {
		if c.onAir != nil { // who sends few pictures sends them all the same
			after = max(after, 3*timeOf(c.clock.lanes[pictures].step))
		}
		if c.still.Data == nil || (!c.holding && c.clock.quietSince(pictures, now) < after) {
			return
		}
		c.holdPicture(end, now)
	}
	if silent && c.sound.silent != nil {
		dts, missing := c.clock.silenceUntil(end, c.sound.quiet)
		c.fill(dts, missing, now)
		c.holding = c.holding || missing > 0
	}
}

// holdPicture repeats the last key frame up to end.
func (c *Channel) holdPicture(end int64, now time.Time) {
	for {
		dts, due := c.clock.still(end)
		if !due {
			return
		}
		u := c.still
		u.DTS, u.PTS, u.Wall, u.Still = dts, dts+c.still.PTS-c.still.DTS, now, true
		c.out.Write(u)
		c.holding = true
		if c.onAir != nil {
			c.onAir.broken = true
		}
	}
}

// Begun reports whether something has been on air.
func (c *Channel) Begun() bool { return len(c.tracks) > 0 }

// Holding reports whether what goes out now is what Hold makes.
func (c *Channel) Holding() bool { return c.holding }

// fill writes frames of silence.
func (c *Channel) fill(dts, frames int64, at time.Time) {
	for i := range frames {
		moment := dts + i*c.sound.quiet
		c.out.Write(hub.Unit{Track: len(c.tracks) - 1, DTS: moment, PTS: moment, Key: true, Wall: at, Data: c.sound.silent})
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

// Alike reports whether two connections send what one decoder can be set up for, as
// far as is known of both.
func Alike(a, b *Feed) bool {
	pictures := a.picture.Config == nil || b.picture.Config == nil || sameTrack(&a.picture, &b.picture)
	sound := !a.sound.known() || !b.sound.known() || sameTrack(&a.sound.track, &b.sound.track)
	return pictures && sound
}
