package compare

import (
	"cmp"
	"math"
	"slices"

	"liuyun/internal/video/compare/report"
)

// frameScore is what the metrics say of one frame.
type frameScore struct {
	time   float64 // seconds from the first frame of the reference
	scores []float64
}

// summary is what one metric says of a film.
func summary(frames []frameScore, metric int) report.Score {
	s := report.Score{Worst: math.Inf(1)}
	values := make([]float64, len(frames))
	for i, f := range frames {
		value := f.scores[metric]
		values[i] = value
		s.Mean += (value - s.Mean) / float64(i+1)
		if value < s.Worst {
			s.Worst, s.WorstAt = value, f.time
		}
	}
	slices.Sort(values)
	s.P5 = values[max(0, int(math.Ceil(0.05*float64(len(values))))-1)] // nearest rank
	return s
}

// perShot adds the mean of the first metric to what each shot was given.
func perShot(spent []report.Spent, shots []report.Shot, frames []frameScore) {
	count := make([]float64, len(shots))
	for _, f := range frames {
		n := shotAt(shots, f.time)
		count[n]++
		spent[n].Score += (f.scores[0] - spent[n].Score) / count[n]
	}
	for i := range spent {
		if count[i] == 0 {
			spent[i].Score = math.NaN()
		}
	}
}

// shotAt is the shot that a time falls into.
func shotAt(shots []report.Shot, time float64) int {
	n, found := slices.BinarySearchFunc(shots, time, func(s report.Shot, t float64) int { return cmp.Compare(s.Start, t) })
	if found {
		return n
	}
	return max(0, n-1)
}

// apart is how far, in seconds, frames that are shown are from each other at least.
const apart = 0.7

// worst chooses the frames that a page shows: each encode in turn gives its worst,
// each from a shot of its own while there are any, until there are count. They come
// in the order of time.
func worst(all [][]frameScore, shots []report.Shot, count int) []report.Moment {
	type candidate struct {
		report.Moment
		score float64
	}
	queues := make([][]candidate, len(all))
	for i, frames := range all {
		least := make(map[int]candidate) // a shot
		for _, f := range frames {
			shot := shotAt(shots, f.time)
			if c, known := least[shot]; !known || f.scores[0] < c.score {
				least[shot] = candidate{report.Moment{Time: f.time, Encode: i}, f.scores[0]}
			}
		}
		for _, c := range least {
			queues[i] = append(queues[i], c)
		}
		slices.SortFunc(queues[i], func(a, b candidate) int {
			return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.Time, b.Time))
		})
	}
	var chosen []report.Moment
	for left := true; left && len(chosen) < count; {
		left = false
		for i := range queues {
			for len(queues[i]) > 0 && len(chosen) < count {
				c := queues[i][0]
				queues[i] = queues[i][1:]
				if !slices.ContainsFunc(chosen, func(m report.Moment) bool { return math.Abs(m.Time-c.Time) < apart }) {
					chosen = append(chosen, c.Moment)
					left = true
					break
				}
			}
		}
	}
	slices.SortFunc(chosen, func(a, b report.Moment) int { return cmp.Compare(a.Time, b.Time) })
	return chosen
}

// scoreAt is the score of the frame at a time, or NaN where none within reach was
// compared.
func scoreAt(frames []frameScore, time, reach float64) float64 {
	n, _ := slices.BinarySearchFunc(frames, time, func(f frameScore, t float64) int { return cmp.Compare(f.time, t) })
	best, score := reach, math.NaN()
	for _, f := range frames[max(0, n-1):min(len(frames), n+1)] {
		if d := math.Abs(f.time - time); d <= best {
			best, score = d, f.scores[0]
		}
	}
	return score
}
