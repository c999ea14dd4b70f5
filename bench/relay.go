package main

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// delayRelay passes TCP connections on with each byte late by the same time, both ways,
// and as many bytes a second as come. It stands in for a long way where the kernel has
// no netem. Opening a connection takes no time: what is measured has its connections.
type delayRelay struct {
	to      string
	oneWay  time.Duration
	socket  net.Listener
	taken   atomic.Int64 // connections
	back    atomic.Int64 // bytes to those who have connected
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]bool
}

// How much a relay holds of one direction of a connection: a reader who is slower than
// that waits, as in a window of TCP.
const (
	relayPiece  = 64 << 10
	relayPieces = 256
)

// newDelayRelay listens at one address for another.
func newDelayRelay(at, to string, oneWay time.Duration) (*delayRelay, error) {
	socket, err := net.Listen("tcp", at)
	if err != nil {
		return nil, err
	}
	r := &delayRelay{to: to, oneWay: oneWay, socket: socket, open: make(map[net.Conn]bool)}
	r.running.Go(r.accept)
	return r, nil
}

func (r *delayRelay) accept() {
	for {
		near, err := r.socket.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		r.taken.Add(1)
		r.running.Go(func() { r.join(near) })
	}
}

// join connects a caller with whom he wants until one of them closes.
func (r *delayRelay) join(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !r.keep(near, far) {
		return
	}
	defer r.forget(near, far)
	var both sync.WaitGroup
	both.Go(func() { r.pass(far, near, new(atomic.Int64)) })
	both.Go(func() { r.pass(near, far, &r.back) })
	both.Wait()
}

// pass passes on what comes from one to the other, late, counts it, and closes both after
// the end.
func (r *delayRelay) pass(to, from net.Conn, count *atomic.Int64) {
	type late struct {
		due  time.Time
		data []byte
	}
	way := make(chan late, relayPieces)
	go func() {
		defer close(way)
		buffer := make([]byte, relayPiece)
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				way <- late{time.Now().Add(r.oneWay), append([]byte(nil), buffer[:n]...)}
			}
			if err != nil {
				return
			}
		}
	}()
	for piece := range way {
		time.Sleep(time.Until(piece.due))
		if _, err := to.Write(piece.data); err != nil {
			break
		}
		count.Add(int64(len(piece.data)))
	}
	from.Close()
	to.Close()
	for range way { // the reader may wait to be rid of a piece
	}
}

func (r *delayRelay) keep(connections ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range connections {
		r.open[c] = true
	}
	return !r.closed
}

func (r *delayRelay) forget(connections ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range connections {
		delete(r.open, c)
	}
}

// close ends all connections.
func (r *delayRelay) close() {
	r.socket.Close()
	r.mu.Lock()
	r.closed = true
	for c := range r.open {
		c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}
