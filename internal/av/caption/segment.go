package caption

import (
	"fmt"
	"slices"
	"time"
)

// maxCarried is how many cues may be on the screen where one segment ends and
// the next begins. It keeps the sum of all segments in proportion to the file.
const maxCarried = 256

// Segment cuts the track at boundaries, which ascend: segment i holds the cues
// that are on the screen at some time in boundaries[i] ≤ t < boundaries[i+1],
// with their own times, so a cue that spans several is in each of them (RFC
// 8216 3.5). What lies outside all of them is left out. The segments share the
// memory of the track. A track with too many cues at once is an error.
func (t *Track) Segment(boundaries []time.Duration) ([]*Track, error) {
	if len(boundaries) < 2 || !slices.IsSorted(boundaries) {
		return nil, fmt.Errorf("segment captions: %d boundaries do not ascend", len(boundaries))
	}
	segments := make([]*Track, len(boundaries)-1)
	var carried []Cue
	next := 0
	for i := range segments {
		from, to := boundaries[i], boundaries[i+1]
		cues := carried
		for ; next < len(t.Cues) && t.Cues[next].Start < to; next++ {
			if t.Cues[next].End > from {
				cues = append(cues, t.Cues[next])
			}
		}
		segments[i] = &Track{Blocks: t.Blocks, Cues: cues}
		carried = nil
		for _, c := range cues {
			if c.End > to {
				carried = append(carried, c)
			}
		}
		if len(carried) > maxCarried {
			return nil, fmt.Errorf("segment captions: more than %d cues at once at %v", maxCarried, to)
		}
	}
	return segments, nil
}
