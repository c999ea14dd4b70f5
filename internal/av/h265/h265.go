// Package h265 answers the few questions that packaging asks of H.265: what to
// write in CODECS, whether two encodes may share one sample entry, and what a
// coded sample really holds. It does not decode, and it leaves parameter sets
// to mp4ff. Only the base layer of a layered stream is looked at.
package h265

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/Eyevinn/mp4ff/hevc"

	"liuyun/internal/av/bits"
)

// Inspection says what one coded sample holds.
type Inspection struct {
	// Pictures is the number of coded pictures of the base layer.
	Pictures int
	// RandomAccess is true where the first picture is IDR_W_RADL or IDR_N_LP:
	// decoding may start here and nothing after it refers to anything before it.
	RandomAccess bool
	// CRA is true where the first picture is a clean random access picture:
	// decoding may start here, but leading pictures that follow it in the file
	// may refer to what came before.
	CRA bool
}

// InspectSample reads the NAL unit headers of one MP4 sample, whose units have
// a length of lengthSize bytes. It trusts no flag of the container.
func InspectSample(data []byte, lengthSize int) (Inspection, error) {
	var in Inspection
	for unit, err := range bits.NALUnits(data, lengthSize) {
		if err != nil {
			return Inspection{}, fmt.Errorf("h265 sample: %w", err)
		}
		if len(unit) < 2 {
			return Inspection{}, fmt.Errorf("h265 sample: nal unit of %d byte", len(unit))
		}
		kind := hevc.GetNaluType(unit[0])
		if !hevc.IsVideoNaluType(kind) || hevc.GetNaluLayerID(unit) != 0 {
			continue
		}
		if len(unit) < 3 {
			return Inspection{}, fmt.Errorf("h265 sample: slice without a header")
		}
		if unit[2]&0x80 == 0 { // first_slice_segment_in_pic_flag
			continue
		}
		if in.Pictures == 0 {
			in.RandomAccess = kind == hevc.NALU_IDR_W_RADL || kind == hevc.NALU_IDR_N_LP
			in.CRA = kind == hevc.NALU_CRA
		}
		in.Pictures++
	}
	return in, nil
}

// CodecString returns the RFC 6381 name of config, the payload of an hvcC box,
// in an hvc1 sample entry: "hvc1.1.6.L93.B0". See ISO/IEC 14496-15, Annex E.3.
func CodecString(config []byte) (string, error) {
	rec, err := decode(config)
	if err != nil {
		return "", err
	}
	name := hevc.CodecString("hvc1", &hevc.SPS{ProfileTierLevel: hevc.ProfileTierLevel{
		GeneralProfileSpace:              rec.GeneralProfileSpace,
		GeneralTierFlag:                  rec.GeneralTierFlag,
		GeneralProfileIDC:                rec.GeneralProfileIDC,
		GeneralProfileCompatibilityFlags: rec.GeneralProfileCompatibilityFlags,
		GeneralConstraintIndicatorFlags:  rec.GeneralConstraintIndicatorFlags,
		GeneralLevelIDC:                  rec.GeneralLevelIDC,
	}})
	if rec.GeneralConstraintIndicatorFlags == 0 {
		// Trailing zero bytes may be left out, all six of them too; mp4ff keeps one.
		name = strings.TrimSuffix(name, ".0")
	}
	return name, nil
}

// SameConfig reports whether two hvcC payloads describe the same decoder, so
// that samples made with either may follow one sample entry: equal profile,
// tier, level and parameter sets, byte for byte. Messages in the record (the
// encoder's own name and options) do not count. Malformed records are the same
// only if they are equal.
func SameConfig(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	ra, errA := decode(a)
	rb, errB := decode(b)
	if errA != nil || errB != nil {
		return false
	}
	return ra.GeneralProfileSpace == rb.GeneralProfileSpace &&
		ra.GeneralTierFlag == rb.GeneralTierFlag &&
		ra.GeneralProfileIDC == rb.GeneralProfileIDC &&
		ra.GeneralProfileCompatibilityFlags == rb.GeneralProfileCompatibilityFlags &&
		ra.GeneralConstraintIndicatorFlags == rb.GeneralConstraintIndicatorFlags &&
		ra.GeneralLevelIDC == rb.GeneralLevelIDC &&
		slices.EqualFunc(ra.GetNalusForType(hevc.NALU_VPS), rb.GetNalusForType(hevc.NALU_VPS), bytes.Equal) &&
		slices.EqualFunc(ra.GetNalusForType(hevc.NALU_SPS), rb.GetNalusForType(hevc.NALU_SPS), bytes.Equal) &&
		slices.EqualFunc(ra.GetNalusForType(hevc.NALU_PPS), rb.GetNalusForType(hevc.NALU_PPS), bytes.Equal)
}

func decode(config []byte) (hevc.DecConfRec, error) {
	rec, err := hevc.DecodeHEVCDecConfRec(config)
	if err != nil {
		return hevc.DecConfRec{}, fmt.Errorf("h265 decoder configuration: %w", err)
	}
	return rec, nil
}
