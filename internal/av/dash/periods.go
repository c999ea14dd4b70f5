package dash

import (
	"fmt"
	"strconv"
	"time"

	"github.com/Eyevinn/dash-mpd/mpd"
)

// Recording is a finished presentation of what was once live: a period for each
// stretch without a gap, on the timelines that the media has. What was not recorded
// between two of them is left out.
type Recording struct {
	MinBuffer time.Duration // see [Presentation]
	Periods   []Period
}

// Period is one stretch.
type Period struct {
	Duration time.Duration
	Video    []VideoSet
	Audio    []AudioSet
}

// AppendTo appends the manifest to dst. On an error dst is returned as it was.
func (r *Recording) AppendTo(dst []byte) ([]byte, error) {
	var periods []*mpd.Period
	var at, longest time.Duration
	if r.MinBuffer <= 0 || len(r.Periods) == 0 {
		return dst, fmt.Errorf("manifest: least buffer of %v, %d periods", r.MinBuffer, len(r.Periods))
	}
	for i, p := range r.Periods {
		if p.Duration <= 0 || len(p.Video)+len(p.Audio) == 0 {
			return dst, fmt.Errorf("manifest: period %d: lasts %v, %d sets", i, p.Duration, len(p.Video)+len(p.Audio))
		}
		if err := newChecker().sets(p.Video, p.Audio); err != nil {
			return dst, fmt.Errorf("manifest: period %d: %w", i, err)
		}
		b := newBuilder(strconv.Itoa(i+1), at)
		b.fill(p.Video, p.Audio)
		b.period.Duration = duration(p.Duration)
		periods, longest = append(periods, b.period), max(longest, b.longest)
		// Written times are whole milliseconds; the next period begins where this one ends.
		at += time.Duration(*b.period.Duration)
	}
	return write(dst, at, r.MinBuffer, longest, periods)
}
