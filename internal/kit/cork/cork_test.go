package cork

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes accepts connections within this process, and counts how often they are written to.
type pipes struct {
	conns  chan net.Conn
	writes atomic.Int64
}

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return &counted{c, p}, nil
}

func (p *pipes) Close() error   { close(p.conns); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

type counted struct {
	net.Conn
	of *pipes
}

func (c *counted) Write(p []byte) (int, error) {
	c.of.writes.Add(1)
	return c.Conn.Write(p)
}

func noise(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return p
}

// serve serves handler by TLS until the test ends. It is for a bubble of synctest, in which
// no time passes while anybody has something to do. The client speaks one version of HTTP.
func serve(t *testing.T, version int, handler http.HandlerFunc) (*pipes, *http.Client) {
	t.Helper()
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS()
	certificates.Close()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == 1)
	protocols.SetHTTP2(version == 2)
	inner := &pipes{conns: make(chan net.Conn)}
	server := &http.Server{Handler: handler, ConnContext: Context, Protocols: protocols, TLSConfig: &tls.Config{Certificates: certificates.TLS.Certificates, Time: validThen}}
	ended := make(chan error)
	go func() { ended <- server.ServeTLS(NewListener(inner), "", "") }()
	trust := certificates.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	transport := &http.Transport{
		DialContext: inner.dial, Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: trust, ServerName: "example.com", Time: validThen},
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		<-ended
	})
	return inner, &http.Client{Transport: transport}
}

// validThen is a time at which the certificate of httptest is valid.
func validThen() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func fetch(t *testing.T, c *http.Client, path string) []byte {
	t.Helper()
	answer, err := c.Get("https://example.com" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// What is large leaves in a few pieces, whole, by either version of HTTP.
func TestFewWrites(t *testing.T) {
	t.Parallel()
	body := noise(1 << 20)
	for version := 1; version <= 2; version++ {
		synctest.Test(t, func(t *testing.T) {
			inner, client := serve(t, version, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				var n int64
				var err error
				if r.URL.Path == "/memory" {
					var wrote int
					wrote, err = Write(r.Context(), w, body)
					n = int64(wrote)
				} else {
					n, err = CopyN(r.Context(), w, bytes.NewReader(body), int64(len(body)))
				}
				if n != int64(len(body)) || err != nil {
					t.Errorf("wrote %d: %v", n, err)
				}
			})
			fetch(t, client, "/") // the first records of a connection are small
			for _, path := range []string{"/file", "/memory"} {
				before := inner.writes.Load()
				if got := fetch(t, client, path); !bytes.Equal(got, body) {
					t.Errorf("HTTP/%d%s: got %d bytes, not those that were sent", version, path, len(got))
				}
				if writes := inner.writes.Load() - before; writes > 10 {
					t.Errorf("HTTP/%d%s: %d writes, want about one for eight records", version, path, writes)
				}
			}
		})
	}
}

// Many answers on one connection hold it at the same time.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	body := noise(300 << 10)
	synctest.Test(t, func(t *testing.T) {
		_, client := serve(t, 2, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/small") {
				io.WriteString(w, r.URL.Path)
				return
			}
			CopyN(r.Context(), w, bytes.NewReader(body), int64(len(body)))
		})
		var all sync.WaitGroup
		for n := range 32 {
			all.Go(func() {
				if n%4 == 0 {
					path := fmt.Sprintf("/small/%d", n)
					if got := fetch(t, client, path); string(got) != path {
						t.Errorf("%s: got %q", path, got)
					}
					return
				}
				if got := fetch(t, client, "/large"); !bytes.Equal(got, body) {
					t.Errorf("got %d bytes, not those that were sent", len(got))
				}
			})
		}
		all.Wait()
	})
}

// A reader that ends too early, and a connection that is not encrypted, are as with
// io.CopyN.
func TestShortAndPlain(t *testing.T) {
	t.Parallel()
	short := func(w http.ResponseWriter, r *http.Request) {
		if n, err := CopyN(r.Context(), w, strings.NewReader("short"), 9); n != 5 || err != io.EOF {
			t.Errorf("wrote %d: %v", n, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		_, client := serve(t, 1, short)
		if got := fetch(t, client, "/"); string(got) != "short" {
			t.Errorf("got %q", got)
		}
	})
	recorder := httptest.NewRecorder()
	short(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	if got := recorder.Body.String(); got != "short" {
		t.Errorf("got %q", got)
	}
}

// scripted is a connection that keeps what is written, until it fails.
type scripted struct {
	net.Conn
	got    []string
	failed error
}

func (s *scripted) Write(p []byte) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	s.got = append(s.got, string(p))
	return len(p), nil
}

type one struct {
	net.Listener
	conn net.Conn
}

func (o one) Accept() (net.Conn, error) { return o.conn, nil }

// heldConn returns a connection over inner, and the context of requests on it.
func heldConn(t *testing.T, inner net.Conn) (*conn, context.Context) {
	t.Helper()
	c, err := NewListener(one{conn: inner}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*conn), Context(t.Context(), tls.Server(c, nil))
}

// What is written while nobody holds leaves at once, what somebody holds when he
// releases, when there is too much, or after a millisecond.
func TestWhenItLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := &scripted{}
		c, _ := heldConn(t, inner)
		want := func(list ...string) {
			t.Helper()
			c.mu.Lock()
			defer c.mu.Unlock()
			if strings.Join(inner.got, "|") != strings.Join(list, "|") {
				t.Errorf("got %d pieces %.40q, want %d %.40q", len(inner.got), inner.got, len(list), list)
			}
			inner.got = nil
		}
		c.Write([]byte("a"))
		want("a")
		c.hold()
		c.hold()
		c.Write([]byte("b"))
		c.release()
		c.Write([]byte("c"))
		want()
		c.release()
		want("bc")
		c.Write([]byte("d"))
		want("d")
		c.hold()
		c.Write([]byte("e"))
		time.Sleep(latest - 1)
		synctest.Wait()
		want()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want("e")
		large := strings.Repeat("f", most-1)
		c.Write([]byte(large))
		c.Write([]byte("g"))
		want()
		c.Write([]byte("h"))
		want(large + "g")
		huge := strings.Repeat("i", most+1)
		c.Write([]byte(huge))
		want("h", huge)
		c.release()
		want()
	})
}

// Who sends is told that it has failed.
func TestFailure(t *testing.T) {
	t.Parallel()
	inner := &scripted{failed: errors.New("gone")}
	c, ctx := heldConn(t, inner)
	if n, err := Write(ctx, c, make([]byte, 2*record)); n != 2*record || !errors.Is(err, inner.failed) {
		t.Errorf("wrote %d: %v", n, err)
	}
	if _, err := CopyN(ctx, c, strings.NewReader("x"), 1); !errors.Is(err, inner.failed) {
		t.Error(err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, inner.failed) {
		t.Error(err)
	}
}
