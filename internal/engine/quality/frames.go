package quality

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/av/quality"
	"liuyun/internal/engine/ffmpeg"
)

// frame is the luma of one decoded picture. Its buffer goes back to the pool it
// is from when the last of its holders releases it.
type frame struct {
	plane   quality.Plane
	n       int // its number in the video
	holders atomic.Int32
	pool    chan *frame
}

// hold adds a holder; only one who holds the frame may call it.
func (f *frame) hold() *frame {
	f.holders.Add(1)
	return f
}

func (f *frame) release() {
	if f.holders.Add(-1) == 0 {
		f.pool <- f
	}
}

// sample is a pair to score and the reference's frames around it, as many as
// were asked for and are there. Whoever takes it releases it.
type sample struct {
	n        int
	seconds  float64
	ref, dis *frame
	before   []*frame // the nearest first
	next     *frame   // nil at the end, or where none was asked for
}

func (s sample) release() {
	for _, f := range s.before {
		f.release()
	}
	if s.next != nil {
		s.next.release()
	}
	s.ref.release()
	s.dis.release()
}

// window says which of the reference's frames a metric needs besides the one it
// scores.
type window struct {
	before int
	next   bool
}

func (w window) after() int {
	if w.next {
		return 1
	}
	return 0
}

// stream is a side while it is decoded.
type stream struct {
	*side
	luma   ffmpeg.Luma
	pool   chan *frame
	frames chan *frame // closed at the end
	err    error       // why it ended, once frames is closed
}

func newStream(s *side, luma ffmpeg.Luma, buffers int) *stream {
	out := &stream{side: s, luma: luma, frames: make(chan *frame), pool: make(chan *frame, buffers)}
	bytes := luma.Bytes() / luma.Height
	for range buffers {
		out.pool <- &frame{pool: out.pool, plane: quality.Plane{
			Width: luma.Width, Height: luma.Height, Stride: bytes, Depth: luma.Depth, Pix: make([]byte, luma.Bytes()),
		}}
	}
	return out
}

// decode fills frames until the end.
func (s *stream) decode(ctx context.Context, tools *ffmpeg.Tools) error {
	defer close(s.frames)
	n := 0
	_, s.err = tools.DecodeLuma(ctx, ffmpeg.Command{Input: s.input, Limits: Limits(s.video.Width*s.video.Height, len(s.times))}, s.luma, func(luma []byte) error {
		for !s.luma.Keeps(n) {
			n++
		}
		var f *frame
		select {
		case f = <-s.pool:
		case <-ctx.Done():
			return ctx.Err()
		}
		copy(f.plane.Pix, luma)
		f.n = n
		f.holders.Store(1)
		n++
		s.seen = n
		select {
		case s.frames <- f:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return s.err
}

// samples decodes both sides and calls take with every pair to score, in order.
// held is how many of them their takers hold at once.
func (c *comparison) samples(ctx context.Context, w window, held int, take func(sample) error) error {
	luma := func(s *side, before, after int) ffmpeg.Luma {
		return ffmpeg.Luma{
			Stream: s.video.Index, TimeBase: s.video.TimeBase, Picture: s.picture,
			Width: c.pair.width, Height: c.pair.height, Depth: c.pair.depth,
			Every: c.every, Before: before, After: after, Threads: 1,
		}
	}
	around := w.before + w.after()
	ref := newStream(&c.pair.ref, luma(&c.pair.ref, w.before, w.after()), held+2+2*around)
	dis := newStream(&c.pair.dis, luma(&c.pair.dis, 0, 0), held+2)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ref.decode(ctx, c.tools) })
	group.Go(func() error { return dis.decode(ctx, c.tools) })
	group.Go(func() error { return c.match(w, ref, dis, take) })
	err := group.Wait()
	if c.every > 1 && c.pair.ref.times != nil {
		c.pair.ref.seen = len(c.pair.ref.times)
	}
	return err
}

// match walks over the reference's frames and pairs those to score. It ends when
// the reference does, or with what does not fit; a decoder's error is told by the
// decoder.
func (c *comparison) match(w window, ref, dis *stream, take func(sample) error) error {
	var recent []*frame // the last ones that follow each other, the nearest first
	var waiting *sample // for its next frame
	defer func() {
		for _, f := range recent {
			f.release()
		}
	}()
	send := func() error {
		if waiting == nil {
			return nil
		}
		s := *waiting
		waiting = nil
		return take(s)
	}
	scored := 0
	for f := range ref.frames {
		if len(recent) > 0 && recent[0].n != f.n-1 {
			for _, old := range recent {
				old.release()
			}
			recent = recent[:0]
		}
		if waiting != nil && waiting.n == f.n-1 {
			waiting.next = f.hold()
		}
		if err := send(); err != nil {
			return err
		}
		if f.n%c.every == 0 {
			d, ok := <-dis.frames
			if !ok {
				if dis.err != nil {
					return dis.err
				}
				return c.pair.notTheSame(f.n+1, dis.seen)
			}
			scored++
			waiting = &sample{n: f.n, seconds: c.pair.seconds(f.n), ref: f.hold(), dis: d}
			for _, b := range recent[:min(w.before, len(recent))] {
				waiting.before = append(waiting.before, b.hold())
			}
			if !w.next {
				if err := send(); err != nil {
					return err
				}
			}
		}
		recent = append([]*frame{f}, recent...)
		for len(recent) > max(1, w.before) {
			recent[len(recent)-1].release()
			recent = recent[:len(recent)-1]
		}
	}
	if ref.err != nil {
		return ref.err
	}
	if err := send(); err != nil {
		return err
	}
	if d, more := <-dis.frames; more {
		return c.pair.notTheSame(ref.seen, d.n+1)
	}
	if scored == 0 && dis.err == nil {
		return c.pair.notTheSame(0, 0)
	}
	return dis.err
}
