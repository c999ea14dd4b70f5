package analyse

import (
	"math"
	"slices"
)

// Strength says how much of an encoder's care follows looks, from 0 to Strong: an
// error in the picture counts Strength times as much as it is looked at, and the
// rest of it alike everywhere.
type Strength float64

// The strengths that a user may choose. At Strong nothing loses more than 3 steps
// of QP.
const (
	Auto   Strength = 0.42
	Strong Strength = 0.5
)

// MostBetter is how many steps of QP a place can win at most, mostWorse how many it
// can lose.
const (
	MostBetter = 6.0
	mostWorse  = 3.0
)

// steepest is how many steps of QP neighbouring cells may be apart, so that no edge
// of a region shows.
const steepest = 1.0

// Offsets are by how many steps of QP each cell is moved, below 0 is better. Where
// the sum of weight × error has to be least for the bits, errors are inverse to the
// weight, and an error doubles in 3 steps of QP: the offset is −3·log2(weight). The
// more of a picture is looked at, the less dense looks are anywhere, and the less
// is moved. What is won where people look is then given back, in all places alike, so
// that it is bits that are saved.
func (s Strength) Offsets(m *Map) [Cells]float64 {
	var out [Cells]float64
	share := min(max(float64(s), 0), float64(Strong))
	if share == 0 {
		return out
	}
	for i, v := range m {
		out[i] = -3 * math.Log2(share*max(float64(v)*Cells, 0)+1-share)
	}
	back := giveBack(m, &out)
	for i := range out {
		out[i] = bounded(out[i] + back)
	}
	smooth(&out)
	return out
}

// giveBack is the shift of all offsets with which the error that is seen, by the
// map, is that of a picture where nothing is moved: what is bounded counts as it is
// then.
func giveBack(m *Map, offsets *[Cells]float64) float64 {
	low, high := 0.0, mostWorse+MostBetter
	for range 24 {
		back := (low + high) / 2
		seen := 0.0
		for i, v := range m {
			seen += float64(v) * math.Exp2(bounded(offsets[i]+back)/3)
		}
		if seen < 1 {
			low = back
		} else {
			high = back
		}
	}
	return low
}

// smooth improves cells that are too much worse than a neighbour: two passes, each
// against the neighbours before.
func smooth(offsets *[Cells]float64) {
	limit := func(i, x, y, dx, dy int) {
		if x+dx >= 0 && x+dx < Columns && y+dy >= 0 && y+dy < Rows {
			offsets[i] = min(offsets[i], offsets[i+dy*Columns+dx]+steepest)
		}
	}
	for i := range offsets {
		limit(i, i%Columns, i/Columns, -1, 0)
		limit(i, i%Columns, i/Columns, 0, -1)
	}
	for i := Cells - 1; i >= 0; i-- {
		limit(i, i%Columns, i/Columns, 1, 0)
		limit(i, i%Columns, i/Columns, 0, 1)
	}
}

// Region is a rectangle of cells, [Left, Right) × [Top, Bottom), and by how many
// steps of QP it is moved. Where regions lie over each other the first one counts.
type Region struct {
	Left, Top, Right, Bottom int
	QP                       float64
}

// macroblock is the grid of the encoders' quantisers: a region counts for each block
// that it touches, so it is laid on the grid.
const macroblock = 16

// Pixels is the rectangle in a picture of width × height. Where cells are smaller
// than the encoders' blocks it may be empty.
func (r Region) Pixels(width, height int) (x, y, w, h int) {
	edge := func(cell, cells, size int) int {
		if cell == cells {
			return size
		}
		return min(int(math.Round(float64(cell*size)/float64(cells*macroblock)))*macroblock, size)
	}
	x, y = edge(r.Left, Columns, width), edge(r.Top, Rows, height)
	return x, y, edge(r.Right, Columns, width) - x, edge(r.Bottom, Rows, height) - y
}

// MostRegions is how many regions one map has at most.
const MostRegions = 200

// Layout covers a map of offsets by at most most regions, and no more than
// MostRegions. Offsets are told apart as finely as that allows, from half a step of
// QP on.
func Layout(offsets *[Cells]float64, most int) []Region {
	most = min(most, MostRegions)
	for step := 0.5; step <= MostBetter; step += 0.5 {
		if list := cover(offsets, step); len(list) <= most {
			return list
		}
	}
	return nil
}

// cover covers the levels of a map, the best first, each with the rectangles that a
// greedy search finds, which may lie over those of better levels. The worst level
// is what is left, and needs one.
func cover(offsets *[Cells]float64, step float64) []Region {
	var level [Cells]int
	for i, v := range offsets {
		level[i] = int(math.Round(v / step))
	}
	levels := slices.Clone(level[:])
	slices.Sort(levels)
	levels = slices.Compact(levels)
	var list []Region
	worst := levels[len(levels)-1]
	for _, l := range levels[:len(levels)-1] {
		done := [Cells]bool{}
		for i := range level {
			if level[i] != l || done[i] {
				continue
			}
			r := grow(&level, l, i)
			r.QP = bounded(step * float64(l))
			list = append(list, r)
			for y := r.Top; y < r.Bottom; y++ {
				for x := r.Left; x < r.Right; x++ {
					done[y*Columns+x] = true
				}
			}
		}
	}
	if worst != 0 {
		list = append(list, Region{0, 0, Columns, Rows, bounded(step * float64(worst))})
	}
	return list
}

// bounded keeps an offset within what may be moved, also where rounding went beyond.
func bounded(offset float64) float64 { return min(max(offset, -MostBetter), mostWorse) }

// grow finds a large rectangle around a cell with no cell of a level above l: those
// of levels below are covered already.
func grow(level *[Cells]int, l, at int) Region {
	line := func(x, y, dx, dy, count int) bool {
		for k := range count {
			u, v := x+k*dx, y+k*dy
			if u < 0 || v < 0 || u >= Columns || v >= Rows || level[v*Columns+u] > l {
				return false
			}
		}
		return true
	}
	x, y := at%Columns, at/Columns
	r := Region{Left: x, Top: y, Right: x + 1, Bottom: y + 1}
	for grown := true; grown; {
		grown = false
		width, height := r.Right-r.Left, r.Bottom-r.Top
		if line(r.Right, r.Top, 0, 1, height) {
			r.Right++
			width++
			grown = true
		}
		if line(r.Left, r.Bottom, 1, 0, width) {
			r.Bottom++
			height++
			grown = true
		}
		if line(r.Left-1, r.Top, 0, 1, height) {
			r.Left--
			width++
			grown = true
		}
		if line(r.Left, r.Top-1, 1, 0, width) {
			r.Top--
			grown = true
		}
	}
	return r
}
