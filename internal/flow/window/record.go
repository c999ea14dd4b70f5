package window

import (
	"context"
	"io"
	"time"

	"liuyun/internal/base/timebase"
)

// Row is what one number of segments has: a moment of the stream in each rendition.
// It stands in the index of a recording.
type Row struct {
	Number        int64 `json:"number"`
	Discontinuity bool  `json:"discontinuity,omitempty"` // between the row before and this one
	// Cells are in the order of the renditions. The first leads; where it is a gap,
	// nothing is known of that moment.
	Cells []Cell `json:"cells"`
}

// Cell is the segment of one rendition, which [Group.Open] opens as [Cell.Name].
type Cell struct {
	Rendition string    `json:"rendition"`
	Number    int64     `json:"number"`
	Init      int64     `json:"init"`          // number of the section that it is decoded with, see [Group.Section]
	Time      time.Time `json:"time,omitzero"` // of day of its first sample; zero is unknown
	// Start is the decode time of its first sample in ticks of Clock, which is 0 where a
	// version before wrote it that did not note them.
	Start     int64         `json:"start"`
	Begin     int64         `json:"begin"` // when that sample is presented
	Clock     int64         `json:"clock"`
	Duration  time.Duration `json:"duration"`
	Size      int64         `json:"size"`
	Gap       bool          `json:"gap,omitempty"`       // nothing is there
	Still     bool          `json:"still,omitempty"`     // nobody sent it: it repeats a picture
	Dependent bool          `json:"dependent,omitempty"` // it begins without a key frame
	Hidden    bool          `json:"hidden,omitempty"`    // players are not offered it, see [Plan]
}

// Name is the name of the segment's file.
func (c *Cell) Name() string { return segmentURI(c.Number) }

// End is the time of day at which it ends; zero is unknown.
func (c *Cell) End() time.Time {
	if c.Time.IsZero() {
		return c.Time
	}
	return c.Time.Add(c.Duration)
}

// Section is what the segments of a rendition are decoded with.
type Section struct {
	Number   int64             `json:"number"` // its file is named after it
	Codec    string            `json:"codec"`  // RFC 6381
	Width    int               `json:"width,omitempty"`
	Height   int               `json:"height,omitempty"`
	Rate     timebase.Rational `json:"rate,omitzero"`      // of pictures
	Channels int               `json:"channels,omitempty"` // 0 is pictures
	Language string            `json:"language,omitempty"`
}

// Name is the name of the section's file, which [Group.Open] opens.
func (s *Section) Name() string { return initURI(s.Number) }

// Row returns the first row from a number on that is whole in each rendition, and
// waits for it. It is io.EOF when there is none up to the number last and none can
// come; 0 is no last one.
func (g *Group) Row(ctx context.Context, from, last int64) (*Row, error) {
	for {
		row, wait, err := g.row(from, last)
		if row != nil || err != nil {
			return row, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Rows returns those that are whole and end after from and begin before to.
func (g *Group) Rows(from, to time.Time) []*Row {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.renditions) == 0 {
		return nil
	}
	var rows []*Row
	for _, s := range g.renditions[0].listed(g.first) {
		at := time.Unix(0, s.time)
		if s.time != 0 && at.Before(to) && at.Add(s.duration).After(from) && g.complete(s.number) {
			rows = append(rows, g.rowAt(s.number))
		}
	}
	return rows
}

func (g *Group) row(from, last int64) (*Row, <-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if last > 0 && from > last {
		return nil, nil, io.EOF
	}
	if len(g.renditions) > 0 {
		lead := g.renditions[0]
		list := lead.listed(from)
		switch {
		case len(list) > 0 && last > 0 && list[0].number > last:
			return nil, nil, io.EOF
		case len(list) > 0 && g.complete(list[0].number):
			return g.rowAt(list[0].number), nil, nil
		case len(list) == 0 && last > 0 && g.next > last && (lead.open == nil || lead.open.number > last):
			return nil, nil, io.EOF
		}
	} else if last > 0 && g.next > last {
		return nil, nil, io.EOF
	}
	if g.closes == nil {
		g.closes = make(chan struct{})
	}
	return nil, g.closes, nil
}

// laggards is how many segments behind the first a rendition may be; what it has not
// closed then is not waited for.
const laggards = 3

// complete reports whether each rendition has closed the segment of that number, or
// will not.
func (g *Group) complete(number int64) bool {
	newest := number
	if lead := g.renditions[0]; len(lead.segments) > 0 {
		newest = lead.segments[len(lead.segments)-1].number
	}
	if newest-number >= laggards {
		return true
	}
	for _, r := range g.renditions {
		if r.open != nil && r.open.number <= number {
			return false
		}
		if n := len(r.segments); n > 0 && r.segments[n-1].number < number && g.anyOpen() {
			return false
		}
	}
	return true
}

func (g *Group) anyOpen() bool {
	for _, r := range g.renditions {
		if r.open != nil {
			return true
		}
	}
	return false
}

func (g *Group) rowAt(number int64) *Row {
	row := &Row{Number: number}
	for i, r := range g.renditions {
		s := r.find(number)
		if s == nil || s == r.open {
			if i == 0 {
				row.Cells = append(row.Cells, Cell{Rendition: r.name, Number: number, Gap: true})
			}
			continue
		}
		row.Discontinuity = row.Discontinuity || s.discontinuity
		c := Cell{
			Rendition: r.name, Number: number, Init: s.init.Number, Start: s.start, Clock: s.clock,
			Begin: s.begin, Duration: s.duration, Size: s.size, Gap: s.gap, Still: s.still, Dependent: s.dependent,
			Hidden: g.plan.WithoutSource && r.derived == nil && s.init.Channels == 0,
		}
		if s.time != 0 {
			c.Time = time.Unix(0, s.time).UTC()
		}
		row.Cells = append(row.Cells, c)
	}
	return row
}

// Section describes what segments of a rendition are decoded with, or returns false.
func (g *Group) Section(rendition string, number int64) (Section, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.named(rendition)
	if r == nil {
		return Section{}, false
	}
	i := r.initOf(number)
	if i == nil {
		return Section{}, false
	}
	rate := i.Rate
	if i.Channels == 0 && !rate.Valid() {
		rate = r.rate()
	}
	return Section{Number: i.Number, Codec: i.Codec, Width: i.Width, Height: i.Height, Rate: rate, Channels: i.Channels, Language: i.Language}, true
}

// Next is the number of the segment that is opened next, and of the one that is open,
// if one is: from it on a recording that begins now has all.
func (g *Group) Next() (open, next int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	open = g.next
	for _, r := range g.renditions {
		if r.open != nil {
			open = min(open, r.open.number)
		}
	}
	return open, g.next
}

// Hold keeps segments from that number on, though they have left the window, until it
// is moved; 0 keeps nothing. They go all the same where MaxBytes or a full disk want
// it. Another process goes on with it.
func (g *Group) Hold(from int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = from
}

// holds reports whether a segment is not to be deleted.
func (g *Group) holds(number int64) bool { return g.hold > 0 && number >= g.hold }
