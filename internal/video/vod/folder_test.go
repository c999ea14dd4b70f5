package vod

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
)

// presentation makes a packaged folder, and beside it a file that must never be served.
func presentation(t *testing.T) (dir string, f *Folder) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "out")
	files := map[string]string{
		"../secret.txt":           "secret",
		"master.m3u8":             "#EXTM3U\n",
		"manifest.mpd":            "<MPD/>",
		"storyboard.vtt":          "WEBVTT\n",
		"report.json":             "{}",
		"index.html":              "<script>alert(1)</script>",
		"video/h264-720p/1.m4s":   "0123456789",
		"audio/en/init.mp4":       "ftyp",
		".liuyun/state.json":      "{}",
		"video/.hidden/1.m4s":     "hidden",
		"poster.jpg":              "jpeg",
		"video/h264-720p/i.mp4":   "ftyp",
		"mp4/h264-720p film.mp4":  "ftyp",
		"subtitles/zh/00001.webm": "?",
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return dir, f
}

func do(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "/", nil)
	r.URL.Path = path
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFolderTypesAndCaching(t *testing.T) {
	t.Parallel()
	_, f := presentation(t)
	const immutable, short = "public, max-age=31536000, immutable", "public, max-age=5"
	tests := []struct{ path, contentType, cache string }{
		{"/master.m3u8", "application/vnd.apple.mpegurl", short},
		{"/manifest.mpd", "application/dash+xml", short},
		{"/storyboard.vtt", "text/vtt; charset=utf-8", short},
		{"/report.json", "application/json", short},
		{"/video/h264-720p/1.m4s", "video/iso.segment", immutable},
		{"/video/h264-720p/i.mp4", "video/mp4", immutable},
		{"/mp4/h264-720p film.mp4", "video/mp4", immutable},
		{"/audio/en/init.mp4", "audio/mp4", immutable},
		{"/poster.jpg", "image/jpeg", immutable},
		{"/index.html", "application/octet-stream", short},
	}
	for _, tt := range tests {
		res := do(f, http.MethodGet, tt.path)
		got := []string{res.Status, res.Header.Get("Content-Type"), res.Header.Get("Cache-Control"), res.Header.Get("X-Content-Type-Options")}
		want := []string{"200 OK", tt.contentType, tt.cache, "nosniff"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("GET %s (-want +got):\n%s", tt.path, diff)
		}
		if res.Header.Get("Etag") == "" || res.Header.Get("Last-Modified") == "" {
			t.Errorf("GET %s: no validators in %v", tt.path, res.Header)
		}
	}
}

func TestFolderRevalidate(t *testing.T) {
	t.Parallel()
	_, f := presentation(t)
	f.Revalidate = true
	res := do(f, http.MethodGet, "/video/h264-720p/1.m4s")
	if got, want := res.Header.Get("Cache-Control"), "no-cache"; got != want {
		t.Errorf("Cache-Control: got %q, want %q", got, want)
	}
	again := do(f, http.MethodGet, "/video/h264-720p/1.m4s", "If-None-Match", res.Header.Get("Etag"))
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("second request: got %d, want 304", again.StatusCode)
	}
}

func TestFolderHidesTheRest(t *testing.T) {
	t.Parallel()
	dir, f := presentation(t)
	links := map[string]string{
		"out-of-it.m4s": "../secret.txt",
		"absolute.m4s":  filepath.Join(dir, "..", "secret.txt"),
		"loop.m4s":      "loop.m4s",
		"linked":        "../",
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.m4s"), 0o644); err != nil {
		t.Fatal(err)
	}
	paths := []string{
		"/", "", "/video", "/video/", "/video/h264-720p/", "/absent.m4s", "/master.m3u8/", "/master.m3u8/x",
		"/../secret.txt", "/video/../../secret.txt", "//secret.txt", "/video/../master.m3u8", "/./master.m3u8",
		"/.liuyun/state.json", "/.liuyun", "/video/.hidden/1.m4s", "/..", "/master.m3u8\x00.jpg",
		"/out-of-it.m4s", "/absolute.m4s", "/loop.m4s", "/linked/secret.txt", "/pipe.m4s",
		"/" + strings.Repeat("a/", 5000), "/" + strings.Repeat("a", 5000),
	}
	for _, path := range paths {
		res := do(f, http.MethodGet, path)
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %.40q: got %d, want 404", path, res.StatusCode)
		}
		if got := body(t, res); strings.Contains(got, "secret") {
			t.Errorf("GET %.40q: got %q", path, got)
		}
	}
}

func TestFolderRanges(t *testing.T) {
	t.Parallel()
	_, f := presentation(t)
	const path = "/video/h264-720p/1.m4s"
	tests := []struct {
		name, ask string
		status    int
		extent    string
		want      string
	}{
		{"first bytes", "bytes=0-3", http.StatusPartialContent, "bytes 0-3/10", "0123"},
		{"last bytes", "bytes=-2", http.StatusPartialContent, "bytes 8-9/10", "89"},
		{"from", "bytes=7-", http.StatusPartialContent, "bytes 7-9/10", "789"},
		{"past the end", "bytes=20-", http.StatusRequestedRangeNotSatisfiable, "bytes */10", "invalid range: failed to overlap\n"},
		{"more than the file", "bytes=0-9,0-9", http.StatusOK, "", "0123456789"},
		{"many", "bytes=0-0" + strings.Repeat(",1-1", maxRanges), http.StatusOK, "", "0123456789"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res := do(f, http.MethodGet, path, "Range", tt.ask)
			if res.StatusCode != tt.status || res.Header.Get("Content-Range") != tt.extent {
				t.Errorf("got %d %q, want %d %q", res.StatusCode, res.Header.Get("Content-Range"), tt.status, tt.extent)
			}
			if got := body(t, res); got != tt.want {
				t.Errorf("body: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFolderMethods(t *testing.T) {
	t.Parallel()
	_, f := presentation(t)
	head := do(f, http.MethodHead, "/video/h264-720p/1.m4s")
	if got := body(t, head); got != "" || head.Header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: got body %q, Content-Length %q", got, head.Header.Get("Content-Length"))
	}
	post := do(f, http.MethodPost, "/master.m3u8")
	if post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST: got %d, Allow %q", post.StatusCode, post.Header.Get("Allow"))
	}
}

func TestFolderCORS(t *testing.T) {
	t.Parallel()
	_, f := presentation(t)
	preflight := do(f, http.MethodOptions, "/video/h264-720p/1.m4s",
		"Origin", "https://example.org", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "range")
	if preflight.StatusCode != http.StatusNoContent || !strings.Contains(preflight.Header.Get("Access-Control-Allow-Headers"), "Range") {
		t.Errorf("preflight: got %d %v", preflight.StatusCode, preflight.Header)
	}
	for _, path := range []string{"/master.m3u8", "/absent"} {
		res := do(f, http.MethodGet, path, "Origin", "https://example.org")
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("GET %s: Access-Control-Allow-Origin: got %q, want *", path, got)
		}
		if got := res.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "Content-Range") {
			t.Errorf("GET %s: Access-Control-Expose-Headers: got %q", path, got)
		}
	}
}

// readFromRecorder notes what reaches the connection's ReadFrom, where the
// kernel copies files to sockets.
type readFromRecorder struct {
	*httptest.ResponseRecorder
	source io.Reader
}

func (r *readFromRecorder) ReadFrom(source io.Reader) (int64, error) {
	r.source = source
	return io.Copy(r.ResponseRecorder, source)
}

func TestFolderLeavesBySendfile(t *testing.T) {
	t.Parallel()
	_, f := presentation(t)
	for _, ask := range []string{"", "bytes=2-5"} {
		w := &readFromRecorder{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodGet, "/video/h264-720p/1.m4s", nil)
		if ask != "" {
			r.Header.Set("Range", ask)
		}
		f.ServeHTTP(w, r)
		limited, ok := w.source.(*io.LimitedReader)
		if !ok {
			t.Fatalf("range %q: ReadFrom got a %T, want *io.LimitedReader", ask, w.source)
		}
		if _, ok := limited.R.(*os.File); !ok {
			t.Errorf("range %q: ReadFrom reads a %T, want *os.File", ask, limited.R)
		}
	}
}

func TestNewFolderErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		dir  string
		want fault.Code
	}{
		{filepath.Join(dir, "absent"), fault.NotFound},
		{file, fault.Invalid},
		{dir, fault.Invalid},
	}
	for _, tt := range tests {
		f, err := NewFolder(tt.dir)
		if err == nil {
			f.Close()
		}
		if got := fault.CodeOf(err); got != tt.want {
			t.Errorf("NewFolder(%q): got %q (%v), want %q", filepath.Base(tt.dir), got, err, tt.want)
		}
	}
}

func FuzzFolderPath(f *testing.F) {
	dir := f.TempDir()
	inside := filepath.Join(dir, "in")
	for path, content := range map[string]string{
		filepath.Join(dir, "secret"):                  "secret",
		filepath.Join(inside, "master.m3u8"):          "#EXTM3U",
		filepath.Join(inside, ".liuyun", "secret"):    "secret",
		filepath.Join(inside, "video", ".x", "s.m4s"): "secret",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	folder, err := NewFolder(inside)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { folder.Close() })
	for _, seed := range []string{"/master.m3u8", "/../secret", "/.liuyun/secret", "/video/.x/s.m4s", "//", "/video/..\x00"} {
		f.Add(seed, "bytes=0-1,3-")
	}
	f.Fuzz(func(t *testing.T, path, ranges string) {
		res := do(folder, http.MethodGet, path, "Range", ranges)
		if strings.Contains(body(t, res), "secret") {
			t.Errorf("GET %q leaks what is hidden", path)
		}
	})
}
