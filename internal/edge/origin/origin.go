// Package origin is the way from a cache to what is behind it. A [Pool] asks one of the
// origins of a site, and another one where that fails or is slow. A [Tier] asks a shield
// first, which is the same for all edges that want the same. Both are round trippers; they
// know nothing of what can be stored, and follow no redirects.
package origin

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/base/fault"
)

// Endpoint is one origin of a site.
type Endpoint struct {
	// URL is where it is: scheme, host, and what each path begins with there.
	URL *url.URL
	// Weight is its share of the requests; 0 is 1.
	Weight int
	// Backup has it asked only while none of the others is usable, or where they have
	// failed a request already.
	Backup bool
	// Host is the Host that it is asked for; empty for that of URL.
	Host string
	// TLS holds who is trusted and who we are; nil for what the system trusts. Endpoints
	// with the same pointer share connections. It is not changed any more.
	TLS *tls.Config
}

// Options are what a Pool is made of.
type Options struct {
	Endpoints  []Endpoint
	Transports *Transports   // that it takes connections from; nil for its own
	Health     *Health       // nil for what answers tell alone
	Answer     time.Duration // until the head of an answer, of all tries together; 0 is a minute
	Log        *slog.Logger  // nil for none
}

const (
	mostTries     = 3 // of one question
	mostEndpoints = 64
	mostWeight    = 1000
)

// Pool asks the origins of one site. The URL of a request is as the site has it: the
// path is without what it begins with at an origin, and the host does not matter.
//
// Requests that are safe and have no body go on to another origin when one cannot be
// reached or answers 502, 503 or 504, twice at most; then the last answer is given as it
// is. Others go on only when nothing could be sent. An origin that fails again and again
// is left alone for a while. When that is so of all of them, each request is tried once
// all the same.
//
// It may be used by several goroutines.
type Pool struct {
	asker
	transports *Transports
	health     *Health
	groups     [2][]*endpoint // origins, and backups
	identities []*tls.Config
	close      sync.Once

	mu sync.Mutex // guards the credit of endpoints
}

// endpoint is an origin as a target.
type endpoint struct {
	target
	Endpoint
	base, escaped string      // what paths begin with
	sick, looked  atomic.Bool // by checks
	credit        int
}

// New returns a Pool. It starts nothing; see [Pool.Run]. The fault is invalid when an
// endpoint cannot be asked.
func New(o Options) (*Pool, error) {
	if len(o.Endpoints) == 0 || len(o.Endpoints) > mostEndpoints {
		return nil, fault.New(fault.Invalid, "there are %d origins; a site has between 1 and %d", len(o.Endpoints), mostEndpoints)
	}
	for _, e := range o.Endpoints {
		if err := e.check(); err != nil {
			return nil, err
		}
	}
	health, err := o.Health.checked()
	if err != nil {
		return nil, err
	}
	p := &Pool{transports: o.Transports, health: health}
	if p.transports == nil {
		p.transports = NewTransports(nil)
	}
	p.configure(o.Answer, o.Log)
	p.fails = func(r *http.Response) bool { return unavailable(r.StatusCode) }
	for _, e := range o.Endpoints {
		p.identities = append(p.identities, e.TLS)
		group := &p.groups[0]
		if e.Backup {
			group = &p.groups[1]
		}
		*group = append(*group, newEndpoint(e, p.transports.take(e.TLS)))
	}
	return p, nil
}

func (e *Endpoint) check() error {
	u := e.URL
	switch {
	case u == nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return fault.New(fault.Invalid, "the origin %q is none; write an address such as https://example.org/base", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fault.New(fault.Invalid, "the origin %q has a query, a fragment or a user; leave that out", u.Redacted())
	case e.Weight < 0 || e.Weight > mostWeight:
		return fault.New(fault.Invalid, "the weight of %s is %d; choose between 1 and %d", u, e.Weight, mostWeight)
	}
	return nil
}

func newEndpoint(e Endpoint, via http.RoundTripper) *endpoint {
	e.Weight = max(e.Weight, 1)
	if e.Host == "" {
		e.Host = e.URL.Host
	}
	out := &endpoint{Endpoint: e, escaped: strings.TrimSuffix(e.URL.EscapedPath(), "/")}
	out.base, _ = url.PathUnescape(out.escaped) // it was escaped by net/url
	out.target.name, out.via, out.address = e.URL.String(), via, out.direct
	return out
}

// direct makes a request one to this origin.
func (e *endpoint) direct(out *http.Request) {
	u := *out.URL
	u.Scheme, u.Host, u.User = e.URL.Scheme, e.URL.Host, nil
	if e.escaped != "" && u.Path != "*" {
		u.Path, u.RawPath = e.base+u.Path, e.escaped+u.EscapedPath()
	}
	out.URL, out.Host = &u, e.Host
}

// unavailable reports whether a status says that somebody else should be asked.
func unavailable(status int) bool { return status == 502 || status == 503 || status == 504 }

// RoundTrip asks an origin. Until the body of the answer is closed, the request counts
// as in flight.
func (p *Pool) RoundTrip(r *http.Request) (*http.Response, error) {
	q := newQuestion(r)
	var got answer
	for len(q.tried) < mostTries {
		to, ok := p.choose(q)
		if !ok {
			break
		}
		got = got.or(p.ask(q, to, p.spare()))
		if p.answers(got) || !p.mayGoOn(q, got) {
			break
		}
		p.log.Debug("an origin has failed a request", "name", to.name, "cause", got.err)
	}
	q.body.decide(got.err)
	return got.response, got.err
}

// mayGoOn reports whether somebody else may be asked after a failure.
func (p *Pool) mayGoOn(q *question, got answer) bool {
	switch {
	case !q.repeatable:
		return got.err != nil && q.Context().Err() == nil && undialled(got.err) && q.body.whole()
	case q.Context().Err() != nil, p.over(q):
		return false
	}
	return got.err != nil || !q.polls // a reload that has waited has had its answer
}

// choose finds who is asked next: one that is usable, else a backup that is, else, for a
// first try, any.
func (p *Pool) choose(q *question) (chosen, bool) {
	now, n := time.Now(), hopeful
	if !q.repeatable {
		n = proven // it is no probe
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, group := range p.groups {
		if to, ok := next(group, q, now, n); ok {
			return to, true
		}
	}
	if len(q.tried) > 0 {
		return chosen{}, false
	}
	for _, group := range p.groups {
		if to, ok := next(group, q, now, forced); ok {
			return to, true
		}
	}
	return chosen{}, false
}

// spare finds who is asked as well while one has not answered. Backups wait.
func (p *Pool) spare() spare {
	if len(p.groups[0]) < 2 {
		return nil
	}
	return p.second
}

func (p *Pool) second(q *question) (chosen, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return next(p.groups[0], q, time.Now(), proven)
}

// next chooses in turn, by weight: each one that fits gains its weight, and who has most
// is chosen and pays for all. Few requests are spread as well as many (the smooth
// weighted round robin of nginx).
func next(group []*endpoint, q *question, now time.Time, n need) (chosen, bool) {
	var best *endpoint
	total := 0
	for _, e := range group {
		if q.has(&e.target) || n != forced && e.sick.Load() || !e.breaker.allows(now, n) {
			continue
		}
		e.credit += e.Weight
		total += e.Weight
		if best == nil || e.credit > best.credit {
			best = e
		}
	}
	if best == nil {
		return chosen{}, false
	}
	best.credit -= total
	return best.choose(now, n)
}

// Close gives the connections back that the Pool has taken. Requests that are under way
// go on. Calling it again does nothing.
func (p *Pool) Close() {
	p.close.Do(func() {
		for _, id := range p.identities {
			p.transports.drop(id)
		}
	})
}

// EndpointStatus says how an origin does.
type EndpointStatus struct {
	URL     string
	Backup  bool
	Healthy bool // by its checks; true where there are none
	Asked   bool // by a request or a check, once at least: until then nothing is known of it
	Condition
}

// Status says how the origins do: those that are no backups first, each in the order of
// the options.
func (p *Pool) Status() []EndpointStatus {
	now := time.Now()
	var list []EndpointStatus
	for _, group := range p.groups {
		for _, e := range group {
			c := e.condition(now)
			list = append(list, EndpointStatus{
				URL: e.target.name, Backup: e.Backup, Healthy: !e.sick.Load(), Asked: c.Requests > 0 || e.looked.Load(), Condition: c,
			})
		}
	}
	return list
}
