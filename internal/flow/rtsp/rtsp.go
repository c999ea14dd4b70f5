// Package rtsp takes streams in and gives them out by RTSP (RFC 2326), over TCP and
// UDP, and pulls them from cameras. It is the only one that knows the library, which
// reads requests, descriptions and packets; here are limits, who may come in, and the
// way from timestamps of RTP to those of an [ingest.Input] and back.
package rtsp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/bluenviron/gortsplib/v5"

	"liuyun/internal/flow/ingest"
)

// Limits of what comes in. Who has not shown a key yet gets little of everything.
const (
	mostConnections = 1000
	mostOfOne       = 64 // connections from one address, and sessions of one
	mostStrangers   = 64 // that have not shown a key yet, or watched anything
	strangerTime    = 10 * time.Second
	strangerBytes   = 64 << 10
	readTime        = 15 * time.Second // without a packet: the encoder is gone
	idleTime        = 60 * time.Second // without a request: the player is gone
	writeTime       = 10 * time.Second // a packet that is not taken: the player is gone
	deskTime        = 10 * time.Second // for a desk to answer, and for a stream to begin
	queuePackets    = 512              // that wait for a player; a power of two
	udpBuffer       = 4 << 20          // what the system may hold of packets not read yet
)

// Server takes streams in, at rtsp://host/live/KEY, and gives them out, at
// rtsp://host/play/STREAM?token=….
type Server struct {
	Desk ingest.Desk
	Log  *slog.Logger
	// Sent counts bytes that players of a stream were sent. It must be quick; nil does
	// nothing.
	Sent func(stream string, bytes int64)
}

// Serve takes in encoders and players until ctx ends; then they are told to go. It
// closes the socket. Packets by UDP have the port of the socket and the next one, or
// the two after it where its number is odd; others where those are taken.
func (s *Server) Serve(ctx context.Context, socket net.Listener) error {
	packets, ports := listenPackets(socket.Addr())
	if packets == nil {
		s.Log.Warn("no RTSP over UDP: no two ports are free; encoders and players can use TCP")
	}
	h := newHandler(ctx, s)
	listener := &listener{Listener: socket, door: h.door, log: s.Log}
	server := &gortsplib.Server{
		Handler: h, RTSPAddress: socket.Addr().String(),
		ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, WriteQueueSize: queuePackets,
		Listen: func(string, string) (net.Listener, error) { return listener, nil },
	}
	if packets != nil {
		server.UDPRTPAddress, server.UDPRTCPAddress = ports[0], ports[1]
		server.ListenPacket = func(_, address string) (net.PacketConn, error) {
			if address == ports[0] {
				return packets[0], nil
			}
			return packets[1], nil
		}
		s.Log.Info("RTSP is listened for over UDP", "packets", ports[0], "control", ports[1])
	}
	h.server = server
	if err := server.Start(); err != nil {
		socket.Close()
		for _, p := range packets {
			p.Close()
		}
		return fmt.Errorf("start RTSP: %w", err)
	}
	stop := context.AfterFunc(ctx, server.Close)
	defer stop()
	err := server.Wait()
	h.work.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the RTSP listener ended by itself: %w", err)
}

// pairTries is how often two free ports beside each other are looked for.
const pairTries = 32

// listenPackets opens two ports for packets, an even one and the next, and tells their
// addresses; nil where there are none.
func listenPackets(near net.Addr) (pair []net.PacketConn, addresses []string) {
	host, text, err := net.SplitHostPort(near.String())
	if err != nil {
		return nil, nil
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, nil
	}
	for range pairTries {
		if pair, addresses = packetPair(host, port+port%2); pair != nil {
			return pair, addresses
		}
		free, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, nil
		}
		port = free.LocalAddr().(*net.UDPAddr).Port
		free.Close()
	}
	return nil, nil
}

// packetPair opens two ports, or neither.
func packetPair(host string, port int) (pair []net.PacketConn, addresses []string) {
	for i := range 2 {
		address := net.JoinHostPort(host, strconv.Itoa(port+i))
		conn, err := net.ListenPacket("udp", address)
		if err != nil {
			for _, p := range pair {
				p.Close()
			}
			return nil, nil
		}
		if u, ok := conn.(*net.UDPConn); ok {
			_ = u.SetReadBuffer(udpBuffer) // as much as the system allows
		}
		pair, addresses = append(pair, conn), append(addresses, address)
	}
	return pair, addresses
}

// listener takes in connections as far as the limits go.
type listener struct {
	net.Listener
	door *door
	log  *slog.Logger
}

// Accept returns the next connection that may come in. Its only error is the end.
func (l *listener) Accept() (net.Conn, error) {
	for {
		n, err := ingest.Accept(l.Listener, l.log)
		if err != nil {
			return nil, err
		}
		c, why := l.door.enter(n)
		if c == nil {
			l.log.Warn("an RTSP connection was refused", "from", n.RemoteAddr().String(), "reason", why)
			n.Close()
			continue
		}
		return c, nil
	}
}
