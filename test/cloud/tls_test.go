package cloud

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"liuyun/client"
)

// With --tls local the server vouches for itself by an authority of its own, which
// a client is told to trust; a client that is not told so refuses it.
func TestLocalTLS(t *testing.T) {
	s := liuyun(t).Serve(t, filepath.Join(t.TempDir(), "data"), "--roles", "control", "--tls", "local")
	authority, err := os.ReadFile(filepath.Join(s.Data, "certs", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		t.Fatal("certs/ca.crt is no certificate")
	}
	trusting := func(roots *x509.CertPool) *http.Client {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	response, err := trusting(pool).Get(s.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		t.Errorf("status %d over %s, want 200 over HTTP/2", response.StatusCode, response.Proto)
	}
	if response, err := trusting(x509.NewCertPool()).Get(s.URL + "/healthz"); err == nil {
		response.Body.Close()
		t.Error("a stranger trusts the local authority")
	}
	c, err := client.New(s.URL, s.Key, client.Options{HTTP: trusting(pool)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Session(t.Context()); err != nil {
		t.Errorf("a client that trusts the authority: %v", err)
	}
}
