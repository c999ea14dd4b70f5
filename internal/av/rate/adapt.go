package rate

import "math"

// LiveOffsets are by how many steps of QP the quantiser of a live rung can be moved:
// below 0 is better.
func LiveOffsets() []float64 { return []float64{-3, -1.5, 0, 1.5, 3, 4.5, 6} }

// unmoved is the index of 0 in LiveOffsets.
const unmoved = 2

// Seen is what a second of a stream looked like, in small pictures: means of what
// scene.Frame says of one.
type Seen struct {
	Luma, Contrast, Texture float64 // levels of 8-bit luma
	Motion                  float64 // widths of the picture, from one picture to the next
	Residual, Grain         float64 // levels
	Still, Black            float64 // shares of pictures
	Cut                     bool    // another scene has begun
}

// Add makes s the mean of itself, which is one of so many, and o.
func (s *Seen) Add(o Seen, count int) {
	s.mix(o, 1/float64(count+1))
	s.Cut = s.Cut || o.Cut
}

// mix moves s towards o, by a weight from 0 to 1.
func (s *Seen) mix(o Seen, weight float64) {
	from := o.values()
	for i, to := range s.values() {
		*to += weight * (*from[i] - *to)
	}
}

func (s *Seen) values() [8]*float64 {
	return [...]*float64{&s.Luma, &s.Contrast, &s.Texture, &s.Motion, &s.Residual, &s.Grain, &s.Still, &s.Black}
}

// Spent is what a rung took in a second.
type Spent struct {
	Bits, Pictures int64
	QP             float64 // mean, of the slices
	Cap            int64   // bits a second that it may reach
}

// Choice is how a rung goes on.
type Choice struct {
	Offset int // index of LiveOffsets
	Why    Why
}

// Why is what has moved a rung's quantiser.
type Why string

// The reasons.
const (
	Unmoved Why = ""
	Costly  Why = "costly" // it takes many bits for what changes
	Cheap   Why = "cheap"  // it takes few
	Black   Why = "black"  // nothing is to be seen
	Capped  Why = "capped" // more bits are wanted than it may have
)

// Adapter chooses offsets for the rungs of a live stream, second by second, so that a
// bit brings about as much at all times. It keeps no clock and does nothing. The zero
// value is ready.
type Adapter struct {
	seen  Seen // smoothed, since the last cut
	count int  // seconds of it
	rungs []int
}

// How much of what is seen is of the newest second, where no cut is.
const (
	newest = 0.4
	// turn is by how much the offset that is wanted has to be nearer to another one than
	// to that which is, in steps of QP.
	turn = 0.5
)

// Step takes what a second looked like and what each rung that is made took, and chooses
// for the next.
func (a *Adapter) Step(seen Seen, spent []Spent) []Choice {
	a.smooth(seen)
	for len(a.rungs) < len(spent) {
		a.rungs = append(a.rungs, unmoved)
	}
	choices := make([]Choice, len(spent))
	for i, s := range spent {
		want, why := a.want(s, a.rungs[i])
		a.rungs[i] = settle(a.rungs[i], want, seen.Cut)
		if a.rungs[i] == unmoved && why != Capped {
			why = Unmoved
		}
		choices[i] = Choice{a.rungs[i], why}
	}
	return choices
}

func (a *Adapter) smooth(seen Seen) {
	if seen.Cut {
		a.count = 0
	}
	a.seen.mix(seen, max(newest, 1/float64(a.count+1)))
	a.count++
}

// settle returns the level whose offset is nearest to the one that is wanted. One that
// is hardly nearer is not worth a change.
func settle(level int, want float64, cut bool) int {
	offsets := LiveOffsets()
	best := level
	for i, offset := range offsets {
		if math.Abs(offset-want) < math.Abs(offsets[best]-want) {
			best = i
		}
	}
	if !cut && math.Abs(offsets[level]-want)-math.Abs(offsets[best]-want) < turn {
		return level
	}
	return best
}

// What offsets are chosen by: see docs/internals/live-encoding.md. Where a rung takes
// usualFill of its cap, and motion leaves usualResidual unexplained, a bit brings as much
// as in most places.
const (
	usualFill     = 0.72
	usualResidual = 1.5 // levels a picture
	leastResidual = 0.2 // of rounding
	perFill       = 1.6 // steps of QP, where it takes twice the bits
	perResidual   = 1.5 // and where twice as much changes
	evenly        = 0.8 // so that as many bits are saved as spent
	// halving is how many steps of offset halve the bits: fewer would, if the rate control
	// did not take back a part of them.
	halving = 7.5
	// capped is the share of its cap above which a rung has no room.
	capped = 0.9
	// blackMost is the share of black pictures in a second of which nothing is to be seen.
	blackMost   = 0.5
	blackOffset = 3
)

// want is the offset that a rung would have if there were all of them.
func (a *Adapter) want(s Spent, level int) (offset float64, why Why) {
	switch {
	case a.seen.Black >= blackMost:
		return blackOffset, Black
	case s.Bits <= 0 || s.Cap <= 0:
		return 0, Unmoved
	}
	fill := float64(s.Bits) / float64(s.Cap)
	plain := fill * math.Pow(2, LiveOffsets()[level]/halving) // that it would have without an offset
	offset = evenly + perFill*math.Log2(plain/usualFill) - perResidual*math.Log2((a.seen.Residual+leastResidual)/(usualResidual+leastResidual))
	switch {
	case offset < 0 && fill > capped:
		return 0, Capped
	case offset < 0:
		return offset, Cheap
	}
	return offset, Costly
}
