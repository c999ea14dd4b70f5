package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/web"
)

const (
	maxStreams = 256 // on one node
	// streamBuffer is what waits for a reader. When it is full, progress is left
	// out, and events are read from the bus as slowly as the reader takes them; one
	// who takes nothing for ten seconds is cut off and comes back with Last-Event-ID.
	streamBuffer = 64
)

// message is an event for a reader; seq is 0 for what is told once and not kept.
type message struct {
	seq   uint64
	event event.Event
}

// stream serves GET /v1/events.
func (s *Service) stream(w http.ResponseWriter, r *http.Request) {
	p, _ := guard.From(r.Context())
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		web.Problem(w, r, fault.New(fault.Limit, "this node has %d streams of events, which is the most: close one, or try again later", maxStreams))
		return
	}
	defer s.streams.Add(-1)
	after, err := s.startOf(r)
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	messages := make(chan message, streamBuffer)
	stop, err := s.bus.Announced(func(e event.Event) {
		if e.Tenant == p.Tenant || e.Tenant == "" && p.Allows(guard.NodesRead) {
			select {
			case messages <- message{event: e}:
			default:
			}
		}
	})
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx in front must not hold it back
	out := &eventWriter{w: w, control: http.NewResponseController(w), timeout: s.timing.write}
	// A number from the start: a reader that is cut off before the first event
	// resumes without a gap.
	if out.write(fmt.Sprintf("retry: 2000\nid: %d\n\n", after)) != nil {
		return
	}
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() error {
		return s.bus.Events(ctx, after, func(seq uint64, e event.Event) error {
			if e.Tenant != p.Tenant {
				return nil
			}
			select {
			case messages <- message{seq, e}:
			case <-ctx.Done():
			}
			return nil
		})
	})
	still := func() error {
		now, err := s.who(r)
		if err == nil && now.Tenant != p.Tenant {
			err = fault.New(fault.Forbidden, "the key is of another tenant now")
		}
		return err
	}
	g.Go(func() error { return s.copy(ctx, out, messages, still) })
	if err := g.Wait(); err != nil {
		s.log.Debug("notify: a stream ended", "error", err)
	}
}

// startOf returns the number after which the request wants events: Last-Event-ID,
// else the newest.
func (s *Service) startOf(r *http.Request) (uint64, error) {
	last := r.Header.Get("Last-Event-ID")
	if last == "" {
		return s.bus.LastEvent(r.Context())
	}
	after, err := strconv.ParseUint(last, 10, 64)
	if err != nil {
		return 0, fault.New(fault.Invalid, "Last-Event-ID must be the id of an event of this stream, a number")
	}
	return after, nil
}

// copy writes messages, and a comment now and then, so that proxies and readers
// know that the connection lives. It ends when still does not hold: a key may be
// deleted while its stream is open.
func (s *Service) copy(ctx context.Context, out *eventWriter, messages <-chan message, still func() error) error {
	heartbeat := time.NewTicker(s.timing.heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case m := <-messages:
			err = out.event(m)
		case <-heartbeat.C:
			if err = still(); fault.CodeOf(err) == fault.Forbidden {
				return err
			}
			err = out.write(": alive\n\n")
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// eventWriter writes server-sent events (HTML Living Standard, section 9.2).
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (o *eventWriter) event(m message) error {
	data, err := json.Marshal(m.event)
	if err != nil {
		return err
	}
	id := ""
	if m.seq > 0 {
		id = fmt.Sprintf("id: %d\n", m.seq)
	}
	return o.write(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, m.event.Type, data))
}

func (o *eventWriter) write(text string) error {
	if err := o.control.SetWriteDeadline(time.Now().Add(o.timeout)); err != nil {
		return err
	}
	if _, err := o.w.Write([]byte(text)); err != nil {
		return err
	}
	return o.control.Flush()
}
