package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"liuyun/internal/base/fault"
)

const (
	clusterName  = "liuyun"
	startTimeout = 20 * time.Second
	// headerRoom is what a message may have besides its data.
	headerRoom = 64 << 10
)

// startServer starts the embedded server. When its streams cannot be opened for
// want of room it starts without them: requests still work, so that somebody can
// make room, and watch starts it anew.
func (b *Bus) startServer() error {
	if err := os.MkdirAll(b.options.Folder, 0o700); err != nil {
		return fault.Wrap(err, fault.Unavailable, "the bus cannot make its folder %s", b.options.Folder)
	}
	s, err := b.launch(withStreams)
	if err != nil && b.freeRoom() < b.timing.room {
		b.options.Log.Warn("bus: started without streams: the disk is full", "error", err)
		s, err = b.launch(withoutStreams)
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the bus does not start")
	}
	b.mu.Lock()
	b.server = s
	b.mu.Unlock()
	return nil
}

// streams says whether a server keeps streams.
type streams int

const (
	withoutStreams streams = iota
	withStreams
)

func (b *Bus) launch(streams streams) (*server.Server, error) {
	options, err := b.serverOptions()
	if err != nil {
		return nil, err
	}
	options.JetStream = streams == withStreams
	s, err := server.NewServer(options)
	if err != nil {
		return nil, err
	}
	b.door.opened(s)
	log := &serverLog{log: b.options.Log}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	// Start reports what it could not do to the log alone.
	if fatal := log.fatal.Load(); fatal != nil {
		err = errors.New(*fatal)
	} else if !s.ReadyForConnections(startTimeout) {
		err = fmt.Errorf("not ready after %v", startTimeout)
	}
	if err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, err
	}
	return s, nil
}

func (b *Bus) serverOptions() (*server.Options, error) {
	c := b.options.Config
	o := &server.Options{
		ServerName:             b.options.Name,
		DontListen:             c.Listen == "",
		NoSigs:                 true,
		MaxPayload:             MaxMessage + headerRoom,
		MaxPending:             16 << 20,
		PingInterval:           10 * time.Second,
		MaxPingsOut:            2,
		WriteDeadline:          10 * time.Second,
		StoreDir:               b.options.Folder,
		SyncAlways:             true, // or acknowledged messages are lost with the power
		JetStreamMaxMemory:     int64(c.Memory),
		JetStreamMaxStore:      int64(c.Disk),
		DisableJetStreamBanner: true,
		Tags:                   []string{b.tag()},
	}
	var err error
	if c.Listen != "" || b.clustered() {
		o.CustomClientAuthentication = b.door
	}
	if c.Listen != "" {
		if o.Host, o.Port, err = splitAddress(c.Listen); err != nil {
			return nil, err
		}
		o.TLSConfig = b.options.TLS.Clone()
		o.TLSVerify = true
		o.TLSHandshakeFirst = true
		o.TLSTimeout = 5
	}
	if !b.clustered() {
		return o, nil
	}
	if o.DontListen {
		// A server that does not listen starts no routes either. So it listens on
		// loopback, for nobody but this process: others do not know the token.
		o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT
	}
	o.Cluster.Name = clusterName
	if o.Cluster.Host, o.Cluster.Port, err = splitAddress(c.Cluster.Listen); err != nil {
		return nil, err
	}
	if b.options.TLS != nil {
		o.Cluster.TLSConfig = b.options.TLS.Clone()
		o.Cluster.TLSTimeout = 5
	}
	if b.options.Peer != nil {
		o.CustomRouterAuthentication = peers(b.options.Peer)
	}
	for _, route := range c.Cluster.Routes {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: route})
	}
	return o, nil
}

// tag names this node to the placement of streams.
func (b *Bus) tag() string { return "node:" + strings.ToLower(b.options.Name) }

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(text); err != nil {
		return "", 0, fmt.Errorf("port of %s: %w", address, err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

func (b *Bus) stopServer() {
	b.mu.Lock()
	s := b.server
	b.server = nil
	b.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// Address returns where the bus listens for joined nodes, or "".
func (b *Bus) Address() string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.options.Config.Listen == "" || b.server == nil || b.server.Addr() == nil {
		return ""
	}
	return b.server.Addr().String()
}

// InProcessConn gives the client a connection to the server that runs now; the
// client calls it again when that server has been replaced.
func (p inProcess) InProcessConn() (net.Conn, error) {
	p.bus.mu.RLock()
	s := p.bus.server
	p.bus.mu.RUnlock()
	if s == nil {
		return nil, errors.New("the server is being started")
	}
	return s.InProcessConn()
}

type inProcess struct{ bus *Bus }

// freeRoom returns the free bytes of the disk under the folder; 0 when they
// cannot be read.
func (b *Bus) freeRoom() uint64 {
	var s unix.Statfs_t
	if err := unix.Statfs(b.options.Folder, &s); err != nil {
		return 0
	}
	return uint64(s.Bavail) * uint64(s.Bsize)
}

// serverLog writes the server's log to ours. What it calls a notice is detail to
// us; a fatal error ends nothing here, but is kept for the one who started it.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string]
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("bus: " + fmt.Sprintf(format, v...))
}
func (l *serverLog) Errorf(format string, v ...any) {
	text := "bus: " + fmt.Sprintf(format, v...)
	if strings.Contains(text, "authentication error") {
		l.log.Debug(text) // a deleted node tries for as long as it runs
		return
	}
	l.log.Error(text)
}

func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}

func (l *serverLog) Warnf(format string, v ...any) {
	if strings.Contains(format, "TLS Handshake First") {
		return // it warns of clients that are not ours
	}
	l.log.Warn("bus: " + fmt.Sprintf(format, v...))
}

func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.CompareAndSwap(nil, &text)
}
