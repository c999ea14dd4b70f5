package vod

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/ingest"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/blob/blobtest"
)

func newImporter(t *testing.T, c ImportConfig) (*Importer, *blob.FS) {
	t.Helper()
	store, err := blob.NewFS(t.TempDir(), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	i, err := NewImporter(store, c)
	if err != nil {
		t.Fatal(err)
	}
	i.pause = func(context.Context, time.Duration) error { return nil }
	t.Cleanup(i.client.CloseIdleConnections)
	return i, store
}

func localImports() ImportConfig {
	c := DefaultImportConfig()
	c.Allow = []string{"127.0.0.1"}
	return c
}

func storedBytes(t *testing.T, s blob.Store, name string) []byte {
	t.Helper()
	object, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func wantNothingStored(t *testing.T, s *blob.FS, object string) {
	t.Helper()
	if err := s.List(t.Context(), "", func(info blob.Info) error { return fmt.Errorf("%s is left", info.Name) }); err != nil {
		t.Error(err)
	}
	if have, err := s.Appended(t.Context(), object); have != 0 || err != nil {
		t.Errorf("%d bytes are left, %v", have, err)
	}
}

// The server breaks off after each 100 kB, and in the middle of it all it is another
// importer that goes on.
func TestImportResumes(t *testing.T) {
	t.Parallel()
	want := blobtest.Bytes(1<<20, 8)
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		if from := r.Header.Get("Range"); from != "" && r.Header.Get("If-Range") != `"one"` {
			t.Errorf("If-Range is %q", r.Header.Get("If-Range"))
		}
		http.ServeContent(&brittleWriter{ResponseWriter: w, left: 100_000, sent: &sent}, r, "", time.Time{}, bytes.NewReader(want))
	}))
	defer server.Close()
	first, store := newImporter(t, localImports())
	request := ingest.Request{Asset: "ast_1", URL: server.URL + "/films/%E7%94%B5.mp4?sig=1", Object: "assets/ast_1/source"}
	stopped, stop := context.WithCancelCause(t.Context())
	first.pause = func(ctx context.Context, _ time.Duration) error {
		if sent.Load() > 400_000 {
			stop(fmt.Errorf("killed"))
		}
		return context.Cause(ctx)
	}
	if _, err := first.fetch(stopped, request, func(float64) {}); err == nil {
		t.Fatal("it was not stopped")
	}
	second, err := NewImporter(store, localImports())
	if err != nil {
		t.Fatal(err)
	}
	defer second.client.CloseIdleConnections()
	second.pause = func(context.Context, time.Duration) error { return nil }
	got, err := second.fetch(t.Context(), request, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ingest.Result{Object: request.Object, Size: 1 << 20, Name: "电.mp4"}, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if !bytes.Equal(storedBytes(t, store, request.Object), want) {
		t.Error("other bytes were stored")
	}
	if sent.Load() > int64(len(want)+500_000) {
		t.Errorf("%d bytes were sent for %d: it began anew", sent.Load(), len(want))
	}
}

// A worker that was cut off still holds the object, and writes some more of it, when
// another one gets the job.
func TestImportGivesWay(t *testing.T) {
	t.Parallel()
	want := blobtest.Bytes(1<<20, 9)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(want))
	}))
	defer server.Close()
	i, store := newImporter(t, localImports())
	i.blob = &contested{FS: store, other: bytes.NewReader(want[:300_000])}
	request := ingest.Request{Asset: "ast_1", URL: server.URL + "/film.mp4", Object: "assets/ast_1/source"}
	if _, err := i.fetch(t.Context(), request, func(float64) {}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(storedBytes(t, store, request.Object), want) {
		t.Error("other bytes were stored")
	}
}

// contested is a store where another writer comes first.
type contested struct {
	*blob.FS
	other io.Reader
}

func (c *contested) Append(ctx context.Context, name string, offset int64, r io.Reader) (int64, error) {
	if c.other == nil {
		return c.FS.Append(ctx, name, offset, r)
	}
	_, err := c.FS.Append(ctx, name, offset, c.other)
	if c.other = nil; err != nil {
		return 0, err
	}
	return 0, fault.New(fault.Conflict, "another request is writing to %q", name)
}

// brittleWriter breaks the connection after some bytes.
type brittleWriter struct {
	http.ResponseWriter
	left int
	sent *atomic.Int64
}

func (b *brittleWriter) Write(p []byte) (int, error) {
	if b.left == 0 {
		panic(http.ErrAbortHandler)
	}
	p = p[:min(len(p), b.left)]
	b.left -= len(p)
	n, err := b.ResponseWriter.Write(p)
	b.sent.Add(int64(n))
	b.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// A file that changes between two connections is fetched from its beginning.
func TestImportOfChangedFile(t *testing.T) {
	t.Parallel()
	versions := [][]byte{blobtest.Bytes(300_000, 1), blobtest.Bytes(250_000, 2)}
	asked := 0
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		version := min(asked-1, 1)
		w.Header().Set("ETag", strconv.Quote(strconv.Itoa(version)))
		left := 1 << 30
		if asked == 1 {
			left = 100_000
		}
		http.ServeContent(&brittleWriter{ResponseWriter: w, left: left, sent: &sent}, r, "", time.Time{}, bytes.NewReader(versions[version]))
	}))
	defer server.Close()
	i, store := newImporter(t, localImports())
	if _, err := i.fetch(t.Context(), ingest.Request{Asset: "ast_1", URL: server.URL, Object: "x/source"}, func(float64) {}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(storedBytes(t, store, "x/source"), versions[1]) {
		t.Error("two versions are mixed")
	}
}

func TestImportFaults(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	status := func(path string, code int) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	status("/404", 404)
	status("/403", 403)
	status("/503", 503)
	status("/400", 400)
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	mux.HandleFunc("/inside", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "2000") })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 100)); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c := localImports()
	c.MaxSize = 1000
	tests := []struct {
		url  string
		want fault.Code
	}{
		{server.URL + "/404", fault.NotFound},
		{server.URL + "/403", fault.Forbidden},
		{server.URL + "/503", fault.Unavailable},
		{server.URL + "/400", fault.Invalid},
		{server.URL + "/loop", fault.Invalid},
		{server.URL + "/file", fault.Invalid},
		{server.URL + "/inside", fault.Forbidden},
		{server.URL + "/large", fault.Limit},
		{server.URL + "/endless", fault.Limit},
		{"http://127.0.0.2:1/", fault.Forbidden},
		{"http://127.0.0.1:1/", fault.Unavailable},
		{"ftp://127.0.0.1/x", fault.Invalid},
		{"http://u:p@127.0.0.1/x", fault.Invalid},
		{"//127.0.0.1/x", fault.Invalid},
		{"http:///x", fault.Invalid},
	}
	for _, test := range tests {
		i, store := newImporter(t, c)
		_, err := i.fetch(t.Context(), ingest.Request{Asset: "ast_1", URL: test.url, Object: "x/source"}, func(float64) {})
		if got := fault.CodeOf(err); got != test.want {
			t.Errorf("%s: got %s (%v), want %s", test.url, got, err, test.want)
		}
		wantNothingStored(t, store, "x/source")
	}
}

// A server that falls silent is called again.
func TestImportStalls(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("ETag", `"1"`)
		if asked > 1 {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("hello"))
			return
		}
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "he")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer server.Close()
	c := localImports()
	c.Stall = 50 * time.Millisecond
	i, store := newImporter(t, c)
	if _, err := i.fetch(t.Context(), ingest.Request{Asset: "ast_1", URL: server.URL, Object: "x/source"}, func(float64) {}); err != nil {
		t.Fatal(err)
	}
	if got := string(storedBytes(t, store, "x/source")); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 0-9/10", "bytes 5-9/*", "bytes */10", "", "bytes 9-5/10", "bytes 0-9/9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, total, ok := parseContentRange(text)
		if ok && (first < 0 || total >= 0 && first >= total) {
			t.Errorf("%q: %d of %d", text, first, total)
		}
	})
}

func FuzzImportURL(f *testing.F) {
	for _, seed := range []string{"http://a/b", "https://[::1]:80/", "http://u@a", "file:///x", "http:\\\\a", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if CheckImportURL(text) != nil {
			return
		}
		request, err := http.NewRequest(http.MethodGet, text, nil)
		if err != nil || request.URL.Hostname() == "" || request.URL.User != nil {
			t.Errorf("%q passed, and makes %v, %v", text, request, err)
		}
		fileName(text)
	})
}
