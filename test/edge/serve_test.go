package edge

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"liuyun/test/program"
)

// ask asks a server by a client of its own, and returns the answer and its body.
func ask(t *testing.T, c *http.Client, address string) (*http.Response, string) {
	t.Helper()
	in, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Body.Close()
	text, err := io.ReadAll(in.Body)
	if err != nil {
		t.Fatal(err)
	}
	return in, string(text)
}

// An edge serves by HTTPS and HTTP/2, says how it goes at an address of its own, has what
// it had after a stop, and serves what is stale while its origin is away.
func TestServe(t *testing.T) {
	t.Parallel()
	certificate, err := program.NewCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/lasting" {
			w.Header().Set("Cache-Control", "max-age=3600")
		}
		w.Header().Set("Etag", `"1"`)
		io.WriteString(w, r.URL.Path+" over "+r.Header.Get("X-Forwarded-Proto"))
	}))
	defer origin.Close()
	status := "127.0.0.1:" + freePort(t)
	arguments := []string{
		"--listen", "localhost:" + freePort(t), "--tls-cert", certificate.Cert, "--tls-key", certificate.Key,
		"--set", "edge.status_listen=" + status, "--set", "edge.default_ttl=1s", "--set", "edge.stale_if_error=1h",
	}
	e := edgeOf(t, origin.URL, arguments...)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: certificate.Trust, ServerName: "localhost"}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	viewer, plain := &http.Client{Transport: transport}, &http.Client{}
	for _, path := range []string{"/lasting", "/short"} {
		in, text := ask(t, viewer, e.URL+path)
		if in.ProtoMajor != 2 || text != path+" over https" || !strings.Contains(in.Header.Get("Cache-Status"), "fwd=uri-miss") {
			t.Errorf("%s: %q over %s, %v", path, text, in.Proto, in.Header)
		}
		if path == "/lasting" && !program.Eventually(10*time.Second, func() bool {
			in, _ := ask(t, viewer, e.URL+path)
			return strings.HasPrefix(in.Header.Get("Cache-Status"), "liuyun; hit")
		}) {
			t.Errorf("%s is never there", path)
		}
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "", "/metrics": `liuyun_edge_requests_total{by="hit"}`} {
		if in, text := ask(t, plain, "http://"+status+path); in.StatusCode != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: status %d, %q", path, in.StatusCode, text)
		}
	}
	if in, text := ask(t, viewer, e.URL+"/metrics"); text != "/metrics over https" {
		t.Errorf("at the viewers' address the metrics are those of the edge: %v", in.Status)
	}
	origin.Close()
	if !program.Eventually(20*time.Second, func() bool {
		in, text := ask(t, viewer, e.URL+"/short")
		return strings.Contains(in.Header.Get("Cache-Status"), "stale-if-error") && text == "/short over https"
	}) {
		t.Error("what is stale is not served while the origin is away")
	}
	if code := e.Stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	e = edgeIn(t, e.Data, origin.URL, arguments...)
	if in, text := ask(t, viewer, e.URL+"/lasting"); text != "/lasting over https" || !strings.HasPrefix(in.Header.Get("Cache-Status"), "liuyun; hit") {
		t.Errorf("after a restart: %q, %v", text, in.Header)
	}
}
