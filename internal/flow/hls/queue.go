package hls

import (
	"bytes"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// What waits for its time, of one playlist: enough of a live one that a server may
// forget its segments soon, little of a file.
const (
	queuedLive  = 4096
	queuedFile  = 256
	queuedBytes = 32 << 20
)

// event is one call of an input, which has its time.
type event struct {
	time int64 // ticks of ingest.Timescale, of all playlists from the same moment
	call func(in ingest.Input, at time.Time) error
	hint bool  // of what will come
	pace bool  // others wait for its moment: pictures where there are any
	size int64 // bytes that it holds
}

// queue is what one playlist gives, in order. It is the input of what takes segments
// apart.
type queue struct {
	ctx             context.Context
	events          chan event
	room            *semaphore.Weighted // in bytes
	periods         *periods
	pictures, sound bool // what is wanted of it

	period int64 // that segments are of now
	fresh  bool  // nothing of it has come
	offset int64 // added to times of the period
	end    int64 // of the last one, in the time that goes out
	last   int64 // its DTS
	seen   bool  // pictures have come: they measure time
}

// periods has the times of each period begin where those of the one before end, for
// all playlists alike.
type periods struct {
	mu      sync.Mutex
	begun   bool
	offsets map[int64]int64
}

// offset is what is added to times of a period, whose first is given, and which begins
// at a time in what goes out.
func (p *periods) offset(period, first, begins int64) int64 {
	const remembered = 8
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.offsets[period]; !known {
		p.offsets[period] = 0
		if p.begun {
			p.offsets[period] = begins - first
		}
		p.begun = true
		for old := range p.offsets {
			if len(p.offsets) > remembered && old < period-remembered {
				delete(p.offsets, old)
			}
		}
	}
	return p.offsets[period]
}

// begin begins a period.
func (q *queue) begin(period int64) { q.period, q.fresh = period, true }

// shift is a time as it goes out.
func (q *queue) shift(t int64) int64 {
	if q.fresh {
		q.offset, q.fresh = q.periods.offset(q.period, t, q.end), false
	}
	return t + q.offset
}

// note notes the time of a unit.
func (q *queue) note(t int64) {
	const longest = 10 * ingest.Timescale
	step := min(max(t-q.last, 0), longest)
	q.last, q.end = t, t+step
}

func newQueue(ctx context.Context, events int, p *periods, pictures, sound bool) *queue {
	return &queue{ctx: ctx, events: make(chan event, events), room: semaphore.NewWeighted(queuedBytes), periods: p, pictures: pictures, sound: sound}
}

func (q *queue) push(e event) error {
	e.size = min(e.size, queuedBytes)
	if err := q.room.Acquire(q.ctx, e.size); err != nil {
		return err
	}
	select {
	case q.events <- e:
		return nil
	case <-q.ctx.Done():
		return q.ctx.Err()
	}
}

// Expect, and what follows, is part of ingest.Input.
func (q *queue) Expect(pictures, sound bool) {
	_ = q.push(event{time: q.end, hint: true, call: func(in ingest.Input, _ time.Time) error {
		in.Expect(pictures, sound)
		return nil
	}})
}

func (q *queue) Video(codec hub.Codec, config []byte) error {
	if !q.pictures {
		return nil
	}
	config = bytes.Clone(config)
	return q.push(event{time: q.end, call: func(in ingest.Input, _ time.Time) error { return in.Video(codec, config) }})
}

func (q *queue) Audio(codec hub.Codec, config []byte) error {
	if !q.sound {
		return nil
	}
	config = bytes.Clone(config)
	return q.push(event{time: q.end, call: func(in ingest.Input, _ time.Time) error { return in.Audio(codec, config) }})
}

func (q *queue) Picture(p ingest.Picture) error {
	if !q.pictures {
		return nil
	}
	p = p.Clone()
	p.DTS = q.shift(p.DTS)
	p.PTS += q.offset // of the shift
	q.seen = true
	q.note(p.DTS)
	return q.push(event{time: p.DTS, pace: true, size: p.Size(), call: func(in ingest.Input, at time.Time) error {
		p.At = at
		return in.Picture(p)
	}})
}

func (q *queue) Sound(s ingest.Sound) error {
	if !q.sound {
		return nil
	}
	s.Data, s.PTS = bytes.Clone(s.Data), q.shift(s.PTS)
	if !q.seen {
		q.note(s.PTS)
	}
	return q.push(event{time: s.PTS, pace: !q.seen, size: int64(len(s.Data)), call: func(in ingest.Input, at time.Time) error {
		s.At = at
		return in.Sound(s)
	}})
}

func (q *queue) Splice(section []byte, pts int64, _ time.Time) error {
	section = bytes.Clone(section)
	return q.push(event{time: q.end, call: func(in ingest.Input, at time.Time) error { return in.Splice(section, pts+q.offset, at) }})
}

func (q *queue) Close() {}

// merge calls the input with what the queues have, in the order of time and in its
// time, until all have ended.
func merge(ctx context.Context, queues []*queue, in ingest.Input, hints bool) error {
	heads := make([]*event, len(queues))
	ended := make([]bool, len(queues))
	pace := pacer{}
	for {
		first := -1
		for i, q := range queues {
			if heads[i] == nil && !ended[i] {
				select {
				case e, more := <-q.events:
					if more {
						heads[i] = &e
					}
					ended[i] = !more
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if heads[i] != nil && (first < 0 || heads[i].time < heads[first].time) {
				first = i
			}
		}
		if first < 0 {
			return nil
		}
		e := heads[first]
		heads[first] = nil
		queues[first].room.Release(e.size)
		if e.hint && !hints {
			continue
		}
		at, err := time.Now(), error(nil)
		if e.pace {
			at, err = pace.wait(ctx, e.time)
		}
		if err == nil {
			err = e.call(in, at)
		}
		if err != nil {
			return err
		}
	}
}

// pacer has things happen in their own time, though they come by the segment.
type pacer struct {
	begun bool
	base  time.Time // when zero was
	zero  int64
}

const (
	mostAhead = 10 * time.Second // what is further ahead has jumped
	mostLate  = 3 * time.Second  // what is later will not be caught up with
)

// wait waits for the moment of a time, and returns it.
func (p *pacer) wait(ctx context.Context, t int64) (time.Time, error) {
	now := time.Now()
	due := p.base.Add(time.Duration(timebase.MulDiv(t-p.zero, int64(time.Second), ingest.Timescale)))
	ahead := due.Sub(now)
	switch {
	case !p.begun || ahead > mostAhead || ahead < -mostLate:
		p.begun, p.base, p.zero = true, now, t
		return now, nil
	case ahead <= 0:
		return now, nil
	}
	return due, sleep(ctx, ahead)
}
