package quality

import "math"

func plainHalve(src, dst []uint16, w, h, scale, shift int, scratch []uint32) {
	filter, reach := &vifFilters[scale+1], vifReach[scale+1]
	sums := scratch[:w+2*vifPad]
	middle := sums[vifPad : vifPad+w]
	round := uint32(1) << (shift - 1)
	for y := 0; y+1 < h; y += 2 {
		for x, v := range src[y*w : y*w+w] {
			middle[x] = round + filter[0]*uint32(v)
		}
		for k := 1; k <= reach; k++ {
			up, down := src[mirror(y-k, h)*w:][:w], src[mirror(y+k, h)*w:][:w]
			c := filter[k]
			for x := range middle {
				middle[x] += c * (uint32(up[x]) + uint32(down[x]))
			}
		}
		for x := range middle {
			middle[x] >>= shift
		}
		padMirrored(sums, w, reach)
		out := dst[y/2*(w/2):][:w/2]
		for x := range out {
			at := vifPad + 2*x
			sum := 32768 + filter[0]*sums[at]
			for k := 1; k <= reach; k++ {
				sum += filter[k] * (sums[at-k] + sums[at+k])
			}
			out[x] = uint16(sum >> 16)
		}
	}
}

// padMirrored fills reach values at both ends of a row that begins at vifPad.
func padMirrored[T uint16 | uint32](row []T, w, reach int) {
	for k := 1; k <= reach; k++ {
		row[vifPad-k] = row[vifPad+k]
		row[vifPad+w-1+k] = row[vifPad+w-1-k]
	}
}

func plainVIF(ref, dis []uint16, w, h, scale, shift, squareShift int, logs []uint16, limits []float64, scratch []uint32, sums *vifSums) {
	filter, reach := &vifFilters[scale], vifReach[scale]
	n := w + 2*vifPad
	var rows [5][]uint32 // means of ref and dis, of their squares and their product
	for i := range rows {
		rows[i] = scratch[i*n : (i+1)*n]
	}
	round, squareRound := uint32(1)<<(shift-1), uint64(0)
	if squareShift > 0 {
		squareRound = 1 << (squareShift - 1)
	}
	for y := range h {
		var taps [2*vifPad + 1][2][]uint16
		for k := -reach; k <= reach; k++ {
			at := mirror(y+k, h) * w
			taps[vifPad+k] = [2][]uint16{ref[at : at+w], dis[at : at+w]}
		}
		mu1, mu2 := rows[0][vifPad:][:w], rows[1][vifPad:][:w]
		xx, yy, xy := rows[2][vifPad:][:w], rows[3][vifPad:][:w], rows[4][vifPad:][:w]
		for x := range w {
			var s1, s2 uint32
			var s11, s22, s12 uint64
			for k := -reach; k <= reach; k++ {
				c := uint64(filter[max(k, -k)])
				a, b := uint64(taps[vifPad+k][0][x]), uint64(taps[vifPad+k][1][x])
				s1 += uint32(c * a)
				s2 += uint32(c * b)
				s11 += c * a * a
				s22 += c * b * b
				s12 += c * a * b
			}
			mu1[x], mu2[x] = (s1+round)>>shift, (s2+round)>>shift
			xx[x] = uint32((s11 + squareRound) >> squareShift)
			yy[x] = uint32((s22 + squareRound) >> squareShift)
			xy[x] = uint32((s12 + squareRound) >> squareShift)
		}
		for _, row := range rows {
			padMirrored(row, w, reach)
		}
		for x := range w {
			at := vifPad + x
			c := uint64(filter[0])
			s1, s2 := c*uint64(rows[0][at]), c*uint64(rows[1][at])
			s11, s22, s12 := c*uint64(rows[2][at]), c*uint64(rows[3][at]), c*uint64(rows[4][at])
			for k := 1; k <= reach; k++ {
				c := uint64(filter[k])
				s1 += c * uint64(rows[0][at-k]+rows[0][at+k])
				s2 += c * uint64(rows[1][at-k]+rows[1][at+k])
				s11 += c * (uint64(rows[2][at-k]) + uint64(rows[2][at+k]))
				s22 += c * (uint64(rows[3][at-k]) + uint64(rows[3][at+k]))
				s12 += c * (uint64(rows[4][at-k]) + uint64(rows[4][at+k]))
			}
			sums.add(
				int32(uint32((s11+32768)>>16)-uint32((s1*s1+1<<31)>>32)),
				int32(uint32((s22+32768)>>16)-uint32((s2*s2+1<<31)>>32)),
				int32(uint32((s12+32768)>>16)-uint32((s1*s2+1<<31)>>32)),
				logs, limits)
		}
	}
}

// add counts one place with the variances of ref and dis and their covariance,
// in 16-bit fixed point.
func (s *vifSums) add(ref, dis, both int32, logs []uint16, limits []float64) {
	dis = max(dis, 0)
	if ref < vifNoise {
		s.flat++
		s.flatDis += int64(dis)
		return
	}
	s.den += log2(float64(ref)+vifNoise, logs) - 17*2048
	if both <= 0 || dis == 0 {
		return
	}
	gain := float64(both) / (float64(ref) + 65536*1e-10)
	noise := float64(max(int32(float64(dis)-float64(gain*float64(both))), 0)) + vifNoise
	below := log2(noise, logs)
	for i, limit := range limits {
		g := min(gain, limit)
		s.num[i] += log2(math.Trunc(float64(g*g)*float64(ref))+noise, logs) - below
	}
}

// log2 is 2048 times the logarithm of a whole number from 2^15 to 2^53, of its
// first 16 bits.
func log2(v float64, logs []uint16) int64 {
	bits := math.Float64bits(v) >> (52 - 15)
	return 2048*(int64(bits>>15)-1023) + int64(logs[bits&(1<<15-1)])
}
