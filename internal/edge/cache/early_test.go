package cache

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"liuyun/internal/testkit"
)

// raw answers with bytes as they are.
func raw(t *testing.T, w http.ResponseWriter, r *http.Request, answer ...string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for _, part := range answer {
		io.WriteString(conn, strings.ReplaceAll(part, "BODY", string(body))) // an edge that gave up reads nothing
	}
}

const (
	hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\nAlt-Svc: h3=\":1\"\r\n\r\n"
	kept = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\nContent-Length: 4\r\n\r\ntext"
	own  = "HTTP/1.1 200 OK\r\nCache-Control: private\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmine"
	echo = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nBODY"
)

// told is what a client is told before its answer.
type told struct {
	mu   sync.Mutex
	said []string
}

// traced is a context for a request whose early answers are noted; each is told as well.
func (s *told) traced(ctx context.Context, each func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
		s.mu.Lock()
		s.said = append(s.said, fmt.Sprint(status, " ", map[string][]string(header)))
		s.mu.Unlock()
		each()
		return nil
	}})
}

const preload = "103 map[Link:[</a.css>; rel=preload]]"

// askEarly asks the edge and returns what it is told before the answer.
func askEarly(t *testing.T, e *edge, method, path, body string) (*http.Response, string, []string) {
	t.Helper()
	var s told
	r, err := http.NewRequestWithContext(s.traced(t.Context(), func() {}), method, e.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	in, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Body.Close()
	text, err := io.ReadAll(in.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return in, string(text), s.said
}

// What an origin says before its answer is told to who has it asked, without what concerns
// one connection, and is no part of the answer.
func TestEarly(t *testing.T) {
	t.Parallel()
	large := "HTTP/1.1 103 Early Hints\r\nLink: <" + strings.Repeat("x", largestEarly) + ">\r\n\r\n"
	answers := map[string][]string{
		"/kept": {hint, kept}, "/own": {hint, own}, "/echo": {hint, echo},
		"/continue": {"HTTP/1.1 100 Continue\r\n\r\n", kept}, "/processing": {"HTTP/1.1 102 Processing\r\n\r\n", kept},
		"/large": {large, hint, kept}, "/many": {strings.Repeat(hint, 20), kept}, "/endless": {strings.Repeat(hint, 2*mostHeard), kept},
	}
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) { raw(t, w, r, answers[r.URL.Path]...) })
	once := []string{preload}
	five := []string{preload, preload, preload, preload, preload}
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
		said               []string
	}{
		{"GET", "/kept", "", 200, "text", once},
		{"GET", "/kept", "", 200, "text", nil}, // it is stored by then
		{"GET", "/own", "", 200, "mine", once},
		{"GET", "/own", "", 200, "mine", once}, // passed on, as the address is known for that
		{"POST", "/echo", "sent", 200, "sent", once},
		{"GET", "/continue", "", 200, "text", nil},
		{"POST", "/continue", "sent", 200, "text", nil},
		{"GET", "/processing", "", 200, "text", []string{"102 map[]"}},
		{"GET", "/large", "", 200, "text", once},
		{"GET", "/many", "", 200, "text", five},
		{"POST", "/many", "sent", 200, "text", five},
		{"GET", "/endless", "", 502, "", five},
		{"POST", "/endless", "sent", 502, "", five},
	} {
		in, text, said := askEarly(t, e, c.method, c.path, c.body)
		if in.StatusCode != c.status || c.status == 200 && text != c.text {
			t.Errorf("%s %s: status %d, %q", c.method, c.path, in.StatusCode, text)
		}
		if fmt.Sprint(said) != fmt.Sprint(c.said) {
			t.Errorf("%s %s is told %q, want %q", c.method, c.path, said, c.said)
		}
		if in.Header["Link"] != nil || in.Header["X-Hop"] != nil || in.Header["Alt-Svc"] != nil {
			t.Errorf("%s %s: the answer has %v", c.method, c.path, in.Header)
		}
	}
}

// It is told before the answer is there, and only to who had it asked; the others wait
// for the answer.
func TestEarlyIsEarly(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "text")
	})
	var leader, follower told
	heard := make(chan struct{}, 1)
	ask := func(s *told, each func()) {
		r, err := http.NewRequestWithContext(s.traced(t.Context(), each), "GET", e.url+"/", nil)
		if err != nil {
			t.Error(err)
			return
		}
		in, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer in.Body.Close()
		if text, err := io.ReadAll(in.Body); string(text) != "text" || err != nil {
			t.Errorf("%q, %v", text, err)
		}
	}
	var asking sync.WaitGroup
	asking.Go(func() { ask(&leader, func() { heard <- struct{}{} }) })
	<-heard
	asking.Go(func() { ask(&follower, func() {}) })
	testkit.Until(t, 10*time.Second, "both wait", func() bool { return e.counts.waiting.Load() == 2 })
	close(release)
	asking.Wait()
	if len(leader.said) != 1 || len(follower.said) != 0 || e.asked.Load() != 1 {
		t.Errorf("the first is told %q, the second %q; the origin is asked %d times", leader.said, follower.said, e.asked.Load())
	}
}

// Clients of HTTP/1.0 are told nothing.
func TestEarlyForOldClients(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) { raw(t, w, r, hint, kept) })
	for _, request := range []string{"GET / HTTP/1.0\r\n\r\n", "POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request)
		text, err := io.ReadAll(conn)
		conn.Close()
		if !strings.HasPrefix(string(text), "HTTP/1.0 200 OK\r\n") || err != nil {
			t.Errorf("%q: %q, %v", request, text, err)
		}
	}
}

// A client that waits to be told to send its body is told once, whatever the origin does.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		raw(t, w, r, "HTTP/1.1 100 Continue\r\n\r\n", hint, echo)
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	in := bufio.NewReader(conn)
	for _, want := range []int{http.StatusContinue, http.StatusEarlyHints, http.StatusOK} {
		answer, err := http.ReadResponse(in, nil)
		if err != nil || answer.StatusCode != want {
			t.Fatalf("%v, %v, want status %d", answer, err, want)
		}
		switch want {
		case http.StatusContinue:
			io.WriteString(conn, "sent")
		case http.StatusOK:
			if text, err := io.ReadAll(answer.Body); string(text) != "sent" || err != nil {
				t.Errorf("%q, %v", text, err)
			}
		}
	}
}

// What was in the header of the answer before stays, by HTTP/2 too.
func TestEarlyKeepsHeader(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, nil)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { raw(t, w, r, hint, own) }))
	defer origin.Close()
	address, err := url.Parse(origin.URL)
	if err != nil {
		t.Fatal(err)
	}
	site := &Site{Name: "other", Origin: address, Transport: transportOf(e.patience)}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", "ours")
		e.Serve(w, r, site, new(Outcome))
	}))
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	for _, method := range []string{"GET", "POST"} {
		var s told
		r, _ := http.NewRequestWithContext(s.traced(t.Context(), func() {}), method, front.URL, nil)
		in, err := front.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		in.Body.Close()
		if in.ProtoMajor != 2 || in.Header.Get("Alt-Svc") != "ours" || in.Header["Link"] != nil || len(s.said) != 1 {
			t.Errorf("%s: %s, %v, told %q", method, in.Proto, in.Header, s.said)
		}
	}
}
