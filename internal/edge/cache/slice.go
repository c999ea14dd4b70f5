package cache

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sliceSize is how much of a large object is asked for at once when somebody wants a part
// of it. A film of two hours is not fetched for its last minute.
const sliceSize = 2 << 20

// sliceRange is the Range of a slice.
func sliceRange(n int64) string {
	return "bytes=" + strconv.FormatInt(n*sliceSize, 10) + "-" + strconv.FormatInt((n+1)*sliceSize-1, 10)
}

// slicesOf is the name under which the index notes that no slices can be had of a key.
func slicesOf(key string) string { return key + "\x00" }

// objectOf is the object that an answer is, without its body. ok is false where a slice
// was asked for and something came that is neither that nor all. The answer's head is
// that of the whole afterwards.
func objectOf(f *flight, in *http.Response) (o *object, ok bool) {
	o = &object{key: f.key, slice: whole}
	if f.slice == whole || in.StatusCode != http.StatusPartialContent && in.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		return o, true
	}
	from, to, total, ok := contentRange(in.Header.Get("Content-Range"))
	if in.StatusCode != http.StatusPartialContent || !ok || from != f.slice*sliceSize || to != min(total, from+sliceSize)-1 || in.ContentLength != to-from+1 {
		return nil, false
	}
	delete(in.Header, "Content-Range")
	delete(in.Header, "Content-Length")
	in.StatusCode = http.StatusOK
	if to-from+1 < total {
		o.slice, o.total = f.slice, total
		return o, version(in.Header) != ""
	}
	return o, true
}

// contentRange reads what part of how much an answer is.
func contentRange(text string) (from, to, total int64, ok bool) {
	text, ok = strings.CutPrefix(text, "bytes ")
	part, all, cut := strings.Cut(text, "/")
	first, last, dash := strings.Cut(part, "-")
	if !ok || !cut || !dash {
		return 0, 0, 0, false
	}
	from, a := number(first)
	to, b := number(last)
	total, z := number(all)
	return from, to, total, a && b && z && from <= to && to < total
}

// version tells one state of an object from another. It is "" where nothing does.
func version(header http.Header) string {
	if etag := header.Get("Etag"); etag != "" {
		if strings.HasPrefix(etag, "W/") {
			return ""
		}
		return etag
	}
	changed, a := httpTime(header.Get("Last-Modified"))
	date, b := httpTime(header.Get("Date"))
	if !a || !b || date.Sub(changed) < time.Minute {
		return "" // it may have changed twice within a second
	}
	return header.Get("Last-Modified")
}

// piece is a slice, or the whole where the origin has that instead. It is held.
type piece struct {
	*object
	head   *response
	status string // for Cache-Status
	age    time.Duration
	hit    bool
}

var (
	errLoose  = errors.New("the origin has no slices of this")
	errRefuse = errors.New("the client wants nothing but what is stored")
)

// slice gets a slice, from what is stored or from the origin.
func (c *Cache) slice(x *exchange, n int64) (piece, error) {
	for try := range mostTries {
		f := c.look(x, n, try)
		if f.object != nil && !c.sound(f.object) {
			f.object.body.release()
			continue
		}
		switch f.action {
		case serve, refresh:
			f.object.hit()
			c.counts.hits.Add(1)
			return piece{f.object, f.stored, c.hitStatus(f.verdict), f.age, true}, nil
		case fetch, validate:
			p, err := c.awaitSlice(x.r, f)
			if err != nil || p.object != nil {
				return p, err
			}
			continue
		}
		if f.object != nil {
			f.object.body.release()
		}
		if f.action == refuse {
			return piece{}, errRefuse
		}
		break
	}
	return piece{}, errLoose
}

// awaitSlice waits for the flight that brings a slice. It returns neither a piece nor an
// error where that is for others.
func (c *Cache) awaitSlice(r *http.Request, f found) (piece, error) {
	stale := func() {
		if f.object != nil {
			f.object.body.release()
		}
	}
	if err := c.waitFor(nil, r, f); err != nil {
		stale()
		return piece{}, err
	}
	if f.flight.failed() && f.onError && f.object != nil {
		return piece{f.object, f.stored, c.staleStatus(f.verdict), f.age, true}, nil
	}
	stale()
	switch o := f.flight.object; {
	case f.flight.err != nil:
		return piece{}, f.flight.err
	case f.flight.loose:
		return piece{}, errLoose
	case f.flight.gives(r.Header) && o.body.hold():
		head := o.response.Load()
		return piece{o, head, c.missStatus(f.flight, f.verdict, !f.leads), head.age(time.Now()), false}, nil
	}
	return piece{}, nil
}

// serveSlices answers a request for a part with slices. It reports false when it has to
// be tried again.
func (c *Cache) serveSlices(x *exchange) bool {
	r := x.r
	asked, _ := rangeOf(r) // look has seen that there is one
	p, err := c.slice(x, max(0, asked.from)/sliceSize)
	switch {
	case errors.Is(err, errLoose):
		c.pass(x, "uri-miss")
		return true
	case errors.Is(err, errRefuse):
		c.refuse(x)
		return true
	case err != nil && r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the client has left, or is to come back
	case err != nil:
		c.cannot(x, err, c.name+"; fwd=uri-miss")
		return true
	}
	defer func() { p.body.release() }()
	if x.out.By = byMiss; p.hit {
		x.out.By = byHit
	}
	if p.slice == whole {
		c.respond(x, p.body, p.head, p.status, p.age)
		return true
	}
	part := wanted(r, p.head, p.total)
	if !part.partial && !notModified(r, p.head) { // it is of another version: all is wanted
		c.pass(x, "request")
		return true
	}
	if x.writeHead(p.head, p.status, p.age, part) {
		return true
	}
	end := part.offset + part.length
	for at := part.offset; at < end; {
		n := at / sliceSize
		if n != p.slice {
			next, err := c.slice(x, n)
			if err != nil {
				panic(http.ErrAbortHandler) // what was sent is not all
			}
			p.body.release()
			before := p
			p = next
			if p.slice != n || p.total != before.total || version(p.head.header) != version(before.head.header) {
				c.invalidate(x.key) // it has changed: what is stored is of two versions
				panic(http.ErrAbortHandler)
			}
		}
		if (n+1)*sliceSize < end {
			c.ahead(x, n+1)
		}
		length := min(end, (n+1)*sliceSize) - at
		if err := x.send(p.body, span{at - n*sliceSize, length}); err != nil {
			panic(http.ErrAbortHandler)
		}
		at += length
	}
	return true
}

// ahead has a slice fetched that will be wanted.
func (c *Cache) ahead(x *exchange, n int64) {
	if f := c.look(x, n, 0); f.object != nil {
		f.object.body.release()
	}
}
