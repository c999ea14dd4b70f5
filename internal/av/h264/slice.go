package h264

import (
	"errors"
	"fmt"

	"github.com/Eyevinn/mp4ff/avc"

	"liuyun/internal/av/bits"
)

// Slices reads the heads of slices that go with parameter sets.
type Slices struct {
	sequence *avc.SPS
	picture  *avc.PPS
}

var errSlice = errors.New("h264 slice header: it is malformed")

// NewSlices returns what reads slices that go with config, the payload of an avcC box.
// It has one set of either kind.
func NewSlices(config []byte) (*Slices, error) {
	record, err := avc.DecodeAVCDecConfRec(config)
	if err != nil {
		return nil, fmt.Errorf("h264 decoder configuration: %w", err)
	}
	if len(record.SPSnalus) != 1 || len(record.PPSnalus) != 1 {
		return nil, fmt.Errorf("h264 decoder configuration: %d sequence and %d picture parameter sets, where one of each is read", len(record.SPSnalus), len(record.PPSnalus))
	}
	var s Slices
	if s.sequence, err = avc.ParseSPSNALUnit(record.SPSnalus[0], false); err != nil {
		return nil, fmt.Errorf("h264 sequence parameter set: %w", err)
	}
	if s.picture, err = avc.ParsePPSNALUnit(record.PPSnalus[0], map[uint32]*avc.SPS{s.sequence.ParameterID: s.sequence}); err != nil {
		return nil, fmt.Errorf("h264 picture parameter set: %w", err)
	}
	return &s, nil
}

// QP is the quantiser that the first slice of a sample begins with, without what its
// macroblocks add: 0 to 51, and below 0 for deep pictures. Units have four bytes of
// length. The slice is one of I or P macroblocks (ITU-T H.264 7.3.3).
func (s *Slices) QP(sample []byte) (int, error) {
	for unit, err := range bits.NALUnits(sample, 4) {
		if err != nil {
			return 0, fmt.Errorf("h264 sample: %w", err)
		}
		if kind := avc.GetNaluType(unit[0]); kind == avc.NALU_NON_IDR || kind == avc.NALU_IDR {
			return s.qp(unit)
		}
	}
	return 0, errors.New("h264 sample: it has no slice")
}

// mostHead is more bytes than a slice's header may have with mostReferences.
const (
	mostHead       = 1024
	mostReferences = 32
)

func (s *Slices) qp(unit []byte) (int, error) {
	idr, reference := avc.GetNaluType(unit[0]) == avc.NALU_IDR, unit[0]&0x60 != 0
	r := bits.NewReader(bits.Unescape(unit[1:min(len(unit), mostHead)]))
	r.Golomb(bits.Largest) // first_mb_in_slice
	kind := r.Golomb(9) % 5
	const p, i = 0, 2
	if (kind != p && kind != i) || r.Golomb(255) != s.picture.PicParameterSetID {
		return 0, errSlice
	}
	s.skipOrder(r, idr)
	if kind == p {
		references := uint32(s.picture.NumRefIdxI0DefaultActiveMinus1)
		if r.Flag() { // num_ref_idx_active_override_flag
			references = r.Golomb(mostReferences - 1)
		}
		if r.Flag() { // ref_pic_list_modification_flag_l0
			const end = 3
			for n := 0; r.Golomb(end) != end && n < 2*mostReferences && !r.Bad(); n++ {
				r.Golomb(bits.Largest)
			}
		}
		if s.picture.WeightedPredFlag {
			s.skipWeights(r, min(references, mostReferences-1))
		}
	}
	if reference {
		skipMarking(r, idr)
	}
	if s.picture.EntropyCodingModeFlag && kind == p {
		r.Golomb(2) // cabac_init_idc
	}
	qp := 26 + s.picture.PicInitQpMinus26 + int(r.Signed())
	if r.Bad() || qp < -6*8 || qp > 51 {
		return 0, errSlice
	}
	return qp, nil
}

// skipOrder skips all that says which picture it is.
func (s *Slices) skipOrder(r *bits.Reader, idr bool) {
	if s.sequence.SeparateColourPlaneFlag {
		r.Skip(2)
	}
	r.Skip(int(s.sequence.Log2MaxFrameNumMinus4) + 4)
	field := false
	if !s.sequence.FrameMbsOnlyFlag {
		if field = r.Flag(); field {
			r.Flag() // bottom_field_flag
		}
	}
	if idr {
		r.Golomb(65535) // idr_pic_id
	}
	both := s.picture.BottomFieldPicOrderInFramePresentFlag && !field
	switch {
	case s.sequence.PicOrderCntType == 0:
		r.Skip(int(s.sequence.Log2MaxPicOrderCntLsbMinus4) + 4)
		if both {
			r.Signed()
		}
	case s.sequence.PicOrderCntType == 1 && !s.sequence.DeltaPicOrderAlwaysZeroFlag:
		r.Signed()
		if both {
			r.Signed()
		}
	}
	if s.picture.RedundantPicCntPresentFlag {
		r.Golomb(127)
	}
}

// skipWeights skips the weights of so many references, less one.
func (s *Slices) skipWeights(r *bits.Reader, references uint32) {
	chroma := s.sequence.ChromaArrayType() != 0
	r.Golomb(7)
	if chroma {
		r.Golomb(7)
	}
	skip := func(values int) {
		if r.Flag() {
			for range values {
				r.Signed()
			}
		}
	}
	for range references + 1 {
		skip(2)
		if chroma {
			skip(4)
		}
	}
}

// skipMarking skips what becomes of references.
func skipMarking(r *bits.Reader, idr bool) {
	if idr {
		r.Skip(2)
		return
	}
	if !r.Flag() {
		return
	}
	for range 2 * mostReferences {
		operation := r.Golomb(6)
		if operation == 0 || r.Bad() {
			return
		}
		if operation != 5 {
			r.Golomb(bits.Largest)
		}
		if operation == 3 {
			r.Golomb(bits.Largest)
		}
	}
}
