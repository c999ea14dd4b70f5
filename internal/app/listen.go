package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"liuyun/internal/base/fault"
	"liuyun/internal/console"
	"liuyun/internal/edge/route"
	"liuyun/internal/kit/cork"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/lane"
	"liuyun/internal/video/live"
	"liuyun/internal/video/vod"
)

// Limits of the listener: pages and programs of any origin reach it.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	stallTimeout  = 2 * time.Minute // a client that takes nothing of what waits for it
	largestHeader = 32 << 10
)

// handler is everything that one control node answers.
func (n *serving) handler(c *control) http.Handler {
	mux := http.NewServeMux()
	api := c.api.Handler()
	mux.Handle("/v1/", api)
	mux.Handle("/docs", api)
	mux.Handle("/docs/", api)
	mux.Handle("/play/", byKind(c.streams.Play(), c.assets.Play()))
	mux.Handle(vod.ReportsPath, c.assets.Reports())
	for _, path := range []string{"/whip", "/whip/{session}"} {
		mux.Handle("OPTIONS "+path, c.streams.WHIP()) // before a page of another origin publishes
	}
	for _, path := range []string{route.RedirectPath, route.SteerHLSPath, route.SteerDASHPath} {
		mux.Handle(path, c.routes.router)
	}
	pages := console.Console(n.viewerOrigins()...)
	mux.Handle("/console/", pages)
	embed := console.Embed(n.viewerOrigins()...)
	mux.Handle("/embed/", embed)
	mux.Handle("/embed.js", embed)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /readyz", n.group.Handler())
	mux.Handle("GET /metrics", c.onlyOperators(c.metrics.Handler()))
	mux.Handle("GET /{$}", http.RedirectHandler("/console/", http.StatusFound))
	mux.Handle("/", api) // answers 404 in its own words
	return soon(mux)
}

// soon gives the body of a request half a minute to arrive, also one that nobody
// reads: the server waits for it before the next request. What takes longer gives
// itself more time, when it knows who asks.
func soon(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		}
		next.ServeHTTP(w, r)
	})
}

// security is how the listener is secured. The zero value is not at all.
type security struct {
	config *tls.Config
	acme   *guard.ACME // where a public authority is asked
}

// secure finds the server's certificate.
func (n *serving) secure(who *self) (s security, err error) {
	switch n.TLS.Mode {
	case TLSFiles:
		s.config, err = guard.FileTLS(n.TLS.Cert, n.TLS.Key, func(err error) { n.Log.Warn("the certificate was not read again", "cause", err) })
	case TLSLocal:
		if who.joined() {
			return s, fault.New(fault.Invalid, "the local authority is on the first control node; use --tls-cert and --tls-key here")
		}
		host, _, _ := net.SplitHostPort(n.Listen)
		s.config = guard.LocalTLS(who.ca, host, n.Name)
	case TLSACME:
		s.acme, err = guard.NewACME(guard.ACMEOptions{
			Domains: n.Config.ACME.Domains, Email: n.Config.ACME.Email, Directory: n.Config.ACME.Directory,
			Folder: n.data.Join(certsName), Listen: n.Listen, Log: n.Log,
		})
		if err == nil {
			s.config = s.acme.TLS()
		}
	}
	return s, err
}

// addListener adds the listener of API, console and viewers, the last part of
// all: when it is ready, everything is.
func (n *serving) addListener(c *control, who *self, serve http.Handler) {
	n.addMetrics(c)
	ready := Ready{Data: n.data.Path(), AdminKey: n.data.AdminKey(), Node: who.id()}
	scheme := "http://"
	if n.security.config != nil {
		scheme = "https://"
	}
	if n.TLS.Mode == TLSLocal {
		lines := who.ca.Instructions()
		ready.CA, ready.Trust = who.ca.Path(), lines[:]
	}
	n.add("listener", n.listener(n.Listen, n.security.config, serve, n.lane(c), func(address net.Addr) { ready.URL = scheme + address.String() }), nil)
	if n.security.acme != nil {
		ready.URL = scheme + n.Config.ACME.Domains[0]
		n.add("certificates", n.security.acme.Run, nil)
	}
	n.addReady(&ready)
}

// viewerOrigins are the origins, besides the console's own, that media comes from.
func (n *serving) viewerOrigins() []string {
	if n.Config.Viewer.URL == "" {
		return nil
	}
	u, err := url.Parse(n.Config.Viewer.URL)
	if err != nil {
		return nil // it was checked
	}
	if routed(u.Path + "/") { // viewers are sent to edges, whose names may change
		return []string{u.Scheme + "://" + u.Host, u.Scheme + ":"}
	}
	return []string{n.Config.Viewer.URL}
}

// onlyOperators lets programs on this machine and admin keys through. What a proxy on
// this machine passes on is from elsewhere.
func (c *control) onlyOperators(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
		if address := net.ParseIP(host); address == nil || !address.IsLoopback() || forwarded {
			if who, err := c.accounts.Authenticate(r); err != nil || !who.Allows("admin") {
				http.Error(w, "metrics are for this machine, or for a key of scope admin", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// lane answers what viewers of streams ask for all the time: each asks several times a
// second.
func (n *serving) lane(c *control) *lane.Lane {
	takes := func(path string) bool { return strings.HasPrefix(path, "/play/") && live.Plays(path) }
	return &lane.Lane{Takes: takes, Handler: c.streams.Play(), Header: headerTimeout, Idle: idleTimeout, Log: n.Log}
}

// listener serves handler on an address until it is stopped; then it lets requests
// finish that have begun. Where nothing is encrypted, the fast lane takes what is for it.
func (n *serving) listener(address string, secure *tls.Config, handler http.Handler, fast *lane.Lane, listening func(net.Addr)) func(context.Context, func()) error {
	return func(ctx context.Context, ready func()) error {
		socket, err := listen(ctx, address, stallTimeout)
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "%s cannot be listened on: %v; choose another address with --listen", address, err)
		}
		if secure != nil {
			secure = secure.Clone()
			if len(secure.NextProtos) == 0 {
				secure.NextProtos = []string{"h2", "http/1.1"}
			}
			socket = tls.NewListener(cork.NewListener(socket), secure)
		}
		requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		shutLane := func(context.Context) {}
		if fast != nil && secure == nil {
			quick := fast.Listen(requests, socket)
			socket, shutLane = quick, quick.Shutdown
		}
		server := &http.Server{
			Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: largestHeader,
			ConnContext: cork.Context, BaseContext: func(net.Listener) context.Context { return requests }, ErrorLog: log.New(serverLog{n.Log}, "", 0),
		}
		stopped := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(stopped)
			finish, cancelFinish := context.WithTimeout(context.Background(), finishTime)
			defer cancelFinish()
			// Uploads and event streams go on for as long as they are let: they are told
			// to end, and go on elsewhere from what was acknowledged.
			time.AfterFunc(finishTime/2, cancel)
			if server.Shutdown(finish) != nil {
				server.Close()
			}
			shutLane(finish)
		})
		listening(socket.Addr())
		ready()
		err = server.Serve(socket)
		if !errors.Is(err, http.ErrServerClosed) {
			stop()
			return err
		}
		<-stopped
		return nil
	}
}

// listen opens a socket whose connections end when the other side has taken nothing
// of what waits for it for so long: a viewer who stops reading holds nothing for
// ever. The kernel keeps that time (RFC 5482; of Linux, also for a window of zero),
// so that no writer has to set deadlines and sendfile stays.
func listen(ctx context.Context, address string, stalled time.Duration) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error {
		var err error
		failed := socket.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(stalled.Milliseconds()))
		})
		return errors.Join(failed, err)
	}}
	return config.Listen(ctx, "tcp", address)
}

// finishTime is how long requests that have begun may take when a node stops.
const finishTime = 6 * time.Second

// serverLog takes what net/http says that no handler knows of. Anyone can break off a
// handshake, as often as they like: that is for who looks closer.
type serverLog struct{ log *slog.Logger }

// Write takes one message.
func (l serverLog) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	switch {
	case strings.Contains(text, "panic serving"):
		l.log.Error("a request could not be answered; this is a defect", "cause", text)
	case strings.HasPrefix(text, "http: TLS handshake error"), strings.HasPrefix(text, "http2: "):
		l.log.Debug("a connection has failed", "cause", text)
	default:
		l.log.Warn("the listener has trouble", "cause", text)
	}
	return len(p), nil
}
