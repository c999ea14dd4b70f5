package front

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeCloud is a bus with a control node behind it.
type fakeCloud struct {
	mu        sync.Mutex
	revision  int64
	sites     map[string]edge.Site
	nodes     map[string]edge.Node
	gone      map[string]int64
	purges    []edge.Purge
	secrets   [][]byte
	page      int   // changes in an answer; 0: all
	from      int64 // what is before it, is not known any more
	off       uint64
	away      bool // nobody answers, nothing is heard
	deaf      bool // what is published is refused
	asks      []edge.Ask
	reports   []edge.Report
	seen      []edge.Seen
	heard     map[string][]func(subject string, data []byte)
	number    int64            // of the last usage that was counted
	counted   map[string]int64 // bytes by day and tenant
	countFail func() (before, after bool)
}

func newCloud() *fakeCloud {
	return &fakeCloud{
		sites: make(map[string]edge.Site), nodes: make(map[string]edge.Node), gone: make(map[string]int64),
		secrets: [][]byte{[]byte("first")},
		heard:   make(map[string][]func(string, []byte)), counted: make(map[string]int64),
	}
}

func away() error { return fault.New(fault.Unavailable, "nobody answers on the bus") }

func (c *fakeCloud) sum() (sum uint64) {
	for _, s := range c.sites {
		sum += edge.Mark(s.ID, s.Revision)
	}
	for _, n := range c.nodes {
		sum += edge.Mark(n.ID, n.Revision)
	}
	return sum + c.off
}

// change changes something, and returns what all edges are told of it.
func (c *fakeCloud) change(fn func(revision int64, d *edge.Delta)) edge.Delta {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := edge.Delta{From: c.revision, Revision: c.revision + 1}
	c.revision++
	fn(c.revision, &d)
	for _, s := range d.Sites {
		c.sites[s.ID] = s
	}
	for _, n := range d.Nodes {
		c.nodes[n.ID] = n
	}
	for _, id := range d.Gone {
		delete(c.sites, id)
		delete(c.nodes, id)
		c.gone[id] = c.revision
	}
	c.purges = append(c.purges, d.Purges...)
	d.Sum = c.sum()
	return d
}

func (c *fakeCloud) setSite(id string, hosts ...string) edge.Delta {
	return c.change(func(revision int64, d *edge.Delta) {
		d.Sites = []edge.Site{{ID: id, Tenant: "t-" + id, Revision: revision, Settings: edge.Settings{Name: fmt.Sprint(id, revision), Hosts: hosts}}}
	})
}

func (c *fakeCloud) removeSite(id string) edge.Delta {
	return c.change(func(_ int64, d *edge.Delta) { d.Gone = []string{id} })
}

func (c *fakeCloud) purge(value string) edge.Delta {
	return c.change(func(revision int64, d *edge.Delta) {
		d.Purges = []edge.Purge{{Revision: revision, Site: "a", Kind: edge.PurgeTag, Value: value}}
	})
}

// answer is what a control node says is new, in the order of revisions.
func (c *fakeCloud) answer(q edge.Ask) edge.Delta {
	d := edge.Delta{From: q.Revision, Revision: c.revision, Sum: c.sum(), Secrets: c.secrets}
	if d.Whole = q.Revision == 0 || q.Revision < c.from && !q.Rest || q.Revision > c.revision; d.Whole {
		d.From = 0
		d.Purges = []edge.Purge{{Revision: c.revision, Kind: edge.PurgeAll}}
	}
	revisions := make(map[int64]bool)
	for _, s := range c.sites {
		revisions[s.Revision] = true
	}
	for _, n := range c.nodes {
		revisions[n.Revision] = true
	}
	for _, r := range c.gone {
		revisions[r] = true
	}
	for _, p := range c.purges {
		revisions[p.Revision] = true
	}
	var after []int64
	for r := range revisions {
		if r > d.From {
			after = append(after, r)
		}
	}
	slices.Sort(after)
	if c.page > 0 && len(after) > c.page {
		d.Revision, d.More = after[c.page-1], true
	}
	in := func(r int64) bool { return r > d.From && r <= d.Revision }
	for _, s := range c.sites {
		if in(s.Revision) {
			d.Sites = append(d.Sites, s)
		}
	}
	for _, n := range c.nodes {
		if in(n.Revision) {
			d.Nodes = append(d.Nodes, n)
		}
	}
	for id, r := range c.gone {
		if in(r) && !d.Whole && !q.Rest {
			d.Gone = append(d.Gone, id)
		}
	}
	for _, p := range c.purges {
		if in(p.Revision) && !d.Whole && !q.Rest {
			d.Purges = append(d.Purges, p)
		}
	}
	return d
}

func (c *fakeCloud) Request(ctx context.Context, subject string, in, out any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := json.Marshal(in)
	if err != nil || len(data) > bus.MaxMessage {
		return fmt.Errorf("%d bytes: %w", len(data), err)
	}
	if c.away {
		return away()
	}
	switch q := in.(type) {
	case edge.Ask:
		c.asks = append(c.asks, q)
		answer, err := json.Marshal(c.answer(q))
		if err != nil {
			return err
		}
		return json.Unmarshal(answer, out)
	case *edge.Usage:
		before, after := false, false
		if c.countFail != nil {
			before, after = c.countFail()
		}
		if before {
			return away()
		}
		if q.Number > c.number {
			c.number = q.Number
			for tenant, n := range q.Bytes {
				c.counted[q.Day+" "+tenant] += n
			}
		}
		if after {
			return away()
		}
		return nil
	}
	return errors.New("nobody asks that")
}

func (c *fakeCloud) Publish(subject string, v any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, err := json.Marshal(v)
	if err != nil || len(data) > bus.MaxMessage {
		return fmt.Errorf("%d bytes: %w", len(data), err)
	}
	if c.deaf || c.away {
		return away()
	}
	switch v := v.(type) {
	case edge.Report:
		c.reports = append(c.reports, v)
	case edge.Seen:
		c.seen = append(c.seen, v)
	}
	return nil
}

func (c *fakeCloud) Subscribe(subject string, fn func(subject string, data []byte)) (func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return nil, away()
	}
	c.heard[subject] = append(c.heard[subject], fn)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard[subject] = nil
	}, nil
}

// say has all edges hear something.
func (c *fakeCloud) say(t *testing.T, subject string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	fns := slices.Clone(c.heard[subject])
	c.mu.Unlock()
	for _, fn := range fns {
		fn(subject, data)
	}
}

func (c *fakeCloud) set(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

func (c *fakeCloud) asked() []edge.Ask {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asks)
}

func (c *fakeCloud) lastReport() edge.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reports) == 0 {
		return edge.Report{}
	}
	return c.reports[len(c.reports)-1]
}

// fakeSeal is a sealer with a key.
type fakeSeal string

func (s fakeSeal) Seal(data []byte) []byte {
	m := hmac.New(sha256.New, []byte(s))
	m.Write(data)
	return m.Sum(data)
}

func (s fakeSeal) Open(sealed []byte) ([]byte, error) {
	n := len(sealed) - sha256.Size
	if n < 0 || !hmac.Equal(s.Seal(slices.Clip(sealed[:n])), sealed) {
		return nil, errors.New("it was changed, or sealed by another")
	}
	return sealed[:n], nil
}

// fakeSites opens sites, and knows what is open.
type fakeSites struct {
	mu     sync.Mutex
	opened []string
	closed []string
	broken map[string]error
	hold   chan struct{} // requests wait for it
	voids  []string
	dirty  error // of Purge
	before func()
}

type fakeBackend struct {
	http.Handler
	name string
	in   *fakeSites
}

func (b fakeBackend) Close() error {
	b.in.mu.Lock()
	defer b.in.mu.Unlock()
	b.in.closed = append(b.in.closed, b.name)
	return nil
}

func (s *fakeSites) open(site edge.Site) (Backend, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.broken[site.ID]; err != nil {
		return nil, err
	}
	s.opened = append(s.opened, site.Name)
	hold := s.hold
	return fakeBackend{name: site.Name, in: s, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if hold != nil {
			<-hold
		}
		fmt.Fprint(w, site.Name)
	})}, nil
}

func (s *fakeSites) purge(purges []edge.Purge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil {
		s.before()
	}
	if s.dirty != nil {
		return s.dirty
	}
	for _, p := range purges {
		s.voids = append(s.voids, p.Kind+" "+p.Value)
	}
	return nil
}

func (s *fakeSites) state() (opened, closed, voids string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.opened, " "), strings.Join(s.closed, " "), strings.Join(s.voids, ", ")
}

func deps(t testing.TB, c *fakeCloud, s *fakeSites) Deps {
	t.Helper()
	return Deps{
		Node: "n1", Place: edge.Place{Name: "edge one"}, Folder: t.TempDir(), Bus: c, Seal: fakeSeal("key"),
		Open: s.open, Purge: s.purge,
		Cloud:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "cloud") }),
		Load:    func() float64 { return 0.5 },
		Stored:  func() int64 { return 7 },
		Owned:   func() map[string]int64 { return map[string]int64{"t1": 5} },
		Waiting: func() int64 { return 3 },
		Origins: func() map[string][]edge.OriginState { return nil },
		Log:     slog.New(slog.DiscardHandler),
	}
}

// running is a Front that runs until stop.
type running struct {
	*Front
	isReady chan struct{}
	stop    func()
}

func (r *running) ready() bool {
	select {
	case <-r.isReady:
		return true
	default:
		return false
	}
}

// start runs a Front in a bubble of synctest.
func start(t *testing.T, d Deps) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Front: New(d), isReady: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, func() { close(r.isReady) }) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	t.Cleanup(r.stop)
	synctest.Wait()
	return r
}
