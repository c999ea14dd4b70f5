package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// median is the middle of values, between the two middle ones of an even
// number; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// round keeps so many decimals.
func round(v float64, decimals int) float64 {
	scale := math.Pow(10, float64(decimals))
	return math.Round(v*scale) / scale
}

// point is one encode: how large it is and how near to its source.
type point struct {
	bits float64
	ssim float64
}

// decibels is SSIM on a scale on which the logarithm of the size is nearly a
// straight line.
func decibels(ssim float64) float64 { return -10 * math.Log10(1-ssim) }

// bitsAt is how many bits the encodes of curve need for ssim: the logarithm of
// the bits between the two neighbours is a line over decibels. An ssim outside
// the curve is an error: extrapolation is no measurement.
func bitsAt(curve []point, ssim float64) (float64, error) {
	if len(curve) < 2 {
		return 0, errors.New("a curve needs two encodes")
	}
	sorted := slices.SortedFunc(slices.Values(curve), func(a, b point) int { return cmp.Compare(a.ssim, b.ssim) })
	first, last := sorted[0], sorted[len(sorted)-1]
	if !(ssim >= first.ssim && ssim <= last.ssim) || last.ssim >= 1 {
		return 0, fmt.Errorf("SSIM %.5f is outside the curve from %.5f to %.5f", ssim, first.ssim, last.ssim)
	}
	for i := 1; i < len(sorted); i++ {
		low, high := sorted[i-1], sorted[i]
		if ssim > high.ssim {
			continue
		}
		span := decibels(high.ssim) - decibels(low.ssim)
		if span == 0 {
			return low.bits, nil
		}
		share := (decibels(ssim) - decibels(low.ssim)) / span
		return math.Exp(math.Log(low.bits) + share*(math.Log(high.bits)-math.Log(low.bits))), nil
	}
	return last.bits, nil
}

// makespan is how long pieces of work take on so many slots when each free slot
// takes the longest that is left, as liuyun hands out its units.
func makespan(costs []float64, slots int) float64 {
	free := make([]float64, slots)
	sorted := slices.Sorted(slices.Values(costs))
	for _, cost := range slices.Backward(sorted) {
		next := 0
		for i, at := range free {
			if at < free[next] {
				next = i
			}
		}
		free[next] += cost
	}
	return slices.Max(free)
}
