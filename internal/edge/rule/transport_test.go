package rule

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"liuyun/internal/contract/edge"
)

// origin answers as it is told to, and remembers what it was asked.
type origin struct {
	status int
	header http.Header
	body   string
	asked  *http.Request
}

func (o *origin) RoundTrip(r *http.Request) (*http.Response, error) {
	o.asked = r
	header := o.header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	return &http.Response{StatusCode: o.status, Header: header, Body: io.NopCloser(strings.NewReader(o.body)), ContentLength: int64(len(o.body)), Request: r}, nil
}

func ask(t *testing.T, o http.RoundTripper, said edge.Rule, r *http.Request) *http.Response {
	t.Helper()
	said.Path = "*"
	in, err := compiled(t, said).Transport(o, NewCompressor(4)).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Body.Close() })
	return in
}

func TestTTL(t *testing.T) {
	t.Parallel()
	type fields = http.Header
	tests := map[string]struct {
		ttl    int
		method string
		asked  fields
		status int
		header fields
		want   fields
	}{
		"set": {60, "GET", nil, 200, fields{"Cache-Control": {"private"}, "Cdn-Cache-Control": {"no-store"}, "Surrogate-Control": {"max-age=1"}, "Age": {"99"}},
			fields{"Cache-Control": {"private"}, "Surrogate-Control": {"max-age=60"}}},
		"none":                {0, "GET", nil, 200, fields{"Cdn-Cache-Control": {"max-age=5"}, "Set-Cookie": {"a"}}, fields{"Surrogate-Control": {"no-store"}, "Set-Cookie": {"a"}}},
		"cookie":              {60, "GET", nil, 200, fields{"Set-Cookie": {"a"}}, fields{"Surrogate-Control": {"max-age=60"}}},
		"cookie of a login":   {60, "GET", nil, 302, fields{"Set-Cookie": {"a"}}, fields{"Set-Cookie": {"a"}}},
		"redirect":            {60, "GET", nil, 302, fields{}, fields{"Surrogate-Control": {"max-age=60"}}},
		"credentials":         {60, "GET", fields{"Authorization": {"a"}}, 200, fields{"Set-Cookie": {"a"}}, fields{"Set-Cookie": {"a"}}},
		"credentials, none":   {0, "GET", fields{"Authorization": {"a"}}, 200, fields{}, fields{"Surrogate-Control": {"no-store"}}},
		"still right":         {60, "GET", nil, 304, fields{}, fields{"Surrogate-Control": {"max-age=60"}}},
		"part":                {60, "GET", nil, 206, fields{}, fields{"Surrogate-Control": {"max-age=60"}}},
		"not there":           {60, "HEAD", nil, 404, fields{}, fields{"Surrogate-Control": {"max-age=60"}}},
		"gone":                {60, "GET", nil, 410, fields{}, fields{"Surrogate-Control": {"max-age=60"}}},
		"not of a failure":    {60, "GET", nil, 503, fields{"Set-Cookie": {"a"}}, fields{"Set-Cookie": {"a"}}},
		"not of one viewer":   {60, "GET", nil, 403, fields{}, fields{}},
		"not of a change":     {60, "POST", nil, 200, fields{"Set-Cookie": {"a"}}, fields{"Set-Cookie": {"a"}}},
		"not of another word": {60, "GET", nil, 101, fields{"Upgrade": {"websocket"}}, fields{"Upgrade": {"websocket"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(test.method, "/", nil)
			if test.asked != nil {
				r.Header = test.asked
			}
			in := ask(t, &origin{status: test.status, header: test.header}, edge.Rule{TTL: &test.ttl}, r)
			if diff := cmp.Diff(test.want, in.Header); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVary(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		vary   []string
		want   []string
	}{
		"none yet":             {200, nil, []string{"Accept-Language, Cookie"}},
		"some":                 {200, []string{"Origin", "cookie"}, []string{"Origin, cookie, Accept-Language"}},
		"all":                  {200, []string{"*"}, []string{"*"}},
		"still right":          {304, nil, nil},
		"still right, another": {304, []string{"Origin"}, []string{"Origin, Accept-Language, Cookie"}},
		"failure":              {500, nil, []string{"Accept-Language, Cookie"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &origin{status: test.status, header: http.Header{}}
			if test.vary != nil {
				o.header["Vary"] = test.vary
			}
			in := ask(t, o, edge.Rule{Vary: []string{"accept-language", "cookie"}}, httptest.NewRequest("GET", "/", nil))
			if got := in.Header["Vary"]; !cmp.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestRequestFields(t *testing.T) {
	t.Parallel()
	o := &origin{status: 200}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = http.Header{"Cookie": {"a"}, "X-Key": {"theirs", "twice"}, "Accept": {"b"}, "Accept-Encoding": {"gzip"}}
	before := r.Header.Clone()
	ask(t, o, edge.Rule{Request: []edge.Field{{Name: "cookie"}, {Name: "x-key", Value: "ours"}, {Name: "Authorization", Value: "Bearer x"}, {Name: "accept-encoding"}}}, r)
	want := http.Header{"X-Key": {"ours"}, "Accept": {"b"}, "Authorization": {"Bearer x"}}
	if diff := cmp.Diff(want, o.asked.Header); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, r.Header); diff != "" {
		t.Errorf("the request that was given has changed: %s", diff)
	}
}

func TestWhatIsCompressed(t *testing.T) {
	t.Parallel()
	type fields = http.Header
	long := strings.Repeat("abcdefgh", 1<<8)
	with := func(name, value string) fields {
		return fields{"Content-Type": {"text/plain; charset=utf-8"}, name: {value}}
	}
	tests := map[string]struct {
		asked  fields
		method string
		status int
		header fields
		body   string
		coding string
		vary   bool
	}{
		"gzip":               {fields{"Accept-Encoding": {"gzip"}}, "GET", 200, with("X", ""), long, "gzip", true},
		"zstd":               {fields{"Accept-Encoding": {"zstd"}}, "GET", 200, with("Content-Encoding", "identity"), long, "zstd", true},
		"as it is":           {fields{}, "GET", 200, with("X", ""), long, "", true},
		"short":              {fields{"Accept-Encoding": {"gzip"}}, "GET", 200, with("X", ""), long[:1023], "", false},
		"film":               {fields{"Accept-Encoding": {"gzip"}}, "GET", 200, fields{"Content-Type": {"video/mp4"}}, long, "", false},
		"of no kind":         {fields{"Accept-Encoding": {"gzip"}}, "GET", 200, fields{}, long, "", false},
		"compressed already": {fields{"Accept-Encoding": {"gzip"}}, "GET", 200, with("Content-Encoding", "br"), long, "br", false},
		"not to be changed":  {fields{"Accept-Encoding": {"gzip"}}, "GET", 200, with("Cache-Control", "max-age=5, no-transform"), long, "", false},
		"part":               {fields{"Accept-Encoding": {"gzip"}, "Range": {"bytes=0-"}}, "GET", 206, with("Content-Range", "bytes 0-2047/4096"), long, "", true},
		"part as a whole":    {fields{"Accept-Encoding": {"gzip"}, "Range": {"bytes=0-"}}, "GET", 200, with("X", ""), long, "", true},
		"head":               {fields{"Accept-Encoding": {"gzip"}}, "HEAD", 200, with("X", ""), long, "", true},
		"error":              {fields{"Accept-Encoding": {"gzip"}}, "GET", 404, with("X", ""), long, "", false},
		"still right":        {fields{"Accept-Encoding": {"gzip"}}, "GET", 304, fields{}, "", "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(test.method, "/", nil)
			r.Header = test.asked
			test.header["Content-Length"] = []string{strconv.Itoa(len(test.body))}
			in := ask(t, &origin{status: test.status, header: test.header, body: test.body}, edge.Rule{Compress: new(true)}, r)
			coding := strings.TrimPrefix(in.Header.Get("Content-Encoding"), "identity")
			vary := in.Header.Get("Vary") == "Accept-Encoding"
			if coding != test.coding || vary != test.vary {
				t.Errorf("got %q, Vary %t, want %q, %t", coding, vary, test.coding, test.vary)
			}
			if ours := coding == codingGzip || coding == codingZstd; ours != (in.ContentLength < 0) || ours == (in.Header["Content-Length"] != nil) {
				t.Errorf("%q has the length %d, %q", coding, in.ContentLength, in.Header["Content-Length"])
			}
			if got := expanded(t, coding, in.Body); got != test.body {
				t.Errorf("got %d bytes, want %d", len(got), len(test.body))
			}
		})
	}
}

func expanded(t *testing.T, coding string, body io.Reader) string {
	t.Helper()
	var err error
	switch coding {
	case codingGzip:
		body, err = gzip.NewReader(body)
	case codingZstd:
		body, err = zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	for mediaType, want := range map[string]bool{
		"text/html": true, "TEXT/CSS; charset=utf-8": true, "text/event-stream": true, "image/svg+xml": true, "application/dash+xml": true, "application/ld+json ;x": true,
		"application/vnd.apple.mpegurl": true, "application/wasm": true, "font/ttf": true,
		"": false, "video/mp4": false, "image/png": false, "font/woff2": false, "application/octet-stream": false, "application/zip": false, "texts/html": false,
	} {
		if got := text(mediaType); got != want {
			t.Errorf("%s: got %t", mediaType, got)
		}
	}
}

// Over real connections: a tag that was made weak validates at an origin that compares as
// HTTP says, parts are of what is not compressed, and all is closed in the end.
func TestOverConnections(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("a line of text\n", 10000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Query", r.URL.RawQuery)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
	}))
	defer server.Close()
	s := compiled(t, edge.Rule{Path: "/t*", Compress: new(true), TTL: new(60), Query: "none", Response: []edge.Field{{Name: "X-Query"}}})
	client := &http.Client{Transport: s.Transport(&http.Transport{DisableCompression: true}, NewCompressor(1))}
	defer client.CloseIdleConnections()
	get := func(fields ...string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/t?a=b", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		r, _ = s.Before(nil, r)
		in, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Body.Close()
		if got := in.Header["X-Query"]; !cmp.Equal(got, []string{""}) {
			t.Errorf("the origin was asked %q", got)
		}
		s.After(r, in.StatusCode, in.Header)
		if in.Header["X-Query"] != nil {
			t.Error("a field is there that was to be removed")
		}
		return in, expanded(t, in.Header.Get("Content-Encoding"), in.Body)
	}
	for accepted, coding := range map[string]string{"gzip, br": "gzip", "gzip, zstd": "zstd", "br": ""} {
		in, got := get("Accept-Encoding", accepted)
		tag := `"1"`
		if coding != "" {
			tag = `W/"1"`
		}
		want := http.Header{"Content-Type": {"text/plain"}, "Etag": {tag}, "Vary": {"Accept-Encoding"}, "Surrogate-Control": {"max-age=60"}, "Date": in.Header["Date"]}
		if coding == "" {
			want["Accept-Ranges"], want["Content-Length"] = []string{"bytes"}, []string{strconv.Itoa(len(body))}
		} else {
			want["Content-Encoding"] = []string{coding}
		}
		if diff := cmp.Diff(want, in.Header); diff != "" || got != body {
			t.Errorf("%s: %d bytes, %s", accepted, len(got), diff)
		}
		if in, _ = get("Accept-Encoding", accepted, "If-None-Match", tag); in.StatusCode != http.StatusNotModified || in.Header.Get("Etag") != tag {
			t.Errorf("%s: got %d, %s", accepted, in.StatusCode, in.Header.Get("Etag"))
		}
		if in, got = get("Accept-Encoding", accepted, "Range", "bytes=15-29"); in.StatusCode != http.StatusPartialContent || got != body[15:30] || in.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: got %d, %q", accepted, in.StatusCode, got)
		}
	}
}
