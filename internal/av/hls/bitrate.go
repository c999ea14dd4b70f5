package hls

import (
	"math"
	"math/bits"
	"time"
)

// SegmentSize is what a rate is measured from: how long a segment plays and how
// many bytes are fetched for it.
type SegmentSize struct {
	Duration time.Duration
	Bytes    int64
}

// AverageBitrate is the average segment bit rate of a playlist in bits a second
// (rfc8216bis 4.4.6.2, AVERAGE-BANDWIDTH), rounded up. It is 0 when nothing plays.
func AverageBitrate(segments []SegmentSize) int64 {
	var whole span
	for _, s := range segments {
		whole.bytes += s.Bytes
		whole.duration += s.Duration
	}
	return whole.bitsPerSecond()
}

// PeakBitrate is the peak segment bit rate of a playlist in bits a second,
// rounded up: the largest rate of any contiguous set of segments whose total
// duration is between 0.5 and 1.5 times target (rfc8216bis 4.1). Where no set
// that has bytes qualifies, as in a presentation shorter than half the target
// duration, it is the average of the whole.
//
// A set may leave out a short first or last segment, so the peak can lie below
// the average in contrived cases: a BANDWIDTH is the larger of the two.
//
// Time is linear in the segments, times a handful of rounds.
func PeakBitrate(segments []SegmentSize, target time.Duration) int64 {
	p := newPrefixes(segments)
	// Dinkelbach's method: with the best rate known so far as the bar, each
	// round finds the sets that clear it by most, until none clears it. Every
	// round sets the bar at the rate of a real set, so it ends, and quickly.
	var best span
	for {
		next, ok := p.densest(best, target)
		if !ok {
			break
		}
		best = next
	}
	if best.duration == 0 {
		return AverageBitrate(segments)
	}
	return best.bitsPerSecond()
}

// Bandwidths are the BANDWIDTH and AVERAGE-BANDWIDTH of a playlist: the peak is no less
// than the average.
func Bandwidths(segments []SegmentSize, target time.Duration) (peak, average int64) {
	average = AverageBitrate(segments)
	return max(PeakBitrate(segments, target), average), average
}

// span is a run of segments. Its zero value has rate zero.
type span struct {
	bytes    int64
	duration time.Duration
}

// denser reports whether s has a higher rate than t, exactly. The zero span is
// less dense than any span that has bytes.
func (s span) denser(t span) bool {
	if t.duration == 0 {
		return s.bytes > 0
	}
	sHi, sLo := bits.Mul64(uint64(s.bytes), uint64(t.duration))
	tHi, tLo := bits.Mul64(uint64(t.bytes), uint64(s.duration))
	return sHi > tHi || sHi == tHi && sLo > tLo
}

func (s span) bitsPerSecond() int64 {
	if s.bytes <= 0 || s.duration <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(s.bytes), uint64(8*time.Second))
	lo, carry := bits.Add64(lo, uint64(s.duration)-1, 0)
	hi += carry
	if hi >= uint64(s.duration) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(s.duration))
	return int64(min(q, math.MaxInt64))
}

// prefixes holds running totals: element i is the first i segments.
type prefixes []span

func newPrefixes(segments []SegmentSize) prefixes {
	p := make(prefixes, len(segments)+1)
	for i, s := range segments {
		p[i+1] = span{p[i].bytes + max(s.Bytes, 0), p[i].duration + max(s.Duration, 0)}
	}
	return p
}

// between is the run of segments from i up to but not including j.
func (p prefixes) between(i, j int) span {
	return span{p[j].bytes - p[i].bytes, p[j].duration - p[i].duration}
}

// densest looks for sets of permitted length that are denser than bar and
// returns the densest it met. For each end it tries the one start that clears
// the bar by most; that start comes from a queue in which a start is kept only
// while no later one is at least as good, so each enters and leaves once.
func (p prefixes) densest(bar span, target time.Duration) (span, bool) {
	best, found := bar, false
	var starts []int
	next := 0
	for end := range p {
		for ; next < end && 2*p.between(next, end).duration >= target; next++ {
			for len(starts) > 0 && !p.between(starts[len(starts)-1], next).denser(bar) {
				starts = starts[:len(starts)-1]
			}
			starts = append(starts, next)
		}
		for len(starts) > 0 && 2*p.between(starts[0], end).duration > 3*target {
			starts = starts[1:]
		}
		if len(starts) == 0 {
			continue
		}
		if s := p.between(starts[0], end); s.duration > 0 && s.denser(best) {
			best, found = s, true
		}
	}
	return best, found
}
