package app

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/life"
)

// TLSMode says where the server's certificate comes from.
type TLSMode string

// The modes.
const (
	TLSOff   TLSMode = "off"   // plain HTTP
	TLSLocal TLSMode = "local" // a certificate of the data folder's own CA
	TLSACME  TLSMode = "acme"  // a public certificate, by ACME
	TLSFiles TLSMode = "files" // Cert and Key
	TLSSites TLSMode = "sites" // those of the sites alone, on an edge of a cloud
)

// TLSOptions is how the listener is secured.
type TLSOptions struct {
	Mode TLSMode // empty is TLSOff
	// Cert and Key are PEM files, for TLSFiles.
	Cert, Key string
}

// The roles of a node.
const (
	RoleControl = "control" // records, queue, API, console, viewers
	RoleWorker  = "worker"  // encodes
	RoleLive    = "live"    // takes streams in; beside control
	RoleEdge    = "edge"    // a cache in front of origins; alone, or beside control
)

// Roles lists all roles.
func Roles() []string { return DefaultRoles() }

// DefaultRoles are those of a node that is told none.
func DefaultRoles() []string { return []string{RoleControl, RoleWorker, RoleLive, RoleEdge} }

// ServeOptions is what one run of the server is given.
type ServeOptions struct {
	Config  Config
	Data    string     // the data folder; made when absent
	Listen  string     // address of API, console and viewers
	Roles   []string   // of Roles(); empty is DefaultRoles
	Origin  string     // what an edge without a cloud is in front of, a URL
	Join    string     // a join token lyj_…, or empty
	Name    string     // of this node, for people; empty takes the host's name
	TLS     TLSOptions // of Listen
	Version string     // of the program
	Log     *slog.Logger
	// Ready is called once, when every part is ready. It must not be nil.
	Ready func(Ready)
}

// Ready says where a server can be reached.
type Ready struct {
	URL      string   // of the console and the API; "" when this node has no listener
	Data     string   // the data folder, absolute
	AdminKey string   // path of the file with the first key; "" when this node has none
	CA       string   // path of the CA to trust in mode local, else ""
	Trust    []string // how people make their browser trust CA, in mode local
	Node     string   // this node's id
}

// drainTime is how long a node may take to stop. unitGrace of it is for the units
// that run; what is not done by then is given back and made by another.
const (
	drainTime = 25 * time.Second
	unitGrace = 15 * time.Second
)

// checkRoles says whether a node may have roles.
func checkRoles(roles []string) error {
	for _, role := range roles {
		if !slices.Contains(Roles(), role) {
			return fault.New(fault.Invalid, "there is no role %q; choose from %s", role, strings.Join(Roles(), ", "))
		}
	}
	if slices.Contains(roles, RoleLive) && !slices.Contains(roles, RoleControl) {
		return fault.New(fault.Invalid, "the role live needs the role control on the same node")
	}
	return nil
}

// Serve runs the cloud, or one node of it, until ctx ends; then it drains and
// returns nil. An error says which part failed.
func Serve(ctx context.Context, o ServeOptions) error {
	if len(o.Roles) == 0 {
		o.Roles = DefaultRoles()
	}
	if err := checkRoles(o.Roles); err != nil {
		return err
	}
	if err := o.checkEdge(); err != nil {
		return err
	}
	if o.Name == "" {
		o.Name, _ = os.Hostname()
	}
	data, err := OpenData(o.Data)
	if err != nil {
		return err
	}
	defer data.Close()
	n := &serving{ServeOptions: o, data: data, group: life.New(o.Log, drainTime)}
	defer n.close()
	if err := n.build(ctx); err != nil {
		return err
	}
	stopping := context.AfterFunc(ctx, func() {
		o.Log.Info("stopping: requests and units that have begun may finish", "within", drainTime)
	})
	defer stopping()
	err = n.group.Run(ctx)
	if err == nil {
		o.Log.Info("stopped")
	}
	return err
}

// serving is one running node: what its parts share. Parts are made in order by
// build, which starts nothing, and run by group.
type serving struct {
	ServeOptions
	data     *Data
	group    *life.Group
	security security
	closers  []func() error // in the order of opening
}

// build makes the parts of this node.
func (n *serving) build(ctx context.Context) error {
	if slices.Contains(n.Roles, RoleEdge) && n.Origin != "" {
		return n.buildLoneEdge()
	}
	if slices.Equal(n.Roles, []string{RoleEdge}) {
		return n.buildEdgeOfCloud(ctx)
	}
	who, err := n.whoAmI(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(n.Roles, RoleControl) {
		return n.buildControlNode(ctx, who)
	}
	return n.buildWorkerNode(ctx, who)
}

// onClose has something closed after every part has stopped.
func (n *serving) onClose(close func() error) { n.closers = append(n.closers, close) }

func (n *serving) close() {
	for _, closer := range slices.Backward(n.closers) {
		if err := closer(); err != nil {
			n.Log.Warn("a part did not close well", "cause", err)
		}
	}
}

// add appends a part; the order is the one of starting.
func (n *serving) add(name string, run func(context.Context, func()) error, healthy func() error) {
	n.group.Add(life.Component{Name: name, Run: run, Healthy: healthy})
}

// addReady tells that all parts before it are ready.
func (n *serving) addReady(r *Ready) {
	n.add("announcement", func(ctx context.Context, ready func()) error {
		ready() // first: who is told may ask /readyz at once
		n.Ready(*r)
		<-ctx.Done()
		return nil
	}, nil)
}
