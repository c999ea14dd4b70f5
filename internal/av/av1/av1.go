// Package av1 answers the few questions that packaging asks of AV1: what to
// write in CODECS, whether two encodes may share one sample entry, and what a
// coded sample really holds. It does not decode, and it leaves the sequence
// header to mp4ff. Only the base spatial layer of a layered stream is looked at.
package av1

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/av1"
)

// Inspection says what one coded sample (a temporal unit) holds.
type Inspection struct {
	// Pictures is the number of frames that it shows, either new ones or ones
	// that were decoded before. Frames kept for later do not count.
	Pictures int
	// RandomAccess is true where a sequence header comes first and the first
	// frame is a key frame that is shown: decoding may start here and nothing
	// after it refers to anything before it.
	RandomAccess bool
}

// InspectSample reads the OBU and frame headers of one MP4 sample. It trusts no
// flag of the container.
func InspectSample(data []byte) (Inspection, error) {
	var (
		in       Inspection
		sequence bool // a sequence header was seen
		frames   int
	)
	for len(data) > 0 {
		unit, rest, err := nextOBU(data)
		if err != nil {
			return Inspection{}, fmt.Errorf("av1 sample: %w", err)
		}
		data = rest
		if unit.Header.Type == av1.OBUSequenceHeader {
			sequence = true
		}
		isFrame := unit.Header.Type == av1.OBUFrame || unit.Header.Type == av1.OBUFrameHeader
		if !isFrame || unit.Header.SpatialID != 0 {
			continue
		}
		frame, err := frameStart(unit.Payload)
		if err != nil {
			return Inspection{}, fmt.Errorf("av1 sample: %w", err)
		}
		if frames == 0 {
			in.RandomAccess = sequence && frame.ShowFrame && frame.FrameType == av1.FrameTypeKey
		}
		frames++
		if frame.ShowFrame || frame.ShowExistingFrame {
			in.Pictures++
		}
	}
	return in, nil
}

// frameStart reads the first fields of uncompressed_header (AV1 specification,
// 5.9.2). They are laid out alike in every sequence but that of a still picture
// with a reduced header, which cannot be a track of more than one picture.
func frameStart(payload []byte) (av1.FrameInfo, error) {
	return av1.ParseFrameHeaderStart(payload, &av1.SequenceHeader{})
}

// nextOBU returns the first OBU of data, without copying, and what follows it.
// (mp4ff's SplitOBUs builds a list, which a sample of empty OBUs makes many
// times larger than the sample.)
func nextOBU(data []byte) (av1.OBU, []byte, error) {
	header, err := av1.ParseOBUHeader(data)
	if err != nil {
		return av1.OBU{}, nil, err
	}
	data = data[header.HeaderSize:]
	if !header.HasSizeField { // the last OBU of a sample may leave its size out
		return av1.OBU{Header: header, Payload: data}, nil, nil
	}
	size, n, err := av1.ReadLEB128(data)
	if err != nil {
		return av1.OBU{}, nil, err
	}
	data = data[n:]
	if size > uint64(len(data)) {
		return av1.OBU{}, nil, fmt.Errorf("obu of %d bytes, %d left in the sample", size, len(data))
	}
	return av1.OBU{Header: header, Payload: data[:size]}, data[size:], nil
}

// H.273 code points that need no words in a codec string: BT.709, which is the
// default, and unspecified, which says nothing.
const (
	bt709       = 1
	unspecified = 2
)

// CodecString returns the RFC 6381 name of config, the payload of an av1C box:
// "av01.0.04M.08", or with the colour "av01.0.08M.10.0.110.09.16.09.0" where
// that is not the default. See the AV1 ISO media file format binding, section 5.
func CodecString(config []byte) (string, error) {
	rec, err := av1.DecodeAV1CodecConfRec(config)
	if err != nil {
		return "", fmt.Errorf("av1 decoder configuration: %w", err)
	}
	unit, err := sequenceOBU(rec.ConfigOBUs)
	if errors.Is(err, errNoSequenceHeader) {
		return rec.CodecString("av01"), nil
	}
	if err != nil {
		return "", fmt.Errorf("av1 decoder configuration: %w", err)
	}
	header, err := av1.ParseSequenceHeader(unit.Payload)
	if err != nil {
		return "", fmt.Errorf("av1 decoder configuration: %w", err)
	}
	header.ColorPrimaries = assumed(header.ColorPrimaries)
	header.TransferCharacteristics = assumed(header.TransferCharacteristics)
	header.MatrixCoefficients = assumed(header.MatrixCoefficients)
	return header.CodecString("av01"), nil
}

// assumed is the code point that players take an unspecified one for.
func assumed(code byte) byte {
	if code == unspecified {
		return bt709
	}
	return code
}

var errNoSequenceHeader = errors.New("no sequence header")

// sequenceOBU returns the first sequence header among OBUs.
func sequenceOBU(data []byte) (av1.OBU, error) {
	for len(data) > 0 {
		unit, rest, err := nextOBU(data)
		if err != nil {
			return av1.OBU{}, err
		}
		if unit.Header.Type == av1.OBUSequenceHeader {
			return unit, nil
		}
		data = rest
	}
	return av1.OBU{}, errNoSequenceHeader
}

// ConfigFromSample returns the payload of av1C for a track that starts with
// sample, made from the sequence header in it. SVT-AV1 1.4 tells its container
// another header than the one it then writes; this one is what decoders use.
func ConfigFromSample(sample []byte) ([]byte, error) {
	unit, err := sequenceOBU(sample)
	if err != nil {
		return nil, fmt.Errorf("av1 sample: %w", err)
	}
	header, err := av1.ParseSequenceHeader(unit.Payload)
	if err != nil {
		return nil, fmt.Errorf("av1 sample: %w", err)
	}
	rec := av1.CodecConfRecFromSequenceHeader(header, unit.Encode())
	var config bytes.Buffer
	if err := rec.Encode(&config); err != nil {
		return nil, fmt.Errorf("write av1C: %w", err)
	}
	return config.Bytes(), nil
}

// SameConfig reports whether two av1C payloads describe the same decoder, so
// that samples made with either may follow one sample entry: an equal sequence
// header, byte for byte. Metadata in the record does not count. Malformed
// records are the same only if they are equal.
func SameConfig(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	ra, errA := av1.DecodeAV1CodecConfRec(a)
	rb, errB := av1.DecodeAV1CodecConfRec(b)
	if errA != nil || errB != nil {
		return false
	}
	sa, errA := sequenceOBU(ra.ConfigOBUs)
	sb, errB := sequenceOBU(rb.ConfigOBUs)
	if errA != nil || errB != nil {
		return false
	}
	return bytes.Equal(sa.Payload, sb.Payload)
}
