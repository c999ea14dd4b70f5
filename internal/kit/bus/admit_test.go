package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"testing"
	"time"

	"liuyun/internal/kit/guard"
	"liuyun/internal/testkit"
)

// member makes the certificate of a node.
func member(t *testing.T, ca *guard.CA, name string, names ...string) *guard.Identity {
	t.Helper()
	key, request, err := guard.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.SignNode(request, name, names...)
	if err != nil {
		t.Fatal(err)
	}
	id, err := guard.SaveIdentity(t.TempDir(), key, certificate, ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A node that may speak in its own name speaks for nobody else, and who hears it knows whom.
func TestOwnName(t *testing.T) {
	t.Parallel()
	ca, err := guard.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Config: DefaultConfig(), TLS: &tls.Config{
		GetCertificate: ca.Server(guard.ControlName), ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}}
	o.Config.Listen = freeAddress(t)
	o.Admit = func(_ context.Context, node string) (Subjects, error) {
		return Subjects{Publish: []string{From("said", node), From("ask", node)}}, nil
	}
	control := start(t, o)
	heard := make(chan string, 10)
	stop, err := control.SubscribeFrom("said", func(node string, data []byte) { heard <- node + " says " + string(data) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	stop, err = control.ServeFrom("ask", func(_ context.Context, node string, _ []byte) (any, error) { return "hello " + node, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	one := start(t, Options{Name: "one", URLs: []string{"tls://" + o.Config.Listen}, TLS: member(t, ca, "one").ClientTLS()})
	for _, subject := range []string{From("said", "two"), "said", From("said", "one.two"), From("said", "one")} {
		if err := one.Publish(subject, subject); err != nil {
			t.Fatal(err)
		}
	}
	answer := ""
	if err := one.Request(t.Context(), From("ask", "one"), nil, &answer); err != nil || answer != "hello one" {
		t.Errorf("asked in its own name: %q, %v", answer, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := one.Request(ctx, From("ask", "two"), nil, &answer); err == nil {
		t.Errorf("asked in another's name: %q", answer)
	}
	if got := <-heard; got != `one says "said.one"` || len(heard) > 0 {
		t.Errorf("heard %q, and %d more", got, len(heard))
	}
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
	o.Admit = func(_ context.Context, node string) (Subjects, error) {
		mu.Lock()
		defer mu.Unlock()
		if !known[node] {
			return Subjects{}, errors.New("no such node")
		}
		return Subjects{Publish: []string{"hello"}, Subscribe: []string{"news"}}, nil
	}
	control := start(t, o)
	stop, err := control.Serve("hello", func(context.Context, []byte) (any, error) { return "hello", nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	nodes := make(map[string]*Bus)
	back := make(chan string, 10)
	for name := range known {
		nodes[name] = start(t, Options{
			Name: name, URLs: []string{"tls://" + o.Config.Listen}, TLS: member(t, ca, name).ClientTLS(), Reconnected: func() { back <- name },
		})
	}
	heard := func(name string) bool { return nodes[name].Request(t.Context(), "hello", nil, nil) == nil }
	if !heard("good") || !heard("bad") {
		t.Fatal("an admitted node is not answered")
	}
	news := make(chan string, 1)
	if _, err := nodes["good"].Subscribe("news", func(_ string, data []byte) { news <- string(data) }); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, 20*time.Second, "news are heard", func() bool {
		if err := control.Publish("news", 1); err != nil {
			t.Fatal(err)
		}
		select {
		case <-news:
			return true
		case <-time.After(10 * time.Millisecond):
			return false
		}
	})
	secrets := make(chan string, 1)
	stop, err = control.Subscribe("secret", func(string, []byte) { secrets <- "heard" })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := nodes["good"].Publish("secret", 1); err != nil {
		t.Fatal(err)
	}
	if !heard("good") { // after it, on the same connection
		t.Error("a node that said too much is not answered")
	}
	select {
	case <-secrets:
		t.Error("a node may say what it is not let")
	default:
	}

	set("bad", false)
	control.Expel("bad")
	testkit.Until(t, 20*time.Second, "the expelled node is out", func() bool { return nodes["bad"].Healthy() != nil })
	if heard("bad") || !heard("good") {
		t.Error("the expelled node is answered, or the other is not")
	}
	set("bad", true)
	testkit.Until(t, 20*time.Second, "the node is back", func() bool { return heard("bad") })
	if name := <-back; name != "bad" || len(back) > 0 {
		t.Errorf("%s is told to be back", name)
	}

	if control.Left("good") || control.Left("bad") || control.Left("stranger") {
		t.Error("who is here, or never was, has left")
	}
	nodes["good"].disconnect()
	testkit.Until(t, 20*time.Second, "a node that has gone has left", func() bool { return control.Left("good") })
	if control.Left("bad") {
		t.Error("the other has left too")
	}
}

// A server is of the cluster when Peer lets it be: the certificate of a node alone,
// which each worker has, is not enough.
func TestPeer(t *testing.T) {
	t.Parallel()
	ca, err := guard.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan string, 100)
	peer := func(_ context.Context, state *tls.ConnectionState) error {
		leaf := state.VerifiedChains[0][0]
		err := leaf.VerifyHostname(guard.ControlName)
		if err != nil {
			select {
			case refused <- leaf.Subject.CommonName:
			default:
			}
		}
		return err
	}
	first, second := freeAddress(t), freeAddress(t)
	serve := func(id *guard.Identity, listen, route string, peer func(context.Context, *tls.ConnectionState) error) *Bus {
		o := Options{Name: id.Node(), Folder: t.TempDir(), Config: DefaultConfig(), TLS: id.ClientTLS(), Peer: peer}
		o.TLS.ClientCAs, o.TLS.ClientAuth, o.TLS.GetCertificate = o.TLS.RootCAs, tls.RequireAndVerifyClientCert, id.Server
		o.Config.Cluster = Cluster{listen, []string{route}}
		b := newBus(t, o)
		if err := b.startServer(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.stopServer)
		return b
	}
	control := serve(member(t, ca, "control", guard.ControlName), first, second, peer)
	serve(member(t, ca, "worker"), freeAddress(t), first, nil)
	select {
	case name := <-refused:
		if name != "worker" {
			t.Errorf("%s was refused, want the worker", name)
		}
	case <-time.After(20 * time.Second):
		t.Error("the worker was not refused")
	}
	if n := control.server.NumRoutes(); n != 0 {
		t.Errorf("%d routes with a worker alone", n)
	}
	serve(member(t, ca, "other", guard.ControlName), second, first, peer)
	testkit.Until(t, 20*time.Second, "the other control node is in", func() bool { return control.server.NumRoutes() > 0 })
}
