package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

const (
	secretStart  = "lyk_"
	prefixLength = len(secretStart) + 4
	maxSecret    = 200 // bytes; a real one has 56

	// TenantHeader names the tenant that an admin key acts in.
	TenantHeader = "Liuyun-Tenant"
)

// Headers are what [Service.Authenticate] reads besides the credential.
func Headers() []web.Param {
	return []web.Param{{In: "header", Name: TenantHeader, Description: "The tenant to act in, for a key of scope admin; the key's own when it is left out."}}
}

// newSecret returns a secret of 256 random bits.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return secretStart + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// hashOf is what is kept of a secret. A plain hash is enough: nobody can try 256
// random bits.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Authenticate finds who makes a request: by the key in the Authorization header,
// or by the console's cookie. Nobody is fault.Forbidden, and fault.Limit after too many
// wrong keys from the same address. With [TenantHeader] the principal acts in that
// tenant; one that it may not act in is fault.NotFound, as one that is not there.
func (s *Service) Authenticate(r *http.Request) (guard.Principal, error) {
	secret, session := credential(r)
	if secret == "" {
		return guard.Principal{}, fault.New(fault.Forbidden, "nobody is signed in: send an API key as Authorization: Bearer lyk_…")
	}
	found, err := s.check(r.Context(), secret, session, r.RemoteAddr)
	if err != nil {
		return guard.Principal{}, err
	}
	p := found.principal
	wanted := r.Header.Get(TenantHeader)
	if wanted == "" || wanted == p.Tenant {
		return p, nil
	}
	missing := fault.New(fault.NotFound, "there is no tenant %.60q; GET /v1/tenants lists them", wanted)
	if !p.Allows(guard.Admin) || !id.Valid("ten", wanted) {
		return guard.Principal{}, missing
	}
	err = s.deps.DB.Read(r.Context(), func(tx *store.Tx) error {
		_, err := readTenant(tx, wanted)
		return err
	})
	if err != nil {
		return guard.Principal{}, err
	}
	p.Tenant = wanted
	return p, nil
}

// credential finds the secret of a request. A header that is not understood
// counts as one, so that it does not fall back to the cookie.
func credential(r *http.Request) (secret string, session bool) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, secret, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || secret == "" {
			return "?", false
		}
		return strings.TrimSpace(secret), false
	}
	if cookie, err := r.Cookie(web.SessionCookie); err == nil {
		return cookie.Value, true
	}
	return "", false
}

// check finds what a secret is for: in the cache, or among the records.
func (s *Service) check(ctx context.Context, secret string, session bool, address string) (entry, error) {
	now := s.now()
	hash := hashOf(secret)
	s.mu.Lock()
	found, known := s.cache[hash]
	generation := s.generation
	s.mu.Unlock()
	known = known && found.session == session
	if !known || now.Sub(found.read) > cacheTime {
		var err error
		found, err = s.find(ctx, secret, hash, session, address, known)
		if err != nil {
			return entry{}, err
		}
		found.read = now
		s.remember(hash, found, generation)
	}
	if !found.expires.IsZero() && !now.Before(found.expires) {
		return entry{}, refused(session)
	}
	s.touch(hash, found, now)
	return found, nil
}

// find looks a secret up. From an address of many wrong ones it does so for one at
// a time, so that they keep the database from nobody. It still looks: behind one
// address may be a proxy with everybody else, who must not be locked out by one.
func (s *Service) find(ctx context.Context, secret, hash string, session bool, address string, known bool) (entry, error) {
	limited := !known && !s.tries.allowed(address, s.now())
	if limited {
		s.slow.Lock()
		defer s.slow.Unlock()
	}
	found, err := s.lookup(ctx, secret, hash, session)
	if !errors.Is(err, store.ErrNoRows) {
		return found, err
	}
	s.tries.fail(address, s.now())
	if limited {
		return entry{}, fault.New(fault.Limit, "too many wrong keys from this address: wait a minute, or send the right one")
	}
	return entry{}, refused(session)
}

func refused(session bool) error {
	if session {
		return fault.New(fault.Forbidden, "the session has ended: sign in again")
	}
	return fault.New(fault.Forbidden, "the API key is wrong, has expired or was deleted: make a new one")
}

// remember puts an entry into the cache, unless something was deleted since it
// was read.
func (s *Service) remember(hash string, e entry, generation int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation != generation {
		return
	}
	if len(s.cache) >= cacheSize {
		clear(s.cache)
	}
	s.cache[hash] = e
}

// touch notes that a key, and a session, was used.
func (s *Service) touch(hash string, e entry, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.used) < cacheSize {
		s.used[e.principal.Key] = now
	}
	if e.session && len(s.slid) < cacheSize {
		s.slid[hash] = now
	}
}

// lookup reads what the hash belongs to; store.ErrNoRows when it is nothing.
func (s *Service) lookup(ctx context.Context, secret, hash string, session bool) (e entry, err error) {
	if len(secret) > maxSecret {
		return entry{}, store.ErrNoRows
	}
	query := "SELECT hash, id, tenant, name, scopes, expires, 0 FROM api_keys WHERE hash = ?"
	if session {
		query = `SELECT s.hash, k.id, k.tenant, k.name, k.scopes, k.expires, s.expires
FROM sessions s JOIN api_keys k ON k.id = s.api_key WHERE s.hash = ?`
	}
	err = s.deps.DB.Read(ctx, func(tx *store.Tx) error {
		var stored, scopes string
		var expires, sessionExpires int64
		err := tx.QueryRow(query, hash).Scan(&stored, &e.principal.Key, &e.principal.Tenant, &e.principal.Name, &scopes, &expires, &sessionExpires)
		if err != nil {
			return err
		}
		if subtle.ConstantTimeCompare([]byte(stored), []byte(hash)) != 1 {
			return store.ErrNoRows
		}
		if session && (expires == 0 || sessionExpires < expires) {
			expires = sessionExpires
		}
		e.principal.Scopes = strings.Fields(scopes)
		e.session = session
		e.expires = store.FromTime(expires)
		return nil
	})
	return e, err
}

const (
	maxFailures  = 20 // a minute and address
	maxAddresses = 4096
)

// tries counts wrong keys by address, so that many do not keep the database busy.
// When there are too many addresses it starts anew.
type tries struct {
	mu     sync.Mutex
	failed map[string]failures
}

type failures struct {
	since time.Time
	count int
}

func (t *tries) allowed(address string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.failed[network(address)]
	return f.count < maxFailures || now.Sub(f.since) >= time.Minute
}

func (t *tries) fail(address string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := network(address)
	f := t.failed[from]
	if now.Sub(f.since) >= time.Minute {
		f = failures{since: now}
	}
	f.count++
	if len(t.failed) >= maxAddresses {
		clear(t.failed)
	}
	t.failed[from] = f
}

// network is what one client can change by itself: an IPv6 network of 64 bits.
func network(address string) string {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	ip := at.Addr().Unmap()
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
