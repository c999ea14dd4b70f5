package peer

import (
	"cmp"
	"slices"
	"time"

	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// choice is one rendition that a viewer may be sent.
type choice struct {
	stream  *hub.Stream
	bitrate int64 // bits a second, 0 is unknown
}

// chooser decides which rendition a viewer is sent. An estimate of the bandwidth
// grows only a little above what is sent, so that a better rendition is tried when
// the estimate has been good for a while. A try that fails is not repeated soon.
type chooser struct {
	good, bad time.Time // since when the estimate has been good, or bad
	tried     time.Time // when the last better one was tried
	patience  time.Duration
}

// Times of the chooser.
const (
	shortest = 4 * time.Second // that the estimate is good before a better one is tried
	longest  = time.Minute
	hardship = time.Second      // that it is bad before a lesser one is taken
	proof    = 15 * time.Second // a try that holds so long has not failed
)

// headroom is how much more than a rendition's rate there has to be for it.
const headroom = 1.15

// start is the first choice: the best that fits into rate, or the least. Choices are
// from the best down.
func start(choices []choice, rate int64) int {
	for i, c := range choices {
		if c.bitrate > 0 && float64(c.bitrate)*headroom <= float64(rate) {
			return i
		}
	}
	return len(choices) - 1
}

// choose returns which of the choices it is to be now.
func (c *chooser) choose(now time.Time, choices []choice, current int, estimate int64) int {
	if current < 0 || current >= len(choices) {
		return start(choices, estimate)
	}
	c.patience = max(c.patience, shortest)
	rate := choices[current].bitrate
	if rate > 0 && estimate < rate {
		c.good = time.Time{}
		if c.bad.IsZero() {
			c.bad = now
		}
		if now.Sub(c.bad) < hardship || current == len(choices)-1 {
			return current
		}
		if !c.tried.IsZero() && now.Sub(c.tried) < proof {
			c.patience = min(2*c.patience, longest)
		} else {
			c.patience = shortest
		}
		c.bad = time.Time{}
		return max(start(choices, estimate), current+1)
	}
	c.bad = time.Time{}
	if current == 0 || float64(estimate) < float64(rate)*headroom {
		c.good = time.Time{}
		return current
	}
	if c.good.IsZero() {
		c.good = now
	}
	if now.Sub(c.good) < c.patience {
		return current
	}
	c.good, c.tried = time.Time{}, now
	return current - 1
}

// choicesOf lists the renditions of a program that can be sent, the best first. What
// the encoder sends is one of them where it suits.
func choicesOf(p ingest.Program, packs *packs) []choice {
	var list []choice
	for _, r := range p.Rungs() {
		if packs.suits(r.Stream) {
			list = append(list, choice{r.Stream, r.Bitrate})
		}
	}
	slices.SortStableFunc(list, func(a, b choice) int { return cmp.Compare(b.bitrate, a.bitrate) })
	if rate, ok := packs.rate(p.Source()); ok {
		list = slices.Insert(list, 0, choice{p.Source(), rate})
	}
	return list
}
