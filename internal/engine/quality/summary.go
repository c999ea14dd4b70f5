package quality

import (
	"math"
	"slices"
)

// Metric is the scores of one model, or of XPSNR, and what they come to.
type Metric struct {
	Name     string  `json:"name"`
	Mean     float64 `json:"mean"`
	Harmonic float64 `json:"harmonic_mean"` // of score + 1, less 1, as libvmaf's
	P5       float64 `json:"p5"`            // the score that 5 % of the frames do not reach
	Worst    []Score `json:"worst"`         // the five lowest, the lowest first
	Frames   []Score `json:"frames"`        // in order of presentation
}

// Score is a frame's: its number in the video, its time from the first frame,
// and the score.
type Score struct {
	Frame   int     `json:"frame"`
	Seconds float64 `json:"seconds"`
	Value   float64 `json:"value"`
}

// worstFrames is how many of the lowest a Metric lists.
const worstFrames = 5

// summarise fills all but Name and Frames, of which there is at least one.
func (m *Metric) summarise() {
	lowest := slices.Clone(m.Frames)
	slices.SortStableFunc(lowest, func(a, b Score) int {
		switch {
		case a.Value < b.Value:
			return -1
		case a.Value > b.Value:
			return 1
		}
		return 0
	})
	sum, inverse := 0.0, 0.0
	for _, s := range m.Frames {
		sum += s.Value
		inverse += 1 / (max(s.Value, 0) + 1)
	}
	n := float64(len(m.Frames))
	m.Mean, m.Harmonic = sum/n, n/inverse-1
	m.P5 = percentile(lowest, 0.05)
	m.Worst = slices.Clone(lowest[:min(worstFrames, len(lowest))])
}

// percentile of sorted scores, between neighbours by straight lines.
func percentile(sorted []Score, share float64) float64 {
	at := share * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low].Value + (at-float64(low))*(sorted[high].Value-sorted[low].Value)
}
