package quality

import (
	"fmt"
	"math"
)

// XPSNR is PSNR with the error of each block weighted by how little its
// activity in space and time hides, in dB (Helmrich and others, "XPSNR: a
// low-complexity extension of the perceptually weighted peak signal-to-noise
// ratio", ICASSP 2020). ref and dis are luma; past are up to two frames of the
// reference before it, the nearest first, for which black stands where they are
// missing; rate is frames a second and says how many of them count: one below
// 32, else two. It is +Inf where the planes are the same. Errors wrap ErrPlanes.
func XPSNR(ref, dis Plane, past []Plane, rate float64) (float64, error) {
	if err := alike(&ref, &dis); err != nil {
		return 0, err
	}
	need := 1
	if rate >= 32 {
		need = 2
	}
	past = past[:min(need, len(past))]
	for i := range past {
		if err := alike(&ref, &past[i]); err != nil {
			return 0, fmt.Errorf("frame %d before: %w", i+1, err)
		}
	}
	w, h := ref.Width, ref.Height
	ratio := float64(w*h) / (3840 * 2160)
	side := 4 * int(float64(32*math.Sqrt(ratio))+0.5)
	if side < 4 { // too small for blocks: every error counts alike
		return PSNR(ref, dis)
	}
	columns := (w + side - 1) / side
	var errors, weights []float64
	a := activity{ref: &ref, past: past, second: need == 2, step: 1}
	if w*h > 2048*1152 {
		a.step = 2
	}
	for y := 0; y < h; y += side {
		for x := 0; x < w; x += side {
			bw, bh := min(side, w-x), min(side, h-y)
			errors = append(errors, float64(squaredError(&ref, &dis, x, y, bw, bh)))
			weights = append(weights, 1/a.of(x, y, bw, bh))
			if w*h <= 640*480 {
				smooth(weights, columns, x == 0, x+side >= w && y+side >= h)
			}
		}
	}
	sum := 0.0
	for i, e := range errors {
		sum += float64(e * weights[i])
	}
	mean := math.Sqrt(16 * float64(int(1)<<(2*ref.Depth-9)) / math.Sqrt(max(0.00001, ratio)))
	weighted := math.Floor(float64(sum*mean) + 0.5)
	return decibels(weighted/float64(w*h), ref.Depth), nil
}

// activity measures how busy blocks of the reference are. step is 2 for
// pictures beyond HD, which are looked at in halves of their size.
type activity struct {
	ref    *Plane
	past   []Plane
	second bool // difference of differences in time
	step   int
}

// of is the mean activity of a block, at least what noise makes. A block too
// narrow for the filter has 1.
func (a *activity) of(x, y, w, h int) float64 {
	left, top, right, bottom := x, y, x+w, y+h
	if x == 0 {
		left = a.step
	}
	if y == 0 {
		top = a.step
	}
	if right >= a.ref.Width {
		right -= a.step
	}
	if bottom >= a.ref.Height {
		bottom -= a.step
	}
	if right <= left || bottom <= top {
		return 1
	}
	space := 0
	for j := top; j < bottom; j += a.step {
		for i := left; i < right; i += a.step {
			space += abs(a.edges(i, j))
		}
	}
	time := 0
	for j := y; j+a.step <= y+h; j += a.step {
		for i := x; i+a.step <= x+w; i += a.step {
			time += abs(a.change(i, j))
		}
	}
	const timeWeight = 2
	mean := float64(space)/float64((right-left)*(bottom-top)) + timeWeight*float64(time)/float64(w*h)
	return max(mean, float64(int(1)<<(a.ref.Depth-6)))
}

func abs(v int) int { return max(v, -v) }

// edges is a highpass around a place: 3×3, or 6×6 over the four samples there.
func (a *activity) edges(x, y int) int {
	s := func(dx, dy int) int { return a.ref.at(min(x+dx, a.ref.Width-1), min(y+dy, a.ref.Height-1)) }
	if a.step == 1 {
		return 12*s(0, 0) - 2*(s(-1, 0)+s(1, 0)+s(0, -1)+s(0, 1)) - (s(-1, -1) + s(1, -1) + s(-1, 1) + s(1, 1))
	}
	sides := s(0, -1) + s(1, -1) + s(0, 2) + s(1, 2) + s(-1, 0) + s(2, 0) + s(-1, 1) + s(2, 1)
	corners := s(-1, -1) + s(2, -1) + s(-1, 2) + s(2, 2)
	far := 0
	for i := -1; i <= 2; i++ {
		far += s(i, -2) + s(i, 3) + s(-2, i) + s(3, i)
	}
	return 12*(s(0, 0)+s(1, 0)+s(0, 1)+s(1, 1)) - 3*sides - 2*corners - far
}

// change is the difference in time at a place, or over its four samples.
func (a *activity) change(x, y int) int {
	sum := func(p *Plane) (s int) {
		for j := range a.step {
			for i := range a.step {
				s += p.at(x+i, y+j)
			}
		}
		return s
	}
	before := func(i int) int {
		if i < len(a.past) {
			return sum(&a.past[i])
		}
		return 0
	}
	if a.second {
		return sum(a.ref) - 2*before(0) + before(1)
	}
	return sum(a.ref) - before(0)
}

// smooth keeps blocks of small pictures from standing out: the block before the
// last weight gets no more than its neighbours to the left, the right and above
// have, and the picture's last block no more than those left and above.
func smooth(weights []float64, columns int, first, last bool) {
	at := len(weights) - 1
	if at == 0 {
		return
	}
	neighbours := 0.0
	switch {
	case !first && at > 1 && (at-1)%columns != 0:
		neighbours = max(weights[at-2], weights[at])
	case !first:
		neighbours = weights[at]
	case at > 1:
		neighbours = weights[at-2]
	}
	if at > columns {
		neighbours = max(neighbours, weights[at-1-columns])
	}
	weights[at-1] = min(weights[at-1], neighbours)
	if last && at > columns {
		weights[at] = min(weights[at], max(weights[at-1], weights[at-columns]))
	}
}
