package scene

import (
	"math"
	"slices"
)

// Frame is what one picture shows, compared with the one before. Levels are those
// of 8-bit luma.
type Frame struct {
	Luma     float32 // mean, levels
	Contrast float32 // standard deviation, levels
	Texture  float32 // mean step from sample to sample, levels
	Change   float32 // mean difference from the picture before, levels
	Motion   float32 // mean length of motion, in widths of the picture
	Residual float32 // mean difference that motion does not explain, levels
	Grain    float32 // deviation of the noise in flat places, levels of the small picture
	Flat     float32 // share of samples that are exactly as their neighbours
	Crisp    float32 // share of the strong edges that begin and end in flat ground
	Bars     Bars
	Black    bool
}

// Bars are black edges that hold no picture, in samples of the small picture.
type Bars struct{ Left, Top, Right, Bottom uint8 }

// What is black, in levels of limited range: 16 is black itself.
const (
	blackMean = 20 // of a picture or a line, at most
	blackTop  = 30 // its brightest sample but a few, at most
)

// duplicate is the change below which two pictures are one: a twentieth of a
// level, less than any grain or motion leaves.
const duplicate = 0.05

// Duplicate reports whether the picture is the one before once more.
func (f Frame) Duplicate() bool { return f.Change < duplicate }

// Measure fills what one picture shows by itself.
func (f *Frame) Measure(luma []byte) {
	sum, squares, steps, flat, strong, crisp := 0, 0, 0, 0, 0, 0
	var histogram [256]int
	for y := range Height {
		row := luma[y*Width:][:Width]
		above := row
		if y > 0 {
			above = luma[(y-1)*Width:][:Width]
		}
		e, c := edges(row)
		strong, crisp = strong+e, crisp+c
		left := int(row[0])
		for x, v := range row {
			level := int(v)
			sum += level
			squares += level * level
			histogram[v]++
			dx, dy := level-left, level-int(above[x])
			if dx == 0 && dy == 0 {
				flat++
			}
			steps += max(dx, -dx) + max(dy, -dy)
			left = level
		}
	}
	const size = Width * Height
	mean := float64(sum) / size
	f.Luma = float32(mean)
	f.Contrast = float32(math.Sqrt(max(0, float64(squares)/size-mean*mean)))
	f.Texture = float32(steps) / (2 * size)
	f.Flat = float32(flat) / size
	if strong > Width*Height/400 {
		f.Crisp = float32(crisp) / float32(strong)
	}
	bright := 0
	for level := blackTop + 1; level < 256; level++ {
		bright += histogram[level]
	}
	f.Black = mean <= blackMean && bright*100 <= size
	if !f.Black {
		f.Bars = findBars(luma)
	}
}

// edges counts the strong steps in a row, and those with flat ground two samples to
// either side: a camera's lens spreads an edge wider.
func edges(row []byte) (strong, crisp int) {
	const leastStep = 12
	step := func(x int) int { return int(row[x]) - int(row[x-1]) }
	for x := 3; x < len(row)-2; x++ {
		if d := step(x); max(d, -d) < leastStep {
			continue
		}
		strong++
		if step(x-2) == 0 && step(x+2) == 0 {
			crisp++
		}
	}
	return strong, crisp
}

// findBars finds black lines along each edge.
func findBars(luma []byte) Bars {
	row := func(y int) bool { return dark(luma[y*Width:], Width, 1) }
	column := func(x int) bool { return dark(luma[x:], Height, Width) }
	count := func(is func(int) bool, from, step, most int) uint8 {
		n := 0
		for n < most && is(from+n*step) {
			n++
		}
		return uint8(n)
	}
	return Bars{
		Left: count(column, 0, 1, Width/2-1), Right: count(column, Width-1, -1, Width/2-1),
		Top: count(row, 0, 1, Height/2-1), Bottom: count(row, Height-1, -1, Height/2-1),
	}
}

// dark reports whether a line of samples is black all along.
func dark(line []byte, count, step int) bool {
	sum := 0
	for i := range count {
		v := int(line[i*step])
		if v > blackTop {
			return false
		}
		sum += v
	}
	return sum <= blackMean*count
}

// Compare fills what the picture is beside the one before, between which e has found
// the motion.
func (f *Frame) Compare(e *Estimator, luma []byte) {
	var residual, change int64
	length := 0.0
	for i, v := range e.Vectors {
		residual += int64(e.Residual[i])
		change += int64(e.Before[i])
		length += math.Hypot(float64(v.X), float64(v.Y))
	}
	const size = Width * Height
	f.Change = float32(change) / size
	f.Residual = float32(residual) / size
	f.Motion = float32(length / Blocks / Width)
	f.Grain = grain(e, luma)
}

// grain is the deviation of noise: half of the variance that is left between the
// flattest quarter of the blocks and where they came from is each picture's own.
// Rounding to levels, a twelfth of a level squared each, is taken off. The variance
// is that of a normal distribution with the mean difference that was found.
func grain(e *Estimator, luma []byte) float32 {
	type flatness struct{ texture, residual int }
	var list [Blocks]flatness
	n := 0
	for i := range Blocks {
		x, y := i%BlockCols*Block, i/BlockCols*Block
		texture, sum := 0, 0
		for row := range Block {
			line := luma[(y+row)*Width+x:][:Block]
			for k, v := range line {
				sum += int(v)
				if k > 0 {
					d := int(v) - int(line[k-1])
					texture += max(d, -d)
				}
			}
		}
		if mean := sum / (Block * Block); mean > 24 && mean < 225 { // noise is cut off at either end
			list[n] = flatness{texture, int(e.Residual[i])}
			n++
		}
	}
	if n < Blocks/8 {
		return 0
	}
	slices.SortFunc(list[:n], func(a, b flatness) int { return a.texture - b.texture })
	flat := list[:max(1, n/4)]
	slices.SortFunc(flat, func(a, b flatness) int { return a.residual - b.residual })
	mean := float64(flat[len(flat)/2].residual) / (Block * Block)
	variance := mean*mean*math.Pi/2/2 - 1.0/12
	return float32(math.Sqrt(max(0, variance)))
}
