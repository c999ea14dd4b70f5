package origin

import (
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// What opens a breaker, and for how long.
const (
	mostStreak    = 5                // failures in a row
	window        = 32               // outcomes that a share is taken of
	leastOutcomes = 20               // before there is a share
	forgotten     = time.Minute      // outcomes this long before the next say nothing of it
	firstPause    = time.Second      // it is open the first time
	longestPause  = 32 * time.Second // and after several times
	settled       = time.Minute      // closed this long, it begins with the first pause again
)

// The states of a breaker.
const (
	Closed   = "closed"    // it is asked
	Open     = "open"      // it has failed, and is left alone for a while
	HalfOpen = "half-open" // one request tries whether it works again
)

// outcome is what a try says of who was asked.
type outcome int

const (
	nothing outcome = iota // it was given up by us, or waited on purpose
	success
	failure
)

// need is what state a breaker has to be in.
type need int

const (
	proven  need = iota // closed
	hopeful             // closed, or due for a probe that nobody makes yet
	forced              // any
)

// breaker keeps requests from who fails: after several failures in a row, or when half
// of the last ones failed. It opens for a time that doubles, up to a bound, of which
// chance takes up to a half, so that not all edges come back at once. After that one
// request at a time is a probe. The zero value is closed.
type breaker struct {
	open atomic.Bool // written with the lock, read without it while it is closed

	mu      sync.Mutex
	until   time.Time // for which it is open
	probing bool
	turn    int // how often it has opened

	streak   int
	outcomes uint32 // a bit each, 1 for a failure
	count    int    // of them
	last     time.Time

	pauses int       // since it was settled
	closed time.Time // since when it is
}

// ticket is leave to ask once.
type ticket struct {
	turn  int
	probe bool
}

// allows reports whether take would give leave.
func (b *breaker) allows(now time.Time, n need) bool {
	if !b.open.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.admits(now, n)
}

func (b *breaker) admits(now time.Time, n need) bool {
	switch {
	case !b.open.Load() || n == forced:
		return true
	case n == hopeful:
		return !b.probing && !now.Before(b.until)
	}
	return false
}

// take gives leave to ask once, if the state is what is needed. Whoever has it calls
// done once.
func (b *breaker) take(now time.Time, n need) (ticket, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.admits(now, n) {
		return ticket{}, false
	}
	t := ticket{turn: b.turn, probe: b.open.Load() && n != forced}
	b.probing = b.probing || t.probe
	return t, true
}

// done takes what came of it. It reports the state that the breaker is in since now, or
// "" where nothing has changed. What began before the breaker opened changes nothing.
func (b *breaker) done(t ticket, o outcome, now time.Time) (changed string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.turn != b.turn {
		return ""
	}
	if t.probe {
		b.probing = false
	}
	switch {
	case o == nothing:
	case !b.open.Load():
		if b.note(o, now); b.bad() {
			return b.trip(now)
		}
	case o == success:
		b.closed = now
		b.open.Store(false)
		b.streak, b.outcomes, b.count = 0, 0, 0
		return Closed
	case t.probe:
		return b.trip(now)
	}
	return ""
}

func (b *breaker) note(o outcome, now time.Time) {
	if now.Sub(b.last) > forgotten {
		b.outcomes, b.count = 0, 0
	}
	b.last = now
	b.outcomes <<= 1
	b.count = min(b.count+1, window)
	b.streak++
	if o == failure {
		b.outcomes |= 1
	} else {
		b.streak = 0
	}
}

func (b *breaker) bad() bool {
	return b.streak >= mostStreak || b.count >= leastOutcomes && 2*bits.OnesCount32(b.outcomes) >= b.count
}

func (b *breaker) trip(now time.Time) string {
	if !b.open.Load() && now.Sub(b.closed) > settled {
		b.pauses = 0
	}
	pause := min(firstPause<<b.pauses, longestPause)
	if pause < longestPause {
		b.pauses++
	}
	b.open.Store(true)
	b.probing = false
	b.until = now.Add(pause/2 + rand.N(pause/2))
	b.turn++
	return Open
}

func (b *breaker) state(now time.Time) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open.Load():
		return Closed
	case now.Before(b.until):
		return Open
	}
	return HalfOpen
}
