package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// Feed makes units of what one connection sends, and puts them into its channel while
// it is on air. It is what an Input does, but for its end.
type Feed struct {
	channel   *Channel
	connected time.Time
	meter     meter

	coding  coding    // nil while unknown
	picture hub.Track // Config is nil while unknown
	sound   sounding
	kept    [][]byte // units of one picture; of the call

	// What the encoder says that it will send; both where it says nothing.
	noPictures, noSound bool

	keyAt   time.Time // when the last key frame came
	keyDTS  int64     // and its timestamp, if keyed
	keyed   bool
	stale   bool  // the tracks are others than those of the period
	started bool  // units are passed on
	leading bool  // decoding has begun with a picture that others refer beyond
	opened  int64 // when that is presented
	broken  bool  // pictures that were made in between keep all but a key frame from being decoded
}

// patience is how long a feed waits for a track that it has not heard of.
const patience = 2 * time.Second

// endless is how long pictures may go on without a key frame.
const endless = 30 * time.Second

var errUnit = errors.New("a unit without a header")

// Started reports whether what comes is passed on.
func (f *Feed) Started() bool { return f.started }

// Pictures reports whether pictures are to come.
func (f *Feed) Pictures() bool { return f.meter.about.HasPictures }

// Tick ends a second of the report, that was so long.
func (f *Feed) Tick(length time.Duration) { f.meter.tick(length) }

// Received is how many bytes of pictures and sound have come, until now.
func (f *Feed) Received() int64 { return f.meter.bytes + f.meter.now.bytes }

// Report is how it goes, as of the last tick.
func (f *Feed) Report() Report { return f.meter.report() }

// Expect says what will come, see [Input].
func (f *Feed) Expect(pictures, sound bool) {
	if pictures || sound {
		f.noPictures, f.noSound = !pictures, !sound
	}
}

// Video sets what pictures are decoded with, see [Input].
func (f *Feed) Video(codec hub.Codec, config []byte) error {
	if f.coding == nil || f.picture.Codec != codec {
		c, err := newCoding(codec)
		if err != nil {
			return err
		}
		f.coding, f.picture = c, hub.Track{Codec: codec, Clock: Timescale}
		f.meter.about.HasPictures = true
	}
	if config == nil {
		return nil
	}
	err := f.coding.record(config)
	if err == nil {
		err = f.configure()
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the encoder's configuration of pictures cannot be read")
	}
	return nil
}

// configure takes over what the coding has kept.
func (f *Feed) configure() error {
	config, err := f.coding.config()
	if err != nil || config == nil || bytes.Equal(config, f.picture.Config) {
		return err
	}
	as, err := f.coding.format(config)
	if err != nil {
		return err
	}
	if f.started {
		f.meter.now.changes++
	}
	f.picture = hub.Track{Codec: f.picture.Codec, Clock: Timescale, Config: config, Width: as.width, Height: as.height}
	if as.ticks > 0 {
		f.picture.Rate = timebase.Rational{Num: as.scale, Den: as.ticks}
	}
	about := &f.meter.about
	about.VideoCodec, about.Width, about.Height = as.name, as.width, as.height
	f.stale = true
	return nil
}

// Audio sets what sound is decoded with, see [Input].
func (f *Feed) Audio(codec hub.Codec, config []byte) error {
	if f.sound.known() && f.sound.track.Codec == codec && (config == nil || bytes.Equal(f.sound.track.Config, config)) {
		return nil
	}
	s, err := newSounding(codec, config)
	if err != nil {
		return err
	}
	if f.started {
		f.meter.now.changes++
	}
	f.sound, f.stale = s, true
	about := &f.meter.about
	about.AudioCodec, about.SampleRate, about.Channels = s.name, int(s.track.Clock), s.track.Channels
	return nil
}

// shape is what a picture is made of.
type shape struct {
	size int  // in bytes, of what is passed on
	any  bool // there is a picture
	key  bool // decoding may begin with it
	open bool // though not all that follows can be decoded then
}

// look reads the units of a picture, and keeps those that go on.
func (f *Feed) look(units [][]byte) (s shape, err error) {
	f.kept = f.kept[:0]
	changed, opens, intra := false, false, true
	for _, data := range units {
		u, err := f.coding.look(data)
		if err != nil {
			return s, err
		}
		changed, opens = changed || u.change, opens || u.opens
		if u.slice {
			if !s.any {
				s.any, s.key = true, u.key
			}
			intra = intra && u.intra
		}
		if !u.left {
			f.kept = append(f.kept, data)
			s.size += f.coding.prefix() + len(data)
		}
	}
	if s.any && !s.key && opens && intra {
		s.key, s.open = true, true
	}
	if changed {
		err = f.configure()
	}
	return s, err
}

// Picture takes one coded picture, see [Input].
func (f *Feed) Picture(p Picture) error {
	f.meter.now.bytes += p.Size()
	if f.coding == nil {
		f.meter.drops++
		return nil
	}
	s, err := f.look(p.Units)
	if err != nil {
		f.meter.drops++
		return nil
	}
	if !s.any {
		return nil
	}
	f.meter.now.pictures++
	if s.key {
		f.meter.open = s.open
	}
	if err := f.noteKey(s.key, p.DTS, p.At); err != nil {
		return err
	}
	if !f.chosen(s.key, p.At) {
		return nil
	}
	if (f.stale || f.broken) && s.key {
		f.begin(p.At)
		f.leading, f.opened, f.broken = s.open, p.PTS, false
	}
	if !f.started || f.broken || f.picture.Config == nil || (f.stale && !s.key && f.picturesChanged()) || f.leads(s, p.PTS) {
		f.meter.drops++
		return nil
	}
	c := f.channel
	dts, pts := c.clock.picture(p.DTS, p.PTS, p.At)
	u := hub.Unit{Track: 0, DTS: dts, PTS: pts, Key: s.key, Wall: p.At, Data: f.pack(s.size)}
	c.out.Write(u)
	c.holding = false
	switch {
	case s.open:
		c.still = hub.Unit{} // elsewhere it would not be one to begin with
	case s.key:
		c.still = u
	}
	f.note()
	if len(c.tracks) > 1 && f.sound.silent != nil {
		dts, missing := c.clock.silence(f.sound.quiet)
		f.fill(dts, missing, p.At)
	}
	return nil
}

// chosen reports whether the feed is on air, or is now.
func (f *Feed) chosen(key bool, at time.Time) bool {
	c := f.channel
	if c.onAir != f && key && c.Offer != nil {
		c.Offer(f, at)
	}
	return c.onAir == f
}

// noteKey follows how far key frames are apart.
func (f *Feed) noteKey(key bool, dts int64, at time.Time) error {
	switch {
	case key:
		if step := dts - f.keyDTS; f.keyed && step > 0 {
			f.meter.noteKey(step)
		}
		f.keyAt, f.keyDTS, f.keyed = at, dts, true
	case at.Sub(f.keyAt) > endless && !f.channel.Endless:
		return fault.New(fault.Invalid, "no key frame has come for %.0f s, so that nobody can begin to watch: set the encoder's key frame interval to 2 s", endless.Seconds())
	}
	if f.keyed {
		f.meter.since = max(0, dts-f.keyDTS)
	}
	return nil
}

// leads reports whether a picture refers to what was before the one that decoding
// began with, and is presented before that.
func (f *Feed) leads(s shape, pts int64) bool {
	if f.leading && !s.key && pts >= f.opened {
		f.leading = false
	}
	return f.leading && !s.key
}

// pack puts the kept units together. This is the copy that readers share.
func (f *Feed) pack(size int) []byte {
	data := make([]byte, 0, size)
	for _, unit := range f.kept {
		if f.coding.prefix() > 0 {
			data = binary.BigEndian.AppendUint32(data, uint32(len(unit)))
		}
		data = append(data, unit...)
	}
	return data
}

// Sound takes one frame of sound, see [Input].
func (f *Feed) Sound(s Sound) error {
	f.meter.now.bytes += int64(len(s.Data))
	var frame int64
	if f.sound.known() && len(s.Data) > 0 {
		frame = f.sound.samples(s.Data)
	}
	if frame == 0 {
		f.meter.drops++
		return nil
	}
	c := f.channel
	if !f.chosen(f.picture.Config == nil && f.noPictures, s.At) {
		return nil
	}
	if f.stale && f.picture.Config == nil && (f.noPictures || s.At.Sub(f.connected) > patience) {
		f.begin(s.At)
	}
	track := len(c.tracks) - 1
	if !f.started || track < 0 || !sameTrack(&c.tracks[track], &f.sound.track) {
		return nil // before the first picture, or before the period that has this sound
	}
	quiet := f.sound.quiet
	if f.sound.silent == nil {
		quiet = 0
	}
	dts, missing, use := c.clock.sound(s.PTS, frame, quiet, s.At)
	switch {
	case !use:
		f.meter.drops++
		return nil
	case missing > 0 && quiet == 0:
		f.meter.now.holes++
		missing = 0
	}
	f.fill(dts-missing*quiet, missing, s.At)
	c.holding = c.holding && f.picture.Config != nil
	c.out.Write(hub.Unit{Track: track, DTS: dts, PTS: dts, Key: true, Wall: s.At, Data: bytes.Clone(s.Data)})
	f.note()
	return nil
}

// fill writes frames of silence in place of what the encoder should have sent.
func (f *Feed) fill(dts, frames int64, at time.Time) {
	f.channel.fill(dts, frames, at)
	f.meter.silence += frames
	f.meter.now.silence += frames
}

// note takes over what the clock saw.
func (f *Feed) note() {
	c := &f.channel.clock
	f.meter.noteDrift(c.drift)
	f.meter.offset = c.offset()
	f.meter.now.jumps += c.jumps
	c.jumps = 0
}

// begin begins a period with the tracks of this connection.
func (f *Feed) begin(at time.Time) {
	waiting := at.Sub(f.connected) <= patience
	if !f.sound.known() && f.picture.Config != nil && !f.noSound && waiting {
		return
	}
	var tracks []hub.Track
	if f.picture.Config != nil {
		tracks = append(tracks, f.picture)
	}
	if f.sound.known() {
		tracks = append(tracks, f.sound.track)
	}
	if len(tracks) == 0 {
		return
	}
	f.stale, f.started = false, true
	f.channel.clock.setSound(f.sound.track.Clock)
	f.channel.begin(tracks, f.sound)
}

// picturesChanged reports whether pictures can no longer be of the present period.
func (f *Feed) picturesChanged() bool {
	tracks := f.channel.tracks
	return len(tracks) == 0 || !sameTrack(&tracks[0], &f.picture)
}

// Splice passes on a splice_info_section, see [Input].
func (f *Feed) Splice(section []byte, pts int64, _ time.Time) error {
	c := f.channel
	if moment, known := c.clock.shown(pts); known && c.Spliced != nil && c.onAir == f && f.started {
		c.Spliced(bytes.Clone(section), moment)
	}
	return nil
}
