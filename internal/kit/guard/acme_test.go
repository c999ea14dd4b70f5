package guard_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/internal/kit/guard"
	"liuyun/internal/testkit"
)

// freePort returns the address of a port that is free now.
func freePort(t *testing.T) (address string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String(), l.Addr().(*net.TCPAddr).Port
}

func writePair(t *testing.T, folder string, certificate *tls.Certificate) (certPath, keyPath string) {
	t.Helper()
	certPath, keyPath = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, der := range certificate.Certificate {
		text.WriteString(pemText("CERTIFICATE", der))
	}
	if err := os.WriteFile(certPath, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyPath, []byte(pemText("PRIVATE KEY", key)), 0o600); err != nil {
		t.Fatal(err)
	}
	return certPath, keyPath
}

// A certificate comes from a real ACME server, which proves the name at the
// listener itself, and is kept for the next start.
func TestACME(t *testing.T) {
	t.Parallel()
	address, port := freePort(t)
	directory, trusted := testkit.Pebble(t, port)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trusted)
	folder := t.TempDir()
	o := guard.ACMEOptions{Domains: []string{"video.example.net"}, Directory: directory, Roots: roots, Folder: folder, Listen: address, Log: slog.New(slog.DiscardHandler)}
	first := issued(t, o)
	if again := issued(t, o); again != first {
		t.Errorf("after a start it is another certificate: %s, then %s", first, again)
	}
	o.Listen = "127.0.0.1:0"
	if _, err := guard.NewACME(o); err == nil {
		t.Error("a port that is not fixed is accepted")
	}
}

// issued serves with ACME and returns the issuer and serial number of the
// certificate that comes.
func issued(t *testing.T, o guard.ACMEOptions) string {
	t.Helper()
	a, err := guard.NewACME(o)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("tcp", o.Listen)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Listener.Close()
	server.Listener = tls.NewListener(socket, a.TLS())
	server.Start()
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() { ended <- a.Run(ctx, func() {}) }()
	for range 200 {
		conn, err := tls.Dial("tcp", o.Listen, &tls.Config{InsecureSkipVerify: true, ServerName: o.Domains[0]})
		if err == nil {
			leaf := conn.ConnectionState().PeerCertificates[0]
			conn.Close()
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := leaf.VerifyHostname(o.Domains[0]); err != nil {
				t.Error(err)
			}
			return fmt.Sprint(leaf.Issuer, leaf.SerialNumber)
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("no certificate came")
	return ""
}

// New files are taken without a restart; broken ones leave the old in use.
func TestFileTLS(t *testing.T) {
	t.Parallel()
	ca, folder := openCA(t)
	first, _ := ca.Server()(nil)
	certPath, keyPath := writePair(t, folder, first)
	config, err := guard.FileTLS(certPath, keyPath, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := config.GetCertificate(nil)
	if err != nil || !shown.Leaf.Equal(first.Leaf) {
		t.Fatalf("another certificate is shown: %v", err)
	}
	second, _ := ca.Server()(nil)
	writePair(t, folder, second)
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(certPath, later, later); err != nil {
		t.Fatal(err)
	}
	if shown, _ = config.GetCertificate(nil); !shown.Leaf.Equal(first.Leaf) {
		t.Error("the files are looked at with each connection")
	}
	if _, err := guard.FileTLS(keyPath, certPath, nil); err == nil {
		t.Error("key and certificate exchanged are accepted")
	}
	if _, err := guard.FileTLS(certPath+".absent", keyPath, nil); err == nil {
		t.Error("absent files are accepted")
	}
}
