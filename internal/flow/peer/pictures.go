package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"liuyun/internal/flow/hub"
)

// reading is a pack that a viewer reads.
type reading struct {
	stream  *hub.Stream
	reader  *hub.Reader
	release func()
}

func (v *viewer) open(stream *hub.Stream) *reading {
	p, release := v.packs.take(stream)
	return &reading{stream, p.out.Read(), release}
}

func (r *reading) close() {
	if r != nil {
		r.release()
	}
}

// pictures is how the pictures of one viewer are sent.
type pictures struct {
	*viewer
	now    *reading
	next   *reading // what is to be sent from a key frame on, or nil
	begun  time.Time
	offset uint32 // of the RTP timestamps
	stamp  int64  // of the last picture, without offset; 0: none was sent
}

// sendPictures sends the pictures of the rendition that is wanted, from the newest key
// frame on, until the stream ends or the viewer goes.
func (v *viewer) sendPictures() error {
	p := &pictures{viewer: v, offset: rand.Uint32()}
	v.video.offset.Store(p.offset)
	defer func() { p.now.close(); p.next.close() }()
	if err := p.begin(); err != nil {
		return err
	}
	for {
		item, err := p.now.reader.Next(v.ctx)
		switch {
		case err != nil:
			err = p.replace(err)
		case v.again.Swap(false) && time.Since(p.begun) > settleTime:
			err = p.begin()
		case item.Tracks == nil:
			err = p.take(item.Unit)
		}
		if err != nil {
			return err
		}
	}
}

// take sends a picture, or one of the rendition that is wanted now in its place.
func (p *pictures) take(u hub.Unit) error {
	switch wanted := p.wanted.Load(); {
	case wanted == p.now.stream:
		p.next.close()
		p.next = nil
	case p.next == nil || p.next.stream != wanted:
		p.next.close()
		p.next = p.open(wanted)
	}
	if u.Key && p.next != nil {
		turned, err := p.turn(u.PTS)
		if turned || err != nil {
			return err
		}
	}
	return p.send(u, u.PTS)
}

// turnTime bounds how long the key frame of another rendition is waited for.
const turnTime = 2 * time.Second

// turn goes over to the next rendition at the key frame of that time, if it comes:
// renditions have the same key frames, one a little later than another.
func (p *pictures) turn(pts int64) (bool, error) {
	ctx, cancel := context.WithTimeout(p.ctx, turnTime)
	defer cancel()
	for {
		item, err := p.next.reader.Next(ctx)
		if err != nil {
			p.next.close()
			p.next = nil
			p.wanted.Store(p.now.stream)
			return false, p.ctx.Err()
		}
		if u := item.Unit; item.Tracks == nil && u.Key && u.PTS >= pts {
			p.now.close()
			p.now, p.next = p.next, nil
			return true, p.send(u, u.PTS)
		}
	}
}

// replaceTime bounds how long another rendition is waited for: one that is made may
// begin anew.
const replaceTime = 3 * time.Second

// replace goes on with another rendition when one has ended that was made, or when the
// source cannot be sent any more. The end of the source is that of the stream.
func (p *pictures) replace(cause error) error {
	if p.now.stream == p.program.Source() && !errors.Is(cause, errUnusable) {
		return cause
	}
	for until := time.Now().Add(replaceTime); time.Now().Before(until) && p.ctx.Err() == nil; {
		choices := slices.DeleteFunc(p.choices(), func(c choice) bool { return c.stream == p.now.stream })
		if len(choices) > 0 {
			p.wanted.Store(choices[start(choices, startRate)].stream)
			return p.begin()
		}
		select {
		case <-time.After(replaceTime / 30):
		case <-p.ctx.Done():
		}
	}
	return cause
}

// settleTime is how long a key frame may be under way: who asks for another meanwhile
// has not seen it yet.
const settleTime = 250 * time.Millisecond

// begin sends what there is from the newest key frame on. So that the viewer is at
// once where the others are, these pictures are to be shown a millisecond after
// another; the newest has the time that it has for all.
func (p *pictures) begin() error {
	p.now.close()
	p.next.close()
	p.now, p.next = p.open(p.wanted.Load()), nil
	var waiting []hub.Unit
	for ctx := p.ctx; ; {
		item, err := p.now.reader.Next(ctx)
		if err != nil && len(waiting) == 0 {
			return p.replace(err)
		}
		if err != nil {
			break // there are no more, or the next call says it again
		}
		if item.Tracks == nil {
			waiting = append(waiting, item.Unit)
			ctx = noWait()
		}
	}
	p.begun = time.Now()
	newest := waiting[len(waiting)-1].PTS
	for i, u := range waiting {
		before := len(waiting) - 1 - i
		if err := p.send(u, newest-int64(before)*pictureClock/1000); err != nil {
			return err
		}
		// As quick as it can be, but with no burst that overflows the queues on the way.
		if before > 0 {
			time.Sleep(time.Duration(len(u.Data)) * time.Second / burstRate)
		}
	}
	return nil
}

const (
	pictureClock = 90000
	burstRate    = 8 << 20 // bytes a second
)

// noWait has a reader give only what is there.
func noWait() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// send sends a picture, to be shown at that time.
func (p *pictures) send(u hub.Unit, stamp int64) error {
	if p.stamp > 0 {
		stamp = max(stamp, p.stamp+1)
	}
	p.stamp = stamp
	p.time.note(span(u.PTS, pictureClock), time.Now())
	way := p.way.Load()
	way.hold()
	defer way.release()
	for data := u.Data; len(data) > 2; {
		n := int(binary.BigEndian.Uint16(data))
		payload := data[2 : 2+n : 2+n]
		data = data[2+n:]
		if err := p.video.send(payload, uint32(stamp)+p.offset, len(data) == 0); err != nil {
			return err
		}
	}
	return nil
}
