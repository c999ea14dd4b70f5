package worker

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSecondsOf(t *testing.T) {
	t.Parallel()
	price, carbon := 0.32, 250.0
	tests := []struct {
		name string
		of   *Figures
		want Spent
	}{
		{"all known", &Figures{Cores: 8, Watts: 80, Price: &price, Carbon: &carbon},
			Spent{3600, new(0.04), new(10.0), new(2.5)}},
		{"free, and green", &Figures{Cores: 8, Watts: 80, Price: new(0.0), Carbon: new(0.0)},
			Spent{3600, new(0.0), new(10.0), new(0.0)}},
		{"no price", &Figures{Cores: 8, Watts: 80, Carbon: &carbon}, Spent{3600, nil, new(10.0), new(2.5)}},
		{"no watts", &Figures{Cores: 8, Price: &price, Carbon: &carbon}, Spent{3600, new(0.04), nil, nil}},
		{"no grid", &Figures{Cores: 8, Watts: 80, Price: &price}, Spent{3600, new(0.04), new(10.0), nil}},
		{"no cores", &Figures{Watts: 80, Price: &price}, Spent{CPU: 3600}},
		{"an earlier version", nil, Spent{CPU: 3600}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, test.of.SecondsOf(3600), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// A machine that is twice as fast at twice the price costs the same for a frame.
func TestFrame(t *testing.T) {
	t.Parallel()
	slow := Figures{Cores: 4, Speed: new(20.0), Price: new(0.1)}
	fast := Figures{Cores: 4, Speed: new(40.0), Price: new(0.2)}
	if a, b := *slow.Frame().Cost, *fast.Frame().Cost; math.Abs(a-b) > 1e-12 {
		t.Errorf("got %g and %g", a, b)
	}
	for _, f := range []*Figures{nil, {Cores: 4, Price: new(0.1)}} {
		if got := f.Frame(); got != (Spent{}) {
			t.Errorf("without a speed: got %+v", got)
		}
	}
}

func TestPer(t *testing.T) {
	t.Parallel()
	got := Spent{120, new(0.5), nil, new(4.0)}.Per(2)
	if diff := cmp.Diff(Spent{60, new(0.25), nil, new(2.0)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
