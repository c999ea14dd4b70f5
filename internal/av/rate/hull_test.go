package rate

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"liuyun/internal/base/timebase"
)

// content is a title as a model: how many bits a second it needs at CRF 23 and full
// size, and how fast its quality falls with the CRF and with the size.
type content struct {
	bits    float64 // at CRF 23 and full size
	centre  float64 // CRF at which the quality is 50
	width   float64 // of the fall, CRF
	blur    float64 // quality that halving the size takes
	ceiling float64 // of the quality: dark and flat pictures never reach 100
}

func (c content) probe(src Source, side int, crf float64) Probe {
	scale := float64(side) / float64(min(src.Width, src.Height))
	bits := c.bits * math.Pow(scale, 1.5) * math.Pow(2, (23-crf)/6)
	fall := 1 / (1 + math.Exp((crf-c.centre)/c.width))
	return Probe{Side: side, CRF: crf, Bits: bits, Peak: 2 * bits, Quality: max(0, c.ceiling*fall+c.blur*math.Log2(scale))}
}

func (c content) probes(src Source, sides ...int) []Probe {
	var list []Probe
	for _, side := range sides {
		for _, crf := range []float64{20, 28, 36} {
			list = append(list, c.probe(src, side, crf))
		}
	}
	return list
}

var hd = Source{1280, 720, timebase.R(25, 1)}

func TestPlaceFollowsContent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		content     content
		least, most int // rungs
		top         float64
	}{
		{"screen", content{bits: 1.6e6, centre: 48, width: 4, blur: 18, ceiling: 99.5}, 2, 3, 94},
		{"talking", content{bits: 2.2e6, centre: 42, width: 4, blur: 7, ceiling: 98}, 3, 6, 94},
		{"sport", content{bits: 3.2e6, centre: 37, width: 4, blur: 10, ceiling: 99}, 5, 8, 94},
		{"dark", content{bits: 500e3, centre: 44, width: 4, blur: 5, ceiling: 88}, 2, 6, 87},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rungs, err := Place(hd, test.content.probes(hd, 720, 480, 240), DefaultPlacement())
			if err != nil {
				t.Fatal(err)
			}
			if len(rungs) < test.least || len(rungs) > test.most {
				t.Errorf("%d rungs, want %d to %d", len(rungs), test.least, test.most)
			}
			if rungs[0].Quality < test.top || rungs[0].Quality > test.top+2.5 {
				t.Errorf("the top rung has %.1f, want %.0f or little more", rungs[0].Quality, test.top)
			}
			bottom := rungs[len(rungs)-1]
			if bottom.Bits > 1.3*DefaultPlacement().Floor {
				t.Errorf("the bottom rung needs %.0f bits a second", bottom.Bits)
			}
			for _, r := range rungs {
				t.Logf("%-7s CRF %4.1f %8.0f b/s cap %8d quality %.1f", r.Name, r.CRF, r.Bits, r.Cap, r.Quality)
			}
		})
	}
}

func TestPlaceNamesSizesThatComeTwice(t *testing.T) {
	t.Parallel()
	c := content{bits: 3.2e6, centre: 36, width: 4, blur: 10, ceiling: 99}
	rungs, err := Place(hd, c.probes(hd, 720), DefaultPlacement())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rungs[:2] {
		got = append(got, r.Name)
	}
	if diff := cmp.Diff([]string{"720p", "720p-2"}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestPlaceNeedsTwoProbesOfASize(t *testing.T) {
	t.Parallel()
	c := content{bits: 1e6, centre: 40, width: 4, blur: 10, ceiling: 99}
	for _, probes := range [][]Probe{
		nil,
		{c.probe(hd, 720, 23)},
		{c.probe(hd, 720, 23), c.probe(hd, 480, 23)},
		{c.probe(hd, 720, 23), c.probe(hd, 720, 23)},
		{{Side: 720, CRF: 23, Quality: math.NaN(), Bits: 1e6}, {Side: 720, CRF: 30, Quality: 80}},
		c.probes(Source{2560, 1440, timebase.R(25, 1)}, 1440), // above the source
	} {
		if rungs, err := Place(hd, probes, DefaultPlacement()); !errors.Is(err, ErrFewProbes) {
			t.Errorf("%d probes gave %v, %v", len(probes), rungs, err)
		}
	}
}

func TestCurveGoesThroughItsProbes(t *testing.T) {
	t.Parallel()
	c := content{bits: 1e6, centre: 40, width: 4, blur: 10, ceiling: 99}
	probes := c.probes(hd, 480)
	line := curves(hd, probes)[0]
	for _, want := range probes {
		got := line.at(want.CRF)
		if math.Abs(got.Bits-want.Bits) > 1 || math.Abs(got.Quality-want.Quality) > 1e-6 {
			t.Errorf("at CRF %g: %+v, want %+v", want.CRF, got, want)
		}
	}
}

// What holds of every placement, of whatever was probed.
func TestPlaceProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		src := drawSource(t)
		top := min(src.Width, src.Height)
		p := DefaultPlacement()
		p.Share = rapid.Float64Range(0.4, 1).Draw(t, "share")
		p.Visible = rapid.Float64Range(2, 12).Draw(t, "visible")
		p.Most = rapid.IntRange(2, 10).Draw(t, "most")
		var probes []Probe
		for range rapid.IntRange(0, 14).Draw(t, "probes") {
			bits := math.Pow(10, rapid.Float64Range(3.5, 8).Draw(t, "bits"))
			probes = append(probes, Probe{
				Side: rapid.IntRange(1, 2*top).Draw(t, "side"), CRF: float64(rapid.IntRange(10, 45).Draw(t, "crf")),
				Bits: bits, Peak: bits * rapid.Float64Range(0.5, 8).Draw(t, "peak"), Quality: rapid.Float64Range(-5, 105).Draw(t, "quality"),
			})
			if i := len(probes) - 1; i > 0 && rapid.Bool().Draw(t, "same side") {
				probes[i].Side = probes[i-1].Side
			}
		}
		rungs, err := Place(src, probes, p)
		if err != nil {
			return
		}
		checkPlaced(t, src, rungs, p)
		shuffled := rapid.Permutation(probes).Draw(t, "order")
		again, err := Place(src, shuffled, p)
		if err != nil || !slices.Equal(rungs, again) {
			t.Fatalf("the order of probes changes the ladder:\n%+v\n%+v", rungs, again)
		}
	})
}

func checkPlaced(t *rapid.T, src Source, rungs []PlacedRung, p Placement) {
	if len(rungs) == 0 || len(rungs) > max(p.Most, 2) {
		t.Fatalf("%d rungs", len(rungs))
	}
	names := map[string]bool{}
	for i, r := range rungs {
		r.Rung.check(t, src)
		if names[r.Name] {
			t.Fatalf("%s comes twice", r.Name)
		}
		names[r.Name] = true
		limit := max(leastCap, hardContent*p.Share*float64(CapFor(r.Width*r.Height, src.FrameRate.Mul(1, int64(r.Step)))))
		if float64(r.Cap) > limit+1e3 || r.Bits > limit {
			t.Fatalf("%+v is above %.0f bits a second", r, limit)
		}
		if i == 0 {
			continue
		}
		better := rungs[i-1]
		if r.Width > better.Width || r.Height > better.Height || r.Bits > better.Bits || r.Quality > better.Quality {
			t.Fatalf("%+v does not come below %+v", r, better)
		}
		if last := i == len(rungs)-1; !last && min(better.Quality, p.Enough)-r.Quality < p.Visible-1e-9 {
			t.Fatalf("nobody tells %+v from %+v", better, r)
		}
	}
	if best := rungs[0]; len(rungs) > 1 && rungs[1].Quality > p.Enough && len(rungs) > 2 {
		t.Fatalf("two rungs beyond what is seen: %+v, %+v", best, rungs[1])
	}
}
