package cache

import (
	"net/http"
	"strings"
	"time"
)

// Outcome is what became of a request.
type Outcome struct {
	Status int    // 0 where the client was gone before there was one
	Bytes  int64  // of the body, that were sent; of what is something else than HTTP from then on, none
	By     string // hit, miss or pass
	For    string // what the answer says in Site.CountFor
}

// How a request is answered.
const (
	byHit  = "hit"  // from what is stored
	byMiss = "miss" // by an answer of the origin that others may have too
	byPass = "pass" // by the origin alone, or not at all
)

// exchange is a request while it is answered.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	site *Site
	q    request
	key  string
	out  *Outcome
}

// Serve answers a request for a site, and notes what became of it, also where it panics to
// abort the connection.
func (c *Cache) Serve(w http.ResponseWriter, r *http.Request, site *Site, out *Outcome) {
	*out = Outcome{By: byPass}
	w.Header()["Content-Type"] = nil // net/http would guess one where the origin gives none
	if loops(r, c.identity) {
		out.Status = http.StatusLoopDetected
		http.Error(w, "this cache has been asked by itself: its origin is set to what it serves", http.StatusLoopDetected)
		return
	}
	if !sane(r) {
		out.Status = http.StatusBadRequest
		http.Error(w, "this is no address that can be asked for here", http.StatusBadRequest)
		return
	}
	q := readRequest(r)
	x := exchange{w: w, r: r, site: site, q: q, out: out}
	if q.method != http.MethodGet && q.method != http.MethodHead || r.ContentLength != 0 || q.unknown || upgrades(r) {
		c.pass(&x, reason(&q))
		return
	}
	if namesFields(r.Header) {
		// What the connection alone is told is not told the origin, so it chooses nothing.
		asked := *r
		asked.Header = r.Header.Clone()
		removeConnectionFields(asked.Header)
		x.r = &asked
	}
	x.key = site.key(r.Host, r.URL)
	for try := 0; ; try++ {
		if c.answer(&x, try) {
			return
		}
	}
}

// upgrades reports whether a request is for a connection that is something else from then
// on.
func upgrades(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// reason is why a request is not answered from what is stored.
func reason(q *request) string {
	if q.method != http.MethodGet && q.method != http.MethodHead {
		return "method"
	}
	return "request"
}

// mostTries is how often a request looks again, when what it waited for was for others.
const mostTries = 3

// found is what there is for a request, or what has to be waited for.
type found struct {
	verdict
	object *object   // what is stored, held; nil for nothing
	stored *response // its head
	flight *flight   // where the origin is asked
	leads  bool      // and this request began that
}

// answer answers a request. It reports false when it has to be tried again.
func (c *Cache) answer(x *exchange, try int) bool {
	f := c.look(x, whole, try)
	if f.object != nil {
		defer f.object.body.release()
		if !c.sound(f.object) {
			if !f.leads {
				return false
			}
			f.object, f.stored, f.onError = nil, nil, false // the origin is asked already
		}
	}
	switch f.action {
	case serve, refresh:
		f.object.hit()
		c.counts.hits.Add(1)
		x.out.By = byHit
		c.respond(x, f.object.body, f.stored, c.hitStatus(f.verdict), f.age)
		return true
	case refuse:
		c.refuse(x)
		return true
	case slice:
		return c.serveSlices(x)
	case pass:
		c.pass(x, f.forward)
		return true
	}
	return c.await(x, f)
}

// look decides what is done with a request for an object or a slice of it, and begins to
// ask the origin where that has to be.
func (c *Cache) look(x *exchange, n int64, try int) (f found) {
	r, site, q, key := x.r, x.site, x.q, x.key
	s := c.index.shard(key)
	s.mu.Lock()
	e := s.entries[key]
	if e != nil {
		f.object = e.find(r.Header, n)
	}
	if f.object == nil && try == 0 { // there may be one on the disk, also beside others
		s.mu.Unlock()
		c.load(site, key)
		s.mu.Lock()
		if e = s.entries[key]; e != nil {
			f.object = e.find(r.Header, n)
		}
	}
	defer s.mu.Unlock()
	var stands standing
	if f.object != nil {
		f.stored = f.object.response.Load()
		f.object.body.hold() // it is in the index
		stands = c.marks.standing(key, f.stored)
	}
	f.verdict = decide(time.Now(), q, f.stored, stands, site.Policy)
	if stands.gone {
		f.bury(c, s)
		e = s.entries[key]
	}
	if f.action == fetch && f.object == nil && e != nil && len(e.objects[n]) > 0 {
		f.forward = "vary-miss"
	}
	switch f.action {
	case refresh:
		if e.flight(r.Header, n, c.marks) == nil && c.flying.Load() < mostFlights {
			c.begin(e, site, key, n, r, f, false)
		}
	case fetch, validate:
		if q.method == http.MethodHead || try == mostTries {
			f.action = pass
			return f
		}
		if e != nil {
			if f.flight = e.flight(r.Header, n, c.marks); f.flight != nil {
				return f
			}
		}
		_, part := rangeOf(r)
		part = part && n == whole && f.object == nil
		switch {
		case part && !c.index.passes(slicesOf(key)):
			f.action = slice
			return f
		case part, f.object == nil && n == whole && (q.noStore || c.index.passes(key)), c.flying.Load() >= mostFlights:
			f.action = pass
			return f
		}
		f.leads = true
		f.flight = c.begin(s.at(key), site, key, n, r, f, n == whole)
	}
	return f
}

// bury forgets what is stored for a request. The caller holds its shard.
func (f *found) bury(c *Cache, s *shard) {
	s.take(f.object)
	c.discard(f.object)
	f.object.body.release()
	f.object, f.stored = nil, nil
}

// mostFlights bounds the fetches that are under way. Above it the origin answers each
// request itself, for as long as that is there.
const mostFlights = 4096

// await answers a request with what a flight brings. It reports false when that is not
// for this request.
func (c *Cache) await(x *exchange, f found) bool {
	if f.leads {
		defer f.flight.abandon()
	}
	if c.waitFor(x.w, x.r, f) != nil {
		panic(http.ErrAbortHandler) // the client has left, or is to come back
	}
	x.out.By = byMiss
	if f.flight.failed() && f.onError && f.object != nil {
		x.out.By = byHit
		c.respond(x, f.object.body, f.stored, c.staleStatus(f.verdict), f.age)
		return true
	}
	status := c.missStatus(f.flight, f.verdict, !f.leads)
	switch {
	case f.flight.err != nil:
		c.cannot(x, f.flight.err, status)
		return true
	case f.flight.loose:
		return false
	case f.flight.gives(x.r.Header):
		o := f.flight.object
		if !o.body.hold() {
			return false
		}
		defer o.body.release()
		head := o.response.Load()
		c.respond(x, o.body, head, status, head.age(time.Now()))
		return true
	case f.leads && f.flight.object == nil:
		select {
		case in := <-f.flight.handed:
			x.out.By = byPass
			c.relay(x, in, status)
		case <-x.r.Context().Done():
			panic(http.ErrAbortHandler)
		}
		return true
	}
	return false
}

// waitFor waits until it is known what a flight brings. Who began it is told what the
// origin says before.
func (c *Cache) waitFor(w http.ResponseWriter, r *http.Request, f found) error {
	c.counts.misses.Add(1)
	c.counts.waiting.Add(1)
	defer c.counts.waiting.Add(-1)
	var said chan early // from which nothing comes
	if f.leads {
		said = f.flight.said
	}
	for {
		select {
		case e := <-said:
			e.send(w)
		case <-f.flight.ready:
			for len(said) > 0 { // it was before
				e := <-said
				e.send(w)
			}
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}
