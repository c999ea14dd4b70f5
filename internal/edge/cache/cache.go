// Package cache is a shared HTTP cache in front of origins (RFC 9111). It streams while
// it fetches: all who ask for the same share one request to the origin, from the first
// byte on. What is small is kept in memory, what is large in files that the kernel
// sends.
package cache

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strconv"
	"sync"
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

// Cache is a cache. New starts nothing; see Close.
type Cache struct {
	name     string
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

	life    context.Context // of fetches
	end     context.CancelFunc
	stop    chan struct{} // closed when the cache is
	flights sync.WaitGroup
	counts  counts
}

// largestShare is what of the room for files one of them may take.
const largestShare = 8

// New returns a cache with what a former one has left in the folder.
func New(o Options) (*Cache, error) {
	c := &Cache{
		name: o.Name, memory: newEvictor(o.Memory), disk: newEvictor(o.Disk), largest: o.Disk / largestShare,
		patience: o.Patience, log: o.Log, index: newIndex(), cold: newCold(), stop: make(chan struct{}),
		buffers: sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }},
	}
	if err := c.files.open(filepath.Join(o.Folder, "files"), o.Room); err != nil {
		return nil, err
	}
	var err error
	if c.catalog, err = openCatalog(filepath.Join(o.Folder, "catalog.db"), o.Log); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the cache's folder %s cannot be used", o.Folder)
	}
	if err := c.catalog.each(c.cold.add); err != nil {
		return nil, errors.Join(err, c.catalog.close())
	}
	c.disk.cold, c.disk.forget = c.cold, c.forget
	c.life, c.end = context.WithCancel(context.Background())
	c.flights.Go(func() { c.catalog.run(c.stop) })
	c.flights.Go(func() { c.files.sweep(c.stop, c.catalog.has) })
	return c, nil
}

// Close ends all fetches, and writes what a later cache has to know.
func (c *Cache) Close() error {
	c.end()
	close(c.stop)
	c.flights.Wait()
	return c.catalog.close()
}

// put stores an object, and returns what has to leave for it. The caller holds the
// shard of e.
func (c *Cache) put(e *entry, o *object) (leave []*object) {
	kept := e.objects[:0]
	for _, old := range e.objects {
		if old.variant == o.variant || len(kept) == mostVariants-1 {
			c.discard(old)
			continue
		}
		kept = append(kept, old)
	}
	clear(e.objects[len(kept):])
	e.objects = append(kept, nil)
	copy(e.objects[1:], e.objects)
	e.objects[0] = o
	o.body.hold()
	size, _ := o.body.length()
	if o.body.inMemory() {
		return c.memory.add(o, size)
	}
	return c.disk.add(o, size)
}

// discard forgets an object that is in no entry any more. The caller holds its shard.
func (c *Cache) discard(o *object) {
	o.place.in.remove(o)
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
				leave = append(leave, c.disk.chill(o.id, keyHash(o.key), o.place.weight)...)
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
	known := false
	for _, id := range c.cold.take(hash) {
		c.forget(id)
		known = true
	}
	lock.Unlock()
	s := c.index.shard(key)
	s.mu.Lock()
	if e := s.entries[key]; e != nil {
		for _, f := range e.flights {
			f.void = true
		}
		for _, o := range e.objects {
			known = known || o.id != 0
			c.discard(o)
		}
		e.objects = nil
		s.tidy(key)
	}
	s.mu.Unlock()
	if known {
		c.catalog.flush() // a kill must not bring it back
	}
}

// Serve answers a request for a site.
func (c *Cache) Serve(w http.ResponseWriter, r *http.Request, site *Site) {
	if loops(r, c.name) {
		http.Error(w, "this cache has been asked by itself: its origin is set to what it serves", http.StatusLoopDetected)
		return
	}
	q := readRequest(r)
	if q.method != http.MethodGet && q.method != http.MethodHead || r.ContentLength != 0 || q.unknown {
		c.pass(w, r, site, reason(&q))
		return
	}
	key := site.key(r.URL)
	for try := 0; ; try++ {
		if c.answer(w, r, site, q, key, try) {
			return
		}
	}
}

// reason is why a request is not answered from what is stored.
func reason(q *request) string {
	if q.method != http.MethodGet && q.method != http.MethodHead {
		return "method"
	}
	return "request"
}

// mostTries is how often a request looks again, when what it waited for was for others.
const mostTries = 3

// answer answers a request. It reports false when it has to be tried again.
func (c *Cache) answer(w http.ResponseWriter, r *http.Request, site *Site, q request, key string, try int) bool {
	s := c.index.shard(key)
	s.mu.Lock()
	e := s.entries[key]
	if e == nil && try == 0 {
		s.mu.Unlock()
		c.load(site, key)
		s.mu.Lock()
		e = s.entries[key]
	}
	var o *object
	if e != nil {
		o = e.find(r.Header)
	}
	var stored *response
	if o != nil {
		stored = o.response.Load()
		o.body.hold() // it is in the index
	}
	now := time.Now()
	v := decide(now, q, stored, site.Policy)
	if v.action == fetch && o == nil && e != nil && len(e.objects) > 0 {
		v.forward = "vary-miss"
	}
	var f *flight
	leads := false
	switch v.action {
	case refresh:
		if e.flight(r.Header) == nil {
			c.begin(e, site, key, r, held(o), false)
		}
	case fetch, validate:
		if q.method == http.MethodHead || try == mostTries || o == nil && c.index.passes(key) {
			v.action = pass
			break
		}
		e = s.at(key)
		if f = e.flight(r.Header); f == nil {
			leads = true
			f = c.begin(e, site, key, r, held(o), true)
		}
	}
	s.mu.Unlock()
	if o != nil {
		defer o.body.release()
	}
	switch v.action {
	case serve, refresh:
		o.hit()
		c.counts.hits.Add(1)
		c.respond(w, r, o.body, stored, c.hitStatus(v), v.age)
		return true
	case refuse:
		w.Header()["Cache-Status"] = []string{c.name + "; fwd=request; detail=only-if-cached"}
		http.Error(w, "nothing is stored for this, and the request wants nothing else", http.StatusGatewayTimeout)
		return true
	case pass:
		c.pass(w, r, site, v.forward)
		return true
	}
	return c.await(w, r, f, leads, v, o, stored)
}

// held is an object that one more holds, for a flight to validate. The caller holds the
// shard.
func held(o *object) *object {
	if o == nil || !o.response.Load().validator() {
		return nil
	}
	o.body.hold()
	return o
}

// await answers a request with what a flight brings. It reports false when that is not
// for this request.
func (c *Cache) await(w http.ResponseWriter, r *http.Request, f *flight, leads bool, v verdict, o *object, stored *response) bool {
	if leads {
		defer f.abandon()
	}
	select {
	case <-f.ready:
	case <-r.Context().Done():
		return true // nobody is there
	}
	c.counts.misses.Add(1)
	failed := f.err != nil || failure(f.status)
	if failed && v.onError && o != nil {
		c.respond(w, r, o.body, stored, c.name+"; hit; ttl="+seconds(v.ttl)+"; detail=stale-if-error", v.age)
		return true
	}
	status := c.missStatus(f, v, !leads)
	switch {
	case f.err != nil:
		c.cannot(w, f.err, status)
		return true
	case f.gives(r.Header):
		if !f.object.body.hold() {
			return false
		}
		defer f.object.body.release()
		head := f.object.response.Load()
		c.respond(w, r, f.object.body, head, status, head.age(time.Now()))
		return true
	case leads && f.object == nil:
		select {
		case in := <-f.handed:
			c.relay(w, in, status)
		case <-r.Context().Done():
		}
		return true
	}
	return false
}

// respond answers with an object.
func (c *Cache) respond(w http.ResponseWriter, r *http.Request, b *body, stored *response, status string, age time.Duration) {
	header := w.Header()
	for name, lines := range stored.header {
		header[name] = lines
	}
	delete(header, "Surrogate-Control") // it is for us, not for browsers
	header["Age"] = []string{seconds(age)}
	header["Cache-Status"] = appendMember(stored.header["Cache-Status"], status)
	if notModified(r, stored) {
		delete(header, "Content-Length")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	size, known := b.length()
	if !known {
		size, known = number(stored.header.Get("Content-Length"))
	}
	part := span{0, -1}
	code := stored.status
	if known {
		s, partial, satisfiable := wanted(r, stored, size)
		switch {
		case !satisfiable:
			header["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)}
			for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding", "Etag", "Last-Modified"} {
				delete(header, name)
			}
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		case partial:
			code = http.StatusPartialContent
			header["Content-Range"] = []string{"bytes " + strconv.FormatInt(s.offset, 10) + "-" + strconv.FormatInt(s.offset+s.length-1, 10) + "/" + strconv.FormatInt(size, 10)}
		}
		part = s
		if stored.status != http.StatusNoContent {
			header["Content-Length"] = []string{strconv.FormatInt(s.length, 10)}
		}
	}
	w.WriteHeader(code)
	if r.Method == http.MethodHead || part.length == 0 {
		return
	}
	if err := b.send(r.Context(), w, part); err != nil {
		// What was sent is not all: the client has to see that.
		panic(http.ErrAbortHandler)
	}
}

// relay gives an answer of the origin to one client.
func (c *Cache) relay(w http.ResponseWriter, in *http.Response, status string) {
	defer in.Body.Close()
	header := w.Header()
	for name, lines := range in.Header {
		header[name] = lines
	}
	delete(header, "Surrogate-Control")
	header["Cache-Status"] = appendMember(header["Cache-Status"], status)
	w.WriteHeader(in.StatusCode)
	buffer := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buffer)
	out := http.NewResponseController(w)
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
			if !isEnd(err) {
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
			introduce(p.Out.Header, r, c.name)
		},
		Transport: site.Transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		ModifyResponse: func(in *http.Response) error {
			delete(in.Header, "Surrogate-Control")
			in.Header["Cache-Status"] = appendMember(in.Header["Cache-Status"], c.name+"; fwd="+why+"; fwd-status="+strconv.Itoa(in.StatusCode))
			if changes(r.Method, in.StatusCode) {
				c.invalidate(site.key(r.URL))
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

// cannot says that the origin gave no answer.
func (c *Cache) cannot(w http.ResponseWriter, err error, status string) {
	w.Header()["Cache-Status"] = []string{status}
	code, says := http.StatusBadGateway, "the origin cannot be reached; try again in a few seconds"
	var network net.Error
	if errors.As(err, &network) && network.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		code, says = http.StatusGatewayTimeout, "the origin has not answered in time; try again in a few seconds"
	}
	if full := fault.CodeOf(err); full == fault.StorageFull {
		code, says = http.StatusServiceUnavailable, fault.Message(err)
	}
	c.log.Warn("the origin gives no answer", "cause", err)
	http.Error(w, says, code)
}
