package edge

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"liuyun/test/program"
)

// film is what the origin of these tests has: too large for memory, of a size that is no
// multiple of anything.
func film() []byte { return bytes.Repeat([]byte("0123456789abcdef!"), 300_001) }

// h3Origin is an origin with something to keep, something that ends too early, and
// something that takes what is sent.
func h3Origin(t *testing.T) *httptest.Server {
	t.Helper()
	film := film()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", `h3=":1"`) // of the origin: no viewer can use it
		w.Header().Set("X-Saw", r.Method+" "+r.Header.Get("Via")+" "+r.Header.Get("X-Forwarded-Proto"))
		switch r.URL.Path {
		case "/film":
			w.Header().Set("Cache-Control", "max-age=3600")
			w.Header().Set("Etag", `"1"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(film))
		case "/broken":
			w.Header().Set("Cache-Control", "max-age=3600")
			w.Write(film[:1_000_000])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/page":
			w.Header().Set("Link", "</film>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<!doctype html><title>page</title>")
		default:
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			w.Write(body)
		}
	}))
	t.Cleanup(origin.Close)
	return origin
}

// tlsEdge starts an edge with a certificate for localhost, at a port that is free by UDP
// too.
func tlsEdge(t *testing.T, origin string, arguments ...string) (*program.Server, program.Certificate) {
	t.Helper()
	certificate, err := program.NewCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	arguments = append([]string{"--listen", "127.0.0.1:" + freePort(t), "--tls-cert", certificate.Cert, "--tls-key", certificate.Key}, arguments...)
	return edgeOf(t, origin, arguments...), certificate
}

// An edge with a certificate serves HTTP/3 beside the others, from the same cache, and
// says so.
func TestHTTP3(t *testing.T) {
	t.Parallel()
	e, certificate := tlsEdge(t, h3Origin(t).URL)
	trust := &tls.Config{RootCAs: certificate.Trust, ServerName: "localhost"}
	tcp := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}
	defer tcp.CloseIdleConnections()
	before := &http.Client{Transport: tcp}
	port := e.URL[strings.LastIndexByte(e.URL, ':')+1:]
	wholly := &http.Client{Transport: &http.Transport{TLSClientConfig: trust.Clone(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}
	defer wholly.CloseIdleConnections()
	for _, c := range []*http.Client{before, wholly} {
		in, text := ask(t, c, e.URL+"/film")
		if alt := in.Header["Alt-Svc"]; len(alt) != 1 || alt[0] != `h3=":`+port+`"; ma=86400` || len(text) != len(film()) {
			t.Errorf("by %s, %d bytes, Alt-Svc is %q", in.Proto, len(text), alt)
		}
	}
	udp := &http3.Transport{TLSClientConfig: trust}
	defer udp.Close()
	viewer := &http.Client{Transport: udp}
	if !program.Eventually(10*time.Second, func() bool {
		in, text := ask(t, viewer, e.URL+"/film")
		if in.ProtoMajor != 3 || text != string(film()) || in.Header["Alt-Svc"] != nil {
			t.Errorf("by %s, %d bytes, %v", in.Proto, len(text), in.Header)
		}
		return strings.HasPrefix(in.Header.Get("Cache-Status"), "liuyun; hit")
	}) {
		t.Error("what is stored is not served by HTTP/3")
	}
	part, err := http.NewRequestWithContext(t.Context(), "GET", e.URL+"/film", nil)
	if err != nil {
		t.Fatal(err)
	}
	part.Header.Set("Range", "bytes=4000000-4000016")
	in, err := viewer.Do(part)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in.Body)
	in.Body.Close()
	if in.StatusCode != http.StatusPartialContent || string(text) != string(film()[4000000:4000017]) || err != nil {
		t.Errorf("a part: %s, %q, %v", in.Status, text, err)
	}
	hints := 0
	hinted := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
		if hints++; status != http.StatusEarlyHints || header.Get("Link") == "" {
			t.Errorf("before the page: %d, %v", status, header)
		}
		return nil
	}})
	page, err := http.NewRequestWithContext(hinted, "GET", e.URL+"/page", nil)
	if err != nil {
		t.Fatal(err)
	}
	if in, err = viewer.Do(page); err != nil {
		t.Fatal(err)
	}
	in.Body.Close()
	if hints != 1 || in.StatusCode != http.StatusOK || in.Header["Link"] != nil {
		t.Errorf("the page: %d hints, %s, %v", hints, in.Status, in.Header)
	}
	body := strings.Repeat("what is sent ", 50_000)
	in, err = viewer.Post(e.URL+"/echo", "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	text, err = io.ReadAll(in.Body)
	in.Body.Close()
	if string(text) != body || err != nil || in.Header.Get("X-Saw") != "POST 3.0 liuyun https" || in.Header["Alt-Svc"] != nil {
		t.Errorf("a body: %d bytes of %d, %v, %v", len(text), len(body), err, in.Header)
	}
	for range 2 { // once while it comes, once perhaps from what is there
		in, err = viewer.Get(e.URL + "/broken")
		if err != nil {
			continue
		}
		text, err = io.ReadAll(in.Body)
		in.Body.Close()
		if err == nil {
			t.Errorf("an answer that ended too early ends well after %d bytes", len(text))
		}
	}
	if code := e.Stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// Clients of an edge that was killed find out at once when it is back, and come again:
// without a word they would wait for as long as they take a silent server to be there.
func TestHTTP3AfterKill(t *testing.T) {
	t.Parallel()
	origin := h3Origin(t).URL
	e, certificate := tlsEdge(t, origin)
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: certificate.Trust, ServerName: "localhost"},
		QUICConfig:      &quic.Config{MaxIdleTimeout: 10 * time.Minute},
	}
	defer transport.Close()
	viewer := &http.Client{Transport: transport}
	ask(t, viewer, e.URL+"/page")
	e.Kill()
	at, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	again := edgeIn(t, e.Data, origin, "--listen", at.Host, "--tls-cert", certificate.Cert, "--tls-key", certificate.Key)
	if !program.Eventually(time.Minute, func() bool {
		in, err := viewer.Get(again.URL + "/page")
		if err != nil {
			t.Log(err)
			return false
		}
		in.Body.Close()
		return in.StatusCode == http.StatusOK
	}) {
		t.Error("the client does not find its way back")
	}
}

// An edge whose UDP port is taken serves by TCP, announces nothing, and says why; so does
// one that is told to, without a word.
func TestNoHTTP3(t *testing.T) {
	t.Parallel()
	origin := h3Origin(t).URL
	port := freePort(t)
	taken, err := net.ListenPacket("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		arguments []string
		warns     bool
	}{{[]string{"--listen", "127.0.0.1:" + port}, true}, {[]string{"--set", "edge.http3=false"}, false}} {
		e, certificate := tlsEdge(t, origin, c.arguments...)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: certificate.Trust, ServerName: "localhost"}}
		in, _ := ask(t, &http.Client{Transport: transport}, e.URL+"/page")
		transport.CloseIdleConnections()
		if in.StatusCode != http.StatusOK || in.Header["Alt-Svc"] != nil {
			t.Errorf("%v: %s, %v", c.arguments, in.Status, in.Header)
		}
		if warns := strings.Contains(e.Log(), "edge.http3=false"); warns != c.warns {
			t.Errorf("%v: it warns: %v; it said:\n%s", c.arguments, warns, e.Log())
		}
		if code := e.Stop(); code != 0 {
			t.Errorf("%v: exit status %d", c.arguments, code)
		}
	}
}

// Chromium loads a page by HTTP/3, and what its script asks for.
func TestHTTP3Chromium(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath("chromium")
	if _, missing := os.Stat("../e2e/node_modules/playwright-core"); err != nil || missing != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err, missing)
		}
		t.Skip("Chromium or playwright-core is not installed: make e2e installs them")
	}
	e, certificate := tlsEdge(t, h3Origin(t).URL)
	at, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certificate.Cert, certificate.Key)
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo)
	command := exec.CommandContext(t.Context(), "node", "http3.mjs", chromium, at.Host, base64.StdEncoding.EncodeToString(key[:]))
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Page, Film, Echo string // protocols
		Size             int
		Sum              string
		Echoed           string
		Broken           bool // an answer that ended too early was noticed
	}
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sum := sha256.Sum256(film())
	if found.Page != "h3" || found.Film != "h3" || found.Echo != "h3" {
		t.Errorf("not all came by h3: %+v", found)
	}
	if found.Size != len(film()) || found.Sum != base64.StdEncoding.EncodeToString(sum[:]) || found.Echoed != strconv.Itoa(100_000) || !found.Broken {
		t.Errorf("%+v", found)
	}
}
