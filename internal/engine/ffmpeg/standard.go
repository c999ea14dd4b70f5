package ffmpeg

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/proc"
)

// The standard encode, by which machines are compared: so many frames of 720p that
// ffmpeg's own source draws, with noise that does not repeat but is the same
// everywhere, through libx264 at the usual preset on one thread. Another number or
// picture makes another unit of measure: raise StandardVersion then.
const (
	standardFrames = 100
	standardSource = "testsrc2=size=1280x720:rate=25,noise=all_seed=1:alls=6:allf=t,format=yuv420p"

	// StandardVersion tells standard encodes apart whose results do not compare.
	StandardVersion = "1"
)

// standardTime bounds the standard encode on one core: one of a single-board
// computer, at the lowest priority beside other work, takes about a minute.
const standardTime = 10 * time.Minute

// Standard runs the standard encode n times side by side, at the lowest priority,
// and returns how many frames came of a second of one core's time (user and system).
// That time does not depend on what else the machine does, as long as all its cores
// are busy, which n is for: a core beside idle ones is faster than one of many.
func (t *Tools) Standard(ctx context.Context, n int) (speed float64, err error) {
	used := make([]time.Duration, n)
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		group.Go(func() error {
			usage, log, err := t.start(ctx, child{
				tool: t.ffmpeg, args: standardArgs(), nice: 19,
				limits: proc.Limits{CPU: standardTime, Memory: 1 << 30, Wall: standardTime},
			})
			if err != nil {
				if ctx.Err() != nil {
					return fault.Wrap(err, fault.Canceled, "stopped on request")
				}
				return fault.Wrap(err, fault.Unavailable, "the standard encode failed: %s", cmp.Or(log.first, "ffmpeg said nothing"))
			}
			used[i] = usage.CPU()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	var all time.Duration
	for _, u := range used {
		all += u
	}
	if all <= 0 {
		return 0, fault.New(fault.Unavailable, "the standard encode took no time")
	}
	return float64(n*standardFrames) / all.Seconds(), nil
}

func standardArgs() []string {
	return []string{
		"-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+error",
		"-filter_threads", "1", "-f", "lavfi", "-i", standardSource, "-frames:v", strconv.Itoa(standardFrames),
		"-c:v", "libx264", "-preset", "medium", "-crf", "23", "-threads", "1", "-f", "null", "-",
	}
}
