package h3

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// strange reports whether a client has to show that it gets what is sent to its address
// before more is done for it (RFC 9000, section 8.1.2). Anybody can write any address on
// a packet.
func (s *Server) strange(net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now().Unix(); now != s.second {
		s.second, s.fresh = now, 0
	}
	s.fresh++
	return s.fresh > mostStrangers
}

var errFull = errors.New("there are too many connections")

// admit counts a connection from its first packet on, and refuses it where there are too
// many.
func (s *Server) admit(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	if s.count.Add(1) > mostConnections {
		s.count.Add(-1)
		return nil, errFull
	}
	context.AfterFunc(ctx, func() { s.count.Add(-1) })
	return ctx, nil
}

// visit is a connection, which is closed when nothing is asked for.
type visit struct {
	conn *quic.Conn
	idle time.Duration

	mu    sync.Mutex
	busy  int       // requests that are being answered
	until time.Time // that it may be without one
	timer *time.Timer
}

// visitKey is where the context of a request has its visit.
type visitKey struct{}

// visit watches a connection, whose requests end with the context requests as well.
func (s *Server) visit(ctx, requests context.Context, c *quic.Conn) context.Context {
	v := &visit{conn: c, idle: s.Idle, until: time.Now().Add(s.Header)}
	v.mu.Lock()
	v.timer = time.AfterFunc(s.Header, v.look)
	v.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(requests, cancel)
	context.AfterFunc(c.Context(), func() {
		stop()
		cancel()
		v.timer.Stop()
	})
	return context.WithValue(ctx, visitKey{}, v)
}

// look closes the connection where its time is over.
func (v *visit) look() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.busy > 0 {
		return // the timer runs again afterwards
	}
	if left := time.Until(v.until); left > 0 {
		v.timer.Reset(left)
		return
	}
	_ = v.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "idle") // it is gone either way
}

// begin says that a request has come, and end that it has been answered.
func (v *visit) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.busy++
}

func (v *visit) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.busy--; v.busy == 0 {
		v.until = time.Now().Add(v.idle)
		v.timer.Reset(v.idle)
	}
}
