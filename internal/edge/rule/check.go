package rule

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
)

// What a set may have at most.
const (
	mostRules      = 100
	mostNames      = 64
	mostVary       = 8
	mostFields     = 32
	longestPattern = 1024
	longestName    = 100
	longestValue   = 4096
	longestTarget  = 2048
	longestAge     = 365 * 24 * 60 * 60
)

func wrong(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

// numbered says of an error which rule it is of.
func numbered(n int, err error) error {
	return wrong("rule %d: %s", n, fault.Message(err))
}

func compile(said *edge.Rule) (r rule, err error) {
	if r.pattern, err = parsePattern(said.Path); err != nil {
		return r, err
	}
	if r.ttl, err = parseAge("ttl", said.TTL); err != nil {
		return r, err
	}
	if r.browserTTL, err = parseAge("browser_ttl", said.BrowserTTL); err != nil {
		return r, err
	}
	if r.query, err = parseFilter(said.Query, said.Parameters); err != nil {
		return r, err
	}
	if r.vary, err = parseVary(said.Vary); err != nil {
		return r, err
	}
	if r.request, err = parseFields("request", said.Request, checkRequestField); err != nil {
		return r, err
	}
	if r.response, err = parseFields("response", said.Response, checkResponseField); err != nil {
		return r, err
	}
	if said.Redirect == "" && said.Status != 0 {
		return r, wrong("the status %d is that of a redirect, and there is none: write redirect, or leave status out", said.Status)
	}
	if said.Redirect != "" {
		if r.redirect, err = parseRedirect(said.Redirect, said.Status); err != nil {
			return r, err
		}
	}
	r.compress = said.Compress
	return r, nil
}

func parseAge(name string, seconds *int) (*age, error) {
	switch {
	case seconds == nil:
		return nil, nil
	case *seconds < 0 || *seconds > longestAge:
		return nil, wrong("%s is %d: write seconds from 0 to %d", name, *seconds, longestAge)
	}
	return &age{*seconds, "max-age=" + strconv.Itoa(*seconds)}, nil
}

func parseVary(names []string) ([]string, error) {
	if len(names) > mostVary {
		return nil, wrong("vary has %d names, at most %d", len(names), mostVary)
	}
	var out []string
	for _, name := range names {
		switch {
		case name == "*":
			return nil, wrong("vary has *, by which nothing would be kept: write ttl 0 for that")
		case !token(name):
			return nil, wrong("vary has %q, which is no name of a field", name)
		}
		name = http.CanonicalHeaderKey(name)
		switch name {
		case "Via", "Cdn-Loop", "X-Forwarded-For", "Surrogate-Capability":
			return nil, wrong("vary has %s, which differs with each viewer or edge: nothing would be kept; leave it out", name)
		}
		out = append(out, name)
	}
	return out, nil
}

// parseFields reads fields that are set and removed, by what is said of each.
func parseFields(where string, said []edge.Field, check func(name, value string) error) ([]field, error) {
	if len(said) > mostFields {
		return nil, wrong("%s has %d fields, at most %d", where, len(said), mostFields)
	}
	out := make([]field, 0, len(said))
	for _, f := range said {
		if !token(f.Name) || len(f.Name) > longestName {
			return nil, wrong("%s: %q is no name of a field: write letters, digits and -, at most %d", where, f.Name, longestName)
		}
		name := http.CanonicalHeaderKey(f.Name)
		if slices.ContainsFunc(out, func(other field) bool { return other.name == name }) {
			return nil, wrong("%s: %s is there twice: write it once", where, name)
		}
		if err := checkValue(f.Value); err != nil {
			return nil, wrong("%s: %s: %s", where, name, fault.Message(err))
		}
		if err := check(name, f.Value); err != nil {
			return nil, wrong("%s: %s %s", where, name, fault.Message(err))
		}
		one := field{name: name}
		if f.Value != "" {
			one.value = []string{f.Value}
		}
		out = append(out, one)
	}
	return out, nil
}

// checkValue says what is wrong with the value of a field (RFC 9110, section 5.5).
func checkValue(value string) error {
	if len(value) > longestValue {
		return wrong("the value has %d bytes, at most %d", len(value), longestValue)
	}
	if strings.Trim(value, " \t") != value {
		return wrong("the value %q has blanks around it: write it without", value)
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return wrong("the value %q has a control character: write it on one line", value)
		}
	}
	return nil
}

// connectionField reports whether a field is of one connection, or says where a message
// ends: who changed it would change what is read as a message.
func connectionField(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Http2-Settings",
		"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization":
		return true
	}
	return false
}

// checkRequestField says why a field of a request cannot be changed.
func checkRequestField(name, value string) error {
	if connectionField(name) || name == "Expect" {
		return wrong("is of the connection, which is the edge's own: leave it out")
	}
	switch name {
	case "Host":
		return wrong("is said by host of the origin: write it there")
	case "Accept-Encoding":
		if value != "" {
			return wrong("can only be removed, as viewers take what they say: leave the value empty")
		}
	case "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since":
		return wrong("is what the edge asks by for what it keeps: leave it out")
	case "Via", "Cdn-Loop":
		return wrong("is how edges notice that they ask themselves: leave it out")
	}
	return nil
}

// checkResponseField says why a field of an answer cannot be changed.
func checkResponseField(name, value string) error {
	if connectionField(name) {
		return wrong("is of the connection, which is the edge's own: leave it out")
	}
	switch name {
	case "Content-Encoding", "Content-Range":
		return wrong("says how the body is to be read: leave it out")
	case "Vary":
		return wrong("is said by vary: write the names there")
	case "Etag", "Last-Modified":
		if value != "" {
			return wrong("can only be removed, as it is what the body is told apart by: leave the value empty")
		}
	}
	return nil
}

// token reports whether text is one (RFC 9110, section 5.6.2).
func token(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !unreserved(c) && strings.IndexByte("!#$%&'*+^`|", c) < 0 {
			return false
		}
	}
	return text != ""
}
