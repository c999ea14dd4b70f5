// Package ts takes in and gives out media as MPEG-2 transport streams: what a demuxer
// finds goes to an ingest.Input, what a hub's reader gets goes to a muxer. Where the
// bytes come from and go to is another's business: SRT, UDP, HTTP.
package ts

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"liuyun/internal/av/aac"
	"liuyun/internal/av/bits"
	"liuyun/internal/av/opus"
	"liuyun/internal/av/scte35"
	"liuyun/internal/av/ts"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// Feed hands what a transport stream carries to an Input: the first pictures, the first
// sound, and splices. It is used by one goroutine. What is lost on the way is left out,
// picture by picture and frame by frame.
type Feed struct {
	demux *ts.Demuxer
	sink  sink
}

// NewFeed returns a feed of in, which stays the caller's to close.
func NewFeed(in ingest.Input, log *slog.Logger) *Feed {
	f := &Feed{sink: sink{in: in, log: log, pictures: -1, sound: -1, clock: ingest.Unwrapper{Bits: clockBits}}}
	f.demux = ts.NewDemuxer(&f.sink)
	return f
}

// Write takes the next bytes, which came at that moment.
func (f *Feed) Write(p []byte, at time.Time) error {
	f.sink.at = at
	return f.demux.Write(p)
}

// Flush hands over what was waiting for more.
func (f *Feed) Flush() error {
	if err := f.demux.Flush(); err != nil {
		return err
	}
	return f.sink.release()
}

// Stats says what has come so far.
func (f *Feed) Stats() ts.Stats { return f.demux.Stats() }

// Dropped counts pictures and frames of sound that could not be used.
func (f *Feed) Dropped() int64 { return f.demux.Stats().Dropped + f.sink.dropped }

const clockBits = 33

// sink is a Feed as its demuxer sees it.
type sink struct {
	in      ingest.Input
	log     *slog.Logger
	at      time.Time
	dropped int64

	pictures, sound int // tracks, -1 is none
	video, audio    ts.Codec
	channels        int // of Opus
	clock           ingest.Unwrapper
	now             int64 // the last PTS of pictures
	timed           bool
	units           [][]byte

	frames frames
	held   []ingest.Picture // that wait for the sound to be known
	size   int64            // bytes of them
	let    bool             // nothing is held any more
}

// Tracks is part of ts.Sink.
func (s *sink) Tracks(list []ts.Track) error {
	s.pictures, s.sound = -1, -1
	var passed []string
	for i, t := range list {
		switch {
		case t.Codec.Pictures() && s.pictures < 0:
			s.pictures = i
		case t.Codec.Sound() && s.sound < 0:
			s.sound = i
		case t.Codec != ts.Splices:
			passed = append(passed, string(t.Codec))
		}
	}
	if s.pictures < 0 && s.sound < 0 {
		return fault.New(fault.Invalid, "the transport stream carries %s, of which nothing can be used: send H.264 or H.265 with AAC or Opus", either(passed))
	}
	if len(passed) > 0 {
		s.log.Info("some tracks are passed over", "tracks", strings.Join(passed, ", "))
	}
	s.in.Expect(s.pictures >= 0, s.sound >= 0)
	return s.setUp(list)
}

func either(list []string) string {
	if len(list) == 0 {
		return "no track"
	}
	return strings.Join(list, " and ")
}

// setUp tells the input the codecs, as far as they are known and have changed.
func (s *sink) setUp(list []ts.Track) error {
	if s.pictures >= 0 && s.video != list[s.pictures].Codec {
		s.video = list[s.pictures].Codec
		codec := hub.H264
		if s.video == ts.H265 {
			codec = hub.H265
		}
		if err := s.in.Video(codec, nil); err != nil {
			return err
		}
	}
	if s.sound < 0 {
		return nil
	}
	t := list[s.sound]
	if s.audio == t.Codec && s.channels == t.Channels {
		return nil
	}
	s.audio, s.channels, s.frames = t.Codec, t.Channels, frames{}
	if t.Codec != ts.Opus {
		return nil // the first frame says more
	}
	channels := t.Channels
	switch {
	case channels == 0:
		channels = 2
	case channels > 2:
		return fault.New(fault.Invalid, "the sound is Opus of %d channels, or in two languages at once; send mono or stereo", channels)
	}
	return s.in.Audio(hub.Opus, opus.Plain(channels).Record())
}

// Payload is part of ts.Sink.
func (s *sink) Payload(track int, p ts.Payload) error {
	switch track {
	case s.pictures:
		return s.picture(p)
	case s.sound:
		if s.audio == ts.Opus {
			return s.opus(p)
		}
		return s.aac(p)
	}
	return nil
}

func (s *sink) picture(p ts.Payload) error {
	if !p.Timed {
		s.dropped++
		return nil
	}
	s.units = bits.AppendAnnexB(s.units[:0], p.Data)
	dts := s.clock.Unwrap(p.DTS)
	pts := dts + away(p.PTS, p.DTS)
	s.now, s.timed = pts, true
	picture := ingest.Picture{Units: s.units, DTS: dts, PTS: pts, At: s.at}
	if !s.let && s.sound >= 0 && s.audio == ts.AAC {
		return s.hold(picture)
	}
	return s.in.Picture(picture)
}

// What is held at the beginning: until the sound is known by its first frame, which
// comes a moment later. An input that knows of pictures alone would begin without it,
// or with the key frame after this one.
const (
	mostHeld  = 4 << 20
	longest   = 3 * ingest.Timescale / 2
	mostUnits = 256
)

// hold keeps a picture until release.
func (s *sink) hold(p ingest.Picture) error {
	s.size += p.Size()
	s.held = append(s.held, p.Clone())
	if s.size > mostHeld || len(s.held) > mostUnits || p.DTS-s.held[0].DTS > longest {
		return s.release()
	}
	return nil
}

// release passes on what was held.
func (s *sink) release() error {
	held := s.held
	s.let, s.held = true, nil
	for _, p := range held {
		if err := s.in.Picture(p); err != nil {
			return err
		}
	}
	return nil
}

// away is how far a timestamp is from another, by the shorter way round.
func away(to, from uint64) int64 { return int64((to-from)<<(64-clockBits)) >> (64 - clockBits) }

// frames are what sound is put together of over PES packets.
type frames struct {
	rest   []byte // a frame whose end has not come
	next   int64  // PTS of the frame that comes next
	known  bool   // next is known
	config [2]byte
	seen   [2]byte // of the last header, where it differs from config
	ready  bool    // config is known
	lost   bool    // where frames begin has to be found again
}

// aac takes frames with ADTS headers, which may go on in the next packet.
func (s *sink) aac(p ts.Payload) error {
	f := &s.frames
	if p.Broken {
		f.rest = f.rest[:0]
	}
	began := len(f.rest) // what begins behind it has the time of this packet
	f.rest = append(f.rest, p.Data...)
	b, at := f.rest, 0
	for timed := p.Timed; ; {
		if timed && at >= began {
			f.next, f.known, timed = s.clock.Unwrap(p.PTS), true, false
		}
		h, state := f.look(b[at:])
		if state == waits {
			break
		}
		if state == garbage {
			at++
			continue
		}
		frame := b[at+h.Header : at+h.Size]
		at += h.Size
		if err := s.frame(h, frame); err != nil {
			return err
		}
	}
	f.rest = append(f.rest[:0], b[at:]...)
	return nil
}

type found int

const (
	ready found = iota
	waits       // for more bytes
	garbage
)

// look looks at what begins here. After garbage a frame has to have another behind it.
func (f *frames) look(b []byte) (aac.ADTS, found) {
	h, err := aac.ParseADTS(b)
	switch {
	case err != nil && len(b) < mostHeader:
		return h, waits
	case err != nil:
		f.lost = true
		return h, garbage
	case len(b) < h.Size:
		return h, waits
	case f.lost && len(b) < h.Size+mostHeader:
		return h, waits
	case f.lost:
		if _, err := aac.ParseADTS(b[h.Size:]); err != nil {
			return h, garbage
		}
		f.lost = false
	}
	return h, ready
}

// mostHeader is the length of an ADTS header with its checksum.
const mostHeader = 9

// frame passes on one frame of AAC.
func (s *sink) frame(h aac.ADTS, data []byte) error {
	f := &s.frames
	if !f.known || h.Blocks > 1 || len(data) == 0 {
		s.dropped++
		return nil
	}
	pts := f.next
	f.next += int64(aac.SamplesPerFrame) * ingest.Timescale / int64(h.SampleRate())
	config := h.Config()
	if f.ready && config != f.config && config != f.seen {
		f.seen = config // one header alone may be damaged
		s.dropped++
		return nil
	}
	if !f.ready || config != f.config {
		f.config, f.ready = config, true
		if err := s.in.Audio(hub.AAC, f.config[:]); err != nil {
			return err
		}
		if err := s.release(); err != nil {
			return err
		}
	}
	f.seen = config
	return s.in.Sound(ingest.Sound{Data: data, PTS: pts, At: s.at})
}

// opus takes packets, each with a control header (ETSI TS 101 154's way, as ffmpeg and
// GStreamer write it).
func (s *sink) opus(p ts.Payload) error {
	f := &s.frames
	if p.Timed {
		f.next, f.known = s.clock.Unwrap(p.PTS), true
	}
	for b := p.Data; len(b) > 0; {
		packet, rest, err := opusPacket(b)
		if err != nil || !f.known {
			s.dropped++
			return nil
		}
		b = rest
		pts := f.next
		f.next += int64(opus.Samples(packet)) * ingest.Timescale / opus.Rate
		if err := s.in.Sound(ingest.Sound{Data: packet, PTS: pts, At: s.at}); err != nil {
			return err
		}
	}
	return nil
}

// opusPacket takes the first packet from b.
func opusPacket(b []byte) (packet, rest []byte, err error) {
	const prefix, startTrim, endTrim, more = 0x7fe0, 0x10, 0x08, 0x04
	short := fmt.Errorf("opus control header cut short")
	if len(b) < 3 {
		return nil, nil, short
	}
	if head := int(b[0])<<8 | int(b[1]); head&0xffe0 != prefix {
		return nil, nil, fmt.Errorf("no opus control header: %#x", head)
	}
	flags, size := b[1], 0
	for b = b[2:]; ; b = b[1:] {
		if len(b) == 0 {
			return nil, nil, short
		}
		size += int(b[0])
		if b[0] != 0xff {
			break
		}
	}
	skip := 1
	if flags&startTrim != 0 {
		skip += 2
	}
	if flags&endTrim != 0 {
		skip += 2
	}
	if flags&more != 0 {
		if len(b) <= skip {
			return nil, nil, short
		}
		skip += 1 + int(b[skip])
	}
	if size == 0 || len(b) < skip+size {
		return nil, nil, short
	}
	return b[skip : skip+size], b[skip+size:], nil
}

// Section is part of ts.Sink.
func (s *sink) Section(_ int, section []byte) error {
	if !s.timed {
		return nil // nothing is on air that it could cut
	}
	moment := s.now
	if info, err := scte35.Parse(section); err == nil && info.HasTime {
		moment += away(uint64(info.Time), uint64(s.now))
	}
	return s.in.Splice(section, moment, s.at)
}
