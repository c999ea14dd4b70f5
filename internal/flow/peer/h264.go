package peer

import (
	"encoding/binary"

	"liuyun/internal/av/bits"
	"liuyun/internal/av/h264"
)

// Limits of one picture.
const (
	largestPicture = 8 << 20
	mostUnits      = 1024
)

// Kinds of NAL units, and of payloads that hold some (RFC 6184, 5.2).
const (
	idr           = 5
	sequenceSet   = 7
	pictureSet    = 8
	aggregate     = 24 // STAP-A
	fragment      = 28 // FU-A
	fragmentFirst = 0x80
	fragmentLast  = 0x40
)

// picture is one access unit as it came.
type picture struct {
	units  [][]byte // NAL units; they hold until the next packet is put in
	stamp  uint32
	key    bool
	set    []byte // the last sequence parameter set among the units, or nil
	broken bool   // a part of it, or pictures before it, are lost
}

// assembler makes access units of the payloads of RFC 6184, packetization modes 0
// and 1, that come in order.
type assembler struct {
	data  []byte
	ends  []int // of the units in data
	units [][]byte
	stamp uint32
	open  bool // something of a picture is in data
	parts bool // a unit is being put together of fragments
	lost  bool // since the last picture
	bad   bool // the picture is too large, or its bytes make no sense
}

// put takes a payload and passes on the picture that is whole with it, if one is.
// Where a picture's end is lost, it ends at the first packet of the next.
func (a *assembler) put(p packet, lost bool, pass func(picture)) {
	if lost {
		a.lost, a.parts = true, false
	}
	if len(p.payload) == 0 {
		return // padding
	}
	if a.open && a.stamp != p.stamp {
		a.finish(pass)
		a.lost = a.lost || lost
	}
	a.open, a.stamp = true, p.stamp
	a.take(p.payload)
	if p.marker {
		a.finish(pass)
	}
}

// take adds the units of a payload.
func (a *assembler) take(payload []byte) {
	switch kind := payload[0] & 0x1f; {
	case kind >= 1 && kind < aggregate:
		a.parts = false
		a.add(payload)
	case kind == aggregate:
		a.parts = false
		for rest := payload[1:]; len(rest) > 0; {
			if len(rest) < 3 || int(binary.BigEndian.Uint16(rest)) > len(rest)-2 || binary.BigEndian.Uint16(rest) == 0 {
				a.bad = true
				return
			}
			n := int(binary.BigEndian.Uint16(rest))
			a.add(rest[2 : 2+n])
			rest = rest[2+n:]
		}
	case kind == fragment && len(payload) > 2:
		a.takeFragment(payload)
	default:
		a.bad = true
	}
}

func (a *assembler) takeFragment(payload []byte) {
	header := payload[1]
	if header&fragmentFirst != 0 {
		a.parts = true
		a.add([]byte{payload[0]&0xe0 | header&0x1f})
	} else if !a.parts {
		a.bad = true // its beginning is lost
		return
	}
	if len(a.ends) == 0 || len(a.data)+len(payload) > largestPicture {
		a.bad = true
		return
	}
	a.data = append(a.data, payload[2:]...)
	a.ends[len(a.ends)-1] = len(a.data)
	if header&fragmentLast != 0 {
		a.parts = false
	}
}

// add begins a unit with these bytes.
func (a *assembler) add(unit []byte) {
	if len(a.ends) >= mostUnits || len(a.data)+len(unit) > largestPicture {
		a.bad = true
		return
	}
	a.data = append(a.data, unit...)
	a.ends = append(a.ends, len(a.data))
}

// finish passes the picture on and makes room for the next.
func (a *assembler) finish(pass func(picture)) {
	p := picture{stamp: a.stamp, broken: a.lost || a.bad || a.parts}
	a.units = a.units[:0]
	begin := 0
	for _, end := range a.ends {
		unit := a.data[begin:end:end]
		begin = end
		a.units = append(a.units, unit)
		switch unit[0] & 0x1f {
		case idr:
			p.key = true
		case sequenceSet:
			p.set = unit
		}
	}
	p.units = a.units
	if len(p.units) > 0 || p.broken {
		pass(p)
	}
	a.open, a.parts, a.lost, a.bad = false, false, false, false
	a.data, a.ends = a.data[:0], a.ends[:0]
	if cap(a.data) > largestPicture/8 {
		a.data = nil // one huge picture does not keep its memory
	}
}

// pixels is the size that a sequence parameter set says, 0 where it cannot be read.
func pixels(set []byte) int {
	config, err := h264.Config([][]byte{set}, [][]byte{{pictureSet}})
	if err != nil {
		return 0
	}
	f, err := h264.FormatOf(config)
	if err != nil {
		return 0
	}
	return f.Width * f.Height
}

// mostPayload is the longest payload that is sent: with the headers of RTP, SRTP, UDP
// and IPv6 it stays below 1,280 bytes, which every network carries.
const mostPayload = 1180

// appendPayloads appends the payloads of one picture to dst, each after two bytes of
// length. Sets are sent before it; data are NAL units after four bytes of length.
func appendPayloads(dst []byte, sets [][]byte, data []byte) ([]byte, error) {
	for _, unit := range sets {
		dst = appendUnit(dst, unit)
	}
	for unit, err := range bits.NALUnits(data, 4) {
		if err != nil {
			return dst, err
		}
		dst = appendUnit(dst, unit)
	}
	return dst, nil
}

// appendUnit appends a NAL unit as one payload, or as fragments.
func appendUnit(dst, unit []byte) []byte {
	if len(unit) <= mostPayload {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(unit)))
		return append(dst, unit...)
	}
	indicator, kind := unit[0]&0xe0|fragment, unit[0]&0x1f
	rest, flag := unit[1:], byte(fragmentFirst)
	// Fragments of about the same length: a last one of a few bytes costs as much.
	count := (len(rest) + mostPayload - 3) / (mostPayload - 2)
	for ; count > 0; count-- {
		n := (len(rest) + count - 1) / count
		if count == 1 {
			flag |= fragmentLast
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(n+2))
		dst = append(dst, indicator, kind|flag)
		dst = append(dst, rest[:n]...)
		rest, flag = rest[n:], 0
	}
	return dst
}
