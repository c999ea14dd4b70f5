package quality

import "fmt"

// SSIM is the mean structural similarity of two planes, 1 where they are the
// same (Wang and others, "Image quality assessment: from error visibility to
// structural similarity", 2004), over windows of 8×8 samples that overlap by
// half and count alike, as ffmpeg's and x264's do. Errors wrap ErrPlanes.
func SSIM(ref, dis Plane) (float64, error) {
	if err := alike(&ref, &dis); err != nil {
		return 0, err
	}
	columns, rows := ref.Width/4, ref.Height/4
	if columns < 2 || rows < 2 {
		return 0, fmt.Errorf("%w: %d×%d hold no window of 8×8", ErrPlanes, ref.Width, ref.Height)
	}
	above, below := make([]ssimSums, columns), make([]ssimSums, columns)
	peak := float64(int(1)<<ref.Depth - 1)
	total := 0.0
	for row := range rows {
		above, below = below, above
		for x := range columns {
			below[x] = ssimBlock(&ref, &dis, 4*x, 4*row)
		}
		if row == 0 {
			continue
		}
		for x := range columns - 1 {
			w := above[x].plus(above[x+1]).plus(below[x]).plus(below[x+1])
			total += w.similarity(peak)
		}
	}
	return total / float64((columns-1)*(rows-1)), nil
}

// ssimSums are of the samples of a block, of their squares together, and of
// their products.
type ssimSums struct{ a, b, squares, products int64 }

func (s ssimSums) plus(o ssimSums) ssimSums {
	return ssimSums{s.a + o.a, s.b + o.b, s.squares + o.squares, s.products + o.products}
}

func ssimBlock(ref, dis *Plane, x, y int) (s ssimSums) {
	for j := y; j < y+4; j++ {
		for i := x; i < x+4; i++ {
			a, b := int64(ref.at(i, j)), int64(dis.at(i, j))
			s.a += a
			s.b += b
			s.squares += a*a + b*b
			s.products += a * b
		}
	}
	return s
}

func (s ssimSums) similarity(peak float64) float64 {
	const n = 64 // samples in a window
	// Variances are of a sample, hence n·(n-1); means are not divided.
	c1, c2 := float64(0.0001*peak*peak)*n*n, float64(0.0009*peak*peak)*n*(n-1)
	variances := float64(s.squares*n - s.a*s.a - s.b*s.b)
	covariance := float64(s.products*n - s.a*s.b)
	return (float64(2*s.a*s.b) + c1) * (2*covariance + c2) /
		((float64(s.a*s.a+s.b*s.b) + c1) * (variances + c2))
}
