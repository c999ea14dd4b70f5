// Package cache is a shared HTTP cache in front of origins (RFC 9111). It streams while
// it fetches: all who ask for the same share one request to the origin, from the first
// byte on. What is small is kept in memory, what is large in files that the kernel
// sends.
package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/base/fault"
)

// Options are what a cache stands on.
type Options struct {
	Name   string // of this cache, a token: in Cache-Status, Via and CDN-Loop
	Folder string // it is the cache's alone
	Memory int64  // bytes of memory for objects
	Disk   int64  // bytes of files
	// Room reports, with an error, that there is no room for so many bytes more on the
	// disk of Folder. It must not be nil.
	Room func(bytes int64) error
	// Patience is how long an origin may send nothing in the middle of a response.
	Patience time.Duration
	Log      *slog.Logger
}

// Cache is a cache. Who has made one closes it.
type Cache struct {
	identity
	files    files
	memory   *evictor
	disk     *evictor
	largest  int64 // body that is taken
	patience time.Duration
	log      *slog.Logger
	index    *index
	cold     *cold
	catalog  *catalog
	loading  [64]sync.Mutex // by hash of a key: see load
	buffers  sync.Pool

	life   context.Context // of fetches, and of what goes on beside them
	end    context.CancelFunc
	work   sync.WaitGroup
	flying atomic.Int64 // fetches that are under way
	counts counts
}

// largestShare is what of the room for files one of them may take.
const largestShare = 8

// New returns a cache with what a former one has left in the folder.
func New(o Options) (*Cache, error) {
	c := &Cache{
		identity: identity{o.Name, rand.Text()}, memory: newEvictor(o.Memory), disk: newEvictor(o.Disk), largest: o.Disk / largestShare,
		patience: o.Patience, log: o.Log, index: newIndex(), cold: newCold(),
		buffers: sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }},
	}
	if err := c.files.open(filepath.Join(o.Folder, "files"), o.Room); err != nil {
		return nil, err
	}
	var err error
	complete := false
	c.catalog, complete, err = openCatalog(filepath.Join(o.Folder, "catalog.db"), o.Log, func(id, hash uint64, weight int64) {
		c.files.after(id)
		c.cold.again.add(id, hash, weight, 0)
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the cache's folder %s cannot be used", o.Folder)
	}
	if !complete {
		c.cold = newCold()
	}
	c.disk.cold, c.disk.forget = c.cold, c.forget
	c.life, c.end = context.WithCancel(context.Background())
	c.work.Go(func() { c.catalog.run(c.life) })
	c.work.Go(func() { c.files.sweep(c.life, c.catalog.has) })
	return c, nil
}

// Close ends all fetches, and writes what a later cache has to know.
func (c *Cache) Close() error {
	c.end()
	c.work.Wait()
	return c.catalog.close()
}

// put stores an object, and returns what has to leave for it. The caller holds the
// shard of e.
func (c *Cache) put(e *entry, o *object) (leave []*object) {
	kept := []*object{o}
	for _, old := range e.objects[o.slice] {
		if old.variant == o.variant || len(kept) == mostVariants {
			c.discard(old)
			continue
		}
		kept = append(kept, old)
	}
	e.objects[o.slice] = kept
	o.body.hold()
	size := o.size()
	if o.body.inMemory() {
		return c.memory.add(o, size)
	}
	return c.disk.add(o, size)
}

// size is about what an object takes.
func (o *object) size() int64 {
	size, _ := o.body.length()
	size += perObject + int64(len(o.key)+len(o.variant))
	for name, lines := range o.response.Load().header {
		for _, line := range lines {
			size += int64(len(name) + len(line))
		}
	}
	return size
}

// discard forgets an object that is in no entry any more. The caller holds its shard.
func (c *Cache) discard(o *object) {
	o.seat.in.remove(o)
	if o.id != 0 {
		c.catalog.remove(o.id)
	}
	o.body.release()
}

// drop removes objects for which there is no room any more. What was in memory may stay
// on the disk.
func (c *Cache) drop(leave []*object) {
	for len(leave) > 0 {
		o := leave[0]
		leave = leave[1:]
		s := c.index.shard(o.key)
		s.mu.Lock()
		if s.take(o) {
			switch {
			case o.id == 0:
			case o.body.inMemory():
				leave = append(leave, c.disk.chill(o)...)
			default:
				c.catalog.remove(o.id)
			}
			o.body.release()
		}
		s.mu.Unlock()
	}
}

// invalidate forgets all that is stored for a key, for good, and has what is under way
// not stored: it may be from before what has changed.
func (c *Cache) invalidate(key string) {
	hash := keyHash(key)
	lock := &c.loading[hash%uint64(len(c.loading))]
	lock.Lock()
	s := c.index.shard(key)
	s.mu.Lock() // with both, nothing moves from one to the other
	known := false
	for _, id := range c.cold.take(hash) {
		c.forget(id)
		known = true
	}
	if e := s.entries[key]; e != nil {
		for _, f := range e.flights {
			f.void = true
		}
		for _, objects := range e.objects {
			for _, o := range objects {
				known = known || o.id != 0
				c.discard(o)
			}
		}
		clear(e.objects)
		s.tidy(key)
	}
	s.mu.Unlock()
	lock.Unlock()
	if known {
		c.catalog.flush() // a kill must not bring it back
	}
}

// Serve answers a request for a site.
func (c *Cache) Serve(w http.ResponseWriter, r *http.Request, site *Site) {
	if loops(r, c.identity) {
		http.Error(w, "this cache has been asked by itself: its origin is set to what it serves", http.StatusLoopDetected)
		return
	}
	if !sane(r) {
		http.Error(w, "this is no address that can be asked for here", http.StatusBadRequest)
		return
	}
	q := readRequest(r)
	if q.method != http.MethodGet && q.method != http.MethodHead || r.ContentLength != 0 || q.unknown || upgrades(r) {
		c.pass(w, r, site, reason(&q))
		return
	}
	if namesFields(r.Header) {
		// What the connection alone is told is not told the origin, so it chooses nothing.
		asked := *r
		asked.Header = r.Header.Clone()
		removeConnectionFields(asked.Header)
		r = &asked
	}
	key := site.key(r.Host, r.URL)
	for try := 0; ; try++ {
		if c.answer(w, r, site, q, key, try) {
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
func (c *Cache) answer(w http.ResponseWriter, r *http.Request, site *Site, q request, key string, try int) bool {
	f := c.look(r, site, q, key, whole, try)
	if f.object != nil {
		defer f.object.body.release()
		if !c.sound(f.object) {
			if f.leads {
				f.flight.abandon()
			}
			return false
		}
	}
	switch f.action {
	case serve, refresh:
		f.object.hit()
		c.counts.hits.Add(1)
		c.respond(w, r, f.object.body, f.stored, c.hitStatus(f.verdict), f.age)
		return true
	case refuse:
		c.refuse(w)
		return true
	case slice:
		return c.serveSlices(w, r, site, q, key)
	case pass:
		c.pass(w, r, site, f.forward)
		return true
	}
	return c.await(w, r, f)
}

// look decides what is done with a request for an object or a slice of it, and begins to
// ask the origin where that has to be.
func (c *Cache) look(r *http.Request, site *Site, q request, key string, n int64, try int) (f found) {
	s := c.index.shard(key)
	s.mu.Lock()
	e := s.entries[key]
	if e == nil && try == 0 {
		s.mu.Unlock()
		c.load(site, key)
		s.mu.Lock()
		e = s.entries[key]
	}
	defer s.mu.Unlock()
	if e != nil {
		f.object = e.find(r.Header, n)
	}
	if f.object != nil {
		f.stored = f.object.response.Load()
		f.object.body.hold() // it is in the index
	}
	f.verdict = decide(time.Now(), q, f.stored, site.Policy)
	if f.action == fetch && f.object == nil && e != nil && len(e.objects[n]) > 0 {
		f.forward = "vary-miss"
	}
	switch f.action {
	case refresh:
		if e.flight(r.Header, n) == nil && c.flying.Load() < mostFlights {
			c.begin(e, site, key, n, r, f, false)
		}
	case fetch, validate:
		if q.method == http.MethodHead || try == mostTries {
			f.action = pass
			return f
		}
		if e != nil {
			if f.flight = e.flight(r.Header, n); f.flight != nil {
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

// mostFlights bounds the fetches that are under way. Above it the origin answers each
// request itself, for as long as that is there.
const mostFlights = 4096

// await answers a request with what a flight brings. It reports false when that is not
// for this request.
func (c *Cache) await(w http.ResponseWriter, r *http.Request, f found) bool {
	if f.leads {
		defer f.flight.abandon()
	}
	if c.waitFor(r, f.flight) != nil {
		panic(http.ErrAbortHandler) // the client has left, or is to come back
	}
	if f.flight.failed() && f.onError && f.object != nil {
		c.respond(w, r, f.object.body, f.stored, c.staleStatus(f.verdict), f.age)
		return true
	}
	status := c.missStatus(f.flight, f.verdict, !f.leads)
	switch {
	case f.flight.err != nil:
		c.cannot(w, f.flight.err, status)
		return true
	case f.flight.loose:
		return false
	case f.flight.gives(r.Header):
		o := f.flight.object
		if !o.body.hold() {
			return false
		}
		defer o.body.release()
		head := o.response.Load()
		c.respond(w, r, o.body, head, status, head.age(time.Now()))
		return true
	case f.leads && f.flight.object == nil:
		select {
		case in := <-f.flight.handed:
			c.relay(w, r, in, status)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
		return true
	}
	return false
}

// waitFor waits until it is known what a flight brings.
func (c *Cache) waitFor(r *http.Request, f *flight) error {
	c.counts.misses.Add(1)
	c.counts.waiting.Add(1)
	defer c.counts.waiting.Add(-1)
	select {
	case <-f.ready:
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// respond answers with an object.
func (c *Cache) respond(w http.ResponseWriter, r *http.Request, b *body, stored *response, status string, age time.Duration) {
	size, known := b.length()
	if !known {
		size, known = number(stored.header.Get("Content-Length"))
	}
	part := extent{span: span{0, -1}}
	if known {
		part = wanted(r, stored, size)
	}
	if writeHead(w, r, stored, status, age, part) {
		return
	}
	if err := b.send(r.Context(), w, part.span); err != nil {
		panic(http.ErrAbortHandler) // what was sent is not all: the client has to see that
	}
}

// writeHead writes the head of an answer, and reports whether that is all of it.
func writeHead(w http.ResponseWriter, r *http.Request, stored *response, status string, age time.Duration, part extent) (over bool) {
	header := w.Header()
	for name, lines := range stored.header {
		header[name] = lines
	}
	delete(header, "Surrogate-Control") // it is for us, not for browsers
	header["Age"] = []string{seconds(age)}
	header["Cache-Status"] = appendMember(stored.header["Cache-Status"], status)
	switch {
	case notModified(r, stored):
		delete(header, "Content-Length")
		w.WriteHeader(http.StatusNotModified)
		return true
	case part.none:
		header["Content-Range"] = []string{"bytes */" + strconv.FormatInt(part.size, 10)}
		for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding", "Etag", "Last-Modified"} {
			delete(header, name)
		}
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return true
	}
	code := stored.status
	if part.partial {
		code = http.StatusPartialContent
		header["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", part.offset, part.offset+part.length-1, part.size)}
	}
	if part.length >= 0 && code != http.StatusNoContent {
		header["Content-Length"] = []string{strconv.FormatInt(part.length, 10)}
	}
	w.WriteHeader(code)
	return r.Method == http.MethodHead || part.length == 0
}

// relay gives an answer of the origin to one client.
func (c *Cache) relay(w http.ResponseWriter, r *http.Request, in *http.Response, status string) {
	defer in.Body.Close()
	stop := context.AfterFunc(r.Context(), func() { _ = in.Body.Close() }) // reading it ends then
	defer stop()
	header := w.Header()
	for name, lines := range in.Header {
		header[name] = lines
	}
	delete(header, "Surrogate-Control")
	header["Cache-Status"] = appendMember(header["Cache-Status"], status)
	w.WriteHeader(in.StatusCode)
	out := http.NewResponseController(w)
	if out.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
	buffer := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buffer)
	for {
		n, err := in.Body.Read(*buffer)
		if n > 0 {
			if _, err := w.Write((*buffer)[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
			if err := out.Flush(); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				panic(http.ErrAbortHandler)
			}
			return
		}
	}
}

// pass has the origin answer, and stores nothing.
func (c *Cache) pass(w http.ResponseWriter, r *http.Request, site *Site, why string) {
	c.counts.passed.Add(1)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL, p.Out.Host = site.address(r.URL), site.Origin.Host
			p.Out.Header["X-Forwarded-For"] = r.Header["X-Forwarded-For"]
			removeMisleading(p.Out.Header)
			introduce(p.Out.Header, r, c.identity)
			if !upgrades(r) {
				p.Out.Header.Del("Upgrade")
				p.Out.Header.Del("Connection")
			}
		},
		Transport: site.Transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		ModifyResponse: func(in *http.Response) error {
			delete(in.Header, "Surrogate-Control")
			in.Header["Cache-Status"] = appendMember(in.Header["Cache-Status"], c.name+"; fwd="+why+"; fwd-status="+strconv.Itoa(in.StatusCode))
			if changes(r.Method, in.StatusCode) {
				c.invalidate(site.key(r.Host, r.URL))
				for _, name := range []string{"Location", "Content-Location"} {
					if key, ok := site.keyOf(r, in.Header.Get(name)); ok {
						c.invalidate(key)
					}
				}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { c.cannot(w, err, c.name+"; fwd="+why) },
	}
	proxy.ServeHTTP(w, r)
}

// refuse says that nothing is stored.
func (c *Cache) refuse(w http.ResponseWriter) {
	w.Header()["Cache-Status"] = []string{c.name + "; fwd=request; detail=only-if-cached"}
	http.Error(w, "nothing is stored for this, and the request wants nothing else", http.StatusGatewayTimeout)
}

// cannot says that the origin gave no answer.
func (c *Cache) cannot(w http.ResponseWriter, err error, status string) {
	w.Header()["Cache-Status"] = []string{status}
	code, says := http.StatusBadGateway, "the origin cannot be reached; try again in a few seconds"
	var network net.Error
	if errors.As(err, &network) && network.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		code, says = http.StatusGatewayTimeout, "the origin has not answered in time; try again in a few seconds"
	}
	c.log.Warn("the origin gives no answer", "cause", err)
	http.Error(w, says, code)
}
