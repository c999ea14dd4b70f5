package life

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"liuyun/internal/base/fault"
)

// isStop reports whether err only says that the context ended.
func isStop(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// stopAll stops the components that were started, the last first, and names those
// that did not finish in time.
func (g *Group) stopAll() (late []string) {
	deadline := time.NewTimer(g.drain)
	defer deadline.Stop()
	inTime := true
	for _, c := range slices.Backward(g.components) {
		if c.stop == nil {
			continue
		}
		began := time.Now()
		c.stop()
		if inTime {
			select {
			case <-c.done:
				g.log.Debug("stopped", "component", c.Name, "took", time.Since(began).Round(time.Millisecond))
				continue
			case <-deadline.C:
				inTime = false
			}
		}
		select {
		case <-c.done:
		default:
			late = append(late, c.Name)
		}
	}
	return late
}

// Waiting is a component that cannot be used now, and why.
type Waiting struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Waiting returns the components that cannot be used now: none when the process
// can do its work.
func (g *Group) Waiting() []Waiting {
	g.mu.Lock()
	components, stopping := slices.Clone(g.components), g.stopping
	g.mu.Unlock()
	waiting := []Waiting{}
	for _, c := range components {
		if reason := c.reason(stopping); reason != "" {
			waiting = append(waiting, Waiting{c.Name, reason})
		}
	}
	return waiting
}

// reason says why the component cannot be used, or is empty.
func (c *running) reason(stopping bool) string {
	if stopping {
		return "stopping"
	}
	select {
	case <-c.ready:
	default:
		return "starting"
	}
	if c.Healthy == nil {
		return ""
	}
	if err := c.Healthy(); err != nil {
		return fault.Message(err)
	}
	return ""
}

// Handler answers GET /readyz: 200 when every component can be used, else 503; in
// both cases with the components that cannot.
func (g *Group) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		waiting := g.Waiting()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if len(waiting) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		json.NewEncoder(w).Encode(struct {
			Ready   bool      `json:"ready"`
			Waiting []Waiting `json:"waiting"`
		}{len(waiting) == 0, waiting})
	})
}
