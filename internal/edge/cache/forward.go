package cache

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Site is what the cache needs to know of one origin.
type Site struct {
	// Name tells the objects of sites apart, and is what they are purged by. It has no
	// blanks.
	Name string
	// Audience is who asks. What is stored is the same for both.
	Audience Audience
	// Origin is where it is: scheme, host and the beginning of each path.
	Origin *url.URL
	// Transport asks it. It must not decompress, and bounds how long an origin may take
	// to answer.
	Transport http.RoundTripper
	Policy    Policy
	// Finish, where there is one, has the last word on the head of an answer.
	Finish func(r *http.Request, status int, header http.Header)
	// CountFor is a field, in its canonical form, that says for whom an answer counts;
	// viewers are not told. "" is none.
	CountFor string
	// Owner is whose all objects are, see Options.Share. Where it is "", what an answer says
	// in CountFor is.
	Owner string
}

// Audience is who asks through a Site.
type Audience int

// The audiences.
const (
	// Viewers are not told what concerns caches alone.
	Viewers Audience = iota
	// Caches are others of the same cloud. They are told as of which purge an answer is, so
	// that it makes no difference in which order purges come to them and to this one.
	Caches
)

// sequenceField has the sequence of the last purge before an answer was asked for.
const sequenceField = "Purge-Sequence"

// stamp notes that an answer was asked for as of that sequence, unless it says itself
// that it is older.
func stamp(header http.Header, asOf int64) {
	if header[sequenceField] != nil {
		asOf = min(asOf, takeSequence(header))
	}
	header[sequenceField] = []string{strconv.FormatInt(asOf, 10)}
}

// takeSequence takes the sequence from the fields of an answer. It is 0 where none can be
// read.
func takeSequence(header http.Header) int64 {
	n, _ := number(header.Get(sequenceField))
	delete(header, sequenceField)
	return n
}

// curtail removes fields that are not for those who ask, and notes for whom it counts.
func (s *Site) curtail(header http.Header, out *Outcome) {
	if s.CountFor != "" {
		if lines := header[s.CountFor]; len(lines) > 0 {
			out.For = lines[0]
		}
	}
	if s.Audience == Viewers {
		for _, name := range [...]string{"Surrogate-Control", "Surrogate-Key", "Cache-Tag", sequenceField} {
			delete(header, name)
		}
		if s.CountFor != "" {
			delete(header, s.CountFor)
		}
	}
}

// key is the address that objects are stored by. The host is part of it: what an origin
// makes of a name that a client invents is for those who invent the same.
func (s *Site) key(host string, u *url.URL) string {
	key := s.Name + " " + strings.ToLower(host) + " " + u.EscapedPath()
	if u.RawQuery == "" && !u.ForceQuery {
		return key
	}
	return key + "?" + u.RawQuery
}

// keyOf is the key of what a Location of an answer to r names, if it is of this site.
func (s *Site) keyOf(r *http.Request, location string) (string, bool) {
	if location == "" {
		return "", false
	}
	u, err := r.URL.Parse(location)
	if err != nil {
		return "", false
	}
	switch u.Host {
	case "", r.Host, s.Origin.Host:
		return s.key(r.Host, u), true
	}
	return "", false
}

// sane reports whether a request is one that the cache and an origin understand alike.
// HTTP/2 lets through names and paths that are none.
func sane(r *http.Request) bool {
	path := r.URL.EscapedPath()
	return r.Method != http.MethodConnect && r.URL.Opaque == "" && !strings.ContainsAny(r.Host, "/?#\\@ ") &&
		(strings.HasPrefix(path, "/") || path == "*" && r.Method == http.MethodOptions)
}

// outgoing is the request that the origin is asked with for r, whole and without
// conditions, for as long as ctx lasts.
func (s *Site) outgoing(ctx context.Context, r *http.Request, who identity) *http.Request {
	out := (&http.Request{
		Method: http.MethodGet, URL: s.address(r.URL), Host: s.Origin.Host, Header: r.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	removeConnectionFields(out.Header)
	for _, field := range []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range"} {
		out.Header.Del(field)
	}
	s.introduce(out.Header, r, who)
	return out
}

// address is where the origin has what a client asks for.
func (s *Site) address(u *url.URL) *url.URL {
	out := *u
	out.Scheme, out.Host, out.User = s.Origin.Scheme, s.Origin.Host, nil
	if base := strings.TrimSuffix(s.Origin.EscapedPath(), "/"); base != "" {
		out.RawPath = base + u.EscapedPath()
		out.Path = strings.TrimSuffix(s.Origin.Path, "/") + u.Path
	}
	return &out
}

// identity is what a cache calls itself: by name for people, and as a node for other
// caches of that name, of which one may stand in front of another.
type identity struct{ name, node string }

// introduce says who asks, for whom (RFC 9110, section 7.6.3; RFC 8586). What another
// cache of the same cloud says of the viewer is believed.
func (s *Site) introduce(header http.Header, r *http.Request, who identity) {
	header["Via"] = appendMember(header["Via"], protocolVersion(r)+" "+who.name)
	header["Cdn-Loop"] = appendMember(header["Cdn-Loop"], who.name+"; node="+who.node)
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		header["X-Forwarded-For"] = appendMember(header["X-Forwarded-For"], host)
	}
	header["Surrogate-Capability"] = appendMember(header["Surrogate-Capability"], who.name+`="Surrogate/1.0"`)
	if header["User-Agent"] == nil {
		header["User-Agent"] = []string{""} // as the client: none
	}
	if s.Audience == Caches {
		return
	}
	removeMisleading(header)
	header.Set("X-Forwarded-Host", r.Host)
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	header.Set("X-Forwarded-Proto", proto)
}

func protocolVersion(r *http.Request) string {
	return strings.TrimPrefix(r.Proto, "HTTP/")
}

// loops reports whether a request has been here already (RFC 8586).
func loops(r *http.Request, who identity) bool {
	for _, line := range r.Header["Cdn-Loop"] {
		for member := range members(line) {
			name, parameters, _ := strings.Cut(member, ";")
			if strings.TrimSpace(name) != who.name {
				continue
			}
			for parameter := range strings.SplitSeq(parameters, ";") {
				if strings.TrimSpace(parameter) == "node="+who.node {
					return true
				}
			}
		}
	}
	return false
}

// removeMisleading removes fields by which a client could have an origin answer another
// question than the one that the answer is stored for.
func removeMisleading(header http.Header) {
	for _, name := range []string{
		"Forwarded", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-Scheme",
		"X-Forwarded-Server", "X-Host", "X-Http-Method-Override", "X-Original-Url", "X-Rewrite-Url",
	} {
		delete(header, name)
	}
}

// appendMember adds to a list, on one line.
func appendMember(lines []string, member string) []string {
	if len(lines) == 0 {
		return []string{member}
	}
	return []string{strings.Join(lines, ", ") + ", " + member}
}

// namesFields reports whether Connection names fields, and not only what becomes of the
// connection.
func namesFields(header http.Header) bool {
	for _, line := range header["Connection"] {
		for name := range members(line) {
			if !strings.EqualFold(name, "keep-alive") && !strings.EqualFold(name, "close") {
				return true
			}
		}
	}
	return false
}

// removeConnectionFields removes what concerns one connection alone (RFC 9110, section
// 7.6.1).
func removeConnectionFields(header http.Header) {
	for _, line := range header["Connection"] {
		for name := range members(line) {
			header.Del(name)
		}
	}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		delete(header, name)
	}
}

// altSvc is a field by which an origin says where else it can be reached (RFC 7838): by
// us, not by viewers, who know this cache by its name. They are told of its own listeners.
const altSvc = "Alt-Svc"
