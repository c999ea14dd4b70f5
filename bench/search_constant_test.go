package main

import (
	"math"
	"testing"
)

// Two shots alike but for the price of quality: all at one quality takes more than
// a search that reaches the same mean with less of the dear one.
func TestAgainstConstant(t *testing.T) {
	t.Parallel()
	shots := []searchShot{{0, 40}, {40, 40}}
	// pass is every picture of the shots at CRFs of their own: the second has the same
	// bits and loses half as much.
	pass := func(crf, first, second float64) searched {
		s := searched{CRF: crf, Shots: shots, Pictures: make([]searchPoint, 80)}
		for i := range s.Pictures {
			at, loses := first, 1.0
			if i >= 40 {
				at, loses = second, 0.5
			}
			s.Pictures[i] = searchPoint{Bits: 1e5 * math.Exp(-0.1*at), VMAF: 100 - loses*(at-8)}
		}
		s.searchPoint = meanOf(s.Pictures)
		return s
	}
	var passes, searches []searched
	for _, crf := range []float64{10, 16, 22, 28, 34} {
		passes = append(passes, pass(crf, crf, crf))
	}
	for _, crf := range []float64{10, 14, 18, 22} {
		searches = append(searches, pass(crf, crf, crf+5))
	}
	results := againstConstant("two", passes, searches)
	if len(results) != len(searchTargets) {
		t.Fatalf("got %d results", len(results))
	}
	for i, target := range searchTargets {
		first, second := 8+(100-target), 8+2*(100-target)
		want := 40 * 1e5 * (math.Exp(-0.1*first) + math.Exp(-0.1*second)) / 1e6
		if got := results[i].Theirs; math.Abs(got/want-1) > 0.002 {
			t.Errorf("VMAF %g in every shot takes %.4f Mbit, want %.4f", target, got, want)
		}
		if math.IsNaN(results[i].Ours) || results[i].Ours <= 0 {
			t.Errorf("got %+v", results[i])
		}
	}
	low := passes[0].Pictures
	for i := range low[:40] {
		low[i].VMAF = 92 // it never has more
	}
	if results = againstConstant("two", passes, searches); results[2].Theirs < want10(low) {
		t.Errorf("a shot that never has the quality is not at the lowest CRF: %+v", results[2])
	}
}

// want10 is what the first shot takes at the lowest CRF, Mbit.
func want10(pictures []searchPoint) float64 { return meanFrom(pictures, 0, 40).Bits / 1e6 }
