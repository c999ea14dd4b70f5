package pixel

import "slices"

// ShotFinder finds shot changes in a run of pictures, given one after the
// other. A change is a jump in the picture that is large, that stands out from
// the motion around it, and that does not jump back (a flash or a single broken
// picture is not a change). It looks reach pictures ahead, so changes are
// reported late and Finish reports the last ones. Fades and dissolves are not
// reported: no single picture is a good place to cut there.
//
// The zero value is ready to use.
type ShotFinder struct {
	count    int // pictures seen
	pictures [reach + 2]Signature
	jumps    []float64 // Difference(i-1, i) of the last pictures
	returns  []float64 // Difference(i-1, i+1)
	shots    []int
}

const (
	reach       = 6    // pictures each side that make the neighbourhood
	leastJump   = 9.0  // of 255, below this it is motion
	standOut    = 3.0  // times the median jump of the neighbourhood
	flashReturn = 0.55 // of the jump: less than this between i-1 and i+1 is a flash
)

// Add takes the next picture. It copies s.
func (f *ShotFinder) Add(s Signature) {
	slot := f.count % len(f.pictures)
	f.pictures[slot] = append(f.pictures[slot][:0], s...)
	if f.count > 0 {
		previous := f.pictures[(f.count-1)%len(f.pictures)]
		f.jumps = append(f.jumps, Difference(previous, f.pictures[slot]))
	} else {
		f.jumps = append(f.jumps, 0)
	}
	if f.count > 1 {
		before := f.pictures[(f.count-2)%len(f.pictures)]
		f.returns = append(f.returns, Difference(before, f.pictures[slot]))
	} else {
		f.returns = append(f.returns, 0)
	}
	f.count++
	if i := f.count - 1 - reach; i > 0 {
		f.judge(i, len(f.jumps)-1-reach)
	}
	if len(f.jumps) > 8*reach {
		f.jumps = slices.Delete(f.jumps, 0, 4*reach)
		f.returns = slices.Delete(f.returns, 0, 4*reach)
	}
}

// Finish judges the last pictures and returns the changes: the number of the
// first picture of each new shot, counted from 0 and in order. The first
// picture of all is not one of them.
func (f *ShotFinder) Finish() []int {
	for i := max(1, f.count-reach); i < f.count; i++ {
		f.judge(i, len(f.jumps)-(f.count-i))
	}
	return f.shots
}

// judge decides on picture i, whose jump is jumps[at].
func (f *ShotFinder) judge(i, at int) {
	jump := f.jumps[at]
	if jump < leastJump {
		return
	}
	var around [2 * reach]float64
	n := 0
	for d := -reach; d <= reach; d++ {
		if k := at + d; d != 0 && k >= 0 && k < len(f.jumps) && i+d > 0 {
			around[n] = f.jumps[k]
			n++
		}
	}
	slices.Sort(around[:n])
	if n > 0 && jump < standOut*around[n/2] {
		return
	}
	if at+1 < len(f.returns) && f.returns[at+1] < flashReturn*jump {
		return
	}
	if i > 1 && f.returns[at] < flashReturn*jump {
		return // the way back from a flash
	}
	if last := len(f.shots) - 1; last >= 0 && i-f.shots[last] < 2 && jump < f.jumps[at-1] {
		return // the tail of the change before
	}
	f.shots = append(f.shots, i)
}
