package quality

// kernels are the loops over pixels, in C or in Go. Planes are rows without
// gaps; w and h are samples. All of them give the same bits in both languages:
// integers, or doubles in the same order without fused multiplication.
type kernels struct {
	name string
	// widen turns bytes into samples.
	widen func(from []byte, into []uint16)
	// halve filters a plane with the lowpass of the scale below and keeps every
	// second sample of every second row: src is of scale, dst of scale+1, w/2 by
	// h/2. shift is what the vertical pass drops of the sum.
	halve func(src, dst []uint16, w, h, scale, shift int, scratch []uint32)
	// vif adds up one scale. shift drops bits of the vertical sums of samples,
	// squareShift of the sums of squares.
	vif func(ref, dis []uint16, w, h, scale, shift, squareShift int, logs []uint16, limits []float64, scratch []uint32, sums *vifSums)
	// wavelet splits samples into the four bands of ADM's finest scale, each
	// (w+1)/2 by (h+1)/2; wavelet32 splits the lowpass band of one scale into
	// those of the next.
	wavelet   func(src []uint16, w, h, depth int, out bands, scratch []int32)
	wavelet32 func(src []int32, w, h, scale int, out bands, scratch []int32)
	// admDetail adds up the cubes of the reference's detail inside the border.
	admDetail func(ref bands, w, h, scale int, sums *[3]uint64)
	// admMasked adds up the cubes of the detail that survived, less what the
	// added noise masks.
	admMasked func(ref, dis bands, w, h, scale int, factors [3]uint32, limit float64, scratch []int32, sums *[3]int64)
	// motion is the sum of absolute values of the blurred difference.
	motion func(prev, ref []uint16, w, h, depth int, row []int32) uint64
}

// Kernels names what runs the loops over pixels in this build: "C" or "Go".
func Kernels() string { return native().name }

// plain are the kernels in Go.
func plain() kernels {
	return kernels{
		name: "Go", widen: plainWiden, halve: plainHalve, vif: plainVIF,
		wavelet: plainWavelet, wavelet32: plainWavelet32,
		admDetail: plainADMDetail, admMasked: plainADMMasked, motion: plainMotion,
	}
}

func plainWiden(from []byte, into []uint16) {
	for i, v := range from {
		into[i] = uint16(v)
	}
}

// slack is how many samples a kernel may read beyond the last of a plane, and
// write beyond the last of a row of scratch, for whole vectors.
const slack = 16

// mirror gives the index that stands for one outside 0…n-1, without repeating
// the edge.
func mirror(i, n int) int {
	if i < 0 {
		return -i
	}
	if i >= n {
		return 2*n - 2 - i
	}
	return i
}
