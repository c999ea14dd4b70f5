// Package rtmp takes in what encoders push by RTMP, and knows of its wire alone: who
// may send, and what becomes of it, is an ingest.Desk's.
package rtmp

import (
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
	"liuyun/internal/flow/ingest"
)

// Limits of what comes in. Who has not shown a key yet gets little of everything.
const (
	mostConnections = 1000
	mostOfOne       = 64 // from one address
	mostStrangers   = 64 // that have not shown a key yet
	strangerTime    = 10 * time.Second
	strangerBytes   = 64 << 10
	readTime        = 15 * time.Second // without a byte: the encoder is gone
	writeTime       = 5 * time.Second
	farewellTime    = time.Second
)

// ingress counts connections.
type ingress struct {
	mu        sync.Mutex
	open      map[*connection]struct{}
	from      map[string]int // by address
	strangers int
}

// enter takes in a connection, or says why not.
func (g *ingress) enter(c *connection) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.open) >= mostConnections:
		return "there are too many encoders"
	case g.from[c.host] >= mostOfOne:
		return "there are too many encoders at this address"
	case g.strangers >= mostStrangers:
		return "too many encoders connect at once"
	}
	g.open[c] = struct{}{}
	g.from[c.host]++
	g.strangers++
	return ""
}

// known counts a connection no longer as one without a key.
func (g *ingress) known(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.trusted() {
		g.strangers--
		c.trust()
	}
}

func (g *ingress) exit(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.trusted() {
		g.strangers--
	}
	delete(g.open, c)
	if g.from[c.host]--; g.from[c.host] == 0 {
		delete(g.from, c.host)
	}
}

func (g *ingress) kickAll(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		c.kick(why)
	}
}

// Server takes in connections. All fields must be set.
type Server struct {
	Desk ingest.Desk
	Log  *slog.Logger
}

// Serve takes in connections until ctx ends; then who is connected is told, and Serve
// returns when all are gone. It closes the socket.
func (s *Server) Serve(ctx context.Context, socket net.Listener) error {
	encoders := &ingress{open: make(map[*connection]struct{}), from: make(map[string]int)}
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
		n, err := socket.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.Log.Warn("an encoder was not taken in", "cause", err)
			time.Sleep(100 * time.Millisecond) // out of descriptors: they come back
			continue
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
func (s *Server) serve(ctx context.Context, c *connection, encoders *ingress) {
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
	key := path.Base(rtmp.URL.Path)
	log = log.With("key", ingest.MaskKey(key))
	refuse := func(err error) {
		log.Warn("an encoder was refused", "reason", fault.Message(err))
		c.tell(rtmp, "error", "NetStream.Publish.BadName", fault.Message(err))
	}
	if !rtmp.Publish {
		refuse(fault.New(fault.Invalid, "this port takes streams in and gives none out"))
		return
	}
	joining, cancel := context.WithTimeout(ctx, strangerTime)
	in, err := s.Desk.Publish(joining, key, ingest.Connection{
		Protocol: "rtmp", Encoder: rtmp.FlashVer, Remote: c.net.RemoteAddr().String(), Backup: rtmp.URL.Query().Get("backup") == "1", Kick: c.kick,
	})
	cancel()
	if err != nil {
		refuse(err)
		return
	}
	encoders.known(c)
	p := publisher{in: in}
	err = p.receive(rtmp)
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
