// Package timebase holds exact time: rationals for frame rates and time bases,
// and the conversions between clocks. No floating point where a frame or a
// sample could be lost to it.
package timebase

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Rational is Num/Den. A frame rate is frames a second; a time base is seconds
// a tick. The zero value is not valid: see Valid.
type Rational struct {
	Num int64 `json:"num"`
	Den int64 `json:"den"`
}

// R returns num/den in lowest terms with a positive denominator.
func R(num, den int64) Rational {
	if den < 0 {
		num, den = -num, -den
	}
	if g := gcd(abs(num), den); g > 1 {
		num, den = num/g, den/g
	}
	return Rational{num, den}
}

// Parse reads "30000/1001", "25" or "0/0" (which gives an invalid Rational).
func Parse(s string) (Rational, error) {
	numText, denText, found := strings.Cut(s, "/")
	if !found {
		denText = "1"
	}
	num, err := strconv.ParseInt(numText, 10, 64)
	if err != nil {
		return Rational{}, fmt.Errorf("rational %q: %w", s, err)
	}
	den, err := strconv.ParseInt(denText, 10, 64)
	if err != nil {
		return Rational{}, fmt.Errorf("rational %q: %w", s, err)
	}
	return R(num, den), nil
}

// Valid reports whether r is a positive number.
func (r Rational) Valid() bool { return r.Num > 0 && r.Den > 0 }

// Inv returns 1/r.
func (r Rational) Inv() Rational { return R(r.Den, r.Num) }

// Mul returns r·n/d.
func (r Rational) Mul(n, d int64) Rational { return R(r.Num*n, r.Den*d) }

// Float returns the nearest float64, for display and estimates only.
func (r Rational) Float() float64 {
	if r.Den == 0 {
		return 0
	}
	return float64(r.Num) / float64(r.Den)
}

// Cmp compares r and s: -1, 0 or 1.
func (r Rational) Cmp(s Rational) int {
	switch d := r.Num*s.Den - s.Num*r.Den; {
	case d < 0:
		return -1
	case d > 0:
		return 1
	}
	return 0
}

// String returns "num/den", the form that ffmpeg reads.
func (r Rational) String() string { return fmt.Sprintf("%d/%d", r.Num, r.Den) }

// Rescale converts v ticks of time base from into ticks of time base to,
// rounding to nearest with halves away from zero, as av_rescale_q does. The
// intermediate product has 128 bits; a result beyond int64 saturates.
func Rescale(v int64, from, to Rational) int64 {
	return MulDiv(v, from.Num*to.Den, from.Den*to.Num)
}

// MulDiv returns v·mul/div rounded to nearest, halves away from zero, with a
// 128-bit intermediate. mul must not be negative and div must be positive.
func MulDiv(v, mul, div int64) int64 {
	const limit = 1<<63 - 1
	negative := v < 0
	hi, lo := bits.Mul64(uint64(abs(v)), uint64(mul))
	lo, carry := bits.Add64(lo, uint64(div)/2, 0)
	hi += carry
	if hi >= uint64(div) {
		if negative {
			return -limit
		}
		return limit
	}
	q, _ := bits.Div64(hi, lo, uint64(div))
	if q > limit {
		q = limit
	}
	if negative {
		return -int64(q)
	}
	return int64(q)
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}
