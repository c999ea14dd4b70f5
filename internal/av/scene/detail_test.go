package scene

import (
	"math"
	"testing"
)

// Fine lines are lost in a smaller picture; what was made larger is not.
func TestLoss(t *testing.T) {
	t.Parallel()
	const width, height = 240, 136
	draw := func(level func(x, y int) float64) []byte {
		p := make([]byte, width*height)
		for i := range p {
			p[i] = byte(level(i%width, i/width))
		}
		return p
	}
	smooth := draw(func(x, y int) float64 { return 120 + 60*math.Sin(float64(x)/15)*math.Cos(float64(y)/11) })
	fine := draw(func(x, y int) float64 {
		if x >= 40 && x < 72 && y >= 40 && y < 60 && x%2 == 0 {
			return 220 // a line of text
		}
		return 40
	})
	enlarged := resize(resize(fine, width, height, 160, 90), 160, 90, width, height)
	flat := draw(func(int, int) float64 { return 16 })
	for _, test := range []struct {
		name        string
		luma        []byte
		least, most float64
	}{
		{"smooth", smooth, 48, Lossless}, {"a line of text", fine, 5, 25}, {"made larger", enlarged, 38, Lossless}, {"flat", flat, Lossless, Lossless},
	} {
		got, small := Loss(test.luma, width, height, 160, 90)
		if got < test.least || got > test.most || len(small) != 160*90 {
			t.Errorf("%s: got %.1f dB, %d samples, want %g to %g dB", test.name, got, len(small), test.least, test.most)
		}
	}
	for _, bad := range [][5]int{{0, 0, 1, 1, 1}, {10, 10, 10, 11, 10}, {240, 137, 1, 100, 100}, {240, 136, 0, 0, 0}} {
		if got, small := Loss(smooth, bad[0], bad[1], bad[3], bad[4]); got != 0 || small != nil {
			t.Errorf("%v: got %g, %d samples", bad, got, len(small))
		}
	}
	if got := resize([]byte{9}, 1, 1, 1, 1); len(got) != 1 || got[0] != 9 {
		t.Errorf("one sample: got %v", got)
	}
}

func BenchmarkLoss(b *testing.B) {
	luma := make([]byte, 1920*1080)
	for i := range luma {
		luma[i] = byte(i * 7)
	}
	for b.Loop() {
		Loss(luma, 1920, 1080, 1280, 720)
	}
}
