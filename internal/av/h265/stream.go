package h265

import (
	"errors"
	"fmt"

	"liuyun/internal/av/bits"
)

// Unit is what the header of a NAL unit says.
type Unit struct {
	Role bits.Role
	// IDR says of a slice that its picture is one, Recovers that decoding may begin
	// there all the same: what is presented from there on is right, though leading
	// pictures may follow that are not.
	IDR, Recovers bool
}

// NAL unit types (ITU-T H.265, table 7-1).
const (
	kindLastTrailing = 9
	kindFirstBroken  = 16 // BLA
	kindFirstIDR     = 19
	kindLastIDR      = 20
	kindClean        = 21 // CRA
	kindVideo        = 32
	kindSequence     = 33
	kindPicture      = 34
	kindDelimiter    = 35
	kindFiller       = 38
)

// Look reads the header of a NAL unit of at least two bytes. What is not of the base
// layer is left out.
func Look(unit []byte) Unit {
	kind := unit[0] >> 1 & 0x3f
	layer := unit[0]&1<<5 | unit[1]>>3
	switch {
	case layer != 0:
		return Unit{Role: bits.Left}
	case kind <= kindLastTrailing:
		return Unit{Role: bits.Slice}
	case kind >= kindFirstBroken && kind <= kindClean:
		idr := kind == kindFirstIDR || kind == kindLastIDR
		return Unit{Role: bits.Slice, IDR: idr, Recovers: !idr}
	case kind >= kindVideo && kind <= kindPicture:
		return Unit{Role: bits.Parameters}
	case kind >= kindDelimiter && kind <= kindFiller:
		return Unit{Role: bits.Left}
	}
	return Unit{}
}

// Sets are the parameter sets of a stream, as they come with it. The zero value has
// none.
type Sets struct{ video, sequence, picture bits.Sets }

// Put keeps a copy of a parameter set, and reports whether it is another than the one
// of the same kind and number before.
func (s *Sets) Put(unit []byte) (changed bool, err error) {
	if len(unit) < 3 {
		return false, errSet
	}
	switch unit[0] >> 1 & 0x3f {
	case kindVideo:
		return s.video.Put(uint32(unit[2]>>4), unit)
	case kindSequence:
		set, err := readSequenceSet(unit)
		if err != nil {
			return false, err
		}
		return s.sequence.Put(set.id, unit)
	case kindPicture:
		r := bits.NewReader(bits.Unescape(unit[2:min(len(unit), 8)]))
		id := r.Golomb(63)
		if r.Bad() {
			return false, errors.New("h265 picture parameter set: it is malformed")
		}
		return s.picture.Put(id, unit)
	}
	return false, errors.New("h265: no parameter set")
}

// PutConfig keeps those of a record hvcC.
func (s *Sets) PutConfig(config []byte) (changed bool, err error) {
	err = eachOfRecord(config, func(unit []byte) error {
		if len(unit) < 2 || Look(unit).Role != bits.Parameters {
			return nil // messages
		}
		another, err := s.Put(unit)
		changed = changed || another
		return err
	})
	return changed, err
}

// eachOfRecord calls visit with each NAL unit of a record (ISO/IEC 14496-15, 8.3.3.1).
func eachOfRecord(config []byte, visit func(unit []byte) error) error {
	const head = 23
	if len(config) < head || config[0] != 1 {
		return errors.New("h265 decoder configuration: it is malformed")
	}
	arrays, rest := int(config[head-1]), config[head:]
	for range arrays {
		if len(rest) < 3 {
			return errShort
		}
		count := int(rest[1])<<8 | int(rest[2])
		rest = rest[3:]
		for range count {
			if len(rest) < 2 || len(rest)-2 < int(rest[0])<<8|int(rest[1]) {
				return errShort
			}
			size := int(rest[0])<<8 | int(rest[1])
			if err := visit(rest[2 : 2+size]); err != nil {
				return fmt.Errorf("h265 decoder configuration: %w", err)
			}
			rest = rest[2+size:]
		}
	}
	return nil
}

var errShort = errors.New("h265 decoder configuration: it is cut short")

// Complete reports whether there is one of each kind.
func (s *Sets) Complete() bool {
	return s.video.Len() > 0 && s.sequence.Len() > 0 && s.picture.Len() > 0
}

// Config returns the payload of an hvcC box made of the sets.
func (s *Sets) Config() ([]byte, error) {
	if !s.Complete() {
		return nil, errors.New("h265 parameter sets: one of each kind is needed")
	}
	set, err := readSequenceSet(s.sequence.Units()[0])
	if err != nil {
		return nil, err
	}
	out := append([]byte{1}, set.profile[:]...)
	out = append(out, 0xf0, 0, 0xfc, 0xfc|set.chroma, 0xf8|set.luma8, 0xf8|set.chroma8, 0, 0, set.layers<<3|set.nested<<2|3, 3)
	for i, units := range [][][]byte{s.video.Units(), s.sequence.Units(), s.picture.Units()} {
		out = append(out, 0x80|byte(kindVideo+i), 0, byte(len(units)))
		for _, unit := range units {
			out = append(out, byte(len(unit)>>8), byte(len(unit)))
			out = append(out, unit...)
		}
	}
	return out, nil
}

// Format is what the sequence parameter set of a configuration says of pictures.
type Format struct {
	Width, Height int // pixels that are shown
	// Ticks and Scale are the frame rate, Scale / Ticks frames a second; 0 where it
	// does not say.
	Ticks, Scale int64
}

// FormatOf reads config, the payload of an hvcC box.
func FormatOf(config []byte) (Format, error) {
	var s Sets
	if _, err := s.PutConfig(config); err != nil {
		return Format{}, err
	}
	if s.sequence.Len() == 0 {
		return Format{}, errors.New("h265 decoder configuration: no sequence parameter set")
	}
	set, err := readSequenceSet(s.sequence.Units()[0])
	if err != nil {
		return Format{}, err
	}
	f := Format{Width: set.width, Height: set.height}
	if set.units > 0 && set.scale > 0 {
		f.Ticks, f.Scale = int64(set.units), int64(set.scale)
	}
	return f, nil
}
