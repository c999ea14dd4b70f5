package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
	"liuyun/internal/base/id"
	"liuyun/internal/control/node"
	"liuyun/internal/kit/guard"
)

// What a node keeps of itself in its data folder.
const (
	certsName = "certs"
	reachName = "reach.json" // in certs: where the control nodes are
)

// Ports that are taken where nobody says otherwise.
const (
	nodePort = 8450 // machines join, objects
	busPort  = 8451
)

// self is who this node is.
type self struct {
	identity *guard.Identity
	ca       *guard.CA // nil on a node that joined another
	folder   string    // of certificates

	mu    sync.Mutex
	reach node.Reach // of the control nodes that it joined
}

// id is the node's id.
func (s *self) id() string { return s.identity.Node() }

// joined reports whether this node is one of somebody else's cloud.
func (s *self) joined() bool { return s.ca == nil }

// known is where the control nodes are, as far as this node knows.
func (s *self) known() node.Reach {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reach
}

// learn keeps where the control nodes are now, for this life and the next.
func (s *self) learn(reach node.Reach) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reach.Equal(s.reach) {
		return nil
	}
	text, err := json.Marshal(reach)
	if err != nil {
		return err
	}
	if err := file.WriteWhole(filepath.Join(s.folder, reachName), text, 0o600); err != nil {
		return err
	}
	s.reach = reach
	return nil
}

// server is the certificate of what a control node listens on. The first control
// node shows its authority with it, which machines that join know by its hash.
func (s *self) server() func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.joined() {
		return s.identity.Server
	}
	return s.ca.Server(guard.ControlName)
}

// whoAmI opens the identity of this node. Without one it joins with the token,
// or, without a token, is the first of a cloud and vouches for itself.
func (n *serving) whoAmI(ctx context.Context) (*self, error) {
	folder := n.data.Join(certsName)
	identity, err := guard.OpenIdentity(folder)
	known := err == nil
	if err != nil && fault.CodeOf(err) != fault.NotFound && n.Join == "" {
		return nil, err
	}
	reach, err := readReach(folder)
	switch {
	case err != nil:
		return nil, err
	case known && reach != nil:
		return &self{identity: identity, folder: folder, reach: *reach}, nil
	case n.Join != "" && known:
		return nil, fault.New(fault.Conflict, "%s belongs to a cloud of its own; join with a new folder, see --data", n.data.Path())
	case n.Join != "":
		return n.join(ctx, folder)
	case !slices.Contains(n.Roles, RoleControl):
		return nil, fault.New(fault.Invalid, "a node without the role control needs a cloud: make a token on a control node with liuyun nodes join-token, and start this one with --join TOKEN; an edge can be in front of --origin ADDRESS instead")
	}
	ca, err := guard.OpenCA(folder)
	if err != nil {
		return nil, err
	}
	if !known {
		var ids id.Maker
		if identity, err = vouch(ca, folder, ids.New("nod")); err != nil {
			return nil, err
		}
	}
	return &self{identity: identity, ca: ca, folder: folder}, nil
}

// vouch makes the certificate of the first control node.
func vouch(ca *guard.CA, folder, name string) (*guard.Identity, error) {
	key, request, err := guard.NewRequest()
	if err != nil {
		return nil, err
	}
	certificate, err := ca.SignNode(request, name, guard.ControlName)
	if err != nil {
		return nil, err
	}
	return guard.SaveIdentity(folder, key, certificate, ca.PEM())
}

// renew replaces the certificate of this node when half of its life has gone. The
// first control node asks itself, others ask the control nodes.
func (s *self) renew(ctx context.Context) error {
	if s.joined() {
		return node.Renew(ctx, s.identity, s.known().Nodes)
	}
	if !s.identity.Due(time.Now()) {
		return nil
	}
	key, request, err := guard.NewRequest()
	if err != nil {
		return err
	}
	certificate, err := s.ca.SignNode(request, s.id(), guard.ControlName)
	if err != nil {
		return err
	}
	return s.identity.Replace(key, certificate)
}

// join makes this machine a node of another's cloud.
func (n *serving) join(ctx context.Context, folder string) (*self, error) {
	token, err := guard.ParseJoinToken(n.Join)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	identity, m, err := node.Join(ctx, token, n.Name, folder, n.Roles...)
	if err != nil {
		return nil, err
	}
	who := &self{identity: identity, folder: folder}
	return who, who.learn(m.Reach)
}

// readReach reads where the control nodes are, nil on a node that joined none.
func readReach(folder string) (*node.Reach, error) {
	text, err := os.ReadFile(filepath.Join(folder, reachName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var reach node.Reach
	if err := json.Unmarshal(text, &reach); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s is damaged; join again with a new folder", reachName)
	}
	return &reach, nil
}

// renewEvery is how often a node looks whether its certificate needs renewal.
const renewEvery = 6 * time.Hour

// keepIdentity renews this node's certificate in time.
func (n *serving) keepIdentity(s *self) func(context.Context, func()) error {
	return func(ctx context.Context, ready func()) error {
		ready()
		tick := time.NewTicker(renewEvery)
		defer tick.Stop()
		for {
			if err := s.renew(ctx); err != nil && ctx.Err() == nil {
				n.Log.Warn("the certificate of this node is not renewed yet; it is tried again", "cause", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}
}

// busTLS is how control nodes let nodes onto the bus: with a certificate only.
func (s *self) busTLS() *tls.Config {
	config := s.identity.ClientTLS()
	config.ClientCAs = config.RootCAs
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.GetCertificate = s.server()
	return config
}

// nodeAddresses says where the node listener and the bus listen; "" is nowhere.
func (n *serving) nodeAddresses() (nodes, bus string, err error) {
	nodes, bus = n.Config.Node.Listen, n.Config.Bus.Listen
	host, _, err := net.SplitHostPort(n.Listen)
	if err != nil {
		return "", "", fault.New(fault.Invalid, "--listen %q: write host:port, as in 127.0.0.1:8080", n.Listen)
	}
	if address := net.ParseIP(host); host == "localhost" || (address != nil && address.IsLoopback()) {
		return nodes, bus, nil
	}
	if nodes == "" {
		nodes = net.JoinHostPort(host, strconv.Itoa(nodePort))
	}
	if bus == "" {
		bus = net.JoinHostPort(host, strconv.Itoa(busPort))
	}
	return nodes, bus, nil
}

// reachableAs is a listener's address as other machines dial it: by the
// configured host, or by the addresses of this machine's networks where it
// listens on all of them.
func (n *serving) reachableAs(listen string) []string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil
	}
	if n.Config.Node.Address != "" {
		return []string{net.JoinHostPort(n.Config.Node.Address, port)}
	}
	if address := net.ParseIP(host); host != "" && (address == nil || !address.IsUnspecified()) {
		return []string{listen}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var list []string
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.IsGlobalUnicast() {
			list = append(list, net.JoinHostPort(network.IP.String(), port))
		}
	}
	return list
}

// blobClient carries objects between nodes. It has no limit for whole requests:
// objects are large.
func (s *self) blobClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: s.dialControl, TLSClientConfig: s.identity.ClientTLS(), TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: time.Minute, MaxIdleConnsPerHost: 16,
	}}
}

// dialControl dials an address; the name of all control nodes stands for the first
// of them that answers.
func (s *self) dialControl(ctx context.Context, network, address string) (connection net.Conn, err error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if host, _, _ := net.SplitHostPort(address); host != guard.ControlName {
		return dialer.DialContext(ctx, network, address)
	}
	err = errors.New("no control node is known")
	for _, address := range s.known().Nodes {
		if connection, err = dialer.DialContext(ctx, network, address); err == nil {
			return connection, nil
		}
	}
	return nil, err
}
