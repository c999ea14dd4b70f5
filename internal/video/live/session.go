package live

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/window"
)

// encoder is the connection that sends.
type encoder interface {
	// kick has the connection end soon, and the other side told why.
	kick(why string)
}

// session is a stream from its first encoder until it is idle, whoever sends
// meanwhile.
type session struct {
	id, tenant string
	group      *window.Group
	log        *slog.Logger
	wake       chan struct{} // facts have changed
	cancel     context.CancelFunc
	done       chan struct{} // closed when nothing of it goes on

	mu      sync.Mutex
	channel channel
	holder  encoder
	feed    *feed
	seen    time.Time // the last sign of life of the holder
	closing bool      // nobody may join any more
	report  *StreamHealth
	ticked  time.Time
}

// silentFor is how long an encoder must not have sent anything before another one
// may take its place.
const silentFor = 5 * time.Second

// errClosing is what join returns for a session that is over.
var errClosing = errors.New("the session is over")

// join makes e the one who sends.
func (l *session) join(e encoder, name string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return errClosing
	}
	if l.holder != nil {
		if now.Sub(l.seen) <= silentFor {
			return fault.New(fault.Conflict, "another encoder sends to this stream; stop that one first")
		}
		l.holder.kick("another encoder has taken its place")
		l.log.Warn("a silent encoder lost its place to another")
	}
	l.holder, l.seen, l.ticked, l.report = e, now, now, nil
	l.feed = newFeed(&l.channel, name, now)
	l.poke()
	return nil
}

// leave is called when e's connection has ended.
func (l *session) leave(e encoder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == e {
		l.holder, l.feed, l.report = nil, nil, nil
		l.poke()
	}
}

// put has fn put into the feed what e sent. It is Conflict when e is no longer the
// one who sends.
func (l *session) put(e encoder, now time.Time, fn func(*feed) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder != e {
		return fault.New(fault.Conflict, "another encoder has taken its place")
	}
	was := l.feed.started
	l.seen = now
	err := fn(l.feed)
	if l.feed.started != was {
		l.poke()
	}
	return err
}

// poke has the lifecycle look at the facts.
func (l *session) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *session) facts() facts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return facts{present: l.holder != nil, onAir: l.feed != nil && l.feed.started}
}

// stop ends the session: who sends is told why.
func (l *session) stop(why string) {
	l.mu.Lock()
	l.closing = true
	if l.holder != nil {
		l.holder.kick(why)
	}
	l.mu.Unlock()
	l.cancel()
}

// retire closes a session that nobody has joined meanwhile.
func (l *session) retire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = l.closing || l.holder == nil
	return l.closing
}

// tick measures the last second. It returns nil where nobody sends.
func (l *session) tick() *StreamHealth {
	w := l.group.Health()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.feed == nil {
		return nil
	}
	now := time.Now()
	l.channel.meter.tick(now.Sub(l.ticked))
	l.ticked = now
	l.report = l.channel.meter.report(w)
	return l.report
}

// health is how a stream goes, nil where nobody sends to it here.
func (s *Service) health(id string) *StreamHealth {
	s.mu.Lock()
	l := s.sessions[id]
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

// join lets an encoder send to the stream of its key.
func (s *Service) join(ctx context.Context, key string, e encoder, name string) (*session, error) {
	r, err := s.admit(ctx, key)
	if err != nil {
		return nil, err
	}
	for {
		l, err := s.session(r, Connecting, func(l *session) error { return l.join(e, name, time.Now()) })
		if !errors.Is(err, errClosing) {
			return l, err
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// session returns the session of a stream when fn has done what it was called for.
// A new one begins in the given state after that.
func (s *Service) session(r *stream, from Status, fn func(*session) error) (*session, error) {
	group, err := s.openWindow(r.ID)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.sessions[r.ID]; l != nil {
		return l, fn(l)
	}
	if s.running == nil || s.running.Err() != nil {
		return nil, fault.New(fault.Unavailable, "the server is stopping; connect again in a moment")
	}
	ctx, cancel := context.WithCancel(s.running)
	l := &session{
		id: r.ID, tenant: r.Tenant, group: group, log: s.Log.With("stream", r.ID, "name", r.Name, "tenant", r.Tenant),
		wake: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}),
		// Time goes on from session to session, so that what is in the window stays
		// before what comes.
		channel: channel{out: hub.New(hubLimits()), clock: newClock(max(time.Since(r.Created), s.heads[r.ID]))},
	}
	if err := fn(l); err != nil {
		cancel()
		return nil, err
	}
	s.sessions[r.ID] = l
	s.work.Go(func() { s.supervise(ctx, l, from) })
	return l, nil
}

// hubLimits are small: the window alone reads a stream, and never lags for long.
func hubLimits() hub.Limits { return hub.Limits{Units: 512, Bytes: 16 << 20} }

// supervise runs a session until its stream is idle, or ctx ends.
func (s *Service) supervise(ctx context.Context, l *session, from Status) {
	defer close(l.done)
	defer l.cancel()
	var cutting sync.WaitGroup
	cutting.Go(func() { l.cut(ctx) })
	life := lifecycle{
		facts: l.facts, wake: l.wake, log: l.log,
		tell:   func(ctx context.Context, to Status) error { return s.setStatus(ctx, l.id, to) },
		second: func(now Status) { s.announce(l, now, l.tick()) },
	}
	for life.run(ctx, from); ctx.Err() == nil && !l.retire(); {
		life.run(ctx, Connecting)
	}
	if ctx.Err() != nil {
		l.stop("the server is stopping")
		l.channel.out.End(ctx.Err())
	} else {
		l.channel.out.End(nil) // viewers see that it is over
	}
	cutting.Wait()
	l.mu.Lock()
	head := time.Duration(l.channel.clock.head+joint) * time.Millisecond
	l.mu.Unlock()
	s.mu.Lock()
	delete(s.sessions, l.id)
	s.heads[l.id] = head
	s.mu.Unlock()
}

// cut has the window cut what comes, until the hub's stream ends. What fails is
// begun again: viewers miss a part of the stream, not all of it.
func (l *session) cut(ctx context.Context) {
	for {
		err := l.group.Run(context.WithoutCancel(ctx), l.channel.out.Read())
		if err == nil || ctx.Err() != nil {
			return
		}
		l.log.Error("the stream was not cut; it is begun again", "cause", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// healthMessage is a passing word on a stream; nothing is lost with it.
type healthMessage struct {
	ID     string        `json:"id"`
	Status Status        `json:"status"`
	Health *StreamHealth `json:"health"`
}

// announce tells who watches how a stream goes; it may be lost.
func (s *Service) announce(l *session, status Status, h *StreamHealth) {
	if h == nil {
		return
	}
	data, err := json.Marshal(healthMessage{l.id, status, h})
	if err == nil {
		err = s.Bus.Announce(event.Event{Type: event.StreamHealth, Tenant: l.tenant, Data: data})
	}
	if err != nil {
		l.log.Debug("health was not passed on", "cause", err)
	}
}
