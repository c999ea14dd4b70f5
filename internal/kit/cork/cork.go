// Package cork has an encrypted connection written to in large pieces. crypto/tls gives
// each of its records, of 16 KiB at most, to the connection by itself: 64 calls of the
// kernel for a segment of 1 MiB, each of which may wake who reads. While somebody who has
// much to send holds a connection, its records are gathered and leave several at a time.
// All else that is written is not touched, and nothing waits for longer than a
// millisecond.
package cork

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// record is how much is in a record of TLS; around it are at most 256 bytes (RFC 8446,
	// 5.2).
	record = 16 << 10
	// piece is how much is read at a time, and most how much is gathered: as much, once it
	// is encrypted.
	piece = 8 * record
	most  = 8 * (record + 256)
	// latest is how long something may be held. Who sends much fills what is gathered in
	// less. With HTTP/2 it may be that he can go on only when the client has seen what is
	// held.
	latest = time.Millisecond
	// mostHolders is how many may hold at a time: each has two buffers for as long as who
	// reads lets him wait. All others are written to as they always were.
	mostHolders = 256
)

// Listener accepts connections that can be held: give it to [crypto/tls.NewListener], and
// Context to the server.
type Listener struct {
	net.Listener
	buffers sync.Pool // of *[most]byte
	holders chan struct{}
}

// NewListener returns a Listener that accepts from another.
func NewListener(inner net.Listener) *Listener {
	return &Listener{inner, sync.Pool{New: func() any { return new([most]byte) }}, make(chan struct{}, mostHolders)}
}

// Accept waits for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, buffers: &l.buffers, holders: l.holders}, nil
}

// contextKey is where a context has the connection.
type contextKey struct{}

// Context is the ConnContext of a server ([net/http.Server]) whose connections are
// encrypted and accepted by a Listener.
func Context(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		if held, ok := secure.NetConn().(*conn); ok {
			return context.WithValue(ctx, contextKey{}, held)
		}
	}
	return ctx
}

// CopyN is [io.CopyN] to the answer of a request with that context. Its connection is held
// meanwhile, so the reader must not wait for anybody: a file does not. A connection that
// is not encrypted, or of HTTP/3, cannot be held, and the writer reads by itself.
func CopyN(ctx context.Context, w io.Writer, from io.Reader, n int64) (written int64, err error) {
	c, ok := ctx.Value(contextKey{}).(*conn)
	if !ok || !c.take() {
		return io.CopyN(w, from, n)
	}
	defer c.give()
	c.hold()
	buffer := c.buffers.Get().(*[most]byte)
	written, err = io.CopyBuffer(onlyWriter{w}, io.LimitReader(from, n), buffer[:piece])
	c.buffers.Put(buffer)
	if written < n && err == nil {
		err = io.EOF
	}
	if failed := c.release(); err == nil {
		err = failed
	}
	return written, err
}

// Write writes p to the answer of a request with that context, as CopyN does.
func Write(ctx context.Context, w io.Writer, p []byte) (written int, err error) {
	c, ok := ctx.Value(contextKey{}).(*conn)
	if !ok || len(p) <= record || !c.take() {
		return w.Write(p)
	}
	defer c.give()
	c.hold()
	written, err = w.Write(p)
	if failed := c.release(); err == nil {
		err = failed
	}
	return written, err
}

// onlyWriter hides that a writer can read by itself, which it does in small pieces.
type onlyWriter struct{ io.Writer }

// conn is a connection that can be held.
type conn struct {
	net.Conn
	buffers *sync.Pool
	holders chan struct{}

	mu     sync.Mutex // while it writes, too
	holds  int
	buffer *[most]byte // nil while nobody holds
	filled int
	late   *time.Timer // runs while something is gathered
	failed error
}

// Write writes p, or gathers it while somebody holds the connection.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.filled+len(p) > most {
		c.flush()
	}
	if c.failed != nil {
		return 0, c.failed
	}
	if c.holds == 0 || len(p) > most {
		return c.Conn.Write(p)
	}
	if c.filled == 0 {
		if c.late == nil {
			c.late = time.AfterFunc(latest, c.flushLate)
		} else {
			c.late.Reset(latest)
		}
	}
	c.filled += copy(c.buffer[c.filled:], p)
	return len(p), nil
}

// flush writes what is gathered. Who writes or releases next is told that it failed.
func (c *conn) flush() {
	if c.filled == 0 {
		return
	}
	c.late.Stop()
	if c.failed == nil {
		_, c.failed = c.Conn.Write(c.buffer[:c.filled])
	}
	c.filled = 0
}

func (c *conn) flushLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush()
}

// take reports whether one more may hold. Who may gives that back.
func (c *conn) take() bool {
	select {
	case c.holders <- struct{}{}:
		return true
	default:
		return false
	}
}

func (c *conn) give() { <-c.holders }

func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds++; c.holds == 1 {
		c.buffer = c.buffers.Get().(*[most]byte)
	}
}

// release ends a hold. The last one writes what is gathered.
func (c *conn) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds--; c.holds == 0 {
		c.flush()
		c.buffers.Put(c.buffer)
		c.buffer = nil
	}
	return c.failed
}
