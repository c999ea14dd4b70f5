package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i) // 100 down to 1
	}
	tests := []struct {
		values  []float64
		percent float64
		want    float64
	}{
		{nil, 99, 0},
		{[]float64{7}, 99, 7},
		{[]float64{7}, 0, 7},
		{[]float64{3, 1, 2}, 50, 2},
		{[]float64{3, 1, 2, 4}, 50, 2},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 99.9, 100},
		{hundred, 100, 100},
		{hundred, 0, 1},
	}
	for _, test := range tests {
		if got := percentile(test.values, test.percent); got != test.want {
			t.Errorf("percentile %v of %d values: got %v, want %v", test.percent, len(test.values), got, test.want)
		}
	}
}

// A call that is held up shows in those that were due meanwhile, though each of
// them is short.
func TestOpenLoopCountsFromTheMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := make(chan struct{}, 1) // a server that answers one at a time
		took, err := openLoop(t.Context(), 100, 4, func(n int) error {
			one <- struct{}{}
			defer func() { <-one }()
			if n == 0 {
				time.Sleep(25 * time.Millisecond)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]float64{25, 15, 5, 0}, took); diff != "" {
			t.Errorf("milliseconds (-want +got)\n%s", diff)
		}
	})
}

func TestOpenLoopFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		if _, err := openLoop(t.Context(), 100, 3, func(n int) error {
			if n == 1 {
				return broken
			}
			return nil
		}); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})
}
