package rule

import (
	"net/http"
	"slices"
	"strings"
)

// transport applies rules to what goes to an origin and comes back.
type transport struct {
	set        *Set
	next       http.RoundTripper
	compressor *Compressor
}

// Transport returns what asks origins by the rules. The requests that it is given have
// the path that the viewer asked for: what an origin puts before it is added by next.
// What next is asked has other fields where rules say so. In what comes back the rules
// have set Surrogate-Control and Vary, for the cache that asked, and text is compressed
// as the Accept-Encoding of the request says; without a Compressor none is.
func (s *Set) Transport(next http.RoundTripper, c *Compressor) http.RoundTripper {
	if len(s.rules) == 0 {
		return next
	}
	return &transport{s, next, c}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	e := t.set.effectOf(pathOf(r.URL))
	if !e.fits {
		return t.next.RoundTrip(r)
	}
	out := r
	if t.set.asksWith(&e) {
		changed := *r
		changed.Header = r.Header.Clone()
		for one := range t.set.each(&e) {
			apply(one.request, changed.Header)
		}
		out = &changed
	}
	in, err := t.next.RoundTrip(out)
	if err != nil || in.StatusCode < http.StatusOK {
		return in, err
	}
	if in.Header == nil {
		in.Header = make(http.Header)
	}
	if e.ttl != nil && reads(r.Method) && keeps(in.StatusCode) {
		keep(r.Header, in, e.ttl)
	}
	for _, name := range e.vary {
		addVary(in, name)
	}
	if e.compress {
		t.compress(r, in)
	}
	return in, nil
}

// reads reports whether a request has an answer that is kept.
func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// keeps reports whether answers of a status are kept as rules say. Those are what an
// origin means: what it has, where that has gone, and that it is not there. Other errors
// are of a moment or of one viewer, such as 401, 429 or 503: a rule for a year must not
// make one last so long.
func keeps(status int) bool {
	return status >= 200 && status < 400 || status == http.StatusNotFound || status == http.StatusGone
}

// keep tells the cache how long an answer is kept, whatever the origin says: that it is
// private, that it sets a cookie, that it is old already. The cookie is taken away, as it
// would be everybody's. Two answers stay as they are, since they are for one viewer
// beyond doubt; see mayShare.
func keep(asked http.Header, in *http.Response, ttl *age) {
	if ttl.seconds == 0 {
		delete(in.Header, "Cdn-Cache-Control")
		in.Header["Surrogate-Control"] = []string{"no-store"}
		return
	}
	if !mayShare(asked, in.StatusCode, in.Header) {
		return
	}
	for _, name := range []string{"Cdn-Cache-Control", "Age", "Set-Cookie"} {
		delete(in.Header, name)
	}
	in.Header["Surrogate-Control"] = []string{ttl.maxAge}
}

// mayShare reports whether an answer may become everybody's because a rule says so. An
// answer to credentials may not (RFC 9111, section 3.5), nor may a temporary redirect
// that sets a cookie, with which people log in.
func mayShare(asked http.Header, status int, header http.Header) bool {
	if asked["Authorization"] != nil {
		return false
	}
	switch status {
	case http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect:
		return header["Set-Cookie"] == nil
	}
	return true
}

// tellBrowsers says how long browsers keep an answer. One that the origin has for one
// viewer is still nobody else's, unless a rule has said that it is kept for all.
func tellBrowsers(header http.Header, ttl *age, overruled bool) {
	said := header["Cache-Control"]
	private := !overruled && (header["Set-Cookie"] != nil || hasDirective(said, "private") || hasDirective(said, "no-store"))
	words := ttl.maxAge
	switch {
	case ttl.seconds > 0:
	case hasDirective(said, "no-store"):
		words = "no-store" // which is less than 0 seconds
	default:
		words = "no-cache"
	}
	if private {
		words = "private, " + words
	}
	if hasDirective(said, "no-transform") {
		words += ", no-transform"
	}
	header["Cache-Control"] = []string{words}
	delete(header, "Expires")
	delete(header, "Pragma")
}

// hasDirective reports whether a list of directives has one, with an argument or without.
func hasDirective(lines []string, name string) bool {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			directive, _, _ := strings.Cut(member, "=")
			if strings.EqualFold(strings.Trim(directive, " \t"), name) {
				return true
			}
		}
	}
	return false
}

// addVary says that an answer was chosen by a field. A 304 without Vary leaves that of
// what is stored, and with one replaces it.
func addVary(in *http.Response, name string) {
	lines := in.Header["Vary"]
	if in.StatusCode == http.StatusNotModified && len(lines) == 0 {
		return
	}
	known := slices.ContainsFunc(lines, func(line string) bool {
		for member := range strings.SplitSeq(line, ",") {
			if member = strings.Trim(member, " \t"); member == "*" || strings.EqualFold(member, name) {
				return true
			}
		}
		return false
	})
	if known {
		return
	}
	if all := strings.Join(lines, ", "); all != "" {
		name = all + ", " + name
	}
	in.Header["Vary"] = []string{name}
}
