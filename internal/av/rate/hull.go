package rate

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// Probe is what a title came to at one size and one constant quality, measured by
// encoding some of it. Bits and Quality fall as the CRF rises.
type Probe struct {
	Side    int     // short side of the picture
	CRF     float64 // what the encoder was told
	Bits    float64 // a second, of the whole title
	Peak    float64 // bits a second of the stretch that needs most
	Quality float64 // 0 … 100, compared at the size at which the source is shown
}

// Placement says how rungs are placed on a hull. DefaultPlacement has the values
// for H.264 and a quality on the scale of VMAF.
type Placement struct {
	Enough  float64 // quality that nobody tells from the source's: no rung aims beyond
	Margin  float64 // how much above Enough the top rung aims, for what probes get wrong
	Visible float64 // the least difference that a viewer sees: neighbours are so far apart
	Most    int     // rungs
	Floor   float64 // bits a second of the bottom rung, for poor networks
	Share   float64 // of H.264's rate that the codec needs: bounds caps, see CapFor
}

// DefaultPlacement is for H.264. Six points of VMAF are a difference that most
// viewers notice (Ozer, “Finding the just noticeable difference with Netflix VMAF”,
// 2017); 94 is where they stop telling the encode from its source.
func DefaultPlacement() Placement {
	return Placement{Enough: 94, Margin: 0.25, Visible: 6, Most: 8, Floor: 145e3, Share: 1}
}

// PlacedRung is a rung of a title's own ladder with what is expected of it.
type PlacedRung struct {
	Rung            // Cap is of the codec that was probed
	CRF     float64 // for the encoder, in steps of half a point
	Bits    float64 // a second, expected
	Quality float64 // expected
}

// ErrFewProbes says that no size was probed at two qualities.
var ErrFewProbes = errors.New("place rungs: too few probes")

const (
	// crfStep is the grid on which rungs are looked for.
	crfStep = 0.5
	// How far beyond the outermost probes curves are followed, in CRF.
	crfBelow, crfAbove = 3.0, 5.0
	// A rung may cost so much more than CapFor gives, which is for pictures of
	// middling difficulty.
	hardContent = 1.5
	// The cap over the mean: at least, and at most, and over the dearest stretch.
	leastOverMean, mostOverMean, overPeak = 1.5, 3.0, 1.15
	// leastRatio is between the bits of neighbours: for less, a player may as well
	// take the better.
	leastRatio = 1.2
)

// Place returns the rungs of src for a title that came to probes, the best first:
// the top reaches the quality that nobody tells from the source's (or the best that
// the caps allow) with the fewest bits, the bottom is for poor networks, and between
// them stand as many as viewers can tell apart, at equal steps of quality. All lie
// on the convex hull of quality over bits, over all sizes that were probed: below
// it, another size gives more quality for the same bits. (The idea is that of
// “Per-Title Encode Optimization”, Netflix 2015; the hull over sizes is in Katsavounidis
// and Guo, “Video codec comparison using the dynamic optimizer framework”, 2018.)
func Place(src Source, probes []Probe, p Placement) ([]PlacedRung, error) {
	var all []candidate
	for _, c := range curves(src, probes) {
		all = append(all, c.candidates(p.limit(src, c.side))...)
	}
	hull := envelope(all)
	if len(hull) == 0 {
		return nil, ErrFewProbes
	}
	return named(src, p, p.choose(hull)), nil
}

// limit is the highest cap at a size.
func (p Placement) limit(src Source, side int) float64 {
	return max(hardContent*p.Share*float64(src.rung(side).Cap), leastCap)
}

// candidate is a point of a curve: a rung that could be.
type candidate struct {
	side               int
	crf, bits, quality float64
	cap                float64
}

// choose takes rungs from a hull, whose bits and qualities rise. The best is first.
func (p Placement) choose(hull []candidate) []candidate {
	top := cheapest(hull, min(p.Enough+p.Margin, hull[len(hull)-1].quality-0.25))
	bottom := hull[0]
	for _, c := range hull {
		if c.bits <= p.Floor && c.quality > bottom.quality {
			bottom = c
		}
	}
	if top.bits <= leastRatio*max(p.Floor, bottom.bits) {
		return []candidate{top}
	}
	chosen := []candidate{top}
	last := min(top.quality, p.Enough)
	for left := p.Most - 2; left > 0; left-- {
		steps := min(int((last-bottom.quality)/p.Visible), left+1)
		if steps < 2 {
			break
		}
		c := best(hull, last-(last-bottom.quality)/float64(steps))
		before := chosen[len(chosen)-1]
		if c.side > before.side || c.bits < leastRatio*bottom.bits || c.quality-bottom.quality < p.Visible {
			break
		}
		if last = c.quality; c.bits*leastRatio <= before.bits {
			chosen = append(chosen, c)
		}
	}
	return append(chosen, bottom)
}

// best is the last of a hull that does not have more than the quality, or its first.
func best(hull []candidate, quality float64) candidate {
	found := hull[0]
	for _, c := range hull {
		if c.quality <= quality {
			found = c
		}
	}
	return found
}

// cheapest is the first of a hull that has the quality, or its best.
func cheapest(hull []candidate, quality float64) candidate {
	for _, c := range hull {
		if c.quality >= quality {
			return c
		}
	}
	return hull[len(hull)-1]
}

// named makes rungs of what was chosen. Sizes that come twice are numbered.
func named(src Source, p Placement, chosen []candidate) []PlacedRung {
	rungs := make([]PlacedRung, len(chosen))
	count := map[int]int{}
	for i, c := range chosen {
		r := PlacedRung{Rung: src.rung(c.side), CRF: c.crf, Bits: c.bits, Quality: c.quality}
		r.Cap = int64(math.Ceil(c.cap/1e3)) * 1e3
		if count[c.side]++; count[c.side] > 1 {
			r.Name += "-" + string(rune('0'+count[c.side]))
		}
		rungs[i] = r
	}
	return rungs
}

// curve is quality and bits over CRF at one size.
type curve struct {
	side   int
	points []Probe // CRF rises, bits, peak and quality fall
}

// curves sorts probes by size and makes each size monotone. Sizes above the source
// and sizes with a single probe are left out.
func curves(src Source, probes []Probe) []curve {
	bySide := map[int][]Probe{}
	for _, p := range probes {
		valid := p.Bits > 0 && !math.IsInf(p.Bits, 0) && p.CRF >= 0 && p.CRF <= 63 && p.Quality == p.Quality
		if valid && p.Side >= leastSide && p.Side <= min(src.Width, src.Height) {
			p.Peak = max(p.Peak, p.Bits)
			p.Quality = min(max(p.Quality, leastQuality), 100-leastQuality)
			bySide[p.Side] = append(bySide[p.Side], p)
		}
	}
	var list []curve
	for side, points := range bySide {
		slices.SortFunc(points, func(a, b Probe) int {
			return cmp.Or(cmp.Compare(a.CRF, b.CRF), cmp.Compare(a.Bits, b.Bits), cmp.Compare(a.Peak, b.Peak), cmp.Compare(a.Quality, b.Quality))
		})
		points = slices.CompactFunc(points, func(a, b Probe) bool { return a.CRF == b.CRF })
		for i := 1; i < len(points); i++ {
			before, now := points[i-1], &points[i]
			now.Bits, now.Peak = min(now.Bits, before.Bits), min(now.Peak, before.Peak)
			now.Quality = min(now.Quality, before.Quality)
		}
		if len(points) > 1 {
			list = append(list, curve{side, points})
		}
	}
	slices.SortFunc(list, func(a, b curve) int { return cmp.Compare(a.side, b.side) })
	return list
}

// leastQuality keeps the logistic scale finite.
const leastQuality = 0.5

// at follows the curve: the logarithm of bits is linear in the CRF between probes,
// and quality is logistic in it, since VMAF over CRF is S-shaped.
func (c curve) at(crf float64) Probe {
	i := 1
	for i < len(c.points)-1 && c.points[i].CRF < crf {
		i++
	}
	a, b := c.points[i-1], c.points[i]
	t := (crf - a.CRF) / (b.CRF - a.CRF)
	between := func(x, y float64) float64 { return x + t*(y-x) }
	logit := between(math.Log(a.Quality/(100-a.Quality)), math.Log(b.Quality/(100-b.Quality)))
	return Probe{
		Side: c.side, CRF: crf,
		Bits:    math.Exp(between(math.Log(a.Bits), math.Log(b.Bits))),
		Peak:    math.Exp(between(math.Log(a.Peak), math.Log(b.Peak))),
		Quality: 100 / (1 + math.Exp(-logit)),
	}
}

// candidates are the points of the curve on the grid whose cap is within limit.
func (c curve) candidates(limit float64) []candidate {
	const highest = 51
	first, last := c.points[0].CRF, c.points[len(c.points)-1].CRF
	var list []candidate
	for crf := math.Ceil(max(first-crfBelow, 0)/crfStep) * crfStep; crf <= min(last+crfAbove, highest); crf += crfStep {
		p := c.at(crf)
		want := min(max(overPeak*p.Peak, leastOverMean*p.Bits), mostOverMean*p.Bits)
		if leastOverMean*p.Bits > limit {
			continue
		}
		list = append(list, candidate{side: c.side, crf: crf, bits: p.Bits, quality: p.Quality, cap: min(max(want, leastCap), limit)})
	}
	return list
}

// leastCap is a cap that hardly binds a picture of the smallest size.
const leastCap = 100e3

// envelope keeps the points to which no other is preferable: bits and quality both
// rise. Where two sizes are alike, the smaller counts. It is not made convex: between
// two sizes a convex hull has gaps of twenty points of VMAF, which a player would
// feel, and the points inside cost hardly more.
func envelope(all []candidate) []candidate {
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.bits, b.bits), cmp.Compare(b.quality, a.quality), cmp.Compare(a.side, b.side))
	})
	var hull []candidate
	for _, c := range all {
		if len(hull) == 0 || c.quality > hull[len(hull)-1].quality {
			hull = append(hull, c)
		}
	}
	return hull
}
