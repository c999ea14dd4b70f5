package scene

import (
	"math"
	"slices"
)

// Loss is what a picture loses that is made smaller and then as large as it was: the
// peak signal-to-noise ratio in decibels of its worst parts, at most Lossless. Where
// there is little, a smaller rendition shows all that there is. small is the picture of
// smallWidth × smallHeight samples between. Neither width nor height may grow.
func Loss(luma []byte, width, height, smallWidth, smallHeight int) (decibels float64, small []byte) {
	if width < 1 || height < 1 || len(luma) < width*height || smallWidth < 1 || smallHeight < 1 || smallWidth > width || smallHeight > height {
		return 0, nil
	}
	small = resize(luma, width, height, smallWidth, smallHeight)
	back := resize(small, smallWidth, smallHeight, width, height)
	return worst(luma, back, width, height), small
}

// Lossless is the most that Loss says, for equal pictures.
const Lossless = 60.0

// Parts are squares of so many samples; the worst ones are this share of all. A line of
// text that becomes unreadable takes about as much.
const (
	part       = 32
	worstShare = 0.02
)

// worst is the mean error over the worst parts, in decibels.
func worst(a, b []byte, width, height int) float64 {
	var errors []float64
	for y := 0; y < height; y += part {
		for x := 0; x < width; x += part {
			sum, rows, columns := 0, min(part, height-y), min(part, width-x)
			for v := range rows {
				p, q := a[(y+v)*width+x:][:columns], b[(y+v)*width+x:][:columns]
				for i, s := range p {
					d := int(s) - int(q[i])
					sum += d * d
				}
			}
			errors = append(errors, float64(sum)/float64(rows*columns))
		}
	}
	slices.Sort(errors)
	last := errors[len(errors)-max(1, int(float64(len(errors))*worstShare)):]
	mean := 0.0
	for _, e := range last {
		mean += e / float64(len(last))
	}
	if mean <= 0 {
		return Lossless
	}
	return min(10*math.Log10(255*255/mean), Lossless)
}

// resize is the cubic convolution of Keys (1981) with a = −0.5, as scalers have it, its
// kernel widened by as much as the picture shrinks.
func resize(luma []byte, width, height, toWidth, toHeight int) []byte {
	rows := tapsOf(height, toHeight)
	columns := tapsOf(width, toWidth)
	out := make([]byte, 0, toWidth*toHeight)
	line := make([]float32, width)
	for _, t := range rows {
		clear(line)
		for k, weight := range t.weights {
			for x, s := range luma[(t.first+k)*width:][:width] {
				line[x] += weight * float32(s)
			}
		}
		for _, c := range columns {
			sum := float32(0.5)
			for k, s := range line[c.first:][:len(c.weights)] {
				sum += c.weights[k] * s
			}
			out = append(out, byte(min(max(sum, 0), 255)))
		}
	}
	return out
}

// taps are the samples that one of the other size is made of.
type taps struct {
	first   int
	weights []float32
}

func tapsOf(from, to int) []taps {
	list := make([]taps, to)
	ratio := float64(from) / float64(to)
	wide := max(ratio, 1)
	for i := range list {
		centre := (float64(i)+0.5)*ratio - 0.5
		first, last := int(math.Ceil(centre-2*wide)), int(math.Floor(centre+2*wide))
		t := taps{first: max(first, 0)}
		t.weights = make([]float32, min(last, from-1)-t.first+1)
		sum := 0.0
		for k := first; k <= last; k++ {
			weight := cubic((float64(k) - centre) / wide)
			sum += weight
			t.weights[min(max(k, 0), from-1)-t.first] += float32(weight)
		}
		for k := range t.weights {
			t.weights[k] /= float32(sum)
		}
		list[i] = t
	}
	return list
}

func cubic(x float64) float64 {
	switch x = math.Abs(x); {
	case x < 1:
		return 1 + x*x*(1.5*x-2.5)
	case x < 2:
		return 2 - x*(4+x*(0.5*x-2.5))
	}
	return 0
}
