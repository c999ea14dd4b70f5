package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Room at the right of drawings over time, where names stand.
const sideRoom = 148

// mostLines is how many encodes may share one drawing of quality over time.
const mostLines = 6

// timeline is the drawing of quality over time.
type timeline struct {
	frame
	X, Y  []tick
	Name  string // of the metric
	Cuts  []px
	Lines []line
	Marks []mark
}

// line is one encode: its mean in each step of time, and its shade down to the worst.
type line struct {
	Colour      int
	Path, Shade string
	Label       string
	End, LabelY px
}

// mark is a moment that the page shows.
type mark struct {
	Colour, Number int
	X, Y           px
	Title          string
}

// step is what falls into one step of a line.
type step struct {
	x           px
	mean, worst float64
}

// newTimeline draws d; nothing where lines would be too many to tell apart.
func newTimeline(d *Data, colours []int, wide bool) *timeline {
	if len(d.Encodes) > mostLines {
		return nil
	}
	t := &timeline{frame: newFrame(wide, 280, 30, sideRoom), Name: d.Metrics[0].Name}
	if unit := d.Metrics[0].Unit; unit != "" {
		t.Name += ", " + unit
	}
	x, ticks := clock(d.Reference.Duration, t.frame)
	t.X = ticks
	all := make([][]step, len(d.Encodes))
	least, most := math.Inf(1), math.Inf(-1)
	for i, e := range d.Encodes {
		all[i] = steps(e.Line, x)
		for _, s := range all[i] {
			least, most = min(least, s.worst), max(most, s.mean)
		}
	}
	if least > most {
		return nil
	}
	y, marks := linear(least, most, t.frame, 5)
	t.Y = marks
	if len(d.Shots) > 1 && px(len(d.Shots)) < (t.Right-t.Left)/6 {
		for _, s := range d.Shots[1:] {
			t.Cuts = append(t.Cuts, x.at(s.Start))
		}
	}
	for i, e := range d.Encodes {
		if len(all[i]) > 0 {
			t.Lines = append(t.Lines, newLine(all[i], y, colours[i], e.Name, len(d.Encodes) <= 3))
		}
	}
	spread(t.Lines, t.Top, t.Bottom)
	for i, m := range d.Moments {
		score := m.Scores[m.Encode]
		if math.IsNaN(score) {
			continue
		}
		t.Marks = append(t.Marks, mark{
			Colour: colours[m.Encode], Number: i + 1, X: x.at(m.Time), Y: min(t.Bottom, max(t.Top, y.at(score))),
			Title: fmt.Sprintf("%s, %s: %s", timeText(m.Time), d.Encodes[m.Encode].Name, d.Metrics[0].text(score)),
		})
	}
	return t
}

// steps gathers points into steps of two pixels.
func steps(points []Point, x span) []step {
	const wide = 2
	var all []step
	n := 0.0
	last := math.MinInt
	for _, p := range points {
		if math.IsNaN(p.Score) || math.IsInf(p.Score, 0) {
			continue
		}
		slot := int(x.at(p.Time) / wide)
		if slot != last {
			all = append(all, step{x: px(slot*wide) + wide/2, worst: p.Score})
			last, n = slot, 0
		}
		s := &all[len(all)-1]
		n++
		s.mean += (p.Score - s.mean) / n
		s.worst = min(s.worst, p.Score)
	}
	return all
}

func newLine(all []step, y span, colour int, name string, shaded bool) line {
	l := line{Colour: colour, Label: name, End: all[len(all)-1].x}
	var path, shade strings.Builder
	for i, s := range all {
		path.WriteString(move(i == 0, s.x, y.at(s.mean)))
		shade.WriteString(move(i == 0, s.x, y.at(s.mean)))
	}
	for _, s := range slices.Backward(all) {
		shade.WriteString(move(false, s.x, y.at(s.worst)))
	}
	l.Path = path.String()
	if shaded {
		l.Shade = shade.String() + "Z"
	}
	// A name stands where the line ends: at the mean of its last tenth.
	sum, tail := 0.0, all[len(all)*9/10:]
	for _, s := range tail {
		sum += s.mean
	}
	l.LabelY = y.at(sum/float64(len(tail))) + 4
	return l
}

// spread moves names apart that would stand on each other.
func spread(lines []line, top, bottom px) {
	order := make([]*line, len(lines))
	for i := range lines {
		order[i] = &lines[i]
	}
	slices.SortStableFunc(order, func(a, b *line) int { return cmp.Compare(a.LabelY, b.LabelY) })
	low := top
	for _, l := range order {
		l.LabelY = max(l.LabelY, low)
		low = l.LabelY + labelHeight + 1
	}
	high := bottom
	for _, l := range slices.Backward(order) {
		l.LabelY = min(l.LabelY, high)
		high = l.LabelY - labelHeight - 1
	}
}

// skyline is the drawing of the bits that shots were given: a panel an encode.
type skyline struct {
	frame
	X      []tick
	Unit   string
	Panels []panel
}

// panel is one encode. Its bars are as wide as shots are long and as high as their
// bit rate.
type panel struct {
	Colour         int
	Name, Mean     string
	NameY, MeanY   px
	Base           px
	Ticks          []tick
	Bars           []bar
	Title          string
	LeftOf, SideAt px
}

// bar is one shot, or neighbours too short to be told apart.
type bar struct {
	X, Y, Width, Height px
	Title               string
}

// newSkyline draws d; nothing without shots.
func newSkyline(d *Data, colours []int, wide bool) *skyline {
	if len(d.Shots) == 0 {
		return nil
	}
	const title, plot = 32, 60
	s := &skyline{frame: newFrame(wide, px(len(d.Encodes)*(title+plot)+8+26), 8, sideRoom)}
	x, ticks := clock(d.Reference.Duration, s.frame)
	s.X = ticks
	highest := 0.0
	all := make([][]spent, len(d.Encodes))
	for i, e := range d.Encodes {
		all[i] = gather(d, e, x)
		for _, g := range all[i] {
			highest = max(highest, g.rate())
		}
	}
	unit := 1e3
	s.Unit = "kb/s"
	if highest >= 2e6 {
		unit, s.Unit = 1e6, "Mb/s"
	}
	step := round(highest/unit, 2) * unit
	for i, e := range d.Encodes {
		base := s.Top + px((i+1)*(title+plot))
		y := span{from: 0, to: max(1, highest), start: base, end: base - plot}
		p := panel{
			Colour: colours[i], Name: e.Name, Mean: rateText(e.rate()), NameY: base - plot - 8, Base: base, MeanY: y.at(e.rate()),
			LeftOf: s.Left, SideAt: s.Right + 10,
		}
		for value := 0.0; value <= highest*1.001; value += step {
			p.Ticks = append(p.Ticks, tick{y.at(value), strconv.FormatFloat(value/unit, 'g', 4, 64)})
		}
		for _, g := range all[i] {
			from, to := x.at(g.from), x.at(g.to)
			if to-from > 3 {
				to--
			}
			top := min(y.at(g.rate()), base-1)
			p.Bars = append(p.Bars, bar{X: from, Y: top, Width: max(0.5, to-from), Height: base - top, Title: g.title(d, e)})
		}
		s.Panels = append(s.Panels, p)
	}
	return s
}

// spent is what neighbouring shots, [first, last], were given together.
type spent struct {
	first, last int
	from, to    float64
	bytes       int64
	sum, length float64 // of scores, each as long as its shot
}

func (s spent) rate() float64 {
	if s.to <= s.from {
		return 0
	}
	return 8 * float64(s.bytes) / (s.to - s.from)
}

// gather joins shots until each is wide enough to be seen.
func gather(d *Data, e Encode, x span) []spent {
	const wide = 2.5
	var all []spent
	for i, shot := range d.Shots {
		if i >= len(e.Shots) || shot.End <= shot.Start {
			continue
		}
		if n := len(all); n == 0 || x.at(all[n-1].to)-x.at(all[n-1].from) >= wide {
			all = append(all, spent{first: i, from: shot.Start})
		}
		s := &all[len(all)-1]
		s.last, s.to = i, shot.End
		s.bytes += e.Shots[i].Bytes
		if score := e.Shots[i].Score; !math.IsNaN(score) {
			s.sum += score * (shot.End - shot.Start)
			s.length += shot.End - shot.Start
		}
	}
	return all
}

// title tells of a bar in numbers, which both languages share.
func (s spent) title(d *Data, e Encode) string {
	name := "#" + strconv.Itoa(s.first+1)
	if s.last > s.first {
		name += "–" + strconv.Itoa(s.last+1)
	}
	text := fmt.Sprintf("%s  %s–%s  %s  %s", name, timeText(s.from), timeText(s.to), rateText(s.rate()), sizeText(float64(s.bytes)))
	if s.length > 0 {
		text += "  " + d.Metrics[0].Name + " " + d.Metrics[0].text(s.sum/s.length)
	}
	return text
}
