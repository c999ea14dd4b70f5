package rtsp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpav1"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpfragmented"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph264"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtph265"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"liuyun/internal/av/aac"
	"liuyun/internal/av/opus"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// depacketizerOf returns what takes packets of a form; nil where nothing does.
func depacketizerOf(form format.Format) depacketizer {
	switch f := form.(type) {
	case *format.H264:
		if d, err := f.CreateDecoder(); err == nil {
			return &units{codec: hub.H264, sets: present(f.SPS, f.PPS), decode: d.Decode, more: rtph264.ErrMorePacketsNeeded, middle: rtph264.ErrNonStartingPacketAndNoPrevious}
		}
	case *format.H265:
		if d, err := f.CreateDecoder(); err == nil {
			return &units{codec: hub.H265, sets: present(f.VPS, f.SPS, f.PPS), decode: d.Decode, more: rtph265.ErrMorePacketsNeeded, middle: rtph265.ErrNonStartingPacketAndNoPrevious}
		}
	case *format.AV1:
		return newOBUs(f)
	case *format.MPEG4Audio:
		return newAAC(f)
	case *format.MPEG4AudioLATM:
		return newLATM(f)
	case *format.Opus:
		if f.ChannelCount <= 2 {
			return &opusFrames{channels: f.ChannelCount}
		}
	}
	return nil
}

// present returns the units that there are; none where one is missing.
func present(units ...[]byte) [][]byte {
	for _, u := range units {
		if len(u) == 0 {
			return nil
		}
	}
	return units
}

// units takes pictures of NAL units.
type units struct {
	codec  hub.Codec
	sets   [][]byte // parameter sets of the description
	decode func(*rtp.Packet) ([][]byte, error)
	more   error
	middle error
	frames [1]frame
}

func (u *units) begin(in ingest.Input) error { return in.Video(u.codec, nil) }

func (u *units) rate() int { return ingest.Timescale }

func (u *units) take(p *rtp.Packet) ([]frame, error) {
	picture, err := u.decode(p)
	if errors.Is(err, u.more) || errors.Is(err, u.middle) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return one(&u.frames, u.withSets(picture)), nil
}

// withSets puts the description's parameter sets before a picture with which decoding
// can begin and that has none of its own.
func (u *units) withSets(picture [][]byte) [][]byte {
	for _, unit := range picture {
		switch {
		case len(unit) == 0:
		case u.isSet(unit[0]):
			return picture
		case u.begins(unit[0]):
			return append(append(make([][]byte, 0, len(u.sets)+len(picture)), u.sets...), picture...)
		}
	}
	return picture
}

// isSet reports whether the first byte of a unit says that it is a sequence parameter
// set (H.264 table 7-1, H.265 table 7-1).
func (u *units) isSet(first byte) bool {
	if u.codec == hub.H264 {
		return first&0x1f == 7
	}
	return first>>1&0x3f == 33
}

// begins reports whether it says that it is of a picture with which decoding begins.
func (u *units) begins(first byte) bool {
	if u.codec == hub.H264 {
		return first&0x1f == 5
	}
	kind := first >> 1 & 0x3f
	return kind >= 16 && kind <= 23
}

// one returns one frame without allocating.
func one(into *[1]frame, units [][]byte) []frame {
	into[0] = frame{units: units}
	return into[:]
}

// obus takes temporal units of AV1.
type obus struct {
	decoder *rtpav1.Decoder
	form    *format.AV1
	pending int // packets since the last whole unit
	frames  [1]frame
}

func newOBUs(f *format.AV1) depacketizer {
	d, err := f.CreateDecoder()
	if err != nil {
		return nil
	}
	return &obus{decoder: d, form: f}
}

func (o *obus) begin(in ingest.Input) error { return in.Video(hub.AV1, nil) }

func (o *obus) rate() int { return ingest.Timescale }

// mostPending bounds what the library's decoder of AV1 collects: it keeps the parts of
// units that never end.
const mostPending = 4096

func (o *obus) take(p *rtp.Packet) ([]frame, error) {
	unit, err := o.decoder.Decode(p)
	if o.pending++; o.pending > mostPending {
		o.pending = 0
		o.decoder, err = o.form.CreateDecoder()
		if err == nil {
			err = errors.New("a temporal unit without an end")
		}
		return nil, err
	}
	if errors.Is(err, rtpav1.ErrMorePacketsNeeded) || errors.Is(err, rtpav1.ErrNonStartingPacketAndNoPrevious) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o.pending = 0
	sized := make([][]byte, 0, len(unit))
	for _, obu := range unit {
		if obu = withSize(obu); obu != nil {
			sized = append(sized, obu)
		}
	}
	if len(sized) == 0 {
		return nil, nil
	}
	return one(&o.frames, sized), nil
}

// Bits of the first byte of an OBU (AV1 specification, 5.3.2).
const (
	obuSize      = 0x02
	obuExtension = 0x04
)

// withSize returns an OBU with its size in it (AV1 specification, 5.3), which packets
// leave out; nil for one that is none.
func withSize(obu []byte) []byte {
	if len(obu) == 0 || obu[0]&obuSize != 0 {
		return obu
	}
	header := 1
	if obu[0]&obuExtension != 0 {
		header = 2
	}
	if len(obu) < header {
		return nil
	}
	out := make([]byte, 0, len(obu)+4)
	out = append(out, obu[:header]...)
	out[0] |= obuSize
	out = binary.AppendUvarint(out, uint64(len(obu)-header)) // which is leb128
	return append(out, obu[header:]...)
}

// aacFrames takes AAC as RFC 3640 packs it.
type aacFrames struct {
	config  []byte
	clock   int
	samples int64 // ticks a frame
	decoder *rtpmpeg4audio.Decoder
	frames  []frame
}

// newAAC returns nil for a form that is not used, and that the library does not read
// safely: lengths of more than 16 bits.
func newAAC(f *format.MPEG4Audio) depacketizer {
	if f.SizeLength > 16 || f.IndexLength > 16 || f.IndexDeltaLength > 16 {
		return nil
	}
	config, clock, err := readConfig(f.Config)
	if err != nil {
		return nil
	}
	d, err := f.CreateDecoder()
	if err != nil {
		return nil
	}
	return &aacFrames{config: config, clock: clock, samples: frameTicks(f.Config, clock), decoder: d}
}

// readConfig returns the AudioSpecificConfig, and the rate of timestamps: that of what
// is heard.
func readConfig(c *mpeg4audio.AudioSpecificConfig) (config []byte, clock int, err error) {
	if config, err = c.Marshal(); err != nil {
		return nil, 0, err
	}
	parsed, err := aac.Parse(config)
	if err != nil {
		return nil, 0, err
	}
	return config, parsed.SampleRate, nil
}

// frameTicks is how long a frame is in ticks of the clock.
func frameTicks(c *mpeg4audio.AudioSpecificConfig, clock int) int64 {
	return int64(aac.SamplesPerFrame) * int64(clock) / int64(max(c.SampleRate, 1))
}

func (a *aacFrames) begin(in ingest.Input) error { return in.Audio(hub.AAC, a.config) }

func (a *aacFrames) rate() int { return a.clock }

func (a *aacFrames) take(p *rtp.Packet) ([]frame, error) {
	list, err := a.decoder.Decode(p)
	if errors.Is(err, rtpmpeg4audio.ErrMorePacketsNeeded) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a.frames = a.frames[:0]
	for i, data := range list {
		a.frames = append(a.frames, frame{units: [][]byte{data}, after: int64(i) * a.samples})
	}
	return a.frames, nil
}

// latm takes AAC as RFC 6416 packs it, with its configuration in the description.
type latm struct {
	config    []byte
	clock     int
	samples   int64 // ticks a frame
	subframes int
	decoder   *rtpfragmented.Decoder
	frames    []frame
}

// newLATM returns nil for what is not one stream of sound, or has its configuration
// among the frames.
func newLATM(f *format.MPEG4AudioLATM) depacketizer {
	c := f.StreamMuxConfig
	if c == nil || f.CPresent || c.OtherDataPresent || len(c.Programs) != 1 || len(c.Programs[0].Layers) != 1 {
		return nil
	}
	layer := c.Programs[0].Layers[0]
	if layer.FrameLengthType != 0 || layer.AudioSpecificConfig == nil {
		return nil
	}
	config, clock, err := readConfig(layer.AudioSpecificConfig)
	if err != nil {
		return nil
	}
	d, err := f.CreateDecoder()
	if err != nil {
		return nil
	}
	return &latm{
		config: config, clock: clock, samples: frameTicks(layer.AudioSpecificConfig, clock), subframes: int(c.NumSubFrames) + 1, decoder: d,
	}
}

func (l *latm) begin(in ingest.Input) error { return in.Audio(hub.AAC, l.config) }

func (l *latm) rate() int { return l.clock }

func (l *latm) take(p *rtp.Packet) ([]frame, error) {
	element, err := l.decoder.Decode(p)
	if errors.Is(err, rtpfragmented.ErrMorePacketsNeeded) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.frames = l.frames[:0]
	for i := range l.subframes {
		data, rest, err := cutLATM(element)
		if err != nil {
			return nil, err
		}
		l.frames = append(l.frames, frame{units: [][]byte{data}, after: int64(i) * l.samples})
		element = rest
	}
	return l.frames, nil
}

// cutLATM takes a frame off an audioMuxElement: PayloadLengthInfo and PayloadMux of
// one layer (ISO/IEC 14496-3, tables 1.44 and 1.45).
func cutLATM(element []byte) (data, rest []byte, err error) {
	size := 0
	for i, b := range element {
		size += int(b)
		if b == 255 {
			continue
		}
		element = element[i+1:]
		if size == 0 || size > len(element) {
			return nil, nil, fmt.Errorf("a frame of %d bytes, %d left", size, len(element))
		}
		return element[:size], element[size:], nil
	}
	return nil, nil, errors.New("a frame without a length")
}

// opusFrames takes packets of Opus as they are (RFC 7587).
type opusFrames struct {
	channels int
	frames   [1]frame
}

func (o *opusFrames) begin(in ingest.Input) error {
	return in.Audio(hub.Opus, opus.Plain(o.channels).Record())
}

func (o *opusFrames) rate() int { return opus.Rate }

func (o *opusFrames) take(p *rtp.Packet) ([]frame, error) {
	if len(p.Payload) == 0 {
		return nil, errors.New("an empty packet")
	}
	o.frames[0] = frame{units: [][]byte{p.Payload}}
	return o.frames[:], nil
}
