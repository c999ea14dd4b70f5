package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
	"liuyun/internal/edge/cache"
	"liuyun/internal/edge/origin"
	"liuyun/internal/kit/h3"
	"liuyun/internal/kit/lane"
	"liuyun/internal/kit/obs"
)

// checkEdge says what is wrong with the options of an edge.
func (o ServeOptions) checkEdge() error {
	edge := slices.Contains(o.Roles, RoleEdge)
	switch {
	case !edge && o.Origin != "":
		return fault.New(fault.Invalid, "--origin is for an edge: add --roles edge")
	case o.TLS.Mode == TLSSites && slices.Contains(o.Roles, RoleControl):
		return fault.New(fault.Invalid, "--tls sites is for an edge alone; use local, acme, or --tls-cert and --tls-key, beside which certificates of sites are shown")
	case !edge && o.TLS.Mode == TLSSites:
		return fault.New(fault.Invalid, "--tls sites is for an edge: its certificates are those of the sites")
	case !edge:
		return nil
	case len(o.Roles) > 1 && o.Origin != "":
		return fault.New(fault.Invalid, "--origin is for an edge without a cloud: use --roles edge alone")
	case slices.Contains(o.Roles, RoleControl):
		return nil // it serves the sites of its cloud
	case len(o.Roles) > 1:
		return fault.New(fault.Invalid, "an edge is a node of its own, or beside the role control: use --roles edge alone")
	case o.Join != "" && o.Origin != "":
		return fault.New(fault.Invalid, "an edge is of a cloud or in front of one origin: use --join or --origin")
	case o.TLS.Mode == TLSSites && o.Origin != "":
		return fault.New(fault.Invalid, "--tls sites is for an edge of a cloud; use --tls acme, or --tls-cert and --tls-key")
	case o.TLS.Mode == TLSLocal:
		return fault.New(fault.Invalid, "--tls local is of a control node; use --tls acme, or --tls-cert and --tls-key")
	case o.Origin == "":
		return nil
	}
	_, err := o.originURL()
	return err
}

// originURL is what an edge is in front of.
func (o ServeOptions) originURL() (*url.URL, error) {
	u, err := url.Parse(o.Origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fault.New(fault.Invalid, "--origin %q: write an address such as https://example.org or http://127.0.0.1:8000/base", o.Origin)
	}
	return u, nil
}

// buildLoneEdge makes a node that is a cache in front of one origin.
func (n *serving) buildLoneEdge() error {
	address, err := n.originURL()
	if err != nil {
		return err
	}
	c, err := n.openCache()
	if err != nil {
		return err
	}
	config := n.Config.Edge
	pool, err := origin.New(origin.Options{Endpoints: []origin.Endpoint{{URL: address}}, Answer: config.AnswerTimeout, Log: n.Log})
	if err != nil {
		return err
	}
	n.onClose(func() error { pool.Close(); return nil })
	site := &cache.Site{
		Name: "origin", Origin: &url.URL{Scheme: address.Scheme, Host: address.Host}, Transport: pool,
		Policy: cache.Policy{DefaultTTL: config.DefaultTTL, StaleIfError: config.StaleIfError},
	}
	if n.security, err = n.secure(nil); err != nil {
		return err
	}
	metrics := obs.NewRegistry()
	c.Measure(metrics)
	n.addStatus(metrics)
	return n.addViewers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var out cache.Outcome
		c.Serve(w, r, site, &out)
	}), "")
}

// openCache opens what an edge has stored.
func (n *serving) openCache() (*cache.Cache, error) {
	config := n.Config.Edge
	c, err := cache.New(cache.Options{
		Name: cacheName, Folder: n.data.Join(cacheFolder), Memory: int64(config.Memory), Disk: int64(config.Disk), Share: config.TenantShare,
		Room: n.Config.Blob.Reserve(n.data.Path()).CheckRoom, Patience: config.AnswerTimeout, Log: n.Log,
	})
	if err == nil {
		n.onClose(c.Close)
	}
	return c, err
}

// addStatus adds where an edge says how it is, apart from what it serves.
func (n *serving) addStatus(metrics *obs.Registry) {
	if n.Config.Edge.StatusListen == "" {
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /readyz", n.group.Handler())
	mux.Handle("GET /metrics", metrics.Handler())
	n.add("status", n.listener(n.Config.Edge.StatusListen, nil, mux, nil, func(net.Addr) {}), nil)
}

// addViewers adds what viewers come to, the last parts of an edge.
func (n *serving) addViewers(serve http.Handler, node string) error {
	ready := Ready{Data: n.data.Path(), Node: node}
	scheme := "http://"
	if n.security.config != nil {
		scheme = "https://"
	}
	n.add("heap", garbageOfEdge().tend, nil)
	if err := n.addEdgeListeners(serve, func(at net.Addr) { ready.URL = scheme + at.String() }); err != nil {
		return err
	}
	if n.security.acme != nil {
		ready.URL = scheme + n.Config.ACME.Domains[0]
		n.add("certificates", n.security.acme.Run, nil)
	}
	n.addReady(&ready)
	return nil
}

// addEdgeListeners adds what viewers come to. By UDP they come to the same port as by TCP.
func (n *serving) addEdgeListeners(serve http.Handler, listening func(net.Addr)) error {
	if n.security.config == nil || !n.Config.Edge.HTTP3 {
		n.add("edge", n.listener(n.Listen, n.security.config, serve, n.edgeLane(serve), listening), nil)
		return nil
	}
	secret, err := n.quicSecret()
	if err != nil {
		return err
	}
	server := &h3.Server{
		Handler: serve, TLS: n.security.config, Secret: secret, LargestHeader: largestHeader,
		Header: headerTimeout, Idle: idleTimeout, Stall: stallTimeout, Finish: finishTime, Log: n.Log,
	}
	address := "" // known when the first of both is ready
	n.add("edge", n.listener(n.Listen, n.security.config, server.Announce(serve), nil, func(at net.Addr) {
		address = at.String()
		listening(at)
	}), nil)
	n.add("http3", func(ctx context.Context, ready func()) error {
		var config net.ListenConfig
		socket, err := config.ListenPacket(ctx, "udp", address)
		if err != nil {
			// Clients learn of HTTP/3 by TCP only, and are not told of it now: none is lost.
			// An edge that does not start would lose them all.
			n.Log.Warn("viewers come by HTTP/1.1 and HTTP/2 only: the UDP port cannot be listened on; free it, or set edge.http3=false", "address", address, "cause", err)
			ready()
			<-ctx.Done()
			return nil
		}
		return server.Serve(ctx, socket, ready)
	}, nil)
	return nil
}

// edgeLane answers all that viewers ask for who come without encryption.
func (n *serving) edgeLane(serve http.Handler) *lane.Lane {
	all := func(string) bool { return true }
	return &lane.Lane{Takes: all, Handler: serve, Watch: true, Header: headerTimeout, Idle: idleTimeout, Log: n.Log}
}

// quicSecret is what HTTP/3 has to know after a restart. It is made when it is not there,
// or not whole.
func (n *serving) quicSecret() (secret [32]byte, err error) {
	path := n.data.Join(quicSecretName)
	kept, err := os.Open(path)
	if err == nil {
		defer kept.Close()
		if _, err = io.ReadFull(kept, secret[:]); err == nil {
			return secret, nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return secret, explainFolder(err, n.data.Path())
	}
	rand.Read(secret[:]) // never fails
	return secret, explainFolder(file.WriteWhole(path, secret[:], 0o600), n.data.Path())
}

const (
	cacheName   = "liuyun"
	cacheFolder = "cache" // what an edge has stored
	edgeFolder  = "edge"  // what it knows of its cloud

	quicSecretName = "quic.secret" // see quicSecret, 0600
)
