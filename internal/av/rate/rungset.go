package rate

import "time"

// When a rung of a live stream is left out because the next smaller one shows all that
// it does, in decibels of what a picture loses there in its worst parts (scene.Loss).
// Of real clips at 720p, those that came as small as that lose 19 to 38 dB at 480p, and
// those that were enlarged from less 42 and more.
const (
	lossHidden  = 42.0
	lossVisible = 40.0
)

// How long that has to be so: the first of these, and twice as long each time that it
// was not for long, up to the second.
const (
	firstSpare = 30 * time.Second
	mostSpare  = 10 * time.Minute
	// forgiven is for how long a rung has to be made for that to be forgotten.
	forgiven = time.Hour
)

// RungSet decides which rungs of a live stream are worth making. It keeps no clock. The
// zero value is ready.
type RungSet struct {
	rungs []spared
}

// spared is one rung.
type spared struct {
	out    bool
	hidden time.Duration // when it was first seen that it shows no more; below 0 where it does
	wait   time.Duration
	back   time.Duration // when it came back last
}

// See takes, at a moment of the stream, what is lost where each rung is watched in the
// size of the next smaller one: one value fewer than there are rungs, the largest first.
// The smallest one is always made. It reports whether the answer of Out is another one.
func (s *RungSet) See(now time.Duration, losses []float64) (changed bool) {
	for len(s.rungs) < len(losses) {
		s.rungs = append(s.rungs, spared{hidden: -1, wait: firstSpare})
	}
	for i := range s.rungs {
		r := &s.rungs[i]
		was := r.out
		switch {
		case i >= len(losses):
			r.out, r.hidden = false, -1
		case r.out && losses[i] < lossVisible:
			r.out, r.hidden, r.back = false, -1, now
			r.wait = min(2*r.wait, mostSpare)
		case r.out:
		case losses[i] < lossHidden:
			r.hidden = -1
			if now-r.back > forgiven {
				r.wait = firstSpare
			}
		case r.hidden < 0:
			r.hidden = now
		case now-r.hidden >= r.wait:
			r.out = true
		}
		changed = changed || r.out != was
	}
	return changed
}

// Out reports whether the i-th rung is left out.
func (s *RungSet) Out(i int) bool { return i < len(s.rungs) && s.rungs[i].out }

// Doubtful reports whether a rung is left out, or may soon be: then it is worth while to
// look more often.
func (s *RungSet) Doubtful() bool {
	for _, r := range s.rungs {
		if r.out || r.hidden >= 0 {
			return true
		}
	}
	return false
}

// Forget begins anew, with all rungs.
func (s *RungSet) Forget() { s.rungs = nil }
