// Package h3 serves HTTP/3 (RFC 9114) beside a server for HTTP/1.1 and HTTP/2, to the
// same handler. It holds clients to limits that TCP and net/http give the others, and
// gives handlers requests and answers as those do.
package h3

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"liuyun/internal/base/fault"
)

// Server says what is served, and within what limits. All fields must be set.
type Server struct {
	Handler http.Handler
	TLS     *tls.Config // its certificates; protocols and versions are HTTP/3's own
	// Secret is this server's, and the same after a restart: clients of one that was killed
	// are told at once that their connection is gone (RFC 9000, section 10.3), and not
	// left to find out.
	Secret [32]byte
	// LargestHeader is how many bytes the header of a request may have.
	LargestHeader int
	// Header is how long a connection may be without its first request, Idle how long
	// without a further one, once all are answered. A request is one when its header is
	// there: who opens streams and sends none is idle. Of whom nothing at all is heard
	// for Idle is gone, also while something is waited for.
	Header, Idle time.Duration
	// Stall is how long a client may take nothing of what waits for it.
	Stall time.Duration
	// Finish is how long requests that have begun may take after the end.
	Finish time.Duration
	Log    *slog.Logger

	buffers sync.Pool
	alt     atomic.Pointer[alternative] // that is announced, nil while nothing is served
	count   atomic.Int64                // of connections
	active  atomic.Int64                // of requests
	none    chan struct{}               // has something when there are none any more

	mu     sync.Mutex
	second int64 // in which so many connections began as
	fresh  int
}

// Bounds of what clients can make a server hold. Who comes too much is refused, and
// comes by TCP.
const (
	mostConnections = 8192
	mostStreams     = 100 // of a connection, at a time: as many as HTTP/2 gives
	mostChannels    = 16  // that a client opens for itself; HTTP/3 has three
	streamWindow    = 512 << 10
	window          = 1 << 20 // of a connection: of bodies that nobody has read yet
	// mostStrangers is how many connections a second may begin before their clients have
	// to show that they get what is sent to them, which costs a round trip.
	mostStrangers = 256
	// linger is how long connections stay after their last answer, when the server stops:
	// what was written may still be on its way, or lost and to be sent again.
	linger = time.Second
)

// Serve serves what comes to a socket, which it closes, until ctx ends; then it lets
// requests finish that have begun. It calls ready once.
func (s *Server) Serve(ctx context.Context, socket net.PacketConn, ready func()) error {
	defer socket.Close()
	s.none = make(chan struct{}, 1)
	s.buffers.New = func() any { b := make([]byte, largestWrite); return &b }
	resets, tokens := quic.StatelessResetKey(s.derived("reset")), quic.TokenGeneratorKey(s.derived("token"))
	transport := &quic.Transport{
		Conn: socket, VerifySourceAddress: s.strange, ConnContext: s.admit,
		StatelessResetKey: &resets, TokenGeneratorKey: &tokens,
	}
	defer transport.Close()
	listener, err := transport.Listen(http3.ConfigureTLSConfig(s.TLS), &quic.Config{
		HandshakeIdleTimeout: s.Header / 2, // the whole of it may take twice that
		MaxIdleTimeout:       s.Idle,
		MaxIncomingStreams:   mostStreams, MaxIncomingUniStreams: mostChannels,
		InitialStreamReceiveWindow: streamWindow / 2, MaxStreamReceiveWindow: streamWindow,
		InitialConnectionReceiveWindow: window / 2, MaxConnectionReceiveWindow: window,
		// Whoever has seen early data can send it again, and what is behind this would act
		// on it twice (RFC 8470). All that it saves is a round trip when a client is back.
		Allow0RTT: false,
	})
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "HTTP/3 cannot be served at %s", socket.LocalAddr())
	}
	_, port, err := net.SplitHostPort(socket.LocalAddr().String())
	if err != nil {
		return err
	}
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	server := &http3.Server{
		Handler: http.HandlerFunc(s.serve), MaxHeaderBytes: s.LargestHeader,
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context { return s.visit(ctx, requests, c) },
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.alt.Store(nil)
		_ = listener.Close() // never an error; connections go on
		// What goes on for as long as it is let is told to end, as by TCP.
		time.AfterFunc(s.Finish/2, cancel)
		s.shutdown(server)
	})
	s.alt.Store(newAlternative(port))
	ready()
	err = server.ServeListener(listener)
	if !errors.Is(err, http.ErrServerClosed) {
		stop()
		s.alt.Store(nil)
		return err
	}
	<-stopped
	return nil
}

// derived is a key for one use of the secret.
func (s *Server) derived(use string) [sha256.Size]byte {
	return sha256.Sum256(append(s.Secret[:], use...))
}

// shutdown tells clients that there is an end (GOAWAY), and lets them have what they have
// asked for. Those that stay then, as a client may, are let go of.
func (s *Server) shutdown(server *http3.Server) {
	finish, cancel := context.WithTimeout(context.Background(), s.Finish)
	defer cancel()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if err := server.Shutdown(finish); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			s.Log.Debug("HTTP/3 did not stop well", "cause", err)
		}
	}()
	for s.active.Load() > 0 {
		select {
		case <-s.none:
			continue
		case <-gone:
		case <-finish.Done():
		}
		break
	}
	stay := time.AfterFunc(linger, cancel)
	defer stay.Stop()
	<-gone
}
