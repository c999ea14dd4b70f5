package ladder

import "time"

// Numbers that shedding goes by.
const (
	// late is how far a child may be behind its source.
	late = 2 * time.Second
	// patience is how long it may be so before a rung is shed, and how long it gets to
	// catch up after each change.
	patience = 3 * time.Second
	// near the source is who is behind it by no more than this.
	calm = 700 * time.Millisecond
	// A rung that was shed is tried again after the first of these, and after twice as
	// long each time that this was in vain, up to the second.
	firstWait = 30 * time.Second
	mostWait  = 10 * time.Minute
)

// shedder decides how many rungs a machine can make: all but so many, the largest
// first. It keeps no clock.
type shedder struct {
	shed int // rungs

	judged time.Time     // when a child was late last, or nothing was to be said of it
	lag    time.Duration // by how much then
	calm   time.Time     // since when it is not
	wait   time.Duration // how long it has to be so before a rung is tried again
	added  time.Time     // when one was tried again
}

// see takes how far the child that runs since started is behind, of a ladder of rungs
// of which at least one is made where needed is true. It reports whether another
// number of them is to be made from now on.
func (s *shedder) see(now, started time.Time, lag time.Duration, rungs int, needed bool) bool {
	s.shed = min(s.shed, rungs)
	if lag > calm {
		s.calm = time.Time{}
	} else if s.calm.IsZero() {
		s.calm = now
	}
	if lag <= late || now.Sub(started) < patience {
		s.judged, s.lag = now, lag
		return s.again(now)
	}
	if now.Sub(s.judged) < patience {
		return false
	}
	// Late for long. One that comes nearer gets its time.
	nearer := lag < s.lag-patience/20
	s.judged, s.lag = now, lag
	least := 0
	if needed {
		least = 1
	}
	if nearer || rungs-s.shed <= least {
		return false
	}
	s.back(now)
	s.shed++
	return true
}

// back makes the wait for the next trial longer where the last one was in vain.
func (s *shedder) back(now time.Time) {
	switch {
	case s.wait == 0 || (!s.added.IsZero() && now.Sub(s.added) > mostWait):
		s.wait = firstWait
	case !s.added.IsZero():
		s.wait = min(2*s.wait, mostWait)
	}
	s.calm, s.added = time.Time{}, time.Time{}
}

// again reports whether a rung is to be tried again.
func (s *shedder) again(now time.Time) bool {
	if s.shed == 0 || s.calm.IsZero() || now.Sub(s.calm) < s.wait {
		return false
	}
	s.shed--
	s.calm, s.added = time.Time{}, now
	return true
}
