package testkit

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Pebble runs an ACME server that checks all names at tlsPort of this machine, and
// returns its directory and, in PEM, what that is trusted by. Both end with the test.
func Pebble(t testing.TB, tlsPort int) (directory string, roots []byte) {
	t.Helper()
	pebble, dns := Peer(t, "pebble"), Peer(t, "pebble-challtestsrv")
	folder := t.TempDir()
	// The certificate of net/http's own tests is good for 127.0.0.1.
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	pair := secure.TLS.Certificates[0]
	client := secure.Client()
	roots = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	secure.Close()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certPath, keyPath := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	writePEM(t, certPath, "CERTIFICATE", pair.Certificate[0])
	writePEM(t, keyPath, "PRIVATE KEY", key)
	local := func() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t))) }
	names, listen := local(), local()
	startPeer(t, nil, dns, "-dns01", names, "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", local(), "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1")
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "certificate": certPath, "privateKey": keyPath, "httpPort": 1, "tlsPort": tlsPort,
		"profiles": map[string]any{"default": map[string]any{"description": "d", "validityPeriod": 7776000}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	configPath := filepath.Join(folder, "pebble.json")
	if err := os.WriteFile(configPath, config, 0o600); err != nil {
		t.Fatal(err)
	}
	startPeer(t, []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0"}, pebble, "-config", configPath, "-dnsserver", names)
	directory = "https://" + listen + "/dir"
	Until(t, 10*time.Second, "pebble answers", func() bool {
		answer, err := client.Get(directory)
		if err != nil {
			return false
		}
		client.CloseIdleConnections()
		return answer.Body.Close() == nil
	})
	return directory, roots
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startPeer starts a program that is killed when the test ends.
func startPeer(t testing.TB, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}
