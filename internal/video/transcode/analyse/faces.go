package analyse

import "math"

// Where skin lies in the plane of Cb and Cr, at any brightness: the mean and the
// inverse of the covariance of a normal distribution. People of all complexions
// differ in luma much more than in chroma (Hsu, Abdel-Mottaleb, Jain: Face
// detection in color images, 2002).
const (
	skinCb, skinCr    = 110.0, 152.0
	skinInvCb         = 1.0 / 160
	skinInvCr         = 1.0 / 220
	skinLeast         = 0.45
	faceLeast         = 6         // cells
	faceMost          = Cells / 4 // cells
	faceFill          = 0.5       // of its bounding box
	faceAspectLeast   = 0.5       // width over height, in the film's own shape
	faceAspectMost    = 1.6
	faceContrastLeast = 7.0 // levels of deviation inside: eyes, mouth and brows
	faceContrastMost  = 60.0
	faceDarkShare     = 0.04 // of its samples are much darker than its mean
	faceDarker        = 0.75 // of the mean, above black
)

// skin is how likely each cell shows skin by its colour, 0 … 1.
func skin(p Picture) (likely [Cells]float32) {
	cb, cr := p.chroma()
	luma := p.Luma()
	for i := range likely {
		x, y := i%Columns*2, i/Columns*2
		u, v, level := 0.0, 0.0, 0
		for row := range 2 {
			for k := range 2 {
				at := (y+row)*(Width/2) + x + k
				u += float64(cb[at])
				v += float64(cr[at])
				level += int(luma[(y+row)*2*Width+(x+k)*2])
			}
		}
		if level < 4*35 || level > 4*230 {
			continue
		}
		u, v = u/4-skinCb, v/4-skinCr
		likely[i] = float32(math.Exp(-(u*u*skinInvCb + v*v*skinInvCr) / 2))
	}
	return likely
}

// faces finds patches of the colour of skin that have the shape of a head and some
// structure in them, and returns how likely each cell belongs to one. aspect is
// the film's width over its height.
func faces(p Picture, aspect float64) (likely [Cells]float32) {
	colour := skin(p)
	var seen [Cells]bool
	var queue [Cells]int
	for start := range colour {
		if seen[start] || colour[start] < skinLeast {
			continue
		}
		patch := flood(&colour, &seen, queue[:0], start)
		if score := faceScore(p, patch, aspect); score > 0 {
			for _, at := range patch {
				likely[at] = score
			}
		}
	}
	return likely
}

// flood collects the cells of skin that hang together with start into list.
func flood(colour *[Cells]float32, seen *[Cells]bool, list []int, start int) []int {
	list = append(list, start)
	seen[start] = true
	for next := 0; next < len(list); next++ {
		x, y := list[next]%Columns, list[next]/Columns
		for _, d := range [...][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
			u, v := x+d[0], y+d[1]
			if u < 0 || v < 0 || u >= Columns || v >= Rows {
				continue
			}
			if at := v*Columns + u; !seen[at] && colour[at] >= skinLeast {
				seen[at] = true
				list = append(list, at)
			}
		}
	}
	return list
}

// faceScore is how much a patch of cells looks like a face, 0 … 1.
func faceScore(p Picture, patch []int, aspect float64) float32 {
	if len(patch) < faceLeast || len(patch) > faceMost {
		return 0
	}
	left, top, right, bottom := Columns, Rows, 0, 0
	sum, squares, count := 0.0, 0.0, 0.0
	luma := p.Luma()
	each := func(f func(level float64)) {
		for _, at := range patch {
			for row := range cell {
				for _, v := range luma[(at/Columns*cell+row)*Width+at%Columns*cell:][:cell] {
					f(float64(v))
				}
			}
		}
	}
	for _, at := range patch {
		x, y := at%Columns, at/Columns
		left, right, top, bottom = min(left, x), max(right, x+1), min(top, y), max(bottom, y+1)
	}
	each(func(v float64) { sum += v; squares += v * v; count++ })
	mean := sum / count
	deviation := math.Sqrt(max(0, squares/count-mean*mean))
	dark := 0.0
	each(func(v float64) {
		if v-16 < faceDarker*(mean-16) {
			dark++
		}
	})
	shape := float64(right-left) / Columns * aspect / (float64(bottom-top) / Rows)
	fill := float64(len(patch)) / float64((right-left)*(bottom-top))
	switch {
	case shape < faceAspectLeast || shape > faceAspectMost || fill < faceFill:
		return 0
	case deviation < faceContrastLeast || deviation > faceContrastMost || dark < faceDarkShare*count:
		return 0
	}
	return float32(min(1, fill*1.3))
}

// Text is many strong steps from column to column that change their direction:
// the strokes of letters. A line of it is several cells long.
const (
	strokeStep   = 14        // levels from sample to sample that make a stroke's edge
	strokeTurns  = 0.22      // changes of direction a sample, at least
	strokeEdges  = 0.35      // of the samples are edges, at least
	strokeGround = 0.3       // of the samples are about as dark, or as bright, as any
	textLeast    = 4         // cells side by side
	textMost     = Cells / 4 // a picture with more is a texture
)

// text returns how likely each cell belongs to a line of text.
func text(p Picture) (likely [Cells]float32) {
	luma := p.Luma()
	found := 0
	for y := range Rows {
		run := 0
		for x := range Columns + 1 {
			if x < Columns && strokes(luma, x, y) {
				run++
				continue
			}
			if run >= textLeast {
				found += run
				for k := x - run; k < x; k++ {
					likely[y*Columns+k] = 1
				}
			}
			run = 0
		}
	}
	if found > textMost {
		return [Cells]float32{}
	}
	return likely
}

// strokes reports whether a cell, with half of each neighbour, looks like letters:
// many steps to and fro on a ground of one level, which is the darkest or the
// brightest. Textures have the steps, and no ground.
func strokes(luma []byte, x, y int) bool {
	from, to := max(x*cell-cell/2, 1), min((x+1)*cell+cell/2, Width)
	edges, turns, count := 0, 0, 0
	least, most := 255, 0
	for row := range cell {
		line := luma[(y*cell+row)*Width:][:Width]
		last := 0
		for k := from; k < to; k++ {
			least, most = min(least, int(line[k])), max(most, int(line[k]))
			d := int(line[k]) - int(line[k-1])
			count++
			if max(d, -d) < strokeStep {
				continue
			}
			edges++
			if (d > 0) != (last > 0) && last != 0 {
				turns++
			}
			last = d
		}
	}
	if float64(edges) < strokeEdges*float64(count) || float64(turns) < strokeTurns*float64(count) {
		return false
	}
	near := (most - least) / 6
	bright, dark := 0, 0
	for row := range cell {
		for _, v := range luma[(y*cell+row)*Width:][from:to] {
			if int(v) >= most-near {
				bright++
			}
			if int(v) <= least+near {
				dark++
			}
		}
	}
	return float64(max(bright, dark)) >= strokeGround*float64(count)
}
