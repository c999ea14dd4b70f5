package h264

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/avc"

	"liuyun/internal/av/bits"
)

// Config returns the payload of an avcC box made of parameter sets, each a NAL
// unit without a length. Their bytes are copied.
func Config(sequence, picture [][]byte) ([]byte, error) {
	if len(sequence) == 0 || len(picture) == 0 {
		return nil, errors.New("h264 parameter sets: one of each kind is needed")
	}
	for _, set := range sequence {
		if len(set) < 4 {
			return nil, errors.New("h264 parameter sets: a sequence parameter set ends before its level")
		}
	}
	rec, err := avc.CreateAVCDecConfRec(sequence, picture, true)
	if err != nil {
		return nil, fmt.Errorf("h264 parameter sets: %w", err)
	}
	var out bytes.Buffer
	if err := rec.Encode(&out); err != nil {
		return nil, fmt.Errorf("h264 parameter sets: %w", err)
	}
	return out.Bytes(), nil
}

// Format is what the sequence parameter set of a configuration says of pictures.
type Format struct {
	Width, Height int // pixels that are shown
	// Ticks and Scale are the frame rate, Scale / Ticks frames a second; 0 where it
	// does not say.
	Ticks, Scale int64
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
	set, err := avc.ParseSPSNALUnit(rec.SPSnalus[0], true)
	if err != nil {
		return Format{}, fmt.Errorf("h264 sequence parameter set: %w", err)
	}
	const largest = 16384 // ITU-T H.264 table A-1 allows less
	f := Format{Width: int(set.Width), Height: int(set.Height)}
	if set.Width == 0 || set.Height == 0 || set.Width > largest || set.Height > largest {
		return Format{}, fmt.Errorf("h264 sequence parameter set: pictures of %d × %d", set.Width, set.Height)
	}
	if v := set.VUI; v != nil && v.TimingInfoPresentFlag && v.NumUnitsInTick > 0 && v.TimeScale > 0 {
		f.Ticks, f.Scale = 2*int64(v.NumUnitsInTick), int64(v.TimeScale)
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
