package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may lie beside what lives: a sixth of that, and what a small heap
// needs so that it is not collected all the time.
const (
	garbageShare = 6
	leastGarbage = 16 << 20
)

// tendHeap keeps the heap of a node that streams pass through near to what it needs,
// until ctx ends. By itself it grows to twice of what lives, which is media for the most
// part: a collection need not look into them, so that it costs little to have it more
// often.
func tendHeap(ctx context.Context, ready func()) error {
	ready()
	usual := debug.SetGCPercent(100)
	defer debug.SetGCPercent(usual)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	now := 100
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		metrics.Read(live)
		if percent := garbagePercent(live[0].Value.Uint64()); percent != now {
			now = percent
			debug.SetGCPercent(percent)
		}
	}
}

// garbagePercent is how much garbage may lie beside so many bytes that live, in
// hundredths of them, in steps: each change of it is a short stop of everything.
func garbagePercent(live uint64) int {
	percent := 100 * max(live/garbageShare, leastGarbage) / max(live, 1<<20)
	return int(min(max(percent/5*5, 100/garbageShare), 400))
}
