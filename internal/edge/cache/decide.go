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

// decide says what is done with a request at a time, if that is what is stored for it:
// nil where nothing is. It is all that the cache knows of HTTP's rules on reuse (RFC
// 9111, section 4).
func decide(now time.Time, q request, stored *response, p Policy) verdict {
	if q.method != http.MethodGet && q.method != http.MethodHead {
		return verdict{action: pass, forward: "method"}
	}
	if q.unknown {
		return verdict{action: pass, forward: "request"}
	}
	if stored == nil {
		return asked(q, verdict{action: fetch, forward: "uri-miss"})
	}
	v := verdict{age: stored.age(now)}
	v.ttl = stored.lifetime - v.age
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

// span is a part of a body: length bytes from an offset on.
type span struct{ offset, length int64 }

// wanted is the part of a body of that size that a request asks for. partial is false
// where all of it is the answer, satisfiable is false where there is no such part (RFC
// 9110, section 14). Several parts at once are answered with all.
func wanted(r *http.Request, stored *response, size int64) (s span, partial, satisfiable bool) {
	whole := span{0, size}
	lines := r.Header["Range"]
	if len(lines) != 1 || r.Method != http.MethodGet || stored.status != http.StatusOK || !rangeHolds(r, stored) {
		return whole, false, true
	}
	set, ok := strings.CutPrefix(lines[0], "bytes=")
	if !ok || strings.Contains(set, ",") {
		return whole, false, true
	}
	first, last, ok := strings.Cut(strings.Trim(set, " \t"), "-")
	if !ok {
		return whole, false, true
	}
	if first == "" {
		n, ok := number(last)
		if !ok {
			return whole, false, true
		}
		n = min(n, size)
		return span{size - n, n}, true, n > 0
	}
	begin, ok := number(first)
	end := size - 1
	if ok && last != "" {
		if end, ok = number(last); ok {
			ok = end >= begin
			end = min(end, size-1)
		}
	}
	switch {
	case !ok:
		return whole, false, true
	case begin >= size:
		return span{}, true, false
	}
	return span{begin, end - begin + 1}, true, true
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
