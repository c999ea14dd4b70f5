package main

import (
	"fmt"
	"math"
	"slices"
)

// againstConstant compares searches with every shot at one VMAF, as tools for that
// encode it: bits at the same mean VMAF. What shots would take for it is read from
// their curves through single passes, without what finding it would cost; a shot
// that has not enough at the lowest CRF stays there.
func againstConstant(name string, passes, searches []searched) []result {
	shots := searches[0].Shots
	curves := make([]shotCurve, len(shots))
	for i, shot := range shots {
		curves[i] = shotCurveOf(passes, shot)
	}
	var bits, means []float64 // of the searches
	for _, s := range searches {
		bits, means = append(bits, math.Log(s.Bits)), append(means, s.VMAF)
	}
	bits, means = rising(means, bits)
	var results []result
	for _, target := range searchTargets {
		var all, mean, pictures float64
		var lowest, most float64 = math.Inf(1), 0
		unreached := 0
		for i, c := range curves {
			crf := c.crfFor(target)
			lowest, most = min(lowest, crf), max(most, crf)
			if crf == c.crf[0] {
				unreached++
			}
			n := float64(shots[i].Count)
			all, mean, pictures = all+math.Exp(monotone(c.crf, c.bits, crf)), mean+n*monotone(c.crf, c.vmaf, crf), pictures+n
		}
		mean /= pictures
		if mean < means[0] || mean > means[len(means)-1] {
			continue // no searches to compare with
		}
		results = append(results, result{
			Peer: fmt.Sprintf("VMAF %g in every shot", target), Clip: name + ", against one VMAF", Preset: "medium", Unit: "Mbit",
			Ours: math.Exp(monotone(means, bits, mean)) / 1e6, Theirs: all / 1e6, Bar: constantBar, Bound: atMost,
			Notes: fmt.Sprintf("%d shots at CRF %.1f to %.1f, %d of them as low as it goes; mean VMAF %.2f", len(shots), lowest, most, unreached, mean),
		})
	}
	return results
}

// shotCurve is a shot over CRF.
type shotCurve struct{ crf, bits, vmaf []float64 } // bits are logarithms

func shotCurveOf(passes []searched, shot searchShot) shotCurve {
	passes = slices.Clone(passes)
	slices.SortFunc(passes, func(a, b searched) int { return int(math.Copysign(1, a.CRF-b.CRF)) })
	var c shotCurve
	for _, p := range passes {
		sum := meanFrom(p.Pictures, shot.First, shot.First+shot.Count)
		c.crf, c.bits, c.vmaf = append(c.crf, p.CRF), append(c.bits, math.Log(sum.Bits)), append(c.vmaf, sum.VMAF)
	}
	return c
}

// crfFor is the CRF at which the shot has the quality, as far as its curve goes.
func (c shotCurve) crfFor(vmaf float64) float64 {
	low, high := c.crf[0], c.crf[len(c.crf)-1]
	if monotone(c.crf, c.vmaf, low) < vmaf {
		return low
	}
	for range 40 {
		if middle := (low + high) / 2; monotone(c.crf, c.vmaf, middle) > vmaf {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// rising sorts points by x.
func rising(x, y []float64) (ys, xs []float64) {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, x[a]-x[b])) })
	for _, i := range order {
		ys, xs = append(ys, y[i]), append(xs, x[i])
	}
	return ys, xs
}

// monotone is the piecewise cubic through points with rising x that does not
// overshoot (Fritsch and Carlson, 1980), at x between the first and the last.
func monotone(xs, ys []float64, x float64) float64 {
	last := len(xs) - 1
	step := func(i int) float64 { return (ys[i+1] - ys[i]) / (xs[i+1] - xs[i]) }
	slope := func(i int) float64 {
		switch {
		case i == 0:
			return step(0)
		case i == last:
			return step(last - 1)
		case step(i-1)*step(i) <= 0:
			return 0
		}
		return 2 * step(i-1) * step(i) / (step(i-1) + step(i))
	}
	i := 0
	for i+2 <= last && x > xs[i+1] {
		i++
	}
	h := xs[i+1] - xs[i]
	t := (x - xs[i]) / h
	return (1+2*t)*(1-t)*(1-t)*ys[i] + t*(1-t)*(1-t)*h*slope(i) + t*t*(3-2*t)*ys[i+1] + t*t*(t-1)*h*slope(i+1)
}
