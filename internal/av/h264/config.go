package h264

import (
	"errors"
	"fmt"
	"math"

	"github.com/Eyevinn/mp4ff/avc"

	"liuyun/internal/av/bits"
)

// Config returns the payload of an avcC box made of parameter sets, each a NAL
// unit without a length. Their bytes are copied.
func Config(sequence, picture [][]byte) ([]byte, error) {
	if len(sequence) == 0 || len(picture) == 0 {
		return nil, errors.New("h264 parameter sets: one of each kind is needed")
	}
	if len(sequence) > 31 || len(picture) > 255 {
		return nil, errors.New("h264 parameter sets: there are too many")
	}
	set, err := readSequenceSet(sequence[0])
	if err != nil {
		return nil, err
	}
	// ISO/IEC 14496-15, 5.3.3.1.2: lengths of four bytes.
	out := []byte{1, set.profile, set.constraints, set.level, 0xff, 0xe0 | byte(len(sequence))}
	for i, kind := range [][][]byte{sequence, picture} {
		if i == 1 {
			out = append(out, byte(len(picture)))
		}
		for _, unit := range kind {
			if len(unit) == 0 || len(unit) > math.MaxUint16 {
				return nil, fmt.Errorf("h264 parameter sets: one of %d bytes", len(unit))
			}
			out = append(out, byte(len(unit)>>8), byte(len(unit)))
			out = append(out, unit...)
		}
	}
	if extended(set.profile) {
		out = append(out, 0xfc|set.chroma, 0xf8|set.luma8, 0xf8|set.chroma8, 0)
	}
	return out, nil
}

// Format is what the sequence parameter set of a configuration says of pictures.
type Format struct {
	Width, Height int // pixels that are shown
	// Ticks and Scale are the frame rate, Scale / Ticks frames a second; 0 where it
	// does not say.
	Ticks, Scale int64
	// Fields says that pictures may be coded as fields, so that some may be interlaced.
	Fields bool
}

// FormatOf reads config, the payload of an avcC box.
func FormatOf(config []byte) (Format, error) {
	rec, err := avc.DecodeAVCDecConfRec(config)
	if err != nil {
		return Format{}, fmt.Errorf("h264 decoder configuration: %w", err)
	}
	if len(rec.SPSnalus) == 0 {
		return Format{}, errors.New("h264 decoder configuration: no sequence parameter set")
	}
	set, err := readSequenceSet(rec.SPSnalus[0])
	if err != nil {
		return Format{}, err
	}
	f := Format{Width: set.width, Height: set.height, Fields: set.fields}
	if set.units > 0 && set.scale > 0 {
		f.Ticks, f.Scale = 2*int64(set.units), int64(set.scale)
	}
	return f, nil
}

// Repacked is a picture as streams carry it.
type Repacked struct {
	Data []byte // NAL units, each after four bytes of length
	// Sequence and Picture are the parameter sets that stood among them.
	Sequence, Picture [][]byte
	Slices            int  // 0: there is no picture in it
	RandomAccess      bool // as [Inspection.RandomAccess]
}

// Repack takes a picture whose NAL units have lengths of lengthSize bytes, and
// leaves out what streams do without: parameter sets, delimiters, filler, ends of
// sequences. It keeps data, part of which the result is where the lengths allow
// it.
func Repack(data []byte, lengthSize int) (Repacked, error) {
	var r Repacked
	var out []byte
	if lengthSize == 4 {
		out = data[:0] // nothing grows: each unit moves to the front
	}
	for unit, err := range bits.NALUnits(data, lengthSize) {
		if err != nil {
			return Repacked{}, fmt.Errorf("h264 sample: %w", err)
		}
		switch kind := avc.GetNaluType(unit[0]); kind {
		case avc.NALU_SPS:
			r.Sequence = append(r.Sequence, append([]byte(nil), unit...))
			continue
		case avc.NALU_PPS:
			r.Picture = append(r.Picture, append([]byte(nil), unit...))
			continue
		case avc.NALU_AUD, avc.NALU_EO_SEQ, avc.NALU_EO_STREAM, avc.NALU_FILL:
			continue
		case avc.NALU_NON_IDR, avc.NALU_IDR, dataPartitionA:
			r.RandomAccess = r.RandomAccess || (kind == avc.NALU_IDR && r.Slices == 0)
			r.Slices++
		}
		size := len(unit)
		out = append(out, byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
		out = append(out, unit...)
	}
	r.Data = out
	return r, nil
}
