package h264

import (
	"errors"

	"liuyun/internal/av/bits"
)

// sequenceSet is what is read of a sequence parameter set (ITU-T H.264 7.3.2.1.1):
// all up to the rate of pictures. Sets come from outside, so each count in it is held
// to what the standard allows before anything is done that often.
type sequenceSet struct {
	id                          uint32
	profile, constraints, level byte
	chroma, luma8, chroma8      byte // format, and depths less 8
	width, height               int  // that are shown
	units, scale                uint32
	fields                      bool // not frame_mbs_only_flag
}

var errSet = errors.New("h264 sequence parameter set: it is malformed")

// extended reports whether a profile has a chroma format, in the set and in avcC.
func extended(profile byte) bool {
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		return true
	}
	return false
}

func readSequenceSet(unit []byte) (sequenceSet, error) {
	const kind, kindMask = 7, 0x1f
	if len(unit) < 4 || unit[0]&kindMask != kind {
		return sequenceSet{}, errSet
	}
	s := sequenceSet{profile: unit[1], constraints: unit[2], level: unit[3], chroma: 1}
	r := bits.NewReader(bits.Unescape(unit[4:]))
	s.id = r.Golomb(31)
	planes := false
	if extended(s.profile) {
		s.chroma = byte(r.Golomb(3))
		if s.chroma == 3 {
			planes = r.Flag()
		}
		s.luma8, s.chroma8 = byte(r.Golomb(6)), byte(r.Golomb(6))
		r.Flag() // qpprime_y_zero_transform_bypass_flag
		if r.Flag() {
			skipScalingLists(r, s.chroma)
		}
	}
	r.Golomb(12) // log2_max_frame_num_minus4
	skipPictureOrder(r)
	r.Golomb(16) // max_num_ref_frames
	r.Flag()     // gaps_in_frame_num_value_allowed_flag
	const most = 16384/16 - 1
	s.width, s.height = 16*int(r.Golomb(most)+1), 16*int(r.Golomb(most)+1)
	field := 1
	if !r.Flag() { // frame_mbs_only_flag
		field, s.fields = 2, true
		r.Flag() // mb_adaptive_frame_field_flag
	}
	s.height *= field
	r.Flag() // direct_8x8_inference_flag
	if r.Flag() {
		s.crop(r, field, planes)
	}
	if r.Flag() {
		s.readRate(r)
	}
	if r.Bad() || s.width <= 0 || s.height <= 0 {
		return sequenceSet{}, errSet
	}
	return s, nil
}

// crop takes off what is coded and not shown.
func (s *sequenceSet) crop(r *bits.Reader, field int, planes bool) {
	x, y := 1, field
	if !planes && (s.chroma == 1 || s.chroma == 2) {
		x = 2
	}
	if !planes && s.chroma == 1 {
		y *= 2
	}
	const most = 16384
	left, right, top, bottom := r.Golomb(most), r.Golomb(most), r.Golomb(most), r.Golomb(most)
	s.width -= x * int(left+right)
	s.height -= y * int(top+bottom)
}

// readRate reads the usability information (E.1.1) up to the rate of pictures.
func (s *sequenceSet) readRate(r *bits.Reader) {
	const extendedRatio = 255
	if r.Flag() && r.Bits(8) == extendedRatio { // aspect_ratio_idc
		r.Bits(32)
	}
	if r.Flag() { // overscan_info_present_flag
		r.Flag()
	}
	if r.Flag() { // video_signal_type_present_flag
		r.Bits(4)
		if r.Flag() {
			r.Bits(24)
		}
	}
	if r.Flag() { // chroma_loc_info_present_flag
		r.Golomb(5)
		r.Golomb(5)
	}
	if r.Flag() { // timing_info_present_flag
		s.units, s.scale = r.Bits(32), r.Bits(32)
	}
}

// skipScalingLists skips them (7.3.2.1.1.1).
func skipScalingLists(r *bits.Reader, chroma byte) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if r.Bad() || !r.Flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		last, next := int32(8), int32(8)
		for range size {
			if next != 0 {
				next = (last + r.Signed() + 256) & 255
			}
			if next != 0 {
				last = next
			}
		}
	}
}

// skipPictureOrder skips what the order of pictures is told by.
func skipPictureOrder(r *bits.Reader) {
	switch r.Golomb(2) {
	case 0:
		r.Golomb(12)
	case 1:
		r.Flag()
		r.Signed()
		r.Signed()
		for range r.Golomb(255) {
			r.Signed()
		}
	}
}
