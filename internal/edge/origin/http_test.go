package origin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"liuyun/internal/testkit"
)

// over is a Pool over real servers.
func over(t *testing.T, o Options, servers ...*httptest.Server) *Pool {
	t.Helper()
	for _, s := range servers {
		o.Endpoints = append(o.Endpoints, Endpoint{URL: parse(t, s.URL)})
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// proxy passes requests on by a Pool, as a cache does what it does not store.
func proxy(t *testing.T, p *Pool) *httptest.Server {
	t.Helper()
	return serve(t, (&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {}, Transport: p, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
	}).ServeHTTP)
}

// free waits until nothing is in flight.
func free(t *testing.T, p *Pool) {
	t.Helper()
	testkit.Until(t, 10*time.Second, "nothing is in flight", func() bool {
		for _, s := range p.Status() {
			if s.InFlight != 0 {
				return false
			}
		}
		return true
	})
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := both.ReadString('\n')
		fmt.Fprint(conn, "you said "+line)
		rest, _ := io.ReadAll(both) // until the other end has closed one direction
		fmt.Fprintf(conn, "and %d bytes\n", len(rest))
	})
	p := over(t, Options{Answer: 30 * time.Second}, echo)
	front := proxy(t, p)
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(conn)
	got, err := http.ReadResponse(in, nil)
	if err != nil || got.StatusCode != 101 {
		t.Fatalf("got %v, %v", got, err)
	}
	if n := p.Status()[0].InFlight; n != 1 {
		t.Errorf("%d are in flight", n)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := in.ReadString('\n'); line != "you said hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
	fmt.Fprint(conn, "rest")
	_ = conn.(*net.TCPConn).CloseWrite()
	if line, err := in.ReadString('\n'); line != "and 4 bytes\n" {
		t.Errorf("got %q, %v", line, err)
	}
	free(t, p)
}

func TestStreamsAndTrailers(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	slow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Sum")
		fmt.Fprint(w, "one")
		_ = http.NewResponseController(w).Flush()
		<-more
		fmt.Fprint(w, "two")
		w.Header().Set("Sum", "3")
	})
	p := over(t, Options{}, slow)
	got, err := p.RoundTrip(request(t, http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, 3)
	if _, err := io.ReadFull(got.Body, begin); err != nil || string(begin) != "one" {
		t.Fatalf("got %q, %v", begin, err)
	}
	close(more)
	rest, err := io.ReadAll(got.Body)
	if string(rest) != "two" || err != nil || got.Trailer.Get("Sum") != "3" {
		t.Errorf("got %q, %v, with %v", rest, err, got.Trailer)
	}
	_ = got.Body.Close()
	free(t, p)
}

// Whoever closes a body that has not ended lets go of the origin.
func TestClosingEndsTheRequest(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	p := over(t, Options{}, endless)
	got, err := p.RoundTrip(request(t, http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = got.Body.Close()
	<-left
	free(t, p)
}

func TestHintsComeThrough(t *testing.T) {
	t.Parallel()
	hints := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	})
	p := over(t, Options{}, hints)
	front := proxy(t, p)
	got := ""
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		got += fmt.Sprint(code, header.Get("Link"))
		return nil
	}}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, front.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := front.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if got != "103</a.css>" || answer.StatusCode != http.StatusNoContent {
		t.Errorf("got %q and then %d", got, answer.StatusCode)
	}
}

// A POST goes on to another origin when it could not be sent, whole, and a GET when the
// connection was lost.
func TestGoesOnOverConnections(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	drops := serve(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	echo := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		_, _ = w.Write(text)
	})
	p := over(t, Options{}, gone, echo)
	text := strings.Repeat("all of it ", 10000)
	for range 2 {
		code, got, err := exchange(t, p, request(t, http.MethodPost, "/", strings.NewReader(text)))
		if code != 200 || got != text {
			t.Errorf("got %d with %d bytes, %v", code, len(got), err)
		}
	}
	p = over(t, Options{}, drops, echo)
	for range 2 {
		if code, _, err := get(t, p, "/"); code != 200 {
			t.Errorf("got %d, %v", code, err)
		}
	}
}

func TestHedgeOverConnections(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	slow := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(left)
	})
	quick := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "quick") })
	p := over(t, Options{}, slow, quick)
	for range leastHeads {
		p.groups[0][0].heads.add(time.Millisecond)
	}
	p.budget.saved.Store(whole)
	r := request(t, http.MethodGet, "/", nil)
	if code, text, err := exchange(t, p, r); text != "quick" {
		t.Errorf("got %d, %q, %v", code, text, err)
	}
	r.Header.Set("It", "is the caller's again") // for the detector of races
	<-left
	free(t, p)
}

// Pools with one identity have one set of connections, and mutual TLS works.
func TestTransportsAreShared(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", len(r.TLS.PeerCertificates))
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	me := &tls.Config{RootCAs: trusted, Certificates: server.TLS.Certificates}
	var dialled atomic.Int64
	transports := NewTransports(func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	})
	endpoint := Endpoint{URL: parse(t, server.URL), TLS: me}
	var pools []*Pool
	for range 3 {
		p, err := New(Options{Endpoints: []Endpoint{endpoint}, Transports: transports})
		if err != nil {
			t.Fatal(err)
		}
		pools = append(pools, p)
		if code, text, err := get(t, p, "/"); text != "HTTP/2.0 1" {
			t.Errorf("got %d, %q, %v", code, text, err)
		}
	}
	if connections.Load() != 1 || dialled.Load() != 1 {
		t.Errorf("there are %d connections, of %d that were dialled", connections.Load(), dialled.Load())
	}
	stranger, err := New(Options{Endpoints: []Endpoint{{URL: endpoint.URL}}, Transports: transports})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(t, stranger, "/"); err == nil {
		t.Error("an origin is trusted that nobody has vouched for")
	}
	stranger.Close()
	for _, p := range pools {
		p.Close()
		p.Close()
	}
	if n := len(transports.known); n != 0 {
		t.Errorf("%d transports are left", n)
	}
}

func TestAnswersAreAsTheyAre(t *testing.T) {
	t.Parallel()
	zipped := []byte("not really gzip")
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header["Accept-Encoding"] != nil {
			t.Errorf("it is asked for %q", r.Header["Accept-Encoding"])
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped)
	})
	got, err := over(t, Options{}, s).RoundTrip(request(t, http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if text, err := io.ReadAll(got.Body); !bytes.Equal(text, zipped) || got.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("got %q, %v", text, err)
	}
}
