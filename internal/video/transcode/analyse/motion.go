package analyse

import "slices"

// Motion is found in blocks of block × block samples, by a search along the
// steepest descent of the difference that begins at the best of some vectors and
// those of the blocks around (a diamond search, as encoders do it). It knows
// nothing of the pictures before, so that a film that is analysed in parts gives
// the same as in one.
const (
	block       = 8
	blockCols   = Width / block
	blockRows   = Height / block
	blocks      = blockCols * blockRows
	reach       = 16 // samples that a vector spans at most
	still       = block * block
	mostSteps   = 8
	betterShare = 7 // of 8: a vector has to lower the difference to this
)

// vector is a motion in samples from one picture to the next.
type vector struct{ x, y int8 }

// estimator finds the motion between pictures that follow each other.
type estimator struct {
	vectors  [blocks]vector
	residual [blocks]int32 // sum of absolute differences that is left
	before   [blocks]int32 // and that without motion
	global   vector        // of the camera: the median
}

// estimate finds the vectors from picture a to picture b.
func (e *estimator) estimate(a, b []byte) {
	for i := range blocks {
		x, y := i%blockCols*block, i/blockCols*block
		zero := difference(a, b, x, y, vector{}, 1<<30)
		e.before[i] = zero
		best, cost := vector{}, zero
		if zero > still {
			best, cost = e.search(a, b, i, zero)
			if cost*8 > zero*betterShare {
				best, cost = vector{}, zero
			}
		}
		e.vectors[i], e.residual[i] = best, cost
	}
	var xs, ys [blocks]int8
	for i, v := range e.vectors {
		xs[i], ys[i] = v.x, v.y
	}
	slices.Sort(xs[:])
	slices.Sort(ys[:])
	e.global = vector{xs[blocks/2], ys[blocks/2]}
}

func (e *estimator) search(a, b []byte, i int, zero int32) (vector, int32) {
	x, y := i%blockCols*block, i/blockCols*block
	best, cost := vector{}, zero
	try := func(v vector) bool {
		if v.x < -reach || v.x > reach || v.y < -reach || v.y > reach {
			return false
		}
		d := difference(a, b, x, y, v, cost)
		if d >= cost {
			return false
		}
		best, cost = v, d
		return true
	}
	for _, v := range [...]vector{{4, 0}, {-4, 0}, {0, 4}, {0, -4}, {10, 0}, {-10, 0}} {
		try(v)
	}
	if i%blockCols > 0 {
		try(e.vectors[i-1])
	}
	if i >= blockCols {
		try(e.vectors[i-blockCols])
	}
	for range mostSteps {
		at := best
		moved := false
		for _, d := range [...]vector{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
			moved = try(vector{at.x + d.x, at.y + d.y}) || moved
		}
		if !moved {
			break
		}
	}
	return best, cost
}

// difference is the sum of absolute differences between a block of b and the block
// of a that it came from; blocks at the edge are compared with what is inside. It
// stops when it is above most.
func difference(a, b []byte, x, y int, v vector, most int32) int32 {
	fromX := min(max(x-int(v.x), 0), Width-block)
	fromY := min(max(y-int(v.y), 0), Height-block)
	sum := int32(0)
	for row := range block {
		p := a[(fromY+row)*Width+fromX:][:block]
		q := b[(y+row)*Width+x:][:block]
		for i, v := range p {
			d := int32(v) - int32(q[i])
			if d < 0 {
				d = -d
			}
			sum += d
		}
		if sum > most {
			break
		}
	}
	return sum
}
