package rule

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/edge"
)

func compiled(t testing.TB, rules ...edge.Rule) *Set {
	t.Helper()
	s, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What cannot be served by is refused, with the rule that it is in.
func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	request := func(name, value string) edge.Rule {
		return edge.Rule{Path: "/", Request: []edge.Field{{Name: name, Value: value}}}
	}
	response := func(name, value string) edge.Rule {
		return edge.Rule{Path: "/", Response: []edge.Field{{Name: name, Value: value}}}
	}
	to := func(target string) edge.Rule { return edge.Rule{Path: "/", Redirect: target} }
	tests := map[string]struct {
		rule edge.Rule
		want string
	}{
		"no path":             {edge.Rule{}, "begin"},
		"relative":            {edge.Rule{Path: "images/*"}, "write /images/*"},
		"query":               {edge.Rule{Path: "/a?b=*"}, "query"},
		"dots":                {edge.Rule{Path: "/a/../b"}, "without"},
		"escaped dots":        {edge.Rule{Path: "/*/%2E%2e/b"}, "without"},
		"slashes":             {edge.Rule{Path: "*//b"}, "without"},
		"stars":               {edge.Rule{Path: strings.Repeat("/*a", 9)}, "at most 8"},
		"half an escape":      {edge.Rule{Path: "/%2"}, "%25"},
		"control":             {edge.Rule{Path: "/a\nb"}, "control"},
		"long":                {edge.Rule{Path: "/" + strings.Repeat("a", 1024)}, "1025 bytes"},
		"ttl":                 {edge.Rule{Path: "/", TTL: new(-1)}, "ttl is -1"},
		"browser ttl":         {edge.Rule{Path: "/", BrowserTTL: new(31536001)}, "browser_ttl"},
		"word for query":      {edge.Rule{Path: "/", Query: "some"}, "only or except"},
		"only nothing":        {edge.Rule{Path: "/", Query: "only"}, "1 to 64"},
		"parameters alone":    {edge.Rule{Path: "/", Parameters: []string{"a"}}, "leave parameters out"},
		"star in the middle":  {edge.Rule{Path: "/", Query: "only", Parameters: []string{"a*b"}}, "at the end"},
		"vary by all":         {edge.Rule{Path: "/", Vary: []string{"*"}}, "ttl 0"},
		"vary by no name":     {edge.Rule{Path: "/", Vary: []string{"a b"}}, "no name"},
		"vary by who asks":    {edge.Rule{Path: "/", Vary: []string{"x-forwarded-for"}}, "nothing would be kept"},
		"host":                {request("host", "a"), "host of the origin"},
		"connection":          {request("Connection", "close"), "connection"},
		"length":              {request("content-length", "5"), "connection"},
		"framing":             {request("Transfer-Encoding", ""), "connection"},
		"range":               {request("Range", "bytes=0-1"), "leave it out"},
		"accept-encoding":     {request("Accept-Encoding", "br"), "removed"},
		"loop":                {request("CDN-Loop", ""), "themselves"},
		"no name":             {request("a:b", "1"), "no name"},
		"injection":           {request("X-A", "a\r\nX-B: c"), "control"},
		"blanks":              {response("X-A", " a"), "blanks"},
		"framing of answers":  {response("transfer-encoding", "chunked"), "connection"},
		"coding":              {response("Content-Encoding", ""), "body"},
		"vary of answers":     {response("Vary", "Cookie"), "said by vary"},
		"etag":                {response("ETag", `"1"`), "removed"},
		"twice":               {edge.Rule{Path: "/", Response: []edge.Field{{Name: "x-a", Value: "1"}, {Name: "X-A"}}}, "twice"},
		"status alone":        {edge.Rule{Path: "/", Status: 301}, "leave status out"},
		"status":              {edge.Rule{Path: "/", Redirect: "/a", Status: 300}, "301"},
		"scheme":              {to("ftp://a/"), "https://"},
		"no scheme":           {to("a"), "https://"},
		"script":              {to("javascript:alert(1)"), "https://"},
		"rest as server":      {to("https://$rest/"), "write a /"},
		"rest after server":   {to("https://$host$rest"), "write a /"},
		"rest alone":          {to("$rest"), "https://"},
		"no server":           {to("https:///a"), "no server"},
		"user":                {to("https://$host@a/"), "name alone"},
		"unknown word":        {to("/$query"), "$host, $path or $rest"},
		"dollar":              {to("/a$"), "%24"},
		"line":                {to("/a\nb"), "%0A"},
		"port":                {to("https://a:b/"), "no address"},
		"escape in redirects": {to("/%g1"), "%25"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Compile([]edge.Rule{{Path: "*"}, test.rule})
			if fault.CodeOf(err) != fault.Invalid {
				t.Fatalf("got %v, want a fault", err)
			}
			if got := fault.Message(err); !strings.HasPrefix(got, "rule 2: ") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want rule 2 and %q", got, test.want)
			}
		})
	}
	if _, err := Compile(make([]edge.Rule, 101)); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("101 rules: got %v, want a fault", err)
	}
}

// Of several rules the last that says something of a thing says it; fields add up.
func TestLastRuleThatFits(t *testing.T) {
	t.Parallel()
	s := compiled(t,
		edge.Rule{Path: "*", TTL: new(10), BrowserTTL: new(1), Vary: []string{"Cookie"}, Compress: new(true), Response: []edge.Field{{Name: "X-A", Value: "1"}, {Name: "X-B", Value: "1"}}},
		edge.Rule{Path: "/b/*", TTL: new(20), Compress: new(false), Response: []edge.Field{{Name: "x-a", Value: "2"}, {Name: "X-C"}}},
		edge.Rule{Path: "/c/*", TTL: new(30)},
	)
	e := s.effectOf("/b/x")
	if e.ttl.seconds != 20 || e.browserTTL.seconds != 1 || e.compress || !cmp.Equal(e.vary, []string{"Cookie"}) {
		t.Errorf("got %+v", e)
	}
	header := http.Header{"X-C": {"o"}, "X-D": {"o"}}
	s.After(httptest.NewRequest("POST", "/b/x", nil), 200, header)
	if diff := cmp.Diff(http.Header{"X-A": {"2"}, "X-B": {"1"}, "X-D": {"o"}}, header); diff != "" {
		t.Error(diff)
	}
	// Whoever appends to a field that a rule set does not write into the rule.
	header["X-A"] = append(header["X-A"], "other")
	header["X-A"][0] = "changed"
	again := make(http.Header)
	s.After(httptest.NewRequest("POST", "/b/x", nil), 200, again)
	if got := again.Values("X-A"); !cmp.Equal(got, []string{"2"}) {
		t.Errorf("the second answer has %q", got)
	}
}

func TestBrowserTTL(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rule   edge.Rule
		method string
		status int
		header http.Header
		want   http.Header
	}{
		"replaced": {
			edge.Rule{BrowserTTL: new(60)}, "GET", 200, http.Header{"Cache-Control": {"public, s-maxage=5"}, "Expires": {"0"}, "Pragma": {"no-cache"}},
			http.Header{"Cache-Control": {"max-age=60"}},
		},
		"private stays":       {edge.Rule{BrowserTTL: new(60)}, "GET", 200, http.Header{"Cache-Control": {"x, Private"}}, http.Header{"Cache-Control": {"private, max-age=60"}}},
		"no-store is private": {edge.Rule{BrowserTTL: new(60)}, "GET", 200, http.Header{"Cache-Control": {"no-store"}}, http.Header{"Cache-Control": {"private, max-age=60"}}},
		"a cookie is private": {
			edge.Rule{BrowserTTL: new(60)}, "GET", 200, http.Header{"Set-Cookie": {"a=b"}}, http.Header{"Set-Cookie": {"a=b"}, "Cache-Control": {"private, max-age=60"}},
		},
		"a ttl overrules":          {edge.Rule{TTL: new(5), BrowserTTL: new(60)}, "GET", 200, http.Header{"Cache-Control": {"private"}}, http.Header{"Cache-Control": {"max-age=60"}}},
		"a ttl of 0 does not":      {edge.Rule{TTL: new(0), BrowserTTL: new(60)}, "GET", 200, http.Header{"Cache-Control": {"private"}}, http.Header{"Cache-Control": {"private, max-age=60"}}},
		"no time":                  {edge.Rule{BrowserTTL: new(0)}, "HEAD", 304, http.Header{"Cache-Control": {"max-age=9"}}, http.Header{"Cache-Control": {"no-cache"}}},
		"no time and not stored":   {edge.Rule{BrowserTTL: new(0)}, "GET", 200, http.Header{"Cache-Control": {"no-store"}}, http.Header{"Cache-Control": {"private, no-store"}}},
		"no-transform stays":       {edge.Rule{BrowserTTL: new(1)}, "GET", 404, http.Header{"Cache-Control": {"no-transform"}}, http.Header{"Cache-Control": {"max-age=1, no-transform"}}},
		"not of errors":            {edge.Rule{BrowserTTL: new(60)}, "GET", 503, http.Header{}, http.Header{}},
		"not of what changes data": {edge.Rule{BrowserTTL: new(60)}, "POST", 200, http.Header{}, http.Header{}},
		"a field has the last word": {
			edge.Rule{BrowserTTL: new(60), Response: []edge.Field{{Name: "cache-control", Value: "immutable"}}}, "GET", 200, http.Header{}, http.Header{"Cache-Control": {"immutable"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.rule.Path = "*"
			compiled(t, test.rule).After(httptest.NewRequest(test.method, "/", nil), test.status, test.header)
			if diff := cmp.Diff(test.want, test.header); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path, to, asked string
		tls             bool
		want            string // Location; "" where the request goes on
	}{
		"path":                      {"/old/*", "/new/$rest", "http://a.org/old/x/y", false, "/new/x/y"},
		"query is kept":             {"/old/*", "/new/$rest#top", "http://a.org/old/x?b=%20&c", false, "/new/x?b=%20&c#top"},
		"own query":                 {"/old/*", "/new?was=$rest", "http://a.org/old/x/y&z=1?b=c", false, "/new?was=x/y%26z%3D1"},
		"no query":                  {"/old", "/new?", "http://a.org/old?b=c", false, "/new"},
		"address":                   {"*", "https://cdn.org:8443$path", "http://a.org/x%2fy/../z", false, "https://cdn.org:8443/z"},
		"host":                      {"/x", "https://www.$host/", "http://A.org:8080/x", false, "https://www.a.org/"},
		"to tls":                    {"*", "https://$host$path", "http://a.org/x?y", false, "https://a.org/x?y"},
		"not to itself":             {"*", "https://$host$path", "https://a.org/x?y", true, ""},
		"not to its other spelling": {"*", "https://$host$path", "https://a.org:443//%78?y", true, ""},
		"not to its own path":       {"/x", "/x", "http://a.org/x", false, ""},
		"no other server":           {"/go*", "/$rest", "http://a.org/go/evil.org", false, "/evil.org"},
		"no other server by dots":   {"/go*", "/$rest/", "http://a.org/go/%2e/evil.org", false, "/evil.org/"},
		"no other server by path":   {"*", "$path/x", "http://a.org//evil.org", false, "/evil.org/x"},
		"backslash":                 {"/go/*", "/$rest", "http://a.org/go/%5Cevil.org", false, "/%5Cevil.org"},
		"half an escape":            {"*5Cx", "/a$rest", "http://a.org/%5Cx", false, "/a/%25"},
		"line breaks":               {"/go/*", "/$rest", "http://a.org/go/%0d%0aX:%20y", false, "/%0D%0AX:%20y"},
		"several stars":             {"/a/*/b/*.html", "/$rest", "http://a.org/a/1/b/2/b/3.html", false, "/2/b/3"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := compiled(t, edge.Rule{Path: test.path, Redirect: test.to, Status: 308, Response: []edge.Field{{Name: "X-A", Value: "1"}}})
			r := httptest.NewRequest("GET", test.asked, nil)
			r.TLS = nil
			if test.tls {
				r.TLS = new(tls.ConnectionState)
			}
			w := httptest.NewRecorder()
			next, answered := s.Before(w, r)
			if answered == 0 {
				if test.want != "" || next != r {
					t.Errorf("it goes on, want %s", test.want)
				}
				return
			}
			want := http.Header{"Location": {test.want}, "Content-Length": {"0"}, "Cache-Control": {"max-age=3600"}, "X-A": {"1"}}
			if diff := cmp.Diff(want, w.Result().Header); diff != "" || w.Code != 308 || answered != 308 {
				t.Error(w.Code, diff)
			}
		})
	}
}

func TestRedirectOfNoName(t *testing.T) {
	t.Parallel()
	s := compiled(t, edge.Rule{Path: "*", Redirect: "https://$host/x"})
	for _, host := range []string{"", "a/b", "a b", "a\r\nb", "u@h", "[::1", "[x]", strings.Repeat("a", 256), ":80"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if _, answered := s.Before(w, r); answered != http.StatusBadRequest || w.Code != http.StatusBadRequest {
			t.Errorf("%q: got %d", host, w.Code)
		}
	}
}

func TestRedirectIsKept(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status  int
		browser *int
		want    string
	}{{0, nil, "no-store"}, {301, nil, "max-age=3600"}, {307, new(5), "max-age=5"}, {301, new(0), "no-cache"}} {
		w := httptest.NewRecorder()
		s := compiled(t, edge.Rule{Path: "*", Redirect: "/x", Status: test.status, BrowserTTL: test.browser})
		s.Before(w, httptest.NewRequest("GET", "/", nil))
		if got := w.Header().Get("Cache-Control"); got != test.want {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	tests := []struct{ mode, names, query, want string }{
		{"all", "", "a=1&&b", "a=1&&b"},
		{"none", "", "a=1&b", ""},
		{"only", "a c", "b=1&c=%7e&a=2&a", "c=%7e&a=2&a"},
		{"only", "a", "b", ""},
		{"except", "utm_*", "z=1&utm_source=x&a=%20+&utm%5Fid&b", "z=1&a=%20+&b"},
		{"except", "utm_*", "utm_a=1", ""},
		{"except", "utm_*", "&utm_a=1&&b=", "&&b="},
		{"except", "b", "a=1&A=2&b", "a=1&A=2"},
		{"except", "a+b x*", "a%2Bb=1&a+b=2&X=3&x=4", "a+b=2&X=3"},
		{"only", "%zz", "%zz=1&y", "%zz=1"},
		{"only", "*", "a&b", "a&b"},
	}
	for _, test := range tests {
		s := compiled(t, edge.Rule{Path: "/x", Query: test.mode, Parameters: strings.Fields(test.names)})
		r := httptest.NewRequest("GET", "/x", nil)
		r.URL.RawQuery = test.query
		next, answered := s.Before(nil, r)
		if got := next.URL.RawQuery; got != test.want || answered != 0 {
			t.Errorf("%s %s of %q: got %q, want %q", test.mode, test.names, test.query, got, test.want)
		}
		if r.URL.RawQuery != test.query {
			t.Errorf("the request that came has changed: %q", r.URL.RawQuery)
		}
		if test.query == test.want && next != r {
			t.Errorf("%q: a copy for nothing", test.query)
		}
	}
}

func TestAcceptEncoding(t *testing.T) {
	t.Parallel()
	tests := []struct {
		said  []string
		field string
		want  string
	}{
		{nil, "", ""},
		{[]string{""}, "", ""},
		{[]string{"gzip, deflate, br, zstd"}, "", "zstd"},
		{[]string{"gzip, deflate, br"}, "", "gzip"},
		{[]string{"GZIP;q=1.0", "zstd; q=0.5"}, "", "gzip"},
		{[]string{"x-gzip"}, "", "gzip"},
		{[]string{"br"}, "", ""},
		{[]string{"*"}, "", "gzip"},
		{[]string{"*, gzip;q=0"}, "", ""},
		{[]string{"gzip;q=0, zstd;q=0.000"}, "", ""},
		{[]string{"identity, gzip;q=0.5"}, "", ""},
		{[]string{"identity;q=0.1, gzip;q=0.5"}, "", "gzip"},
		{[]string{"gzip;q=x, zstd;q=2"}, "", ""},
		{[]string{"gzip;q=0.1234"}, "", ""},
		{[]string{"gzip"}, "bytes=0-", ""},
	}
	s := compiled(t, edge.Rule{Path: "*", Compress: new(true)})
	for _, test := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		if test.said != nil {
			r.Header["Accept-Encoding"] = test.said
		}
		if test.field != "" {
			r.Header.Set("Range", test.field)
		}
		next, _ := s.Before(nil, r)
		if got := next.Header.Get("Accept-Encoding"); got != test.want || test.want == "" && next.Header["Accept-Encoding"] != nil {
			t.Errorf("%q: got %q, want %q", test.said, next.Header["Accept-Encoding"], test.want)
		}
		if got := r.Header["Accept-Encoding"]; !cmp.Equal(got, test.said) {
			t.Errorf("the request that came has changed: %q", got)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Encoding", "br")
	if next, _ := compiled(t, edge.Rule{Path: "*"}).Before(nil, r); next != r {
		t.Error("Accept-Encoding is another without compression")
	}
}

func hundred(t testing.TB) *Set {
	rules := make([]edge.Rule, mostRules)
	for i := range rules {
		rules[i] = edge.Rule{Path: "/films/" + strconv.Itoa(i) + "/*/part*.mp4", TTL: new(5), Response: []edge.Field{{Name: "X-A", Value: "1"}}}
	}
	return compiled(t, rules...)
}

// Where no rule fits nothing is allocated.
func TestAllocations(t *testing.T) {
	s, r, header := hundred(t), httptest.NewRequest("GET", "/films/7/video/init.m4s?x=1", nil), make(http.Header)
	if got := testing.AllocsPerRun(100, func() {
		s.Before(nil, r)
		s.After(r, 200, header)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkNoRuleFits(b *testing.B) {
	s, r, header := hundred(b), httptest.NewRequest("GET", "/films/7/video/init.m4s?x=1", nil), make(http.Header)
	b.ReportAllocs()
	for b.Loop() {
		s.Before(nil, r)
		s.After(r, 200, header)
	}
}

func BenchmarkQueryIsFiltered(b *testing.B) {
	s, r := compiled(b, edge.Rule{Path: "/films/*", Query: "except", Parameters: []string{"utm_*", "fbclid"}}), httptest.NewRequest("GET", "/films/7?a=1&utm_source=x&b=2", nil)
	b.ReportAllocs()
	for b.Loop() {
		s.Before(nil, r)
	}
}
