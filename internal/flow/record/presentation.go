package record

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/window"
)

// presentation is what was recorded, in order: rows of segments that all renditions
// share.
type presentation struct {
	rows       []*window.Row
	breaks     []bool // a discontinuity comes before the row
	renditions []*rendition
}

// rendition is one track of it. cells and inits have one entry a row.
type rendition struct {
	name  string
	cells []*window.Cell    // nil where nothing is there
	inits []*window.Section // what the cell is decoded with, or a cell near a gap
	size  int64
}

// described is what is said of a rendition as a whole: that of its end.
func (r *rendition) described() *window.Section { return r.inits[len(r.inits)-1] }

func (r *rendition) picture() bool { return r.described().Channels == 0 }

// errNothing says that there is nothing to play.
func errNothing() error {
	return fault.New(fault.NotFound, "nothing was recorded: the stream had no media in that time, or it could not be stored")
}

// assemble puts together what the index says. Rows are in order and have their first
// cell.
func assemble(sections map[section]window.Section, rows []*window.Row) (*presentation, error) {
	p := &presentation{}
	byName := map[string]*rendition{}
	for _, row := range rows {
		if len(p.rows) > 0 && row.Number <= p.rows[len(p.rows)-1].Number {
			continue // written twice
		}
		n := len(p.rows)
		p.rows = append(p.rows, row)
		for i := range row.Cells {
			c := &row.Cells[i]
			described, known := sections[section{c.Rendition, c.Init}]
			if c.Gap || c.Hidden || !known {
				continue
			}
			r := byName[c.Rendition]
			if r == nil {
				r = &rendition{name: c.Rendition}
				byName[c.Rendition] = r
				p.renditions = append(p.renditions, r)
			}
			r.pad(n)
			r.cells, r.inits = append(r.cells, c), append(r.inits, &described)
			r.size += c.Size
		}
	}
	if len(p.renditions) == 0 {
		return nil, errNothing()
	}
	for _, r := range p.renditions {
		r.pad(len(p.rows))
		r.fillInits()
	}
	// Pictures before sound, each in the order in which they came.
	slices.SortStableFunc(p.renditions, func(a, b *rendition) int {
		return cmp.Compare(a.described().Channels, b.described().Channels)
	})
	p.findBreaks()
	return p, nil
}

// pad says that nothing is there up to a row.
func (r *rendition) pad(n int) {
	for len(r.cells) < n {
		r.cells, r.inits = append(r.cells, nil), append(r.inits, nil)
	}
}

// fillInits gives gaps the section of what is before them, or after.
func (r *rendition) fillInits() {
	first := slices.IndexFunc(r.inits, func(s *window.Section) bool { return s != nil })
	before := r.inits[first]
	for i, s := range r.inits {
		if s == nil {
			r.inits[i] = before
		} else {
			before = s
		}
	}
}

func (p *presentation) findBreaks() {
	p.breaks = make([]bool, len(p.rows))
	for i := 1; i < len(p.rows); i++ {
		p.breaks[i] = p.rows[i].Discontinuity || p.rows[i].Number != p.rows[i-1].Number+1
		for _, r := range p.renditions {
			p.breaks[i] = p.breaks[i] || r.inits[i].Number != r.inits[i-1].Number
		}
	}
}

// lead is the first cell of a row.
func (p *presentation) lead(i int) *window.Cell { return &p.rows[i].Cells[0] }

// lasts is how long it plays.
func (p *presentation) lasts() (sum time.Duration) {
	for i := range p.rows {
		sum += p.lead(i).Duration
	}
	return sum
}

// target is the longest segment, in whole seconds.
func (p *presentation) target() time.Duration {
	longest := time.Second
	for _, r := range p.renditions {
		for i := range r.cells {
			longest = max(longest, p.cellLasts(r, i))
		}
	}
	return (longest + time.Second - 1).Truncate(time.Second)
}

// cellLasts is how long a cell is, and a gap as long as what leads.
func (p *presentation) cellLasts(r *rendition, i int) time.Duration {
	if c := r.cells[i]; c != nil {
		return c.Duration
	}
	return p.lead(i).Duration
}

// gaps counts the breaks at which time is missing, and sums it.
func (p *presentation) gaps() (count int, missing time.Duration) {
	const slack = 500 * time.Millisecond // of clocks
	for i := 1; i < len(p.rows); i++ {
		before, now := p.lead(i-1), p.lead(i)
		if before.Time.IsZero() || now.Time.IsZero() {
			continue
		}
		if away := now.Time.Sub(before.End()); p.breaks[i] && away > slack {
			count++
			missing += away
		}
	}
	return count, missing
}

// family is what a codec is called, without its profile.
func family(codec string) string {
	name, _, _ := strings.Cut(codec, ".")
	switch name {
	case "avc1", "avc3":
		return "h264"
	case "hvc1", "hev1":
		return "hevc"
	case "av01":
		return "av1"
	case "mp4a":
		return "aac"
	}
	return strings.ToLower(name)
}
