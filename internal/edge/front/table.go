package front

import (
	"bytes"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/contract/edge"
)

// closeAfter is how long requests may go on with a Backend that was replaced.
const closeAfter = time.Minute

// table finds what serves a host. One goroutine sets it.
type table struct {
	open  func(site edge.Site) (Backend, error)
	log   *slog.Logger
	hosts atomic.Pointer[hosts]
	seats map[string]*seat // by site

	broken  atomic.Pointer[map[string]string] // why sites cannot be served as they should be
	closing sync.WaitGroup
}

// hosts are seats by the names that they serve. They do not change.
type hosts struct {
	exact map[string]*seat
	below map[string]*seat // by what follows "*."
}

// seat is a Backend that is used.
type seat struct {
	Backend
	site *edge.Site   // that it was opened for; nil when there was no way to
	uses atomic.Int64 // requests now; far below zero when it was replaced
	idle chan struct{}
	end  sync.Once // closes idle
}

// replaced is added to the uses of a seat that no request is to take any more.
const replaced = -1 << 62

// set has these sites served. Of those that are as before, nothing is touched.
func (t *table) set(sites map[string]*edge.Site) {
	seats := make(map[string]*seat, len(sites))
	broken := make(map[string]string)
	next := &hosts{exact: make(map[string]*seat), below: make(map[string]*seat)}
	for _, id := range slices.Sorted(maps.Keys(sites)) { // of two with the same host, the older one has it
		site := sites[id]
		if site.Disabled {
			continue
		}
		s, err := t.seat(site)
		if err != nil {
			broken[id] = err.Error()
		}
		seats[id] = s
		for _, host := range site.Hosts {
			next.add(host, s)
		}
	}
	t.tell(broken)
	t.hosts.Store(next)
	for id, old := range t.seats {
		if seats[id] != old {
			t.retire(old, closeAfter)
		}
	}
	t.seats = seats
}

// retry tries again to open what could not be opened.
func (t *table) retry(sites map[string]*edge.Site) {
	if len(t.problems()) > 0 {
		t.set(sites)
	}
}

// seat is what serves a site. With an error it is what did before.
func (t *table) seat(site *edge.Site) (*seat, error) {
	old := t.seats[site.ID]
	if old != nil && old.site != nil && (old.site == site || reflect.DeepEqual(old.site, site)) {
		return old, nil
	}
	b, err := t.open(*site)
	if err == nil {
		return &seat{Backend: b, site: site, idle: make(chan struct{})}, nil
	}
	if old != nil {
		return old, err
	}
	return &seat{Backend: closed{}, idle: make(chan struct{})}, err
}

// tell logs what has become broken, or is not any more.
func (t *table) tell(broken map[string]string) {
	before := t.problems()
	for id, why := range broken {
		if before[id] != why {
			t.log.Error("a site cannot be served as it is set; it is served as before, if it was", "site", id, "error", why)
		}
	}
	for id := range before {
		if broken[id] == "" {
			t.log.Info("a site is served as it is set again", "site", id)
		}
	}
	t.broken.Store(&broken)
}

// problems says by site why it is not served as it is set.
func (t *table) problems() map[string]string {
	if broken := t.broken.Load(); broken != nil {
		return *broken
	}
	return nil
}

// retire closes a Backend when the requests that use it have ended, or after a time.
func (t *table) retire(s *seat, patience time.Duration) {
	if s.uses.Add(replaced) == replaced {
		s.end.Do(func() { close(s.idle) })
	}
	t.closing.Go(func() {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-s.idle:
		case <-timer.C:
		}
		if err := s.Close(); err != nil {
			t.log.Warn("what served a site does not close", "error", err)
		}
	})
}

// close closes everything. What still serves requests has a moment.
func (t *table) close() {
	t.hosts.Store(&hosts{})
	for _, s := range t.seats {
		t.retire(s, time.Second)
	}
	t.seats = nil
	t.closing.Wait()
}

// take returns what serves a host, or nil. Who has taken it releases it.
func (t *table) take(host string) *seat {
	for {
		s := t.hosts.Load().find(host)
		if s == nil || s.uses.Add(1) > 0 {
			return s
		}
		s.release() // it was replaced just now, and so were the hosts
	}
}

func (s *seat) release() {
	if s.uses.Add(-1) == replaced {
		s.end.Do(func() { close(s.idle) })
	}
}

// longestHost is what DNS allows, with a dot at the end (RFC 1035, section 3.1).
const longestHost = 254

// find does not allocate.
func (h *hosts) find(host string) *seat {
	var room [longestHost]byte
	name := appendHost(room[:0], host)
	if s := h.exact[string(name)]; s != nil {
		return s
	}
	if i := bytes.IndexByte(name, '.'); i > 0 {
		return h.below[string(name[i+1:])]
	}
	return nil
}

func (h *hosts) add(host string, s *seat) {
	in := h.exact
	if rest, all := strings.CutPrefix(host, "*."); all {
		in, host = h.below, rest
	}
	name := string(appendHost(nil, host))
	if in[name] == nil && name != "" {
		in[name] = s
	}
}

// appendHost appends a host as it is looked up: without the port and the last dot, in
// small letters. What is too long for a name is none.
func appendHost(to []byte, host string) []byte {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) >= longestHost {
		return to
	}
	for _, c := range []byte(host) {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		to = append(to, c)
	}
	return to
}

// closed answers for a site that could never be opened.
type closed struct{}

func (closed) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "10")
	http.Error(w, "this site cannot be served here now; try again in a few seconds", http.StatusServiceUnavailable)
}

func (closed) Close() error { return nil }
