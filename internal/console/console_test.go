package console

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestPlayerPage(t *testing.T) {
	t.Parallel()
	assets := fstest.MapFS{
		"dist/player.html":          {Data: []byte("<!doctype html>")},
		"dist/static/player-1a.js":  {Data: []byte("0")},
		"dist/static/player-1a.css": {Data: []byte("a{}")},
		"dist/.gitkeep":             {},
	}
	h := player(assets, http.NotFoundHandler())
	tests := []struct {
		method, path string
		status       int
		contentType  string
		cache        string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/?engine=dash", 200, "text/html; charset=utf-8", "no-cache"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/static/player-1a.js", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/static/player-1a.css", 200, "text/css; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/static/", 404, "text/plain; charset=utf-8", "no-store"},
		{"GET", "/static/absent.js", 404, "text/plain; charset=utf-8", "no-store"},
		{"GET", "/.gitkeep", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/player.html", 404, "text/plain; charset=utf-8", ""},
		{"POST", "/", 405, "text/plain; charset=utf-8", ""},
	}
	for _, tt := range tests {
		res := get(h, tt.method, tt.path).Result()
		type answer struct {
			Status             int
			ContentType, Cache string
		}
		got := answer{res.StatusCode, res.Header.Get("Content-Type"), res.Header.Get("Cache-Control")}
		want := answer{tt.status, tt.contentType, tt.cache}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.method, tt.path, diff)
		}
		if tt.status == http.StatusOK && !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'self';") {
			t.Errorf("%s %s: Content-Security-Policy: got %q", tt.method, tt.path, res.Header.Get("Content-Security-Policy"))
		}
	}
}

func TestPlayerNotBuilt(t *testing.T) {
	t.Parallel()
	media := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	h := player(fstest.MapFS{"dist/.gitkeep": {}}, media)
	page := get(h, "GET", "/")
	if page.Code != http.StatusServiceUnavailable || !strings.Contains(page.Body.String(), "make build") {
		t.Errorf("page: got %d %q, want 503 and what to do", page.Code, page.Body)
	}
	if got := get(h, "GET", "/media/master.m3u8").Code; got != http.StatusOK {
		t.Errorf("media: got %d, want 200", got)
	}
}

// TestPlayerLeavesMediaAlone checks that media handlers get the connection's
// own ResponseWriter, through which files leave by sendfile.
func TestPlayerLeavesMediaAlone(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	var same bool
	var path string
	h := Player(http.HandlerFunc(func(got http.ResponseWriter, r *http.Request) {
		same, path = got == http.ResponseWriter(w), r.URL.Path
	}))
	h.ServeHTTP(w, httptest.NewRequest("GET", "/media/video/h264-720p/00001.m4s", nil))
	if !same || path != "/video/h264-720p/00001.m4s" {
		t.Errorf("media handler: same writer %v, path %q", same, path)
	}
}

// TestDistIsComplete checks a built program: what the page names is embedded,
// and nothing of it comes from elsewhere.
func TestDistIsComplete(t *testing.T) {
	t.Parallel()
	if !Built() {
		t.Skip("the web pages are not built: run `make build` to test them")
	}
	page, err := fs.ReadFile(dist, playerPage)
	if err != nil {
		t.Fatal(err)
	}
	h := Player(http.NotFoundHandler())
	for _, part := range strings.Split(string(page), `"`) {
		if strings.Contains(part, "://") {
			t.Errorf("the page names a remote address: %q", part)
		}
		if !strings.HasPrefix(part, "/static/") {
			continue
		}
		if got := get(h, "GET", part).Code; got != http.StatusOK {
			t.Errorf("GET %s: got %d, want 200", part, got)
		}
	}
}
