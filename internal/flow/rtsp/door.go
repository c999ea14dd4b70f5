package rtsp

import (
	"errors"
	"net"
	"sync"
	"time"

	"liuyun/internal/flow/ingest"
)

// door counts who is in.
type door struct {
	connections, strangers, sessions ingest.Quota
}

func newDoor() *door {
	return &door{
		connections: ingest.Quota{Most: mostConnections, MostOfOne: mostOfOne},
		strangers:   ingest.Quota{Most: mostStrangers, MostOfOne: mostStrangers},
		sessions:    ingest.Quota{Most: mostConnections, MostOfOne: mostOfOne},
	}
}

// enter takes in a connection, or says why not.
func (d *door) enter(n net.Conn) (c *connection, why string) {
	host := ingest.HostOf(n.RemoteAddr())
	if !d.connections.Take(host) {
		return nil, "there are too many connections, or too many from this address"
	}
	if !d.strangers.Take(host) {
		d.connections.Give(host)
		return nil, "too many connect at once"
	}
	return &connection{Conn: n, host: host, door: d, stranger: true, left: strangerBytes, until: time.Now().Add(strangerTime)}, ""
}

// connection is one of an encoder or a player, with limits of time and bytes until
// it is known.
type connection struct {
	net.Conn
	host string
	door *door

	mu       sync.Mutex
	stranger bool
	closed   bool
	left     int64     // bytes that a stranger may still send
	until    time.Time // for how long it may be one
	head     [4]byte   // what it sends first
	got      int
}

// trust makes a stranger one who is known.
func (c *connection) trust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stranger && !c.closed {
		c.stranger = false
		c.door.strangers.Give(c.host)
	}
}

// errTooMuch ends a stranger that talks and does not say what for.
var errTooMuch = errors.New("too many bytes without a stream")

// errTunnel ends a connection that speaks HTTP. The library would join two of them to
// one, and read their headers without a bound.
var errTunnel = errors.New("RTSP in HTTP is not taken")

// Read reads what the other side sends.
func (c *connection) Read(p []byte) (int, error) {
	c.mu.Lock()
	if c.stranger {
		if c.left <= 0 {
			c.mu.Unlock()
			return 0, errTooMuch
		}
		p = p[:min(int64(len(p)), c.left)]
	}
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left -= int64(n)
	if c.got < len(c.head) {
		c.got += copy(c.head[c.got:], p[:n])
		if word := string(c.head[:c.got]); word == "GET " || word == "POST" {
			return 0, errTunnel
		}
	}
	return n, err
}

// SetReadDeadline sets how long a read may take; a stranger's ends earlier.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stranger && (t.IsZero() || t.After(c.until)) {
		t = c.until
	}
	return c.Conn.SetReadDeadline(t)
}

// Close gives its place to another.
func (c *connection) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		c.door.connections.Give(c.host)
		if c.stranger {
			c.door.strangers.Give(c.host)
		}
	}
	c.mu.Unlock()
	return c.Conn.Close()
}
