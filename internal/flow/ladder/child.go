package ladder

import (
	"context"
	"errors"
	"time"

	"liuyun/internal/av/h264"
	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// command is what a child has to do that begins there.
func (l *Ladder) command(from start, made []*rung) ffmpeg.Live {
	t := from.track
	live := ffmpeg.Live{
		Source: ffmpeg.LiveSource{
			Codec: codecName(t.Codec), Config: t.Config, Clock: t.Clock, Width: t.Width, Height: t.Height, Rate: from.rate, Interlaced: interlaced(t),
		},
		Limits: l.Limits, From: from.pts, Hold: l.Hold,
	}
	var begin []ingest.Rung
	l.mu.Lock()
	if l.adaption != nil {
		live.Views = l.adaption.views(from, made)
	}
	if l.Adapt.Bits {
		live.Steering = l.adaption.steering
	}
	live.Keys = l.planned.Every
	for _, r := range made {
		out, begins := r.aim(from, live.Keys)
		live.Pictures = append(live.Pictures, out)
		if begins {
			rung, _ := r.made()
			begin = append(begin, rung)
		}
	}
	l.mu.Unlock()
	for _, rung := range begin {
		l.Made(rung)
	}
	return live
}

// generation runs one child, from a moment of the source on, until the source's
// period ends, what is to be made changes, or the child fails; then it has waited until
// the next one may begin.
func (l *Ladder) generation(ctx context.Context, from start, made []*rung) {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	started := time.Now()
	live := l.command(from, made)
	var whole bool // the period was fed to its end
	number := from.number
	ended := make(chan error, 1)
	go func() {
		_, err := l.Maker.RunLive(running, live, func(ctx context.Context, write func(ffmpeg.LiveUnit) error) error {
			for {
				e, after, ok, err := l.tape.next(ctx, number, from.track)
				if err != nil || !ok || number > from.number && l.turns(ctx, e) {
					whole = err == nil
					return err
				}
				if err := write(ffmpeg.LiveUnit{PTS: e.PTS, Key: e.Key, Data: e.Data}); err != nil {
					return err
				}
				number = after
			}
		})
		ended <- err
	}()
	err, changed := l.watch(from, ended, cancel, started)
	switch {
	case ctx.Err() != nil || changed:
	case err == nil && whole:
		l.tape.skip(number)
		l.fine()
	default:
		l.failed(ctx, err, time.Since(started))
	}
}

// vain reports whether what is left of a source that has ended cannot be made.
func (l *Ladder) vain() bool {
	over := l.tape.over()
	l.mu.Lock()
	defer l.mu.Unlock()
	return over && l.failures >= 3
}

// watch waits for the end of a child, and ends it when something else is to be made.
func (l *Ladder) watch(from start, ended <-chan error, cancel context.CancelFunc, started time.Time) (err error, changed bool) {
	tick := time.NewTicker(judging)
	defer tick.Stop()
	still, stands := stillness{since: started}, false
	for {
		select {
		case err := <-ended:
			if stands {
				err = errStill
			}
			return err, changed
		case <-l.wake:
			changed = true
			cancel()
		case <-tick.C:
			l.release()
			now := time.Now()
			l.works(from, now.Sub(started))
			if changed {
				continue
			}
			if still.see(now, l.newest(), l.lag()) {
				stands = true
				cancel()
				continue
			}
			fewer, more := l.judge(now, started)
			switch {
			case fewer || l.spent(from):
				changed = true
				cancel()
			case more:
				l.mu.Lock()
				l.turn()
				l.mu.Unlock()
			}
		}
	}
}

// errStill is what a child ends by that stands still.
var errStill = errors.New("it takes pictures, and makes none")

// stillness is of a child that is given pictures and makes none.
type stillness struct {
	at    int64     // the newest picture that it made
	since time.Time // it has made none
}

// mostStill is how long a child may make nothing of what it has.
const mostStill = 15 * time.Second

// see takes what the child has made, and how far it is behind. It reports whether it
// stands still.
func (s *stillness) see(now time.Time, newest int64, lag time.Duration) bool {
	if newest != s.at || lag < late {
		s.at, s.since = newest, now
	}
	return now.Sub(s.since) > mostStill
}

// newest is the newest picture that was made.
func (l *Ladder) newest() (pts int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rungs {
		if at, _, ok := r.at(); ok {
			pts = max(pts, at)
		}
	}
	return pts
}

// spent reports whether a child that began there soon has no key frames of its own
// left to make.
func (l *Ladder) spent(from start) bool {
	newest, ok := l.tape.newest()
	l.mu.Lock()
	defer l.mu.Unlock()
	length := (ffmpeg.MostKeys - 30) * l.planned.Every
	return ok && length > 0 && float64(newest-from.pts)/float64(from.track.Clock) > length.Seconds()
}

// release has the tape drop what no later child needs.
func (l *Ladder) release() {
	if pts, _, ok := l.hindmost(); ok {
		l.tape.release(pts)
	}
}

// Waits between a child that failed and the next one.
const (
	soon      = 100 * time.Millisecond
	mostDelay = 30 * time.Second
	// stable is how long a child runs whose failure does not count with those before.
	stable = 30 * time.Second
)

// failed waits after a failure: the longer, the more of them there were in a row.
func (l *Ladder) failed(ctx context.Context, err error, ran time.Duration) {
	l.mu.Lock()
	if ran > stable {
		l.failures = 0
	}
	l.failures++
	delay := min(soon<<min(l.failures-1, 10), mostDelay)
	if l.failures >= 3 {
		l.problem = "renditions cannot be made: " + text(err)
	}
	l.mu.Unlock()
	l.Log.Warn("the child that makes renditions has ended; another goes on", "cause", err, "in", delay)
	select {
	case <-ctx.Done():
	case <-time.After(delay):
	}
}

// works takes back what was said of children that failed, when one has made pictures for
// a while.
func (l *Ladder) works(from start, ran time.Duration) {
	if ran < judging*20 || l.newest() <= from.pts {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problem = ""
}

// fine notes that children do their work.
func (l *Ladder) fine() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures, l.problem = 0, ""
}

// text is what is wrong, in people's words.
func text(err error) string {
	if err == nil {
		return "the program stopped by itself"
	}
	return fault.Message(err)
}

// codecName is how the engine calls a codec.
func codecName(c hub.Codec) string {
	if c == hub.H265 {
		return "hevc"
	}
	return string(c)
}

// interlaced reports whether pictures of a track may be of fields. Where only a
// picture itself says so, it is taken as it is.
func interlaced(t *hub.Track) bool {
	if t.Codec != hub.H264 {
		return false
	}
	format, err := h264.FormatOf(t.Config)
	return err == nil && format.Fields
}
