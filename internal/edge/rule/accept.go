package rule

import (
	"maps"
	"net/http"
	"strings"
)

// The codings that text is compressed by, in the words of Accept-Encoding.
const (
	codingNone = ""
	codingGzip = "gzip"
	codingZstd = "zstd"
)

// withCoding is a request whose Accept-Encoding is what its answer is compressed by. A
// part is always one of what is not compressed.
func withCoding(r *http.Request) *http.Request {
	lines := r.Header["Accept-Encoding"]
	coding := codingNone
	if r.Header["Range"] == nil {
		coding = choose(lines)
	}
	switch {
	case coding == codingNone && lines == nil, coding != codingNone && len(lines) == 1 && lines[0] == coding:
		return r
	}
	changed := *r
	changed.Header = maps.Clone(r.Header)
	delete(changed.Header, "Accept-Encoding")
	if coding != codingNone {
		changed.Header["Accept-Encoding"] = []string{coding}
	}
	return &changed
}

// choose is the coding that a client likes best (RFC 9110, section 12.5.3), zstd before
// gzip, and none where it likes that better or says nothing. Who takes anything gets
// gzip, which all know.
func choose(lines []string) string {
	const unsaid = -1
	gzip, zstd, anything, identity := unsaid, unsaid, unsaid, unsaid
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(member, ";")
			weight := weightOf(parameters)
			switch name = strings.Trim(name, " \t"); {
			case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"):
				gzip = weight
			case strings.EqualFold(name, "zstd"):
				zstd = weight
			case strings.EqualFold(name, "identity"):
				identity = weight
			case name == "*":
				anything = weight
			}
		}
	}
	if gzip == unsaid {
		gzip = anything
	}
	switch best := max(gzip, zstd); {
	case best <= 0 || best < identity:
		return codingNone
	case best == zstd:
		return codingZstd
	}
	return codingGzip
}

// weightOf reads the weight of a member in thousandths. One that cannot be read is 0.
func weightOf(parameters string) int {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.Trim(parameter, " \t"), "=")
		if !strings.EqualFold(strings.TrimRight(name, " \t"), "q") {
			continue
		}
		whole, part, _ := strings.Cut(strings.Trim(value, " \t"), ".")
		if whole != "0" && whole != "1" || len(part) > 3 {
			return 0
		}
		weight := int(whole[0]-'0') * 1000
		for i, unit := 0, 100; i < len(part); i, unit = i+1, unit/10 {
			if part[i] < '0' || part[i] > '9' {
				return 0
			}
			weight += int(part[i]-'0') * unit
		}
		return min(weight, 1000)
	}
	return 1000
}
