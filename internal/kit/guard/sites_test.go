package guard_test

import (
	"context"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/testkit"
)

func newSites(t *testing.T, vault *fakeVault, change func(*guard.SiteOptions)) *guard.SiteCertificates {
	t.Helper()
	o := guard.SiteOptions{
		Storage: guard.NewSharedStorage(vault, vault), Folder: t.TempDir(), Listen: "127.0.0.1:443",
		Directory: "https://127.0.0.1:1/dir", Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	s, err := guard.NewSiteCertificates(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shake makes a handshake and returns the certificate that is shown.
func shake(t *testing.T, s *guard.SiteCertificates, name string, protocols ...string) (*tls.Certificate, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	server := tls.Server(b, s.TLS())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.HandshakeContext(t.Context()) // the client says what went wrong
		server.Close()
	}()
	client := tls.Client(a, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: protocols})
	err := client.HandshakeContext(t.Context())
	a.Close()
	<-ended
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Leaf: client.ConnectionState().PeerCertificates[0]}, nil
}

// shows wants the certificate of a name to be the one made.
func shows(t *testing.T, s *guard.SiteCertificates, name string, want made) {
	t.Helper()
	got, err := shake(t, s, name)
	if err != nil || !got.Leaf.Equal(want.x509) {
		t.Errorf("%s: another certificate is shown, or none: %v", name, err)
	}
}

// refuses wants no certificate for a name, and the alert for that.
func refuses(t *testing.T, s *guard.SiteCertificates, name string) {
	t.Helper()
	_, err := shake(t, s, name)
	if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("%s: got %v", name, err)
	}
}

func TestUploaded(t *testing.T) {
	t.Parallel()
	s := newSites(t, newFakeVault(), nil)
	exact := makePair(t, newKey(t, elliptic.P256()), nil, nil, "a.example.org")
	below := makePair(t, newKey(t, elliptic.P256()), nil, nil, "*.example.org")
	refuses(t, s, "a.example.org")
	err := s.SetUploaded([]guard.UploadedPair{
		{Hosts: []string{"*.Example.org"}, Certificate: below.cert, Key: below.key},
		{Hosts: []string{"a.example.org"}, Certificate: exact.cert, Key: exact.key},
		{Hosts: []string{"broken.example.net"}, Certificate: exact.cert, Key: below.key},
	})
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "broken.example.net") {
		t.Errorf("a broken pair: %v", err)
	}
	shows(t, s, "a.example.org", exact)
	shows(t, s, "A.EXAMPLE.ORG", exact)
	shows(t, s, "b.example.org", below)
	refuses(t, s, "c.b.example.org")
	refuses(t, s, "example.org")
	refuses(t, s, "broken.example.net")
	if err := s.SetUploaded([]guard.UploadedPair{{Hosts: []string{"*.example.org"}, Certificate: below.cert, Key: below.key}}); err != nil {
		t.Error(err)
	}
	shows(t, s, "a.example.org", below)
	if err := s.SetUploaded(nil); err != nil {
		t.Error(err)
	}
	refuses(t, s, "a.example.org")
}

func TestSiteFallback(t *testing.T) {
	t.Parallel()
	ca, _ := openCA(t)
	s := newSites(t, newFakeVault(), func(o *guard.SiteOptions) { o.Fallback = ca.Server("node.example.org") })
	own := makePair(t, newKey(t, elliptic.P256()), nil, nil, "a.example.org")
	if err := s.SetUploaded([]guard.UploadedPair{{Hosts: []string{"a.example.org"}, Certificate: own.cert, Key: own.key}}); err != nil {
		t.Fatal(err)
	}
	shows(t, s, "a.example.org", own)
	if got, err := shake(t, s, "node.example.org"); err != nil || got.Leaf.VerifyHostname("node.example.org") != nil {
		t.Errorf("the node's own certificate is not shown: %v", err)
	}
}

func TestCheckManaged(t *testing.T) {
	t.Parallel()
	for host, good := range map[string]bool{
		"a.example.org": true, "xn--bcher-kva.example": true, "a-1.b": true,
		"": false, "localhost": false, "example": false, "*.example.org": false, "A.example.org": false, "a.example.org.": false,
		"127.0.0.1": false, "::1": false, "a..b": false, "-a.example.org": false, "a_b.example.org": false, "../a.b": false, "a.b/c.d": false,
		strings.Repeat("a", 64) + ".org": false, strings.Repeat("a.", 130) + "org": false,
	} {
		if err := guard.CheckManaged(host); (err == nil) != good || err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// Names that nobody manages lead to no question, and those that are managed to one a
// second, however often somebody asks as an authority does.
func TestStrangersAskAsAuthorities(t *testing.T) {
	t.Parallel()
	vault := newFakeVault()
	s := newSites(t, vault, nil)
	if err := s.Manage([]string{"a.example.org", "*.example.org"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a name with * is managed: %v", err)
	}
	for range 50 {
		if _, err := shake(t, s, "b.example.org", "acme-tls/1"); err == nil {
			t.Fatal("a name that nobody manages is answered")
		}
	}
	if vault.calls != 0 {
		t.Errorf("%d questions for a name that nobody manages", vault.calls)
	}
	start := time.Now()
	for range 50 {
		if _, err := shake(t, s, "a.example.org", "acme-tls/1"); err == nil {
			t.Fatal("a challenge that there is not is answered")
		}
	}
	if most := 2 + int(time.Since(start)/time.Second); vault.calls < 1 || vault.calls > most {
		t.Errorf("%d questions for one name: at most %d", vault.calls, most)
	}
	refuses(t, s, "a.example.org")
}

func TestManageLimit(t *testing.T) {
	t.Parallel()
	s := newSites(t, newFakeVault(), nil)
	var names []string
	for n := range guard.MostManaged + 1 {
		names = append(names, "h"+strconv.Itoa(n)+".example.org")
	}
	if err := s.Manage(names); fault.CodeOf(err) != fault.Limit || len(s.States()) != guard.MostManaged {
		t.Errorf("%d names, %v", len(s.States()), err)
	}
	if err := s.Manage(nil); err != nil || len(s.States()) != 0 {
		t.Errorf("%d names, %v", len(s.States()), err)
	}
}

// A copy that fits is shown as soon as its name is managed, before anybody is asked. One
// that does not, or has ended, is not.
func TestCopies(t *testing.T) {
	t.Parallel()
	vault := newFakeVault()
	vault.away = true
	folder := t.TempDir()
	good := makePair(t, newKey(t, elliptic.P256()), nil, nil, "a.example.org")
	for name, text := range map[string]string{
		"a.example.org": good.key + good.cert, "b.example.org": good.key + good.cert, "c.example.org": good.key[:40], "d.example.org": good.cert,
	} {
		if err := os.WriteFile(filepath.Join(folder, name+".pem"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := newSites(t, vault, func(o *guard.SiteOptions) { o.Folder = folder })
	refuses(t, s, "a.example.org")
	if err := s.Manage([]string{"a.example.org", "b.example.org", "c.example.org", "d.example.org", "e.example.org"}); err != nil {
		t.Fatal(err)
	}
	shows(t, s, "a.example.org", good)
	for _, name := range []string{"b.example.org", "c.example.org", "d.example.org", "e.example.org"} {
		refuses(t, s, name)
	}
	if got := s.States()[0]; !got.NotAfter.Equal(good.x509.NotAfter) {
		t.Errorf("got %+v", got)
	}
	if err := s.Manage(nil); err != nil {
		t.Fatal(err)
	}
	refuses(t, s, "a.example.org")
	if err := s.Manage([]string{"a.example.org"}); err != nil {
		t.Fatal(err)
	}
	shows(t, s, "a.example.org", good)
}

// Where the system chooses the port no authority can call: none is asked.
func TestSitesAtAnyPort(t *testing.T) {
	t.Parallel()
	s := newSites(t, newFakeVault(), func(o *guard.SiteOptions) { o.Listen = "127.0.0.1:0" })
	if err := s.Manage(nil); err != nil {
		t.Error(err)
	}
	if err := s.Manage([]string{"a.example.org"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a port that is not fixed: %v", err)
	}
	refuses(t, s, "a.example.org")
}

// A name that is given up while an authority is asked for it frees its lock, and one that
// comes back is begun anew. What went wrong is told.
func TestManageWhileRunning(t *testing.T) {
	t.Parallel()
	vault := newFakeVault()
	s := newSites(t, vault, nil) // nobody listens at the authority's address
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() {}) }()
	for range 2 {
		if err := s.Manage([]string{"a.example.org"}); err != nil {
			t.Fatal(err)
		}
		testkit.Until(t, 30*time.Second, "it is told what went wrong", func() bool { return strings.Contains(s.States()[0].Failure, "refused") })
		if err := s.Manage(nil); err != nil {
			t.Fatal(err)
		}
		testkit.Until(t, 30*time.Second, "the lock is free", func() (free bool) {
			vault.set(func(v *fakeVault) { free = !time.Now().Before(v.locks[lockOfA].until) })
			return free
		})
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What another edge has renewed is shown here, too, and kept for the next start.
func TestRenewedElsewhere(t *testing.T) {
	t.Parallel()
	const name = "a.example.org"
	vault, folder := newFakeVault(), t.TempDir()
	s := newSites(t, vault, func(o *guard.SiteOptions) { o.Folder = folder })
	keep := func(pair made) {
		prefix := s.PairFolder(name) + "/" + name
		vault.set(func(v *fakeVault) {
			v.values[prefix+".key"], v.values[prefix+".crt"] = []byte(pair.key), []byte(pair.cert)
			v.values[prefix+".json"] = []byte(`{"sans":["` + name + `"]}`)
		})
	}
	old := makePair(t, newKey(t, elliptic.P256()), nil, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-89*24*time.Hour), time.Now().Add(24*time.Hour)
	}, name)
	keep(old)
	if err := s.Manage([]string{name}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() {}) }()
	until := func(want made) {
		t.Helper()
		testkit.Until(t, 30*time.Second, "it is shown", func() bool {
			got, err := shake(t, s, name)
			return err == nil && got.Leaf.Equal(want.x509)
		})
	}
	until(old)
	renewed := makePair(t, newKey(t, elliptic.P256()), nil, nil, name)
	keep(renewed)
	if err := s.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(renewed)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	vault.set(func(v *fakeVault) { v.away = true })
	again := newSites(t, vault, func(o *guard.SiteOptions) { o.Folder = folder })
	if err := again.Manage([]string{name}); err != nil {
		t.Fatal(err)
	}
	shows(t, again, name, renewed)
}

func BenchmarkSiteCertificate(b *testing.B) {
	s, err := guard.NewSiteCertificates(guard.SiteOptions{Folder: b.TempDir(), Listen: "127.0.0.1:443", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	pair := makePair(b, newKey(b, elliptic.P256()), nil, nil, "*.example.org")
	if err := s.SetUploaded([]guard.UploadedPair{{Hosts: []string{"*.example.org"}, Certificate: pair.cert, Key: pair.key}}); err != nil {
		b.Fatal(err)
	}
	get := s.TLS().GetCertificate
	hello := &tls.ClientHelloInfo{ServerName: "a.example.org", SupportedProtos: []string{"h2", "http/1.1"}}
	b.ReportAllocs()
	for b.Loop() {
		if certificate, err := get(hello); certificate == nil || err != nil {
			b.Fatal(err)
		}
	}
}
