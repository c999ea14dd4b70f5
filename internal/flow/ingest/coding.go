package ingest

import (
	"liuyun/internal/av/av1"
	"liuyun/internal/av/bits"
	"liuyun/internal/av/h264"
	"liuyun/internal/av/h265"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
)

// coding knows how the pictures of one codec are put together, and keeps what
// decoders are set up with.
type coding interface {
	// record takes a configuration record.
	record(config []byte) error
	// look reads the header of a unit, and keeps what it is if that is a parameter set.
	look(unit []byte) (unit, error)
	// config is the record of what was kept; nil while something is missing.
	config() ([]byte, error)
	// format reads a record that config returned.
	format(config []byte) (format, error)
	// prefix is how many bytes of length stand before each unit of a sample.
	prefix() int
}

// unit is what one NAL unit or OBU is to a picture.
type unit struct {
	left   bool // does not go on
	slice  bool // is coded picture
	key    bool // it is one with which decoding begins and after which nothing refers back
	intra  bool // it refers to nothing
	opens  bool // decoding may begin here, though not all that follows can be decoded
	change bool // what decoders are set up with is another now
}

type format struct {
	name          string // RFC 6381
	width, height int
	ticks, scale  int64 // scale / ticks pictures a second; 0 is unknown
}

func newCoding(c hub.Codec) (coding, error) {
	switch c {
	case hub.H264:
		return &codingH264{}, nil
	case hub.H265:
		return &codingH265{}, nil
	case hub.AV1:
		return &codingAV1{}, nil
	}
	return nil, fault.New(fault.Invalid, "pictures coded as %q are not taken; choose H.264, HEVC or AV1 in the encoder", c)
}

// LengthSize is how many bytes of length stand before each NAL unit of samples that go
// with a record avcC or hvcC (ISO/IEC 14496-15); 0 for what is none.
func LengthSize(codec hub.Codec, config []byte) int {
	at := len(config)
	switch codec {
	case hub.H264:
		at = 4
	case hub.H265:
		at = 21
	}
	if at >= len(config) {
		return 0
	}
	return int(config[at]&3) + 1
}

// AppendUnits appends the units of a sample to dst, as a [Picture] has them. Those that
// are NAL units have lengths of so many bytes. What it returns aliases the sample.
func AppendUnits(dst [][]byte, codec hub.Codec, lengthSize int, sample []byte) ([][]byte, error) {
	if codec == hub.AV1 {
		return av1.Split(dst, sample)
	}
	for unit, err := range bits.NALUnits(sample, lengthSize) {
		if err != nil {
			return nil, err
		}
		dst = append(dst, unit)
	}
	return dst, nil
}

type codingH264 struct{ sets h264.Sets }

func (c *codingH264) prefix() int { return 4 }

func (c *codingH264) record(config []byte) error {
	c.sets = h264.Sets{}
	_, err := c.sets.PutConfig(config)
	return err
}

func (c *codingH264) look(data []byte) (u unit, err error) {
	if len(data) == 0 {
		return u, errUnit
	}
	h := h264.Look(data)
	switch h.Role {
	case bits.Parameters:
		u.left = true
		u.change, err = c.sets.Put(data)
	case bits.Left:
		u.left = true
	case bits.Slice:
		u.slice, u.key, u.intra = true, h.IDR, h.Intra
	default:
		u.opens = h.Recovers
	}
	return u, err
}

func (c *codingH264) config() ([]byte, error) {
	if !c.sets.Complete() {
		return nil, nil
	}
	return c.sets.Config()
}

func (c *codingH264) format(config []byte) (format, error) {
	f, err := h264.FormatOf(config)
	if err != nil {
		return format{}, err
	}
	name, err := h264.CodecString(config)
	return format{name, f.Width, f.Height, f.Ticks, f.Scale}, err
}

type codingH265 struct{ sets h265.Sets }

func (c *codingH265) prefix() int { return 4 }

func (c *codingH265) record(config []byte) error {
	c.sets = h265.Sets{}
	_, err := c.sets.PutConfig(config)
	return err
}

func (c *codingH265) look(data []byte) (u unit, err error) {
	if len(data) < 2 {
		return u, errUnit
	}
	h := h265.Look(data)
	switch h.Role {
	case bits.Parameters:
		u.left = true
		u.change, err = c.sets.Put(data)
	case bits.Left:
		u.left = true
	case bits.Slice:
		u.slice, u.key, u.opens, u.intra = true, h.IDR, h.Recovers, h.IDR || h.Recovers
	}
	return u, err
}

func (c *codingH265) config() ([]byte, error) {
	if !c.sets.Complete() {
		return nil, nil
	}
	return c.sets.Config()
}

func (c *codingH265) format(config []byte) (format, error) {
	f, err := h265.FormatOf(config)
	if err != nil {
		return format{}, err
	}
	name, err := h265.CodecString(config)
	return format{name, f.Width, f.Height, f.Ticks, f.Scale}, err
}

// codingAV1 keeps the sequence header in samples too, as ISO media files want it in
// those with which decoding begins.
type codingAV1 struct {
	header []byte // OBU
	known  []byte // the record
}

func (c *codingAV1) prefix() int { return 0 }

func (c *codingAV1) record(config []byte) error {
	const head = 4
	if len(config) <= head {
		return nil // the header comes with the pictures
	}
	made, err := av1.ConfigFromSample(config[head:])
	if err == nil {
		c.header, c.known = nil, made
	}
	return err
}

func (c *codingAV1) look(data []byte) (u unit, err error) {
	h, err := av1.Look(data)
	if err != nil {
		return u, err
	}
	u.left, u.slice, u.key, u.intra = h.Left, h.Frame, h.Key, h.Key
	if h.Sequence && string(c.header) != string(data) {
		config, err := av1.ConfigFromSample(data)
		if err != nil {
			return u, err
		}
		u.change = string(config) != string(c.known)
		c.header, c.known = append([]byte(nil), data...), config
	}
	return u, nil
}

func (c *codingAV1) config() ([]byte, error) { return c.known, nil }

func (c *codingAV1) format(config []byte) (format, error) {
	f, err := av1.FormatOf(config)
	if err != nil {
		return format{}, err
	}
	name, err := av1.CodecString(config)
	return format{name, f.Width, f.Height, f.Ticks, f.Scale}, err
}
