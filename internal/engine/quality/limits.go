package quality

import (
	"time"

	"liuyun/internal/kit/proc"
)

// Limits bound a child that decodes so many frames of so many pixels: what the slowest
// codec could need, so that a file made to hurt ends. The time on the clock is not
// bounded: whoever takes the pictures may be slower than the child.
func Limits(pixels, frames int) proc.Limits {
	const (
		base         = 2 * time.Minute
		perMegapixel = time.Second // for a million pixels
		memory       = 3 << 30
		perPixel     = 400 // bytes: reference frames, filters
	)
	megapixels := max(float64(pixels), 1920*1080) / 1e6 * float64(max(frames, 1000))
	return proc.Limits{
		CPU:    base + time.Duration(megapixels*float64(perMegapixel)),
		Memory: memory + int64(pixels)*perPixel,
		Files:  256,
	}
}
