package live

import (
	"context"
	"log/slog"
	"time"
)

// grace is how long a stream waits for its encoder to come back.
const grace = 30 * time.Second

// facts are what the state of a stream follows from.
type facts struct {
	present bool // an encoder is connected
	onAir   bool // and what it sends can be watched
	halted  bool // the stream is stopped: nobody is waited for
}

// lifecycle follows the state of a stream from its first encoder until it is idle.
type lifecycle struct {
	facts func() facts
	wake  <-chan struct{} // facts have changed
	// tell is told each new state, again each second while it cannot take it.
	tell   func(context.Context, Status) error
	second func(Status) // called each second
	log    *slog.Logger
}

// run begins in a state and returns when the stream is idle, or ctx has ended.
func (l *lifecycle) run(ctx context.Context, status Status) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	left := time.Now() // when the encoder was last there
	var told Status
	for {
		now := time.Now()
		f := l.facts()
		if f.present {
			left = now
		}
		if next := follow(status, f, now.Sub(left)); next != status {
			l.log.Info("stream is "+string(next), "was", status)
			status = next
		}
		if told != status {
			if err := l.tell(ctx, status); err == nil {
				told = status
			} else if ctx.Err() == nil {
				l.log.Warn("the state of the stream is not written yet; it is tried again", "state", status, "cause", err)
			}
		}
		if status == Idle && told == Idle {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-tick.C:
			l.second(status)
		}
	}
}

// follow is the state after status, with the encoder gone for so long.
func follow(status Status, f facts, gone time.Duration) Status {
	wasLive := status == Live || status == Reconnecting
	switch {
	case f.halted:
		return Idle
	case f.present && f.onAir:
		return Live
	case f.present && wasLive:
		return Reconnecting
	case f.present:
		return Connecting
	case wasLive && gone < grace:
		return Reconnecting
	}
	return Idle
}
