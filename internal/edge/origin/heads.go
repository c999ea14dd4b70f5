package origin

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	recentHeads = 128 // that the quantile is taken of
	leastHeads  = 20  // before there is one
	newHeads    = 16  // after which it is worked out again
)

// heads knows how long the last answers took to begin. The zero value knows none.
type heads struct {
	mu     sync.Mutex
	recent []time.Duration // as many as there were, or recentHeads
	count  int
	late   atomic.Int64
}

// add takes how long one took.
func (h *heads) add(took time.Duration) {
	h.mu.Lock()
	if len(h.recent) < recentHeads {
		h.recent = append(h.recent, took)
	} else {
		h.recent[h.count%recentHeads] = took
	}
	h.count++
	if h.count < leastHeads || h.count > leastHeads && h.count%newHeads != 0 {
		h.mu.Unlock()
		return
	}
	var sorted [recentHeads]time.Duration // without the lock
	known := copy(sorted[:], h.recent)
	h.mu.Unlock()
	slices.Sort(sorted[:known])
	h.late.Store(int64(sorted[(known*95+99)/100-1]))
}

// p95 is the time that 95 of 100 of the last answers began in, or 0 where few are known.
func (h *heads) p95() time.Duration { return time.Duration(h.late.Load()) }
