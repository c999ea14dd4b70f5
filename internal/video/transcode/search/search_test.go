package search

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawn is a shot that follows some curve, with an encoder's whims.
type drawn struct {
	curve
	limit   float64 // quality that it cannot go above
	whim    float64
	texture float64
}

func drawShot(t *rapid.T, pictures int) drawn {
	draw := func(low, high float64, what string) float64 { return rapid.Float64Range(low, high).Draw(t, what) }
	return drawn{
		curve: curve{
			pictures: float64(pictures), crf: 23, quality: draw(60, 99, "quality"), slope: draw(0.02, 2.5, "slope"),
			log: math.Log(draw(200, 200_000, "bits") * float64(pictures)), fall: draw(0.06, 0.2, "fall"),
		},
		limit: draw(85, 100, "limit"), whim: draw(-0.3, 0.3, "whim"), texture: draw(-1, 20, "texture"),
	}
}

// encode is what the shot comes to.
func (d drawn) encode(crf float64) Probe {
	p := d.at(crf)
	p.Quality = max(0, min(p.Quality+d.whim*math.Sin(crf), d.limit))
	return p
}

// run has a search made, the answers of each round in an order of its own.
func run(t *rapid.T, units [][]drawn, settings Settings) (s *Search, encoded int, made [][]Made) {
	shots := make([][]Shot, len(units))
	for i, u := range units {
		for _, d := range u {
			shots[i] = append(shots[i], Shot{Pictures: int(d.pictures), Texture: d.texture})
		}
	}
	s = New(shots, settings)
	made = make([][]Made, len(units))
	for rounds := 0; ; rounds++ {
		asked := s.Next()
		if len(asked) == 0 {
			return s, encoded, made
		}
		if rounds > 50 {
			t.Fatal("a search without an end")
		}
		for _, n := range rapid.Permutation(numbers(len(asked))).Draw(t, "order") {
			e := asked[n]
			var m Made
			for k, crf := range e.CRF {
				if crf < leastCRF || crf > mostCRF || crf != rounded(crf) {
					t.Fatalf("a CRF of %g", crf)
				}
				m.Shots, m.Motion = append(m.Shots, units[e.Unit][k].encode(crf)), append(m.Motion, 2)
				encoded += int(units[e.Unit][k].pictures)
			}
			s.Add(e, m)
			made[e.Unit] = append(made[e.Unit], m)
		}
	}
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func drawUnits(t *rapid.T) (units [][]drawn, pictures int) {
	for range rapid.IntRange(1, 12).Draw(t, "units") {
		var u []drawn
		for range rapid.IntRange(1, 3).Draw(t, "shots") {
			n := rapid.IntRange(1, 200).Draw(t, "pictures")
			u = append(u, drawShot(t, n))
			pictures += n
		}
		units = append(units, u)
	}
	return units, pictures
}

// Whatever the shots are: a search ends, keeps to its effort, begins with every
// unit, and what it takes costs no more than the constant quality that it began
// with, at its own price.
func TestSearchKeepsToItsEffort(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		units, pictures := drawUnits(t)
		settings := Settings{Base: float64(rapid.IntRange(18, 34).Draw(t, "base")), Effort: Effort(rapid.Float64Range(1, 4).Draw(t, "effort"))}
		s, encoded, made := run(t, units, settings)
		if most := float64(settings.Effort) * float64(pictures); float64(encoded) > most+1 {
			t.Fatalf("%d pictures encoded, at most %g allowed", encoded, most)
		}
		best := s.Best()
		var bits, quality, firstBits, firstQuality float64
		for i, k := range best {
			if k < 0 || k >= len(made[i]) {
				t.Fatalf("encode %d of %d is the best of unit %d", k, len(made[i]), i)
			}
			b, q := total(s.units[i], made[i][k])
			bits, quality = bits+b, quality+q
			b, q = total(s.units[i], made[i][0])
			firstBits, firstQuality = firstBits+b, firstQuality+q
		}
		if got, first := bits-s.price*quality, firstBits-s.price*firstQuality; got > first*(1+1e-9)+1e-6*math.Abs(first) {
			t.Fatalf("got a cost of %g, the first encodes have %g", got, first)
		}
		if quality < firstQuality-1e-6*firstQuality && bits >= firstBits {
			t.Fatalf("worse (%g after %g) for no fewer bits (%g after %g)", quality, firstQuality, bits, firstBits)
		}
	})
}

// A goal of one's own ends the same way, with at most one encode of everything more.
func TestSearchOfAGoalEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		units, pictures := drawUnits(t)
		goal := rapid.SampledFrom([]Goal{{Quality: 75}, {Quality: 95}, {Bits: 1e5}, {Bits: 1e9}}).Draw(t, "goal")
		s, encoded, made := run(t, units, Settings{Base: 23, Goal: goal, Effort: Quick})
		if most := (float64(Quick) + 1) * float64(pictures); float64(encoded) > most+1 {
			t.Fatalf("%d pictures encoded of %d", encoded, pictures)
		}
		for i, k := range s.Best() {
			if k < 0 || k >= len(made[i]) {
				t.Fatalf("encode %d of %d is the best of unit %d", k, len(made[i]), i)
			}
		}
	})
}

// The order in which encodes come back changes nothing.
func TestSearchTakesAnswersInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		units, _ := drawUnits(t)
		settings := Settings{Base: 23, Effort: Thorough}
		s, encoded, _ := run(t, units, settings)
		again, encodedAgain, _ := run(t, units, settings)
		if diff := cmp.Diff(s.Best(), again.Best()); diff != "" || encoded != encodedAgain {
			t.Fatalf("%d and %d pictures encoded, best (-first +second):\n%s", encoded, encodedAgain, diff)
		}
	})
}

// What is encoded first has the higher CRF, the more texture it has; without any
// known, all are alike.
func TestTextureLeans(t *testing.T) {
	t.Parallel()
	crfs := func(textures ...float64) []float64 {
		shots := make([]Shot, len(textures))
		for i, texture := range textures {
			shots[i] = Shot{Pictures: 100, Texture: texture}
		}
		return New([][]Shot{shots}, Settings{Base: 25, Effort: Quick}).Next()[0].CRF
	}
	for _, tt := range []struct{ textures, want []float64 }{
		{[]float64{0, 0, 0}, []float64{25, 25, 25}},
		{[]float64{6, 6, 6}, []float64{25, 25, 25}},
		{[]float64{4, 9}, []float64{24, 26}},
		{[]float64{0, 4, 9}, []float64{25, 24, 26}},
		{[]float64{0.01, 10, 10, 10}, []float64{21, 29, 29, 29}},
	} {
		if diff := cmp.Diff(tt.want, crfs(tt.textures...)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.textures, diff)
		}
	}
}

// What is known besides of a part of a shot comes on top.
func TestPartsLean(t *testing.T) {
	t.Parallel()
	shots := []Shot{{Pictures: 100, Texture: 4, Lean: -1.5}, {Pictures: 30, Texture: 4, Lean: 1.5}, {Pictures: 100, Texture: 4}}
	if diff := cmp.Diff([]float64{23.5, 26.5, 25}, New([][]Shot{shots}, Settings{Base: 25, Effort: Quick}).Next()[0].CRF); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Prices fall with the CRF, and the curve goes through a single probe.
func TestCurve(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := Probe{
			CRF: rapid.Float64Range(15, 40).Draw(t, "crf"), Bits: rapid.Float64Range(0, 1e9).Draw(t, "bits"),
			Quality: rapid.Float64Range(0, 100).Draw(t, "quality"),
		}
		c := fit(Shot{Pictures: rapid.IntRange(1, 500).Draw(t, "pictures"), Motion: rapid.Float64Range(0, 50).Draw(t, "motion")}, []Probe{p}, p.CRF)
		got := c.at(p.CRF)
		if math.Abs(got.Quality-p.Quality) > 1e-6 || math.Abs(got.Bits-max(p.Bits, 1)) > 1e-6*max(p.Bits, 1) {
			t.Fatalf("got %+v, want %+v", got, p)
		}
		last := math.Inf(1)
		for crf := 10.0; crf <= 45; crf++ {
			price := c.price(crf)
			if !(price < last && price > 0) {
				t.Fatalf("the price at %g is %g, after %g", crf, price, last)
			}
			last = price
		}
		if at := c.crfAt(c.price(30), 10, 45); math.Abs(at-30) > 1e-3 {
			t.Fatalf("got %g for the price at 30", at)
		}
	})
}

// With a second encode the curve follows what was measured, not what is usual.
func TestCurveLearns(t *testing.T) {
	t.Parallel()
	shot := Shot{Pictures: 100, Motion: 1}
	flat := []Probe{{22, 1e6, 88.3}, {34, 2.5e5, 87.3}} // dark: it saturates
	c := fit(shot, flat, 34)
	if q := c.at(28).Quality; q < 87 || q > 89 {
		t.Errorf("got %.2f between 88.3 and 87.3", q)
	}
	if usual := fit(shot, flat[:1], 22).at(34).Quality; usual > 80 {
		t.Errorf("got %.2f from one encode; a flat shot is not what is usual", usual)
	}
}
