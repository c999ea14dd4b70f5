package quality

import "math"

// vifFilters are Gaussians in 16-bit fixed point, one a scale, from the middle
// tap outwards. All taps of one add up to 65536.
var vifFilters = [4][9]uint32{
	{7784, 7455, 6547, 5274, 3896, 2640, 1640, 935, 489},
	{14692, 12590, 7925, 3663, 1244},
	{26386, 16004, 3571},
	{43728, 10904},
}

// vifReach is how far each of vifFilters reaches from its middle.
var vifReach = [4]int{8, 4, 2, 1}

// vifNoise is the variance of the noise that seeing adds, 2, in 16-bit fixed
// point. Blocks of the reference with less variance count by what the distorted
// picture has there instead.
const vifNoise = 2 << 16

// vifPad is room left and right of a row for the longest filter.
const vifPad = 8

type vifSums struct {
	// den is the reference's information, flat counts what had less variance
	// than the noise, flatDis is the distorted picture's variance there.
	den, flat, flatDis int64
	// num is the information that came through, one for each gain limit.
	num [MaxModels]int64
}

type vifBuffers struct {
	logs     []uint16
	scratch  []uint32
	ref, dis [2][]uint16 // of coarser scales, one after the other
	sums     vifSums
}

func newVIFBuffers(w, h int) vifBuffers {
	b := vifBuffers{logs: make([]uint16, 1<<15), scratch: make([]uint32, vifScratch(w))}
	for i := range b.logs {
		// 2048·log2 of 1 + i/32768, through the single precision that libvmaf's
		// table has.
		l := float32(math.Log2(float64(1<<15 + i)))
		b.logs[i] = uint16(math.Round(float64(l)*2048) - 15*2048)
	}
	for i := range 2 {
		n := (w >> (i + 1)) * (h >> (i + 1))
		b.ref[i], b.dis[i] = make([]uint16, n+slack), make([]uint16, n+slack)
	}
	return b
}

// vifScratch is the values that a row takes while it is worked on.
func vifScratch(w int) int { return 16*(w+2*vifPad) + slack }

func (m *Meter) computeVIF(out *[MaxModels][4]float64) {
	ref, dis := m.ref, m.dis
	w, h := m.width, m.height
	for scale := range 4 {
		shift, squareShift := 16, 16
		if scale == 0 {
			shift, squareShift = m.depth, 2*(m.depth-8)
		}
		sums := &m.vif.sums
		*sums = vifSums{}
		m.kernels.vif(ref, dis, w, h, scale, shift, squareShift, m.vif.logs, m.vifLimits, m.vif.scratch, sums)
		den := float32(float64(sums.den)/2048 + float64(sums.flat))
		for i := range m.vifLimits {
			num := float32(float64(sums.num[i])/2048 + (float64(sums.flat) - float64(sums.flatDis)/16384/65025))
			out[i][scale] = float64(num / den)
		}
		if scale < 3 {
			// The two halves of a buffer serve in turn: a scale is read while
			// the next is written.
			nextRef, nextDis := m.vif.ref[scale%2], m.vif.dis[scale%2]
			m.kernels.halve(ref, nextRef, w, h, scale, shift, m.vif.scratch)
			m.kernels.halve(dis, nextDis, w, h, scale, shift, m.vif.scratch)
			ref, dis = nextRef, nextDis
			w, h = w/2, h/2
		}
	}
}
