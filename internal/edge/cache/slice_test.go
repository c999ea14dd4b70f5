package cache

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// film is an origin that serves parts of a large file, and counts the bytes it sends.
type film struct {
	body string
	etag atomic.Pointer[string]
	sent atomic.Int64
}

func newFilm(size int, etag string) *film {
	f := &film{body: noise(size)}
	f.etag.Store(&etag)
	return f
}

func (f *film) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		return
	}
	w.Header().Set("Cache-Control", "max-age=600")
	if etag := *f.etag.Load(); etag != "" {
		w.Header().Set("Etag", etag)
	}
	out := &countedWriter{ResponseWriter: w, n: &f.sent}
	http.ServeContent(out, r, "film.mp4", time.Time{}, strings.NewReader(f.body))
}

type countedWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// Who wants a part of a film waits for that part, not for all before it.
func TestSlices(t *testing.T) {
	t.Parallel()
	o := inFolder(t)
	f := newFilm(9<<20+5, `"v1"`)
	e := newEdgeOf(t, o, Policy{}, f.ServeHTTP)
	size := len(f.body)
	e.want(e.get("/film.mp4", "Range", "bytes=7000000-7000099"), 206, f.body[7000000:7000100], "fwd=uri-miss; fwd-status=206; stored")
	e.settle()
	if sent := f.sent.Load(); sent != sliceSize {
		t.Errorf("the origin sent %d bytes for a hundred", sent)
	}
	got := e.get("/film.mp4", "Range", "bytes=7000050-7000059")
	e.want(got, 206, f.body[7000050:7000060], "hit; ttl=")
	if says := got.header.Get("Content-Range"); says != "bytes 7000050-7000059/9437189" || got.header.Get("Content-Length") != "10" {
		t.Errorf("Content-Range %q, %s bytes", says, got.header.Get("Content-Length"))
	}
	e.want(e.get("/film.mp4", "Range", "bytes=-3"), 206, f.body[size-3:], "fwd=uri-miss")
	e.want(e.get("/film.mp4", "Range", "bytes=3000000-"), 206, f.body[3000000:], "fwd=uri-miss")
	e.settle()
	before := f.sent.Load()
	if before != int64(size) {
		t.Errorf("the origin sent %d bytes of %d", before, size)
	}
	e.want(e.get("/film.mp4", "Range", "bytes=0-"), 206, f.body, "hit")
	e.want(e.get("/film.mp4", "Range", "bytes=5-", "If-None-Match", `"v1"`), 304, "", "hit")
	e.want(e.get("/film.mp4", "Range", "bytes=5-9", "If-Range", `"v1"`), 206, f.body[5:10], "hit")
	if sent := f.sent.Load(); sent != before {
		t.Errorf("the origin sent %d bytes more", sent-before)
	}
	e.want(e.get("/film.mp4", "Range", "bytes=5-9", "If-Range", `"v0"`), 200, f.body, "fwd=request")
	// What the origin has not is no reason to have it asked for what it has.
	if got := e.get("/film.mp4", "Range", "bytes=99999999-"); got.status != 416 {
		t.Errorf("behind the end: status %d", got.status)
	}
	e.want(e.get("/film.mp4", "Range", "bytes=5-9"), 206, f.body[5:10], "hit")
	e = e.again(t, o)
	e.want(e.get("/film.mp4", "Range", "bytes=2097150-4194306"), 206, f.body[2097150:4194307], "hit")
	e.do(http.MethodPost, "/film.mp4", "x")
	e.want(e.get("/film.mp4", "Range", "bytes=0-1"), 206, "ne", "fwd=uri-miss")
}

// What is smaller than a slice is stored whole, and so is what an origin without parts
// sends.
func TestSmallAndWholeAnswers(t *testing.T) {
	t.Parallel()
	small := newFilm(100_000, `"v1"`)
	e := newEdge(t, Policy{}, small.ServeHTTP)
	e.want(e.get("/a", "Range", "bytes=100-"), 206, small.body[100:], "fwd=uri-miss")
	e.want(e.later("/a"), 200, small.body, "hit")
	e.wantAsked(1)
	e.answers(says(small.body, "Cache-Control", "max-age=60"))
	// How much there is may not be known yet, and then all is the answer.
	if got := e.get("/b", "Range", "bytes=100-"); got.body != small.body && got.body != small.body[100:] {
		t.Errorf("status %d, %d bytes", got.status, len(got.body))
	}
	e.settle()
	e.want(e.get("/b", "Range", "bytes=100-"), 206, small.body[100:], "hit")
	e.wantAsked(2)
}

// Without something that tells one version from another slices could be of two.
func TestNoSlices(t *testing.T) {
	t.Parallel()
	for name, etag := range map[string]string{"no version": "", "a weak one": `W/"a"`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFilm(5<<20, etag)
			e := newEdge(t, Policy{}, f.ServeHTTP)
			for range 2 {
				e.want(e.get("/a", "Range", "bytes=3000000-3000009"), 206, f.body[3000000:3000010], "fwd=uri-miss; fwd-status=206")
			}
			e.wantAsked(3) // once for a slice
			e.want(e.get("/b", "Range", "bytes=-9"), 206, f.body[len(f.body)-9:], "fwd=uri-miss")
		})
	}
}

// A film that changes while somebody reads it breaks off, and is then the new one.
func TestSlicesOfTwoVersions(t *testing.T) {
	t.Parallel()
	f := newFilm(5<<20, `"v1"`)
	e := newEdge(t, Policy{}, f.ServeHTTP)
	e.want(e.get("/a", "Range", "bytes=0-9"), 206, f.body[:10], "fwd=uri-miss")
	v2 := `"v2"`
	f.etag.Store(&v2)
	if got := e.get("/a", "Range", "bytes=0-5000000"); got.err == nil || len(got.body) > sliceSize {
		t.Errorf("%d bytes of two versions were taken for one: %v", len(got.body), got.err)
	}
	got := e.get("/a", "Range", "bytes=0-5000000")
	e.want(got, 206, f.body[:5000001], "fwd=uri-miss")
	if etag := got.header.Get("Etag"); etag != v2 {
		t.Errorf("Etag %s", etag)
	}
}

// An origin that answers a slice with nonsense is asked by each for himself.
func TestWrongSlices(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"another part": "bytes 5-14/5000000", "of unknown size": "bytes 0-9/*", "too short": "bytes 0-9/5000000",
		"turned round": "bytes 9-0/10", "nothing": "", "overflowing": "bytes 0-9/99999999999999999999999",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, Policy{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				w.Header().Set("Etag", `"a"`)
				w.Header().Set("Content-Range", says)
				w.WriteHeader(http.StatusPartialContent)
				io.WriteString(w, "0123456789")
			})
			e.want(e.get("/a", "Range", "bytes=0-9"), 206, "0123456789", "fwd=uri-miss; fwd-status=206")
		})
	}
}
