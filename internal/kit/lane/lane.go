// Package lane answers the small GETs that viewers repeat all day, on connections that
// are kept, for about half of what net/http needs: an answer leaves in one piece, and
// nobody listens for what a client might send meanwhile. It takes plain HTTP/1.1 alone,
// and of that only requests that it understands to the last byte; with any other the
// connection goes over to the server behind it, for good.
package lane

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Lane says what is answered here. All fields but Watch must be set.
type Lane struct {
	// Takes reports whether requests for a path are answered here. Handler answers those
	// that have no body, ask for no range, and set no condition. It must not change their
	// header.
	Takes   func(path string) bool
	Handler http.Handler
	// Watch has the context of a request end with the answer or when the client goes, for
	// a handler that asks for that: somebody reads the connection then. Without it the
	// context is that of Listen.
	Watch bool
	// Header is how long a request may take to come, Idle how long none may come.
	Header, Idle time.Duration
	Log          *slog.Logger
}

// Listener gives to a server behind it what is not for the lane.
type Listener struct {
	net.Listener
	lane *Lane
	like *http.Request // all that requests here have in common
	rest chan net.Conn
	over chan struct{} // closed when it is

	closing atomic.Bool // set while mu is held

	mu      sync.Mutex
	conns   map[*conn]bool // whether it is busy
	failed  error          // of accepting
	serving sync.WaitGroup
}

// Listen serves what comes to a socket. Requests have the context ctx.
func (l *Lane) Listen(ctx context.Context, socket net.Listener) *Listener {
	like := &http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}
	s := &Listener{
		Listener: socket, lane: l, like: like.WithContext(ctx),
		rest: make(chan net.Conn), over: make(chan struct{}), conns: make(map[*conn]bool),
	}
	go s.acceptAll()
	return s
}

func (s *Listener) acceptAll() {
	for {
		socket, err := s.Listener.Accept()
		if err != nil {
			var passing interface{ Temporary() bool }
			if errors.As(err, &passing) && passing.Temporary() { // too many open files
				time.Sleep(50 * time.Millisecond)
				continue
			}
			s.fail(err)
			return
		}
		tcp, ok := socket.(*net.TCPConn)
		if !ok {
			s.pass(socket)
			continue
		}
		c := &conn{TCPConn: tcp, remote: tcp.RemoteAddr().String(), closing: &s.closing}
		if !s.add(c) {
			tcp.Close()
			continue
		}
		go func() {
			defer s.serving.Done()
			s.serve(c)
		}()
	}
}

func (s *Listener) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
		close(s.over)
	}
}

// Accept returns the next connection that is not for the lane.
func (s *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-s.rest:
		return c, nil
	case <-s.over:
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, s.failed
	}
}

// pass gives a connection to the server behind.
func (s *Listener) pass(c net.Conn) {
	select {
	case s.rest <- c:
	case <-s.over:
		c.Close()
	}
}

// Close takes no more connections, and closes those that wait for a request. Answers
// that have begun go on: see Shutdown.
func (s *Listener) Close() error {
	err := s.Listener.Close()
	s.fail(net.ErrClosed)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	for c, busy := range s.conns {
		if !busy {
			c.Close()
		}
	}
	return err
}

// Shutdown closes it and waits for answers that have begun, until ctx ends.
func (s *Listener) Shutdown(ctx context.Context) {
	_ = s.Close() // it may be closed
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.Close()
		}
	})
	defer stop()
	s.serving.Wait()
}

func (s *Listener) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.conns[c] = false
	s.serving.Add(1) // while closing is known to be false
	return true
}

func (s *Listener) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// setBusy reports whether the connection goes on.
func (s *Listener) setBusy(c *conn, busy bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() && !busy {
		return false
	}
	s.conns[c] = busy
	return true
}

// serve answers what comes on a connection, until it ends or is passed on.
func (s *Listener) serve(c *conn) {
	defer s.forget(c)
	wait := s.lane.Header // of a new connection, for its first request
	for {
		r, p := s.request(c)
		err := c.next(r, s.lane, wait)
		switch {
		case errors.Is(err, errNotHere):
			c.SetDeadline(time.Time{})
			s.forget(c)
			s.pass(&passed{TCPConn: c.TCPConn, first: c.buffer[:c.filled]})
			return
		case err != nil:
			c.Close()
			return
		}
		s.setBusy(c, true)
		if !s.answer(c, r, p) {
			c.Close()
			return
		}
		if !s.setBusy(c, false) {
			c.finish()
			return
		}
		wait = s.lane.Idle
	}
}

// request is the next one of a connection, with what it has in common with all others.
func (s *Listener) request(c *conn) (*http.Request, *presence) {
	if !s.lane.Watch {
		r := new(http.Request)
		*r = *s.like
		return r, nil
	}
	p := &presence{base: s.like.Context(), c: c}
	return s.like.WithContext(p), p
}

// answer reports whether another request may follow.
func (s *Listener) answer(c *conn, r *http.Request, p *presence) (more bool) {
	defer func() {
		if problem := recover(); problem != nil {
			more = false
			if problem != http.ErrAbortHandler {
				s.lane.Log.Error("a handler of the fast lane panicked", "path", r.URL.Path, "problem", problem, "stack", string(debug.Stack()))
			}
		}
	}()
	if p != nil {
		defer p.end()
	}
	w := &c.writer
	w.begin(c)
	s.lane.Handler.ServeHTTP(w, r)
	return w.end()
}

// taken is how long a client has to take the last answer.
const taken = 500 * time.Millisecond

// finish ends a connection whose answers are all given. What comes after them is read, or
// the client might lose the last one.
func (c *conn) finish() {
	defer c.Close()
	if c.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(taken)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c, largestRest)) // nobody asks for it any more
}

// largestRest is how much of that is read.
const largestRest = 256 << 10

// passed is a connection of which something was read.
type passed struct {
	*net.TCPConn
	first []byte
}

// Read reads that first.
func (p *passed) Read(b []byte) (int, error) {
	if len(p.first) == 0 {
		return p.TCPConn.Read(b)
	}
	n := copy(b, p.first)
	p.first = p.first[n:]
	return n, nil
}
