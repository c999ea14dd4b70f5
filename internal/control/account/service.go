// Package account keeps tenants, their API keys and the sessions of the console,
// and finds who makes a request. Of a secret it keeps only a hash. It also keeps
// the answers that kit/web gives again to a repeated request.
package account

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"liuyun/internal/base/id"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

// Deps are what a Service needs. All must be set but Holds and Forget.
type Deps struct {
	DB      *store.DB
	Log     *slog.Logger
	Version string // of the program, for GET /v1/session
	// Holds says what keeps a tenant from being deleted, in words ("3 assets"); ""
	// for nothing. Nil: nothing ever does.
	Holds func(tx *store.Tx, tenant string) (string, error)
	// Forget removes what others keep of a tenant, in the transaction that deletes it.
	Forget func(tx *store.Tx, tenant string) error
}

// Service is the accounts of this node. It may be used by several goroutines.
type Service struct {
	deps  Deps
	ids   id.Maker
	now   func() time.Time
	tries tries
	slow  sync.Mutex // held by whoever looks up a key from an address of many wrong ones

	mu         sync.Mutex // guards what follows
	cache      map[string]entry
	generation int // of the cache; what was read before it changed is not put in
	used       map[string]time.Time
	slid       map[string]time.Time
}

// entry is what was found for the hash of a secret or a cookie.
type entry struct {
	principal guard.Principal
	session   bool
	expires   time.Time // zero: never
	read      time.Time
}

const (
	// cacheTime is how long another node may not notice that a key was deleted.
	cacheTime = 3 * time.Second
	cacheSize = 4096
	// noteEvery is how exact the last use of a key is, and how often this node
	// writes it down.
	noteEvery = time.Minute
	// sessionTime is how long a session lives after it was last used.
	sessionTime = 12 * time.Hour
)

// New returns a service that has started nothing; see [Service.Run].
func New(d Deps) *Service {
	return &Service{
		deps: d, now: time.Now, tries: tries{failed: make(map[string]failures)},
		cache: make(map[string]entry), used: make(map[string]time.Time), slid: make(map[string]time.Time),
	}
}

// Migrations makes the tables.
func Migrations() store.Migrations {
	return store.Migrations{Set: "account", Steps: []store.Step{{SQL: `
CREATE TABLE tenants (id TEXT PRIMARY KEY, name TEXT NOT NULL, created BIGINT NOT NULL, rev BIGINT NOT NULL);
CREATE TABLE api_keys (
	id TEXT PRIMARY KEY,
	tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
	name TEXT NOT NULL,
	prefix TEXT NOT NULL,
	hash TEXT NOT NULL UNIQUE,
	scopes TEXT NOT NULL,
	first BOOLEAN NOT NULL,
	created BIGINT NOT NULL,
	last_used BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX api_keys_tenant ON api_keys (tenant, id);
CREATE TABLE sessions (hash TEXT PRIMARY KEY, api_key TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE, expires BIGINT NOT NULL);
CREATE INDEX sessions_key ON sessions (api_key);
CREATE INDEX sessions_expires ON sessions (expires);
CREATE TABLE answers (
	tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
	name TEXT NOT NULL,
	answer BYTEA,
	size BIGINT NOT NULL,
	claimed BIGINT NOT NULL,
	PRIMARY KEY (tenant, name)
);
CREATE INDEX answers_claimed ON answers (claimed);`}}}
}

// Run writes down once a minute when keys and sessions were last used, and deletes
// what has expired, until ctx ends; then once more. What cannot be written is
// tried again a minute later.
func (s *Service) Run(ctx context.Context, ready func()) error {
	ready()
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			s.note(last)
			return nil
		case <-tick.C:
			s.note(ctx)
		}
	}
}

// note writes down what requests left in memory.
func (s *Service) note(ctx context.Context) {
	s.mu.Lock()
	used, slid := s.used, s.slid
	s.used, s.slid = make(map[string]time.Time), make(map[string]time.Time)
	s.mu.Unlock()
	now := store.Time(s.now())
	err := s.deps.DB.Write(ctx, func(tx *store.Tx) error {
		for key, at := range used {
			if _, err := tx.Exec("UPDATE api_keys SET last_used = ? WHERE id = ? AND last_used < ?", store.Time(at), key, store.Time(at)); err != nil {
				return err
			}
		}
		for hash, at := range slid {
			expires := store.Time(at.Add(sessionTime))
			if _, err := tx.Exec("UPDATE sessions SET expires = ? WHERE hash = ? AND expires < ?", expires, hash, expires); err != nil {
				return err
			}
		}
		if _, err := tx.Exec("DELETE FROM sessions WHERE expires <= ?", now); err != nil {
			return err
		}
		_, err := tx.Exec("DELETE FROM answers WHERE claimed <= ?", store.Time(s.now().Add(-answerTime)))
		return err
	})
	if err == nil {
		return
	}
	s.deps.Log.Warn("the last use of keys is not written down; it is tried again", "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	restore(s.used, used)
	restore(s.slid, slid)
}

// restore puts back what is not newer already.
func restore(into, from map[string]time.Time) {
	for name, at := range from {
		if into[name].Before(at) && len(into) < cacheSize {
			into[name] = at
		}
	}
}

// forget empties the cache, after a key, a session or a tenant has gone.
func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	clear(s.cache)
}
