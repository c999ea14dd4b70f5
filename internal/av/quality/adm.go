package quality

import "math"

// waveletLow and waveletHigh are Daubechies' filters of two vanishing moments in
// 15-bit fixed point. waveletLowSum is what the first adds up to.
var (
	waveletLow  = [4]int32{15826, 27411, 7345, -4240}
	waveletHigh = [4]int32{-4240, -7345, 27411, -15826}
)

const waveletLowSum = 46342

// bands are the four quarters of a picture that a wavelet makes: the lowpass
// one, and what changes from row to row (h), from column to column (v) and in
// both ways (d). Rows have no gaps.
type bands struct{ a, h, v, d []int32 }

type admBuffers struct {
	ref, dis [2]bands // of one scale and of the next, in turn
	scratch  []int32
	detail   [3]uint64
	kept     [3]int64
}

func newADMBuffers(width, height int) admBuffers {
	var b admBuffers
	w, h := width, height
	for i := range 2 {
		w, h = (w+1)/2, (h+1)/2
		for _, to := range []*bands{&b.ref[i], &b.dis[i]} {
			n := w*h + slack
			*to = bands{make([]int32, n), make([]int32, n), make([]int32, n), make([]int32, n)}
		}
	}
	b.scratch = make([]int32, 8*width+16*slack)
	return b
}

// admInside is the part of a side that counts: a tenth is left out at each end.
func admInside(n int) (from, to int) {
	from = int(float64(float64(n)*0.1) - 0.5)
	return from, n - from
}

// admFactors are the inverse thresholds of visibility for one scale: of h and v,
// and of d, at three picture heights from a 1080-line display (Watson and
// others, "Visibility of wavelet quantization noise", 1997, formulas 1 and 9
// with tables IV and V for luma).
func admFactors(scale int) (float32, float32) {
	amplitudes := [4][2]float32{{0.67234, 0.72709}, {0.41317, 0.49428}, {0.22727, 0.28688}, {0.11792, 0.15214}}
	const a, k, f0 float32 = 0.495, 0.466, 0.401
	perDegree := float64(float32(3 * 1080 * math.Pi / 180))
	var factors [2]float32
	for i, orientation := range []float32{1, 0.534} {
		l := float32(math.Log10(math.Pow(2, float64(scale+1)) * float64(f0) * float64(orientation) / perDegree))
		step := float32(2 * float64(a) * math.Pow(10, float64(k*l*l)) / float64(amplitudes[scale][i]))
		factors[i] = 1 / step
	}
	return factors[0], factors[1]
}

// admFixed are the factors as the kernels take them: 21 and 23 bits behind the
// point at the finest scale, 32 elsewhere.
func admFixed(scale int) [3]uint32 {
	if scale == 0 {
		return [3]uint32{36453, 36453, 49417}
	}
	hv, d := admFactors(scale)
	fixed := uint32(float64(hv) * (1 << 32))
	return [3]uint32{fixed, fixed, uint32(float64(d) * (1 << 32))}
}

// ceilLog2 is how many bits count n things.
func ceilLog2(n int) int { return int(math.Ceil(math.Log2(float64(n)))) }

// cubeRoot in single precision, as libvmaf's.
func cubeRoot(v float64) float32 {
	return float32(math.Pow(float64(float32(v)), float64(float32(1)/3)))
}

func (m *Meter) computeADM(perScale *[MaxModels][4]float64, all *[MaxModels]float64) {
	var num [MaxModels]float64
	den := 0.0
	w, h := m.width, m.height
	var ref, dis bands
	for scale := range 4 {
		nextRef, nextDis := m.adm.ref[scale%2], m.adm.dis[scale%2]
		if scale == 0 {
			m.kernels.wavelet(m.ref, w, h, m.depth, nextRef, m.adm.scratch)
			m.kernels.wavelet(m.dis, w, h, m.depth, nextDis, m.adm.scratch)
		} else {
			m.kernels.wavelet32(ref.a, w, h, scale, nextRef, m.adm.scratch)
			m.kernels.wavelet32(dis.a, w, h, scale, nextDis, m.adm.scratch)
		}
		ref, dis = nextRef, nextDis
		w, h = (w+1)/2, (h+1)/2
		detail := m.admDetail(ref, w, h, scale)
		den += float64(detail)
		for i, limit := range m.admLimits {
			kept := m.admKept(ref, dis, w, h, scale, limit)
			perScale[i][scale] = float64(kept) / float64(detail)
			num[i] += float64(kept)
		}
	}
	least := 1e-10 * float64(m.width*m.height) / (1920 * 1080)
	for i := range m.admLimits {
		switch {
		case den < least:
			all[i] = 1
		case num[i] < least:
			all[i] = 0
		default:
			all[i] = num[i] / den
		}
	}
}

// admArea is what the noise weight makes of the places that count.
func admArea(w, h int) float32 {
	left, right := admInside(w)
	top, bottom := admInside(h)
	return cubeRoot(float64((bottom-top)*(right-left)) * 0.03125)
}

// admDetail is the reference's detail of one scale as it is seen.
func (m *Meter) admDetail(ref bands, w, h, scale int) float32 {
	sums := &m.adm.detail
	*sums = [3]uint64{}
	m.kernels.admDetail(ref, w, h, scale, sums)
	hv, d := admFactors(scale)
	left, right := admInside(w)
	top, bottom := admInside(h)
	_, cube, row := admDetailShifts(left, right, top, bottom, scale)
	shift := 0.0
	if scale == 0 {
		shift = float64(18 - row)
	} else {
		shift = float64([4]int{0, 32, 27, 23}[scale] - row - cube)
	}
	area := admArea(w, h)
	total := float32(0)
	for i, factor := range []float32{hv, hv, d} {
		total += cubeRoot(float64(sums[i])/math.Pow(2, shift)*math.Pow(float64(factor), 3)) + area
	}
	return total
}

// admDetailShifts are the bits that each square, each cube and each row's sum
// of admDetail lose, so that they stay inside 64 bits.
func admDetailShifts(left, right, top, bottom, scale int) (square, cube, row int) {
	if scale > 0 {
		return [4]int{0, 31, 30, 31}[scale], ceilLog2(right - left), ceilLog2(bottom - top)
	}
	return 0, 0, max(0, int(math.Ceil(math.Log2(float64((bottom-top)*(right-left)))-20)))
}

// admShifts are the bits that each cube and each row's sum lose, for h and v,
// and for d, so that the sums of admMasked stay inside 64 bits.
func admShifts(w, h, scale int) (cube, cubeD, row int) {
	row = ceilLog2(h)
	if scale > 0 {
		return ceilLog2(w), ceilLog2(w), row
	}
	return max(0, int(math.Ceil(math.Log2(float64(w))-4))), max(0, int(math.Ceil(math.Log2(float64(w))-3))), row
}

// admKept is the detail of the reference that survived in dis.
func (m *Meter) admKept(ref, dis bands, w, h, scale int, limit float64) float32 {
	sums := &m.adm.kept
	*sums = [3]int64{}
	m.kernels.admMasked(ref, dis, w, h, scale, admFixed(scale), limit, m.adm.scratch, sums)
	cube, cubeD, row := admShifts(w, h, scale)
	area := admArea(w, h)
	total := float32(0)
	for i, sum := range sums {
		point := [4]int{52, 45, 39, 36}[scale] - cube - row
		if i == 2 && scale == 0 {
			point = 57 - cubeD - row
		}
		total += cubeRoot(float64(sum)/math.Pow(2, float64(point))) + area
	}
	return total
}
