package search

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// measured is one shot of a programme that was encoded at every CRF of a grid.
type measured struct {
	Unit     int       `json:"unit"`
	Pictures int       `json:"pictures"`
	Motion   float64   `json:"motion"`
	Texture  float64   `json:"texture"`
	CRF      []float64 `json:"crf"`
	Bits     []float64 `json:"bits"`
	VMAF     []float64 `json:"vmaf"`
	NEG      []float64 `json:"neg"`
}

// programme is such shots, in the units that an encode of it has.
type programme struct {
	name  string
	shots []measured
}

func readProgramme(t testing.TB, name string) programme {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	p := programme{name: name}
	if err := json.Unmarshal(data, &p.shots); err != nil {
		t.Fatal(err)
	}
	return p
}

// spline is the monotone piecewise cubic through points (Fritsch and Carlson).
func spline(xs, ys []float64, x float64) float64 {
	n := len(xs)
	slope := func(i int) float64 { return (ys[i+1] - ys[i]) / (xs[i+1] - xs[i]) }
	tangent := func(i int) float64 {
		switch {
		case i == 0:
			return slope(0)
		case i == n-1:
			return slope(n - 2)
		case slope(i-1)*slope(i) <= 0:
			return 0
		}
		return 2 * slope(i-1) * slope(i) / (slope(i-1) + slope(i))
	}
	if x <= xs[0] {
		return ys[0] + tangent(0)*(x-xs[0])
	}
	if x >= xs[n-1] {
		return ys[n-1] + tangent(n-1)*(x-xs[n-1])
	}
	i := 0
	for x > xs[i+1] {
		i++
	}
	h := xs[i+1] - xs[i]
	t := (x - xs[i]) / h
	return (1+2*t)*(1-t)*(1-t)*ys[i] + t*(1-t)*(1-t)*h*tangent(i) + t*t*(3-2*t)*ys[i+1] + t*t*(t-1)*h*tangent(i+1)
}

// at is a shot at a CRF: bits, VMAF and VMAF NEG.
func (m measured) at(crf float64) (bits, vmaf, neg float64) {
	logs := make([]float64, len(m.Bits))
	for i, b := range m.Bits {
		logs[i] = math.Log(b)
	}
	return math.Exp(spline(m.CRF, logs, crf)), min(100, spline(m.CRF, m.VMAF, crf)), min(100, spline(m.CRF, m.NEG, crf))
}

// point is bits, VMAF and NEG of a whole programme.
type point [3]float64

func (p programme) with(crfs []float64) (sum point) {
	pictures := 0.0
	for i, m := range p.shots {
		b, v, n := m.at(crfs[i])
		w := float64(m.Pictures)
		sum[0], sum[1], sum[2] = sum[0]+b, sum[1]+w*v, sum[2]+w*n
		pictures += w
	}
	sum[1], sum[2] = sum[1]/pictures, sum[2]/pictures
	return sum
}

// constant is the programme at one CRF.
func (p programme) constant(crf float64) point { return p.with(repeated(crf, len(p.shots))) }

// optimum is the equal-slope choice over the whole grid with as many bits.
func (p programme) optimum(bits float64) point {
	low, high := -12.0, 24.0
	var crfs []float64
	for range 50 {
		price := math.Exp((low + high) / 2)
		crfs = crfs[:0]
		for _, m := range p.shots {
			best, least := 0.0, math.Inf(1)
			for c := leastGrid; c <= mostGrid; c += 0.5 {
				b, _, n := m.at(c)
				if cost := b - price*n*float64(m.Pictures); cost < least {
					best, least = c, cost
				}
			}
			crfs = append(crfs, best)
		}
		if p.with(crfs)[0] > bits {
			high = math.Log(price)
		} else {
			low = math.Log(price)
		}
	}
	return p.with(crfs)
}

// outcome is what a search of a programme came to.
type outcome struct {
	point
	encodes float64   // of the whole
	errors  []float64 // of predicted quality, a shot
	crfs    []float64
}

func (p programme) search(settings Settings) outcome {
	var units [][]Shot
	var first []int // shot of each unit
	pictures := 0
	for i, m := range p.shots {
		if i == 0 || m.Unit != p.shots[i-1].Unit {
			units, first = append(units, nil), append(first, i)
		}
		last := len(units) - 1
		units[last] = append(units[last], Shot{Pictures: m.Pictures, Texture: m.Texture})
		pictures += m.Pictures
	}
	s := New(units, settings)
	var o outcome
	spent := 0
	for {
		asked := s.Next()
		if len(asked) == 0 {
			break
		}
		for _, e := range asked {
			var came Made
			for k, crf := range e.CRF {
				m := p.shots[first[e.Unit]+k]
				b, _, n := m.at(crf)
				if len(e.Expected) > 0 {
					o.errors = append(o.errors, e.Expected[k].Quality-n)
				}
				came.Shots, came.Motion = append(came.Shots, Probe{crf, b, n}), append(came.Motion, m.Motion)
				spent += m.Pictures
			}
			s.Add(e, came)
		}
	}
	o.encodes = float64(spent) / float64(pictures)
	crfs := make([]float64, len(p.shots))
	for i, k := range s.Best() {
		for n, shot := range s.units[i].made[k].Shots {
			crfs[first[i]+n] = shot.CRF
		}
	}
	o.crfs, o.point = crfs, p.with(crfs)
	return o
}

// bdRate is the mean difference in bits, in percent, at equal quality k.
func bdRate(anchor, test []point, k int) float64 {
	curve := func(list []point) (xs, ys []float64) {
		list = slices.Clone(list)
		slices.SortFunc(list, func(a, b point) int {
			if a[k] < b[k] {
				return -1
			}
			return 1
		})
		for _, p := range list {
			xs, ys = append(xs, p[k]), append(ys, math.Log(p[0]))
		}
		return xs, ys
	}
	ax, ay := curve(anchor)
	tx, ty := curve(test)
	low, high := max(ax[0], tx[0]), min(ax[len(ax)-1], tx[len(tx)-1])
	const steps = 200
	sum := 0.0
	for i := range steps {
		x := low + (high-low)*(float64(i)+0.5)/steps
		sum += spline(tx, ty, x) - spline(ax, ay, x)
	}
	return 100 * (math.Exp(sum/steps) - 1)
}

// bases are the CRFs of the constant passes.
var bases = []float64{21, 23, 25, 27, 29, 31, 33}

// The curve of gain over cost on shots of real clips, each a unit. It holds what
// docs/internals/encoding.md says of it.
func TestMeasuredProgrammes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mixed", "people"} {
		p := readProgramme(t, name)
		var anchor, best []point
		for _, c := range bases {
			anchor = append(anchor, p.constant(c))
			best = append(best, p.optimum(p.constant(c)[0]))
		}
		limit := bdRate(anchor, best, 2)
		t.Logf("%s: optimum over the whole grid: VMAF %.2f %%, NEG %.2f %%, at %d encodes", name, bdRate(anchor, best, 1), limit, 45)
		for _, tt := range []struct {
			effort  Effort
			share   float64 // of the optimum that has to be reached
			encodes float64
		}{{1, 0.45, 1}, {1.2, 0.6, 1.2}, {1.35, 0.7, 1.35}, {Quick, 0.8, 1.5}, {1.75, 0.85, 1.75}, {2, 0.9, 2}, {Thorough, 0.93, 2.5}} {
			var test []point
			var encodes, sum, worst, count float64
			for _, c := range bases {
				o := p.search(Settings{Base: c, Effort: tt.effort})
				test = append(test, o.point)
				encodes += o.encodes / float64(len(bases))
				for _, e := range o.errors {
					sum, worst, count = sum+math.Abs(e), max(worst, math.Abs(e)), count+1
				}
			}
			gain := bdRate(anchor, test, 2)
			t.Logf("%s: effort %.2f, %.2f encodes: VMAF %.2f %%, NEG %.2f %%; NEG foretold with an error of %.2f, %.2f at most",
				name, tt.effort, encodes, bdRate(anchor, test, 1), gain, sum/max(1, count), worst)
			if gain > tt.share*limit || encodes > tt.encodes || sum > count || worst > 3 {
				t.Errorf("effort %g: got %.2f %% of %.2f %% at %.2f encodes, errors of %.2f and %.2f", tt.effort, gain, limit, encodes, sum/max(1, count), worst)
			}
		}
		for _, quality := range []float64{90, 93, 95} {
			every := p.target(quality)
			low, high := 16.0, 40.0 // of the base that reaches as much in the mean
			var o outcome
			for range 20 {
				middle := (low + high) / 2
				if o = p.search(Settings{Base: middle, Effort: Thorough}); o.point[1] > every[1] {
					low = middle
				} else {
					high = middle
				}
			}
			best := p.optimum(every[0])
			one := p.constantWith(every[1])
			t.Logf("%s: VMAF %g in every shot, mean %.2f: %.1f Mbit; one CRF %+.1f %%, searched %+.1f %% with a mean of %.2f; as many bits at best have %.2f",
				name, quality, every[1], every[0]/1e6, 100*(one[0]/every[0]-1), 100*(o.point[0]/every[0]-1), o.point[1], best[1])
		}
	}
}

// The grid of the measurements.
const leastGrid, mostGrid = 8.0, 40.0

// constantWith is the programme at the one CRF with a mean VMAF.
func (p programme) constantWith(vmaf float64) point {
	low, high := leastGrid, mostGrid
	for range 30 {
		if middle := (low + high) / 2; p.constant(middle)[1] > vmaf {
			low = middle
		} else {
			high = middle
		}
	}
	return p.constant(low)
}

// target is the programme with every shot at the same VMAF, as near as CRFs from 10,
// where tools for that begin, come to it.
func (p programme) target(vmaf float64) point {
	crfs := make([]float64, len(p.shots))
	for i, m := range p.shots {
		best := math.Inf(1)
		for c := 10.0; c <= mostGrid; c += 0.1 {
			if _, v, _ := m.at(c); math.Abs(v-vmaf) < best {
				best, crfs[i] = math.Abs(v-vmaf), c
			}
		}
	}
	return p.with(crfs)
}

// A goal of one's own is reached from far away.
func TestGoals(t *testing.T) {
	t.Parallel()
	p := readProgramme(t, "mixed")
	for _, quality := range []float64{85, 90, 93} {
		o := p.search(Settings{Base: 23, Goal: Goal{Quality: quality}, Effort: Thorough})
		if math.Abs(o.point[2]-quality) > 0.4 {
			t.Errorf("got NEG %.2f, want %g", o.point[2], quality)
		}
	}
	for _, bits := range []float64{40e6, 60e6, 100e6} {
		o := p.search(Settings{Base: 23, Goal: Goal{Bits: bits}, Effort: Thorough})
		if math.Abs(o.point[0]/bits-1) > 0.04 {
			t.Errorf("got %.1f Mbit, want %.1f", o.point[0]/1e6, bits/1e6)
		}
	}
}
