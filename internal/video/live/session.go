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
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/window"
)

// session is a stream from its first encoder until it is idle, whoever sends
// meanwhile.
type session struct {
	id, tenant string
	group      *window.Group
	leave      func()        // ends its use of group
	source     *hub.Stream   // what goes on
	part       time.Duration // of the window
	log        *slog.Logger
	wake       chan struct{} // facts have changed
	looked     time.Time     // when its record was looked at
	deleted    bool          // its record is gone
	cancel     context.CancelFunc
	done       chan struct{} // closed when nothing of it goes on
	crowd      *audience
	traffic    *traffic

	mu      sync.Mutex
	channel *ingest.Channel // into source
	inputs  [2]*input       // primary and backup; nil is nobody
	onAir   *input          // one of them
	showing bool            // viewers see it, when that was last looked at
	slate   bool            // a still picture is shown while nothing comes
	closing bool            // nobody may join any more
	halted  bool            // and nobody is waited for: the stream is stopped
	record  bool            // it is to be recorded, …
	from    int64           // … from that segment on
	report  *StreamHealth
	ticked  time.Time

	received int64 // bytes, from all inputs

	renditions *renditions // of source
}

// silentFor is how long an encoder must not have sent anything before another one
// may take its place.
const silentFor = 5 * time.Second

// errClosing is what join returns for a session that is over.
var errClosing = errors.New("the session is over")

// splice tells viewers of a splice.
func (l *session) splice(section []byte, pts int64) {
	if err := l.group.Splice(section, pts); err != nil {
		l.log.Debug("a splice was not understood", "cause", err)
	}
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
	return facts{present: l.present(), onAir: l.shown(time.Now()), halted: l.halted}
}

// stop ends the session: who sends is told why.
func (l *session) stop(why string) {
	l.mu.Lock()
	l.closing = true
	for _, in := range l.inputs {
		if in != nil {
			in.connection.Kick(why)
		}
	}
	l.mu.Unlock()
	l.cancel()
}

// retire closes a session that nobody has joined meanwhile.
func (l *session) retire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = l.closing || !l.present()
	return l.closing
}

// tick measures the last second, and adds what others have noticed. It returns nil
// where nobody sends and nothing is shown.
func (l *session) tick(noticed []StreamProblem) *StreamHealth {
	w := l.group.Health()
	now := time.Now()
	viewers := l.crowd.count(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, in := range l.inputs {
		if in != nil {
			l.count(in)
			in.feed.Tick(now.Sub(l.ticked))
		}
	}
	l.ticked = now
	l.crowd.last.tick(now, viewers, l.received, l.crowd.sent.now())
	l.report = l.health(w)
	if l.report != nil {
		l.report.Problems = append(l.report.Problems, noticed...)
		l.renditions.look(l.report)
	}
	return l.report
}

// health is how a stream goes, nil where nobody sends to it here.
func (s *Service) health(id string) *StreamHealth {
	l := s.current(id)
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

// current returns the session of a stream, or nil.
func (s *Service) current(stream string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[stream]
}

// session returns the session of a stream when fn has done what it was called for.
// A new one begins in the given state after that.
func (s *Service) session(r *stream, from Status, fn func(*session) error) (*session, error) {
	group, leave, err := s.openWindow(r.ID)
	if err != nil {
		return nil, err
	}
	begun := false
	defer func() {
		if !begun {
			leave()
		}
	}()
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
		id: r.ID, tenant: r.Tenant, group: group, leave: leave, source: hub.New(hubLimits()), part: s.Config.Part, log: s.Log.With("stream", r.ID, "name", r.Name, "tenant", r.Tenant),
		wake: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}), crowd: s.crowd.find(r.ID), traffic: &s.traffic,
	}
	l.record, l.renditions = r.Record, newRenditions(l, &s.kitchen, r.Ladder, s.Config.Adapt)
	l.from, _ = group.Next()
	group.Plan(window.Plan{}) // what is hidden from viewers is decided anew
	// Time goes on from session to session, so that what is in the window stays before
	// what comes.
	l.channel = ingest.NewChannel(l.source, max(time.Since(r.Created), s.heads[r.ID]))
	l.channel.Offer, l.channel.Spliced, l.slate = l.offer, l.splice, s.Config.Slate
	if err := fn(l); err != nil {
		cancel()
		return nil, err
	}
	l.crowd.last.begin(time.Now(), l.crowd.sent.now())
	s.sessions[r.ID], begun = l, true
	s.work.Go(func() { s.supervise(ctx, l, from) })
	return l, nil
}

// hubLimits are for the slowest of its readers; what all have taken goes after a second.
func hubLimits() hub.Limits { return hub.Limits{Units: 1024, Bytes: 16 << 20, Span: time.Second} }

// lookEvery is how often a session looks at the record of its stream, which another
// node may have changed or deleted.
const lookEvery = 3 * time.Second

// followRecord has a session do what the record of its stream says. It is called by
// supervise alone.
func (s *Service) followRecord(ctx context.Context, l *session) {
	if time.Since(l.looked) < lookEvery {
		return
	}
	l.looked = time.Now()
	switch r, err := s.streamOf(ctx, l.id); {
	case fault.CodeOf(err) == fault.NotFound:
		l.deleted = true
		l.stop("the stream was deleted")
	case err == nil:
		s.wantRecording(r)
		s.wantLadder(r)
		s.wantStopped(r)
	case ctx.Err() == nil:
		l.log.Debug("the record of the stream was not looked at", "cause", err)
	}
}

// supervise runs a session until its stream is idle, or ctx ends.
func (s *Service) supervise(ctx context.Context, l *session, from Status) {
	defer close(l.done)
	defer l.leave()
	defer l.cancel()
	var cutting sync.WaitGroup
	cutting.Go(func() { l.cut(ctx) })
	cutting.Go(func() { l.watching(ctx) })
	cutting.Go(func() { l.renditions.run(ctx) })
	life := lifecycle{
		facts: l.facts, wake: l.wake, log: l.log,
		tell: func(ctx context.Context, to Status) error { return s.setStatus(ctx, l.id, to) },
		second: func(now Status) {
			s.followRecord(ctx, l)
			s.followRecording(ctx, l, now)
			s.announce(l, now, l.tick(s.recordingProblems(l.id)))
		},
	}
	for life.run(ctx, from); ctx.Err() == nil && !l.retire(); {
		life.run(ctx, Connecting)
	}
	if ctx.Err() != nil {
		l.stop("the server is stopping")
		l.source.End(ctx.Err())
	} else {
		l.source.End(nil) // viewers see that it is over
	}
	l.cancel()
	cutting.Wait()
	l.finish()
	if running := s.context(); running.Err() == nil {
		s.endRecording(running, l.id)
	}
	l.mu.Lock()
	head := l.channel.Head()
	l.mu.Unlock()
	s.mu.Lock()
	delete(s.sessions, l.id)
	s.heads[l.id] = head
	s.mu.Unlock()
	if !l.deleted {
		return
	}
	if err := s.forgetDeleted(s.context(), l.id); err != nil {
		l.log.Warn("what a deleted stream has left is removed when the server starts again", "cause", err)
	}
}

// What of the length of a part things may wait, so that several units are handled at
// once: before a window cuts them, and each time before and after a child has renditions
// made of them.
const (
	cutShare  = 8 // so that they come at the same moments
	holdShare = 4
	// worthwhile is the least wait from which on several units come together.
	worthwhile = 40 * time.Millisecond
)

// wait is that share of a part's length, or nothing where that would save nothing.
func (l *session) wait(share time.Duration) time.Duration {
	if d := l.part / share; d >= worthwhile {
		return d
	}
	return 0
}

// cut has the window cut what comes, until the hub's stream ends. What fails is
// begun again: viewers miss a part of the stream, not all of it.
func (l *session) cut(ctx context.Context) {
	for {
		err := l.group.Run(context.WithoutCancel(ctx), l.source.ReadAll().Every(l.wait(cutShare)))
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
	ID      string        `json:"id"`
	Status  Status        `json:"status"`
	Viewers int           `json:"viewers"`
	Health  *StreamHealth `json:"health"`
}

// announce tells who watches how a stream goes; it may be lost.
func (s *Service) announce(l *session, status Status, h *StreamHealth) {
	if h == nil {
		return
	}
	data, err := json.Marshal(healthMessage{l.id, status, l.crowd.count(time.Now()), h})
	if err == nil {
		err = s.Bus.Announce(event.Event{Type: event.StreamHealth, Tenant: l.tenant, Data: data})
	}
	if err != nil {
		l.log.Debug("health was not passed on", "cause", err)
	}
}
