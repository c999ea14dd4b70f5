package rtsp

import (
	"errors"
	"fmt"

	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpav1"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpmpeg4audio"
	"github.com/bluenviron/gortsplib/v5/pkg/format/rtpsimpleaudio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"liuyun/internal/av/av1"
	"liuyun/internal/av/bits"
	"liuyun/internal/av/h264"
	"liuyun/internal/av/h265"
	"liuyun/internal/flow/hub"
)

// packetizerOf returns what makes packets of a track's units.
func packetizerOf(t hub.Track, payload uint8) (packetizer, error) {
	switch t.Codec {
	case hub.H264:
		return newH264Packets(t, payload)
	case hub.H265:
		return newH265Packets(t, payload)
	case hub.AV1:
		f := &format.AV1{PayloadTyp: payload}
		e, err := f.CreateEncoder()
		return &obuPackets{of: f, encoder: e}, err
	case hub.AAC:
		return newAACPackets(t, payload)
	case hub.Opus:
		if t.Channels > 2 {
			return nil, fmt.Errorf("opus of %d channels", t.Channels)
		}
		f := &format.Opus{PayloadTyp: payload, ChannelCount: t.Channels}
		e, err := f.CreateEncoder()
		return &opusPackets{of: f, encoder: e}, err
	}
	return nil, fmt.Errorf("the codec %q", t.Codec)
}

// unitPackets makes packets of pictures of NAL units, with the parameter sets before
// each with which decoding begins.
type unitPackets struct {
	of     format.Format
	sets   [][]byte
	encode func([][]byte) ([]*rtp.Packet, error)
	units  [][]byte // used again
}

func newH264Packets(t hub.Track, payload uint8) (packetizer, error) {
	sequence, picture, err := h264.ParameterSets(t.Config)
	if err != nil {
		return nil, err
	}
	if len(sequence) == 0 || len(picture) == 0 {
		return nil, errSets
	}
	f := &format.H264{PayloadTyp: payload, SPS: sequence[0], PPS: picture[0], PacketizationMode: 1}
	e, err := f.CreateEncoder()
	if err != nil {
		return nil, err
	}
	return &unitPackets{of: f, sets: append(sequence, picture...), encode: e.Encode}, nil
}

func newH265Packets(t hub.Track, payload uint8) (packetizer, error) {
	video, sequence, picture, err := h265.ParameterSets(t.Config)
	if err != nil {
		return nil, err
	}
	if len(video) == 0 || len(sequence) == 0 || len(picture) == 0 {
		return nil, errSets
	}
	f := &format.H265{PayloadTyp: payload, VPS: video[0], SPS: sequence[0], PPS: picture[0]}
	e, err := f.CreateEncoder()
	if err != nil {
		return nil, err
	}
	return &unitPackets{of: f, sets: append(append(video, sequence...), picture...), encode: e.Encode}, nil
}

var errSets = errors.New("a parameter set is missing")

func (u *unitPackets) form() format.Format { return u.of }

func (u *unitPackets) pack(unit hub.Unit) ([]*rtp.Packet, error) {
	u.units = u.units[:0]
	if unit.Key {
		u.units = append(u.units, u.sets...)
	}
	for nal, err := range bits.NALUnits(unit.Data, 4) {
		if err != nil {
			return nil, err
		}
		u.units = append(u.units, nal)
	}
	if len(u.units) == 0 {
		return nil, errEmpty
	}
	return u.encode(u.units)
}

var errEmpty = errors.New("nothing is in it")

// obuPackets makes packets of temporal units of AV1.
type obuPackets struct {
	of      *format.AV1
	encoder *rtpav1.Encoder
	units   [][]byte // used again
}

func (o *obuPackets) form() format.Format { return o.of }

func (o *obuPackets) pack(unit hub.Unit) (packets []*rtp.Packet, err error) {
	if o.units, err = av1.Split(o.units[:0], unit.Data); err != nil {
		return nil, err
	}
	if len(o.units) == 0 {
		return nil, errEmpty
	}
	for i, obu := range o.units {
		o.units[i] = withoutSize(obu)
	}
	return o.encoder.Encode(o.units)
}

// withoutSize returns an OBU that has a size field without it, as packets have it.
func withoutSize(obu []byte) []byte {
	header := 1
	if obu[0]&obuExtension != 0 {
		header = 2
	}
	payload := header
	for payload < len(obu) && obu[payload]&0x80 != 0 {
		payload++
	}
	out := append(make([]byte, 0, len(obu)), obu[:header]...)
	out[0] &^= obuSize
	return append(out, obu[min(payload+1, len(obu)):]...)
}

// aacPackets makes packets of frames of AAC (RFC 3640, high bit rate).
type aacPackets struct {
	of      *format.MPEG4Audio
	encoder *rtpmpeg4audio.Encoder
	frames  [1][]byte
}

func newAACPackets(t hub.Track, payload uint8) (packetizer, error) {
	config := &mpeg4audio.AudioSpecificConfig{}
	if err := config.Unmarshal(t.Config); err != nil {
		return nil, err
	}
	f := &format.MPEG4Audio{PayloadTyp: payload, Config: config, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3}
	e, err := f.CreateEncoder()
	return &aacPackets{of: f, encoder: e}, err
}

func (a *aacPackets) form() format.Format { return a.of }

func (a *aacPackets) pack(unit hub.Unit) ([]*rtp.Packet, error) {
	if len(unit.Data) == 0 {
		return nil, errEmpty
	}
	a.frames[0] = unit.Data
	return a.encoder.Encode(a.frames[:])
}

// opusPackets makes packets of packets of Opus.
type opusPackets struct {
	of      *format.Opus
	encoder *rtpsimpleaudio.Encoder
	packets [1]*rtp.Packet
}

func (o *opusPackets) form() format.Format { return o.of }

func (o *opusPackets) pack(unit hub.Unit) (packets []*rtp.Packet, err error) {
	if len(unit.Data) == 0 {
		return nil, errEmpty
	}
	o.packets[0], err = o.encoder.Encode(unit.Data)
	return o.packets[:], err
}
