package rule

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"liuyun/internal/contract/edge"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, path string
		fits          bool
		rest          string
	}{
		{"*", "/", true, "/"},
		{"/", "/", true, ""},
		{"/", "/a", false, ""},
		{"/images/*", "/images/", true, ""},
		{"/images/*", "/images/a/b.jpg", true, "a/b.jpg"},
		{"/images/*", "/images", false, ""},
		{"/images/*", "/Images/a", false, ""},
		{"*.jpg", "/a/b.jpg", true, "/a/b"},
		{"*.jpg", "/a.jpg/b", false, ""},
		{"/a*a", "/a", false, ""},
		{"/**/x", "/1/2/x", true, "1/2"},
		{"/*/a/*", "/1/a/2/a/3", true, "2/a/3"},
		{"/a%7eb%2fc", "/a~b%2Fc", true, ""},
		{"/a~b", "/a%7Eb", true, ""},
		{"/видео/*", "/%d0%b2%D0%B8%D0%B4%D0%B5%D0%BE/1", true, "1"},
		{"/a b", "/a%20b", true, ""},
		{"/a[1]", "/a[1]", true, ""},
		{"/a[1]", "/a%5b1%5D", true, ""},
		{"/private/*", "/private%2Fx", false, ""},
		{"/private/*", "//private/x", true, "x"},
		{"/private/*", "/%70rivate/x", true, "x"},
		{"/private/*", "/a/../private/./x", true, "x"},
		{"/private/*", "/a/%2e%2E/private//x", true, "x"},
		{"/private/", "/private/a/..", true, ""},
		{"/private/*", "/../../private/x", true, "x"},
		{"/private/*", "/private/../x", false, ""},
	}
	for _, test := range tests {
		p, err := parsePattern(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.ParseRequestURI(test.path)
		if err != nil {
			t.Fatal(err)
		}
		if rest, fits := p.fits(pathOf(u)); fits != test.fits || rest != test.rest {
			t.Errorf("%s of %s: got %t, %q, want %t, %q", test.path, test.pattern, fits, rest, test.fits, test.rest)
		}
	}
}

// Patterns fit what a regular expression says, and the last star stands for the same.
func TestPatternAsRegexp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[/*][ab/*.]{0,12}`).Draw(t, "pattern")
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		path := clean(rapid.StringMatching(`/[ab/.]{0,16}`).Draw(t, "path"))
		parts := strings.Split(regexp.MustCompile(`\*+`).ReplaceAllString(text, "*"), "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		last := len(parts) - 1
		whole := strings.Join(parts[:last], "(?s:.*?)") + "(?s:(.*))" + parts[last]
		if last == 0 {
			whole = parts[0] + "()"
		}
		found := regexp.MustCompile("^" + whole + "$").FindStringSubmatch(path)
		rest, fits := p.fits(path)
		if fits != (found != nil) || fits && rest != found[1] {
			t.Fatalf("%s of %s: got %t, %q, want %q", path, text, fits, rest, found)
		}
	})
}

// A long path takes a time that grows as it does, whatever the pattern.
func TestPatternIsLinear(t *testing.T) {
	t.Parallel()
	p, err := parsePattern("*" + strings.Repeat(strings.Repeat("a", 70)+"b*", 7) + "c")
	if err != nil {
		t.Fatal(err)
	}
	took := func(n int) time.Duration {
		path := "/" + strings.Repeat("a", n) + "c"
		best := time.Hour
		for range 5 {
			begin := time.Now()
			if _, fits := p.fits(path); fits {
				t.Fatal("it fits")
			}
			best = min(best, time.Since(begin))
		}
		return best
	}
	if small, large := took(1<<18), took(1<<22); large > 200*small {
		t.Errorf("16 times as long took %v instead of %v", large, small)
	}
}

func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{"/a/*", "/a/b"}, {"*.jpg", "/%2e%2E/a.jpg"}, {"/**x", "//x"}, {"/%2", "/%%41"}, {"*", ""}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		normal := clean(path)
		if clean(normal) != normal {
			t.Fatalf("%q is %q, and that %q", path, normal, clean(normal))
		}
		if !strings.HasPrefix(normal, "/") || strings.Contains(normal, "//") || strings.Contains(normal+"/", "/../") || strings.Contains(normal+"/", "/./") {
			t.Fatalf("%q is %q", path, normal)
		}
		p, err := parsePattern(text)
		if err != nil {
			return
		}
		if rest, fits := p.fits(normal); fits && !strings.Contains(normal, rest) {
			t.Fatalf("%q is no part of %q", rest, normal)
		}
		// What is written without a star fits itself, and with one at its end too.
		if !strings.Contains(text, "*") {
			if _, fits := p.fits(clean(p.parts[0])); !fits {
				t.Fatalf("%q does not fit itself", text)
			}
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("utm_*", "a=1&utm_x&b")
	f.Add("a", "&&a&%61=2&")
	f.Fuzz(func(t *testing.T, name, query string) {
		only, err := parseFilter("only", []string{name})
		if err != nil {
			return
		}
		except, err := parseFilter("except", []string{name})
		if err != nil {
			t.Fatal(err)
		}
		count := func(query string) int {
			if query == "" {
				return 0
			}
			return strings.Count(query, "&") + 1
		}
		a, b := only.apply(query), except.apply(query)
		if only.apply(a) != a || except.apply(b) != b {
			t.Fatalf("%q: a second time it is another", query)
		}
		// Both are parts of it, in order.
		for _, kept := range []string{a, b} {
			rest := query
			for one := range strings.SplitSeq(kept, "&") {
				at := strings.Index(rest, one)
				if at < 0 {
					t.Fatalf("%q is not in %q", one, query)
				}
				rest = rest[at+len(one):]
			}
		}
		if n := count(a) + count(b); n > count(query) || n < count(query)-2 {
			t.Fatalf("%q: %q and %q", query, a, b)
		}
	})
}

// Whatever a viewer asks for, a redirect is to the server that the rule names, in one
// line.
func FuzzRedirect(f *testing.F) {
	f.Add("/go/*", "/$rest", "/go//evil.org", "a=b", "a.org")
	f.Add("*", "https://$host$path", "/x\r\ny", "\r\nX: y", "a.org:80")
	f.Add("*", "https://b.org/?u=$path#$rest", "/\\evil.org", "#", "[::1]:8")
	f.Add("*", "$path", "//evil.org", "?", "a")
	f.Fuzz(func(t *testing.T, path, target, asked, query, host string) {
		s, err := Compile([]edge.Rule{{Path: path, Redirect: target}})
		if err != nil {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host, r.URL.Path, r.URL.RawQuery = host, asked, query
		w := httptest.NewRecorder()
		if _, answered := s.Before(w, r); answered == 0 || answered != w.Code || w.Code == http.StatusBadRequest {
			return
		}
		got := w.Header().Get("Location")
		for i := range len(got) {
			if got[i] <= ' ' || got[i] >= 0x7f {
				t.Fatalf("%q", got)
			}
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(target, "/") || strings.HasPrefix(target, "$path") {
			if u.Scheme != "" || u.Host != "" || strings.HasPrefix(got, "//") || !strings.HasPrefix(got, "/") {
				t.Fatalf("%q leads elsewhere", got)
			}
			return
		}
		name, ok := nameOf(host)
		named, _, _ := strings.Cut(strings.SplitN(target, "://", 2)[1], "$path")
		if n := strings.IndexAny(named, "/?#"); n >= 0 {
			named = named[:n]
		}
		if want := strings.ReplaceAll(named, "$host", name); !ok || u.Host != want || u.User != nil {
			t.Fatalf("%q is not of %q", got, want)
		}
	})
}
