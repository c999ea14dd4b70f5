package compare

import (
	"math"

	"liuyun/internal/contract/encode"
	"liuyun/internal/video/compare/report"
)

// Numbers are d without its pictures and lines, for scripts.
func Numbers(d *report.Data) encode.Comparison {
	c := encode.Comparison{
		Reference: numbersOf(d.Reference), Every: d.Every, Shots: []encode.ComparedShot{}, Encodes: []encode.ComparedEncode{}, BDRate: []encode.ComparedSaving{},
	}
	for _, s := range d.Shots {
		c.Shots = append(c.Shots, encode.ComparedShot(s))
	}
	for _, e := range d.Encodes {
		one := encode.ComparedEncode{ComparedVideo: numbersOf(e.Video), Group: e.Group, Scores: []encode.ComparedScore{}, Shots: []encode.ComparedSpent{}}
		for k, score := range e.Scores {
			m := d.Metrics[k]
			one.Scores = append(one.Scores, encode.ComparedScore{Metric: m.Name, Unit: m.Unit, Mean: score.Mean, P5: score.P5, Worst: score.Worst, WorstAt: score.WorstAt})
		}
		for _, spent := range e.Shots {
			shot := encode.ComparedSpent{Bytes: spent.Bytes}
			if !math.IsNaN(spent.Score) {
				shot.Score = &spent.Score
			}
			one.Shots = append(one.Shots, shot)
		}
		c.Encodes = append(c.Encodes, one)
	}
	for _, s := range d.Savings {
		c.BDRate = append(c.BDRate, encode.ComparedSaving{Group: s.Group, Against: s.Against, Metric: s.Metric, Percent: s.Rate})
	}
	return c
}

func numbersOf(v report.Video) encode.ComparedVideo {
	n := encode.ComparedVideo{Name: v.Name, Codec: v.Codec, Width: v.Width, Height: v.Height, FrameRate: v.FrameRate, Duration: v.Duration, Bytes: v.Bytes}
	if v.Duration > 0 {
		n.BitRate = int64(math.Round(8 * float64(v.Bytes) / v.Duration))
	}
	return n
}
