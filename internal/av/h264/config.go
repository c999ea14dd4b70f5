package h264

import (
	"errors"
	"fmt"
	"math"

	"github.com/Eyevinn/mp4ff/avc"
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
