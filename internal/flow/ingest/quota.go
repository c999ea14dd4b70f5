package ingest

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Quota bounds how many there are at a time, of all and of one address. Its limits are
// set before it is used; it may be used by several goroutines.
type Quota struct {
	Most, MostOfOne int

	mu   sync.Mutex
	all  int
	from map[string]int
}

// Take counts one more, unless there are too many.
func (q *Quota) Take(host string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all >= q.Most || q.from[host] >= q.MostOfOne {
		return false
	}
	if q.from == nil {
		q.from = make(map[string]int)
	}
	q.all++
	q.from[host]++
	return true
}

// Give counts one less.
func (q *Quota) Give(host string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all--
	if q.from[host]--; q.from[host] == 0 {
		delete(q.from, host)
	}
}

// HostOf is an address without its port: what a [Quota] counts by.
func HostOf(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}

// Accept returns the next connection that comes to a socket. Its only error is that the
// socket is closed: a program that is out of descriptors gets some back.
func Accept(socket net.Listener, log *slog.Logger) (net.Conn, error) {
	for {
		conn, err := socket.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		log.Warn("a connection was not taken in", "at", socket.Addr().String(), "cause", err)
		time.Sleep(100 * time.Millisecond)
	}
}
