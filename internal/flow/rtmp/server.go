// Package rtmp takes in what encoders push by RTMP and Enhanced RTMP, and sends streams
// to those who play them. It knows of the wire alone: who may send and see, and what
// becomes of it, is an ingest.Desk's.
package rtmp

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path"
	"sync"
	"time"

	"github.com/bluenviron/gortmplib"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// Limits of what comes in. Who is not known yet gets little of everything.
const (
	mostConnections = 8000
	mostStrangers   = 256  // who have not shown a key, or what they want to see
	mostViewers     = 1000 // from one address; encoders have a key each
	strangerTime    = 10 * time.Second
	strangerBytes   = 64 << 10
	readTime        = 15 * time.Second // without a byte: the encoder is gone
	writeTime       = 5 * time.Second
	playTime        = 10 * time.Second // without a place for a byte: the viewer is
	farewellTime    = time.Second
)

// ingress counts connections.
type ingress struct {
	viewers ingest.Quota

	mu        sync.Mutex
	open      map[*connection]struct{}
	strangers int
}

func newIngress() *ingress {
	return &ingress{open: make(map[*connection]struct{}), viewers: ingest.Quota{Most: mostConnections, MostOfOne: mostViewers}}
}

// enter takes in a connection, or says why not.
func (g *ingress) enter(c *connection) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.open) >= mostConnections:
		return "there are too many connections"
	case g.strangers >= mostStrangers:
		return "too many connect at once"
	}
	g.open[c] = struct{}{}
	g.strangers++
	return ""
}

// known counts a connection no longer as a stranger's. It reports whether there is
// room for another viewer of that address.
func (g *ingress) known(c *connection, viewer bool) bool {
	if viewer && !g.viewers.Take(c.host) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.strangers--
	c.trust(viewer)
	c.viewer = viewer
	return true
}

func (g *ingress) exit(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.trusted() {
		g.strangers--
	}
	delete(g.open, c)
	if c.viewer {
		g.viewers.Give(c.host)
	}
}

func (g *ingress) kickAll(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		c.kick(why)
	}
}

// Server takes in connections of encoders and of viewers.
type Server struct {
	Desk ingest.Desk
	Log  *slog.Logger
	// Protocol is what its connections are called: "rtmps" where the listener encrypts;
	// "" is "rtmp".
	Protocol string
	// Sent counts bytes that viewers of a stream were sent. It must be quick; nil does
	// not count.
	Sent func(stream string, bytes int64)
}

// Serve takes in connections until ctx ends; then who is connected is told, and Serve
// returns when all are gone. It closes the socket.
func (s *Server) Serve(ctx context.Context, socket net.Listener) error {
	encoders := newIngress()
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	defer socket.Close()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var connections sync.WaitGroup
	s.accept(running, socket, encoders, &connections)
	if ctx.Err() == nil {
		return fault.New(fault.Unavailable, "the RTMP listener ended by itself")
	}
	encoders.kickAll("the server is stopping")
	connections.Wait()
	return nil
}

// accept takes in connections until the socket is closed.
func (s *Server) accept(ctx context.Context, socket net.Listener, encoders *ingress, connections *sync.WaitGroup) {
	for {
		n, err := ingest.Accept(socket, s.Log)
		if err != nil {
			return
		}
		c := newConnection(n, time.Now())
		if why := encoders.enter(c); why != "" {
			s.Log.Warn("an encoder was refused", "from", c.host, "reason", why)
			n.Close()
			continue
		}
		connections.Go(func() {
			defer encoders.exit(c)
			defer c.net.Close()
			s.serve(ctx, c, encoders)
		})
	}
}

// serve is the life of one connection.
func (s *Server) serve(ctx context.Context, c *connection, all *ingress) {
	log := s.Log.With("from", c.net.RemoteAddr().String())
	rtmp := &gortmplib.ServerConn{RW: c}
	err := rtmp.Initialize()
	if err == nil {
		err = rtmp.Accept()
	}
	if err != nil {
		log.Info("a connection to the RTMP port came to nothing", "cause", err)
		return
	}
	if rtmp.Publish {
		s.publish(ctx, c, rtmp, all, log)
	} else {
		s.play(ctx, c, rtmp, all, log)
	}
}

// publish is the life of an encoder's connection, once it has said hello.
func (s *Server) publish(ctx context.Context, c *connection, rtmp *gortmplib.ServerConn, all *ingress, log *slog.Logger) {
	key := path.Base(rtmp.URL.Path)
	log = log.With("key", ingest.MaskKey(key))
	joining, cancel := context.WithTimeout(ctx, strangerTime)
	in, err := s.Desk.Publish(joining, key, ingest.Connection{
		Protocol: cmp.Or(s.Protocol, "rtmp"), Encoder: rtmp.FlashVer, Remote: c.net.RemoteAddr().String(), Backup: rtmp.URL.Query().Get("backup") == "1", Kick: c.kick,
	})
	cancel()
	if err != nil {
		log.Warn("an encoder was refused", "reason", fault.Message(err))
		c.tell(rtmp, "error", "NetStream.Publish.BadName", fault.Message(err))
		return
	}
	all.known(c, false)
	err = newPublisher(in).receive(c)
	in.Close()
	switch why := c.kicked(); {
	case why != "":
		log.Info("an encoder was sent away", "reason", why)
		c.tell(rtmp, "status", "NetStream.Unpublish.Success", why)
	case fault.CodeOf(err) == fault.Invalid || fault.CodeOf(err) == fault.Conflict:
		log.Warn("an encoder was sent away", "reason", fault.Message(err))
		c.tell(rtmp, "error", "NetStream.Publish.Failed", fault.Message(err))
	case errors.Is(err, io.EOF):
		log.Info("an encoder has stopped")
	default:
		log.Warn("an encoder was lost", "cause", err)
	}
}

// play is the life of a viewer's connection, once it has said hello.
func (s *Server) play(ctx context.Context, c *connection, rtmp *gortmplib.ServerConn, all *ingress, log *slog.Logger) {
	id := path.Base(rtmp.URL.Path)
	refuse := func(err error) {
		log.Info("a viewer was refused", "reason", fault.Message(err))
		c.tell(rtmp, "error", "NetStream.Play.StreamNotFound", fault.Message(err))
	}
	joining, cancel := context.WithTimeout(ctx, strangerTime)
	program, err := s.Desk.Watch(joining, id, rtmp.URL.Query().Get("token"))
	cancel()
	if err != nil {
		refuse(err)
		return
	}
	if !all.known(c, true) {
		refuse(fault.New(fault.Unavailable, "there are too many viewers at this address"))
		return
	}
	log = log.With("stream", id)
	log.Info("a viewer watches by RTMP")
	defer program.Enter()()
	watching, stop := context.WithCancelCause(ctx)
	var listening sync.WaitGroup
	listening.Go(func() { stop(c.listen()) })
	listening.Go(func() { ingest.Recheck(watching, s.Desk, id, rtmp.URL.Query().Get("token"), c.kick) })
	p := &player{c: c, sent: func(bytes int64) {
		if s.Sent != nil {
			s.Sent(id, bytes)
		}
	}}
	err = p.play(watching, program.Source())
	switch why := c.kicked(); {
	case why != "":
		log.Info("a viewer was sent away", "reason", why)
		c.tell(rtmp, "status", "NetStream.Play.Stop", why)
	case errors.Is(err, hub.ErrEnded):
		c.tell(rtmp, "status", "NetStream.Play.Stop", "the stream has ended")
	default:
		log.Info("a viewer is gone", "cause", errors.Join(err, context.Cause(watching)))
	}
	c.net.Close()
	listening.Wait()
	stop(nil)
}
