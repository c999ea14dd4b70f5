package live

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/rtmp"
	"liuyun/internal/flow/rtsp"
)

// Listener is where a protocol is listened for.
type Listener struct {
	// Address is host:port; "" listens nowhere.
	Address string
	// Optional has the service go on without when the port is taken.
	Optional bool
}

// Listeners are where encoders and readers connect.
type Listeners struct {
	RTMP, RTMPS, RTSP, SRT, WebRTC Listener
}

// Run takes in streams until ctx ends; then encoders are told to go, and what is in
// the window is whole on the disk.
func (s *Service) Run(ctx context.Context, on Listeners, ready func()) error {
	if err := os.MkdirAll(s.Folder, 0o700); err != nil {
		return err
	}
	if err := s.clean(ctx); err != nil {
		return fmt.Errorf("remove what deleted streams left: %w", err)
	}
	servers, err := s.listen(ctx, on)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.mu.Lock()
	s.running = running
	s.mu.Unlock()
	if err := s.resume(ctx); err != nil {
		return err
	}
	if err := s.resumeRecordings(ctx); err != nil {
		return err
	}
	s.work.Go(func() { s.fetchAll(running) })
	s.work.Go(func() { s.tidy(running) })
	ready()
	err = serveAll(ctx, servers)
	stop()
	s.work.Wait()
	s.closeWindows(time.Now().Add(openFor)) // all that nobody uses: what the disk was too slow for is written
	return err
}

// server serves one protocol until ctx ends and everybody is gone.
type server func(ctx context.Context) error

// listen opens the ports.
func (s *Service) listen(ctx context.Context, on Listeners) (servers []server, err error) {
	if on.RTMPS.Address != "" && s.TLS == nil {
		return nil, fault.New(fault.Invalid, "live.rtmps_listen needs a certificate: start the server with --tls")
	}
	tcp := func(serve func(context.Context, net.Listener) error) func(string) (*opened, error) {
		return func(address string) (*opened, error) { return openTCP(address, serve) }
	}
	var all []*opened
	for _, p := range []struct {
		protocol string
		on       Listener
		open     func(address string) (*opened, error)
	}{
		{"RTMP", on.RTMP, tcp((&rtmp.Server{Desk: desk{s, byRTMP}, Log: s.Log, Sent: s.sentBy(byRTMP)}).Serve)},
		{"RTMPS", on.RTMPS, tcp(s.serveRTMPS)},
		{"RTSP", on.RTSP, tcp((&rtsp.Server{Desk: desk{s, byRTSP}, Log: s.Log, Sent: s.sentBy(byRTSP)}).Serve)},
		{"SRT", on.SRT, s.openSRT},
		{"WebRTC", on.WebRTC, func(address string) (*opened, error) { return s.openWebRTC(ctx, address) }},
	} {
		one, err := s.open(p.protocol, p.on, p.open)
		if err != nil {
			for _, o := range all {
				o.close()
			}
			return nil, err
		}
		if one != nil {
			all, servers = append(all, one), append(servers, one.serve)
		}
	}
	return servers, nil
}

// opened is a port that is open.
type opened struct {
	address string // host:port
	serve   server
	close   func() // in place of serve
}

// open opens the port of a protocol, or returns nil where there is none.
func (s *Service) open(protocol string, on Listener, open func(address string) (*opened, error)) (*opened, error) {
	if on.Address == "" {
		return nil, nil
	}
	scheme := strings.ToLower(protocol)
	one, err := open(on.Address)
	switch {
	case err == nil:
		s.Log.Info(protocol+" is listened for", "address", one.address)
		s.listens(scheme, one.address)
		return one, nil
	case on.Optional && errors.Is(err, syscall.EADDRINUSE):
		s.Log.Warn("no "+protocol+": another program has the port; choose another with live."+scheme+"_listen", "address", on.Address)
		return nil, nil
	case fault.CodeOf(err) != fault.Internal: // it says what to do itself
		return nil, err
	}
	return nil, fault.Wrap(err, fault.Unavailable, "%s cannot be listened on for %s: %v; choose another address with live.%s_listen", on.Address, protocol, err, scheme)
}

func openTCP(address string, serve func(context.Context, net.Listener) error) (*opened, error) {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &opened{
		address: socket.Addr().String(), close: func() { socket.Close() },
		serve: func(ctx context.Context) error { return serve(ctx, socket) },
	}, nil
}

// serveRTMPS serves RTMP behind the server's own certificate.
func (s *Service) serveRTMPS(ctx context.Context, socket net.Listener) error {
	serving := &rtmp.Server{Desk: desk{s, byRTMP}, Log: s.Log, Protocol: "rtmps", Sent: s.sentBy(byRTMP)}
	return serving.Serve(ctx, tls.NewListener(socket, s.TLS))
}

// serveAll runs servers until ctx ends. The first one that fails ends all.
func serveAll(ctx context.Context, servers []server) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, serve := range servers {
		all.Go(func() {
			if err := serve(ctx); err != nil {
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	all.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// resume goes on with the streams that were on air here when the server ended:
// their encoders come back on their own.
func (s *Service) resume(ctx context.Context) error {
	list, err := s.unfinished(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		if _, err := s.session(r, Reconnecting, func(*session) error { return nil }); err != nil {
			s.Log.Error("the window of a stream was not opened", "stream", r.ID, "cause", err)
		}
		s.wantStopped(r) // and nobody noticed here
	}
	return nil
}
