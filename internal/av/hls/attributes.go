package hls

import (
	"strings"
	"time"
)

// attributeList is the attributes of one tag (4.2). Its methods report what is missing or
// of another type as problems of the section and the line.
type attributeList struct {
	reader  *liveReader
	section string
	values  map[string]string // as they stand, quotes and all
}

// maxAttributes bounds how many attributes of one tag are looked at.
const maxAttributes = 64

// attributes reads an attribute list. Of a list that is malformed it returns
// what comes before the fault.
func (r *liveReader) attributes(section, list string) attributeList {
	a := attributeList{r, section, map[string]string{}}
	for rest := list; rest != ""; {
		name, value, found := strings.Cut(rest, "=")
		if !found || !attributeName(name) {
			r.here("4.2", "%q is not an attribute", name)
			return a
		}
		end := attributeEnd(value)
		if end <= 0 {
			r.here("4.2", "the value of %s is malformed", name)
			return a
		}
		if _, twice := a.values[name]; twice {
			r.here("4.2", "%s stands twice", name)
		}
		a.values[name] = value[:end]
		if rest = value[end:]; rest == "" {
			break
		}
		if rest = rest[1:]; rest == "" || len(a.values) == maxAttributes {
			r.here("4.2", "the attributes end with a comma, or are more than %d", maxAttributes)
			return a
		}
	}
	return a
}

func attributeName(name string) bool {
	return name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

// attributeEnd returns the length of the value that text begins with, which a
// comma or nothing follows; -1 if it is malformed.
func attributeEnd(text string) int {
	if text == "" || text[0] != '"' {
		end := strings.IndexByte(text, ',')
		if end < 0 {
			end = len(text)
		}
		if strings.ContainsAny(text[:end], "\" \t") {
			return -1
		}
		return end
	}
	end := strings.IndexByte(text[1:], '"')
	if end < 0 {
		return -1
	}
	end += len(`""`)
	if end < len(text) && text[end] != ',' {
		return -1
	}
	return end
}

// value returns an attribute without its quotes.
func (a attributeList) value(name string, required, quotes bool) (string, bool) {
	value, ok := a.values[name]
	if !ok {
		if required {
			a.reader.here(a.section, "%s is missing", name)
		}
		return "", false
	}
	if quoted := value[0] == '"'; quoted != quotes {
		what := "must not"
		if quotes {
			what = "must"
		}
		a.reader.here(a.section, "%s %s be quoted", name, what)
	}
	return strings.Trim(value, `"`), true
}

func (a attributeList) quoted(name string, required bool) (string, bool) {
	return a.value(name, required, true)
}

func (a attributeList) enumerated(name string, required bool) string {
	value, _ := a.value(name, required, false)
	return value
}

func (a attributeList) uri(name string, required bool) string {
	value, ok := a.quoted(name, required)
	if !ok {
		return ""
	}
	if err := checkURI(value); err != nil {
		a.reader.here(a.section, "%v", err)
	}
	return value
}

func (a attributeList) yes(name string) bool {
	value, ok := a.value(name, false, false)
	if ok && value != "YES" {
		a.reader.here(a.section, "%s is %q, and may only be YES", name, value)
	}
	return value == "YES"
}

func (a attributeList) seconds(name string, required bool) time.Duration {
	value, ok := a.value(name, required, false)
	if !ok {
		return 0
	}
	d, ok := parseSeconds(value)
	if !ok || d == 0 {
		a.reader.here(a.section, "%s of %q is not a positive number of seconds", name, value)
	}
	return d
}

func (a attributeList) number(name string, required bool) int64 {
	value, ok := a.value(name, required, false)
	if !ok {
		return 0
	}
	return a.reader.number(a.section, name, value)
}

// number reads a decimal-integer.
func (r *liveReader) number(section, name, value string) int64 {
	n, ok := parseNumber(value)
	if !ok {
		r.here(section, "%s of %q is not a whole number", name, value)
	}
	return n
}
