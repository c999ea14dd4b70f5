package cache

import (
	"net/http"
	"slices"
	"strings"
)

// varyFields are the names in Vary, in lower case, in order and each once; [anything]
// alone where one is that.
func varyFields(header http.Header) []string {
	var names []string
	for _, line := range header["Vary"] {
		for name := range members(line) {
			switch name = strings.ToLower(name); name {
			case anything, "via", "cdn-loop", "x-forwarded-for", "surrogate-capability": // the latter we write ourselves
				return []string{anything}
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// variant is what a request says in those fields. Two requests with the same are given
// the same response. Fields are compared in a form that spelling makes no difference
// to (RFC 9111, section 4.1).
func variant(fields []string, header http.Header) string {
	if len(fields) == 0 {
		return ""
	}
	var text strings.Builder
	for _, name := range fields {
		lines, there := header[http.CanonicalHeaderKey(name)]
		text.WriteString(name)
		if there {
			text.WriteByte(':')
			text.WriteString(normalised(name, lines))
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// normalised puts the lines of a field in one form.
func normalised(name string, lines []string) string {
	var all []string
	for _, line := range lines {
		for member := range members(line) {
			all = append(all, squeezed(member))
		}
	}
	switch name {
	case "accept", "accept-charset", "accept-encoding", "accept-language":
		// The weights order these, not the places; the case does not count.
		for i := range all {
			all[i] = strings.ToLower(all[i])
		}
		slices.Sort(all)
		all = slices.Compact(all)
	}
	return strings.Join(all, ",")
}

// squeezed is a member without the blanks around semicolons and equals signs outside
// of quotes.
func squeezed(member string) string {
	if !strings.ContainsAny(member, " \t") {
		return member
	}
	var out []byte
	quoted := false
	for i := 0; i < len(member); i++ {
		c := member[i]
		switch {
		case quoted && c == '\\' && i+1 < len(member):
			out = append(out, c, member[i+1])
			i++
			continue
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ';' || c == '=':
			for len(out) > 0 && (out[len(out)-1] == ' ' || out[len(out)-1] == '\t') {
				out = out[:len(out)-1]
			}
		case (c == ' ' || c == '\t') && (len(out) == 0 || out[len(out)-1] == ';' || out[len(out)-1] == '='):
			continue
		}
		out = append(out, c)
	}
	return string(out)
}
