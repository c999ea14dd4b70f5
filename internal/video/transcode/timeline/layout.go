package timeline

import (
	"math"
	"slices"
	"time"

	"liuyun/internal/base/timebase"
)

// SegmentRange is how long segments may be.
type SegmentRange struct{ Least, Most time.Duration }

// Layout is where the timeline is cut: at Segments, the same for every
// rendition, and at Units, which are some of them. Both are lists of first
// frames, from 0, without the end.
type Layout struct {
	Segments []int
	Units    []int
	End      int
}

// Weights of the layout. A cut where no shot changes costs an intra picture
// that nobody needed; a unit costs the start of a process and what is decoded
// before its first frame.
const (
	strayCut     = 1.0  // a segment that does not begin at a shot change
	lengthWeight = 0.08 // times (seconds away from the middle of the range)²
	unitStray    = 4.0  // a unit that does not begin at a shot change
	unitTarget   = 9.0  // seconds
	unitLength   = 0.05 // times (seconds away from unitTarget)²
	unitLeast    = 2.0  // seconds
	unitMost     = 20.0 // seconds
	prerollCost  = 0.6  // a second decoded in vain
	grid         = 2    // candidate cuts a second where no shot changes
)

// NewLayout cuts count frames. shots are the first frames of new shots; align
// is the frame step that every rendition can cut at. preroll tells how many
// seconds are decoded in vain when a unit begins at a frame.
func NewLayout(count int, rate timebase.Rational, within SegmentRange, shots []int, align int, preroll func(frame int) float64) Layout {
	fps := rate.Float()
	cuts := cutCandidates(count, fps, shots, align)
	least, most := within.Least.Seconds(), within.Most.Seconds()
	target := (least + most) / 2
	segments := cheapestCuts(cuts, fps, least, most, func(from, to cut) float64 {
		length := float64(to.frame-from.frame) / fps
		cost := lengthWeight * (length - target) * (length - target)
		if !to.shot {
			cost += strayCut
		}
		return cost
	})
	units := cheapestCuts(segments, fps, unitLeast, max(unitMost, most), func(from, to cut) float64 {
		length := float64(to.frame-from.frame) / fps
		cost := unitLength * (length - unitTarget) * (length - unitTarget)
		if !to.end {
			cost += prerollCost * preroll(to.frame)
			if !to.shot {
				cost += unitStray
			}
		}
		return cost
	})
	return Layout{Segments: starts(segments), Units: starts(units), End: count}
}

// cut is a place where the timeline may be cut.
type cut struct {
	frame int
	shot  bool
	end   bool // the end of the timeline, no cut
}

func starts(cuts []cut) []int {
	list := make([]int, 0, len(cuts))
	for _, c := range cuts {
		if !c.end {
			list = append(list, c.frame)
		}
	}
	return list
}

// cutCandidates are the start, the shot changes, a regular grid, and the end.
func cutCandidates(count int, fps float64, shots []int, align int) []cut {
	var cuts []cut
	cuts = append(cuts, cut{frame: 0, shot: true})
	for _, shot := range shots {
		if aligned := (shot + align - 1) / align * align; aligned > 0 && aligned < count {
			cuts = append(cuts, cut{frame: aligned, shot: true})
		}
	}
	for i := 1; ; i++ {
		frame := int(math.Round(float64(i)*fps/grid/float64(align))) * align
		if frame >= count {
			break
		}
		if frame > 0 {
			cuts = append(cuts, cut{frame: frame})
		}
	}
	slices.SortStableFunc(cuts, func(a, b cut) int {
		if a.frame != b.frame {
			return a.frame - b.frame
		}
		if a.shot == b.shot {
			return 0
		}
		if a.shot {
			return -1
		}
		return 1
	})
	cuts = slices.CompactFunc(cuts, func(a, b cut) bool { return a.frame == b.frame })
	return append(cuts, cut{frame: count, shot: true, end: true})
}

// cheapestCuts chooses from candidates (the first is the start, the last the
// end) so that neighbours are least…most seconds apart and the sum of cost is
// least. Where that cannot be, as in a source shorter than least, a length
// below least is taken at a high price; none above most ever is unless two
// candidates lie further apart.
func cheapestCuts(candidates []cut, fps, least, most float64, cost func(from, to cut) float64) []cut {
	const tooShort = 1000.0
	n := len(candidates)
	best := make([]float64, n)
	from := make([]int, n)
	slack := 0.5 / fps
	for i := 1; i < n; i++ {
		best[i], from[i] = math.Inf(1), i-1
		for j := i - 1; j >= 0; j-- {
			length := float64(candidates[i].frame-candidates[j].frame) / fps
			if length > most+slack && j < i-1 {
				break
			}
			price := best[j] + cost(candidates[j], candidates[i])
			if length < least-slack {
				price += tooShort * (least - length)
			}
			if price < best[i] {
				best[i], from[i] = price, j
			}
		}
	}
	var chosen []cut
	for i := n - 1; ; i = from[i] {
		chosen = append(chosen, candidates[i])
		if i == 0 {
			break
		}
	}
	slices.Reverse(chosen)
	return chosen
}

// AtShots is the layout with a unit at every segment that begins with a shot, too:
// what is encoded again to make one shot better or worse has few others in it.
// shots are the first frames of new shots, rising.
func (l Layout) AtShots(shots []int) Layout {
	var units []int
	for _, frame := range l.Segments {
		_, before := slices.BinarySearch(l.Units, frame)
		if _, shot := slices.BinarySearch(shots, frame); shot || before {
			units = append(units, frame)
		}
	}
	l.Units = units
	return l
}

// units returns the frame ranges [from, to) of the encode units.
func (l Layout) UnitRanges() [][2]int { return ranges(l.Units, l.End) }

// segments returns the frame ranges [from, to) of the segments.
func (l Layout) SegmentRanges() [][2]int { return ranges(l.Segments, l.End) }

// SegmentsIn returns the first frames of the segments in [from, to).
func (l Layout) SegmentsIn(from, to int) []int {
	i, _ := slices.BinarySearch(l.Segments, from)
	j, _ := slices.BinarySearch(l.Segments, to)
	return l.Segments[i:j]
}

func ranges(starts []int, end int) [][2]int {
	list := make([][2]int, len(starts))
	for i, start := range starts {
		next := end
		if i+1 < len(starts) {
			next = starts[i+1]
		}
		list[i] = [2]int{start, next}
	}
	return list
}
