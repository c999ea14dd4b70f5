package lane

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// site is a lane with a server behind it; both say who answers.
type site struct {
	address string
	lane    *Listener
	server  *http.Server
	done    chan struct{}
}

// answers is what both serve: "lane" or "server" in the field By.
func answers(by string, files string, release <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/play/text", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("By", by)
		w.Header().Set("Content-Length", strconv.Itoa(len(r.RequestURI)))
		io.WriteString(w, r.RequestURI)
	})
	mux.HandleFunc("/play/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("By", by)
		fmt.Fprintf(w, "%s %s %s", r.Host, r.UserAgent(), r.URL.Query().Get("a"))
	})
	mux.HandleFunc("/play/long", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("By", by)
		for range 100 {
			w.Write(bytes.Repeat([]byte("x"), 1000))
		}
	})
	mux.HandleFunc("/play/grows", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("By", by)
		io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		io.WriteString(w, "two")
	})
	mux.HandleFunc("/play/wrong", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("By", by)
		http.Error(w, "no such thing", http.StatusNotFound)
	})
	mux.HandleFunc("/play/none", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("By", by)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/play/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("By", by)
		http.ServeFile(w, r, files)
	})
	mux.HandleFunc("/play/waits", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("By", by)
		<-release
		io.WriteString(w, "at last")
	})
	mux.HandleFunc("/play/soon", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Trailer", "Sum")
		w.Header().Set("By", by)
		io.WriteString(w, "here")
	})
	mux.HandleFunc("/play/odd", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Length "], w.Header()["Two"] = []string{"50"}, []string{"a\r\nb: c"}
		w.Header().Set("By", by)
		io.WriteString(w, "ok")
	})
	mux.HandleFunc("/play/late", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("By", by)
		control := http.NewResponseController(w)
		io.WriteString(w, "in time")
		if control.Flush() != nil || control.SetWriteDeadline(time.Unix(1, 0)) != nil {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "late")
	})
	mux.HandleFunc("/play/timed", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("By", by)
		w.Header().Set("Content-Length", "2")
		io.WriteString(w, "ok")
		http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
	})
	mux.HandleFunc("/play/switches", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusSwitchingProtocols) })
	mux.HandleFunc("/play/none/99", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) })
	mux.HandleFunc("/play/panics", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	return mux
}

func open(t *testing.T, release <-chan struct{}) *site {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(file, bytes.Repeat([]byte("file "), 50_000), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Lane{
		Takes: func(path string) bool { return strings.HasPrefix(path, "/play/") }, Handler: answers("lane", file, release),
		Header: 5 * time.Second, Idle: time.Minute, Log: slog.New(slog.DiscardHandler),
	}
	s := &site{address: socket.Addr().String(), lane: l.Listen(t.Context(), socket), done: make(chan struct{})}
	s.server = &http.Server{Handler: answers("server", file, release), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { defer close(s.done); s.server.Serve(s.lane) }()
	t.Cleanup(func() {
		s.server.Close()
		s.lane.Shutdown(context.Background())
		<-s.done
	})
	return s
}

// ask writes requests as they are and reads so many answers.
func (s *site) ask(t *testing.T, text string, count int) (list []*http.Response, bodies []string) {
	t.Helper()
	socket, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if _, err := io.WriteString(socket, text); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(socket)
	for range count {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		list, bodies = append(list, r), append(bodies, string(body))
	}
	return list, bodies
}

func TestWhoAnswers(t *testing.T) {
	s := open(t, nil)
	const host = "Host: here\r\n"
	tests := []struct {
		name, request, by, body string
		status                  int
	}{
		{"plain", "GET /play/text?a=1&b=%20 HTTP/1.1\r\n" + host + "\r\n", "lane", "/play/text?a=1&b=%20", 200},
		{"without a length", "GET /play/short?a=b%20c HTTP/1.1\r\n" + host + "User-Agent: me\r\n\r\n", "lane", "here me b c", 200},
		{"long", "GET /play/long HTTP/1.1\r\n" + host + "\r\n", "lane", strings.Repeat("x", 100_000), 200},
		{"in pieces", "GET /play/grows HTTP/1.1\r\n" + host + "\r\n", "lane", "one two", 200},
		{"error", "GET /play/wrong HTTP/1.1\r\n" + host + "\r\n", "lane", "no such thing\n", 404},
		{"nothing", "GET /play/none HTTP/1.1\r\n" + host + "\r\n", "lane", "", 204},
		{"file", "GET /play/file HTTP/1.1\r\n" + host + "Connection: keep-alive\r\n\r\n", "lane", strings.Repeat("file ", 50_000), 200},
		{"range", "GET /play/file HTTP/1.1\r\n" + host + "Range: bytes=0-3\r\n\r\n", "server", "file", 206},
		{"condition", "GET /play/text HTTP/1.1\r\n" + host + "If-None-Match: x\r\n\r\n", "server", "/play/text", 200},
		{"another path", "GET /other HTTP/1.1\r\n" + host + "\r\n", "", "404 page not found\n", 404},
		{"another method", "POST /play/text HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nhi", "server", "/play/text", 200},
		{"body", "GET /play/text HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nhi", "server", "/play/text", 200},
		{"the old way", "GET /play/text HTTP/1.0\r\n" + host + "\r\n", "server", "/play/text", 200},
		{"the last one", "GET /play/text HTTP/1.1\r\n" + host + "Connection: close\r\n\r\n", "server", "/play/text", 200},
		{"bare lines", "GET /play/text HTTP/1.1\nHost: here\n\n", "server", "/play/text", 200},
		{"no host", "GET /play/text HTTP/1.1\r\n\r\n", "", "400 Bad Request: missing required Host header", 400},
		{"a host that is none", "GET /play/text HTTP/1.1\r\nHost: a b\r\n\r\n", "", "400 Bad Request: malformed Host header", 400},
		{"a field that is none", "GET /play/text HTTP/1.1\r\n" + host + "A : b\r\n\r\n", "", "400 Bad Request: invalid header name", 400},
		{"two hosts", "GET /play/text HTTP/1.1\r\n" + host + host + "\r\n", "", "400 Bad Request", 400},
		{"escaped", "GET /play/%74ext HTTP/1.1\r\n" + host + "\r\n", "server", "/play/%74ext", 200},
		{"long fields", "GET /play/text HTTP/1.1\r\n" + host + "X: " + strings.Repeat("y", 8000) + "\r\n\r\n", "server", "/play/text", 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			list, bodies := s.ask(t, test.request, 1)
			if got := list[0].Header.Get("By"); got != test.by || list[0].StatusCode != test.status || bodies[0] != test.body {
				t.Errorf("%q answers %d %.60q, want %q, %d %.60q", got, list[0].StatusCode, bodies[0], test.by, test.status, test.body)
			}
		})
	}
}

// Requests may come one behind the other, in any pieces, and go over to the server in
// the middle.
func TestOneBehindTheOther(t *testing.T) {
	s := open(t, nil)
	const quick, slow = "GET /play/text HTTP/1.1\r\nHost: here\r\n\r\n", "GET /play/file HTTP/1.1\r\nHost: here\r\nRange: bytes=5-8\r\n\r\n"
	list, bodies := s.ask(t, quick+quick+slow+quick, 4)
	for i, want := range []string{"lane", "lane", "server", "server"} {
		if got := list[i].Header.Get("By"); got != want || bodies[i] == "" {
			t.Errorf("answer %d is by %q, want %q", i, got, want)
		}
	}
	socket, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	in := bufio.NewReader(socket)
	for range 3 {
		for i := range len(quick) {
			if _, err := io.WriteString(socket, quick[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(r.Body); string(body) != "/play/text" || r.Header.Get("By") != "lane" {
			t.Errorf("got %q by %q", body, r.Header.Get("By"))
		}
	}
}

// What comes before an answer leaves before it.
func TestEarly(t *testing.T) {
	s := open(t, nil)
	list, bodies := s.ask(t, "GET /play/soon HTTP/1.1\r\nHost: here\r\n\r\n", 2)
	if early := list[0]; early.StatusCode != http.StatusEarlyHints || early.Header.Get("Link") == "" || len(early.Header) != 1 {
		t.Errorf("early: %v %v", early.Status, early.Header)
	}
	if r := list[1]; r.StatusCode != http.StatusOK || bodies[1] != "here" || r.Header.Get("By") != "lane" || r.Header.Get("Link") != "" || r.Trailer != nil {
		t.Errorf("%v %v %q, trailer %v", r.Status, r.Header, bodies[1], r.Trailer)
	}
}

// What no field of an answer may be is not sent as one.
func TestFields(t *testing.T) {
	s := open(t, nil)
	list, bodies := s.ask(t, "GET /play/odd HTTP/1.1\r\nHost: here\r\n\r\n", 1)
	r := list[0]
	if bodies[0] != "ok" || r.ContentLength != 2 || r.Header.Get("Two") != "a  b: c" || r.Header.Get("B") != "" || len(r.Header) != 4 || r.Header.Get("By") != "lane" {
		t.Errorf("%q, %v", bodies[0], r.Header)
	}
}

// An answer ends when its time is over, and with it the connection; so it does where there is
// no answer. The next answer has a time of its own.
func TestNoAnswer(t *testing.T) {
	s := open(t, nil)
	for path, want := range map[string]string{"/play/late": "in time", "/play/switches": "", "/play/none/99": "", "/play/panics": ""} {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: here\r\n\r\n", path)
		got, _ := io.ReadAll(c) // it ends with an error, or without
		if (len(got) > 0) != (want != "") || !bytes.Contains(got, []byte(want)) || bytes.Contains(got, []byte("\r\nlate")) {
			t.Errorf("%s: %q", path, got)
		}
	}
	const timed = "GET /play/timed HTTP/1.1\r\nHost: here\r\n\r\n"
	if _, bodies := s.ask(t, timed+timed, 2); bodies[0] != "ok" || bodies[1] != "ok" {
		t.Errorf("got %q", bodies)
	}
}

// watched is a connection to a lane that tells handlers when their clients go. Each request is
// given to the channel with what it waits by.
func watched(t *testing.T) (c net.Conn, requests chan *http.Request, answer chan string) {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests, answer = make(chan *http.Request, 1), make(chan string)
	l := &Lane{Takes: func(string) bool { return true }, Watch: true, Header: time.Minute, Idle: time.Minute, Log: slog.New(slog.DiscardHandler),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests <- r
			if r.URL.Path == "/now" {
				return
			}
			select {
			case text := <-answer:
				io.WriteString(w, text)
			case <-r.Context().Done():
			}
		})}
	s := l.Listen(context.WithValue(t.Context(), http.ServerContextKey, "mine"), socket)
	server, ended := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}, make(chan error, 1)
	go func() { ended <- server.Serve(s) }()
	t.Cleanup(func() {
		s.Shutdown(context.Background())
		server.Close()
		<-ended
	})
	if c, err = net.Dial("tcp", socket.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, requests, answer
}

// Who waits for an answer may go, or ask for more meanwhile.
func TestWatch(t *testing.T) {
	c, requests, answer := watched(t)
	in := bufio.NewReader(c)
	read := func(want string) {
		t.Helper()
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(r.Body); string(body) != want || err != nil {
			t.Errorf("got %q, %v; want %q", body, err, want)
		}
	}
	const ask = "GET /wait HTTP/1.1\r\nHost: here\r\n\r\n"
	io.WriteString(c, ask)
	first := <-requests
	if first.Context().Value(http.ServerContextKey) != "mine" {
		t.Error("a request has not the values of the lane's context")
	}
	io.WriteString(c, ask[:9]) // while the first is waited for, in two pieces
	answer <- "one"
	read("one")
	<-first.Context().Done()
	io.WriteString(c, ask[9:]+ask)
	<-requests
	answer <- "two"
	read("two")
	<-requests
	answer <- "three"
	read("three")
	io.WriteString(c, strings.Replace(ask, "/wait", "/now", 1))
	now := <-requests
	read("")
	if <-now.Context().Done(); now.Context().Err() == nil { // asked for when it is over
		t.Error("a request is over, and its context is not")
	}
	io.WriteString(c, ask)
	<-requests
	io.WriteString(c, "BAD\r\n") // which is not waited for, and not for the lane
	answer <- "last"
	read("last")
	if more, err := in.ReadString('\n'); !strings.HasPrefix(more, "HTTP/1.1 400 ") {
		t.Errorf("a line that is none is answered with %q, %v", more, err)
	}
}

// A client that leaves is seen by who waits for it.
func TestLeaves(t *testing.T) {
	c, requests, _ := watched(t)
	io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: here\r\n\r\n")
	last := <-requests
	if last.Context().Err() != nil {
		t.Error("a context has ended before the client goes")
	}
	c.Close()
	child, cancel := context.WithCancel(last.Context())
	defer cancel()
	<-child.Done()
}

// A handler that asks nothing has nobody read for it.
func TestNobodyWatches(t *testing.T) {
	c := &conn{}
	p := &presence{base: t.Context(), c: c}
	if p.Err() != nil || p.inner != nil {
		t.Errorf("it has ended: %v", p.Err())
	}
	p.end()
	if p.Err() == nil || p.inner != nil {
		t.Error("it goes on")
	}
}

// A handler that panics ends its connection and no other.
func TestPanic(t *testing.T) {
	s := open(t, nil)
	if r, err := http.Get("http://" + s.address + "/play/panics"); err == nil {
		t.Errorf("got %v", r.Status)
	}
	if r, err := http.Get("http://" + s.address + "/play/none"); err != nil || r.StatusCode != http.StatusNoContent {
		t.Errorf("got %v, %v", r, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// Who waits for an answer gets it when the lane is closed; who waits for nothing is let
// go, and nobody comes in.
func TestShutdown(t *testing.T) {
	release := make(chan struct{})
	s := open(t, release)
	idle, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	fmt.Fprint(idle, "GET /play/none HTTP/1.1\r\nHost: here\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		r, err := http.Get("http://" + s.address + "/play/waits")
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Body.Close()
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "at last" || !r.Close {
			t.Errorf("got %q, %v; the last one: %v", body, err, r.Close)
		}
	})
	for busy := false; !busy; time.Sleep(time.Millisecond) {
		s.lane.mu.Lock()
		for _, b := range s.lane.conns {
			busy = busy || b
		}
		s.lane.mu.Unlock()
	}
	s.lane.Close()
	if n, err := idle.Read(make([]byte, 1)); err == nil {
		t.Errorf("the one that waits for nothing gets %d bytes", n)
	}
	if c, err := net.Dial("tcp", s.address); err == nil {
		c.Close()
		t.Error("somebody comes in")
	}
	close(release)
	s.lane.Shutdown(t.Context())
	waiting.Wait()
	http.DefaultClient.CloseIdleConnections()
}

// An answer costs few allocations, however often it is given.
func TestAllocations(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 50_000)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Lane{Takes: func(string) bool { return true }, Header: time.Minute, Idle: time.Minute, Log: slog.New(slog.DiscardHandler),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = []string{"50000"}
			w.Write(body)
		})}
	s := l.Listen(t.Context(), socket)
	defer s.Shutdown(context.Background())
	c, err := net.Dial("tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReaderSize(c, 64<<10)
	request := []byte("GET /play/x HTTP/1.1\r\nHost: here\r\nUser-Agent: me\r\n\r\n")
	ask := func() {
		c.Write(request)
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				t.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
		}
		in.Discard(len(body))
	}
	ask()
	if n := testing.AllocsPerRun(200, ask); n > 8 {
		t.Errorf("%v allocations a request", n)
	}
}

// FuzzRequest: what the lane takes for a request is one for net/http too, and the same.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET /play/a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", "GET /play/a HTTP/1.1\r\nHost: x\r\nA: b\r\nA:c\r\n\r\n", "GET /play/ HTTP/1.1\r\nHost : x\r\n\r\n",
		"GET /play/a HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", "GET  /play/a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /play/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET /play/a HTTP/1.1\r\nHost: x\n\nGET /b HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\nPragma: no-cache\r\n\r\n", "GET /f(1)'[2].jpg HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a? HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a?? HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /play/../b HTTP/1.1\r\nHost: x\r\n\r\n", "GET /play/a HTTP/1.1\r\nHost: x y\r\n\r\n", "GET /play/a?# HTTP/1.1\r\nHost: \xff\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		end := bytes.Index(text, []byte(endOfRequest))
		if end < 0 || bareLine(text[:end]) {
			return
		}
		c, r := &conn{}, &http.Request{Method: http.MethodGet}
		if !c.parse(r, func(string) bool { return true }, text[:end+4]) {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text[:end+4])))
		if err != nil {
			t.Fatalf("%q is taken, and net/http says %v", text, err)
		}
		if want.Method != r.Method || !reflect.DeepEqual(want.URL, r.URL) || want.Host != r.Host || want.RequestURI != r.RequestURI || want.ContentLength != 0 {
			t.Errorf("%q: got %+v, want %+v", text, r, want)
		}
		if !reflect.DeepEqual(r.Header, want.Header) {
			t.Errorf("%q: fields %q, want %q", text, r.Header, want.Header)
		}
	})
}
