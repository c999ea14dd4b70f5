package live

import (
	"bytes"
	"fmt"
	"time"

	"liuyun/internal/av/aac"
	"liuyun/internal/av/h264"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// channel is where units of a stream go, over all connections of its encoder.
type channel struct {
	out    *hub.Stream
	clock  clock
	tracks []hub.Track // of the present period; nil before the first
	meter  meter
}

// feed makes units of what one connection sends, and puts them into the channel.
// It is used by one goroutine at a time.
type feed struct {
	*channel
	connected time.Time

	picture hub.Track // Config is nil while unknown
	lengths int       // bytes of the length of a NAL unit
	sound   hub.Track
	frame   int64  // samples a frame of sound
	silent  []byte // a frame of silence; nil where none is known

	// What the encoder says that it will send; both where it says nothing.
	noPictures, noSound bool

	keyAt   time.Time // when the last key frame came
	stale   bool      // the tracks are others than those of the period
	started bool      // units are passed on
}

// patience is how long a feed waits for a track that it has not heard of.
const patience = 2 * time.Second

// endless is how long pictures may go on without a key frame.
const endless = 30 * time.Second

// newFeed begins a connection.
func newFeed(c *channel, encoder string, now time.Time) *feed {
	c.clock.connect()
	c.meter = meter{health: StreamHealth{Encoder: encoder, Since: now.UTC().Truncate(time.Millisecond)}}
	c.meter.tick(0)
	c.meter.filled = 0
	return &feed{channel: c, connected: now, keyAt: now, stale: true}
}

// setPicture takes a configuration record avcC, whose units have lengths of so many
// bytes.
func (f *feed) setPicture(config []byte, lengths int) error {
	f.lengths = lengths
	if f.picture.Config != nil && h264.SameConfig(f.picture.Config, config) {
		return nil
	}
	format, err := h264.FormatOf(config)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the encoder's H.264 configuration cannot be read")
	}
	name, err := h264.CodecString(config)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the encoder's H.264 configuration cannot be read")
	}
	f.picture = hub.Track{Codec: hub.H264, Clock: 1000 * pictureTicks, Config: config, Width: format.Width, Height: format.Height}
	if format.Ticks > 0 {
		f.picture.Rate = timebase.Rational{Num: format.Scale, Den: format.Ticks}
	}
	f.meter.health.VideoCodec, f.meter.health.Width, f.meter.health.Height = name, format.Width, format.Height
	f.meter.video, f.stale = true, true
	return nil
}

// setSound takes an AudioSpecificConfig.
func (f *feed) setSound(config []byte) error {
	if bytes.Equal(f.sound.Config, config) {
		return nil
	}
	c, err := aac.Parse(config)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the encoder's AAC configuration cannot be read")
	}
	f.sound = hub.Track{Codec: hub.AAC, Clock: int64(c.SampleRate), Config: config, Channels: c.Channels}
	f.frame, f.silent = aac.SamplesPerFrame, nil
	switch {
	case c.ObjectType != plainAAC:
		f.frame *= 2 // of the decoded sound, whose rate is twice that of the core
	case c.Channels == 1:
		f.silent = []byte{0x00, 0xc8, 0x00, 0x80, 0x23, 0x80}
	case c.Channels == 2:
		f.silent = []byte{0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80}
	}
	f.meter.health.AudioCodec = fmt.Sprintf("mp4a.40.%d", c.ObjectType)
	f.meter.health.SampleRate, f.meter.health.Channels = c.SampleRate, c.Channels
	f.stale = true
	return nil
}

// plainAAC is the object type of AAC-LC.
const plainAAC = 2

// putPicture takes a coded picture with its timestamp and the offset to its
// presentation, in milliseconds. It keeps data.
func (f *feed) putPicture(data []byte, stamp uint32, offset int32, at time.Time) error {
	f.meter.now.bytes += int64(len(data))
	if f.picture.Config == nil {
		f.meter.drops++
		return nil
	}
	r, err := h264.Repack(data, f.lengths)
	if err != nil {
		f.meter.drops++
		return nil
	}
	if len(r.Sequence) > 0 && len(r.Picture) > 0 {
		config, err := h264.Config(r.Sequence, r.Picture)
		if err == nil {
			err = f.setPicture(config, f.lengths)
		}
		if err != nil {
			return err
		}
	}
	if r.Slices == 0 {
		return nil
	}
	f.meter.now.pictures++
	switch {
	case r.RandomAccess:
		f.keyAt = at
	case at.Sub(f.keyAt) > endless:
		return fault.New(fault.Invalid, "no key frame has come for %.0f s, so that nobody can begin to watch: set the encoder's key frame interval to 2 s", endless.Seconds())
	}
	if f.stale && r.RandomAccess {
		f.begin(at)
	}
	if !f.started || (f.stale && !r.RandomAccess && f.picturesChanged()) {
		f.meter.drops++
		return nil
	}
	dts, pts := f.clock.picture(stamp, offset, at)
	f.out.Write(hub.Unit{Track: 0, DTS: dts, PTS: pts, Key: r.RandomAccess, Wall: at, Data: r.Data})
	f.note()
	if len(f.tracks) > 1 && f.silent != nil {
		dts, missing := f.clock.silence()
		f.fill(dts, missing, at)
	}
	return nil
}

// putSound takes a coded frame of sound with its timestamp in milliseconds. It
// keeps data.
func (f *feed) putSound(data []byte, stamp uint32, at time.Time) {
	f.meter.now.bytes += int64(len(data))
	if f.sound.Config == nil || len(data) == 0 {
		f.meter.drops++
		return
	}
	if f.stale && f.picture.Config == nil && (f.noPictures || at.Sub(f.connected) > patience) {
		f.begin(at)
	}
	track := len(f.tracks) - 1
	if !f.started || track < 0 || f.tracks[track].Codec != hub.AAC || !bytes.Equal(f.tracks[track].Config, f.sound.Config) {
		return // before the first picture, or before the period that has this sound
	}
	dts, missing, use := f.clock.sound(stamp, at)
	if !use {
		f.meter.drops++
		return
	}
	if f.silent != nil {
		f.fill(dts-missing*f.frame, missing, at)
	}
	f.out.Write(hub.Unit{Track: track, DTS: dts, PTS: dts, Key: true, Wall: at, Data: data})
	f.note()
}

// fill writes frames of silence.
func (f *feed) fill(dts, frames int64, at time.Time) {
	for i := range frames {
		moment := dts + i*f.frame
		f.out.Write(hub.Unit{Track: len(f.tracks) - 1, DTS: moment, PTS: moment, Key: true, Wall: at, Data: f.silent})
	}
	f.meter.silence += frames
	f.meter.now.silence += frames
}

// note takes over what the clock saw.
func (f *feed) note() {
	f.meter.noteDrift(f.clock.drift)
	f.meter.now.jumps += f.clock.jumps
	f.clock.jumps = 0
}

// begin begins a period with the tracks of this connection, unless it is the
// present one: an encoder that comes back as it was goes on where it was.
func (f *feed) begin(at time.Time) {
	waiting := at.Sub(f.connected) <= patience
	if f.sound.Config == nil && f.picture.Config != nil && !f.noSound && waiting {
		return
	}
	var tracks []hub.Track
	for _, t := range []hub.Track{f.picture, f.sound} {
		if t.Config != nil {
			tracks = append(tracks, t)
		}
	}
	f.stale, f.started = false, true
	if f.sound.Config == nil {
		f.clock.setSound(0, 0)
	} else {
		f.clock.setSound(f.sound.Clock, f.frame)
	}
	if !sameTracks(f.tracks, tracks) {
		f.tracks = tracks
		f.out.Begin(tracks)
	}
}

// picturesChanged reports whether pictures can no longer be of the present period.
func (f *feed) picturesChanged() bool {
	return len(f.tracks) == 0 || !f.tracks[0].Codec.Video() || !h264.SameConfig(f.tracks[0].Config, f.picture.Config)
}

func sameTracks(a, b []hub.Track) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		same := a[i].Codec == b[i].Codec && a[i].Clock == b[i].Clock
		if a[i].Codec == hub.H264 {
			same = same && h264.SameConfig(a[i].Config, b[i].Config)
		} else {
			same = same && bytes.Equal(a[i].Config, b[i].Config)
		}
		if !same {
			return false
		}
	}
	return true
}
