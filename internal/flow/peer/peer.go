// Package peer speaks WebRTC: WHIP (RFC 9725), by which browsers and encoders
// publish, and WHEP (draft-ietf-wish-whep), by which viewers watch within a fraction
// of a second. All connections use one UDP and one TCP port. It takes and sends H.264
// and Opus, and encodes nothing.
//
// It never sends to an address that the other side only names: candidates of clients
// are not read, and a client is answered where its authenticated checks come from.
package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
)

// Server keeps the connections of publishers and viewers. Its fields are set before
// it is used, and not changed then. See [Server.Listen], [Server.WHIP], [Server.ServeWHEP].
type Server struct {
	Desk ingest.Desk
	Log  *slog.Logger

	// Hosts are names or addresses by which others reach this machine, besides its own.
	Hosts []string
	// TURN is where TURN is listened for, host:port, UDP and TCP; "" nowhere.
	TURN string
	// Sent is told every few seconds how many bytes were sent of a stream; it may be nil.
	Sent func(stream string, bytes int64)
	// Limits bound it; zero fields are the defaults.
	Limits Limits

	packs packs

	mu       sync.Mutex
	engine   *engine // nil while it does not run
	sessions map[string]*session
	from     map[string]int // sessions by address
	work     sync.WaitGroup
}

// Limits bound what strangers and viewers may take.
type Limits struct {
	Sessions int           // at a time; 2000 unless set
	One      int           // from one address; 100 unless set
	Connect  time.Duration // until media flows; 20 s unless set
	Silence  time.Duration // without a packet; 10 s unless set
}

func (l Limits) withDefaults() Limits {
	if l.Sessions == 0 {
		l.Sessions = 2000
	}
	if l.One == 0 {
		l.One = 100
	}
	if l.Connect == 0 {
		l.Connect = 20 * time.Second
	}
	if l.Silence == 0 {
		l.Silence = 10 * time.Second
	}
	return l
}

// engine is what all connections share while the server runs.
type engine struct {
	udp         *udpPort
	tcp         *net.TCPListener
	udpMux      *ice.UDPMuxDefault
	tcpMux      *ice.TCPMuxDefault
	turn        *relay // nil: there is none
	certificate webrtc.Certificate
	hosts       []net.IP // besides the machine's own
	limits      Limits
}

func (e *engine) port() int { return e.udp.LocalAddr().(*net.UDPAddr).Port }

// Listen opens one UDP and one TCP port of address. A port that is taken is a
// syscall.EADDRINUSE in what it returns. [Server.Serve] has to follow.
func (s *Server) Listen(ctx context.Context, address string) error {
	e, err := s.open(ctx, address)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine = e
	return nil
}

// Serve keeps the ports open until ctx ends; then it ends all sessions.
func (s *Server) Serve(ctx context.Context) error {
	e := s.running()
	<-ctx.Done()
	s.mu.Lock()
	s.engine = nil
	for _, session := range s.sessions {
		session.end("the server is stopping")
	}
	s.mu.Unlock()
	s.work.Wait()
	e.close()
	return nil
}

// Address is where it listens, host:port, or "" while it does not run.
func (s *Server) Address() string {
	if e := s.running(); e != nil {
		return e.udp.LocalAddr().String()
	}
	return ""
}

func (s *Server) running() *engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine
}

// open listens.
func (s *Server) open(ctx context.Context, address string) (*engine, error) {
	e := &engine{limits: s.Limits.withDefaults()}
	var err error
	if e.certificate, err = newCertificate(); err != nil {
		return nil, err
	}
	if e.hosts, err = resolve(ctx, s.Hosts); err != nil {
		return nil, err
	}
	udp, tcp, err := listenBoth(ctx, address)
	if err != nil {
		return nil, err
	}
	e.udp, e.tcp = newUDPPort(udp), tcp
	_ = e.udp.SetReadBuffer(4 << 20) // as much of it as the system allows
	_ = e.udp.SetWriteBuffer(4 << 20)
	log := quietLog{s.Log}
	e.udpMux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: e.udp, Logger: log.NewLogger("udp")})
	e.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener: &bounded{Listener: e.tcp, quota: ingest.Quota{Most: 2 * e.limits.Sessions, MostOfOne: e.limits.One}, log: s.Log}, Logger: log.NewLogger("tcp"), ReadBufferSize: 32, WriteBufferSize: 1 << 20,
		FirstStunBindTimeout: 10 * time.Second, AliveDurationForConnFromStun: 10 * time.Second,
	})
	if s.TURN != "" {
		if e.turn, err = openRelay(s.TURN, e.reachable(), e.port(), log); err != nil {
			e.close()
			return nil, err
		}
	}
	return e, nil
}

func (e *engine) close() {
	if e.turn != nil {
		e.turn.close()
	}
	e.udpMux.Close()
	e.tcpMux.Close()
	e.udp.Close()
	e.tcp.Close()
}

// listenBoth listens on the same port by UDP and TCP.
func listenBoth(ctx context.Context, address string) (*net.UDPConn, *net.TCPListener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, fmt.Errorf("the address of WebRTC: %w", err)
	}
	var config net.ListenConfig
	// Where any free port will do, the one that UDP gets may be taken for TCP.
	for try := 0; ; try++ {
		udp, err := config.ListenPacket(ctx, "udp", address)
		if err != nil {
			return nil, nil, err
		}
		_, chosen, _ := net.SplitHostPort(udp.LocalAddr().String())
		tcp, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, chosen))
		if err == nil {
			return udp.(*net.UDPConn), tcp.(*net.TCPListener), nil
		}
		udp.Close()
		if port != "0" || try == 20 {
			return nil, nil, err
		}
	}
}

// resolve turns names into addresses.
func resolve(ctx context.Context, hosts []string) (list []net.IP, err error) {
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			list = append(list, ip)
			continue
		}
		found, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
		if err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "the name %q of live.webrtc_hosts has no address; correct it, or write the address itself", host)
		}
		list = append(list, found...)
	}
	return list, nil
}

// reachable are the addresses at which the UDP port is reached.
func (e *engine) reachable() []net.IP {
	list := append([]net.IP(nil), e.hosts...)
	for _, a := range e.udpMux.GetListenAddresses() {
		if u, ok := a.(*net.UDPAddr); ok {
			list = append(list, u.IP)
		}
	}
	return list
}

// enter takes in a session, or says why not.
func (s *Server) enter(host string, x *session) (*engine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.engine == nil:
		return nil, errNotListening()
	case len(s.sessions) >= s.engine.limits.Sessions:
		return nil, fault.New(fault.Limit, "there are too many WebRTC sessions; try again later")
	case s.from[host] >= s.engine.limits.One:
		return nil, fault.New(fault.Limit, "there are too many WebRTC sessions of your address; end one of them")
	}
	if s.sessions == nil {
		s.sessions, s.from = make(map[string]*session), make(map[string]int)
	}
	s.sessions[x.id] = x
	s.from[host]++
	s.work.Add(1)
	return s.engine, nil
}

// leave takes out a session that entered.
func (s *Server) leave(host string, x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, x.id)
	if s.from[host]--; s.from[host] == 0 {
		delete(s.from, host)
	}
	s.work.Done()
}

// find returns a session by its id, nil where there is none.
func (s *Server) find(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// errEnded is why a session's goroutines stop.
var errEnded = errors.New("the session has ended")
