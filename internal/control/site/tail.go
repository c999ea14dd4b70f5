package site

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

const (
	mostTails  = 64 // on one node
	tailBuffer = 64 // batches that wait for a reader; more are dropped
	tailEvery  = 15 * time.Second
	tailFor    = 40 * time.Second
	tailWrite  = 10 * time.Second // that a reader may take for one
)

func (s *Service) tailRoute(a *web.API) {
	a.Raw(web.Op{
		ID: "tail-requests", Method: http.MethodGet, Path: "/v1/sites/{id}/requests", Tag: "Sites", Scope: guard.SitesRead, Summary: "Watch requests as edges answer them",
		Description: "Server-sent events, one a request: `data:` is JSON. Each edge shows at most 20 a second of a site, and nothing while nobody watches.",
	}, web.Media{Response: "text/event-stream"}, http.HandlerFunc(s.tail))
}

// tail serves requests as they are answered.
func (s *Service) tail(w http.ResponseWriter, r *http.Request) {
	of := r.PathValue("id")
	err := s.mayWatch(r.Context(), of)
	if err == nil {
		err = s.enterTail()
	}
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	defer s.leaveTail()
	seen := make(chan edge.Seen, tailBuffer)
	stop, err := s.deps.Messages.SubscribeFrom(edge.SubjectSeen, func(node string, data []byte) {
		var batch edge.Seen
		if json.Unmarshal(data, &batch) != nil || batch.Node != node || batch.Site != of {
			return
		}
		select {
		case seen <- batch:
		default:
		}
	})
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	defer stop()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx in front must not hold it back
	s.copyTail(w, r, of, seen)
}

func (s *Service) mayWatch(ctx context.Context, of string) error {
	return s.deps.DB.Read(ctx, func(tx *store.Tx) error {
		_, err := s.may(ctx, tx, of)
		return err
	})
}

// stillMay says whether who watches may go on: the key, or the site, may be gone.
// Records that cannot be read now say nothing of that.
func (s *Service) stillMay(r *http.Request, of string) bool {
	p, err := s.deps.Authenticate(r)
	if err == nil {
		err = s.mayWatch(guard.With(r.Context(), p), of)
	}
	return err == nil || fault.CodeOf(err) != fault.Forbidden && fault.CodeOf(err) != fault.NotFound
}

func (s *Service) copyTail(w http.ResponseWriter, r *http.Request, of string, seen <-chan edge.Seen) {
	out := http.NewResponseController(w)
	again := time.NewTicker(s.tailEvery)
	defer again.Stop()
	write := func(text string) bool {
		out.SetWriteDeadline(time.Now().Add(tailWrite)) // not supported in tests without a connection
		_, err := w.Write([]byte(text))
		return err == nil && out.Flush() == nil
	}
	for begun := false; ; begun = true {
		if !begun {
			s.askForTail(of)
			if !write("retry: 2000\n\n") {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-again.C:
			if !s.stillMay(r, of) {
				return
			}
			s.askForTail(of)
			if !write(": alive\n\n") {
				return
			}
		case batch := <-seen:
			for _, request := range batch.Requests {
				text, err := json.Marshal(request)
				if err != nil || !write(fmt.Sprintf("event: request\ndata: %s\n\n", text)) {
					return
				}
			}
		}
	}
}

// askForTail has edges show requests for a while.
func (s *Service) askForTail(of string) {
	if err := s.deps.Messages.Publish(edge.SubjectTail, edge.Tail{Site: of, Until: s.now().Add(tailFor)}); err != nil {
		s.deps.Log.Debug("edges were not asked to show requests", "cause", err)
	}
}

func (s *Service) enterTail() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tails >= mostTails {
		return fault.New(fault.Limit, "this node has %d readers of requests, which is the most: close one, or try again later", mostTails)
	}
	s.tails++
	return nil
}

func (s *Service) leaveTail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tails--
}
