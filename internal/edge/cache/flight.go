package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// flight is one question to the origin, whose answer all may have that ask for the same
// meanwhile. It belongs to nobody: who began it may leave, and the others still get the
// answer.
type flight struct {
	site    *Site
	key     string
	header  http.Header // of the request that began it
	fields  []string    // that answers for this key were chosen by so far
	variant string      // of header in fields
	stale   *object     // that is validated, and held; nil for none

	ready chan struct{} // closed when what follows is known
	// object is the answer; nil where it is of no use for others.
	object *object
	status int   // of the origin's answer; 0 where there was none
	err    error // why there is none
	useful bool  // the answer is stored

	// handed gives an answer to the request that began this, which is of no use for
	// others. left is closed when that has gone.
	handed chan *http.Response
	left   chan struct{}
	leave  sync.Once

	void bool // what comes is not to be stored: see invalidate; the shard guards it
}

// suits reports whether a request may wait for the answer, as far as that is known.
func (f *flight) suits(header http.Header) bool {
	return f.variant == variant(f.fields, header)
}

// gives reports whether the answer is one for that request, after ready.
func (f *flight) gives(header http.Header) bool {
	return f.object != nil && f.object.variant == variant(f.object.response.Load().vary, header)
}

// begin begins a flight for a request. The caller holds the shard, and stale if it is
// there. Only who leads takes what is handed.
func (c *Cache) begin(e *entry, site *Site, key string, r *http.Request, stale *object, leads bool) *flight {
	f := &flight{
		site: site, key: key, header: r.Header.Clone(), stale: stale,
		ready: make(chan struct{}), handed: make(chan *http.Response), left: make(chan struct{}),
	}
	if len(e.objects) > 0 {
		f.fields = e.objects[0].response.Load().vary
	}
	f.variant = variant(f.fields, r.Header)
	if !leads {
		f.abandon()
	}
	e.flights = append(e.flights, f)
	ctx, cancel := context.WithCancelCause(c.life)
	out := site.outgoing(ctx, r, c.name)
	if stale != nil {
		addConditions(out.Header, stale.response.Load())
	}
	c.flights.Go(func() {
		if stale != nil {
			defer stale.body.release()
		}
		if handed := c.fly(f, out, cancel); !handed {
			cancel(nil)
		}
	})
	return f
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
	if err != nil {
		f.err = err
		c.land(f)
		return false
	}
	f.status = in.StatusCode
	removeConnectionFields(in.Header)
	if in.StatusCode == http.StatusNotModified && f.stale != nil {
		_ = in.Body.Close() // there is none
		c.validated(f, in.Header, requested, received)
		return false
	}
	q := readRequest(out)
	head := newResponse(c.name, in.StatusCode, in.Header, requested, received, f.site.Policy)
	f.useful = head.storable(&q) && c.fits(in.ContentLength)
	if !f.useful && !shared(head, &q) {
		in.Body = &handedBody{in.Body, cancel}
		return c.hand(f, in)
	}
	c.receive(f, in, head, requested, cancel)
	return false
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
	head := f.stale.response.Load().freshened(c.name, header, requested, received, f.site.Policy)
	f.stale.response.Store(head)
	f.object, f.useful = f.stale, true
	c.land(f)
	c.keepAgain(f.stale, requested)
}

// hand gives the answer to the request that began the flight, if that is still there.
func (c *Cache) hand(f *flight, in *http.Response) bool {
	c.index.pass(f.key, true)
	c.land(f)
	select {
	case f.handed <- in:
		return true
	case <-f.left:
		_ = in.Body.Close() // nobody wants it
		return false
	}
}

// receive takes the body of an answer that is given to all.
func (c *Cache) receive(f *flight, in *http.Response, head *response, requested time.Time, cancel context.CancelCauseFunc) {
	defer in.Body.Close()
	if in.ContentLength >= 0 && head.status != http.StatusNoContent && in.Header.Get("Content-Length") == "" {
		in.Header.Set("Content-Length", strconv.FormatInt(in.ContentLength, 10))
	}
	o := &object{key: f.key, variant: variant(head.vary, f.header), body: newBody(&c.files, in.ContentLength)}
	o.response.Store(head)
	f.object = o
	if f.useful {
		c.index.pass(f.key, false)
	}
	close(f.ready)
	err := c.copyBody(o.body, in, cancel)
	o.body.end(err)
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
		if stored = stored && !f.void; stored {
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
			if size += int64(n); size > c.largest {
				return errLarge
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
