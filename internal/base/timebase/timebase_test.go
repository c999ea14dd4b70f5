package timebase

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestMulDiv(t *testing.T) {
	t.Parallel()
	tests := []struct{ v, mul, div, want int64 }{
		{0, 5, 3, 0},
		{7, 1, 2, 4}, // halves away from zero
		{-7, 1, 2, -4},
		{5, 1, 4, 1},
		{-5, 1, 4, -1},
		{10, 1, 3, 3},
		{11, 1, 3, 4},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64, 2, 1, math.MaxInt64},
		{-math.MaxInt64, 2, 1, -math.MaxInt64},
		{math.MinInt64, 1, 1, -math.MaxInt64},
		{math.MinInt64, 1, 2, -(1 << 62)},
		{1 << 62, 90000, 12800, math.MaxInt64},
	}
	for _, test := range tests {
		if got := MulDiv(test.v, test.mul, test.div); got != test.want {
			t.Errorf("MulDiv(%d, %d, %d): got %d, want %d", test.v, test.mul, test.div, got, test.want)
		}
	}
}

// exact is v·mul/div in big integers, halves away from zero, saturated.
func exact(v, mul, div int64) int64 {
	product := new(big.Int).Mul(big.NewInt(v), big.NewInt(mul))
	negative := product.Sign() < 0
	product.Abs(product).Add(product, big.NewInt(div/2))
	product.Quo(product, big.NewInt(div))
	if !product.IsInt64() {
		product.SetInt64(math.MaxInt64)
	}
	if negative {
		return -product.Int64()
	}
	return product.Int64()
}

func TestMulDivIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64().Draw(t, "v")
		mul := rapid.Int64Min(0).Draw(t, "mul")
		div := rapid.Int64Min(1).Draw(t, "div")
		if got, want := MulDiv(v, mul, div), exact(v, mul, div); got != want {
			t.Fatalf("MulDiv(%d, %d, %d): got %d, want %d", v, mul, div, got, want)
		}
	})
}

// A frame's time in any container's clock leads back to the frame.
func TestRescaleThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := R(rapid.Int64Range(1, 240000).Draw(t, "num"), rapid.SampledFrom([]int64{1, 1001, 1000}).Draw(t, "den"))
		clock := R(1, rapid.SampledFrom([]int64{1000, 12800, 15360, 48000, 90000, 1_000_000}).Draw(t, "clock"))
		if rate.Float() > float64(clock.Den)/2 {
			t.Skip("more frames than ticks")
		}
		n := rapid.Int64Range(-1<<30, 1<<30).Draw(t, "n")
		if got := Rescale(Rescale(n, rate.Inv(), clock), clock, rate.Inv()); got != n {
			t.Fatalf("frame %d at %v in 1/%d s: came back as %d", n, rate, clock.Den, got)
		}
	})
}

func TestR(t *testing.T) {
	t.Parallel()
	tests := []struct {
		num, den int64
		want     Rational
	}{
		{50, 2, Rational{25, 1}},
		{30000, 1001, Rational{30000, 1001}},
		{25, -1, Rational{-25, 1}},
		{0, 0, Rational{}},
		{0, 7, Rational{0, 1}},
	}
	for _, test := range tests {
		if got := R(test.num, test.den); got != test.want {
			t.Errorf("R(%d, %d): got %v, want %v", test.num, test.den, got, test.want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text  string
		want  Rational
		valid bool
	}{
		{"30000/1001", Rational{30000, 1001}, true},
		{"25", Rational{25, 1}, true},
		{"50/2", Rational{25, 1}, true},
		{"0/0", Rational{}, false},
		{"0/1", Rational{0, 1}, false},
		{"-25/1", Rational{-25, 1}, false},
		{"1/0", Rational{1, 0}, false},
	}
	for _, test := range tests {
		got, err := Parse(test.text)
		if err != nil || got != test.want || got.Valid() != test.valid {
			t.Errorf("Parse(%q): got %v (valid %t), %v, want %v (valid %t)", test.text, got, got.Valid(), err, test.want, test.valid)
		}
	}
	for _, text := range []string{"", "/", "25/", "/1", "a", "1/b", "1.5", "99999999999999999999"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q): got %v, want an error", text, got)
		}
	}
}

// A probe prints what a hostile file says: no number may panic.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"30000/1001", "0/0", "-1/-1", "9223372036854775807/-9223372036854775808", "-9223372036854775808"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err == nil && r.Valid() && !r.Inv().Valid() {
			t.Errorf("%v is valid and its inverse is not", r)
		}
	})
}

func TestArithmetic(t *testing.T) {
	t.Parallel()
	ntsc := R(30000, 1001)
	if got, want := ntsc.Mul(1, 2), R(15000, 1001); got != want {
		t.Errorf("half of %v: got %v, want %v", ntsc, got, want)
	}
	if got, want := ntsc.Inv().String(), "1001/30000"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := (Rational{}).Float(); got != 0 {
		t.Errorf("the zero value as a float: got %g, want 0", got)
	}
	for _, test := range []struct {
		a, b Rational
		want int
	}{{R(25, 1), R(50, 2), 0}, {ntsc, R(30, 1), -1}, {R(24, 1), R(24000, 1001), 1}} {
		if got := test.a.Cmp(test.b); got != test.want {
			t.Errorf("%v against %v: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
