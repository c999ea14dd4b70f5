package rule

import (
	"net/url"
	"slices"
	"strings"
)

// filter says which parameters of a query count.
type filter struct {
	all      bool     // what is listed is left out, else what is not
	names    []string // in order
	prefixes []string
}

// parseFilter reads which parameters count; nil where nothing is said.
func parseFilter(query string, parameters []string) (*filter, error) {
	switch query {
	case "", "all", "none":
		if len(parameters) > 0 {
			return nil, wrong("parameters are there, and query is %q: write only or except there, or leave parameters out", query)
		}
		if query == "" {
			return nil, nil
		}
		return &filter{all: query == "all"}, nil
	case "only", "except":
	default:
		return nil, wrong("query is %q: write all, none, only or except", query)
	}
	if len(parameters) == 0 || len(parameters) > mostNames {
		return nil, wrong("query is %s, and parameters has %d names: write 1 to %d", query, len(parameters), mostNames)
	}
	f := &filter{all: query == "except"}
	for _, name := range parameters {
		prefix, open := strings.CutSuffix(name, "*")
		switch {
		case name == "" || len(name) > longestName:
			return nil, wrong("parameters has a name of %d bytes: write 1 to %d", len(name), longestName)
		case strings.Contains(prefix, "*"):
			return nil, wrong("parameters has %q: * stands at the end alone", name)
		case open:
			f.prefixes = append(f.prefixes, prefix)
		default:
			f.names = append(f.names, name)
		}
	}
	slices.Sort(f.names)
	return f, nil
}

// apply returns what counts of a query: byte for byte and in the order in which it was.
func (f *filter) apply(query string) string {
	if f.all && len(f.names) == 0 && len(f.prefixes) == 0 {
		return query
	}
	var out []byte // once something was left out
	kept, whole := 0, true
	for begin := 0; begin <= len(query); {
		end := len(query)
		if n := strings.IndexByte(query[begin:], '&'); n >= 0 {
			end = begin + n
		}
		switch counts := f.counts(query[begin:end]); {
		case !counts && whole:
			whole = false
			out = append(make([]byte, 0, len(query)), query[:max(0, begin-1)]...)
		case counts && whole:
			kept++
		case counts:
			if kept > 0 {
				out = append(out, '&')
			}
			out = append(out, query[begin:end]...)
			kept++
		}
		begin = end + 1
	}
	if whole {
		return query
	}
	return string(out)
}

// counts reports whether a parameter does, by its name without escapes. One that cannot
// be read is taken as it is written.
func (f *filter) counts(parameter string) bool {
	name, _, _ := strings.Cut(parameter, "=")
	if strings.ContainsAny(name, "%+") {
		if text, err := url.QueryUnescape(name); err == nil {
			name = text
		}
	}
	_, listed := slices.BinarySearch(f.names, name)
	listed = listed || slices.ContainsFunc(f.prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	return listed != f.all
}
