package rtsp

import (
	"slices"

	"liuyun/internal/flow/ingest"
)

// reorder finds out when pictures are decoded, which RTP does not tell: they come in
// the order of decoding, with the times at which they are shown. Where n of them may
// be decoded before one that is shown earlier, a picture's time of decoding is the
// (n+1)th latest time of showing so far. Nothing is held back for it, and nothing of
// the pictures is read: n is 0 until a picture comes that is shown before its time of
// decoding would be. Those decoded until the times fit again are decoded at once.
type reorder struct {
	shown []int64 // the latest times of showing, the latest first
	delay int     // n
	last  int64   // the last time of decoding
}

const (
	// mostDelay is what H.264 and H.265 allow.
	mostDelay = 16
	// leap is a step in time that is none of reordering.
	leap = 2 * ingest.Timescale
	// guess is the length of a picture before one is known.
	guess = ingest.Timescale / 50
)

// decoded returns when the picture that comes next, shown at pts, is decoded.
func (r *reorder) decoded(pts int64) int64 {
	if len(r.shown) == 0 || pts > r.shown[0]+leap || pts < r.shown[0]-leap {
		r.shown = r.shown[:0]
		for i := range r.delay { // in the place of those that are not there
			r.shown = append(r.shown, pts-int64(i+1)*guess)
		}
		r.last = pts - int64(r.delay+1)*guess
	}
	at, _ := slices.BinarySearchFunc(r.shown, pts, func(shown, pts int64) int { return int(pts - shown) })
	r.shown = slices.Insert(r.shown, at, pts)
	r.shown = r.shown[:min(len(r.shown), mostDelay+1)]
	for r.delay < len(r.shown)-1 && r.shown[r.delay] > pts {
		r.delay++
	}
	r.last = max(r.shown[r.delay], r.last+1)
	return r.last
}
