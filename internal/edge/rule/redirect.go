package rule

import (
	"net/http"
	"net/url"
	"strings"
)

// redirect is where viewers are sent.
type redirect struct {
	target   []piece // up to a fragment
	fragment []piece // with its #
	path     bool    // it is a path of the site, and no address
	query    bool    // it has its own; else that of the request is kept
	status   int
}

// piece is a part of an address: text, or a word for a part of the request.
type piece struct {
	text  string
	word  string // $host, $path or $rest; "" for text
	query bool   // it is in the query or the fragment
}

// parseRedirect reads where viewers are sent: an address with http or https, or a path.
// The name and port in an address are never made of the path: else a viewer could be
// sent anywhere by who made the link.
func parseRedirect(text string, status int) (*redirect, error) {
	switch status {
	case 0:
		status = http.StatusFound
	case 301, 302, 303, 307, 308:
	default:
		return nil, wrong("a redirect has no status %d: write 301, 302, 303, 307 or 308", status)
	}
	if len(text) > longestTarget {
		return nil, wrong("redirect has %d bytes, at most %d", len(text), longestTarget)
	}
	for i := range len(text) {
		if c := text[i]; c != '?' && c != '#' && c != '[' && c != ']' && !plain(c) || c == '%' && !triplet(text[i:]) {
			return nil, wrong("redirect has %q, which is in no address as it is: write it as %%%02X", c, c)
		}
	}
	r := &redirect{status: status, path: strings.HasPrefix(text, "/") || strings.HasPrefix(text, "$path")}
	if !r.path {
		if err := checkAuthority(text); err != nil {
			return nil, err
		}
	}
	before, fragment, fragmented := strings.Cut(text, "#")
	if fragmented {
		fragment = "#" + fragment
	}
	r.query = strings.Contains(before, "?")
	if strings.Count(before, "?") == 1 {
		before = strings.TrimSuffix(before, "?") // a query, and nothing in it
	}
	var err error
	if r.target, err = parsePieces(before); err != nil {
		return nil, err
	}
	if r.fragment, err = parsePieces(fragment); err != nil {
		return nil, err
	}
	u, err := url.Parse(r.expand("example.org", "/a", "b", ""))
	if err != nil || !r.path && u.Hostname() == "" {
		return nil, wrong("redirect is %q, which makes no address: write https://example.org/there or /there", text)
	}
	return r, nil
}

// checkAuthority says what is wrong with the beginning of an address.
func checkAuthority(text string) error {
	rest, ok := strings.CutPrefix(text, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(text, "http://")
	}
	if !ok {
		return wrong("redirect is %q: write an address that begins with https:// or http://, or a path that begins with /", text)
	}
	end := len(rest)
	if n := strings.IndexAny(rest, "/?#"); n >= 0 {
		end = n
	}
	if n := strings.Index(rest, "$path"); n >= 0 {
		end = min(end, n)
	}
	switch name := rest[:end]; {
	case strings.Contains(name, "$rest"):
		return wrong("redirect has $rest in the name of the server or right after it: write a / before it")
	case name == "" || strings.Trim(name, ":") == "":
		return wrong("redirect is %q, which names no server: write https://example.org/there", text)
	case strings.ContainsFunc(strings.ReplaceAll(name, "$host", ""), func(c rune) bool { return !unreserved(byte(c)) && c != ':' && c != '[' && c != ']' }):
		return wrong("redirect has %q as the server: write its name alone, and a port where it has one", name)
	}
	return nil
}

func parsePieces(text string) (pieces []piece, err error) {
	query := strings.HasPrefix(text, "#")
	for text != "" {
		plain, rest, found := strings.Cut(text, "$")
		if plain != "" {
			pieces = append(pieces, piece{text: plain, query: query})
			query = query || strings.Contains(plain, "?")
		}
		if !found {
			return pieces, nil
		}
		if len(rest) < len("host") {
			return nil, wrong("redirect has $%s: write $host, $path or $rest, and %%24 for the sign itself", rest)
		}
		switch word := rest[:len("host")]; word {
		case "host", "path", "rest":
			pieces = append(pieces, piece{word: word, query: query})
		default:
			return nil, wrong("redirect has $%s: write $host, $path or $rest, and %%24 for the sign itself", word)
		}
		text = rest[len("host"):]
	}
	return pieces, nil
}

// expand is the address for a request. The path and what is left of it are as pathOf has
// them; the query may be anything.
func (r *redirect) expand(host, path, rest, query string) string {
	out := make([]byte, 0, 64+len(path)+len(query))
	fill := func(pieces []piece) {
		for _, p := range pieces {
			switch p.word {
			case "":
				out = append(out, p.text...)
			case "host":
				out = append(out, host...)
			case "path":
				out = appendSafe(out, path, p.query)
			case "rest":
				out = appendSafe(out, rest, p.query)
			}
		}
	}
	fill(r.target)
	if r.path {
		slashes := 0
		for slashes < len(out) && out[slashes] == '/' {
			slashes++
		}
		out = out[max(0, slashes-1):] // two would begin the name of another server
	}
	if !r.query && query != "" {
		out = appendQuery(append(out, '?'), query)
	}
	fill(r.fragment)
	return string(out)
}

// appendSafe appends a part of a path, whole escapes as they are.
func appendSafe(out []byte, text string, query bool) []byte {
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && !triplet(text[i:]) {
			out = appendHex(out, '%') // a star stood for half an escape
			continue
		}
		out = appendEscaped(out, text[i], query)
	}
	return out
}

// appendQuery appends a query as it is, but for what would end it or the field.
func appendQuery(out []byte, query string) []byte {
	for i := range len(query) {
		switch c := query[i]; {
		case c == '?' || c == '[' || c == ']':
			out = append(out, c)
		default:
			out = appendEscaped(out, c, false)
		}
	}
	return out
}

// send sends a viewer elsewhere, and returns the status. It is 0 where that is what was
// asked for, and there is no answer: so
// https://$host$path is for those who come without TLS alone.
func (s *Set) send(w http.ResponseWriter, r *http.Request, path string, e *effect) int {
	host, ok := nameOf(r.Host)
	if !ok {
		http.Error(w, "this is no name that can be asked for here", http.StatusBadRequest)
		return http.StatusBadRequest
	}
	target := e.redirect.expand(host, path, e.rest, r.URL.RawQuery)
	if same(r, path, target) {
		return 0
	}
	header := w.Header()
	header["Location"] = []string{target}
	header["Content-Length"] = []string{"0"}
	if e.browserTTL == nil || !reads(r.Method) {
		header["Cache-Control"] = []string{keepRedirect(e.redirect.status)}
	}
	s.finish(r, e.redirect.status, header, e)
	w.WriteHeader(e.redirect.status)
	return e.redirect.status
}

// keepRedirect is how long browsers keep a redirect of which nothing is said. They would
// keep a permanent one for ever, and with it a mistake.
func keepRedirect(status int) string {
	if status == http.StatusMovedPermanently || status == http.StatusPermanentRedirect {
		return "max-age=3600"
	}
	return "no-store"
}

// same reports whether a target is what was asked for.
func same(r *http.Request, path, target string) bool {
	u, err := url.Parse(target)
	if err != nil || u.RawQuery != string(appendQuery(nil, r.URL.RawQuery)) || pathOf(u) != path {
		return false
	}
	if u.Host == "" {
		return true
	}
	scheme, port := "http", ":80"
	if r.TLS != nil {
		scheme, port = "https", ":443"
	}
	return u.Scheme == scheme && strings.EqualFold(strings.TrimSuffix(u.Host, port), strings.TrimSuffix(r.Host, port))
}

// nameOf is the name in a Host field, without a port and in lower case. ok is false where
// it is none.
func nameOf(host string) (name string, ok bool) {
	const longest = 255
	end := len(host)
	if n := strings.LastIndexByte(host, ':'); n > strings.LastIndexByte(host, ']') {
		end = n
	}
	name = strings.ToLower(host[:end])
	address, literal := strings.CutPrefix(name, "[")
	if literal {
		if address, ok = strings.CutSuffix(address, "]"); !ok {
			return "", false
		}
	}
	for i := range len(address) {
		c := address[i]
		if literal && c != ':' && c != '.' && hexValue(c) < 0 || !literal && (!unreserved(c) || c == '~') {
			return "", false
		}
	}
	return name, address != "" && len(name) <= longest
}
