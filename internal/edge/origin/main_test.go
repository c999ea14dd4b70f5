package origin

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake answers in place of an origin.
type fake func(*http.Request) (*http.Response, error)

func (f fake) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// status answers with a status and a body that says it.
func status(code int) fake {
	return func(r *http.Request) (*http.Response, error) { return respond(r, code, http.StatusText(code)), nil }
}

func respond(r *http.Request, code int, text string) *http.Response {
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r,
	}
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

// refuses cannot be dialled. As a transport does, it closes what it cannot send.
func refuses(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close() // as a transport does
	}
	return nil, errRefused
}

// breaks takes a request and loses the connection.
func breaks(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body) // it is in memory
		_ = r.Body.Close()
	}
	return nil, errors.New("connection reset")
}

// counted counts how often it is asked.
type counted struct {
	n atomic.Int64
	fake
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.fake(r)
}

// pool is a Pool whose origins, http://o0 and so on, are these. Those after backups are
// backups.
func pool(t testing.TB, o Options, list ...http.RoundTripper) *Pool {
	t.Helper()
	if o.Endpoints == nil {
		for i := range list {
			o.Endpoints = append(o.Endpoints, Endpoint{URL: parse(t, "http://o"+string(rune('0'+i)))})
		}
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	i := 0
	for _, group := range p.groups {
		for _, e := range group {
			e.via = list[i]
			i++
		}
	}
	return p
}

func parse(t testing.TB, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func request(t testing.TB, method, path string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get asks, and returns the status and the body, or the error.
func get(t testing.TB, via http.RoundTripper, path string) (int, string, error) {
	t.Helper()
	return exchange(t, via, request(t, http.MethodGet, path, nil))
}

func exchange(t testing.TB, via http.RoundTripper, r *http.Request) (int, string, error) {
	t.Helper()
	got, err := via.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, string(text), nil
}
