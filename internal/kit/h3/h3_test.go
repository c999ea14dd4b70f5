package h3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"go.uber.org/goleak"

	"liuyun/internal/kit/guard"
	"liuyun/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server that runs, and a client of its.
type site struct {
	*Server
	address string
	client  *http.Client
	trust   *tls.Config
	stop    context.CancelFunc
	stopped chan error
}

// start serves handler; change may set other limits.
func start(t *testing.T, handler http.HandlerFunc, change func(*Server)) *site {
	t.Helper()
	ca, err := guard.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const long = time.Minute
	s := &site{
		Server: &Server{
			Handler: handler, TLS: guard.LocalTLS(ca), LargestHeader: 16 << 10,
			Header: long, Idle: long, Stall: long, Finish: 10 * time.Second, Log: slog.New(slog.DiscardHandler),
		},
		address: socket.LocalAddr().String(), stopped: make(chan error, 1),
		trust: &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"},
	}
	if change != nil {
		change(s.Server)
	}
	transport := &http3.Transport{TLSClientConfig: s.trust, QUICConfig: &quic.Config{KeepAlivePeriod: 100 * time.Millisecond}}
	s.client = &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	ready := make(chan struct{})
	go func() { s.stopped <- s.Serve(ctx, socket, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-s.stopped:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.Close()
		cancel()
		if err := <-s.stopped; err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask asks a site, and returns the answer with its body.
func (s *site) ask(t *testing.T, method, path, body string) (*http.Response, string, error) {
	t.Helper()
	var sent io.Reader
	if body != "" {
		sent = io.MultiReader(strings.NewReader(body)) // of a length that the client does not know
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.address+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer in.Body.Close()
	text, err := io.ReadAll(in.Body)
	return in, string(text), err
}

// Handlers are given requests as net/http gives them, and clients answers.
func TestServe(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Saw", r.Method+" "+strconv.FormatInt(r.ContentLength, 10)+" "+string(body)+" "+r.Proto)
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/same":
			w.WriteHeader(http.StatusNotModified)
		case "/copied":
			io.CopyN(w, strings.NewReader(strings.Repeat("x", 300_000)), 300_000)
		case "/broken":
			w.Write(make([]byte, 200_000))
			panic(http.ErrAbortHandler)
		default:
			io.WriteString(w, r.URL.Path)
		}
	}, nil)
	for _, c := range []struct {
		method, path, body string
		saw                string
		status             int
		length             string
		size               int
	}{
		{"GET", "/a", "", "GET 0  HTTP/3.0", 200, "2", 2},
		{"GET", "/a", "odd", "GET -1 odd HTTP/3.0", 200, "2", 2},
		{"HEAD", "/a", "", "HEAD 0  HTTP/3.0", 200, "", 0},
		{"DELETE", "/a", "", "DELETE 0  HTTP/3.0", 200, "2", 2},
		{"POST", "/a", "text", "POST -1 text HTTP/3.0", 200, "2", 2},
		{"GET", "/none", "", "GET 0  HTTP/3.0", 204, "", 0},
		{"GET", "/same", "", "GET 0  HTTP/3.0", 304, "", 0},
		{"GET", "/copied", "", "GET 0  HTTP/3.0", 200, "", 300_000},
	} {
		in, text, err := s.ask(t, c.method, c.path, c.body)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
			continue
		}
		if got := in.Header.Get("Saw"); got != c.saw {
			t.Errorf("%s %s: the handler saw %q, want %q", c.method, c.path, got, c.saw)
		}
		if in.StatusCode != c.status || in.Header.Get("Content-Length") != c.length || len(text) != c.size {
			t.Errorf("%s %s: status %d, Content-Length %q, %d bytes", c.method, c.path, in.StatusCode, in.Header.Get("Content-Length"), len(text))
		}
	}
	if _, text, err := s.ask(t, "GET", "/broken", ""); err == nil {
		t.Errorf("an answer that is not whole ends well, after %d bytes", len(text))
	}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+s.address+"/a", nil)
	r.Header.Set("Large", strings.Repeat("x", 20<<10))
	in, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	in.Body.Close()
	if in.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 20 KiB: status %d", in.StatusCode)
	}
}

// A client that waits to be told to send a body is told.
func TestExpect(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}, nil)
	told := make(chan struct{})
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+s.address, nil)
	r.Header.Set("Expect", "100-continue")
	conn := s.dial(t)
	stream, err := conn.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendRequestHeader(r); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-told
		io.WriteString(stream, "body")
		stream.Close()
	}()
	var in *http.Response
	for in == nil || in.StatusCode == http.StatusContinue {
		if in, err = stream.ReadResponse(); err != nil {
			t.Fatal(err)
		}
		if in.StatusCode == http.StatusContinue {
			close(told)
		}
	}
	if text, err := io.ReadAll(in.Body); string(text) != "body" {
		t.Errorf("%q, %v", text, err)
	}
}

// dial connects to a site, for tests that do as no client should.
func (s *site) dial(t *testing.T) *http3.ClientConn {
	t.Helper()
	return (&http3.Transport{}).NewClientConn(s.connect(t))
}

func (s *site) connect(t *testing.T) *quic.Conn {
	t.Helper()
	trust := s.trust.Clone()
	trust.NextProtos = []string{http3.NextProtoH3}
	conn, err := quic.DialAddr(t.Context(), s.address, trust, &quic.Config{
		InitialStreamReceiveWindow: 64 << 10, MaxStreamReceiveWindow: 64 << 10, KeepAlivePeriod: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseWithError(0, "") })
	return conn
}

// Who reads nothing is let go of, however alive.
func TestStalledClient(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.CopyN(w, zeros{}, 64<<20)
		ended <- err
		panic(http.ErrAbortHandler)
	}, func(s *Server) { s.Stall = 300 * time.Millisecond })
	conn := s.dial(t)
	stream, err := conn.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+s.address, nil)
	if err := stream.SendRequestHeader(r); err != nil {
		t.Fatal(err)
	}
	stream.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("64 MiB went to a client that reads nothing")
		}
	case <-time.After(time.Minute):
		t.Error("a client that reads nothing still holds its request")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A connection that asks for nothing is closed, also where it opens streams without ever
// sending a header; one whose answer takes longer is not.
func TestIdleClient(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		io.WriteString(w, "late")
	}, func(s *Server) { s.Header = 2 * time.Second })
	answered := make(chan string, 1)
	go func() {
		_, text, _ := s.ask(t, "GET", "/", "")
		answered <- text
	}()
	<-began // and goes on for longer than the other one may be idle
	silent := s.connect(t)
	stream, err := silent.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	stream.Write([]byte{1}) // the type of a HEADERS frame, and no more
	select {
	case <-silent.Context().Done():
	case <-time.After(time.Minute):
		t.Error("a connection without a request is still there")
	}
	close(release)
	if text := <-answered; text != "late" {
		t.Errorf("a request that is being answered: %q", text)
	}
}

// At the end clients have what they have asked for, and are not waited for afterwards.
func TestShutdown(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-release
		w.Write(make([]byte, 1<<20))
	}, nil)
	type answer struct {
		size int
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		_, text, err := s.ask(t, "GET", "/", "")
		answered <- answer{len(text), err}
	}()
	<-began
	if s.alt.Load() == nil {
		t.Error("nothing is announced")
	}
	s.stop()
	testkit.Until(t, 10*time.Second, "nothing is announced any more", func() bool { return s.alt.Load() == nil })
	close(release)
	stopping := time.Now()
	if got := <-answered; got.err != nil || got.size != 1<<20 {
		t.Errorf("the client has %d bytes, %v", got.size, got.err)
	}
	err := <-s.stopped
	s.stopped <- err
	if took := time.Since(stopping); err != nil || took > 5*time.Second {
		t.Errorf("stopped after %s: %v", took, err)
	}
	again, err := net.ListenPacket("udp", s.address)
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	again.Close()
}

// A request has an end when its client has left.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	s := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	}, nil)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-began
		leave()
	}()
	r, _ := http.NewRequestWithContext(ctx, "GET", "https://"+s.address, nil)
	if _, err := s.client.Do(r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-ended
}

// More connections than are taken are refused, and there is room again when one has gone.
func TestAdmit(t *testing.T) {
	t.Parallel()
	s := &Server{}
	s.count.Store(mostConnections - 1)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.admit(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.admit(ctx, nil); !errors.Is(err, errFull) {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	testkit.Until(t, 10*time.Second, "there is room again", func() bool { return s.count.Load() == mostConnections-1 })
	s.second = time.Now().Unix() + 1 // it is not there within this test
	known := 0
	for range 3 * mostStrangers {
		if !s.strange(nil) {
			known++
		}
	}
	if known < mostStrangers || known > 2*mostStrangers {
		t.Errorf("%d of %d need not show where they are", known, 3*mostStrangers)
	}
}

// What is announced is the port that clients have come to.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	a := newAlternative("8443")
	for host, want := range map[string]string{
		"example.org": "443", "example.org:443": "443", "example.org:8443": "8443", "example.org:9000": "9000",
		"[::1]": "443", "[::1]:8443": "8443", "": "443", "example.org:": "8443", "example.org:x": "8443",
		"example.org:70000": "8443", "example.org:0": "8443", `example.org:1"`: "8443",
	} {
		if got := a.at(host); len(got) != 1 || got[0] != `h3=":`+want+`"; ma=86400` {
			t.Errorf("to %q: %q, want port %s", host, got, want)
		}
	}
}
