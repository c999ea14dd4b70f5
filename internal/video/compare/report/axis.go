package report

import (
	"math"
	"strconv"
)

// Sizes of drawings in pixels. Each is drawn twice, for a wide page and for a
// phone, so that letters and lines have their size on both.
const (
	wideWidth   = 1000
	narrowWidth = 360
)

// frame is where a drawing has its plot.
type frame struct {
	Wide                     bool
	Width, Height            px
	Left, Right, Top, Bottom px // edges of the plot
}

// newFrame is a drawing with room for the numbers at its left and below.
func newFrame(wide bool, height, top, right px) frame {
	f := frame{Wide: wide, Width: narrowWidth, Height: height, Left: 44, Top: top, Bottom: height - 26}
	f.Right = f.Width - min(right, 10)
	if wide {
		f.Width, f.Left = wideWidth, 52
		f.Right = f.Width - right
	}
	return f
}

// tick is a place on an axis with what is written there.
type tick struct {
	At   px
	Text string
}

// span is a range of values on a range of pixels.
type span struct {
	from, to float64
	start    px
	end      px
	log      bool
}

func (s span) at(value float64) px {
	from, to := s.from, s.to
	if s.log {
		value, from, to = math.Log(value), math.Log(from), math.Log(to)
	}
	if to <= from {
		return s.start
	}
	return s.start + (s.end-s.start)*px((value-from)/(to-from))
}

// round is the round step – 1, 2 or 5 times a power of ten – that gives about n
// steps over a range.
func round(over float64, n int) float64 {
	if !(over > 0) || math.IsInf(over, 0) {
		return 1
	}
	raw := over / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw*0.999 {
			return m * power
		}
	}
	return 10 * power
}

// linear is an upward axis that holds all values, between round numbers.
func linear(least, most float64, f frame, steps int) (span, []tick) {
	step := round(max(most-least, math.Abs(most)*0.01, 1e-6), steps)
	low, high := math.Floor(least/step+1e-9)*step, math.Ceil(most/step-1e-9)*step
	if high <= low {
		high = low + step
	}
	s := span{from: low, to: high, start: f.Bottom, end: f.Top}
	digits := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
	var ticks []tick
	for i := 0; i <= int(math.Round((high-low)/step)); i++ {
		value := low + float64(i)*step
		ticks = append(ticks, tick{s.at(value), strconv.FormatFloat(value, 'f', digits, 64)})
	}
	return s, ticks
}

// rates is the axis of bit rates: logarithmic, because half the bits is as much
// anywhere.
func rates(least, most float64, f frame) (span, []tick) {
	least, most = max(1, least)/1.18, max(1, most)*1.18
	for most/least < 2.5 {
		least, most = least/1.1, most*1.1
	}
	s := span{from: least, to: most, start: f.Left, end: f.Right, log: true}
	marks := []float64{1, 2, 5}
	if most/least < 6 {
		marks = []float64{1, 1.5, 2, 3, 4, 5, 6, 8}
	}
	var ticks []tick
	for power := math.Pow(10, math.Floor(math.Log10(least))); power <= most; power *= 10 {
		for _, m := range marks {
			if value := m * power; value >= least && value <= most {
				ticks = append(ticks, tick{s.at(value), shortRate(value)})
			}
		}
	}
	return s, ticks
}

// shortRate is a round bit rate with as few letters as it needs.
func shortRate(bits float64) string {
	if bits >= 1e6 {
		return strconv.FormatFloat(bits/1e6, 'g', 4, 64) + " Mb/s"
	}
	return strconv.FormatFloat(bits/1e3, 'g', 4, 64) + " kb/s"
}

// clock is the axis of time.
func clock(duration float64, f frame) (span, []tick) {
	duration = max(duration, 0.1)
	s := span{from: 0, to: duration, start: f.Left, end: f.Right}
	most := 10
	if !f.Wide {
		most = 5
	}
	step := 3600.0
	for _, candidate := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600} {
		if duration/candidate <= float64(most) {
			step = candidate
			break
		}
	}
	for duration/step > float64(most) {
		step *= 2
	}
	var ticks []tick
	for at := 0.0; at <= duration; at += step {
		if s.at(at) <= f.Right-12 || at == 0 {
			ticks = append(ticks, tick{s.at(at), clockText(at)})
		}
	}
	return s, ticks
}
