// Package pixel is arithmetic on small luma pictures: signatures that tell
// whether two pictures show the same moment, and shot changes found in a run of
// them. It does not decode or scale; whoever decodes hands in the pictures.
package pixel

import "math"

// Signature size: every picture is squeezed to Width × Height luma samples
// before it comes here, whatever its shape.
const (
	Width  = 32
	Height = 18
	Size   = Width * Height
)

// Signature is one picture of Size 8-bit luma samples, row by row.
type Signature []byte

// Difference is the mean absolute difference of two pictures, 0…255.
func Difference(a, b Signature) float64 {
	sum := 0
	for i, v := range a[:Size] {
		d := int(v) - int(b[i])
		if d < 0 {
			d = -d
		}
		sum += d
	}
	return float64(sum) / Size
}

// Mean and Contrast are the mean luma and its standard deviation, 0…255.
func (s Signature) stats() (mean, deviation float64) {
	sum, squares := 0, 0
	for _, v := range s[:Size] {
		sum += int(v)
		squares += int(v) * int(v)
	}
	mean = float64(sum) / Size
	variance := float64(squares)/Size - mean*mean
	if variance < 0 {
		variance = 0
	}
	return mean, math.Sqrt(variance)
}

// Mean is the mean luma, 0…255.
func (s Signature) Mean() float64 { mean, _ := s.stats(); return mean }

// Contrast is the standard deviation of luma, 0…127.5.
func (s Signature) Contrast() float64 { _, deviation := s.stats(); return deviation }

// Distance compares two pictures after taking brightness and contrast out of
// each, so that a tone curve, a range conversion or an encoder's dimming does
// not count: 0 is the same picture, 1 unrelated ones, 2 a negative. It is
// 1 − the correlation coefficient, eased so that pictures with hardly any
// structure are near to each other.
func Distance(a, b Signature) float64 {
	meanA, devA := a.stats()
	meanB, devB := b.stats()
	product := 0
	for i, v := range a[:Size] {
		product += int(v) * int(b[i])
	}
	covariance := float64(product)/Size - meanA*meanB
	return 1 - (covariance+ease)/math.Sqrt((devA*devA+ease)*(devB*devB+ease))
}

// ease is the variance (ten levels squared) below which structure hardly counts.
const ease = 100.0
