package quality

// motionFilter is a Gaussian of five taps in 16-bit fixed point, from the middle
// outwards.
var motionFilter = [3]int64{26386, 16004, 3571}

func plainMotion(prev, ref []uint16, w, h, depth int, row []int32) uint64 {
	total := uint64(0)
	for y := range h {
		var p, r [5][]uint16
		for k := range 5 {
			at := mirror(y+k-2, h) * w
			p[k], r[k] = prev[at:at+w], ref[at:at+w]
		}
		for x := range w {
			diff := func(k int) int64 { return int64(p[k][x]) - int64(r[k][x]) }
			sum := motionFilter[0]*diff(2) + motionFilter[1]*(diff(1)+diff(3)) + motionFilter[2]*(diff(0)+diff(4))
			row[x] = int32((sum + 1<<(depth-1)) >> depth)
		}
		at := func(x int) int64 { return int64(row[mirror(x, w)]) }
		for x := range w {
			sum := motionFilter[0]*int64(row[x]) + motionFilter[1]*(at(x-1)+at(x+1)) + motionFilter[2]*(at(x-2)+at(x+2))
			v := (sum + 32768) >> 16
			total += uint64(max(v, -v))
		}
	}
	return total
}
