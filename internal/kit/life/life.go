// Package life starts the parts of a process in order and stops them in reverse.
// It restarts nothing: a part that can mend itself does so inside its Run.
package life

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"liuyun/internal/base/fault"
)

// Component is one part of a process. Run works until ctx ends, then finishes
// what it has begun and returns nil; it calls ready once, as soon as others may
// use it, and before that it may use every component listed before it. An error,
// or a return while ctx goes on, stops the whole process. What was made before
// Run starts nothing, so a component that never ran needs no end.
type Component struct {
	Name string // for people: "bus", "viewer listener"
	Run  func(ctx context.Context, ready func()) error

	// Healthy says why a component that was ready cannot work just now. It is asked
	// by /readyz and must answer at once; nil means always healthy.
	Healthy func() error
}

// Group is components that live together.
type Group struct {
	log   *slog.Logger
	drain time.Duration

	mu         sync.Mutex // guards what follows
	components []*running
	stopping   bool
}

// running is a component and how far it has come.
type running struct {
	Component
	ready chan struct{} // closed when it may be used
	done  chan struct{} // closed when Run has returned
	stop  context.CancelFunc
}

// New returns an empty group. Drain is how long all components together may take
// to finish when they are asked to stop.
func New(log *slog.Logger, drain time.Duration) *Group {
	return &Group{log: log, drain: drain}
}

// Add appends components. It must not be called after Run.
func (g *Group) Add(components ...Component) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range components {
		g.components = append(g.components, &running{Component: c, ready: make(chan struct{}), done: make(chan struct{})})
	}
}

// Run starts the components in order, each when the one before is ready, and
// works until ctx ends or one of them fails; then it stops them in reverse, each
// when the one before has finished. It returns nil when it was asked to stop and
// all did, else a fault that names the component: the first that failed, or those
// that did not finish in the drain time (whose goroutines are left behind: the
// process must exit). It is called once.
func (g *Group) Run(ctx context.Context) error {
	failed := make(chan error, len(g.components)) // room for each: nobody waits to tell
	err := g.start(ctx, failed)
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	g.mu.Lock()
	g.stopping = true
	g.mu.Unlock()
	late := g.stopAll()
	if err == nil {
		select {
		case err = <-failed: // while it finished
		default:
		}
	}
	if err == nil && len(late) > 0 {
		err = fault.New(fault.Internal, "%s did not finish within %s of being asked to stop", strings.Join(late, ", "), g.drain)
	}
	return err
}

// start starts one component after the other. It returns nil when all are ready
// or ctx ended, else the failure.
func (g *Group) start(ctx context.Context, failed chan<- error) error {
	first := make(chan error, len(g.components))
	tell := func(err error) { first <- err; failed <- err }
	for _, c := range g.components {
		began := time.Now()
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		g.mu.Lock()
		c.stop = stop
		g.mu.Unlock()
		go c.run(own, tell)
		select {
		case <-c.ready:
			g.log.Debug("started", "component", c.Name, "took", time.Since(began).Round(time.Millisecond))
		case err := <-first:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// run calls the component's Run and tells of a failure.
func (c *running) run(ctx context.Context, tell func(error)) {
	defer close(c.done)
	err := c.Run(ctx, sync.OnceFunc(func() { close(c.ready) }))
	switch {
	case err != nil && ctx.Err() == nil:
		tell(fault.Wrap(err, fault.CodeOf(err), "%s: %s", c.Name, fault.Message(err)))
	case err != nil && !isStop(err):
		tell(fault.Wrap(err, fault.CodeOf(err), "%s, while it was stopped: %s", c.Name, fault.Message(err)))
	case ctx.Err() == nil:
		tell(fault.New(fault.Internal, "%s ended, though nobody had asked it to", c.Name))
	}
}
