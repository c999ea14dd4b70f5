// Package h264 answers the few questions that packaging asks of H.264: what to
// write in CODECS, whether two encodes may share one sample entry, and what a
// coded sample really holds. It does not decode, and it leaves parameter sets
// to mp4ff.
package h264

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/Eyevinn/mp4ff/avc"

	"liuyun/internal/av/bits"
)

// Inspection says what one coded sample holds.
type Inspection struct {
	// Pictures is the number of primary coded pictures. A frame coded as two
	// fields counts twice.
	Pictures int
	// RandomAccess is true where the first picture is an IDR picture: decoding
	// may start here and nothing after it refers to anything before it. An I
	// picture with a recovery point is not one.
	RandomAccess bool
}

// InspectSample reads the NAL unit headers of one MP4 sample, whose units have
// a length of lengthSize bytes. It trusts no flag of the container. Pictures
// are told apart by first_mb_in_slice = 0, so arbitrary slice order, which only
// the Baseline profile allows, is not supported.
func InspectSample(data []byte, lengthSize int) (Inspection, error) {
	var in Inspection
	for unit, err := range bits.NALUnits(data, lengthSize) {
		if err != nil {
			return Inspection{}, fmt.Errorf("h264 sample: %w", err)
		}
		kind := avc.GetNaluType(unit[0])
		if kind != avc.NALU_NON_IDR && kind != avc.NALU_IDR && kind != dataPartitionA {
			continue
		}
		if len(unit) < 2 {
			return Inspection{}, fmt.Errorf("h264 sample: slice without a header")
		}
		// first_mb_in_slice is ue(v), whose code for zero is a single 1 bit.
		if unit[1]&0x80 == 0 {
			continue
		}
		if in.Pictures == 0 {
			in.RandomAccess = kind == avc.NALU_IDR
		}
		in.Pictures++
	}
	return in, nil
}

// dataPartitionA is the NAL unit type of slice data partition A, which mp4ff
// does not name.
const dataPartitionA = avc.NaluType(2)

// CodecString returns the RFC 6381 name of config, the payload of an avcC box,
// in an avc1 sample entry: "avc1.64001f".
func CodecString(config []byte) (string, error) {
	rec, err := avc.DecodeAVCDecConfRec(config)
	if err != nil {
		return "", fmt.Errorf("h264 decoder configuration: %w", err)
	}
	return fmt.Sprintf("avc1.%02x%02x%02x", rec.AVCProfileIndication, rec.ProfileCompatibility, rec.AVCLevelIndication), nil
}

// SameConfig reports whether two avcC payloads describe the same decoder, so
// that samples made with either may follow one sample entry: equal profile,
// level and parameter sets, byte for byte. Malformed records are the same only
// if they are equal.
//
// x264 writes the constant rate factor into its picture parameter set unless it
// is told to be stitchable; units that differ in it are not the same.
func SameConfig(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	ra, errA := avc.DecodeAVCDecConfRec(a)
	rb, errB := avc.DecodeAVCDecConfRec(b)
	if errA != nil || errB != nil {
		return false
	}
	return ra.AVCProfileIndication == rb.AVCProfileIndication &&
		ra.ProfileCompatibility == rb.ProfileCompatibility &&
		ra.AVCLevelIndication == rb.AVCLevelIndication &&
		slices.EqualFunc(ra.SPSnalus, rb.SPSnalus, bytes.Equal) &&
		slices.EqualFunc(ra.PPSnalus, rb.PPSnalus, bytes.Equal)
}
