package origin

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// DialFunc opens connections to origins. It bounds how long it tries.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Transports holds the connections to origins. Pools with the same TLS identity share
// them. It starts nothing.
type Transports struct {
	dial DialFunc

	mu sync.Mutex
	// What makes connections differ that lead to the same address is who we are and whom we
	// trust, told apart by its pointer: whoever has one certificate for many origins gives
	// all the same.
	known map[*tls.Config]*shared
}

type shared struct {
	transport *http.Transport
	holders   int
}

// NewTransports returns a holder without connections. A nil dial goes anywhere; where
// tenants choose the origins, give one that refuses the inside of the network.
func NewTransports(dial DialFunc) *Transports {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialing}).DialContext
	}
	return &Transports{dial: dial, known: make(map[*tls.Config]*shared)}
}

// take returns the transport of an identity, for which drop is called once.
func (t *Transports) take(id *tls.Config) *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.known[id]
	if s == nil {
		s = &shared{transport: t.transport(id)}
		t.known[id] = s
	}
	s.holders++
	return s.transport
}

func (t *Transports) drop(id *tls.Config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.known[id]
	if s.holders--; s.holders == 0 {
		delete(t.known, id)
		s.transport.CloseIdleConnections()
	}
}

const (
	dialing = 10 * time.Second
	idle    = 90 * time.Second
	silence = 15 * time.Second // on a connection of HTTP/2, until it is asked whether it lives

	idlePerOrigin = 256
	idleInAll     = 2048 // each has a buffer of 64 KiB
)

// transport takes answers as they are. How long an origin may take to begin one differs
// from site to site, so that is not its matter.
func (t *Transports) transport(id *tls.Config) *http.Transport {
	config := &tls.Config{}
	if id != nil {
		config = id.Clone()
	}
	return &http.Transport{
		DialContext: t.dial, TLSClientConfig: config, TLSHandshakeTimeout: dialing,
		IdleConnTimeout: idle, MaxIdleConnsPerHost: idlePerOrigin, MaxIdleConns: idleInAll,
		DisableCompression: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize: 64 << 10,
		HTTP2:          &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
	}
}
