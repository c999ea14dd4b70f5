package timeline

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"liuyun/internal/base/timebase"
)

func noPreroll(int) float64 { return 0 }

func usual() SegmentRange { return SegmentRange{2 * time.Second, 6 * time.Second} }

// at turns seconds into frames at 25 a second.
func at(seconds ...float64) (frames []int) {
	for _, s := range seconds {
		frames = append(frames, int(math.Round(25*s)))
	}
	return frames
}

func TestLayout(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		seconds float64
		within  SegmentRange
		shots   []int
		want    Layout
	}{
		{"one picture", 0.04, usual(), nil, Layout{Segments: at(0), Units: at(0), End: 1}},
		{"short", 1, usual(), at(0.5), Layout{Segments: at(0), Units: at(0), End: 25}},
		{"no shots", 12, usual(), nil, Layout{Segments: at(0, 6), Units: at(0), End: 300}},
		{"4 s asked for", 10, SegmentRange{3 * time.Second, 5 * time.Second}, nil, Layout{Segments: at(0, 5), Units: at(0), End: 250}},
		{
			"shots in reach", 16, usual(), at(3.48, 7.12, 12.6),
			Layout{Segments: at(0, 3.48, 7.12, 12.6), Units: at(0, 7.12), End: 400},
		},
		{"shots too near", 5, usual(), at(0.5, 1, 1.5, 4.5), Layout{Segments: at(0), Units: at(0), End: 125}},
		{"shots TooLong", 5, usual(), at(0, -1, 5, 60), Layout{Segments: at(0), Units: at(0), End: 125}},
	}
	for _, test := range tests {
		got := NewLayout(at(test.seconds)[0], timebase.R(25, 1), test.within, test.shots, 1, noPreroll)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// A unit begins where little is decoded in vain.
func TestUnitsHeedThePreroll(t *testing.T) {
	t.Parallel()
	keys := at(0, 6, 12, 18, 24)
	preroll := func(frame int) float64 {
		i, found := slices.BinarySearch(keys, frame)
		if !found {
			i--
		}
		return float64(frame-keys[i]) / 25
	}
	line := NewLayout(at(30)[0], timebase.R(25, 1), usual(), at(5.5, 6, 12.5, 18, 23), 1, preroll)
	for _, unit := range line.Units {
		if preroll(unit) > 1 {
			t.Errorf("units %v: %g s are decoded in vain before frame %d", line.Units, preroll(unit), unit)
		}
	}
}

func drawLayout(t *rapid.T) (count int, rate timebase.Rational, within SegmentRange, shots []int, align int) {
	rate = rapid.SampledFrom(standardRates).Draw(t, "rate")
	seconds := rapid.Float64Range(0.1, 120).Draw(t, "seconds")
	count = max(1, int(seconds*rate.Float()))
	least := rapid.IntRange(20, 50).Draw(t, "least") // tenths of a second
	most := rapid.IntRange(least+10, 60).Draw(t, "most")
	within = SegmentRange{time.Duration(least) * time.Second / 10, time.Duration(most) * time.Second / 10}
	shots = rapid.SliceOfN(rapid.IntRange(0, count+10), 0, 40).Draw(t, "shots")
	slices.Sort(shots)
	return count, rate, within, shots, rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "align")
}

// feasible says whether so many seconds can surely be cut into pieces of least
// to most where cuts are half a second apart.
func feasible(seconds, least, most float64) bool {
	for k := 1.0; k*least <= seconds; k++ {
		if k == 1 && seconds <= most {
			return true
		}
		if margin := 0.6 * (k - 1); k*least+margin <= seconds && seconds <= k*most-margin {
			return true
		}
	}
	return false
}

func TestLayoutProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count, rate, within, shots, align := drawLayout(t)
		got := NewLayout(count, rate, within, shots, align, noPreroll)
		if got.Segments[0] != 0 || got.Units[0] != 0 || got.End != count {
			t.Fatalf("does not cover all: %+v", got)
		}
		fps := rate.Float()
		least, most, slack := within.Least.Seconds(), within.Most.Seconds(), 1/fps
		can := feasible(float64(count)/fps, least, most)
		for _, span := range got.SegmentRanges() {
			length := float64(span[1]-span[0]) / fps
			switch {
			case length <= 0 || span[0]%align != 0:
				t.Fatalf("segment %v with align %d in %+v", span, align, got)
			case length > most+slack:
				t.Fatalf("segment %v lasts %.3f s, the most is %g: %+v", span, length, most, got)
			case length < least-slack && can:
				t.Fatalf("segment %v lasts %.3f s, the least is %g: %+v", span, length, least, got)
			}
		}
		for _, span := range got.UnitRanges() {
			length := float64(span[1]-span[0]) / fps
			if _, found := slices.BinarySearch(got.Segments, span[0]); !found {
				t.Fatalf("unit %v is not made of whole segments: %+v", span, got)
			}
			if length > unitMost+slack || length < unitLeast-slack && can {
				t.Fatalf("unit %v lasts %.3f s: %+v", span, length, got)
			}
			if in := got.SegmentsIn(span[0], span[1]); len(in) == 0 || in[0] != span[0] {
				t.Fatalf("unit %v has segments %v: %+v", span, in, got)
			}
		}
	})
}

// Where shots can be kept to, every cut is at one.
func TestLayoutPrefersShots(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom(tradeRates()).Draw(t, "rate")
		var shots []int
		at := 0
		for _, tenths := range rapid.SliceOfN(rapid.IntRange(31, 49), 1, 12).Draw(t, "lengths") {
			at += int(float64(tenths) / 10 * rate.Float())
			shots = append(shots, at)
		}
		count := shots[len(shots)-1]
		shots = shots[:len(shots)-1]
		got := NewLayout(count, rate, usual(), shots, 1, noPreroll)
		for _, cut := range append(got.Segments[1:], got.Units[1:]...) {
			if !slices.Contains(shots, cut) {
				t.Fatalf("cut at %d, which is no shot of %v: %+v", cut, shots, got)
			}
		}
	})
}

// The plan of a day is made at once.
func TestLayoutOfADay(t *testing.T) {
	const dayOfFrames = 24 * 3600 * 120
	t.Parallel()
	var shots []int
	for shot := 100; shot < dayOfFrames; shot += 40 {
		shots = append(shots, shot)
	}
	began := time.Now()
	got := NewLayout(dayOfFrames, timebase.R(120, 1), usual(), shots, 2, noPreroll)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v for %d segments", took, len(got.Segments))
	}
	if n := len(got.Segments); n < 24*3600/6 || n > 24*3600/2 {
		t.Errorf("%d segments in a day", n)
	}
}

func TestAtShots(t *testing.T) {
	t.Parallel()
	l := Layout{Segments: []int{0, 100, 220, 300, 410}, Units: []int{0, 300}, End: 500}
	got := l.AtShots([]int{50, 100, 410})
	want := Layout{Segments: l.Segments, Units: []int{0, 100, 300, 410}, End: 500}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{0, 300}, l.Units); diff != "" {
		t.Errorf("the layout itself changed (-want +got):\n%s", diff)
	}
}
