// Package notify tells people's programs what happened: by webhooks, which are
// signed and tried again, and by a stream of server-sent events. Both carry the
// events of the bus as they are.
package notify

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/id"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/dial"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

// Config is the section of the configuration.
type Config struct {
	Allow []string `conf:"allow" help:"Private addresses that webhooks may go to, as networks (10.0.0.0/8) or host names; all others that are private, local or reserved are refused."`
}

// DefaultConfig allows public addresses only.
func DefaultConfig() Config { return Config{} }

// Validate checks the form of what is allowed.
func (c Config) Validate() error {
	_, err := dial.New(c.Allow)
	return err
}

// Deps are what the service works with.
type Deps struct {
	DB     *store.DB // its Migrations were taken
	Bus    *bus.Bus
	Config Config
	// Authenticate says who makes a request, as it did before the handler was called:
	// an open stream ends when its key is gone. It must be set to serve streams.
	Authenticate func(*http.Request) (guard.Principal, error)
	Log          *slog.Logger
}

// Service keeps webhooks, sends deliveries and serves the stream of events.
type Service struct {
	db      *store.DB
	bus     *bus.Bus
	log     *slog.Logger
	ids     id.Maker
	who     func(*http.Request) (guard.Principal, error)
	guard   *dial.Guard // of client
	client  *http.Client
	timing  timing
	wake    chan struct{}
	streams atomic.Int32
}

// timing is what tests make shorter.
type timing struct {
	poll      time.Duration   // between two looks for deliveries that are due
	waits     []time.Duration // before each further try
	timeout   time.Duration   // of one try
	heartbeat time.Duration   // between two comments in a quiet stream
	write     time.Duration   // how long a reader may take
}

// New returns a service that does nothing until Run.
func New(d Deps) (*Service, error) {
	guard, err := dial.New(d.Config.Allow)
	if err != nil {
		return nil, err
	}
	return &Service{
		db: d.DB, bus: d.Bus, log: d.Log, who: d.Authenticate, guard: guard, client: newClient(guard), wake: make(chan struct{}, 1),
		timing: timing{
			poll: 2 * time.Second, timeout: 10 * time.Second, heartbeat: 15 * time.Second, write: 10 * time.Second,
			// Eight tries in about a day.
			waits: []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour, 15 * time.Hour},
		},
	}, nil
}

// Run makes deliveries of events and sends them until ctx ends. Of several nodes
// one sends at a time.
func (s *Service) Run(ctx context.Context, ready func()) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.bus.Consume(ctx, "webhooks", s.record) })
	g.Go(func() error { return s.bus.Lead(ctx, "webhooks", s.send) })
	ready()
	return g.Wait()
}

// Migrations makes the tables of webhooks and deliveries.
func Migrations() store.Migrations {
	return store.Migrations{Set: "notify", Steps: []store.Step{{SQL: `
CREATE TABLE webhooks (
	id TEXT PRIMARY KEY, tenant TEXT NOT NULL, url TEXT NOT NULL, events TEXT NOT NULL, enabled BIGINT NOT NULL,
	secret TEXT NOT NULL, created BIGINT NOT NULL, rev BIGINT NOT NULL, last_status BIGINT NOT NULL, failing_since BIGINT NOT NULL
);
CREATE INDEX webhooks_tenant ON webhooks (tenant, id);
CREATE TABLE deliveries (
	id TEXT PRIMARY KEY, webhook TEXT NOT NULL, event_id TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL,
	attempts BIGINT NOT NULL, status BIGINT NOT NULL, response TEXT NOT NULL, error TEXT NOT NULL,
	next_at BIGINT NOT NULL, created BIGINT NOT NULL, delivered BIGINT NOT NULL
);
CREATE UNIQUE INDEX deliveries_once ON deliveries (event_id, webhook);
CREATE INDEX deliveries_webhook ON deliveries (webhook, id);
CREATE INDEX deliveries_due ON deliveries (webhook, next_at, id) WHERE state = 'waiting';
CREATE INDEX deliveries_created ON deliveries (created);
`}}}
}

// record makes the deliveries of an event. It may see an event twice.
func (s *Service) record(ctx context.Context, _ uint64, e event.Event) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		hooks, err := queryHooks(tx, `tenant = ? AND enabled = 1 ORDER BY id`, e.Tenant)
		if err != nil {
			return err
		}
		for _, h := range hooks {
			if !h.wants(e.Type) {
				continue
			}
			if _, err := s.insert(tx, h.ID, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// newClient returns what sends webhooks: it reaches public addresses and what is
// allowed, follows no redirect, uses no proxy and keeps no connection.
func newClient(guard *dial.Guard) *http.Client {
	transport := guard.Transport()
	transport.DisableKeepAlives = true
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
