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
	ready()
	err = serveAll(ctx, servers)
	stop()
	s.work.Wait()
	return err
}

// server serves one protocol until ctx ends and everybody is gone.
type server func(ctx context.Context) error

// listen opens the ports.
func (s *Service) listen(ctx context.Context, on Listeners) (servers []server, err error) {
	if on.RTMPS.Address != "" && s.TLS == nil {
		return nil, fault.New(fault.Invalid, "live.rtmps_listen needs a certificate: start the server with --tls")
	}
	var opened []net.Listener
	for _, p := range []struct {
		scheme string
		on     Listener
		serve  func(context.Context, net.Listener) error
	}{
		{"rtmp", on.RTMP, (&rtmp.Server{Desk: s, Log: s.Log, Sent: s.sentTo}).Serve},
		{"rtmps", on.RTMPS, s.serveRTMPS},
		{"rtsp", on.RTSP, (&rtsp.Server{Desk: s, Log: s.Log, Sent: s.sentTo}).Serve},
	} {
		socket, err := s.listenTCP(strings.ToUpper(p.scheme), p.scheme+"_listen", p.on)
		if err != nil {
			for _, o := range opened {
				o.Close()
			}
			return nil, err
		}
		if socket == nil {
			continue
		}
		s.listens(p.scheme, socket.Addr().String())
		opened = append(opened, socket)
		servers = append(servers, func(ctx context.Context) error { return p.serve(ctx, socket) })
	}
	for _, open := range []func() (server, error){
		func() (server, error) { return s.listenWebRTC(ctx, on.WebRTC) },
		func() (server, error) { return s.listenSRT(on.SRT) },
	} {
		serve, err := open()
		if err != nil {
			for _, o := range opened {
				o.Close()
			}
			return nil, err
		}
		if serve != nil {
			servers = append(servers, serve)
		}
	}
	return servers, nil
}

// serveRTMPS serves RTMP behind the server's own certificate.
func (s *Service) serveRTMPS(ctx context.Context, socket net.Listener) error {
	serving := &rtmp.Server{Desk: s, Log: s.Log, Protocol: "rtmps", Sent: s.sentTo}
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

// listenTCP opens a port for a protocol, or returns nil where there is none.
func (s *Service) listenTCP(protocol, option string, on Listener) (net.Listener, error) {
	if on.Address == "" {
		return nil, nil
	}
	socket, err := net.Listen("tcp", on.Address)
	switch {
	case err == nil:
		s.Log.Info(protocol+" is listened for", "address", socket.Addr().String())
		return socket, nil
	case on.Optional && errors.Is(err, syscall.EADDRINUSE):
		s.Log.Warn("no "+protocol+": another program has the port; choose another with live."+option, "address", on.Address)
		return nil, nil
	}
	return nil, fault.Wrap(err, fault.Unavailable, "%s cannot be listened on for %s: %v; choose another address with live.%s", on.Address, protocol, err, option)
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
	}
	return nil
}
