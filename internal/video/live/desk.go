package live

import (
	"context"
	"errors"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// Publish lets an encoder send to the stream of its key, see [ingest.Desk].
func (s *Service) Publish(ctx context.Context, key string, c ingest.Connection) (ingest.Input, error) {
	r, err := s.admit(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.publish(ctx, r, c)
}

// publish makes a connection one that sends to a stream.
func (s *Service) publish(ctx context.Context, r *stream, c ingest.Connection) (ingest.Input, error) {
	for {
		if r.Stopped {
			return nil, errStopped(r.ID)
		}
		var in *input
		l, err := s.session(r, Connecting, func(l *session) (err error) {
			in, err = l.join(c, time.Now())
			return err
		})
		switch {
		case err == nil:
			return in, nil
		case !errors.Is(err, errClosing):
			return nil, err
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if r, err = s.streamOf(ctx, r.ID); err != nil { // it was perhaps stopped
			return nil, err
		}
	}
}

// desk is the service as the server of one protocol sees it. It is an [ingest.Desk].
type desk struct {
	*Service
	by way
}

// Watch lets a reader see a stream that is on air here.
func (s desk) Watch(ctx context.Context, id, token string) (ingest.Program, error) {
	if _, err := s.view(ctx, target{token: token, stream: id}); err != nil {
		return nil, err
	}
	l := s.current(id)
	if l == nil {
		return nil, fault.New(fault.Unavailable, "nothing is on air; come back when the stream has begun")
	}
	return &program{l, s.by}, nil
}

// program is a stream that is on air, as readers see it.
type program struct {
	session *session
	by      way
}

func (p *program) Enter() (leave func()) { return p.session.crowd.enter(p.by) }

func (p *program) Source() *hub.Stream { return p.session.source }

func (p *program) Rungs() []ingest.Rung { return p.session.renditions.ladder.Rungs() }

func (p *program) Laddered() bool { return p.session.renditions.laddered() }

func (p *program) Opus(ctx context.Context) (*hub.Stream, func(), error) {
	return p.session.renditions.sound(ctx)
}

// input is one connection that sends. It is an [ingest.Input].
type input struct {
	session    *session
	connection ingest.Connection
	feed       *ingest.Feed // the session's mutex guards it, and what follows
	since      time.Time
	seen       time.Time // the last sign of life
	delivered  time.Time // the last picture, or frame of sound where there are none
	steady     time.Time // since when it has delivered without a pause
	refreshed  time.Time // when it was asked for a key frame
	counted    int64     // bytes of it that statistics have
}

// put has fn put into the feed what came. It is Conflict when another connection has
// taken its place.
func (in *input) put(now time.Time, fn func(*ingest.Feed) error) error {
	l := in.session
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inputs[slot(in.connection)] != in {
		return errReplaced()
	}
	was := in.feed.Started()
	in.seen = now
	err := fn(in.feed)
	if in.feed.Started() != was {
		l.poke()
	}
	return err
}

func errReplaced() error {
	return fault.New(fault.Conflict, "another encoder has taken its place")
}

func (in *input) Expect(pictures, sound bool) {
	_ = in.put(time.Now(), func(f *ingest.Feed) error { // what comes next is told
		f.Expect(pictures, sound)
		return nil
	})
}

func (in *input) Video(codec hub.Codec, config []byte) error {
	return in.put(time.Now(), func(f *ingest.Feed) error { return f.Video(codec, config) })
}

func (in *input) Audio(codec hub.Codec, config []byte) error {
	return in.put(time.Now(), func(f *ingest.Feed) error { return f.Audio(codec, config) })
}

func (in *input) Picture(p ingest.Picture) error {
	return in.put(p.At, func(f *ingest.Feed) error {
		return in.deliver(p.At, func() error { return f.Picture(p) })
	})
}

func (in *input) Sound(s ingest.Sound) error {
	return in.put(s.At, func(f *ingest.Feed) error {
		if f.Pictures() {
			return f.Sound(s)
		}
		return in.deliver(s.At, func() error { return f.Sound(s) })
	})
}

func (in *input) Splice(section []byte, pts int64, at time.Time) error {
	return in.put(at, func(f *ingest.Feed) error { return f.Splice(section, pts, at) })
}

// Close ends the connection's part in the stream.
func (in *input) Close() {
	l := in.session
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inputs[slot(in.connection)] == in {
		l.drop(in)
		l.log.Info("an encoder has gone", "as", in.role(), "protocol", in.connection.Protocol, "from", in.connection.Remote)
	}
}
