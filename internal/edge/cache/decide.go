package cache

import (
	"net/http"
	"strings"
	"time"
)

// request is what of a request bears on what it is answered with.
type request struct {
	method       string
	authorized   bool // with credentials
	onlyIfCached bool
	noStore      bool
	// unknown says that the request makes its own conditions on the state of the origin,
	// which only that can judge (RFC 9111, section 4.3.2).
	unknown bool
}

// readRequest reads a request. What it says of how fresh a response has to be is
// ignored: RFC 9111 allows that, and nobody outside is to decide how often an origin is
// asked.
func readRequest(r *http.Request) request {
	q := request{
		method: r.Method, authorized: len(r.Header["Authorization"]) > 0,
		unknown: len(r.Header["If-Match"]) > 0 || len(r.Header["If-Unmodified-Since"]) > 0,
	}
	if lines := r.Header["Cache-Control"]; len(lines) > 0 {
		d := parseDirectives(lines)
		q.onlyIfCached, q.noStore = d.onlyIfCached, d.noStore
	}
	return q
}

// action is what is done with a request.
type action int

const (
	pass     action = iota // the origin answers it, and nothing is stored
	fetch                  // the origin is asked for a response that may be stored
	validate               // the origin is asked whether what is stored is still right
	serve                  // what is stored is the answer
	refresh                // it is the answer, and is validated beside it
	refuse                 // nothing is stored, and the client wants nothing else
	slice                  // a part of it is wanted: slices of it are the answer
)

// verdict is what is done with a request and why.
type verdict struct {
	action action
	// forward is why the origin is asked, in the words of RFC 9211, section 2.2.
	forward string
	// onError says that what is stored may be served if the origin fails.
	onError bool
	// age and ttl are those of what is stored. A negative ttl is how long it has been
	// stale.
	age, ttl time.Duration
}

// standing is what purges say of what is stored; the zero value where they say nothing.
type standing struct {
	gone  bool      // it is not used any more
	since time.Time // where it is not zero: it is stale since then, though it may be fresh
}

// decide says what is done with a request at a time, if that is what is stored for it:
// nil where nothing is, and how that stands. It is all that the cache knows of HTTP's
// rules on reuse (RFC 9111, section 4).
func decide(now time.Time, q request, stored *response, s standing, p Policy) verdict {
	if q.method != http.MethodGet && q.method != http.MethodHead {
		return verdict{action: pass, forward: "method"}
	}
	if q.unknown {
		return verdict{action: pass, forward: "request"}
	}
	if stored == nil || s.gone {
		return asked(q, verdict{action: fetch, forward: "uri-miss"})
	}
	v := verdict{age: stored.age(now)}
	v.ttl = stored.lifetime - v.age
	if !s.since.IsZero() {
		v.ttl = min(v.ttl, -min(longest, max(0, now.Sub(s.since)))) // a clock may have gone back
	}
	if v.ttl > 0 && !stored.noCache {
		v.action = serve
		return v
	}
	if !stored.strict() {
		if late := -v.ttl; late < stored.staleWhileRevalidate {
			v.action, v.forward = refresh, "stale"
			return v
		}
		v.onError = -v.ttl < max(stored.staleIfError, p.staleIfError(stored))
	}
	v.action, v.forward = fetch, "stale"
	if stored.validator() {
		v.action = validate
	}
	return asked(q, v)
}

// asked is the verdict that the origin is to be asked, unless the client will not have
// that.
func asked(q request, v verdict) verdict {
	if q.onlyIfCached {
		return verdict{action: refuse}
	}
	return v
}

// staleIfError is what the operator allows where the response says nothing.
func (p Policy) staleIfError(stored *response) time.Duration {
	if stored.directives.staleIfError != absent {
		return 0
	}
	return p.StaleIfError
}

// safe reports whether a method changes nothing at the origin (RFC 9110, section 9.2.1).
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// changes reports whether a response to a request that is not safe says that the origin
// has changed (RFC 9111, section 4.4).
func changes(method string, status int) bool {
	return !safe(method) && status >= 200 && status < 400
}

// notModified reports whether a client has what is stored already (RFC 9110, section
// 13.2.2).
func notModified(r *http.Request, stored *response) bool {
	if stored.status != http.StatusOK {
		return false
	}
	if lines := r.Header["If-None-Match"]; len(lines) > 0 {
		return matches(lines, stored.header.Get("Etag"))
	}
	since, ok := httpTime(r.Header.Get("If-Modified-Since"))
	return ok && !stored.modified.IsZero() && !stored.modified.After(since)
}

// matches reports whether an entity tag is in a list, by the weak comparison.
func matches(lines []string, etag string) bool {
	for _, line := range lines {
		for member := range members(line) {
			if member == "*" || etag != "" && opaque(member) == opaque(etag) {
				return true
			}
		}
	}
	return false
}

// opaque is an entity tag without its weakness.
func opaque(etag string) string { return strings.TrimPrefix(etag, "W/") }

// span is a part of a body: length bytes from an offset on, or all there will be where
// that is -1.
type span struct{ offset, length int64 }

// extent is what of a body is the answer.
type extent struct {
	span
	partial bool // it is a part that was asked for
	none    bool // and there is no such part
	size    int64
}

// byteRange is one part as a request asks for it: the first byte and the last, or -1
// where that is open. With from being -1 it is the last so many bytes.
type byteRange struct{ from, to int64 }

// rangeOf reads what part a request is for. Where it is not for one, or for several at
// once, all is the answer.
func rangeOf(r *http.Request) (part byteRange, ok bool) {
	lines := r.Header["Range"]
	if r.Method != http.MethodGet || len(lines) != 1 {
		return part, false
	}
	set, bytes := strings.CutPrefix(lines[0], "bytes=")
	first, last, ok := strings.Cut(strings.Trim(set, " \t"), "-")
	if !bytes || !ok || strings.Contains(set, ",") {
		return part, false
	}
	part = byteRange{-1, -1}
	if last != "" || first == "" {
		if part.to, ok = number(last); !ok {
			return part, false
		}
	}
	if first != "" {
		part.from, ok = number(first)
	}
	return part, ok && (part.to < 0 || part.from <= part.to)
}

// wanted is what of a body of that size a request is answered with (RFC 9110, section
// 14).
func wanted(r *http.Request, stored *response, size int64) extent {
	part, ok := rangeOf(r)
	switch {
	case !ok || stored.status != http.StatusOK || !rangeHolds(r, stored):
		return extent{span: span{0, size}, size: size}
	case part.from < 0:
		n := min(part.to, size)
		return extent{span: span{size - n, n}, partial: true, none: n == 0, size: size}
	case part.from >= size:
		return extent{partial: true, none: true, size: size}
	case part.to < 0 || part.to >= size:
		part.to = size - 1
	}
	return extent{span: span{part.from, part.to - part.from + 1}, partial: true, size: size}
}

// rangeHolds reports whether the part that a client has is of what is stored.
func rangeHolds(r *http.Request, stored *response) bool {
	text := r.Header.Get("If-Range")
	if text == "" {
		return true
	}
	if strings.HasPrefix(text, `"`) {
		return text == stored.header.Get("Etag")
	}
	at, ok := httpTime(text)
	return ok && at.Equal(stored.modified)
}

// number reads digits. What is too large is the largest number.
func number(text string) (n int64, ok bool) {
	if text == "" {
		return 0, false
	}
	const most = 1<<63 - 1
	for i := range len(text) {
		digit := int64(text[i]) - '0'
		switch {
		case digit < 0 || digit > 9:
			return 0, false
		case n > (most-digit)/10:
			n = most
		case n < most:
			n = n*10 + digit
		}
	}
	return n, true
}
