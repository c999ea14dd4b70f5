// Package site keeps what edges serve: the sites of tenants, what was purged, and
// which edges there are. It numbers all of that, so that an edge knows by one number
// what it has missed, and says by it what it has applied. It serves no viewer.
package site

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/id"
	"liuyun/internal/contract/edge"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

// messages are what a Service needs of the bus. It is one interface, for a node is
// connected to all of that or to none.
type messages interface {
	Publish(subject string, v any) error
	SubscribeFrom(subject string, fn func(node string, data []byte)) (stop func(), err error)
	ServeFrom(subject string, fn func(ctx context.Context, node string, data []byte) (any, error)) (stop func(), err error)
	Consume(ctx context.Context, durable string, fn func(ctx context.Context, seq uint64, e event.Event) error) error
}

// Deps are what a Service is made of. All must be set.
type Deps struct {
	DB       *store.DB // its Migrations were taken
	Messages messages
	// CheckRules says what is wrong with rules.
	CheckRules func([]edge.Rule) error
	// CheckPair says what is wrong with a certificate and its key, in PEM, for names.
	CheckPair func(certificate, key string, hosts []string) error
	// CheckManaged says why no authority gives a certificate for a name by ACME.
	CheckManaged func(host string) error
	// Secrets are what playback addresses are signed with, the newest first.
	Secrets [][]byte
	// Served adds to what was served of a tenant on a day. It is part of tx.
	Served func(tx *store.Tx, tenant, day string, bytes int64) error
	// Authenticate finds who makes a request. Those who watch are asked for again, as a
	// key may be deleted meanwhile.
	Authenticate func(*http.Request) (guard.Principal, error)
	// Known says whether a node is one of the cloud.
	Known func(ctx context.Context, node string) error
	Log   *slog.Logger
}

// Service is what a control node knows of sites and edges. It may be used by several
// goroutines.
type Service struct {
	deps      Deps
	ids       id.Maker
	now       func() time.Time
	keep      int // purges that are kept
	tailEvery time.Duration

	mu      sync.Mutex
	edges   map[string]*heard // by node
	traffic map[string]*traffic
	tails   int
}

// New returns a service that does nothing until Run.
func New(d Deps) *Service {
	return &Service{deps: d, now: time.Now, keep: mostPurges, tailEvery: tailEvery, edges: make(map[string]*heard), traffic: make(map[string]*traffic)}
}

// Subjects are what an edge says on the bus, in its own name, and what it hears.
func Subjects(node string) bus.Subjects {
	return bus.Subjects{
		Publish:   []string{bus.From(edge.SubjectAsk, node), bus.From(edge.SubjectReport, node), bus.From(edge.SubjectUsage, node), bus.From(edge.SubjectSeen, node)},
		Subscribe: []string{edge.SubjectChanged, edge.SubjectPresent, edge.SubjectTail},
	}
}

// Run answers edges until ctx ends.
func (s *Service) Run(ctx context.Context, ready func()) error {
	stopReports, err := s.deps.Messages.SubscribeFrom(edge.SubjectReport, func(node string, data []byte) { s.hear(ctx, node, data) })
	if err != nil {
		return err
	}
	defer stopReports()
	for subject, answer := range map[string]func(context.Context, string, []byte) (any, error){edge.SubjectAsk: s.answer, edge.SubjectUsage: s.takeUsage} {
		stop, err := s.deps.Messages.ServeFrom(subject, answer)
		if err != nil {
			return err
		}
		defer stop()
	}
	ready()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.deps.Messages.Consume(ctx, "edge", s.follow) })
	g.Go(func() error { return s.sweep(ctx) })
	return g.Wait()
}

// follow has edges forget films and streams that are gone, and ask again for those that
// are another thing now, or for other viewers.
func (s *Service) follow(ctx context.Context, _ uint64, e event.Event) error {
	purge := edge.Purge{Site: edge.Cloud, Kind: edge.PurgeTag}
	switch e.Type {
	case event.AssetDeleted, event.StreamDeleted:
		purge.Hard = true
	case event.AssetUpdated, event.StreamUpdated:
	default:
		return nil
	}
	var of struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(e.Data, &of); err != nil || of.ID == "" {
		s.deps.Log.Warn("an event names nothing that edges could forget", "event", e.ID, "cause", err)
		return nil // it would come again for ever
	}
	if e.Type == event.AssetUpdated && of.Status != "ready" {
		return nil // edges have nothing of it yet
	}
	purge.Value = of.ID
	_, err := s.purge(ctx, "", purge)
	return err
}

// sweepEvery is how often old purges and edges that have gone are dropped.
const sweepEvery = time.Minute

func (s *Service) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.forgetGone()
		if err := s.deps.DB.Write(ctx, s.dropOld); err != nil && ctx.Err() == nil {
			s.deps.Log.Warn("old purges are not dropped; it is tried again", "cause", err)
		}
	}
}
