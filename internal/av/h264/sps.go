package h264

import "errors"

// sequenceSet is what is read of a sequence parameter set (ITU-T H.264 7.3.2.1.1):
// all up to the rate of pictures. Sets come from outside, so each count in it is held
// to what the standard allows before anything is done that often.
type sequenceSet struct {
	profile, constraints, level byte
	chroma, luma8, chroma8      byte // format, and depths less 8
	width, height               int  // that are shown
	units, scale                uint32
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
	r := &bitReader{data: unescape(unit[4:])}
	r.golomb(31) // seq_parameter_set_id
	planes := false
	if extended(s.profile) {
		s.chroma = byte(r.golomb(3))
		if s.chroma == 3 {
			planes = r.flag()
		}
		s.luma8, s.chroma8 = byte(r.golomb(6)), byte(r.golomb(6))
		r.flag() // qpprime_y_zero_transform_bypass_flag
		if r.flag() {
			r.scalingLists(s.chroma)
		}
	}
	r.golomb(12) // log2_max_frame_num_minus4
	r.pictureOrder()
	r.golomb(16) // max_num_ref_frames
	r.flag()     // gaps_in_frame_num_value_allowed_flag
	const most = 16384/16 - 1
	s.width, s.height = 16*int(r.golomb(most)+1), 16*int(r.golomb(most)+1)
	field := 1
	if !r.flag() { // frame_mbs_only_flag
		field = 2
		r.flag() // mb_adaptive_frame_field_flag
	}
	s.height *= field
	r.flag() // direct_8x8_inference_flag
	if r.flag() {
		s.crop(r, field, planes)
	}
	if r.flag() {
		s.readRate(r)
	}
	if r.bad || s.width <= 0 || s.height <= 0 {
		return sequenceSet{}, errSet
	}
	return s, nil
}

// crop takes off what is coded and not shown.
func (s *sequenceSet) crop(r *bitReader, field int, planes bool) {
	x, y := 1, field
	if !planes && (s.chroma == 1 || s.chroma == 2) {
		x = 2
	}
	if !planes && s.chroma == 1 {
		y *= 2
	}
	const most = 16384
	left, right, top, bottom := r.golomb(most), r.golomb(most), r.golomb(most), r.golomb(most)
	s.width -= x * int(left+right)
	s.height -= y * int(top+bottom)
}

// readRate reads the usability information (E.1.1) up to the rate of pictures.
func (s *sequenceSet) readRate(r *bitReader) {
	const extendedRatio = 255
	if r.flag() && r.bits(8) == extendedRatio { // aspect_ratio_idc
		r.bits(32)
	}
	if r.flag() { // overscan_info_present_flag
		r.flag()
	}
	if r.flag() { // video_signal_type_present_flag
		r.bits(4)
		if r.flag() {
			r.bits(24)
		}
	}
	if r.flag() { // chroma_loc_info_present_flag
		r.golomb(5)
		r.golomb(5)
	}
	if r.flag() { // timing_info_present_flag
		s.units, s.scale = r.bits(32), r.bits(32)
	}
}

// unescape takes out the bytes that keep start codes from being in a unit.
func unescape(data []byte) []byte {
	out := make([]byte, 0, len(data))
	zeros := 0
	for _, b := range data {
		if zeros >= 2 && b == 3 {
			zeros = 0
			continue
		}
		if b == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, b)
	}
	return out
}

// bitReader reads bits, the highest first. Past the end, and after a number that is
// larger than it may be, it is bad and everything is 0.
type bitReader struct {
	data []byte
	at   int // in bits
	bad  bool
}

func (r *bitReader) flag() bool { return r.bits(1) == 1 }

func (r *bitReader) bits(count int) (value uint32) {
	if r.bad || r.at+count > 8*len(r.data) {
		r.bad = true
		return 0
	}
	for range count {
		value = value<<1 | uint32(r.data[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return value
}

// golomb reads ue(v) (9.1), at most most.
func (r *bitReader) golomb(most uint32) uint32 {
	zeros := 0
	for !r.bad && r.bits(1) == 0 {
		zeros++
	}
	if zeros > 31 {
		r.bad = true
	}
	if r.bad {
		return 0
	}
	value := uint32(1)<<zeros - 1 + r.bits(zeros)
	if value > most {
		r.bad = true
		return 0
	}
	return value
}

// largest is no bound but that of the coding.
const largest = 1<<32 - 2

// signed reads se(v) (9.1.1).
func (r *bitReader) signed() int32 {
	value := r.golomb(largest)
	if value%2 == 1 {
		return int32(value/2 + 1)
	}
	return -int32(value / 2)
}

// scalingLists skips them (7.3.2.1.1.1).
func (r *bitReader) scalingLists(chroma byte) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if r.bad || !r.flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		last, next := int32(8), int32(8)
		for range size {
			if next != 0 {
				next = (last + r.signed() + 256) & 255
			}
			if next != 0 {
				last = next
			}
		}
	}
}

// pictureOrder skips what the order of pictures is told by.
func (r *bitReader) pictureOrder() {
	switch r.golomb(2) {
	case 0:
		r.golomb(12)
	case 1:
		r.flag()
		r.signed()
		r.signed()
		for range r.golomb(255) {
			r.signed()
		}
	}
}
