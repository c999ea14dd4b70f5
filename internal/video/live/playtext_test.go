package live

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"liuyun/internal/kit/lane"
)

func TestTakesGzip(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fields []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"gzip"}, true},
		{[]string{"GZip"}, true},
		{[]string{"x-gzip"}, true},
		{[]string{"gzip, deflate, br, zstd"}, true},
		{[]string{"br", "deflate,gzip"}, true},
		{[]string{"br;q=1.0,gzip;q=0.5, *;q=0"}, true},
		{[]string{"gzip ; q = 0.001"}, true},
		{[]string{"gzip;Q=1.000"}, true},
		{[]string{"*"}, true},
		{[]string{"identity;q=0.5, *;q=0.8"}, true},
		{[]string{"identity;q=0, gzip"}, true},
		{[]string{"gzip;q=0"}, false},
		{[]string{"gzip;q=0.000, *"}, false},
		{[]string{"gzip; q=0.0"}, false},
		{[]string{"*;q=0"}, false},
		{[]string{"identity"}, false},
		{[]string{"identity, gzip;q=0.5"}, false},
		{[]string{"gzipped, bzip"}, false},
		{[]string{"br"}, false},
		{[]string{"gzip;q=many"}, false},
		{[]string{"gzip;q=2"}, false},
		{[]string{"gzip;q=NaN"}, false},
		{[]string{"gzip;level=9"}, false},
		{[]string{",,;,"}, false},
	} {
		if got := takesGzip(test.fields); got != test.want {
			t.Errorf("%q: %v, want %v", test.fields, got, test.want)
		}
	}
}

// front is a server of streams, and two clients of it: of one the requests go to the
// fast lane, where there is one.
type front struct {
	t           *testing.T
	url         string
	fast, other *http.Client
}

// fronts are both ways to the handler.
func (c *cloud) fronts(t *testing.T) map[string]front {
	plain := httptest.NewServer(c.Play())
	t.Cleanup(plain.Close)

	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fast := &lane.Lane{Takes: Plays, Handler: c.Play(), Header: time.Minute, Idle: time.Minute, Log: slog.New(slog.DiscardHandler)}
	listener := fast.Listen(t.Context(), socket)
	behind := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get("Range") == "" {
			t.Errorf("%s was not for the lane: %v", r.URL, r.Header)
		}
		c.Play().ServeHTTP(w, r)
	}))
	behind.Listener.Close()
	behind.Listener = listener
	behind.Start()
	t.Cleanup(func() { behind.Close(); listener.Shutdown(t.Context()) })

	client := func() *http.Client {
		transport := &http.Transport{DisableCompression: true}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport, Timeout: time.Minute}
	}
	return map[string]front{
		"net/http": {t, plain.URL, client(), client()},
		"lane":     {t, "http://" + socket.Addr().String(), client(), client()},
	}
}

// ask returns an answer, of which the length is what it says.
func (f *front) ask(method, path string, fields ...string) (h http.Header, body []byte) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	client := f.fast
	if method != http.MethodGet || r.Header.Get("Range") != "" {
		client = f.other
	}
	answer, err := client.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil || answer.StatusCode >= 300 {
		f.t.Fatalf("%s %s: %s, %v", method, path, answer.Status, err)
	}
	if length := answer.Header.Get("Content-Length"); method == http.MethodGet && length != strconv.Itoa(len(body)) {
		f.t.Errorf("%s %s: %d bytes, Content-Length says %q", method, path, len(body), length)
	}
	return answer.Header, body
}

// Long texts are sent compressed to who takes that, whichever way the request comes, and
// caches are told.
func TestZippedPlaylists(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	base := "/play/" + c.over(t, 80) + "/"
	for name, f := range c.fronts(t) {
		t.Run(name, func(t *testing.T) {
			f.t = t
			for _, file := range []string{"video/media.m3u8", "video/media.m3u8?_HLS_msn=1", "video/keys.m3u8", "manifest.mpd"} {
				f.bothForms(base + file)
			}
			for _, file := range []string{"master.m3u8", "video/media.m3u8?_HLS_skip=YES", "time"} {
				h, _ := f.ask("GET", base+file, "Accept-Encoding", "gzip")
				if h.Get("Vary") != "" || h.Get("Content-Encoding") != "" {
					t.Errorf("%s has one form: %v", file, h)
				}
			}
		})
	}
}

// bothForms asks for a text in all ways.
func (f *front) bothForms(path string) {
	f.t.Helper()
	const vary, encoding = "Vary", "Content-Encoding"
	plain, text := f.ask("GET", path)
	if plain.Get(vary) != "Accept-Encoding" || plain.Get(encoding) != "" {
		f.t.Errorf("%s: %v", path, plain)
	}
	zipped, data := f.ask("GET", path, "Accept-Encoding", "br;q=0.9, gzip;q=0.8")
	if zipped.Get(vary) != "Accept-Encoding" || zipped.Get(encoding) != "gzip" || zipped.Get("Accept-Ranges") != "" {
		f.t.Errorf("%s, compressed: %v", path, zipped)
	}
	for _, same := range []string{"Content-Type", "Cache-Control", "Access-Control-Allow-Origin"} {
		if zipped.Get(same) != plain.Get(same) || zipped.Get(same) == "" {
			f.t.Errorf("%s: %s is %q, compressed %q", path, same, plain.Get(same), zipped.Get(same))
		}
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		f.t.Fatal(path, err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) || len(data) >= len(text) {
		f.t.Errorf("%s: %d bytes are %d compressed, and another text, %v", path, len(text), len(data), err)
	}
	if h, body := f.ask("GET", path, "Accept-Encoding", "gzip;q=0, *"); h.Get(encoding) != "" || h.Get(vary) == "" || !bytes.Equal(body, text) {
		f.t.Errorf("%s, for one who does not want it: %v", path, h)
	}
	for _, accept := range []string{"", "gzip"} {
		want := plain
		if accept != "" {
			want = zipped
		}
		h, _ := f.ask("HEAD", path, "Accept-Encoding", accept)
		for _, same := range []string{"Content-Length", encoding, vary, "Accept-Ranges", "Content-Type", "Cache-Control"} {
			if h.Get(same) != want.Get(same) {
				f.t.Errorf("HEAD %s, %q: %s is %q, and %q of GET", path, accept, same, h.Get(same), want.Get(same))
			}
		}
	}
	h, part := f.ask("GET", path, "Accept-Encoding", "gzip", "Range", "bytes=8-15")
	if h.Get(encoding) != "" || h.Get(vary) == "" || !bytes.Equal(part, text[8:16]) {
		f.t.Errorf("a range of %s: %v, %q", path, h, part)
	}
}

// A hundred viewers who come at once get the same bytes, and those are counted.
func TestZippedForMany(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := "/play/" + c.over(t, 80) + "/video/media.m3u8"
	var served atomic.Int64
	c.Served = func(_ string, bytes int64) { served.Add(bytes) }
	answers := make([][]byte, 100)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Header.Set("Accept-Encoding", "gzip")
			w := httptest.NewRecorder()
			c.Play().ServeHTTP(w, r)
			answers[i] = w.Body.Bytes()
		})
	}
	all.Wait()
	for _, answer := range answers {
		if len(answer) == 0 || !bytes.Equal(answer, answers[0]) {
			t.Fatal("answers differ")
		}
	}
	if got, want := served.Load(), int64(len(answers)*len(answers[0])); got != want {
		t.Errorf("%d bytes are counted, want %d", got, want)
	}
}

// nowhere takes an answer, as a connection that is kept does.
type nowhere struct{ header http.Header }

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w *nowhere) WriteHeader(int)             {}

// A compressed answer costs no more memory than another. It does not run beside other tests.
func TestZippedAllocates(t *testing.T) {
	c := newCloud(t)
	path := "/play/" + c.over(t, 80) + "/video/media.m3u8"
	handler, w := c.Play(), &nowhere{make(http.Header)}
	count := func(query, accept string) float64 {
		r := httptest.NewRequest(http.MethodGet, path+query, nil)
		r.Header.Set("Accept-Encoding", accept)
		return testing.AllocsPerRun(200, func() {
			clear(w.header)
			handler.ServeHTTP(w, r)
		})
	}
	delta, plain, zipped := count("?_HLS_skip=YES", "gzip"), count("?_HLS_skip=", "identity"), count("?_HLS_skip=", "br, gzip;q=0.9")
	if t.Logf("allocations of a delta update %v, a playlist %v, compressed %v", delta, plain, zipped); plain > delta || zipped > delta {
		t.Error("a long text costs more")
	}
}
