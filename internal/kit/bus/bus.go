// Package bus moves messages between the parts of the cloud: requests with an
// answer, messages that may be lost, events that may not, and small watched
// state. It is the only package that knows NATS.
//
// A control node carries a server in its own process; without configuration it
// listens nowhere and the node talks to it through memory. A joined node has no
// server: it is a client that reconnects for ever.
//
// What must not be lost is not kept here first: an event is a row of the outbox,
// written in the transaction of its change, and leaves it when the stream has
// acknowledged it.
package bus

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/kit/conf"
)

// MaxMessage is the largest message in bytes, headers not counted. A larger one
// is refused where it is sent, with fault.Limit; a larger answer reaches the one
// who asked as that fault.
const MaxMessage = 1 << 20

// Config is the section of the configuration.
type Config struct {
	Listen  string     `conf:"listen" help:"Address on which joined nodes reach the bus, as host:port; empty listens nowhere. Needs certificates, which joining makes."`
	Cluster Cluster    `conf:"cluster" help:"Several control nodes:"`
	Memory  conf.Bytes `conf:"memory" help:"The most memory that streams may use."`
	Disk    conf.Bytes `conf:"disk" help:"The most disk that streams may use; events take a quarter of it at most, the oldest go first."`
}

// Cluster joins the servers of several control nodes into one bus.
type Cluster struct {
	Listen string   `conf:"listen" help:"Address on which the other control nodes reach this one's bus, as host:port; empty means there is one control node."`
	Routes []string `conf:"routes" help:"Addresses of the other control nodes' bus.cluster_listen, as host:port. Three nodes survive the loss of one."`
}

// DefaultConfig returns one node that listens nowhere.
func DefaultConfig() Config {
	return Config{Memory: 64 << 20, Disk: 1 << 30}
}

// Validate checks addresses and limits.
func (c Config) Validate() error {
	addresses := append([]string{}, c.Cluster.Routes...)
	for _, address := range []string{c.Listen, c.Cluster.Listen} {
		if address != "" {
			addresses = append(addresses, address)
		}
	}
	for _, address := range addresses {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fault.New(fault.Invalid, "%q is no address: write host:port", address)
		}
	}
	switch {
	case (len(c.Cluster.Routes) > 0) != (c.Cluster.Listen != ""):
		return fault.New(fault.Invalid, "cluster_listen and cluster_routes go together: name the other control nodes in cluster_routes")
	case c.Memory < 8<<20:
		return fault.New(fault.Invalid, "memory must be at least 8 MiB")
	case c.Disk < 32<<20:
		return fault.New(fault.Invalid, "disk must be at least 32 MiB")
	}
	return nil
}

// Subjects are what may be said, and what may be listened to.
type Subjects struct{ Publish, Subscribe []string }

// And returns both.
func (s Subjects) And(o Subjects) Subjects {
	return Subjects{slices.Concat(s.Publish, o.Publish), slices.Concat(s.Subscribe, o.Subscribe)}
}

// Options says what a Bus is made of.
type Options struct {
	// Name is the node's name on the bus, different on each node: letters,
	// digits, "-" and "_".
	Name string
	// Folder is where the embedded server keeps its streams. Empty means that
	// there is no server: the Bus is a client of URLs.
	Folder string
	// URLs are the control nodes of a client, as tls://host:port.
	URLs []string
	// TLS holds the node's certificate and the CA that both sides are checked
	// against. It is needed by Config.Listen and by URLs, and used between
	// control nodes when it is set.
	TLS *tls.Config
	// Admit says which subjects the node with that name in its verified certificate may
	// use, besides answers to its own requests, when it connects to Config.Listen; an
	// error refuses it. Without Admit nobody may.
	Admit func(ctx context.Context, node string) (Subjects, error)
	// Peer says whether a server with that verified certificate may be one of the
	// cluster, which may do everything; an error refuses it. It is asked of those that
	// come and of those that are called. Without Peer the certificate is enough.
	Peer func(ctx context.Context, state *tls.ConnectionState) error
	// Reconnected is called when the connection of a client is back after it was lost:
	// what was published meanwhile was not heard. It must not wait. Nil: nobody asks.
	Reconnected func()
	Config      Config
	Log         *slog.Logger
}

// Bus is one node's way to all others. New makes it, Run gives it life; until
// Run is ready every call returns fault.Unavailable. It may be used by several
// goroutines.
type Bus struct {
	options Options
	ids     id.Maker
	timing  timing
	token   string // known to this process only
	door    *door
	nudges  nudges

	mu     sync.RWMutex
	server *server.Server // nil on a client, and while it is started anew
	conn   *nats.Conn
	js     jetstream.JetStream

	eventFailures atomic.Int32 // events in a row that the stream did not take
	sick          atomic.Pointer[error]
}

// timing is what tests make shorter.
type timing struct {
	probe       time.Duration // between two probes of the streams
	probeWait   time.Duration // how long a publish may take
	restartWait time.Duration // between two restarts of the server
	lease       time.Duration // how long a leader may be silent
	poll        time.Duration // between two looks at the outbox without a nudge
	ackWait     time.Duration // how long a consumer may be silent
	room        uint64        // free bytes below which a restart is of no use
}

var nodeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// New returns a Bus that does nothing until Run.
func New(o Options) (*Bus, error) {
	if !nodeName.MatchString(o.Name) {
		return nil, fault.New(fault.Invalid, "%q is no name of a node: use letters, digits, - and _", o.Name)
	}
	if (o.Folder == "") == (len(o.URLs) == 0) {
		return nil, errors.New("bus: either a folder for the server or addresses of servers")
	}
	if o.TLS == nil && (o.Config.Listen != "" || o.Folder == "") {
		return nil, fault.New(fault.Invalid, "the bus listens and connects with certificates only")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	token := rand.Text()
	return &Bus{
		options: o,
		token:   token,
		door:    newDoor(token, o),
		timing: timing{
			probe: 3 * time.Second, probeWait: 3 * time.Second, restartWait: 10 * time.Second,
			lease: 10 * time.Second, poll: 2 * time.Second, ackWait: 30 * time.Second, room: 32 << 20,
		},
	}, nil
}

// Run carries the bus until ctx ends. It calls ready when messages can be sent;
// where the disk is full that is so before events can be published.
func (b *Bus) Run(ctx context.Context, ready func()) error {
	if b.embedded() {
		if err := b.startServer(); err != nil {
			return err
		}
		defer b.stopServer()
	}
	if err := b.connect(ctx); err != nil {
		return err
	}
	defer b.disconnect()
	if !b.embedded() {
		ready()
		<-ctx.Done()
		return nil
	}
	b.prepare(ctx)
	ready()
	b.watch(ctx)
	return nil
}

// Healthy returns why the bus cannot be relied on now, or nil.
func (b *Bus) Healthy() error {
	conn, _, err := b.connection()
	if err != nil {
		return err
	}
	if !conn.IsConnected() {
		return fault.New(fault.Unavailable, "the bus is not connected")
	}
	if sick := b.sick.Load(); sick != nil {
		return fault.Wrap(*sick, fault.Unavailable, "the bus takes no events")
	}
	return nil
}

func (b *Bus) embedded() bool { return b.options.Folder != "" }

func (b *Bus) clustered() bool { return b.options.Config.Cluster.Listen != "" }

// connection returns what Run has made.
func (b *Bus) connection() (*nats.Conn, jetstream.JetStream, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.conn == nil {
		return nil, nil, fault.New(fault.Unavailable, "the bus is not running")
	}
	return b.conn, b.js, nil
}
