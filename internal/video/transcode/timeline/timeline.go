// Package timeline plans the frames of a whole source: which source frame each
// output frame shows, at which rate, and where the frames are cut into segments
// and encode units. It is arithmetic on times: it decodes nothing and knows no
// encoder.
package timeline

import (
	"cmp"
	"errors"
	"slices"
	"sort"
	"time"

	"liuyun/internal/base/timebase"
)

// Timeline is the frame plan of a whole source: which source frame every output
// frame shows. Output frame n is at time n/FrameRate; output frame 0 is at
// Origin in the source's own time.
type Timeline struct {
	TimeBase  timebase.Rational
	FrameRate timebase.Rational
	Origin    int64   // ticks of TimeBase
	Frames    []int64 // presentation times of the source frames, ticks, rising
	Shows     []int32 // output frame → index into Frames
	// Constant says that the source has exactly one frame for each output frame.
	Constant bool
}

// Clock is what is known of a stream's time before its frames are looked at.
type Clock struct {
	TimeBase timebase.Rational
	Declared []timebase.Rational // frame rates that the container claims, best first
	Start    int64               // of the presentation, ticks; NoStart when it starts with the picture
	End      int64               // of the presentation, ticks: sound may go on longer; NoEnd
	LastFor  int64               // how long the last frame lasts, ticks; 0 unknown
}

// soundBefore is how much earlier than the picture sound may start and be cut:
// an encoder's priming and the interleaving of broadcast streams, no content.
const soundBefore = 100 * time.Millisecond

// What a Clock says that knows no start, or no end.
const (
	NoStart = int64(1) << 62
	NoEnd   = -int64(1) << 62
)

// Frame rates of the trade, which a measured rate is snapped to.
var standardRates = []timebase.Rational{
	{Num: 12, Den: 1}, {Num: 15, Den: 1}, {Num: 24000, Den: 1001}, {Num: 24, Den: 1}, {Num: 25, Den: 1},
	{Num: 30000, Den: 1001}, {Num: 30, Den: 1}, {Num: 48, Den: 1}, {Num: 50, Den: 1},
	{Num: 60000, Den: 1001}, {Num: 60, Den: 1}, {Num: 100, Den: 1}, {Num: 120000, Den: 1001}, {Num: 120, Den: 1},
}

// Frame rates that an output may have: above, frames are dropped; below, they
// are repeated, because players and encoders are at home in this range.
var (
	highestRate = timebase.R(120, 1)
	lowestRate  = timebase.R(5, 1)
	// highestVariable is the highest rate that a source of variable frame rate gets.
	highestVariable = timebase.R(60, 1)
)

// Longest bounds the time from the first picture to the end, so that a wild
// timestamp is an error and not a full disk.
const Longest = 24 * time.Hour

// What New says of times that make no timeline.
var (
	ErrNoFrames = errors.New("no picture could be decoded")
	ErrTooLong  = errors.New("they span more than 24 hours")
)

// New plans the output frames for source frames shown at the given
// times. Times need not rise: one that does not come after all before it is left
// out, and the number of those is returned.
func New(times []int64, clock Clock) (*Timeline, int, error) {
	frames := make([]int64, 0, len(times))
	for _, t := range times {
		if len(frames) == 0 || t > frames[len(frames)-1] {
			frames = append(frames, t)
		}
	}
	left := len(times) - len(frames)
	if len(frames) == 0 {
		return nil, left, ErrNoFrames
	}
	if TooLong(frames[0], frames[len(frames)-1], clock.TimeBase) {
		return nil, left, ErrTooLong
	}
	line := &Timeline{TimeBase: clock.TimeBase, Frames: frames, Origin: frames[0]}
	rate, constant := constantRate(frames, clock)
	if !constant {
		rate = variableRate(frames, clock)
	}
	line.FrameRate = rate
	if clock.Start != NoStart && ticksTime(frames[0]-clock.Start, clock.TimeBase) > soundBefore {
		// Sound comes first: hold the first picture, by whole frames.
		held := timebase.Rescale(frames[0]-clock.Start, clock.TimeBase, rate.Inv())
		line.Origin = frames[0] - timebase.Rescale(held, rate.Inv(), clock.TimeBase)
	}
	if err := line.fill(clock); err != nil {
		return nil, left, err
	}
	return line, left, nil
}

func ticksTime(ticks int64, timeBase timebase.Rational) time.Duration {
	return time.Duration(timebase.Rescale(ticks, timeBase, timebase.R(1, int64(time.Second))))
}

// TooLong reports whether from and to are further apart than a source may last.
func TooLong(from, to int64, timeBase timebase.Rational) bool {
	return (float64(to)-float64(from))*timeBase.Float() > Longest.Seconds()
}

// constantRate looks for a rate at which every frame falls on its own slot.
func constantRate(frames []int64, clock Clock) (timebase.Rational, bool) {
	if len(frames) < 2 {
		for _, rate := range clock.Declared {
			if inRange(rate) {
				return rate, true
			}
		}
		return timebase.R(25, 1), true
	}
	span := timebase.R(frames[len(frames)-1]-frames[0], int64(len(frames)-1))
	measured := 1 / (span.Float() * clock.TimeBase.Float())
	candidates := slices.Clone(standardRates)
	sort.SliceStable(candidates, func(i, j int) bool {
		return Apart(candidates[i].Float(), measured) < Apart(candidates[j].Float(), measured)
	})
	candidates = append(candidates[:3:3], clock.Declared...)
	for _, rate := range candidates {
		if !inRange(rate) || Apart(rate.Float(), measured) > 0.01 {
			continue
		}
		if fits(frames, clock.TimeBase, rate) {
			return rate, true
		}
	}
	return timebase.Rational{}, false
}

func inRange(rate timebase.Rational) bool {
	return rate.Valid() && rate.Cmp(highestRate) <= 0 && rate.Cmp(lowestRate) >= 0
}

// fits reports whether frame i is nearest to slot i for every i.
func fits(frames []int64, timeBase, rate timebase.Rational) bool {
	for i, t := range frames {
		if timebase.Rescale(t-frames[0], timeBase, rate.Inv()) != int64(i) {
			return false
		}
	}
	return true
}

// variableRate chooses the rate for a source whose frames do not come evenly: a
// standard one at which nearly all frames have a slot of their own.
func variableRate(frames []int64, clock Clock) timebase.Rational {
	gaps := make([]int64, 0, len(frames))
	for i := 1; i < len(frames); i++ {
		gaps = append(gaps, frames[i]-frames[i-1])
	}
	if len(gaps) == 0 {
		return timebase.R(25, 1)
	}
	slices.Sort(gaps)
	gap := gaps[len(gaps)/5]
	perSecond := func(ticks int64) float64 { return 1 / (float64(max(ticks, 1)) * clock.TimeBase.Float()) }
	wanted := perSecond(gap)
	nearest, higher := timebase.Rational{}, highestVariable
	for _, rate := range standardRates {
		switch {
		case rate.Cmp(timebase.R(24000, 1001)) < 0 || rate.Cmp(highestVariable) > 0:
			continue
		case rate.Float() >= perSecond(gap+1) && rate.Float() <= perSecond(gap-1):
			// As near as the container's clock can tell.
			if !nearest.Valid() || Apart(rate.Float(), wanted) < Apart(nearest.Float(), wanted) {
				nearest = rate
			}
		case rate.Float() >= wanted && rate.Cmp(higher) < 0:
			higher = rate
		}
	}
	if nearest.Valid() {
		return nearest
	}
	return higher
}

// Apart is by what share the larger of two positive numbers is larger.
func Apart(a, b float64) float64 {
	if a > b {
		return a/b - 1
	}
	return b/a - 1
}

// fill decides which frame each slot shows: the last one whose nearest slot is
// not later. It is the rule of ffmpeg's fps filter with round=near.
func (l *Timeline) fill(clock Clock) error {
	slots := make([]int64, len(l.Frames))
	for i, t := range l.Frames {
		slots[i] = timebase.Rescale(t-l.Origin, l.TimeBase, l.FrameRate.Inv())
	}
	last := slots[len(slots)-1]
	lasts := timebase.Rescale(clock.LastFor, l.TimeBase, l.FrameRate.Inv())
	count := last + min(max(lasts, 1), 10*int64(l.FrameRate.Float()+1))
	if clock.End != NoEnd {
		count = max(count, timebase.Rescale(clock.End-l.Origin, l.TimeBase, l.FrameRate.Inv()))
	}
	if float64(count)/l.FrameRate.Float() > Longest.Seconds() {
		return ErrTooLong
	}
	l.Shows = make([]int32, count)
	shown := 0
	for n := range l.Shows {
		for shown+1 < len(slots) && slots[shown+1] <= int64(n) {
			shown++
		}
		l.Shows[n] = int32(shown)
	}
	l.Constant = len(l.Shows) == len(l.Frames) && slots[0] == 0 && last == int64(len(slots)-1)
	return nil
}

// Duration is the length of the output in ticks of 1/FrameRate.
func (l *Timeline) Duration() int64 { return int64(len(l.Shows)) }

// Seconds is the length of the output.
func (l *Timeline) Seconds() float64 { return float64(len(l.Shows)) / l.FrameRate.Float() }

// Repeated and Dropped count output frames that show the same source frame as
// the one before, and source frames that are never shown.
func (l *Timeline) Repeated() (repeated, dropped int) {
	distinct := 1
	for n := 1; n < len(l.Shows); n++ {
		if l.Shows[n] == l.Shows[n-1] {
			repeated++
		} else {
			distinct++
		}
	}
	return repeated, len(l.Frames) - distinct
}

// Likely is the frame rate that a source which claims these, the best first,
// probably gets; only decoding tells.
func Likely(claimed ...timebase.Rational) timebase.Rational {
	for _, rate := range claimed {
		if inRange(rate) {
			nearest := slices.MinFunc(standardRates, func(a, b timebase.Rational) int {
				return cmp.Compare(Apart(a.Float(), rate.Float()), Apart(b.Float(), rate.Float()))
			})
			if Apart(nearest.Float(), rate.Float()) < 0.002 {
				return nearest
			}
			return rate
		}
	}
	return timebase.R(25, 1)
}
