package quality

import "math"

// PSNR is 10·log10(peak² / mean squared error) in dB of two planes of the same
// size and depth, with the peak at all bits set; +Inf where they are the same.
// Errors wrap ErrPlanes.
func PSNR(ref, dis Plane) (float64, error) {
	if err := alike(&ref, &dis); err != nil {
		return 0, err
	}
	sum := uint64(0)
	for y := range ref.Height {
		sum += squaredError(&ref, &dis, 0, y, ref.Width, 1)
	}
	return decibels(float64(sum)/float64(ref.Width*ref.Height), ref.Depth), nil
}

// decibels is a mean squared error below the peak of depth bits.
func decibels(mse float64, depth int) float64 {
	peak := float64(int(1)<<depth - 1)
	return 10 * math.Log10(peak*peak/mse)
}

// squaredError adds up the squares of the differences in a block.
func squaredError(a, b *Plane, x, y, w, h int) uint64 {
	sum := uint64(0)
	for i := y; i < y+h; i++ {
		if a.Depth == 8 {
			p, q := a.Pix[i*a.Stride+x:][:w], b.Pix[i*b.Stride+x:][:w]
			for j, v := range p {
				d := int32(v) - int32(q[j])
				sum += uint64(d * d)
			}
			continue
		}
		p, q := a.Pix[i*a.Stride+2*x:][:2*w], b.Pix[i*b.Stride+2*x:][:2*w]
		for j := 0; j < 2*w; j += 2 {
			d := int64(uint16(p[j])|uint16(p[j+1])<<8) - int64(uint16(q[j])|uint16(q[j+1])<<8)
			sum += uint64(d * d)
		}
	}
	return sum
}

// at is the sample at x, y.
func (p *Plane) at(x, y int) int {
	if p.Depth == 8 {
		return int(p.Pix[y*p.Stride+x])
	}
	i := y*p.Stride + 2*x
	return int(p.Pix[i]) | int(p.Pix[i+1])<<8
}
