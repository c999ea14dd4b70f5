package live

import (
	"context"
	"net/http"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/web"
)

// errStopped is what an encoder of a stopped stream is told, whether it comes or is
// there.
func errStopped(id string) error {
	return fault.New(fault.Conflict, "the stream is stopped; start it in the console or by POST /v1/streams/%s/start", id)
}

// stopRoutes adds the operations to the API that stop and start a stream.
func (s *Service) stopRoutes(api *web.API, op func(id, method, path, summary, scope string) web.Op) {
	start := op("start-stream", http.MethodPost, "/v1/streams/{id}/start", "Start a stream that is stopped", guard.AssetsWrite)
	start.Description = "Encoders are let in again. A source is fetched by the node that is asked, also after a restart; one that waits to be tried again is tried now."
	web.Add(api, start, s.apiStart)
	stop := op("stop-stream", http.MethodPost, "/v1/streams/{id}/stop", "Stop a stream, also while it is on air", guard.AssetsWrite)
	stop.Description = "Until it is started nothing is fetched for it and no encoder is let in. Who sends is told so and sent away, viewers see that it is over, and what is recorded ends."
	web.Add(api, stop, s.apiStop)
}

type stopInput struct {
	StreamPath
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
}

func (s *Service) apiStart(ctx context.Context, in *stopInput) (*streamOutput, error) {
	r, err := s.turn(ctx, in, func(r *stream) error {
		r.Stopped = false
		if !r.Source.exists() {
			return nil
		}
		return s.startHere(&r.Source)
	})
	if err == nil {
		s.fetching.again(r.ID)
	}
	return s.answer(r, "", err)
}

func (s *Service) apiStop(ctx context.Context, in *stopInput) (*streamOutput, error) {
	r, err := s.turn(ctx, in, func(r *stream) error {
		r.Stopped = true
		return nil
	})
	if err == nil {
		s.wantStopped(r)
	}
	return s.answer(r, "", err)
}

// turn starts or stops a stream in its record.
func (s *Service) turn(ctx context.Context, in *stopInput, edit func(*stream) error) (*stream, error) {
	who, _ := guard.From(ctx)
	r, err := s.change(ctx, who.Tenant, in.ID, event.StreamUpdated, func(r *stream) error {
		if err := web.CheckMatch(in.IfMatch, r.Rev); err != nil {
			return err
		}
		return edit(r)
	})
	if err == nil {
		s.reconcile()
	}
	return r, err
}

// wantStopped ends what goes on here of a stream whose record says that it is stopped.
func (s *Service) wantStopped(r *stream) {
	l := s.current(r.ID)
	if l != nil && r.Stopped {
		l.halt(fault.Message(errStopped(r.ID)))
	}
}

// halt ends the session as when its encoders had not come back: who sends is told why,
// viewers see that it is over, and what is recorded ends.
func (l *session) halt(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing, l.halted = true, true
	for _, in := range l.inputs {
		if in != nil {
			in.connection.Kick(why)
			l.drop(in)
		}
	}
	l.poke()
}
