//go:build cgo

package quality

/*
#cgo CFLAGS: -O3 -std=c11 -Wall -Wno-psabi
#cgo noescape quality_widen
#cgo nocallback quality_widen
#cgo noescape quality_halve
#cgo nocallback quality_halve
#cgo noescape quality_vif
#cgo nocallback quality_vif
#cgo noescape quality_wavelet
#cgo nocallback quality_wavelet
#cgo noescape quality_wavelet32
#cgo nocallback quality_wavelet32
#cgo noescape quality_adm_detail
#cgo nocallback quality_adm_detail
#cgo noescape quality_adm_masked
#cgo nocallback quality_adm_masked
#cgo noescape quality_motion
#cgo nocallback quality_motion
#include "kernels.h"
*/
import "C"

import "unsafe"

// native are the kernels in C.
func native() kernels {
	return kernels{
		name: "C", widen: cWiden, halve: cHalve, vif: cVIF,
		wavelet: cWavelet, wavelet32: cWavelet32,
		admDetail: cADMDetail, admMasked: cADMMasked, motion: cMotion,
	}
}

// Pointers into slices as C takes them. Rows are read in whole vectors, up to
// slack samples beyond the last, which every buffer has room for.
func u8(s []byte) *C.uint8_t     { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(s))) }
func u16(s []uint16) *C.uint16_t { return (*C.uint16_t)(unsafe.Pointer(unsafe.SliceData(s))) }
func u32(s []uint32) *C.uint32_t { return (*C.uint32_t)(unsafe.Pointer(unsafe.SliceData(s))) }
func i32(s []int32) *C.int32_t   { return (*C.int32_t)(unsafe.Pointer(unsafe.SliceData(s))) }

func cWiden(from []byte, into []uint16) {
	C.quality_widen(u8(from), u16(into), C.int(min(len(from), len(into))))
}

func cHalve(src, dst []uint16, w, h, scale, shift int, scratch []uint32) {
	C.quality_halve(u16(src), u16(dst), C.int(w), C.int(h), C.int(scale), C.int(shift), u32(scratch))
}

func cVIF(ref, dis []uint16, w, h, scale, shift, squareShift int, logs []uint16, limits []float64, scratch []uint32, sums *vifSums) {
	var all [3 + MaxModels]C.int64_t
	C.quality_vif(u16(ref), u16(dis), C.int(w), C.int(h), C.int(scale), C.int(shift), C.int(squareShift), u16(logs),
		(*C.double)(unsafe.SliceData(limits)), C.int(len(limits)), u32(scratch), &all[0])
	sums.den += int64(all[0])
	sums.flat += int64(all[1])
	sums.flatDis += int64(all[2])
	for i := range limits {
		sums.num[i] += int64(all[3+i])
	}
}

func cWavelet(src []uint16, w, h, depth int, out bands, scratch []int32) {
	C.quality_wavelet(u16(src), C.int(w), C.int(h), C.int(depth), i32(out.a), i32(out.h), i32(out.v), i32(out.d), i32(scratch))
}

func cWavelet32(src []int32, w, h, scale int, out bands, scratch []int32) {
	C.quality_wavelet32(i32(src), C.int(w), C.int(h), C.int(scale), i32(out.a), i32(out.h), i32(out.v), i32(out.d), i32(scratch))
}

// cADM is what both of ADM's kernels need to know of a scale.
func cADM(w, h, scale int) C.quality_adm {
	left, right := admInside(w)
	top, bottom := admInside(h)
	square, cube, row := admDetailShifts(left, right, top, bottom, scale)
	kept, keptD, keptRow := admShifts(w, h, scale)
	return C.quality_adm{
		w: C.int(w), h: C.int(h), left: C.int(left), right: C.int(right), top: C.int(top), bottom: C.int(bottom),
		scale: C.int(scale), square_shift: C.int(square), cube_shift: C.int(cube), row_shift: C.int(row),
		kept_shift: C.int(kept), kept_shift_d: C.int(keptD), kept_row_shift: C.int(keptRow),
		cosine: C.double(cosineDegree),
	}
}

func cADMDetail(ref bands, w, h, scale int, sums *[3]uint64) {
	var all [3]C.uint64_t
	C.quality_adm_detail(i32(ref.h), i32(ref.v), i32(ref.d), cADM(w, h, scale), &all[0])
	for i, sum := range all {
		sums[i] += uint64(sum)
	}
}

func cADMMasked(ref, dis bands, w, h, scale int, factors [3]uint32, limit float64, scratch []int32, sums *[3]int64) {
	p := cADM(w, h, scale)
	p.limit = C.double(limit)
	for i, factor := range factors {
		p.factors[i] = C.uint32_t(factor)
	}
	var all [3]C.int64_t
	C.quality_adm_masked(i32(ref.h), i32(ref.v), i32(ref.d), i32(dis.h), i32(dis.v), i32(dis.d), p, i32(scratch), &all[0])
	for i, sum := range all {
		sums[i] += int64(sum)
	}
}

func cMotion(prev, ref []uint16, w, h, depth int, row []int32) uint64 {
	return uint64(C.quality_motion(u16(prev), u16(ref), C.int(w), C.int(h), C.int(depth), i32(row)))
}
