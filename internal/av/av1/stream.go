package av1

import (
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/av1"
)

// Unit is what the header of an OBU says.
type Unit struct {
	// Sequence says that it is a sequence header, Left that it is left out of samples:
	// delimiters, padding, tile lists.
	Sequence, Left bool
	// Frame says that a frame begins in it, Key that this is a key frame that is shown.
	Frame, Key bool
}

// Look reads the header of an OBU with its size field.
func Look(obu []byte) (Unit, error) {
	const sizeBit, extensionBit = 2, 4
	if len(obu) < 2 || obu[0]&0x80 != 0 || obu[0]&sizeBit == 0 {
		return Unit{}, errOBU
	}
	at := 1
	layer := byte(0)
	if obu[0]&extensionBit != 0 {
		layer, at = obu[1]>>3&3, 2
	}
	size, n, err := av1.ReadLEB128(obu[at:])
	if err != nil || size != uint64(len(obu)-at-n) {
		return Unit{}, errOBU
	}
	payload := obu[at+n:]
	switch kind := av1.OBUType(obu[0] >> 3 & 0xf); kind {
	case av1.OBUSequenceHeader:
		return Unit{Sequence: true}, nil
	case av1.OBUTemporalDelimiter, av1.OBUTileList, av1.OBUPadding:
		return Unit{Left: true}, nil
	case av1.OBUFrame, av1.OBUFrameHeader:
		if len(payload) == 0 {
			return Unit{}, errOBU
		}
		// show_existing_frame 0, frame_type KEY_FRAME 00, show_frame 1 (5.9.2)
		return Unit{Frame: layer == 0, Key: layer == 0 && payload[0]>>4 == 1}, nil
	}
	return Unit{}, nil
}

var errOBU = errors.New("obu: it is malformed, or has no size")

// Split returns the OBUs of a temporal unit, each with its size field, appended to
// dst. They are parts of data.
func Split(dst [][]byte, data []byte) ([][]byte, error) {
	for len(data) > 0 {
		unit, rest, err := nextOBU(data)
		if err != nil {
			return nil, fmt.Errorf("av1 temporal unit: %w", err)
		}
		if !unit.Header.HasSizeField {
			return nil, fmt.Errorf("av1 temporal unit: %w", errOBU)
		}
		dst, data = append(dst, data[:len(data)-len(rest)]), rest
	}
	return dst, nil
}

// Format is what a configuration says of pictures.
type Format struct {
	Width, Height int
	// Ticks and Scale are the frame rate, Scale / Ticks frames a second; 0 where it
	// does not say.
	Ticks, Scale int64
}

// FormatOf reads config, the payload of an av1C box.
func FormatOf(config []byte) (Format, error) {
	rec, err := av1.DecodeAV1CodecConfRec(config)
	if err != nil {
		return Format{}, fmt.Errorf("av1 decoder configuration: %w", err)
	}
	unit, err := sequenceOBU(rec.ConfigOBUs)
	if err != nil {
		return Format{}, fmt.Errorf("av1 decoder configuration: %w", err)
	}
	header, err := av1.ParseSequenceHeader(unit.Payload)
	if err != nil {
		return Format{}, fmt.Errorf("av1 decoder configuration: %w", err)
	}
	f := Format{Width: int(header.Width()), Height: int(header.Height())}
	if header.TimingInfoPresent && header.EqualPictureInterval && header.TimeScale > 0 && header.NumUnitsInDisplayTick > 0 && header.NumTicksPerPictureMinus1 < 1<<30 {
		f.Ticks, f.Scale = int64(header.NumUnitsInDisplayTick)*int64(header.NumTicksPerPictureMinus1+1), int64(header.TimeScale)
	}
	return f, nil
}
