package rtmp

import (
	"io"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/message"

	"liuyun/internal/av/bits"
	"liuyun/internal/av/h264"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// publisher hands on what one encoder sends.
type publisher struct {
	in    ingest.Input
	stamp ingest.Unwrapper // of pictures and sound, which have one clock
	size  int              // bytes of the length of a NAL unit
	units [][]byte         // of one picture; of the call
}

// receive passes on what comes until the connection ends, or must.
func (p *publisher) receive(rtmp *gortmplib.ServerConn) error {
	p.stamp.Bits = 32
	for {
		m, err := rtmp.Read()
		if err != nil {
			return err
		}
		if err := p.message(m, time.Now()); err != nil {
			return err
		}
		if command, ok := m.(*message.CommandAMF0); ok && (command.Name == "FCUnpublish" || command.Name == "deleteStream") {
			return io.EOF
		}
	}
}

// message takes one message of RTMP.
func (p *publisher) message(m message.Message, now time.Time) error {
	switch m := m.(type) {
	case *message.DataAMF0:
		p.metadata(m.Payload)
	case *message.Video:
		return p.video(m, now)
	case *message.Audio:
		return p.audio(m, now)
	case *message.VideoExSequenceStart, *message.VideoExMultitrack:
		return fault.New(fault.Invalid, "the pictures are not H.264 as RTMP has always carried it; choose H.264 in the encoder")
	case *message.AudioExSequenceStart, *message.AudioExMultitrack:
		return fault.New(fault.Invalid, "the sound is not AAC as RTMP has always carried it; choose AAC in the encoder")
	}
	return nil
}

// metadata learns of what the encoder will send.
func (p *publisher) metadata(payload amf0.Data) {
	for _, value := range payload {
		var o amf0.Object
		switch v := value.(type) {
		case amf0.Object:
			o = v
		case amf0.ECMAArray:
			o = amf0.Object(v)
		default:
			continue
		}
		if pictures, sound := names(o, "videocodecid"), names(o, "audiocodecid"); pictures || sound {
			p.in.Expect(pictures, sound)
		}
	}
}

// names reports whether a codec is named; 0 is none.
func names(o amf0.Object, field string) bool {
	value, found := o.Get(field)
	return found && value != float64(0)
}

func (p *publisher) video(m *message.Video, now time.Time) error {
	if m.Codec != message.CodecH264 {
		return fault.New(fault.Invalid, "the pictures are not H.264; choose H.264 in the encoder")
	}
	switch m.Type {
	case message.VideoTypeConfig:
		var sequence, picture [][]byte
		for _, set := range m.AVCConfig.SequenceParameterSets {
			sequence = append(sequence, set.NALUnit)
		}
		for _, set := range m.AVCConfig.PictureParameterSets {
			picture = append(picture, set.NALUnit)
		}
		config, err := h264.Config(sequence, picture)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "the encoder's H.264 configuration cannot be read")
		}
		p.size = int(m.AVCConfig.LengthSizeMinusOne) + 1
		return p.in.Video(hub.H264, config)
	case message.VideoTypeAU:
		p.units = p.units[:0]
		for unit, err := range bits.NALUnits(m.AU, p.size) {
			if err != nil {
				p.units = p.units[:0]
				break
			}
			p.units = append(p.units, unit)
		}
		dts := p.stamp.Unwrap(milliseconds(m.DTS))
		return p.in.Picture(ingest.Picture{Units: p.units, DTS: dts * ticks, PTS: (dts + signed24(m.PTSDelta)) * ticks, At: now})
	}
	return nil
}

func (p *publisher) audio(m *message.Audio, now time.Time) error {
	switch {
	case m.Codec != message.CodecMPEG4Audio:
		return fault.New(fault.Invalid, "the sound is not AAC; choose AAC in the encoder")
	case m.AACType == message.AudioAACTypeConfig && m.AACConfig != nil:
		config, err := m.AACConfig.Marshal()
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "the encoder's AAC configuration cannot be read")
		}
		return p.in.Audio(hub.AAC, config)
	case m.AACType == message.AudioAACTypeAU:
		return p.in.Sound(ingest.Sound{Data: m.AU, PTS: p.stamp.Unwrap(milliseconds(m.DTS)) * ticks, At: now})
	}
	return nil
}

// ticks are those of a millisecond.
const ticks = ingest.Timescale / 1000

// milliseconds is a timestamp as it was on the wire.
func milliseconds(d time.Duration) uint64 { return uint64(d / time.Millisecond) }

// signed24 is a composition time: a signed number of 24 bits, which the library
// takes for an unsigned one.
func signed24(d time.Duration) int64 { return int64(int32(uint32(d/time.Millisecond)<<8) >> 8) }
