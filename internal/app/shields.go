package app

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"liuyun/internal/edge/front"
	"liuyun/internal/edge/origin"
	"liuyun/internal/kit/guard"
)

// shields are the edges that others ask before they ask an origin. It is the round
// tripper to them: their host is their id.
type shields struct {
	who       *self
	transport *http.Transport
	known     atomic.Pointer[map[string][]string] // where they are, by id
}

// Limits of what one edge asks another.
const (
	shieldDial  = 5 * time.Second
	shieldIdle  = 90 * time.Second
	shieldConns = 256
)

func newShields(who *self) *shields {
	s := &shields{who: who}
	s.known.Store(&map[string][]string{})
	s.transport = &http.Transport{
		DialTLSContext: s.dial, IdleConnTimeout: shieldIdle, MaxIdleConnsPerHost: shieldConns,
		DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, ReadBufferSize: 64 << 10,
	}
	return s
}

// learn takes which edges there are.
func (s *shields) learn(now *front.State) {
	known := make(map[string][]string)
	for id, n := range now.Nodes {
		if len(n.Shield) > 0 {
			known[id] = n.Shield
		}
	}
	s.known.Store(&known)
}

// peers are the shields as a tier knows them.
func (s *shields) peers() (list []origin.Peer) {
	for id := range *s.known.Load() {
		list = append(list, origin.Peer{ID: id, URL: &url.URL{Scheme: "https", Host: id}})
	}
	slices.SortFunc(list, func(a, b origin.Peer) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// self is this node's id where others ask it, else "".
func (s *shields) self(c EdgeConfig) string {
	if c.ShieldListen == "" {
		return ""
	}
	return s.who.id()
}

// RoundTrip asks a shield.
func (s *shields) RoundTrip(r *http.Request) (*http.Response, error) {
	return s.transport.RoundTrip(r)
}

// dial connects to a shield by the first of its addresses that answers, and knows it by
// its certificate.
func (s *shields) dial(ctx context.Context, network, address string) (net.Conn, error) {
	id, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config := s.who.identity.ClientTLS()
	config.ServerName, config.NextProtos = id, []string{"http/1.1"}
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: shieldDial}, Config: config}
	err = errors.New("no address of this shield is known")
	for _, at := range (*s.known.Load())[id] {
		var connection net.Conn
		if connection, err = dialer.DialContext(ctx, network, at); err == nil {
			return connection, nil
		}
	}
	return nil, err
}

type forAnother struct{}

// asksForAnother reports whether a request is one of another edge.
func asksForAnother(r *http.Request) bool { return r.Context().Value(forAnother{}) != nil }

// serveEdge answers other edges of the cloud, which are known by their certificates.
func (e *edgeNode) serveEdge(w http.ResponseWriter, r *http.Request) {
	id, ok := guard.PeerNode(r.TLS)
	if !ok || e.front.State().Nodes[id] == nil {
		http.Error(w, "only edges of this cloud are answered here", http.StatusForbidden)
		return
	}
	e.front.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), forAnother{}, true)))
}

// unknown answers another edge that asks for a site which is not known here yet. It is no
// answer of an origin, so that the other one asks that.
func unknown(w http.ResponseWriter) {
	http.Error(w, "this edge does not know that site yet", http.StatusServiceUnavailable)
}
