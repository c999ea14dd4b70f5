package quality

import "liuyun/internal/av/quality"

// Metrics that Options.Also may name: in dB, and from 0 to 1.
const (
	PSNR = "psnr"
	SSIM = "ssim"
)

func alsoMetrics(names []string) []Metric {
	var list []Metric
	for _, name := range names {
		list = append(list, Metric{Name: name})
	}
	return list
}

// measureAlso scores a pair by the metrics that are wanted besides, pictures that
// are the same with sameXPSNR dB.
func (c *comparison) measureAlso(s sample) ([]float64, error) {
	var values []float64
	for i := range c.also { // its frames belong to whoever adds some
		measure := quality.PSNR
		if c.also[i].Name == SSIM {
			measure = quality.SSIM
		}
		value, err := measure(s.ref.plane, s.dis.plane)
		if err != nil {
			return nil, err
		}
		values = append(values, min(value, sameXPSNR))
	}
	return values, nil
}

// addAlso takes what measureAlso found, in the order of frames.
func (c *comparison) addAlso(at Score, values []float64) {
	for i, value := range values {
		at.Value = value
		c.also[i].Frames = append(c.also[i].Frames, at)
	}
}
