package peer

import (
	"net"
	"sync"
)

// bounded closes connections above its limits as soon as they come.
type bounded struct {
	net.Listener
	all, one int // at a time, and from one address

	mu   sync.Mutex
	open int
	from map[string]int
}

func newBounded(l net.Listener, all, one int) *bounded {
	return &bounded{Listener: l, all: all, one: one, from: make(map[string]int)}
}

// Accept returns the next connection that is within the limits.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		if b.enter(host) {
			return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { b.leave(host) })}, nil
		}
		conn.Close()
	}
}

func (b *bounded) enter(host string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= b.all || b.from[host] >= b.one {
		return false
	}
	b.open++
	b.from[host]++
	return true
}

func (b *bounded) leave(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if b.from[host]--; b.from[host] == 0 {
		delete(b.from, host)
	}
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection and makes room for another.
func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
