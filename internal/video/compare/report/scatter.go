package report

import (
	"fmt"
	"slices"
	"strings"
)

// scatter is the drawing of quality over bits.
type scatter struct {
	frame
	X, Y   []tick
	Name   string // of the metric
	Curves []curve
	Dots   []dot
}

// curve joins the encodes of a group.
type curve struct {
	Colour int
	Path   string
}

// dot is an encode: its mean, and the foot of its stem, the 5th percentile.
type dot struct {
	Colour     int
	X, Y, Foot px
	Label      string // "" where there was no room
	LabelX     px
	LabelY     px
	Anchor     string
	Title      string
}

// labelHeight and labelWidth are about the size of a label.
const labelHeight = 15

func labelWidth(text string) px {
	wide := 0
	for _, r := range text {
		wide += 73
		if r >= 0x1100 {
			wide += 52
		}
	}
	return px(wide) / 10
}

// newScatter draws d, or nothing where there is no more than one encode.
func newScatter(d *Data, colours []int, wide bool) *scatter {
	if len(d.Encodes) < 2 {
		return nil
	}
	s := &scatter{frame: newFrame(wide, 380, 30, 24), Name: d.Metrics[0].Name}
	if unit := d.Metrics[0].Unit; unit != "" {
		s.Name += ", " + unit
	}
	leastRate, mostRate := d.Encodes[0].rate(), d.Encodes[0].rate()
	least, most := d.Encodes[0].Scores[0].P5, d.Encodes[0].Scores[0].Mean
	for _, e := range d.Encodes {
		leastRate, mostRate = min(leastRate, e.rate()), max(mostRate, e.rate())
		least, most = min(least, e.Scores[0].P5, e.Scores[0].Mean), max(most, e.Scores[0].P5, e.Scores[0].Mean)
	}
	x, ticks := rates(leastRate, mostRate, s.frame)
	if !wide && len(ticks) > 4 {
		ticks = slices.DeleteFunc(ticks, func(t tick) bool { return !strings.HasPrefix(t.Text, "1") && !strings.HasPrefix(t.Text, "5") })
	}
	y, marks := linear(least, most, s.frame, 6)
	s.X, s.Y = ticks, marks
	groups := make(map[string][]dot)
	var order []string
	for i, e := range d.Encodes {
		score := e.Scores[0]
		one := dot{
			Colour: colours[i], X: x.at(max(1, e.rate())), Y: y.at(score.Mean), Foot: y.at(score.P5), Label: strings.TrimPrefix(e.Name, e.Group+"/"),
			Title: fmt.Sprintf("%s: %s, %s", e.Name, rateText(e.rate()), d.Metrics[0].text(score.Mean)),
		}
		s.Dots = append(s.Dots, one)
		if e.Group != "" {
			if groups[e.Group] == nil {
				order = append(order, e.Group)
			}
			groups[e.Group] = append(groups[e.Group], one)
		}
	}
	for _, name := range order {
		s.Curves = append(s.Curves, join(groups[name]))
	}
	s.label()
	return s
}

// join is the line through the dots of a group, from few bits to many.
func join(dots []dot) curve {
	slices.SortStableFunc(dots, func(a, b dot) int { return int(a.X*10) - int(b.X*10) })
	c := curve{Colour: dots[0].Colour}
	for i, d := range dots {
		c.Path += move(i == 0, d.X, d.Y)
	}
	return c
}

// move is a step of a path.
func move(first bool, x, y px) string {
	if first {
		return "M" + x.String() + " " + y.String()
	}
	return "L" + x.String() + " " + y.String()
}

// box is a place that is taken.
type box struct{ left, top, right, bottom px }

func (b box) meets(o box) bool {
	return b.left < o.right && o.left < b.right && b.top < o.bottom && o.top < b.bottom
}

// place is where a label stands, from its dot.
type place struct {
	anchor string
	x, y   px
}

// places are tried in their order. Curves rise to the right, and would cross what
// stands beside their dots.
func places(curves bool) []place {
	beside := []place{{"start", 11, 4}, {"end", -11, 4}, {"middle", 0, -12}}
	corners := []place{{"end", -8, -8}, {"start", 9, 19}, {"start", 9, -10}, {"end", -9, 19}}
	if curves {
		return append(corners, beside...)
	}
	return append(beside, corners...)
}

// label writes each name beside its dot where nothing else is; a name that finds no
// place is left to the table and the legend.
func (s *scatter) label() {
	var taken []box
	for _, d := range s.Dots {
		taken = append(taken, box{d.X - 6, d.Y - 6, d.X + 6, d.Y + 6}, box{d.X - 2, d.Y, d.X + 2, d.Foot + 3})
	}
	for i := range s.Dots {
		d := &s.Dots[i]
		width := labelWidth(d.Label)
		name := d.Label
		d.Label = ""
		for _, place := range places(len(s.Curves) > 0) {
			x, y := d.X+place.x, d.Y+place.y
			b := box{x, y - labelHeight + 4, x + width, y + 4}
			switch place.anchor {
			case "end":
				b.left, b.right = x-width, x
			case "middle":
				b.left, b.right = x-width/2, x+width/2
			}
			free := b.left > s.Left && b.right < s.Width && b.top > 0 && b.bottom < s.Bottom
			if free && !slices.ContainsFunc(taken, b.meets) {
				d.Label, d.LabelX, d.LabelY, d.Anchor = name, x, y, place.anchor
				taken = append(taken, b)
				break
			}
		}
	}
}
