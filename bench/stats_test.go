package main

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	tests := []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 2, 100}, 3},
	}
	for _, test := range tests {
		if got := median(test.values); got != test.want {
			t.Errorf("median(%v): got %v, want %v", test.values, got, test.want)
		}
	}
}

// An encoder whose size doubles with each 3 dB lies on the curve everywhere.
func TestBitsAtFollowsALine(t *testing.T) {
	t.Parallel()
	at := func(db float64) point { return point{1e6 * math.Pow(2, db/3), 1 - math.Pow(10, -db/10)} }
	curve := []point{at(18), at(12), at(15)} // in any order
	for _, db := range []float64{12, 12.5, 14.9, 15, 16, 18} {
		got, err := bitsAt(curve, at(db).ssim)
		if err != nil {
			t.Fatalf("%v dB: %v", db, err)
		}
		if want := at(db).bits; math.Abs(got/want-1) > 1e-9 {
			t.Errorf("%v dB: got %.1f bits, want %.1f", db, got, want)
		}
	}
}

func TestBitsAtRefuses(t *testing.T) {
	t.Parallel()
	curve := []point{{1e6, 0.95}, {2e6, 0.97}}
	tests := []struct {
		name  string
		curve []point
		ssim  float64
	}{
		{"below", curve, 0.94},
		{"above", curve, 0.98},
		{"not a number", curve, math.NaN()},
		{"one point", curve[:1], 0.95},
		{"lossless", []point{{1e6, 0.95}, {2e6, 1}}, 0.97},
	}
	for _, test := range tests {
		if got, err := bitsAt(test.curve, test.ssim); err == nil {
			t.Errorf("%s: got %v, want an error", test.name, got)
		}
	}
}

func TestMakespan(t *testing.T) {
	t.Parallel()
	tests := []struct {
		costs []float64
		slots int
		want  float64
	}{
		{nil, 2, 0},
		{[]float64{3, 1, 2}, 2, 3},
		{[]float64{2, 5, 2}, 2, 5},
		{[]float64{1, 1, 1}, 1, 3},
	}
	for _, test := range tests {
		if got := makespan(test.costs, test.slots); got != test.want {
			t.Errorf("makespan(%v, %d): got %v, want %v", test.costs, test.slots, got, test.want)
		}
	}
}

func TestRound(t *testing.T) {
	t.Parallel()
	if got := round(1.23456, 3); got != 1.235 {
		t.Errorf("round: got %v, want 1.235", got)
	}
}
