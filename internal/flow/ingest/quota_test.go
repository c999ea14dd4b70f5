package ingest

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestQuota(t *testing.T) {
	t.Parallel()
	q := Quota{Most: 3, MostOfOne: 2}
	for i, want := range []struct {
		host string
		ok   bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"c", false}} {
		if got := q.Take(want.host); got != want.ok {
			t.Errorf("step %d: %q is let in: %v", i, want.host, got)
		}
	}
	q.Give("a")
	if !q.Take("c") {
		t.Error("there is no room where one has left")
	}
	for _, host := range []string{"a", "b", "c"} {
		q.Give(host)
	}
	if q.all != 0 || len(q.from) != 0 {
		t.Errorf("left are %d, of %v", q.all, q.from)
	}
}

// short has no descriptors for a while, and is then closed.
type short struct {
	net.Listener
	errors []error
}

func (s *short) Addr() net.Addr { return &net.TCPAddr{} }

func (s *short) Accept() (net.Conn, error) {
	err := s.errors[0]
	s.errors = s.errors[1:]
	if err == nil {
		return &net.TCPConn{}, nil
	}
	return nil, err
}

// Who has no descriptors left goes on listening.
func TestAccept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := &net.OpError{Op: "accept", Err: syscall.EMFILE}
		socket, log := &short{errors: []error{full, full, nil, full, net.ErrClosed}}, slog.New(slog.DiscardHandler)
		if conn, err := Accept(socket, log); conn == nil || err != nil {
			t.Fatalf("got %v, %v", conn, err)
		}
		if _, err := Accept(socket, log); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v at the end", err)
		}
	})
}
