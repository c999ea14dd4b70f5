package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"testing"

	"liuyun/internal/kit/guard"
)

// member makes the certificate of a node.
func member(t *testing.T, ca *guard.CA, name string) *guard.Identity {
	t.Helper()
	key, request, err := guard.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.SignNode(request, name)
	if err != nil {
		t.Fatal(err)
	}
	id, err := guard.SaveIdentity(t.TempDir(), key, certificate, ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A node with a certificate comes in while it is admitted. Expelled, its
// connection ends, and only the server's word lets it back.
func TestAdmit(t *testing.T) {
	t.Parallel()
	ca, err := guard.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	known := map[string]bool{"good": true, "bad": true}
	set := func(node string, in bool) {
		mu.Lock()
		defer mu.Unlock()
		known[node] = in
	}
	o := Options{Config: DefaultConfig(), TLS: &tls.Config{
		GetCertificate: ca.Server(guard.ControlName), ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}}
	o.Config.Listen = freeAddress(t)
	o.Admit = func(_ context.Context, node string) error {
		mu.Lock()
		defer mu.Unlock()
		if !known[node] {
			return errors.New("no such node")
		}
		return nil
	}
	control := start(t, o)
	stop, err := control.Serve("hello", func(context.Context, []byte) (any, error) { return "hello", nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	nodes := make(map[string]*Bus)
	for name := range known {
		nodes[name] = start(t, Options{Name: name, URLs: []string{"tls://" + o.Config.Listen}, TLS: member(t, ca, name).ClientTLS()})
	}
	heard := func(name string) bool { return nodes[name].Request(t.Context(), "hello", nil, nil) == nil }
	if !heard("good") || !heard("bad") {
		t.Fatal("an admitted node is not answered")
	}
	set("bad", false)
	control.Expel("bad")
	eventually(t, "the expelled node is out", func() bool { return nodes["bad"].Healthy() != nil })
	if heard("bad") || !heard("good") {
		t.Error("the expelled node is answered, or the other is not")
	}
	set("bad", true)
	eventually(t, "the node is back", func() bool { return heard("bad") })
}
