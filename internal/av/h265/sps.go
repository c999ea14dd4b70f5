package h265

import (
	"cmp"
	"errors"
	"slices"

	"liuyun/internal/av/bits"
)

// sequenceSet is what is read of a sequence parameter set (ITU-T H.265 7.3.2.2): all
// up to the rate of pictures. Sets come from outside, so each count in it is held to
// what the standard allows before anything is done that often.
type sequenceSet struct {
	id                     uint32
	profile                [12]byte // the general part of profile_tier_level, with the level
	layers, nested         byte
	chroma, luma8, chroma8 byte // format, and depths less 8
	width, height          int  // that are shown
	units, scale           uint32
}

var errSet = errors.New("h265 parameter set: it is malformed")

const (
	mostLayers = 7
	mostSide   = 16384
)

func readSequenceSet(unit []byte) (sequenceSet, error) {
	const headers = 3 // of the unit, and the first byte of the set
	if len(unit) < headers+12 || unit[0]>>1&0x3f != kindSequence {
		return sequenceSet{}, errSet
	}
	data := bits.Unescape(unit[2:])
	if len(data) < 1+12 {
		return sequenceSet{}, errSet
	}
	s := sequenceSet{layers: data[0]>>1&7 + 1, nested: data[0] & 1, profile: [12]byte(data[1:13])}
	if s.layers > mostLayers {
		return sequenceSet{}, errSet
	}
	r := bits.NewReader(data[13:])
	skipLayers(r, int(s.layers)-1)
	s.id = r.Golomb(15)
	s.chroma = byte(r.Golomb(3))
	planes := s.chroma == 3 && r.Flag()
	s.width, s.height = int(r.Golomb(mostSide)), int(r.Golomb(mostSide))
	if r.Flag() {
		s.crop(r, planes)
	}
	s.luma8, s.chroma8 = byte(r.Golomb(8)), byte(r.Golomb(8))
	if r.Bad() || s.width <= 0 || s.height <= 0 {
		return sequenceSet{}, errSet
	}
	s.readRate(r)
	if r.Bad() { // nothing else depends on it
		s.units, s.scale = 0, 0
	}
	return s, nil
}

// skipLayers skips what profile_tier_level says of sub-layers (7.3.3).
func skipLayers(r *bits.Reader, count int) {
	if count == 0 {
		return
	}
	var has [8][2]bool
	for i := range 8 {
		has[i] = [2]bool{r.Flag(), r.Flag()} // two reserved bits from count on
	}
	for i := range count {
		if has[i][0] {
			r.Skip(88)
		}
		if has[i][1] {
			r.Skip(8)
		}
	}
}

// crop takes off what is coded and not shown.
func (s *sequenceSet) crop(r *bits.Reader, planes bool) {
	x, y := 1, 1
	if !planes && (s.chroma == 1 || s.chroma == 2) {
		x = 2
	}
	if !planes && s.chroma == 1 {
		y = 2
	}
	left, right, top, bottom := r.Golomb(mostSide), r.Golomb(mostSide), r.Golomb(mostSide), r.Golomb(mostSide)
	s.width -= x * int(left+right)
	s.height -= y * int(top+bottom)
}

// readRate reads on from the depths to the rate of pictures.
func (s *sequenceSet) readRate(r *bits.Reader) {
	order := int(r.Golomb(12)) + 4 // log2_max_pic_order_cnt_lsb
	from := int(s.layers) - 1
	if r.Flag() {
		from = 0
	}
	for range int(s.layers) - from {
		r.Golomb(bits.Largest)
		r.Golomb(bits.Largest)
		r.Golomb(bits.Largest)
	}
	for range 6 { // sizes and depths of blocks
		r.Golomb(32)
	}
	if r.Flag() { // scaling_list_enabled_flag
		if r.Flag() {
			skipScalingLists(r)
		}
	}
	r.Skip(2)     // asymmetric partitions, adaptive offset
	if r.Flag() { // pcm_enabled_flag
		r.Skip(8)
		r.Golomb(32)
		r.Golomb(32)
		r.Skip(1)
	}
	skipReferences(r)
	if r.Flag() { // long_term_ref_pics_present_flag
		for range r.Golomb(32) {
			r.Skip(order + 1)
		}
	}
	r.Skip(2) // temporal vectors, intra smoothing
	if r.Flag() {
		s.readUsability(r)
	}
}

// readUsability reads E.2.1 up to the rate.
func (s *sequenceSet) readUsability(r *bits.Reader) {
	const extendedRatio = 255
	if r.Flag() && r.Bits(8) == extendedRatio {
		r.Skip(32)
	}
	if r.Flag() { // overscan
		r.Skip(1)
	}
	if r.Flag() { // video_signal_type_present_flag
		r.Skip(4)
		if r.Flag() {
			r.Skip(24)
		}
	}
	if r.Flag() { // chroma_loc_info_present_flag
		r.Golomb(5)
		r.Golomb(5)
	}
	r.Skip(3)
	if r.Flag() { // default_display_window_flag
		for range 4 {
			r.Golomb(mostSide)
		}
	}
	if r.Flag() { // vui_timing_info_present_flag
		s.units, s.scale = r.Bits(32), r.Bits(32)
	}
}

// skipScalingLists skips them (7.3.4).
func skipScalingLists(r *bits.Reader) {
	for size := range 4 {
		step := 1
		if size == 3 {
			step = 3
		}
		for matrix := 0; matrix < 6; matrix += step {
			if !r.Flag() {
				r.Golomb(5)
				continue
			}
			if size > 1 {
				r.Signed()
			}
			for range min(64, 1<<(4+2*size)) {
				r.Signed()
			}
		}
	}
}

// mostReferences is the largest number of pictures in a short-term set.
const mostReferences = 16

// skipReferences skips the short-term reference picture sets (7.3.7). How long one is
// may depend on the distances in the one before it.
func skipReferences(r *bits.Reader) {
	var before []int32
	for i := range r.Golomb(64) {
		if r.Bad() {
			return
		}
		if i > 0 && r.Flag() {
			before = predicted(r, before)
		} else {
			before = listed(r)
		}
		if len(before) > mostReferences {
			r.Skip(1 << 30) // malformed
		}
	}
}

// listed reads a set that says its distances itself: those back, then those ahead.
func listed(r *bits.Reader) []int32 {
	back, ahead := r.Golomb(mostReferences), r.Golomb(mostReferences)
	return readDistances(r, readDistances(r, nil, back, -1), ahead, 1)
}

func readDistances(r *bits.Reader, all []int32, count uint32, sign int32) []int32 {
	at := int32(0)
	for range count {
		at += sign * int32(r.Golomb(1<<15-1)+1)
		r.Flag() // used_by_curr_pic
		all = append(all, at)
	}
	return all
}

// predicted reads a set that says how it differs from the one before.
func predicted(r *bits.Reader, before []int32) []int32 {
	negative := r.Flag()
	delta := int32(r.Golomb(1<<15-1)) + 1
	if negative {
		delta = -delta
	}
	var all []int32
	for i := range len(before) + 1 {
		if used := r.Flag(); !used && !r.Flag() {
			continue
		}
		at := delta
		if i < len(before) {
			at += before[i]
		}
		if at != 0 {
			all = append(all, at)
		}
	}
	// As 7-61 and 7-62 put them: back from the nearest, then ahead from the nearest.
	slices.SortFunc(all, func(a, b int32) int {
		if (a < 0) != (b < 0) {
			return cmp.Compare(a, b)
		}
		return cmp.Compare(max(a, -a), max(b, -b))
	})
	return all
}
