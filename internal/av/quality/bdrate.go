package quality

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Point is one encode on a curve of quality over rate. The rate is in any unit
// above 0, the quality in any unit that grows.
type Point struct{ Rate, Quality float64 }

// ErrCurves says that two curves have no Bjøntegaard rate: too few points, rates
// that do not grow with quality, or no quality that both reach.
var ErrCurves = errors.New("curves cannot be compared")

// BDRate is how much more rate test needs than anchor for the same quality, in
// percent, below 0 where it needs less: the mean difference of the logarithms of
// the rates over the range of qualities that both reach (Bjøntegaard,
// "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001).
// Between points the logarithm follows a piecewise cubic that does not overshoot
// (Fritsch and Carlson, "Monotone piecewise cubic interpolation", 1980, with the
// slopes of PCHIP), which four points of any distance bear, unlike the one cubic
// of the first form. Each curve has at least two points, in any order. Errors
// wrap ErrCurves.
func BDRate(anchor, test []Point) (percent float64, err error) {
	a, err := newCurve(anchor)
	if err != nil {
		return 0, fmt.Errorf("anchor: %w", err)
	}
	b, err := newCurve(test)
	if err != nil {
		return 0, fmt.Errorf("test: %w", err)
	}
	low, high := max(a.x[0], b.x[0]), min(a.x[len(a.x)-1], b.x[len(b.x)-1])
	if low >= high {
		return 0, fmt.Errorf("%w: qualities %g…%g and %g…%g do not overlap", ErrCurves,
			a.x[0], a.x[len(a.x)-1], b.x[0], b.x[len(b.x)-1])
	}
	mean := (b.integral(low, high) - a.integral(low, high)) / (high - low)
	return 100 * (math.Exp(mean) - 1), nil
}

// curve is the logarithm of the rate, y, over quality, x, with its slopes.
type curve struct{ x, y, slope []float64 }

func newCurve(points []Point) (*curve, error) {
	points = slices.Clone(points)
	slices.SortFunc(points, func(p, q Point) int {
		switch {
		case p.Quality < q.Quality:
			return -1
		case p.Quality > q.Quality:
			return 1
		}
		return 0
	})
	if len(points) < 2 {
		return nil, fmt.Errorf("%w: %d points, at least 2", ErrCurves, len(points))
	}
	c := &curve{}
	for i, p := range points {
		if !(p.Rate > 0) || math.IsInf(p.Rate, 0) || math.IsNaN(p.Quality) || math.IsInf(p.Quality, 0) {
			return nil, fmt.Errorf("%w: the point %g at rate %g", ErrCurves, p.Quality, p.Rate)
		}
		if i > 0 && (p.Rate <= points[i-1].Rate || p.Quality == points[i-1].Quality) {
			return nil, fmt.Errorf("%w: quality %g needs rate %g, and %g needs %g", ErrCurves,
				points[i-1].Quality, points[i-1].Rate, p.Quality, p.Rate)
		}
		c.x, c.y = append(c.x, p.Quality), append(c.y, math.Log(p.Rate))
	}
	c.slopes()
	return c, nil
}

// slopes gives each point the weighted harmonic mean of the slopes beside it,
// and the ends a parabola's, cut so that nothing overshoots.
func (c *curve) slopes() {
	n := len(c.x)
	h, d := make([]float64, n-1), make([]float64, n-1)
	for i := range h {
		h[i] = c.x[i+1] - c.x[i]
		d[i] = (c.y[i+1] - c.y[i]) / h[i]
	}
	c.slope = make([]float64, n)
	if n == 2 {
		c.slope[0], c.slope[1] = d[0], d[0]
		return
	}
	for i := 1; i < n-1; i++ {
		w1, w2 := 2*h[i]+h[i-1], h[i]+2*h[i-1]
		c.slope[i] = (w1 + w2) / (w1/d[i-1] + w2/d[i])
	}
	c.slope[0] = endSlope(h[0], h[1], d[0], d[1])
	c.slope[n-1] = endSlope(h[n-2], h[n-3], d[n-2], d[n-3])
}

// endSlope is for an end whose pieces have lengths h and slopes d, the nearest
// first. All slopes are above 0 here.
func endSlope(h0, h1, d0, d1 float64) float64 {
	return min(max(((2*h0+h1)*d0-h0*d1)/(h0+h1), 0), 3*d0)
}

// integral of the logarithm between two qualities on the curve.
func (c *curve) integral(from, to float64) float64 {
	sum := 0.0
	for i := range len(c.x) - 1 {
		a, b := max(from, c.x[i]), min(to, c.x[i+1])
		if a < b {
			sum += c.primitive(i, b) - c.primitive(i, a)
		}
	}
	return sum
}

// primitive is an integral of piece i from its begin to x.
func (c *curve) primitive(i int, x float64) float64 {
	h := c.x[i+1] - c.x[i]
	d := (c.y[i+1] - c.y[i]) / h
	c2 := (3*d - 2*c.slope[i] - c.slope[i+1]) / h
	c3 := (c.slope[i] + c.slope[i+1] - 2*d) / (h * h)
	t := x - c.x[i]
	return t * (c.y[i] + t*(c.slope[i]/2+t*(c2/3+t*c3/4)))
}
