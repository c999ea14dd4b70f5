package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// garbage is how much of it may lie beside what lives: a share of that, and what a small
// heap needs so that it is not collected all the time.
type garbage struct {
	share uint64 // one part in so many
	least uint64 // bytes
}

// What passes through a node with streams is media for the most part: a collection need
// not look into them, so that it costs little to have it more often. By itself Go lets
// the heap grow to twice of what lives.
func garbageOfStreams() garbage { return garbage{6, 16 << 20} }

// An edge may have next to nothing that lives, and a thousand small requests make a
// megabyte or two of garbage. By itself Go collects each four of them, six times a second,
// and one in a hundred requests waits for that.
func garbageOfEdge() garbage { return garbage{1, 32 << 20} }

// tend keeps the heap so until ctx ends.
func (g garbage) tend(ctx context.Context, ready func()) error {
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
		if percent := g.percent(live[0].Value.Uint64()); percent != now {
			now = percent
			debug.SetGCPercent(percent)
		}
	}
}

// percent is how much garbage may lie beside so many bytes that live, in hundredths of
// them, in steps: each change of it is a short stop of everything. Go takes that percentage
// of 4 MiB for a heap that is smaller.
func (g garbage) percent(live uint64) int {
	percent := 100 * max(live/g.share, g.least) / max(live, 1<<20)
	return int(min(max(percent/5*5, 100/g.share), 100*g.least/(4<<20)))
}
