package cache

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Policy is what an operator says of responses.
type Policy struct {
	// DefaultTTL is how long a response is fresh that says nothing of it and has a
	// status that may be stored without; 0 is not at all.
	DefaultTTL time.Duration
	// StaleIfError is how long after its freshness a response is served when the origin
	// fails, where it says nothing of that itself and forbids nothing (RFC 5861).
	StaleIfError time.Duration
}

// response is the head of a response as it is stored, and what follows from it. It is
// read-only once it is made.
type response struct {
	status   int
	header   http.Header // without the fields of one connection
	received time.Time

	directives
	lifetime   time.Duration // it is fresh for so long
	initialAge time.Duration // when it was received (RFC 9111, section 4.2.3)
	explicit   bool          // its lifetime is in it
	vary       []string      // the fields that it was chosen by, in lower case and in order; see anything
	modified   time.Time     // Last-Modified, if it is a time

	asOf    int64         // sequence of the last purge before it was asked for
	tags    []hash        // that it can be purged by
	tagless bool          // it has tags that are not kept
	checked atomic.Uint64 // see marks.standing; it alone is written later
}

// anything is what vary has of a response that no other request may be given.
const anything = "*"

// newResponse reads the head of a response that the cache of that name asked for, and
// that came at those times. The header is the response's from then on.
func newResponse(name string, status int, header http.Header, requested, received time.Time, p Policy) *response {
	r := &response{status: status, header: header, received: received, vary: varyFields(header)}
	targeted := false
	if r.directives, targeted = parseTargeted(header["Cdn-Cache-Control"]); !targeted {
		r.directives, targeted = parseSurrogate(header["Surrogate-Control"], name)
	}
	if !targeted {
		r.directives = parseDirectives(header["Cache-Control"])
	}
	r.asOf = takeSequence(header)
	kept := false
	r.tags, kept = tagsOf(header["Surrogate-Key"], header["Cache-Tag"])
	r.tagless = !kept
	r.modified, _ = httpTime(header.Get("Last-Modified"))
	date, dated := httpTime(header.Get("Date"))
	if !dated {
		date = received
	}
	r.lifetime, r.explicit = r.freshness(date, targeted, p)
	r.initialAge = min(longest, max(0, received.Sub(date), parseAge(header["Age"])+received.Sub(requested)))
	return r
}

// freshness is how long the response is fresh, and whether it says so itself.
func (r *response) freshness(date time.Time, targeted bool, p Policy) (lifetime time.Duration, explicit bool) {
	switch {
	case r.sharedMaxAge != absent:
		return r.sharedMaxAge, true
	case r.maxAge != absent:
		return r.maxAge, true
	}
	if lines := r.header["Expires"]; len(lines) > 0 && !targeted {
		expires, ok := httpTime(lines[0])
		if !ok {
			return 0, true
		}
		return min(max(0, expires.Sub(date)), longest), true
	}
	// What is for one viewer is not kept by a guess.
	if r.header["Set-Cookie"] != nil || !r.public && !heuristic(r.status) {
		return 0, false
	}
	if !r.modified.IsZero() {
		const share, most = 10, 24 * time.Hour
		return min(max(0, date.Sub(r.modified)/share), most), false
	}
	return p.DefaultTTL, false
}

// age is how old the response is (RFC 9111, section 4.2.3).
func (r *response) age(now time.Time) time.Duration {
	return r.initialAge + max(0, now.Sub(r.received))
}

// strict reports whether the response may never be used stale (RFC 9111, section
// 4.2.4).
func (r *response) strict() bool {
	return r.mustRevalidate || r.proxyRevalidate || r.noCache || r.sharedMaxAge != absent
}

// validator reports whether the origin can be asked whether the response is still the
// right one.
func (r *response) validator() bool {
	return r.header.Get("Etag") != "" || !r.modified.IsZero()
}

// storable reports whether a shared cache may keep the response to a GET request (RFC
// 9111, section 3), and has something of it.
func (r *response) storable(q *request) bool {
	switch {
	case r.status < 200 || r.status == http.StatusPartialContent || r.status == http.StatusNotModified:
		return false
	case r.mustUnderstand && !understood(r.status):
		return false
	case r.noStore && !r.mustUnderstand, r.private, q.noStore:
		return false
	case q.authorized && !r.public && !r.mustRevalidate && r.sharedMaxAge == absent:
		return false
	case slices.Contains(r.vary, anything):
		return false
	case !r.explicit && !r.public && !heuristic(r.status):
		return false
	case r.tagless:
		return false // a purge would miss it
	case r.header["Set-Cookie"] != nil && !r.public && r.sharedMaxAge == absent:
		return false // who sets a cookie for all says so
	}
	fresh := r.lifetime > 0 && !r.noCache // though it may be stale when it comes: those who wait still share it
	stale := !r.strict() && max(r.staleWhileRevalidate, r.staleIfError) > 0
	return fresh || stale || r.validator()
}

// heuristic reports whether a response of that status may be stored that says nothing
// of it (RFC 9110, section 15.1).
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood reports whether all is known that a status asks of a cache.
func understood(status int) bool {
	switch status {
	case 302, 303, 307, 400, 403, 500, 502, 503, 504:
		return true
	}
	return heuristic(status)
}

// freshened is the response after the origin said in a 304 that it is still the right
// one (RFC 9111, section 3.2).
func (r *response) freshened(name string, notModified http.Header, requested, received time.Time, p Policy) *response {
	header := r.header.Clone()
	delete(header, "Age") // of the first response, as its Date
	delete(header, "Date")
	for field, lines := range notModified {
		switch field {
		case "Content-Encoding", "Content-Length", "Content-Md5", "Content-Range", "Etag":
			continue // of the body, which stays
		case "Set-Cookie":
			continue // of the one who asked
		}
		header[field] = lines
	}
	return newResponse(name, r.status, header, requested, received, p)
}

// parseAge reads an Age field. One that is no number, or is there twice, makes a
// response as old as can be: whoever sent it does not know how old it is.
func parseAge(lines []string) time.Duration {
	switch len(lines) {
	case 0:
		return 0
	case 1:
		if age, ok := deltaSeconds(strings.Trim(lines[0], " \t")); ok {
			return age
		}
	}
	return longest
}

// httpTime reads a time in one of the three forms of RFC 9110, section 5.6.7.
func httpTime(text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, false
	}
	t, err := http.ParseTime(text)
	return t, err == nil
}
