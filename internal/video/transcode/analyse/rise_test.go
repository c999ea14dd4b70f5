package analyse

import (
	"math"
	"testing"
)

// run is so many pictures that change by so much, and a little more and less.
func run(count int, change float64) []float32 {
	list := make([]float32, count)
	for i := range list {
		list[i] = float32(change * (1 + 0.2*math.Sin(float64(5*i))))
	}
	return list
}

func TestRise(t *testing.T) {
	t.Parallel()
	join := func(parts ...[]float32) []float32 {
		var all []float32
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	cut := []float32{40}
	for _, tt := range []struct {
		name    string
		changes []float32
		at      int
		factor  float64 // at least
	}{
		{"nothing", nil, 0, 1},
		{"still, then moving", join(cut, run(49, 0), run(50, 2)), 50, 10},
		{"calm, then lively", join(cut, run(29, 0.3), run(60, 2.5)), 30, 4},
		{"the end dissolves", join(cut, run(126, 0.04), run(23, 2.7)), 127, 12},
		{"not in its first pictures", join(cut, run(5, 0), run(90, 2)), 0, 1},
		{"not in its last pictures", join(cut, run(90, 0), run(6, 2)), 85, 3.3},
		{"all alike", join(cut, run(150, 1.2)), 0, 1},
		{"twice as much is not far more", join(cut, run(60, 1), run(60, 2)), 0, 1},
		{"less and less", join(cut, run(60, 2.5), run(60, 0.05)), 0, 1},
		{"a flash in it", join(cut, run(99, 0.05), []float32{90, 90}, run(49, 0.05)), 0, 1},
		{"a flash early in it", join(cut, run(30, 0.05), []float32{90, 90}, run(80, 0.05)), 0, 1},
		{"a flash at its end", join(cut, run(99, 0.05), []float32{90, 90}, run(5, 0.05)), 0, 1},
		{"a cut at its end", join(cut, run(99, 0.05), cut, run(5, 0.05)), 0, 1},
		{"pages that turn", join(cut, run(60, 0), cut, run(9, 0), cut, run(9, 0), cut, run(9, 0), cut, run(9, 0)), 61, 10},
		{"too short for two parts", join(cut, run(11, 0), run(11, 3)), 0, 1},
	} {
		at, factor := Rise(tt.changes)
		if at != tt.at || factor < tt.factor || (at == 0 && factor != 1) {
			t.Errorf("%s: got %d by %.1f, want %d by %g or more", tt.name, at, factor, tt.at, tt.factor)
		}
	}
}
