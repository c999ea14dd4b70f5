// Package search decides how good each shot of a rendition is made, so that the
// whole has the fewest bits for its mean quality, or the best mean quality for its
// bits. It asks for encodes of units, learns from what they came to, and says in
// the end which encode of each unit is the rendition's. Numbers in, decisions out:
// it knows no encoder's arguments, no files and no metric, but that a metric's
// scale ends at 100 as VMAF's does.
package search

import "math"

// Probe is what an encode came to in one shot.
type Probe struct {
	CRF     float64
	Bits    float64
	Quality float64 // mean over the shot's pictures, 0…100
}

// The shape of the curves of one shot over CRF, the same for all content. Measured
// with x264 over CRF 20 to 40: quality falls faster and faster, by half as fast
// again every 4 of CRF; bits fall slower and slower.
const (
	qualityGrowth = 0.09 // of the slope of quality, a CRF
	bitsSlowing   = 0.03 // of the slope of log bits, a CRF
)

// curve is what is expected of a shot over CRF:
//
//	quality(c) = quality − slope·(e^(g·(c−crf)) − 1)/g
//	ln bits(c) = log − fall·(1 − e^(−h·(c−crf)))/h
//
// with g qualityGrowth and h bitsSlowing.
type curve struct {
	pictures float64
	crf      float64
	quality  float64
	slope    float64 // of quality at crf, points a CRF, above 0
	log      float64
	fall     float64 // of log bits at crf, a CRF, above 0
}

func qualityAway(d float64) float64 { return (math.Exp(qualityGrowth*d) - 1) / qualityGrowth }
func bitsAway(d float64) float64    { return (1 - math.Exp(-bitsSlowing*d)) / bitsSlowing }

// at is what is expected at a CRF.
func (c curve) at(crf float64) Probe {
	d := crf - c.crf
	return Probe{CRF: crf, Bits: math.Exp(c.log - c.fall*bitsAway(d)), Quality: min(100, c.quality-c.slope*qualityAway(d))}
}

// price is how many bits a point of quality of one picture costs at a CRF.
func (c curve) price(crf float64) float64 {
	d := crf - c.crf
	bits := math.Exp(c.log-c.fall*bitsAway(d)) * c.fall * math.Exp(-bitsSlowing*d)
	return bits / (c.pictures * c.slope * math.Exp(qualityGrowth*d))
}

// crfAt is the CRF, within [least, most], at which a point of quality costs price:
// the price falls with the CRF. Newton's method on the logarithm of the price,
// which is concave, so that it comes from one side.
func (c curve) crfAt(price, least, most float64) float64 {
	want := math.Log(c.price(c.crf) / price)
	d := 0.0
	for range 30 {
		steep := c.fall*math.Exp(-bitsSlowing*d) + bitsSlowing + qualityGrowth
		next := d + (want-c.fall*bitsAway(d)-(bitsSlowing+qualityGrowth)*d)/steep
		next = min(max(next, -60), 200)
		if math.Abs(next-d) < 1e-6 {
			break
		}
		d = next
	}
	return min(max(c.crf+d, least), most)
}

// How far a shot is from what is usual for its like: standard deviations of the
// logarithm of both slopes, and of what an encode came to around a smooth curve.
const (
	slopeSpread  = 0.35
	fallSpread   = 0.2
	qualityNoise = 0.15
	logNoise     = 0.01
)

// usual slopes of shots like this one, from one encode: the more is lost already,
// the more moves, the more bits a picture has, and the higher the CRF, the faster
// quality falls. Least squares over the shots of real clips, see
// docs/internals/encoding.md.
func usual(s Shot, p Probe) (slope, fall float64) {
	lost := math.Log(max(100-p.Quality, 0.3))
	bits := math.Log(max(p.Bits/float64(s.Pictures), 1))
	moves := math.Log1p(max(s.Motion, 0))
	slope = math.Exp(-2.155 + 0.472*lost + 0.308*moves + 0.081*bits + 0.060*(p.CRF-27))
	fall = math.Exp(-1.683 - 0.054*bits + 0.039*moves - 0.0142*(p.CRF-27))
	return min(max(slope, 0.01), 6), min(max(fall, 0.04), 0.3)
}

// fit is the curve of a shot from its encodes, of which there is at least one:
// least squares over them and what is usual, each weighted by how sure it is. near
// is where the curve should be best.
func fit(s Shot, probes []Probe, near float64) curve {
	anchor := probes[0]
	for _, p := range probes[1:] {
		if math.Abs(p.CRF-near) < math.Abs(anchor.CRF-near) {
			anchor = p
		}
	}
	slope, fall := usual(s, anchor)
	c := curve{pictures: float64(s.Pictures), crf: anchor.CRF}
	q := line{prior: slope, spread: slope * slopeSpread, noise: qualityNoise}
	b := line{prior: fall, spread: fall * fallSpread, noise: logNoise}
	for _, p := range probes {
		// What is far away says less about here.
		trust := 1 / (1 + math.Abs(p.CRF-anchor.CRF)/8)
		if p.Quality < 99.9 || len(probes) == 1 { // the scale ends there
			q.add(qualityAway(p.CRF-anchor.CRF), p.Quality, trust)
		}
		b.add(bitsAway(p.CRF-anchor.CRF), math.Log(max(p.Bits, 1)), trust)
	}
	c.quality, c.slope = q.solve(anchor.Quality)
	c.log, c.fall = b.solve(math.Log(max(anchor.Bits, 1)))
	c.slope, c.fall = max(c.slope, 0.1*slope, 0.005), max(c.fall, 0.3*fall)
	return c
}

// line is y = height − steep·x by least squares, steep known beforehand to be
// prior ± spread.
type line struct {
	prior, spread, noise float64
	w, x, y, xx, xy      float64
}

func (l *line) add(x, y, trust float64) {
	w := trust / (l.noise * l.noise)
	l.w, l.x, l.y, l.xx, l.xy = l.w+w, l.x+w*x, l.y+w*y, l.xx+w*x*x, l.xy+w*x*y
}

// solve returns other, and the prior, where nothing was added.
func (l *line) solve(other float64) (height, steep float64) {
	if l.w == 0 {
		return other, l.prior
	}
	certain := 1 / (l.spread * l.spread)
	a, b, d := l.w, -l.x, l.xx+certain
	e, f := l.y, -l.xy+certain*l.prior
	determinant := a*d - b*b // above 0, as certain is
	return (e*d - b*f) / determinant, (a*f - b*e) / determinant
}
