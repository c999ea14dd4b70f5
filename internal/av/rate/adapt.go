package rate

import "math"

// LiveOffsets are by how many steps of QP the quantiser of a live rung can be moved:
// below 0 is better.
func LiveOffsets() []float64 { return []float64{-3, -1.5, 0, 1.5, 3, 4.5, 6} }

// LiveUnmoved is the index of 0 in LiveOffsets.
const LiveUnmoved = 2

// Seen is what a second of a stream looked like, in small pictures.
type Seen struct {
	Residual     float64 // what motion leaves unexplained from picture to picture, levels of 8-bit luma
	Still, Black float64 // shares of pictures
	Cut          bool    // another scene has begun
}

// Add makes s the mean of itself, which is one of so many, and o.
func (s *Seen) Add(o Seen, count int) {
	s.mix(o, 1/float64(count+1))
	s.Cut = s.Cut || o.Cut
}

// mix moves s towards o, by a weight from 0 to 1.
func (s *Seen) mix(o Seen, weight float64) {
	s.Residual += weight * (o.Residual - s.Residual)
	s.Still += weight * (o.Still - s.Still)
	s.Black += weight * (o.Black - s.Black)
}

// Spent is what a rung took in a second, or about one.
type Spent struct {
	Bits, Pictures int64
	Pace           float64 // pictures that there are a second
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
	rungs []adapted
}

// adapted is one rung.
type adapted struct {
	level int
	fill  float64 // of its cap, that it would take without an offset; smoothed
	count int     // seconds of it
}

const (
	// How much of what is known is of the newest second. Bits are smoothed for longer,
	// because there is a key frame in some seconds and none in others.
	newestSeen = 0.4
	newestFill = 0.2
	// fewSeconds are too few to tell what a scene takes.
	fewSeconds = 2
	// turn is by how much an offset has to be nearer to the one that is wanted than that
	// which is, in steps of QP.
	turn = 0.5
)

// Step takes what a second looked like and what each rung that is made took, and chooses
// for the next.
func (a *Adapter) Step(seen Seen, spent []Spent) []Choice {
	if seen.Cut {
		a.count = 0
	}
	a.seen.mix(seen, max(newestSeen, 1/float64(a.count+1)))
	a.count++
	for len(a.rungs) < len(spent) {
		a.rungs = append(a.rungs, adapted{level: LiveUnmoved})
	}
	choices := make([]Choice, len(spent))
	for i, s := range spent {
		choices[i] = a.rungs[i].step(&a.seen, s, seen.Cut)
	}
	return choices
}

// What offsets are chosen by: see docs/internals/live-encoding.md. Where a rung takes
// usualFill of its cap, and motion leaves usualResidual unexplained, a bit brings as much
// as in most places.
const (
	usualFill     = 0.72
	usualResidual = 1.5 // levels a picture
	leastResidual = 0.5 // of rounding, and what coding made of it before
	perFill       = 2.0 // steps of QP, where it takes twice the bits
	perResidual   = 1.4 // and where twice as much changes
	evenly        = 0.5 // so that as many bits are saved as spent
	// halving is how many steps of offset halve the bits: fewer would, if the rate control
	// did not take back a part of them.
	halving = 7.5
	// capped is the share of its cap above which a rung has no room.
	capped = 0.9
	// Where less than this changes, or this share of pictures does not, a picture is seen
	// for long, and its bits are those of key frames.
	stillResidual = 0.1
	stillMost     = 0.9
	// blackMost is the share of black pictures in a second of which nothing is to be seen.
	blackMost   = 0.5
	blackOffset = 3
)

func (r *adapted) step(seen *Seen, s Spent, cut bool) Choice {
	if cut {
		r.count, r.level = 0, LiveUnmoved // what the scene before took says nothing of this one
		return Choice{Offset: r.level}
	}
	if s.Bits <= 0 || s.Pictures <= 0 || s.Cap <= 0 || s.Pace <= 0 {
		return Choice{Offset: r.level}
	}
	fill := float64(s.Bits) / float64(s.Pictures) * s.Pace / float64(s.Cap)
	plain := fill * math.Pow(2, LiveOffsets()[r.level]/halving)
	r.fill += max(newestFill, 1/float64(r.count+1)) * (plain - r.fill)
	if r.count++; r.count < fewSeconds {
		return Choice{Offset: r.level}
	}
	want, why := r.want(seen)
	if want < 0 && r.fill > capped {
		want, why = 0, Capped
	}
	r.level = settle(r.level, want)
	if r.level == LiveUnmoved && why != Capped {
		why = Unmoved
	}
	return Choice{r.level, why}
}

// want is the offset that a rung would have if there were all of them.
func (r *adapted) want(seen *Seen) (offset float64, why Why) {
	if seen.Black >= blackMost {
		return blackOffset, Black
	}
	offset = perFill * math.Log2(r.fill/usualFill)
	if seen.Residual >= stillResidual && seen.Still < stillMost {
		offset += evenly - perResidual*math.Log2((seen.Residual+leastResidual)/(usualResidual+leastResidual))
	} else {
		offset = min(offset, 0) // bits for it are there once, and seen for long
	}
	if offset < 0 {
		return offset, Cheap
	}
	return offset, Costly
}

// settle returns the level whose offset is nearest to the one that is wanted. One that
// is hardly nearer is not worth a change.
func settle(level int, want float64) int {
	offsets := LiveOffsets()
	best := level
	for i, offset := range offsets {
		if math.Abs(offset-want) < math.Abs(offsets[best]-want) {
			best = i
		}
	}
	if math.Abs(offsets[level]-want)-math.Abs(offsets[best]-want) < turn {
		return level
	}
	return best
}
