// Package node keeps the machines of the cloud: it lets them in by a join token,
// hears their heartbeats, puts those aside that cannot do their work, and lets
// nobody in whose record is gone. It gives out no jobs.
//
// A [Service] runs on each control node, an [Agent] on every node.
package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/contract/event"
	"liuyun/internal/contract/worker"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

// The subjects on the bus.
const (
	subjectBeat    = "node.beat"    // each node tells how it is; all control nodes listen
	subjectGreet   = "node.greet"   // a node asks for the time and what is wanted of it
	subjectDeleted = "node.deleted" // a node was deleted: {"node"}
)

const (
	beatEvery = 5 * time.Second
	goneAfter = 20 * time.Second // without a beat
	maxSkew   = 5 * time.Second  // of a node's clock
)

// records and messages are what a Service needs of kit/store and kit/bus.
type records interface {
	Read(ctx context.Context, fn func(*store.Tx) error) error
	Write(ctx context.Context, fn func(*store.Tx) error) error
}

type messages interface {
	Publish(subject string, v any) error
	Announce(e event.Event) error
	Subscribe(subject string, fn func(subject string, data []byte)) (stop func(), err error)
	SubscribeFrom(subject string, fn func(node string, data []byte)) (stop func(), err error)
	ServeFrom(subject string, fn func(ctx context.Context, node string, data []byte) (any, error)) (stop func(), err error)
}

// Deps are what a Service is made of.
type Deps struct {
	Records  records
	Messages messages
	CA       *guard.CA    // nil where this node does not let others in
	Blob     http.Handler // what enrolled nodes read and write; nil for none
	Media    http.Handler // what edges ask for, below /play/; nil for none
	// Expel ends the connections of a deleted node to this one; nil where there are
	// none.
	Expel func(node string)
	Reach func() Reach // how other machines reach this control node
	// Currency is that of the prices of workers.
	Currency string
	Log      *slog.Logger
}

// Reach says where nodes find what they need.
type Reach struct {
	Nodes []string `json:"nodes"` // host:port of node listeners
	Bus   []string `json:"bus"`   // tls://host:port
	Blob  string   `json:"blob"`  // https://host:port/blob/
}

// with adds where another control node is. Objects stay where they are.
func (r Reach) with(other Reach) Reach {
	for _, address := range other.Nodes {
		if !slices.Contains(r.Nodes, address) {
			r.Nodes = append(slices.Clip(r.Nodes), address)
		}
	}
	for _, address := range other.Bus {
		if !slices.Contains(r.Bus, address) {
			r.Bus = append(slices.Clip(r.Bus), address)
		}
	}
	return r
}

// Equal reports whether both say the same.
func (r Reach) Equal(other Reach) bool {
	return slices.Equal(r.Nodes, other.Nodes) && slices.Equal(r.Bus, other.Bus) && r.Blob == other.Blob
}

// Service is what a control node knows of all nodes. It may be used by several
// goroutines.
type Service struct {
	deps Deps
	ids  id.Maker

	mu    sync.Mutex
	beats map[string]heard // by node
}

// heard is the last beat of a node.
type heard struct {
	Beat
	at    time.Time
	saved time.Time // when the record was last brought up to it
	state State     // that was last announced
}

// New returns a service that does nothing until Run.
func New(d Deps) *Service { return &Service{deps: d, beats: make(map[string]heard)} }

// Run listens to the nodes until ctx ends.
func (s *Service) Run(ctx context.Context, ready func()) error {
	stopBeats, err := s.deps.Messages.SubscribeFrom(subjectBeat, func(node string, data []byte) { s.hear(ctx, node, data) })
	if err != nil {
		return err
	}
	defer stopBeats()
	stopGreets, err := s.deps.Messages.ServeFrom(subjectGreet, s.greet)
	if err != nil {
		return err
	}
	defer stopGreets()
	stopDeletes, err := s.deps.Messages.Subscribe(subjectDeleted, func(_ string, data []byte) { s.expel(data) })
	if err != nil {
		return err
	}
	defer stopDeletes()
	ready()
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.sweep(now)
		}
	}
}

// greet answers a node that asks for the time and for what is wanted of it.
func (s *Service) greet(ctx context.Context, node string, data []byte) (any, error) {
	var ask greeting
	if err := json.Unmarshal(data, &ask); err != nil || ask.Node != node {
		return nil, fault.Wrap(err, fault.Invalid, "this is no greeting of a node")
	}
	var n record
	var reach Reach
	err := s.deps.Records.Read(ctx, func(tx *store.Tx) (err error) {
		if n, err = get(tx, ask.Node); err == nil {
			reach, err = s.reach(tx)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return welcome{Time: time.Now(), Draining: n.Draining, Reach: reach}, nil
}

// reach says where the control nodes are: in the order of their joining, so that
// each of them says the same.
func (s *Service) reach(tx *store.Tx) (Reach, error) {
	all, err := reaches(tx)
	if err != nil {
		return Reach{}, err
	}
	own := s.deps.Reach()
	reach := Reach{Blob: own.Blob}
	for _, other := range all {
		reach = reach.with(other)
	}
	return reach.with(own), nil
}

// hear takes in a beat.
func (s *Service) hear(ctx context.Context, node string, data []byte) {
	var beat Beat
	if err := json.Unmarshal(data, &beat); err != nil || !id.Valid("nod", beat.Node) || beat.Node != node {
		s.deps.Log.Warn("a heartbeat that cannot be read, or speaks of another node", "node", node, "error", err)
		return
	}
	now := time.Now()
	s.mu.Lock()
	last := s.beats[beat.Node]
	next := heard{Beat: beat, at: now, saved: last.saved, state: beat.State}
	due := now.Sub(last.saved) > 10*time.Minute || last.Version != beat.Version || last.Class != beat.Class
	if due {
		next.saved = now
	}
	s.beats[beat.Node] = next
	s.mu.Unlock()
	if due {
		if err := s.deps.Records.Write(ctx, func(tx *store.Tx) error { return saveBeat(tx, beat, now) }); err != nil {
			s.deps.Log.Warn("a node's record is not up to date", "node", beat.Node, "error", err)
		}
	}
	if last.state != beat.State {
		s.announce(beat.Node, beat.Name, beat.State, beat.Reason)
	}
}

// sweep notices who has gone.
func (s *Service) sweep(now time.Time) {
	var gone []heard
	s.mu.Lock()
	for node, h := range s.beats {
		if h.state != Gone && now.Sub(h.at) > goneAfter {
			h.state = Gone
			s.beats[node] = h
			gone = append(gone, h)
		}
	}
	s.mu.Unlock()
	for _, h := range gone {
		s.announce(h.Node, h.Name, Gone, "nothing was heard of it for "+goneAfter.String())
	}
}

// announce tells people's pages and the log of a change.
func (s *Service) announce(node, name string, state State, reason string) {
	level := slog.LevelInfo
	if state == Aside || state == Gone {
		level = slog.LevelWarn
	}
	s.deps.Log.Log(context.Background(), level, "node is "+string(state), "node", node, "name", name, "reason", reason)
	change, err := json.Marshal(struct {
		ID    string `json:"id"`
		State State  `json:"state"`
	}{node, state})
	if err == nil {
		err = s.deps.Messages.Announce(event.Event{Type: event.NodeChanged, Data: change})
	}
	if err != nil {
		s.deps.Log.Debug("a change of a node was not announced", "error", err)
	}
}

// presence returns the last beat of a node, if it is still there.
func (s *Service) presence(node string, now time.Time) (heard, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.beats[node]
	return h, ok && now.Sub(h.at) <= goneAfter
}

// Worker is a node that takes jobs now.
type Worker struct {
	Node, Class string
	Figures     *worker.Figures // read-only; nil of an earlier version
}

// Workers are the nodes that take jobs now, in no order.
func (s *Service) Workers() []Worker {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Worker, 0, len(s.beats))
	for _, h := range s.beats {
		if h.State == Ready && h.Class != "" && now.Sub(h.at) <= goneAfter {
			list = append(list, Worker{h.Node, h.Class, h.Figures})
		}
	}
	return list
}

// Admit says whether a node with a certificate may come in: only while it has a
// record.
func (s *Service) Admit(ctx context.Context, node string) error {
	_, err := s.Roles(ctx, node)
	return err
}

// Roles are those of a node that has a record. It is fault.NotFound for another.
func (s *Service) Roles(ctx context.Context, node string) ([]string, error) {
	var n record
	err := s.deps.Records.Read(ctx, func(tx *store.Tx) (err error) {
		n, err = get(tx, node)
		return err
	})
	return n.Roles, err
}

// AdmitPeer says whether the other end of a connection between control nodes may be
// one: its certificate has to be that of a control node, and while it is one that
// joined, its record has to be there.
func (s *Service) AdmitPeer(ctx context.Context, state *tls.ConnectionState) error {
	if err := state.PeerCertificates[0].VerifyHostname(guard.ControlName); err != nil {
		return fault.Wrap(err, fault.Forbidden, "only control nodes may be servers of the bus")
	}
	if node, ok := guard.PeerNode(state); ok {
		return s.Admit(ctx, node)
	}
	return nil
}

// expel shuts a node out of this control node that was deleted on any.
func (s *Service) expel(data []byte) {
	var deleted greeting
	if err := json.Unmarshal(data, &deleted); err != nil || s.deps.Expel == nil {
		return
	}
	s.forget(deleted.Node)
	s.deps.Expel(deleted.Node)
}

// forget drops what was heard of a node that was deleted.
func (s *Service) forget(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.beats, node)
}
