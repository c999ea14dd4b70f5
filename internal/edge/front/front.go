// Package front is what an edge node knows and tells. It follows the control nodes: which
// sites there are, what is void. It finds the site of a request by its host, counts what
// was answered, and tells the control nodes how it goes. How a site is served, it leaves
// to a Backend.
//
// An edge goes on without control nodes, also when it starts: what it was told last, and
// what it has counted, is in its own folder.
package front

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/obs"
)

// line is what a Front needs of the bus.
type line interface {
	Publish(subject string, v any) error
	Request(ctx context.Context, subject string, in, out any) error
	Subscribe(subject string, fn func(subject string, data []byte)) (stop func(), err error)
}

// sealer knows its own writing again: Open returns what was given to Seal, or an error
// when it was changed or sealed by another.
type sealer interface {
	Seal(data []byte) []byte
	Open(sealed []byte) ([]byte, error)
}

// Backend serves a site. Close is called when no request uses it any more, or some still
// do after a minute.
type Backend interface {
	http.Handler
	Close() error
}

// Deps are what a Front stands on. All must be set but Changed and Present.
type Deps struct {
	Node   string // id
	Place  edge.Place
	Folder string // it is the Front's alone
	Bus    line
	Seal   sealer
	// Open makes what serves a site from now on. What it returns is closed here.
	Open func(site edge.Site) (Backend, error)
	// Cloud answers requests for hosts that no site has.
	Cloud http.Handler
	// Purge makes void what purges say. When it returns nil, none of that is served
	// again, not even after a kill. It is called again for the same after an error.
	Purge func(purges []edge.Purge) error
	// Changed is told what is known now, before a site of it is opened. It and Open and
	// Purge are called by one goroutine.
	Changed func(now *State)
	// Present is told every few seconds how edges are; nil where nobody wants to know.
	Present func(edge.Presence)
	Load    func() float64          // part of the cores that is busy
	Stored  func() int64            // bytes in the cache
	Owned   func() map[string]int64 // of them, by tenant
	Waiting func() int64            // requests that wait for an origin
	Origins func() map[string][]edge.OriginState
	Log     *slog.Logger
}

// Front is the front of an edge. It may be used by several goroutines.
type Front struct {
	deps   Deps
	state  atomic.Pointer[State]
	table  table
	tally  *tally
	crowds *crowds
	tails  *tails
	spool  *spool

	bumps   chan edge.Delta // what control nodes told
	missed  chan struct{}   // something may have been told that was not heard
	back    chan struct{}   // the bus was away, and what was asked then is lost
	changed chan struct{}   // the state, which is to be written down
	report  chan struct{}   // one is wanted before its time
}

// New returns a Front that does nothing until Run.
func New(d Deps) *Front {
	f := &Front{
		deps:  d,
		table: table{open: d.Open, log: d.Log},
		tally: newTally(d.Log), crowds: newCrowds(), tails: newTails(d.Place.Name),
		spool: &spool{path: filepath.Join(d.Folder, spoolName), node: d.Node, log: d.Log},
		bumps: make(chan edge.Delta, mostBumps), missed: make(chan struct{}, 1), back: make(chan struct{}, 1),
		changed: make(chan struct{}, 1), report: make(chan struct{}, 1),
	}
	f.state.Store(&State{})
	f.table.hosts.Store(&hosts{})
	f.tally.follow(nil)
	return f
}

// Run follows the control nodes until ctx ends. It is ready at once when it knows from a
// former run what is to be served, else when a control node has said it. The bus need not
// be connected.
func (f *Front) Run(ctx context.Context, ready func()) error {
	if err := os.MkdirAll(f.deps.Folder, 0o700); err != nil {
		return fault.Wrap(err, fault.Unavailable, "the edge's folder %s cannot be made", f.deps.Folder)
	}
	if err := f.spool.open(); err != nil {
		return fault.Wrap(err, fault.Unavailable, "%s cannot be read", f.spool.path)
	}
	c := newFollower(f, sync.OnceFunc(ready))
	if known := f.loadSnapshot(); known != nil {
		c.take(known)
		c.ready()
	}
	var work sync.WaitGroup
	work.Go(func() { f.listen(ctx) })
	work.Go(func() { f.keepSnapshot(ctx) })
	work.Go(func() { f.tellReports(ctx) })
	work.Go(func() { f.handOver(ctx) })
	work.Go(func() { f.tails.run(ctx, f.show) })
	c.run(ctx)
	work.Wait()
	f.table.close()
	return nil
}

// Reconnected says that the bus was away and is back, so that something may have been
// missed.
func (f *Front) Reconnected() { nudge(f.back) }

// State is what is known now.
func (f *Front) State() *State { return f.state.Load() }

// ServeHTTP has the site of the request's host answer it.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var s *seat
	if r.Host != edge.CloudHost { // by which edges ask each other for films, whatever sites there are
		s = f.table.take(r.Host)
	}
	if s == nil {
		f.deps.Cloud.ServeHTTP(w, r)
		return
	}
	defer s.release()
	s.ServeHTTP(w, r)
}

// Outcome is what became of a request.
type Outcome struct {
	Status   int
	Bytes    int64  // sent to the viewer
	Cache    string // hit, miss or pass
	Tenant   string // who pays; that of the site when empty
	Method   string
	Host     string
	Path     string // without the query; a token in it is left out here
	Client   string // address with port, as in http.Request.RemoteAddr
	Agent    string // what the client calls itself
	Duration time.Duration
}

// Note counts a request of a site, which is [edge.Cloud] for what Deps.Cloud answers, and
// who watches a stream. It waits for nothing, and does not allocate for a site and a stream
// that are known.
func (f *Front) Note(site string, o Outcome) {
	f.tally.note(site, &o)
	if site == edge.Cloud {
		f.crowds.note(&o, time.Now())
	}
	if f.tails.on.Load() != 0 {
		f.tails.note(site, o)
	}
}

// NoteOwn counts an answer with a film or a stream of this very machine, where a control node
// is an edge too. It is there without asking an origin, so it is a hit. Who watches and
// who pays is counted elsewhere.
func (f *Front) NoteOwn(bytes int64) { f.tally.noteOwn(bytes) }

// Fetched counts bytes that came from origins and shields for a site.
func (f *Front) Fetched(site string, bytes int64) { f.tally.fetched(site, bytes) }

// Measure tells how the Front is.
func (f *Front) Measure(m *obs.Registry) {
	m.Func("liuyun_edge_revision_count", "The revision of the configuration that is applied.", func() float64 { return float64(f.State().Revision) })
	m.Func("liuyun_edge_sites_count", "Sites that are known.", func() float64 { return float64(len(f.State().Sites)) })
	m.Func("liuyun_edge_usage_waiting_bytes", "Bytes served that no control node has counted yet.", func() float64 { return float64(f.spool.waiting.Load()) })
	m.FuncBy("liuyun_edge_dropped_total", "What was left out because there was too much of it: requests that somebody looks at, bytes of usage.", "what", func() map[string]float64 {
		return map[string]float64{
			"requests": float64(f.tails.dropped.Load()), "usage": float64(f.spool.dropped.Load() + f.tally.dropped.Load()),
		}
	})
}

// hearPresence takes how edges are.
func (f *Front) hearPresence(data []byte) {
	var p edge.Presence
	if f.deps.Present != nil && json.Unmarshal(data, &p) == nil {
		f.deps.Present(p)
	}
}

// Until the bus lets it, an edge asks to subscribe at times that grow from the first of
// these to the second: one that has just started hears of changes soon.
const (
	listenFirst = 200 * time.Millisecond
	listenMost  = 3 * time.Second
)

// listen subscribes to what control nodes tell, as soon as the bus lets it.
func (f *Front) listen(ctx context.Context) {
	hear := map[string]func(data []byte){edge.SubjectChanged: f.hearChange, edge.SubjectTail: f.hearTail, edge.SubjectPresent: f.hearPresence}
	for wait := listenFirst; len(hear) > 0; wait = min(2*wait, listenMost) {
		for subject, fn := range hear {
			stop, err := f.deps.Bus.Subscribe(subject, func(_ string, data []byte) { fn(data) })
			if err != nil {
				f.deps.Log.Debug("not subscribed", "subject", subject, "error", err)
				continue
			}
			defer stop()
			delete(hear, subject)
			nudge(f.missed)
		}
		if len(hear) > 0 && !pause(ctx, between(wait/2, wait)) {
			return
		}
	}
	<-ctx.Done()
}

// nudge wakes whoever reads from c, which holds one nudge.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// between is a time that is different each time, so that many edges do not do the same at
// once.
func between(least, most time.Duration) time.Duration { return least + rand.N(most-least+1) }

// pause waits, and reports false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
