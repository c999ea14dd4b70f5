package cache

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"liuyun/internal/testkit"
)

// edge is a cache in front of an origin of the test's.
type edge struct {
	*Cache
	t      *testing.T
	url    string
	site   *Site
	asked  atomic.Int64 // requests that came to the origin
	origin atomic.Pointer[http.HandlerFunc]
	close  func() // the cache, and what is in front of it
}

func newEdge(t *testing.T, p Policy, origin http.HandlerFunc) *edge {
	t.Helper()
	return newEdgeOf(t, Options{Memory: 16 << 20, Disk: 64 << 20}, p, origin)
}

func newEdgeOf(t *testing.T, o Options, p Policy, origin http.HandlerFunc) *edge {
	t.Helper()
	o.Name, o.Room, o.Log = "liuyun", func(int64) error { return nil }, slog.New(slog.DiscardHandler)
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Folder == "" {
		o.Folder = t.TempDir()
	}
	if o.Share == 0 {
		o.Share = 100
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{Cache: c, t: t}
	e.answers(origin)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked.Add(1)
		(*e.origin.Load())(w, r)
	}))
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := transportOf(o.Patience)
	e.site = &Site{Name: "test", Origin: address, Transport: transport, Policy: p}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.Serve(w, r, e.site, new(Outcome)) }))
	e.url = front.URL
	e.close = sync.OnceFunc(func() {
		front.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		e.close()
		transport.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return e
}

// answers sets what the origin answers from now on.
func (e *edge) answers(origin http.HandlerFunc) { e.origin.Store(&origin) }

// siteHost is what clients know the edge by.
const siteHost = "site.test"

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// get asks the edge, with these fields.
func (e *edge) get(path string, fields ...string) answer {
	e.t.Helper()
	return e.do(http.MethodGet, path, "", fields...)
}

func (e *edge) do(method, path, body string, fields ...string) answer {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Host = siteHost
	for i := 0; i < len(fields); i += 2 {
		if r.Header.Add(fields[i], fields[i+1]); fields[i] == "Host" {
			r.Host = fields[i+1]
		}
	}
	in, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return answer{err: err}
	}
	defer in.Body.Close()
	text, err := io.ReadAll(in.Body)
	return answer{in.StatusCode, in.Header, string(text), err}
}

// want fails the test unless an answer has that status and body, and Cache-Status
// begins so.
func (e *edge) want(got answer, status int, body, cacheStatus string) {
	e.t.Helper()
	if got.err != nil {
		e.t.Fatal(got.err)
	}
	if got.status != status || got.body != body {
		e.t.Errorf("status %d, %q; want %d, %q", got.status, short(got.body), status, short(body))
	}
	if says := got.header.Get("Cache-Status"); !strings.HasPrefix(says, "liuyun; "+cacheStatus) {
		e.t.Errorf("Cache-Status %q; want %q", says, cacheStatus)
	}
}

func short(text string) string {
	if len(text) > 60 {
		return text[:60] + "…"
	}
	return text
}

// wantAsked fails the test unless so many requests came to the origin.
func (e *edge) wantAsked(n int64) {
	e.t.Helper()
	if got := e.asked.Load(); got != n {
		e.t.Errorf("the origin was asked %d times, not %d", got, n)
	}
}

// settle waits until nothing is fetched any more.
func (e *edge) settle() {
	e.t.Helper()
	testkit.Until(e.t, 20*time.Second, "the origin is asked for nothing", func() bool { return e.flying.Load() == 0 })
}

// says is an origin that answers the same again and again.
func says(body string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		io.WriteString(w, body)
	}
}

// noise is a body that is different everywhere.
func noise(size int) string {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return string(b)
}

func TestServesWhatIsStored(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"small": "hello", "empty": "", "large": noise(3<<20 + 17)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, Policy{}, says(body, "Cache-Control", "max-age=60", "Etag", `"a"`, "Connection", "Secret", "Secret", "1"))
			e.want(e.get("/a?b"), 200, body, "fwd=uri-miss; fwd-status=200; stored")
			got := e.get("/a?b")
			e.want(got, 200, body, "hit; ttl=")
			if got.header.Get("Age") == "" || got.header.Get("Secret") != "" {
				t.Errorf("the head is %v", got.header)
			}
			e.want(e.get("/a?b", "If-None-Match", `W/"a"`), 304, "", "hit")
			head := e.do(http.MethodHead, "/a?b", "")
			e.want(head, 200, "", "hit")
			if len(body) > 4 {
				e.want(e.get("/a?b", "Range", "bytes=2-3"), 206, body[2:4], "hit")
				e.want(e.get("/a?b", "Range", "bytes=-2"), 206, body[len(body)-2:], "hit")
			}
			e.want(e.get("/a?b", "Range", "bytes=99999999-"), 416, "", "hit")
			e.wantAsked(1)
			e.want(e.get("/a?c"), 200, body, "fwd=uri-miss")
			e.wantAsked(2)
		})
	}
}

// All who ask while it comes share one request, each gets its first byte when that has
// come, and one that leaves takes nothing from the others.
func TestFlightIsShared(t *testing.T) {
	t.Parallel()
	body := noise(1 << 20)
	parts := make(chan string)
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Length", "1048576")
		for part := range parts {
			io.WriteString(w, part)
			http.NewResponseController(w).Flush()
		}
	})
	leaving, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		r, _ := http.NewRequestWithContext(leaving, http.MethodGet, e.url+"/live", nil)
		r.Host = siteHost
		in, err := http.DefaultClient.Do(r)
		if err == nil {
			defer in.Body.Close()
			_, err = io.ReadFull(in.Body, make([]byte, 10))
		}
		first <- err
		if err == nil {
			_, _ = io.Copy(io.Discard, in.Body) // until it leaves
		}
	}()
	parts <- body[:100]
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	leave()
	const others = 20
	var group sync.WaitGroup
	begun := make(chan struct{}, others)
	for i := range others {
		group.Go(func() {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+"/live", nil)
			r.Host = siteHost
			want := body
			if i%2 == 1 {
				r.Header.Set("Range", "bytes=50-")
				want = body[50:]
			}
			in, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer in.Body.Close()
			head := make([]byte, 50)
			if _, err := io.ReadFull(in.Body, head); err != nil {
				t.Error(err)
			}
			begun <- struct{}{}
			rest, err := io.ReadAll(in.Body)
			if err != nil || string(head)+string(rest) != want {
				t.Errorf("%d bytes are not those of the origin: %v", len(head)+len(rest), err)
			}
		})
	}
	for range others {
		<-begun // though most of it is not made yet
	}
	for at := 100; at < len(body); at += 65536 {
		parts <- body[at:min(at+65536, len(body))]
	}
	close(parts)
	group.Wait()
	e.want(e.get("/live"), 200, body, "hit")
	e.wantAsked(1)
}

// What breaks off is nowhere taken for whole, and not stored.
func TestBrokenAnswer(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 1000, "large": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := noise(size)
			whole := atomic.Bool{}
			e := newEdge(t, Policy{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				io.WriteString(w, body[:size/2])
				http.NewResponseController(w).Flush()
				if !whole.Load() {
					panic(http.ErrAbortHandler)
				}
				io.WriteString(w, body[size/2:])
			})
			if got := e.get("/a"); got.err == nil {
				t.Errorf("%d bytes of %d were taken for all", len(got.body), size)
			}
			whole.Store(true)
			e.want(e.get("/a"), 200, body, "fwd=uri-miss")
			e.want(e.get("/a"), 200, body, "hit")
			e.wantAsked(2)
		})
	}
}

// What is for one viewer is given to nobody else, and its viewers do not wait for each
// other.
func TestPrivate(t *testing.T) {
	t.Parallel()
	const viewers = 5
	var together sync.WaitGroup // all of them are at the origin
	together.Add(viewers)
	e := newEdge(t, Policy{DefaultTTL: time.Hour}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private")
		io.WriteString(w, r.Header.Get("Cookie"))
	})
	e.want(e.get("/a", "Cookie", "me"), 200, "me", "fwd=uri-miss")
	e.want(e.get("/a", "Cookie", "you"), 200, "you", "fwd=uri-miss")
	e.answers(func(w http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait()
		w.Header().Set("Cache-Control", "private")
		io.WriteString(w, r.Header.Get("Cookie"))
	})
	var group sync.WaitGroup
	for i := range viewers {
		group.Go(func() {
			me := string(rune('a' + i))
			if got := e.get("/a", "Cookie", me); got.body != me {
				t.Errorf("%q got what is for %q", me, got.body)
			}
		})
	}
	group.Wait()
}

func TestVary(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Foo")
		io.WriteString(w, r.Header.Get("Foo"))
	})
	e.want(e.get("/a", "Foo", "1"), 200, "1", "fwd=uri-miss")
	e.want(e.get("/a", "Foo", "2"), 200, "2", "fwd=vary-miss")
	e.want(e.get("/a"), 200, "", "fwd=vary-miss")
	for range 2 {
		e.want(e.get("/a", "Foo", "1", "Bar", "5"), 200, "1", "hit")
		e.want(e.get("/a", "Foo", "2"), 200, "2", "hit")
		e.want(e.get("/a"), 200, "", "hit")
	}
	e.wantAsked(3)
}

// Those who wait for an answer that turns out to be for others get their own.
func TestVaryInFlight(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{})
	var once sync.Once
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { <-waiting })
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Foo")
		io.WriteString(w, r.Header.Get("Foo"))
	})
	var group sync.WaitGroup
	for _, foo := range []string{"1", "2", "1", "3"} {
		group.Go(func() {
			if got := e.get("/a", "Foo", foo); got.body != foo {
				t.Errorf("%q got the answer for %q", foo, got.body)
			}
		})
	}
	testkit.Until(t, 10*time.Second, "all wait for the first answer", func() bool { return e.counts.waiting.Load() == 4 })
	close(waiting)
	group.Wait()
}

func TestValidation(t *testing.T) {
	t.Parallel()
	now := atomic.Int64{}
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Etag", `"v1"`)
		w.Header().Set("X-Time", time.Unix(now.Add(1), 0).UTC().String())
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, "body")
	})
	first := e.get("/a")
	e.want(first, 200, "body", "fwd=uri-miss")
	second := e.get("/a")
	e.want(second, 200, "body", "fwd=stale; fwd-status=304; stored")
	if first.header.Get("X-Time") == second.header.Get("X-Time") {
		t.Error("the head is not that of the 304")
	}
	e.want(e.get("/a", "If-None-Match", `"v1"`), 304, "", "fwd=stale; fwd-status=304; stored")
	e.want(e.get("/a", "If-None-Match", `"v0"`), 200, "body", "fwd=stale; fwd-status=304; stored")
	e.wantAsked(4)
}

func TestStaleWhileRevalidate(t *testing.T) {
	t.Parallel()
	version := atomic.Int64{}
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=0, stale-while-revalidate=60")
		io.WriteString(w, string(rune('0'+version.Add(1))))
	})
	e.want(e.get("/a"), 200, "1", "fwd=uri-miss")
	e.want(e.get("/a"), 200, "1", "hit; ttl=")
	testkit.Until(t, 10*time.Second, "it is refreshed", func() bool { return e.get("/a").body != "1" })
}

func TestOriginFails(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{StaleIfError: time.Hour}, says("good", "Cache-Control", "max-age=0", "Etag", `"a"`))
	strict := func(w http.ResponseWriter, r *http.Request) {
		says("strict", "Cache-Control", "max-age=0, must-revalidate", "Etag", `"a"`)(w, r)
	}
	e.want(e.get("/a"), 200, "good", "fwd=uri-miss")
	e.answers(strict)
	e.want(e.get("/b"), 200, "strict", "fwd=uri-miss")
	for name, fails := range map[string]http.HandlerFunc{
		"closes": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"503":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) },
	} {
		e.answers(fails)
		got := e.get("/a")
		e.want(got, 200, "good", "hit; ttl=")
		if says := got.header.Get("Cache-Status"); !strings.HasSuffix(says, "; detail=stale-if-error") {
			t.Errorf("Cache-Status %q", says)
		}
		if got := e.get("/b"); got.status != 502 && got.status != 503 {
			t.Errorf("%s: what may not be used stale is answered with %d", name, got.status)
		}
		if got := e.get("/c"); got.status != 502 && got.status != 503 {
			t.Errorf("%s: what is not stored is answered with %d", name, got.status)
		}
	}
}

func TestInvalidation(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			w.Header().Set("Cache-Control", "max-age=60")
		case r.URL.Path == "/fails":
			w.WriteHeader(500)
			return
		default:
			w.Header().Set("Location", "/b")
			w.Header().Set("Content-Location", "http://elsewhere.example/c")
			w.WriteHeader(201)
		}
		io.WriteString(w, r.URL.Path)
	})
	for _, path := range []string{"/a", "/b", "/c", "/fails"} {
		e.want(e.get(path), 200, path, "fwd=uri-miss")
	}
	e.want(e.do(http.MethodPost, "/a", "x"), 201, "/a", "fwd=method")
	e.want(e.do(http.MethodPost, "/fails", "x"), 500, "", "fwd=method")
	e.want(e.get("/a"), 200, "/a", "fwd=uri-miss")
	e.want(e.get("/b"), 200, "/b", "fwd=uri-miss")
	e.want(e.get("/c"), 200, "/c", "hit")
	e.want(e.get("/fails"), 200, "/fails", "hit")
}

// The room is kept to, and what is asked for again and again stays.
func TestEviction(t *testing.T) {
	t.Parallel()
	const size = 100 << 10
	e := newEdgeOf(t, Options{Memory: 1 << 20, Disk: 4 << 20}, Policy{}, says(noise(size), "Cache-Control", "max-age=600"))
	for n := range 200 {
		for range 3 {
			e.get("/favourite")
		}
		e.get("/other?" + string(rune('a'+n%26)) + string(rune('a'+n/26)))
		if _, used := e.disk.load(); used > 4<<20 {
			t.Fatalf("%d bytes of 4 MiB are taken", used)
		}
	}
	e.want(e.get("/favourite"), 200, noise(size), "hit")
	if asked := e.asked.Load(); asked > 203 {
		t.Errorf("the favourite was asked for %d times", asked-200)
	}
}

// One that takes nothing holds up nobody.
func TestSlowViewer(t *testing.T) {
	t.Parallel()
	body := noise(8 << 20)
	e := newEdge(t, Policy{}, says(body, "Cache-Control", "max-age=60"))
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+"/a", nil)
	r.Host = siteHost
	slow, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Body.Close()
	e.want(e.get("/a"), 200, body, "")
	rest, err := io.ReadAll(slow.Body)
	if err != nil || !bytes.Equal(rest, []byte(body)) {
		t.Errorf("the slow one got %d bytes: %v", len(rest), err)
	}
	e.wantAsked(1)
}

// fileWriter notes that a file is handed to the connection, which has the kernel send it.
type fileWriter struct {
	http.ResponseWriter
	files *atomic.Int64
}

func (w *fileWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *fileWriter) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if _, ok := limited.R.(*os.File); ok {
			w.files.Add(1)
		}
	}
	return w.ResponseWriter.(io.ReaderFrom).ReadFrom(r)
}

// A large object goes from its file to the connection without a copy: nothing between
// takes away the connection's io.ReaderFrom.
func TestKernelSends(t *testing.T) {
	t.Parallel()
	body := noise(1 << 20)
	e := newEdge(t, Policy{}, says(body, "Cache-Control", "max-age=60"))
	e.want(e.get("/a"), 200, body, "fwd=uri-miss")
	e.settle()
	var files atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.Serve(&fileWriter{w, &files}, r, &Site{Name: "test"}, new(Outcome))
	}))
	defer front.Close()
	e.url = front.URL
	e.want(e.get("/a"), 200, body, "hit")
	e.want(e.get("/a", "Range", "bytes=5-200000"), 206, body[5:200001], "hit")
	if n := files.Load(); n != 2 {
		t.Errorf("the kernel was given a file %d times, not twice", n)
	}
}

// rawOrigin answers each connection with a text as it is.
func rawOrigin(t *testing.T, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(c, text)
		c.Close()
	}
}

// A status that is none of an answer is none here, by whichever way it came.
func TestNoStatus(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"101 Switching Protocols", "099 None", "000 None"} {
		e := newEdge(t, Policy{}, rawOrigin(t, "HTTP/1.1 "+line+"\r\nSet-Cookie: a=b\r\nCache-Control: max-age=60\r\n\r\n"))
		if got := e.get("/a"); got.status != http.StatusBadGateway || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %v, %v", line, got, got.header)
		}
		if got := e.do(http.MethodPost, "/a", "x"); got.status != http.StatusBadGateway || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s, passed on: %v, %v", line, got, got.header)
		}
	}
}

// Nobody guesses what something is of which the origin does not say it.
func TestUntyped(t *testing.T) {
	t.Parallel()
	for _, control := range []string{"max-age=60", "no-store"} {
		e := newEdge(t, Policy{}, rawOrigin(t, "HTTP/1.1 200 OK\r\nCache-Control: "+control+"\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"))
		for _, method := range []string{http.MethodGet, http.MethodGet, http.MethodPost} {
			if got := e.do(method, "/a", ""); got.status != http.StatusOK || got.header["Content-Type"] != nil {
				t.Errorf("%s, %s: %v, %v", control, method, got, got.header)
			}
		}
	}
}

// An origin that begins no answer, or stops in the middle of one, is given up.
func TestStalledOrigin(t *testing.T) {
	t.Parallel()
	e := newEdgeOf(t, Options{Memory: 16 << 20, Disk: 64 << 20, Patience: 100 * time.Millisecond}, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "12345")
			http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	if got := e.get("/none"); got.status != http.StatusGatewayTimeout {
		t.Errorf("no answer: status %d", got.status)
	}
	if got := e.get("/half"); got.err == nil {
		t.Errorf("half an answer was taken for all: %q", got.body)
	}
}

// A WebSocket goes through; a change to anything else does not.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			io.WriteString(w, "plain")
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		io.WriteString(conn, "echo "+line)
	})
	for protocol, want := range map[string]string{"websocket": "HTTP/1.1 101 Switching Protocols", "h2c": "HTTP/1.1 200 OK"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: "+siteHost+"\r\nConnection: Upgrade\r\nUpgrade: "+protocol+"\r\nIf-Match: x\r\n\r\n")
		in := bufio.NewReader(conn)
		status, err := in.ReadString('\n')
		if got := strings.TrimSpace(status); got != want {
			t.Errorf("%s: %q, %v", protocol, got, err)
		}
		if protocol != "websocket" {
			continue
		}
		io.WriteString(conn, "hello\n")
		for line := ""; line != "echo hello\n"; {
			if line, err = in.ReadString('\n'); err != nil {
				t.Fatalf("%s: %v", protocol, err)
			}
		}
	}
}

func TestLoop(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, says("x", "Cache-Control", "max-age=60"))
	if got := e.get("/a", "Cdn-Loop", "other, liuyun;node="+e.node); got.status != http.StatusLoopDetected {
		t.Errorf("status %d", got.status)
	}
	e.wantAsked(0)
	e.want(e.get("/a", "Cdn-Loop", "liuyun; node=another"), 200, "x", "fwd=uri-miss")
}

// A client cannot have others get what he makes the origin say.
func TestPoison(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, r.URL.Path+" of "+r.Header.Get("X-Forwarded-Host")+r.Header.Get("X-Host")+r.Header.Get("Forwarded")+r.Header.Get("X-Original-Url"))
	})
	e.want(e.get("/a", "X-Forwarded-Host", "evil.test", "X-Host", "evil.test", "Forwarded", "host=evil.test", "X-Original-Url", "/b"), 200, "/a of site.test", "fwd=uri-miss")
	e.want(e.get("/a"), 200, "/a of site.test", "hit")
	e.want(e.get("/b", "Host", "evil.test"), 200, "/b of evil.test", "fwd=uri-miss")
	e.want(e.get("/b"), 200, "/b of site.test", "fwd=uri-miss")
}

// What a client asks for itself changes nothing for others.
func TestOneClientForAll(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Accept-Language")
		io.WriteString(w, r.Header.Get("Accept-Language"))
	})
	e.want(e.get("/a", "Cache-Control", "no-store"), 200, "", "fwd=uri-miss; fwd-status=200")
	e.want(e.get("/a", "Accept-Language", "de"), 200, "de", "fwd=uri-miss; fwd-status=200; stored")
	e.want(e.get("/a", "Accept-Language", "en", "Connection", "Accept-Language"), 200, "", "fwd=vary-miss")
	e.want(e.get("/a", "Accept-Language", "en"), 200, "en", "fwd=vary-miss")
	e.want(e.get("/b", "Authorization", "me"), 200, "", "fwd=uri-miss; fwd-status=200")
	e.want(e.get("/b"), 200, "", "fwd=uri-miss; fwd-status=200; stored")
}

// A failure that may be stored does not take the place of what is worth more, and what a
// 304 says of one client is not told others.
func TestWorseAnswers(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{StaleIfError: time.Hour}, says("good", "Cache-Control", "max-age=0", "Etag", `"a"`))
	e.want(e.get("/a"), 200, "good", "fwd=uri-miss")
	e.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	for range 2 {
		got := e.get("/a")
		e.want(got, 200, "good", "hit; ttl=")
		if says := got.header.Get("Cache-Status"); !strings.HasSuffix(says, "; detail=stale-if-error") {
			t.Errorf("Cache-Status %q", says)
		}
	}
	e.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "session=1")
		w.WriteHeader(http.StatusNotModified)
	})
	got := e.get("/a")
	e.want(got, 200, "good", "fwd=stale; fwd-status=304")
	if cookie := got.header.Get("Set-Cookie"); cookie != "" {
		t.Errorf("everybody gets the cookie %q", cookie)
	}
	e.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private")
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, "mine")
	})
	e.want(e.get("/a"), 200, "mine", "fwd=uri-miss")
}

// Targets that an origin would read as another one are refused.
func TestSane(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		method, host, target string
		want                 bool
	}{
		{"GET", "site.test", "/a?b", true}, {"GET", "site.test:80", "/", true}, {"GET", "[::1]:80", "/", true},
		{"OPTIONS", "site.test", "*", true}, {"GET", "site.test", "http://site.test/a", true},
		{"GET", "site.test/login", "/", false}, {"GET", "a@b", "/", false}, {"GET", "a b", "/", false},
		{"GET", "site.test", "x://h", false}, {"GET", "site.test", "x:http://o/evil", false}, {"GET", "site.test", "*", false},
		{"CONNECT", "site.test", "/", false},
	} {
		u, err := url.ParseRequestURI(test.target)
		if err != nil {
			t.Fatal(err)
		}
		if got := sane(&http.Request{Method: test.method, Host: test.host, URL: u}); got != test.want {
			t.Errorf("%s %s of %q: %v", test.method, test.target, test.host, got)
		}
	}
}

// On a full disk what needs no disk is stored, and the rest is passed on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	body := noise(1 << 20)
	e := newEdge(t, Policy{}, says(body, "Cache-Control", "max-age=60"))
	e.files.room = func(int64) error { return errors.New("full") }
	for range 2 {
		e.want(e.get("/large"), 200, body, "fwd=uri-miss; fwd-status=200")
	}
	e.wantAsked(2)
	e.answers(says("small", "Cache-Control", "max-age=60"))
	e.want(e.get("/small"), 200, "small", "fwd=uri-miss")
	e.want(e.get("/small"), 200, "small", "hit")
}

// Nothing of a test's runs on: see also the leaks that -race would show.
func TestClose(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	e := newEdge(t, Policy{}, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	done := make(chan answer, 1)
	go func() { done <- e.get("/a") }()
	<-entered
	e.end()
	if got := <-done; got.status != http.StatusBadGateway {
		t.Errorf("status %d", got.status)
	}
}

// transportOf takes the answers of an origin as they are.
func transportOf(patience time.Duration) *http.Transport {
	return &http.Transport{DisableCompression: true, ResponseHeaderTimeout: patience, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10}
}
