package node

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/web"
)

// Only control nodes are servers of the bus, and of those that joined only those that
// were not deleted.
func TestAdmitPeer(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	key, request, err := guard.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	peer := func(node string, names ...string) error {
		t.Helper()
		certificate, err := c.ca.SignNode(request, node, names...)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := guard.SaveIdentity(t.TempDir(), key, certificate, c.ca.PEM())
		if err != nil {
			t.Fatal(err)
		}
		shown, err := pair.Server(nil)
		if err != nil {
			t.Fatal(err)
		}
		chain := []*x509.Certificate{shown.Leaf}
		return c.AdmitPeer(t.Context(), &tls.ConnectionState{PeerCertificates: chain, VerifiedChains: [][]*x509.Certificate{chain}})
	}
	if err := c.Register(t.Context(), "nod_here", "here", roles(), ""); err != nil {
		t.Fatal(err)
	}
	if err := peer("nod_here", guard.ControlName); err != nil {
		t.Errorf("a control node: %v", err)
	}
	if err := peer("nod_here"); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("a worker: got %v, want forbidden", err)
	}
	if err := peer("nod_gone", guard.ControlName); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a deleted control node: got %v, want not found", err)
	}
}

// A machine that asks for more than its token gives can ask again, for less, from the
// same folder; and nobody counts it as a node meanwhile.
func TestJoinWithOtherRoles(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	token, folder := c.token(t), t.TempDir()
	if _, _, err := Join(t.Context(), token, "box", folder, "control", "worker"); fault.CodeOf(err) != fault.Forbidden {
		t.Fatalf("got %v, want forbidden", err)
	}
	var nodes web.Page[Node]
	c.ask(t, "GET", "/v1/nodes", "", 200, &nodes)
	if left, _ := os.ReadDir(folder); len(left) > 0 || len(nodes.Data) > 0 {
		t.Errorf("left %v and %v", left, nodes.Data)
	}
	if _, _, err := Join(t.Context(), token, "box", folder, "worker"); err != nil {
		t.Error(err)
	}
}
