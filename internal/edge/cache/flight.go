package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"liuyun/internal/base/fault"
)

// flight is one question to the origin, whose answer all may have that ask for the same
// meanwhile. It belongs to nobody: who began it may leave, and the others still get the
// answer.
type flight struct {
	site    *Site
	key     string
	slice   int64       // of what is asked for, or whole
	header  http.Header // of the request that began it
	fields  []string    // that answers for this key were chosen by so far
	variant string      // of header in fields
	stale   *object     // that is validated, and held; nil for none
	spare   bool        // what is stored may be served instead of a failure
	// said is what the origin says before its answer, for the request that began this; nil
	// where that wants none of it, as for a slice or beside what is served. It has room for
	// all.
	said chan early
	asOf int64 // sequence of the last purge before

	ready chan struct{} // closed when what follows is known
	// object is the answer; nil where it is of no use for others.
	object *object
	status int   // of the origin's answer; 0 where there was none
	loose  bool  // what came is of use for nobody: no slice, or a 304 that makes what is stored private
	err    error // why there is none
	useful bool  // the answer is stored

	// handed gives an answer to the request that began this, which is of no use for
	// others. left is closed when that has gone.
	handed chan *http.Response
	left   chan struct{}
	leave  sync.Once

	void bool // what comes is not to be stored: see invalidate; the shard guards it
}

// gives reports whether the answer is one for that request, after ready.
func (f *flight) gives(header http.Header) bool {
	return f.object != nil && f.object.variant == variant(f.object.response.Load().vary, header)
}

// begin begins a flight for a request, where that is found. The caller holds the shard.
// Only who leads takes what is handed.
func (c *Cache) begin(e *entry, site *Site, key string, n int64, r *http.Request, is found, leads bool) *flight {
	f := &flight{
		site: site, key: key, slice: n, asOf: c.marks.latest.Load(), header: r.Header.Clone(), spare: is.object != nil && (is.onError || is.action == refresh),
		ready: make(chan struct{}), handed: make(chan *http.Response), left: make(chan struct{}),
	}
	if known := e.objects[n]; len(known) > 0 {
		f.fields = known[0].response.Load().vary
	}
	f.variant = variant(f.fields, r.Header)
	if !leads {
		f.abandon()
	}
	e.flights = append(e.flights, f)
	ctx, cancel := context.WithCancelCause(c.life)
	out := site.outgoing(f.listen(ctx, r, leads), r, c.identity)
	if n != whole {
		out.Header.Set("Range", sliceRange(n))
	}
	if is.object != nil && is.stored.validator() {
		f.stale = is.object
		f.stale.body.hold()
	}
	c.flying.Add(1)
	c.work.Go(func() {
		defer c.flying.Add(-1)
		if stale := f.stale; stale != nil {
			defer stale.body.release()
			if c.sound(stale) {
				addConditions(out.Header, stale.response.Load())
			} else {
				f.stale = nil
			}
		}
		if handed := c.fly(f, out, cancel); !handed {
			cancel(nil)
		}
	})
	return f
}

// listen returns a context for the request to the origin, by which is heard what that says
// before its answer.
func (f *flight) listen(ctx context.Context, r *http.Request, leads bool) context.Context {
	if !leads || !r.ProtoAtLeast(1, 1) {
		return ctx
	}
	f.said = make(chan early, mostEarly)
	ears := &ears{tell: func(e early) { f.said <- e }}
	return ears.trace(ctx)
}

// abandon says that nobody takes what is handed.
func (f *flight) abandon() { f.leave.Do(func() { close(f.left) }) }

// addConditions asks whether what is stored is still right.
func addConditions(header http.Header, stored *response) {
	if etag := stored.header.Get("Etag"); etag != "" {
		header.Set("If-None-Match", etag)
	}
	if at := stored.header.Get("Last-Modified"); at != "" {
		header.Set("If-Modified-Since", at)
	}
}

// fly asks the origin, and takes what it answers. It reports whether that was handed to
// who began the flight, who then ends it.
func (c *Cache) fly(f *flight, out *http.Request, cancel context.CancelCauseFunc) (handed bool) {
	requested := time.Now()
	in, err := f.site.Transport.RoundTrip(out)
	received := time.Now()
	if err == nil && in.StatusCode < http.StatusOK { // what comes before an answer is heard of elsewhere
		_ = in.Body.Close() // it is not read
		err = errStatus(in.StatusCode)
	}
	if err != nil {
		f.err = err
		c.land(f)
		return false
	}
	f.status = in.StatusCode
	removeConnectionFields(in.Header)
	delete(in.Header, altSvc)
	stamp(in.Header, f.asOf)
	if in.StatusCode == http.StatusNotModified && f.stale != nil {
		_ = in.Body.Close() // there is none
		c.validated(f, in.Header, requested, received)
		return false
	}
	q := readRequest(out)
	o, ok := objectOf(f, in)
	if !ok {
		_ = in.Body.Close() // it is not read
		c.lose(f, f.status == http.StatusPartialContent)
		return false
	}
	part := f.slice
	if part != whole && o.slice == whole {
		s := c.index.shard(f.key)
		s.mu.Lock()
		f.slice = whole // who asks for another part may wait for it as well
		s.mu.Unlock()
	}
	head := newResponse(c.name, in.StatusCode, in.Header, requested, received, f.site.Policy)
	// That it is of no use for others may be the fault of this request alone.
	anybody := request{method: http.MethodGet}
	others := head.storable(&anybody) && c.fits(in.ContentLength)
	f.useful = others && head.storable(&q) && !(f.spare && failure(head.status))
	switch {
	case f.useful, shared(head, &q):
	case part != whole:
		_ = in.Body.Close() // it is not read
		c.lose(f, !others && head.status == http.StatusOK)
		return false
	default:
		in.Body = &handedBody{in.Body, cancel}
		stamp(in.Header, head.asOf)
		return c.hand(f, in, others)
	}
	o.variant, o.owner = variant(head.vary, f.header), c.ownerOf(f.site, head.header)
	o.response.Store(head)
	c.receive(f, in, o, requested, cancel)
	return false
}

// errStatus is what an origin is said to fail with whose status is none of an answer.
func errStatus(status int) error {
	return fmt.Errorf("the origin answers with status %d, which nobody has asked for", status)
}

// handedBody ends the request with its body.
type handedBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *handedBody) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

// failed reports that the origin gave no answer, or none that is worth more than what is
// stored.
func (f *flight) failed() bool { return f.err != nil || failure(f.status) }

// lose ends a flight for a slice that cannot be had. For a while none is asked for, where
// they are of that kind.
func (c *Cache) lose(f *flight, kind bool) {
	f.loose = true
	if kind {
		c.index.pass(slicesOf(f.key), true)
	}
	c.land(f)
}

// fits reports whether there is room for a body of that size, or of one that is not
// known.
func (c *Cache) fits(size int64) bool {
	if size >= 0 && size <= smallBody {
		return true
	}
	return size <= c.largest && c.files.room(max(size, smallBody)) == nil
}

// shared reports whether an answer that is not stored may be given to those who wait
// for it too: that the origin has failed is the same for all.
func shared(r *response, q *request) bool {
	return failure(r.status) && !r.noStore && !r.private && !q.authorized && r.header["Set-Cookie"] == nil && !slices.Contains(r.vary, anything)
}

// failure reports whether a status says that the origin cannot answer (RFC 5861,
// section 4).
func failure(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

// validated takes that what is stored is still right.
func (c *Cache) validated(f *flight, header http.Header, requested, received time.Time) {
	before := f.stale.response.Load()
	head := before.freshened(c.name, header, requested, received, f.site.Policy)
	if !head.storable(&request{method: http.MethodGet}) {
		c.forgetObject(f.stale)
		f.loose = true
		c.index.pass(f.key, true)
		c.land(f)
		return
	}
	// Who asked after a later purge may have had his answer sooner.
	newer := head.asOf >= before.asOf && f.stale.response.CompareAndSwap(before, head)
	f.object, f.useful = f.stale, true
	c.land(f)
	if newer {
		c.keepAgain(f.stale, requested)
	}
}

// hand gives the answer to the request that began the flight, if that is still there.
func (c *Cache) hand(f *flight, in *http.Response, others bool) bool {
	if !others {
		c.index.pass(f.key, true)
	}
	c.land(f)
	select {
	case <-c.life.Done():
		_ = in.Body.Close() // it has ended with that
		return false
	case f.handed <- in:
		return true
	case <-f.left:
		_ = in.Body.Close() // nobody wants it
		return false
	}
}

// receive takes the body of an answer that is given to all.
func (c *Cache) receive(f *flight, in *http.Response, o *object, requested time.Time, cancel context.CancelCauseFunc) {
	defer in.Body.Close()
	if in.ContentLength >= 0 && in.StatusCode != http.StatusNoContent && in.Header.Get("Content-Length") == "" {
		in.Header.Set("Content-Length", strconv.FormatInt(in.ContentLength, 10))
	}
	o.body = newBody(&c.files, in.ContentLength)
	f.object = o
	if f.useful {
		c.index.pass(f.key, false)
	}
	close(f.ready)
	err := c.copyBody(o.body, in, cancel)
	o.body.end(err)
	if errors.Is(err, errLarge) || fault.CodeOf(err) == fault.StorageFull {
		c.index.pass(f.key, true) // the next one gets it from the origin
	}
	if err != nil {
		c.log.Debug("an answer of the origin was not whole", "key", f.key, "cause", err)
	}
	var leave []*object
	stored := err == nil && f.useful
	keep := func() {}
	if stored {
		keep = c.keeping(o, requested)
	}
	c.finish(f, func(e *entry) {
		if stored = stored && !f.void && !e.newer(o); stored {
			keep()
			leave = c.put(e, o)
		}
	})
	c.drop(leave)
	if stored {
		o.body.release()
	} else {
		time.AfterFunc(waking, o.body.release)
	}
}

// waking is how long those who wait for an answer that is not stored have to wake up.
const waking = time.Second

// copyBody copies what the origin sends. An origin that sends nothing for a while is
// given up.
func (c *Cache) copyBody(b *body, in *http.Response, cancel context.CancelCauseFunc) error {
	buffer := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buffer)
	stalled := time.AfterFunc(c.patience, func() { cancel(errStalled) })
	defer stalled.Stop()
	for size := int64(0); ; {
		n, err := in.Body.Read(*buffer)
		if n > 0 {
			stalled.Reset(c.patience)
			const look = 1 << 20 // so often it is looked whether there is room
			before := size
			if size += int64(n); size > c.largest {
				return errLarge
			}
			if size/look != before/look {
				if err := c.files.room(look); err != nil {
					return err
				}
			}
			if err := b.write((*buffer)[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

var (
	errStalled = errors.New("the origin has sent nothing for too long")
	errLarge   = errors.New("the response is larger than what the cache takes")
)

// land says that there is no body to come for all, and lets the flight go.
func (c *Cache) land(f *flight) {
	c.finish(f, func(*entry) {})
	close(f.ready)
}

// finish takes the flight out of the index, and lets change act on its entry.
func (c *Cache) finish(f *flight, change func(e *entry)) {
	s := c.index.shard(f.key)
	s.mu.Lock()
	e := s.at(f.key)
	if i := slices.Index(e.flights, f); i >= 0 {
		e.flights = slices.Delete(e.flights, i, i+1)
	}
	change(e)
	s.tidy(f.key)
	s.mu.Unlock()
}
