package front

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/bus"
)

const (
	// tailFor is how long requests are shown at most before somebody says again that he
	// looks, tailSites how many sites may be looked at.
	tailFor   = time.Minute
	tailSites = 64
	// A site's requests are shown every showEvery, so many of them at most: 20 a second.
	showEvery = 250 * time.Millisecond
	shown     = 5
	// What is shown of texts that clients choose.
	longestMethod   = 16
	longestShowHost = 255
)

// tails are the sites whose requests somebody looks at.
type tails struct {
	edge    string       // its name
	on      atomic.Int64 // how many sites; all that is asked while nobody looks
	dropped atomic.Int64 // requests above what is shown
	wake    chan struct{}

	mu    sync.Mutex
	sites map[string]*tail
}

// tail is one of them.
type tail struct {
	until    time.Time
	requests []edge.Request
}

func newTails(name string) *tails {
	return &tails{edge: name, wake: make(chan struct{}, 1), sites: make(map[string]*tail)}
}

// hearTail takes that somebody looks at a site.
func (f *Front) hearTail(data []byte) {
	var t edge.Tail
	if json.Unmarshal(data, &t) == nil && f.tally.known(t.Site) {
		f.tails.look(t)
	}
}

// show tells what is to be seen.
func (f *Front) show(site string, requests []edge.Request) {
	if err := f.deps.Bus.Publish(bus.From(edge.SubjectSeen, f.deps.Node), edge.Seen{Node: f.deps.Node, Site: site, Requests: requests}); err != nil {
		f.deps.Log.Debug("requests not shown", "error", err)
	}
}

// look has the requests of a site shown until a time. One that has gone by ends it.
func (t *tails) look(o edge.Tail) {
	now := time.Now()
	if most := now.Add(tailFor); o.Until.After(most) {
		o.Until = most
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch at := t.sites[o.Site]; {
	case at != nil:
		at.until = o.Until
	case o.Until.After(now) && len(t.sites) < tailSites:
		t.sites[o.Site] = &tail{until: o.Until}
		t.on.Store(int64(len(t.sites)))
		nudge(t.wake)
	}
}

// note shows a request if its site is looked at.
func (t *tails) note(site string, o Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.sites[site]
	if at == nil {
		return
	}
	if len(at.requests) >= shown {
		t.dropped.Add(1)
		return
	}
	before, after := hide(o.Path)
	path := before + after
	at.requests = append(at.requests, edge.Request{
		At: time.Now().UTC(), Edge: t.edge, Client: network(o.Client), Method: o.Method[:min(len(o.Method), longestMethod)],
		Host: o.Host[:min(len(o.Host), longestShowHost)], Path: path[:min(len(path), longestPath)],
		Status: o.Status, Bytes: o.Bytes, Seconds: o.Duration.Seconds(), Cache: o.Cache,
	})
}

// run shows what was noted until ctx ends.
func (t *tails) run(ctx context.Context, show func(site string, requests []edge.Request)) {
	for {
		if t.on.Load() == 0 {
			select {
			case <-ctx.Done():
				return
			case <-t.wake:
			}
		}
		if !pause(ctx, showEvery) {
			return
		}
		for site, requests := range t.take(time.Now()) {
			show(site, requests)
		}
	}
}

// take returns what was noted, and ends what nobody looks at any more.
func (t *tails) take(now time.Time) map[string][]edge.Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := make(map[string][]edge.Request)
	for site, at := range t.sites {
		if len(at.requests) > 0 {
			taken[site], at.requests = at.requests, nil
		}
		if !at.until.After(now) {
			delete(t.sites, site)
		}
	}
	t.on.Store(int64(len(t.sites)))
	return taken
}
