package cache

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What became of each request is known, whatever way it went, and is told nobody else.
func TestOutcome(t *testing.T) {
	t.Parallel()
	large := noise(3 * sliceSize)
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Count-For", "owner")
		w.Header().Set("Etag", `"1"`)
		switch r.URL.Path {
		case "/kept":
			w.Header().Set("Cache-Control", "max-age=60")
			io.WriteString(w, "hello")
		case "/large":
			w.Header().Set("Cache-Control", "max-age=60")
			http.ServeContent(w, r, "", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), strings.NewReader(large))
		case "/broken":
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "12345")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/gone":
			w.WriteHeader(http.StatusBadGateway)
		default:
			w.Header().Set("Cache-Control", "private")
			io.WriteString(w, "yours")
		}
	})
	site := *e.site
	site.CountFor = "Count-For"
	site.Finish = func(r *http.Request, status int, header http.Header) {
		header.Set("Finished", http.StatusText(status)+" "+r.Method)
	}
	outcomes := make(chan Outcome, 16)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var out Outcome
		defer func() { outcomes <- out }() // also when the connection is aborted
		e.Serve(w, r, &site, &out)
	}))
	defer front.Close()
	e.url = front.URL
	for _, test := range []struct {
		method, path string
		fields       []string
		want         Outcome
	}{
		{"GET", "/kept", nil, Outcome{200, 5, "miss", "owner"}},
		{"GET", "/kept", nil, Outcome{200, 5, "hit", "owner"}},
		{"HEAD", "/kept", nil, Outcome{200, 0, "hit", "owner"}},
		{"GET", "/kept", []string{"If-None-Match", `"1"`}, Outcome{304, 0, "hit", "owner"}},
		{"GET", "/kept", []string{"Range", "bytes=1-2"}, Outcome{206, 2, "hit", "owner"}},
		{"GET", "/kept", []string{"Range", "bytes=9-"}, Outcome{416, 0, "hit", "owner"}},
		{"GET", "/large", []string{"Range", "bytes=5-9"}, Outcome{206, 5, "miss", "owner"}},
		{"GET", "/large", []string{"Range", "bytes=5-9"}, Outcome{206, 5, "hit", "owner"}},
		{"GET", "/private", nil, Outcome{200, 5, "pass", "owner"}},
		{"POST", "/private", nil, Outcome{200, 5, "pass", "owner"}},
		{"GET", "/nothing", []string{"Cache-Control", "only-if-cached"}, Outcome{504, 71, "pass", ""}},
		{"GET", "/gone", nil, Outcome{502, 0, "miss", "owner"}},
		{"GET", "/broken", nil, Outcome{200, 5, "miss", "owner"}},
	} {
		got := e.do(test.method, test.path, "", test.fields...)
		if got.err != nil && test.path != "/broken" {
			t.Fatalf("%s %s: %v", test.method, test.path, got.err)
		}
		out := <-outcomes
		for len(outcomes) > 0 {
			<-outcomes // the client has asked again for what was aborted before it began
		}
		if test.want.Status == 504 {
			out.Bytes = test.want.Bytes // of our own words
		}
		if diff := cmp.Diff(test.want, out); diff != "" {
			t.Errorf("%s %s %v: (-want +got)\n%s", test.method, test.path, test.fields, diff)
		}
		if got.err == nil && (got.header.Get("Count-For") != "" || out.Status != 504 && got.header.Get("Finished") != http.StatusText(out.Status)+" "+test.method) {
			t.Errorf("%s %s: %v", test.method, test.path, got.header)
		}
		e.settle()
	}
}
