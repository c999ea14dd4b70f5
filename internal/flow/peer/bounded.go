package peer

import (
	"log/slog"
	"net"
	"sync"

	"liuyun/internal/flow/ingest"
)

// bounded closes connections above its limits as soon as they come. Its only error is
// its end: pion takes no more connections after one.
type bounded struct {
	net.Listener
	quota ingest.Quota
	log   *slog.Logger
}

// Accept returns the next connection that is within the limits.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := ingest.Accept(b.Listener, b.log)
		if err != nil {
			return nil, err
		}
		host := ingest.HostOf(conn.RemoteAddr())
		if b.quota.Take(host) {
			return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { b.quota.Give(host) })}, nil
		}
		conn.Close()
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
