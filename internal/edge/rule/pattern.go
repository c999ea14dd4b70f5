package rule

import (
	"bytes"
	"strings"
)

// mostStars bounds the stars of a pattern.
const mostStars = 8

// pattern is what paths are compared with: a star stands for anything, slashes too, and
// for nothing. Upper and lower case differ.
type pattern struct {
	parts []string // what is between the stars
}

// parsePattern reads a pattern. It is brought into the form that clean gives paths.
func parsePattern(text string) (pattern, error) {
	switch {
	case text == "" || text[0] != '/' && text[0] != '*':
		return pattern{}, wrong("the path %q does not begin with / or *: write /%s", text, text)
	case len(text) > longestPattern:
		return pattern{}, wrong("the path has %d bytes, at most %d", len(text), longestPattern)
	case strings.ContainsAny(text, "?#"):
		return pattern{}, wrong("the path %q has a query or a fragment: a rule is for a path alone; what of a query counts is said by query", text)
	}
	var out []byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '%' && !triplet(text[i:]):
			return pattern{}, wrong("the path %q has a %% without two hexadecimal digits: write %%25 for the sign itself", text)
		case c == '%':
			out = appendTriplet(out, text[i:])
			i += 2
		case c == '*' && len(out) > 0 && out[len(out)-1] == '*': // two say what one says
		case c < ' ' || c == 0x7f:
			return pattern{}, wrong("the path %q has a control character", text)
		default:
			out = appendEscaped(out, c, false)
		}
	}
	normal := string(out)
	if clean(normal) != normal && normal[0] == '/' || clean("/"+normal) != "/"+normal && normal[0] != '/' {
		return pattern{}, wrong("the path %q has //, /./ or /../ in it: requests are compared without; write the path without", text)
	}
	parts := strings.Split(normal, "*")
	if len(parts)-1 > mostStars {
		return pattern{}, wrong("the path %q has %d *, at most %d", text, len(parts)-1, mostStars)
	}
	return pattern{parts}, nil
}

// fits reports whether a path is one of the pattern, and what the last star stands for:
// the others stand for as little as can be. The time is linear in the path.
func (p pattern) fits(path string) (rest string, ok bool) {
	last := len(p.parts) - 1
	if last == 0 {
		return "", path == p.parts[0]
	}
	if path, ok = strings.CutPrefix(path, p.parts[0]); !ok {
		return "", false
	}
	if path, ok = strings.CutSuffix(path, p.parts[last]); !ok {
		return "", false
	}
	for _, part := range p.parts[1:last] {
		at := strings.Index(path, part)
		if at < 0 {
			return "", false
		}
		path = path[at+len(part):]
	}
	return path, true
}

// clean is an escaped path in the form in which all ways to write it are one: what needs
// no escape has none, hexadecimal digits are upper case, and segments of one or two dots
// are gone (RFC 3986, sections 6.2.2.1 to 6.2.2.3). Several slashes are one: most servers
// take them so, and a rule is not to be passed by for that. An escaped slash stays one.
func clean(path string) string {
	if isClean(path) {
		return path
	}
	decoded := make([]byte, 0, len(path)+1)
	for i := 0; i < len(path); i++ {
		switch {
		case triplet(path[i:]):
			decoded = appendTriplet(decoded, path[i:])
			i += 2
		case path[i] == '%':
			decoded = appendHex(decoded, '%')
		default:
			decoded = appendEscaped(decoded, path[i], false)
		}
	}
	out := make([]byte, 0, len(decoded)+1)
	open := true // the last segment has gone, or is empty
	for segment := range bytes.SplitSeq(decoded, []byte("/")) {
		switch string(segment) {
		case "", ".":
			open = true
		case "..":
			out = out[:max(0, bytes.LastIndexByte(out, '/'))]
			open = true
		default:
			out = append(append(out, '/'), segment...)
			open = false
		}
	}
	if open {
		out = append(out, '/')
	}
	return string(out)
}

// isClean reports whether there is nothing to change, or little enough that it is not
// sure.
func isClean(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for i := range len(path) {
		switch c := path[i]; {
		case c == '/':
			if i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.') {
				return false
			}
		case c == '%' || !plain(c):
			return false
		}
	}
	return true
}

// triplet reports whether text begins with an escaped byte.
func triplet(text string) bool {
	return len(text) > 2 && text[0] == '%' && hexValue(text[1]) >= 0 && hexValue(text[2]) >= 0
}

// appendTriplet appends the escaped byte that text begins with in its only form.
func appendTriplet(out []byte, text string) []byte {
	c := byte(hexValue(text[1])<<4 | hexValue(text[2]))
	if unreserved(c) {
		return append(out, c)
	}
	return appendHex(out, c)
}

func appendHex(out []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(out, '%', digits[c>>4], digits[c&15])
}

// appendEscaped appends a byte as it may be in a path, or in the value of a query, where
// it says less: what would begin another parameter is escaped there. A % is taken as it
// is.
func appendEscaped(out []byte, c byte, query bool) []byte {
	if !plain(c) || query && (c == '&' || c == '+' || c == '=' || c == ';') {
		return appendHex(out, c)
	}
	return append(out, c)
}

// plain reports whether a byte is in a path as it is.
func plain(c byte) bool {
	switch c {
	case '"', '#', '<', '>', '?', '[', '\\', ']', '^', '`', '{', '|', '}':
		return false
	}
	return c > ' ' && c < 0x7f
}

// unreserved reports whether a byte needs no escape anywhere (RFC 3986, section 2.3).
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
