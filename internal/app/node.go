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
	"time"

	"liuyun/internal/base/fault"
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
	ca       *guard.CA  // nil on a node that joined another
	reach    node.Reach // of the control nodes that it joined
}

// id is the node's id.
func (s *self) id() string { return s.identity.Node() }

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
		return &self{identity: identity, reach: *reach}, nil
	case n.Join != "" && known:
		return nil, fault.New(fault.Conflict, "%s belongs to a cloud of its own; join with a new folder, see --data", n.data.Path())
	case n.Join != "":
		return n.join(ctx, folder)
	case !slices.Contains(n.Roles, RoleControl):
		return nil, fault.New(fault.Invalid, "a worker needs a cloud to work for: make a token on a control node with liuyun nodes join-token, and start this one with --join TOKEN")
	}
	ca, err := guard.OpenCA(folder)
	if err != nil {
		return nil, err
	}
	if !known || identity.Due(time.Now()) {
		if identity, err = vouch(ca, folder, identity); err != nil {
			return nil, err
		}
	}
	return &self{identity: identity, ca: ca}, nil
}

// vouch makes or renews the certificate of the first control node.
func vouch(ca *guard.CA, folder string, before *guard.Identity) (*guard.Identity, error) {
	var ids id.Maker
	name := ids.New("nod")
	if before != nil {
		name = before.Node()
	}
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

// join makes this machine a node of another's cloud.
func (n *serving) join(ctx context.Context, folder string) (*self, error) {
	token, err := guard.ParseJoinToken(n.Join)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	identity, m, err := node.Join(ctx, token, n.Name, folder)
	if err != nil {
		return nil, err
	}
	for _, role := range n.Roles {
		if !slices.Contains(m.Roles, role) {
			return nil, fault.New(fault.Forbidden, "the join token is not for the role %s; make one that is, or choose with --roles", role)
		}
	}
	text, err := json.Marshal(m.Reach)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, reachName), text, 0o600); err != nil {
		return nil, err
	}
	return &self{identity: identity, reach: m.Reach}, nil
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
			if err := node.Renew(ctx, s.identity, s.reach.Nodes); err != nil && ctx.Err() == nil {
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
	config.GetCertificate = s.ca.Server(guard.ControlName)
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
		TLSClientConfig: s.identity.ClientTLS(), TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, MaxIdleConnsPerHost: 16,
	}}
}
