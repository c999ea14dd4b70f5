package scene

import "slices"

// Motion is found in blocks of block × block samples, by a search along the
// steepest descent of the difference that begins at the best of some vectors and
// those of the blocks around (a diamond search, as encoders do it). It knows
// nothing of the pictures before, so that a film that is analysed in parts gives
// the same as in one.
const (
	Block       = 8 // side of a block, in samples
	BlockCols   = Width / Block
	BlockRows   = Height / Block
	Blocks      = BlockCols * BlockRows
	reach       = 16 // samples that a vector spans at most
	still       = Block * Block
	mostSteps   = 8
	betterShare = 7 // of 8: a vector has to lower the difference to this
)

// Vector is a motion in samples from one picture to the next.
type Vector struct{ X, Y int8 }

// Estimator finds the motion between pictures that follow each other.
type Estimator struct {
	Vectors  [Blocks]Vector
	Residual [Blocks]int32 // sum of absolute differences that is left
	Before   [Blocks]int32 // and that without motion
	Global   Vector        // of the camera: the median
}

// Estimate finds the vectors from picture a to picture b.
func (e *Estimator) Estimate(a, b []byte) {
	for i := range Blocks {
		x, y := i%BlockCols*Block, i/BlockCols*Block
		zero := difference(a, b, x, y, Vector{}, 1<<30)
		e.Before[i] = zero
		best, cost := Vector{}, zero
		if zero > still {
			best, cost = e.search(a, b, i, zero)
			if cost*8 > zero*betterShare {
				best, cost = Vector{}, zero
			}
		}
		e.Vectors[i], e.Residual[i] = best, cost
	}
	var xs, ys [Blocks]int8
	for i, v := range e.Vectors {
		xs[i], ys[i] = v.X, v.Y
	}
	slices.Sort(xs[:])
	slices.Sort(ys[:])
	e.Global = Vector{xs[Blocks/2], ys[Blocks/2]}
}

func (e *Estimator) search(a, b []byte, i int, zero int32) (Vector, int32) {
	x, y := i%BlockCols*Block, i/BlockCols*Block
	best, cost := Vector{}, zero
	try := func(v Vector) bool {
		if v.X < -reach || v.X > reach || v.Y < -reach || v.Y > reach {
			return false
		}
		d := difference(a, b, x, y, v, cost)
		if d >= cost {
			return false
		}
		best, cost = v, d
		return true
	}
	for _, v := range [...]Vector{{4, 0}, {-4, 0}, {0, 4}, {0, -4}, {10, 0}, {-10, 0}} {
		try(v)
	}
	if i%BlockCols > 0 {
		try(e.Vectors[i-1])
	}
	if i >= BlockCols {
		try(e.Vectors[i-BlockCols])
	}
	for range mostSteps {
		at := best
		moved := false
		for _, d := range [...]Vector{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
			moved = try(Vector{at.X + d.X, at.Y + d.Y}) || moved
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
func difference(a, b []byte, x, y int, v Vector, most int32) int32 {
	fromX := min(max(x-int(v.X), 0), Width-Block)
	fromY := min(max(y-int(v.Y), 0), Height-Block)
	sum := int32(0)
	for row := range Block {
		p := a[(fromY+row)*Width+fromX:][:Block]
		q := b[(y+row)*Width+x:][:Block]
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
