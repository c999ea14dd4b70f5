package main

import (
	"encoding/csv"
	"flag"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata anew")

const networksFile = "testdata/networks.csv"

// The kept table is what the model says, so that nobody's run has other networks.
func TestNetworksAreTheKeptOnes(t *testing.T) {
	want := networks()
	if *update {
		file, err := os.Create(networksFile)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		out := csv.NewWriter(file)
		for _, b := range want {
			row := []string{b.name}
			for _, rate := range b.rate {
				row = append(row, strconv.FormatFloat(rate/1e3, 'f', 0, 64))
			}
			if err := out.Write(row); err != nil {
				t.Fatal(err)
			}
		}
		out.Flush()
	}
	file, err := os.Open(networksFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	kept, err := readNetworks(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, kept, cmp.AllowUnexported(bandwidth{})); diff != "" {
		t.Errorf("networks (-model +kept):\n%s", diff)
	}
}

func TestTake(t *testing.T) {
	b := bandwidth{rate: []float64{1000, 500, 2000}}
	tests := []struct{ bits, from, want float64 }{
		{500, 0, 0.5}, {1000, 0, 1}, {1250, 0, 1.5}, {500, 0.75, 0.25 + 0.5}, {3500 + 500, 0, 3.5}, {2000, 5, 1},
	}
	for _, test := range tests {
		if got := b.take(test.bits, test.from); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%g bits from %g s: %g s, want %g", test.bits, test.from, got, test.want)
		}
	}
}

// even is a ladder of segments that all are alike.
func even(means ...float64) ladder {
	l := ladder{lengths: []float64{4, 4, 4}}
	for i, mean := range means {
		l.rungs = append(l.rungs, rung{mean: mean, quality: float64(10 * (i + 1)), bits: []float64{4 * mean, 4 * mean, 4 * mean}})
	}
	return l
}

func steady(rate float64) bandwidth {
	b := bandwidth{name: "steady"}
	for range 120 {
		b.rate = append(b.rate, rate)
	}
	return b
}

func TestPlayer(t *testing.T) {
	tests := []struct {
		name    string
		ladder  ladder
		rate    float64
		quality float64 // after the first segment
		stalls  bool
	}{
		{"plenty", even(1e6, 2e6, 4e6), 100e6, 30, false},
		{"between", even(1e6, 2e6, 4e6), 3e6, 20, false},
		{"just not", even(1e6, 2e6, 4e6), 2.4e6, 10, false},
		{"too little", even(1e6, 2e6), 0.5e6, 10, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := test.ladder.play(steady(test.rate))
			for i, q := range s.qualities {
				if want := test.quality; i > 0 && q != want {
					t.Errorf("segment %d has %g, want %g", i, q, want)
				}
			}
			if s.qualities[0] != 10 {
				t.Errorf("begins with %g, want the lowest rung", s.qualities[0])
			}
			if (s.stalled > 0) != test.stalls {
				t.Errorf("stalls %g s", s.stalled)
			}
			if s.seconds != 120 {
				t.Errorf("plays %g s", s.seconds)
			}
		})
	}
}

func TestDeliver(t *testing.T) {
	d := even(1e6, 2e6, 4e6).deliver([]bandwidth{steady(100e6), steady(1.5e6)})
	// One has 30 but for its first four seconds, the other 10 all the time.
	if want := (10 + (4*10+116*30)/120.0) / 2; math.Abs(d.mean-want) > 1e-9 {
		t.Errorf("mean %g, want %g", d.mean, want)
	}
	if d.low != 10 || d.stalled != 0 {
		t.Errorf("got %+v", d)
	}
	if want := (1e6 + (4*1e6+116*4e6)/120.0) / 2; math.Abs(d.rate-want) > 1 {
		t.Errorf("rate %g, want %g", d.rate, want)
	}
}
