package ladder

import (
	"context"
	"slices"
	"sync"
	"time"

	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// tape holds the pictures of a source that a child was not given yet, and those that
// another one would need to go on where it stops: from a key frame on. What it holds
// is bounded; who falls behind further loses what is oldest.
type tape struct {
	limits hub.Limits

	mu      sync.Mutex
	entries []entry // the first is a key frame
	first   int64   // number of entries[0]
	bytes   int64
	marks   map[int64]mark // of the entries, by their PTS
	track   *hub.Track     // of what comes; nil where that has no pictures
	last    *hub.Track     // of what came last
	given   int64          // number of the entry that the child is given next; -1 without one
	lost    int64          // pictures that no child was given
	ended   bool
	arrived chan struct{} // closed when something has changed
}

// entry is a picture. Those of one period of the source point to the same track.
type entry struct {
	hub.Unit
	track *hub.Track
}

// mark is what has to be known of a picture when it comes back.
type mark struct {
	key  bool
	wall time.Time
}

func newTape(l hub.Limits) *tape {
	return &tape{limits: l, given: -1, marks: make(map[int64]mark), arrived: make(chan struct{})}
}

// record writes what r reads to the tape, until that ends, but for stills that still
// has taken.
func (t *tape) record(ctx context.Context, r *hub.Reader, still func(u hub.Unit) bool) {
	pictures := -1
	for {
		item, err := r.Next(ctx)
		switch {
		case err != nil:
			t.change(func() { t.ended = true })
			return
		case item.Tracks != nil:
			pictures = slices.IndexFunc(item.Tracks, func(k hub.Track) bool { return k.Codec.Video() })
			t.change(func() {
				if t.track = nil; pictures >= 0 {
					track := item.Tracks[pictures]
					t.track = &track
				}
			})
		case item.Unit.Track == pictures && item.Unit.Still && still(item.Unit):
		case item.Unit.Track == pictures:
			t.change(func() { t.add(item.Unit) })
		}
	}
}

// change changes the tape and wakes who waits.
func (t *tape) change(how func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	how()
	close(t.arrived)
	t.arrived = make(chan struct{})
}

func (t *tape) add(u hub.Unit) {
	if !u.Key && !t.goesOn() {
		return // nobody could begin with it
	}
	t.entries, t.last = append(t.entries, entry{u, t.track}), t.track
	t.bytes += int64(len(u.Data))
	t.marks[u.PTS] = mark{u.Key, u.Wall}
	if len(t.entries) > t.limits.Units || t.bytes > t.limits.Bytes {
		t.overflow()
	}
}

// goesOn reports whether a picture may come that is no key frame: those before it are
// here, or a child has them.
func (t *tape) goesOn() bool {
	return t.last == t.track && (len(t.entries) > 0 || t.given == t.first)
}

// overflow makes room. What the child was given goes first, but for what may still be on
// its way through it: another child can then only begin with the next key frame. Where
// it has too little, it is too far behind, and goes on with the newest key frame, or the
// next one.
func (t *tape) overflow() {
	if had := int(t.given - t.first - underway); had > 0 {
		t.drop(min(had, len(t.entries)))
		return
	}
	for i := len(t.entries) - 1; i > 0; i-- {
		if t.entries[i].Key {
			t.drop(i)
			return
		}
	}
	t.drop(len(t.entries))
}

// underway is how many pictures a child may have taken and not made yet.
const underway = 64

// drop drops the first n entries.
func (t *tape) drop(n int) {
	for _, e := range t.entries[:n] {
		t.bytes -= int64(len(e.Data))
		delete(t.marks, e.PTS)
	}
	t.entries = slices.Delete(t.entries, 0, n)
	t.first += int64(n)
}

// release drops what nobody needs who has all pictures up to pts.
func (t *tape) release(pts int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.entries) - 1; i > 0; i-- {
		if t.entries[i].Key && t.entries[i].PTS <= pts {
			t.drop(i)
			return
		}
	}
}

// skip drops what is before the entry of that number.
func (t *tape) skip(number int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(int(min(max(0, number-t.first), int64(len(t.entries)))))
}

// find returns what is known of the picture with that time.
func (t *tape) find(pts int64) (mark, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.marks[pts]
	return m, ok
}

// newest is the time of the last picture that came.
func (t *tape) newest() (dts int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) == 0 {
		return 0, false
	}
	return t.entries[len(t.entries)-1].DTS, true
}

// period is the track of what comes, nil where that has no pictures.
func (t *tape) period() *hub.Track {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.track
}

// missed is how many pictures no child was given.
func (t *tape) missed() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost
}

// over reports whether nothing more will come.
func (t *tape) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

// start is where a child begins.
type start struct {
	number int64 // of the first entry
	pts    int64
	track  *hub.Track
	rate   timebase.Rational
}

// rateFrom is how many pictures tell the rate of those to come.
const rateFrom = 9

// begin waits until there are pictures enough to begin with the oldest. It returns
// false when there will be none.
func (t *tape) begin(ctx context.Context) (start, bool) {
	for {
		s, wait := t.oldest()
		if s.track != nil {
			return s, true
		}
		if wait == nil {
			return s, false
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return s, false
		}
	}
}

func (t *tape) oldest() (start, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.given = -1
	if first := slices.IndexFunc(t.entries, func(e entry) bool { return e.Key }); first != 0 {
		if first < 0 {
			first = len(t.entries)
		}
		t.drop(first)
	}
	if len(t.entries) > 0 {
		head := t.entries[0]
		same := 0
		for same < min(len(t.entries), rateFrom) && t.entries[same].track == head.track {
			same++
		}
		if same == rateFrom || same < len(t.entries) || t.ended {
			return start{t.first, head.PTS, head.track, rateOf(head.track, t.entries[:same])}, nil
		}
	}
	if t.ended {
		return start{}, nil
	}
	return start{}, t.arrived
}

// next returns the entry of that number or, where that was dropped, the oldest one,
// and the number of the one after it. It waits for it. ok is false at the end of the
// period of track, and of the tape.
func (t *tape) next(ctx context.Context, number int64, track *hub.Track) (e entry, after int64, ok bool, err error) {
	for {
		t.mu.Lock()
		wait, ended := t.arrived, t.ended
		if number < t.first {
			t.lost += t.first - number
			number = t.first
		}
		if i := number - t.first; i < int64(len(t.entries)) {
			e = t.entries[i]
			if e.track == track {
				t.given = number + 1
			}
			t.mu.Unlock()
			return e, number + 1, e.track == track, nil
		}
		// A period that nothing was written of yet ends the one before all the same.
		ended = ended || t.track != track
		t.mu.Unlock()
		if ended {
			return entry{}, number, false, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return entry{}, number, false, ctx.Err()
		}
	}
}

// rateOf is the rate of pictures: what the track says where that is near the truth,
// else what their times say.
func rateOf(track *hub.Track, entries []entry) timebase.Rational {
	said := track.Rate
	if n := len(entries) - 1; n > 0 && entries[n].DTS > entries[0].DTS {
		seen := timebase.R(int64(n)*track.Clock, entries[n].DTS-entries[0].DTS)
		if said.Valid() && near(said, seen, 0.1) {
			return said
		}
		for _, usual := range usualRates() {
			if near(usual, seen, 0.02) {
				return usual
			}
		}
		return timebase.R(int64(min(max(seen.Float(), 1), 240)+0.5), 1)
	}
	if said.Valid() && said.Float() >= 1 && said.Float() <= 240 {
		return said
	}
	return timebase.R(25, 1)
}

func usualRates() []timebase.Rational {
	return []timebase.Rational{
		timebase.R(25, 1), timebase.R(30, 1), timebase.R(50, 1), timebase.R(60, 1), timebase.R(24, 1), timebase.R(15, 1), timebase.R(12, 1), timebase.R(10, 1),
	}
}

// near reports whether a and b differ by that share of b at the most.
func near(a, b timebase.Rational, share float64) bool {
	difference := a.Float() - b.Float()
	return difference <= share*b.Float() && -difference <= share*b.Float()
}
