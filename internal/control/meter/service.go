// Package meter counts what each tenant uses, by day (UTC): minutes encoded, CPU
// seconds, bytes served and stored, uploads. It bills nobody and stops nobody.
package meter

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/kit/store"
)

// Usage is an amount of use.
type Usage struct {
	EncodedSeconds float64 // of film, once an asset
	CPUSeconds     float64 // of what encoded it
	BytesServed    int64
	Uploads        int64
}

// Deps are what a Service needs. All must be set but Stored.
type Deps struct {
	DB  *store.DB
	Log *slog.Logger
	// Stored returns how many bytes a tenant keeps now, or with "" each of them. It is
	// asked every few minutes, and for a report that goes to today; a day keeps the largest answer.
	// Nil: not known.
	Stored func(tx *store.Tx, tenant string) (map[string]int64, error)
}

// Service counts on this node. It may be used by several goroutines.
type Service struct {
	deps Deps
	now  func() time.Time

	mu     sync.RWMutex // guards the map, not the counters
	served map[string]*atomic.Int64
}

const (
	flushEvery  = 10 * time.Second
	sampleEvery = 5 * time.Minute
)

// New returns a service that has started nothing; see [Service.Run].
func New(d Deps) *Service {
	return &Service{deps: d, now: time.Now, served: make(map[string]*atomic.Int64)}
}

// Migrations makes the tables.
func Migrations() store.Migrations {
	return store.Migrations{Set: "meter", Steps: []store.Step{{SQL: `
CREATE TABLE used (
	tenant TEXT NOT NULL,
	day TEXT NOT NULL,
	encoded_seconds DOUBLE PRECISION NOT NULL,
	cpu_seconds DOUBLE PRECISION NOT NULL,
	bytes_served BIGINT NOT NULL,
	bytes_stored BIGINT NOT NULL,
	uploads BIGINT NOT NULL,
	PRIMARY KEY (tenant, day)
);`}}}
}

// Run writes down what was served every ten seconds and at the end, and samples
// what is stored, until ctx ends. What cannot be written is kept for the next
// time; a kill loses at most what ten seconds served.
func (s *Service) Run(ctx context.Context, ready func()) error {
	ready()
	flush, sample := time.NewTicker(flushEvery), time.NewTicker(sampleEvery)
	defer flush.Stop()
	defer sample.Stop()
	s.tell(s.sample(ctx))
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			s.tell(s.flush(last))
			return nil
		case <-flush.C:
			s.tell(s.flush(ctx))
		case <-sample.C:
			s.tell(s.sample(ctx))
		}
	}
}

func (s *Service) tell(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.deps.Log.Warn("usage is not written down; it is tried again", "error", err)
	}
}

// Add adds to a tenant's day. It is part of tx.
func (s *Service) Add(tx *store.Tx, tenant string, u Usage) error {
	return s.add(tx, tenant, s.today(), u, 0)
}

// ServedOn adds bytes to what was served for a tenant on a day (UTC, as 2026-11-29). It
// is part of tx.
func (s *Service) ServedOn(tx *store.Tx, tenant, day string, bytes int64) error {
	return s.add(tx, tenant, day, Usage{BytesServed: bytes}, 0)
}

func (s *Service) today() string { return s.now().UTC().Format(time.DateOnly) }

func (s *Service) add(tx *store.Tx, tenant, day string, u Usage, stored int64) error {
	_, err := tx.Exec(`INSERT INTO used (tenant, day, encoded_seconds, cpu_seconds, bytes_served, bytes_stored, uploads) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, day) DO UPDATE SET
	encoded_seconds = used.encoded_seconds + excluded.encoded_seconds,
	cpu_seconds = used.cpu_seconds + excluded.cpu_seconds,
	bytes_served = used.bytes_served + excluded.bytes_served,
	bytes_stored = CASE WHEN excluded.bytes_stored > used.bytes_stored THEN excluded.bytes_stored ELSE used.bytes_stored END,
	uploads = used.uploads + excluded.uploads`,
		tenant, day, u.EncodedSeconds, u.CPUSeconds, u.BytesServed, stored, u.Uploads)
	return err
}

// Forget removes what a tenant used, which nobody can ask for any more.
func Forget(tx *store.Tx, tenant string) error {
	_, err := tx.Exec("DELETE FROM used WHERE tenant = ?", tenant)
	return err
}

// ServedBytes adds n bytes to what was served for tenant. It allocates nothing
// but the first time for a tenant, and waits for no disk.
func (s *Service) ServedBytes(tenant string, n int64) {
	s.mu.RLock()
	counter := s.served[tenant]
	s.mu.RUnlock()
	if counter == nil {
		counter = s.counter(tenant)
	}
	counter.Add(n)
}

func (s *Service) counter(tenant string) *atomic.Int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	counter := s.served[tenant]
	if counter == nil {
		counter = new(atomic.Int64)
		s.served[tenant] = counter
	}
	return counter
}

// flush writes down what was served since the last time.
func (s *Service) flush(ctx context.Context) error {
	amounts := make(map[string]int64)
	s.mu.RLock()
	for tenant, counter := range s.served {
		if n := counter.Swap(0); n != 0 {
			amounts[tenant] = n
		}
	}
	s.mu.RUnlock()
	if len(amounts) == 0 {
		return nil
	}
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		for tenant, n := range amounts {
			if err := s.add(tx, tenant, s.today(), Usage{BytesServed: n}, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for tenant, n := range amounts {
			s.ServedBytes(tenant, n)
		}
	}
	return err
}

// sample writes down what is stored now. Summing goes through all that is stored, so
// nobody who writes waits for it.
func (s *Service) sample(ctx context.Context) error {
	if s.deps.Stored == nil {
		return nil
	}
	var stored map[string]int64
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		stored, err = s.deps.Stored(tx, "")
		return err
	})
	if err != nil || len(stored) == 0 {
		return err
	}
	return s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		for tenant, n := range stored {
			if err := s.add(tx, tenant, s.today(), Usage{}, n); err != nil {
				return err
			}
		}
		return nil
	})
}
