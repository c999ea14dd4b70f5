package quality

import (
	"math"
	"math/bits"
)

// waveletTaps are the four rows or columns that place i of n samples is made of:
// mirrored without the edge before the first, with it behind the last.
func waveletTaps(i, n int) [4]int {
	taps := [4]int{2*i - 1, 2 * i, 2*i + 1, 2*i + 2}
	if i == 0 {
		taps[0] = 1
	}
	for k, t := range taps {
		if t >= n {
			taps[k] = 2*n - 1 - t
		}
	}
	return taps
}

func plainWavelet(src []uint16, w, h, depth int, out bands, scratch []int32) {
	low, high := scratch[:w], scratch[w:2*w]
	round := int32(1) << (depth - 1)
	for i := range (h + 1) / 2 {
		t := waveletTaps(i, h)
		s0, s1, s2, s3 := src[t[0]*w:][:w], src[t[1]*w:][:w], src[t[2]*w:][:w], src[t[3]*w:][:w]
		for x := range w {
			a, b, c, d := int32(s0[x]), int32(s1[x]), int32(s2[x]), int32(s3[x])
			// Samples are taken as if their middle were 0.
			low[x] = (waveletLow[0]*a + waveletLow[1]*b + waveletLow[2]*c + waveletLow[3]*d - waveletLowSum*round + round) >> depth
			high[x] = (waveletHigh[0]*a + waveletHigh[1]*b + waveletHigh[2]*c + waveletHigh[3]*d + round) >> depth
		}
		half := (w + 1) / 2
		for x := range half {
			t := waveletTaps(x, w)
			at := i*half + x
			out.a[at], out.v[at] = waveletPair(low, t)
			out.h[at], out.d[at] = waveletPair(high, t)
		}
	}
}

func waveletPair(s []int32, t [4]int) (low, high int32) {
	a, b, c, d := s[t[0]], s[t[1]], s[t[2]], s[t[3]]
	low = (waveletLow[0]*a + waveletLow[1]*b + waveletLow[2]*c + waveletLow[3]*d + 32768) >> 16
	high = (waveletHigh[0]*a + waveletHigh[1]*b + waveletHigh[2]*c + waveletHigh[3]*d + 32768) >> 16
	return low, high
}

// wavelet32Shifts are the bits that the vertical and the horizontal pass drop.
var wavelet32Shifts = [4][2]int{{}, {0, 15}, {16, 16}, {16, 15}}

func plainWavelet32(src []int32, w, h, scale int, out bands, scratch []int32) {
	low, high := scratch[:w], scratch[w:2*w]
	vertical, horizontal := wavelet32Shifts[scale][0], wavelet32Shifts[scale][1]
	filter := func(f *[4]int32, a, b, c, d int32, shift int) int32 {
		sum := int64(f[0])*int64(a) + int64(f[1])*int64(b) + int64(f[2])*int64(c) + int64(f[3])*int64(d)
		if shift > 0 {
			sum += 1 << (shift - 1)
		}
		return int32(sum >> shift)
	}
	for i := range (h + 1) / 2 {
		t := waveletTaps(i, h)
		s0, s1, s2, s3 := src[t[0]*w:][:w], src[t[1]*w:][:w], src[t[2]*w:][:w], src[t[3]*w:][:w]
		for x := range w {
			low[x] = filter(&waveletLow, s0[x], s1[x], s2[x], s3[x], vertical)
			high[x] = filter(&waveletHigh, s0[x], s1[x], s2[x], s3[x], vertical)
		}
		half := (w + 1) / 2
		for x := range half {
			t := waveletTaps(x, w)
			at := i*half + x
			out.a[at] = filter(&waveletLow, low[t[0]], low[t[1]], low[t[2]], low[t[3]], horizontal)
			out.v[at] = filter(&waveletHigh, low[t[0]], low[t[1]], low[t[2]], low[t[3]], horizontal)
			out.h[at] = filter(&waveletLow, high[t[0]], high[t[1]], high[t[2]], high[t[3]], horizontal)
			out.d[at] = filter(&waveletHigh, high[t[0]], high[t[1]], high[t[2]], high[t[3]], horizontal)
		}
	}
}

func abs32(v int32) int32 { return max(v, -v) }

func plainADMDetail(ref bands, w, h, scale int, sums *[3]uint64) {
	left, right := admInside(w)
	top, bottom := admInside(h)
	squareShift, cubeShift, rowShift := admDetailShifts(left, right, top, bottom, scale)
	var squareRound, cubeRound, rowRound uint64
	if scale > 0 {
		squareRound = 1 << squareShift // one whole step, as libvmaf has it
		cubeRound = 1 << cubeShift >> 1
	}
	rowRound = 1 << rowShift >> 1
	for y := top; y < bottom; y++ {
		for i, band := range [3][]int32{ref.h, ref.v, ref.d} {
			row := uint64(0)
			for _, v := range band[y*w+left : y*w+right] {
				a := uint64(abs32(v))
				row += (((a*a+squareRound)>>squareShift)*a + cubeRound) >> cubeShift
			}
			sums[i] += (row + rowRound) >> rowShift
		}
	}
}

// cosineDegree is the square of the cosine of one degree: detail that points
// the same way so nearly counts as the reference's, made stronger or weaker.
var cosineDegree = float64(float32(math.Cos(math.Pi/180) * math.Cos(math.Pi/180)))

// kept is the part of the distorted coefficient t that is the reference's o:
// o with a gain of 0 to 1 in 15-bit steps, or, where aligned says that the
// detail keeps its direction, up to limit times that.
func kept(o, t int32, aligned bool, limit float64, fine bool) int32 {
	gain := 32768.0
	if o != 0 {
		a, shift := abs32(o), 0
		if !fine && a >= 32768 {
			shift = 17 - bits.LeadingZeros32(uint32(a))
			a = (a + 1<<(shift-1)) >> shift
		}
		q := math.Trunc((1 << 30) / float64(a))
		if o < 0 {
			q = -q
		}
		half := float64(int64(1) << (14 + shift))
		gain = min(max(math.Trunc((float64(q*float64(t))+half)/(2*half)), 0), 32768)
	}
	r := int32((int64(gain)*int64(o) + 16384) >> 15)
	if aligned {
		if r > 0 {
			r = int32(min(float64(float64(r)*limit), float64(t)))
		} else if r < 0 {
			r = int32(max(float64(float64(r)*limit), float64(t)))
		}
	}
	return r
}

func plainADMMasked(ref, dis bands, w, h, scale int, factors [3]uint32, limit float64, scratch []int32, sums *[3]int64) {
	left, right := admInside(w)
	top, bottom := admInside(h)
	cube, cubeD, rowShift := admShifts(w, h, scale)
	// Three rows of neighbours' masking, padded by one on each side, and three of
	// the place's own and of the detail that was kept.
	n := w + 2
	var around, own [3][]int32
	var detail [3][3][]int32
	for i := range 3 {
		around[i], own[i] = scratch[(5*i)*n:][:n], scratch[(5*i+1)*n:][:n]
		for b := range 3 {
			detail[i][b] = scratch[(5*i+2+b)*n:][:n]
		}
	}
	refs, diss := [3][]int32{ref.h, ref.v, ref.d}, [3][]int32{dis.h, dis.v, dis.d}
	first, last := max(top-1, 0), min(bottom+1, h)
	from, to := max(left-1, 0), min(right+1, w)
	done := first // rows below are worked out
	for y := top; y < bottom; y++ {
		for ; done < min(y+2, last); done++ {
			slot := done % 3
			for x := from; x < to; x++ {
				at := done*w + x
				around[slot][x+1], own[slot][x+1] = 0, 0
				aligned := isAligned(refs[0][at], refs[1][at], diss[0][at], diss[1][at])
				for b := range 3 {
					o, t := refs[b][at], diss[b][at]
					r := kept(o, t, aligned, limit, scale == 0)
					detail[slot][b][x+1] = r
					near, here := masking(t-r, b, scale, factors[b])
					around[slot][x+1] += near
					own[slot][x+1] += here
				}
			}
			if from == 0 {
				around[slot][0] = around[slot][2]
			}
			if to == w {
				around[slot][w+1] = around[slot][w]
			}
		}
		up, here, down := (y+2)%3, y%3, (y+1)%3
		if y == 0 {
			up = down
		}
		if y == h-1 {
			down = here
		}
		var row [3]int64
		for x := left + 1; x < right+1; x++ {
			threshold := own[here][x] + around[here][x-1] + around[here][x+1]
			for i := x - 1; i <= x+1; i++ {
				threshold += around[up][i] + around[down][i]
			}
			for b := range 3 {
				row[b] += seenCube(detail[here][b][x], threshold, b, scale, factors[b], cube, cubeD)
			}
		}
		for b := range row {
			sums[b] += (row[b] + 1<<rowShift>>1) >> rowShift
		}
	}
}

// isAligned reports whether the detail keeps its direction to within a degree.
func isAligned(oh, ov, th, tv int32) bool {
	product := float64(float32(float64(float64(oh)*float64(th)) + float64(float64(ov)*float64(tv))))
	o := float64(float32(float64(float64(oh)*float64(oh)) + float64(float64(ov)*float64(ov))))
	t := float64(float32(float64(float64(th)*float64(th)) + float64(float64(tv)*float64(tv))))
	return product >= 0 && product*product >= cosineDegree*o*t
}

// masking is what added noise a hides at the places around it, a thirtieth as it
// is seen, and at its own, a fifteenth.
func masking(a int32, band, scale int, factor uint32) (around, own int32) {
	if scale == 0 {
		shift, round := 15, int32(16384)
		if band == 2 {
			shift, round = 17, 65535
		}
		seen := abs32(int32(int16((int32(factor)*a + round) >> shift)))
		return int32(int16((4369*seen + 2048) >> 12)), int32(int16((8738*seen + 2048) >> 12))
	}
	seen := int64(abs32(int32((int64(factor)*int64(a) + 1<<27) >> 28)))
	// Half a step is taken off where it should be added, as in libvmaf.
	return int32((143165577*seen - 1<<31) >> 32), int32((286331153*seen - 1<<31) >> 32)
}

// seenCube is the cube of what is left of detail r above the threshold.
func seenCube(r, threshold int32, band, scale int, factor uint32, cube, cubeD int) int64 {
	var x int32
	square := 30
	if scale == 0 {
		x = int32(factor) * r
		square = 29
		if band == 2 {
			square, cube = 30, cubeD
			x = abs32(x) - threshold<<12
		} else {
			x = abs32(x) - threshold<<10
		}
	} else {
		x = abs32(int32((int64(factor)*int64(r)+1<<27)>>28)) - threshold
	}
	x = max(x, 0)
	squared := int32((int64(x)*int64(x) + 1<<(square-1)) >> square)
	return (int64(squared)*int64(x) + 1<<cube>>1) >> cube
}
