package ffmpeg

import (
	"fmt"
	"strconv"
	"strings"

	"liuyun/internal/base/timebase"
)

// Region is a rectangle of an output's picture, in its pixels, whose quantiser is
// moved by QP steps: below 0 is better. Of regions that lie over each other the
// first one counts.
type Region struct {
	X      int     `json:"x"`
	Y      int     `json:"y"`
	Width  int     `json:"width"`
	Height int     `json:"height"`
	QP     float64 `json:"qp"`
}

// RegionSpan is the regions of an output from a frame on, until the next span.
type RegionSpan struct {
	From    int      `json:"from"` // frame of the output, counted from the unit's first
	Regions []Region `json:"regions"`
}

// addroi's offset of 1 stands for so many steps of QP: encoders count 12 more, below
// 0, in pictures of 10 bits.
const (
	qpSteps    = 51
	qpStepsTen = 63
)

// MaxRegions is how many regions all spans of all outputs of a unit may have
// together. They are in one argument, which Linux bounds at 128 KiB, at up to 36
// bytes each.
const MaxRegions = 2400

// filters are the regions of one span for pictures of an output.
func (s RegionSpan) filters(tenBit bool) []string {
	steps := float64(qpSteps)
	if tenBit {
		steps = qpStepsTen
	}
	list := make([]string, len(s.Regions))
	for i, r := range s.Regions {
		list[i] = fmt.Sprintf("addroi=%d:%d:%d:%d:%s", r.X, r.Y, r.Width, r.Height, decimal(r.QP/steps))
	}
	if len(list) == 0 {
		return []string{"null"}
	}
	return list
}

// withRegions continues the branch that ends at label in the graph, rate frames a
// second, and returns the label of the new end. Nothing can change the regions of
// a chain on the way, so each span has one of its own: frames are handed to them by
// number, and numbered anew where they come together, which rounds their times.
func (o Output) withRegions(parts []string, label string, rate timebase.Rational) ([]string, string) {
	spans := o.Regions
	if len(spans) == 0 {
		return parts, label
	}
	end := label + "r"
	if len(spans) == 1 {
		return append(parts, chain(label, spans[0].filters(o.TenBit), end)), end
	}
	cuts := make([]string, 0, len(spans)-1)
	heads := make([]string, len(spans))
	var joined strings.Builder
	for i, s := range spans {
		if i > 0 {
			cuts = append(cuts, strconv.Itoa(s.From))
		}
		heads[i] = fmt.Sprintf("%sa%d", label, i)
	}
	parts = append(parts, chain(label, []string{"segment=frames=" + strings.Join(cuts, "|")}, heads...))
	for i, s := range spans {
		tail := fmt.Sprintf("%sb%d", label, i)
		parts = append(parts, chain(heads[i], s.filters(o.TenBit), tail))
		joined.WriteString("[" + tail + "]")
	}
	return append(parts, fmt.Sprintf("%sconcat=n=%d,settb=expr=%s,setpts=N[%s]", joined.String(), len(spans), rate.Inv(), end)), end
}
