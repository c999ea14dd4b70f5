package cache

import (
	"strings"
	"time"
)

// directives are those of a Cache-Control field that a cache acts by (RFC 9111,
// section 5.2; RFC 5861; RFC 8246). An age is absent where the directive is.
type directives struct {
	noStore, noCache, private, public               bool
	mustRevalidate, proxyRevalidate, mustUnderstand bool
	onlyIfCached                                    bool

	maxAge, sharedMaxAge               time.Duration
	staleWhileRevalidate, staleIfError time.Duration
}

// absent is an age that is not given.
const absent time.Duration = -1

// longest is what a greater age is taken for: 68 years (RFC 9111, section 1.2.2).
const longest = (1 << 31) * time.Second

func noDirectives() directives {
	return directives{maxAge: absent, sharedMaxAge: absent, staleWhileRevalidate: absent, staleIfError: absent}
}

// parseDirectives reads the lines of a Cache-Control field. What is malformed makes a
// response stale rather than fresh, as does the smaller one of two ages.
func parseDirectives(lines []string) directives {
	d := noDirectives()
	for _, line := range lines {
		for member := range members(line) {
			name, value, valued := strings.Cut(member, "=")
			d.set(strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value), valued)
		}
	}
	return d
}

func (d *directives) set(name, value string, valued bool) {
	switch name {
	case "no-store":
		d.noStore = true
	case "no-cache": // one with names of fields is taken as one without
		d.noCache = true
	case "private":
		d.private = true
	case "public":
		d.public = true
	case "must-revalidate":
		d.mustRevalidate = true
	case "proxy-revalidate":
		d.proxyRevalidate = true
	case "must-understand":
		d.mustUnderstand = true
	case "only-if-cached":
		d.onlyIfCached = true
	case "max-age":
		least(&d.maxAge, value, valued)
	case "s-maxage":
		least(&d.sharedMaxAge, value, valued)
	case "stale-while-revalidate":
		least(&d.staleWhileRevalidate, value, valued)
	case "stale-if-error":
		least(&d.staleIfError, value, valued)
	}
}

// least sets an age to what is given, if that is less or the first.
func least(age *time.Duration, value string, valued bool) {
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	given, ok := deltaSeconds(value)
	if !ok || !valued {
		given = 0
	}
	if *age == absent || given < *age {
		*age = given
	}
}

// deltaSeconds reads a number of seconds.
func deltaSeconds(text string) (time.Duration, bool) {
	if text == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		if n = n*10 + int64(text[i]-'0'); n > int64(longest/time.Second) {
			n = int64(longest / time.Second)
		}
	}
	return time.Duration(n) * time.Second, true
}

// members iterates over what commas outside of quotes part, without blanks around it
// and without empty members.
func members(line string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		begin, quoted := 0, false
		for i := 0; i <= len(line); i++ {
			if i < len(line) {
				switch c := line[i]; {
				case quoted && c == '\\':
					i++
					continue
				case c == '"':
					quoted = !quoted
					continue
				case c != ',' || quoted:
					continue
				}
			}
			member := strings.Trim(line[begin:min(i, len(line))], " \t")
			begin = i + 1
			if member != "" && !yield(member) {
				return
			}
		}
	}
}

// parseTargeted reads a field for one class of caches, as CDN-Cache-Control (RFC 9213):
// a dictionary of RFC 9651. ok is false where it is absent, empty or malformed, and has
// to be ignored.
func parseTargeted(lines []string) (d directives, ok bool) {
	d = noDirectives()
	for _, line := range lines {
		if strings.Trim(line, " \t") == "" {
			continue
		}
		if strings.HasSuffix(strings.TrimRight(line, " \t"), ",") {
			return d, false
		}
		for member := range members(line) {
			name, value, valued, fine := dictionaryMember(member)
			if !fine {
				return d, false
			}
			ok = true
			if value == "?0" {
				continue
			}
			if value == "?1" {
				value, valued = "", false
			}
			d.set(name, value, valued)
		}
	}
	return d, ok
}

// parseSurrogate reads Surrogate-Control (W3C note edge-arch). What is for a cache of
// another name is left out; ok is false where nothing is left.
func parseSurrogate(lines []string, cache string) (d directives, ok bool) {
	d = noDirectives()
	for _, line := range lines {
		for member := range members(line) {
			member, target, targeted := strings.Cut(member, ";")
			if targeted && strings.TrimSpace(target) != cache {
				continue
			}
			name, value, valued := strings.Cut(member, "=")
			d.set(strings.ToLower(name), value, valued)
			ok = true
		}
	}
	return d, ok
}

// dictionaryMember takes a member of a dictionary apart. Its parameters are checked no
// further and dropped.
func dictionaryMember(member string) (name, value string, valued, ok bool) {
	end := 0
	for end < len(member) && keyByte(member[end], end == 0) {
		end++
	}
	if end == 0 {
		return "", "", false, false
	}
	name, rest := member[:end], member[end:]
	if strings.HasPrefix(rest, "=") {
		valued = true
		value, rest = bareItem(rest[1:])
		if value == "" {
			return "", "", false, false
		}
	}
	return name, value, valued, rest == "" || strings.HasPrefix(strings.TrimLeft(rest, " "), ";")
}

// bareItem cuts off a number, a token, a string, bytes or a boolean.
func bareItem(text string) (item, rest string) {
	if strings.HasPrefix(text, `"`) || strings.HasPrefix(text, ":") {
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case text[0]:
				return text[:i+1], text[i+1:]
			}
		}
		return "", text
	}
	end := strings.IndexAny(text, "; \t")
	if end < 0 {
		end = len(text)
	}
	for i := range end {
		if !tokenByte(text[i]) && text[i] != ':' && text[i] != '/' && text[i] != '?' {
			return "", text
		}
	}
	return text[:end], text[end:]
}

// keyByte reports whether a key of a dictionary may have c.
func keyByte(c byte, first bool) bool {
	if c >= 'a' && c <= 'z' || c == '*' {
		return true
	}
	return !first && (c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.')
}

// tokenByte reports whether a token has c (RFC 9110, section 5.6.2).
func tokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
