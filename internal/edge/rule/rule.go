// Package rule applies what an operator says of some paths of a site: before a cache is
// asked, on the way to the origin and back, and on what viewers are answered with. What
// is stored is decided by the cache, from the fields that are set here; this package
// stores nothing, and knows no cache.
package rule

import (
	"net/http"
	"net/url"

	"liuyun/internal/contract/edge"
)

// Set is the rules of one site. It is read-only, and for many goroutines at once.
type Set struct {
	rules    []rule
	finishes bool // one of them has something to say of what viewers are answered with
}

// rule is a rule that was found right. What it does not say is nil.
type rule struct {
	pattern    pattern
	ttl        *age
	browserTTL *age
	query      *filter
	vary       []string
	request    []field
	response   []field
	redirect   *redirect
	compress   *bool
}

// age is a number of seconds, and how Cache-Control says it.
type age struct {
	seconds int
	maxAge  string
}

// field is a field of a head in its canonical form. Without a value it is removed.
type field struct {
	name  string
	value []string // one, or none
}

// Compile reads rules. An error is a fault of code Invalid, with the number of the rule,
// from 1 on, and what to write instead.
func Compile(rules []edge.Rule) (*Set, error) {
	if len(rules) > mostRules {
		return nil, wrong("%d rules are too many: a site has at most %d", len(rules), mostRules)
	}
	s := &Set{rules: make([]rule, 0, len(rules))}
	for i := range rules {
		compiled, err := compile(&rules[i])
		if err != nil {
			return nil, numbered(i+1, err)
		}
		s.rules = append(s.rules, compiled)
		s.finishes = s.finishes || compiled.browserTTL != nil || len(compiled.response) > 0
	}
	return s, nil
}

// effect is what all rules together say of one path: of each thing what the last rule
// says that fits. Fields of heads add up; fitting has the rules that they are in.
type effect struct {
	ttl        *age
	browserTTL *age
	query      *filter
	vary       []string
	redirect   *redirect
	rest       string // what the last * of the redirect's rule stands for
	compress   bool
	fitting    [(mostRules + 63) / 64]uint64
	fits       bool // any does
}

// effectOf looks which rules fit a path, as pathOf has it.
func (s *Set) effectOf(path string) (e effect) {
	for i := range s.rules {
		r := &s.rules[i]
		rest, ok := r.pattern.fits(path)
		if !ok {
			continue
		}
		e.fits = true
		e.fitting[i/64] |= 1 << (i % 64)
		if r.ttl != nil {
			e.ttl = r.ttl
		}
		if r.browserTTL != nil {
			e.browserTTL = r.browserTTL
		}
		if r.query != nil {
			e.query = r.query
		}
		if r.vary != nil {
			e.vary = r.vary
		}
		if r.redirect != nil {
			e.redirect, e.rest = r.redirect, rest
		}
		if r.compress != nil {
			e.compress = *r.compress
		}
	}
	return e
}

// each iterates over the rules that fit.
func (s *Set) each(e *effect) func(yield func(*rule) bool) {
	return func(yield func(*rule) bool) {
		for i := range s.rules {
			if e.fitting[i/64]&(1<<(i%64)) != 0 && !yield(&s.rules[i]) {
				return
			}
		}
	}
}

// asksWith reports whether a rule that fits changes what the origin is asked with.
func (s *Set) asksWith(e *effect) bool {
	for r := range s.each(e) {
		if len(r.request) > 0 {
			return true
		}
	}
	return false
}

// apply sets and removes fields, in their order.
func apply(fields []field, header http.Header) {
	for _, f := range fields {
		if f.value == nil {
			delete(header, f.name)
			continue
		}
		header[f.name] = f.value // it has room for one: who appends to it gets another
	}
}

// Before is what is done with a request before anything else. It answers one that is
// sent elsewhere, and returns the status. Otherwise that is 0, and it returns the request to go on
// with: r, or a copy of it with another query or Accept-Encoding.
//
// Where text is compressed, Accept-Encoding becomes what the answer will be compressed
// with, so that a cache has at most three of it. Who asks for a part gets one of what is
// not compressed.
func (s *Set) Before(w http.ResponseWriter, r *http.Request) (next *http.Request, answered int) {
	if len(s.rules) == 0 {
		return r, 0
	}
	path := pathOf(r.URL)
	e := s.effectOf(path)
	if !e.fits {
		return r, 0
	}
	if e.redirect != nil {
		if answered = s.send(w, r, path, &e); answered != 0 {
			return r, answered
		}
	}
	if e.query != nil {
		if query := e.query.apply(r.URL.RawQuery); query != r.URL.RawQuery || query == "" && r.URL.ForceQuery {
			changed, u := *r, *r.URL
			u.RawQuery, u.ForceQuery = query, false
			changed.URL = &u
			r = &changed
		}
	}
	if e.compress {
		r = withCoding(r)
	}
	return r, 0
}

// After changes the head of an answer for viewers: how long browsers keep it, and the
// fields that rules set or remove. It is called with each answer right before that is
// written, with the request that Before returned, and the status and fields of the
// answer.
func (s *Set) After(r *http.Request, status int, header http.Header) {
	if !s.finishes {
		return
	}
	if e := s.effectOf(pathOf(r.URL)); e.fits {
		s.finish(r, status, header, &e)
	}
}

func (s *Set) finish(r *http.Request, status int, header http.Header, e *effect) {
	if e.browserTTL != nil && reads(r.Method) && keeps(status) {
		overruled := e.ttl != nil && e.ttl.seconds > 0 && mayShare(r.Header, status, header)
		tellBrowsers(header, e.browserTTL, overruled)
	}
	for one := range s.each(e) {
		apply(one.response, header)
	}
}

// pathOf is the path that rules are compared with.
func pathOf(u *url.URL) string { return clean(u.EscapedPath()) }
