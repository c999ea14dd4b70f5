package cert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
)

const (
	edgeEnv  = "CERT_TEST_EDGE" // what another process of this test is to be
	siteName = "video.example.net"
)

// edgeSetup is what an edge is made of.
type edgeSetup struct {
	Bus       string // URL of the bus of another process; empty in the process of the wire
	Directory string
	Roots     []byte // PEM
	Folder    string
	Listen    string
}

// httpWire is a wire to another process.
type httpWire struct{ url string }

func (w httpWire) Request(ctx context.Context, subject string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/"+subject, bytes.NewReader(data))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the bus is away")
	}
	defer answer.Body.Close()
	if data, err = io.ReadAll(answer.Body); err != nil {
		return err
	}
	if code := answer.Header.Get("Fault"); code != "" {
		return fault.New(fault.Code(code), "%s", data)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err == nil {
		data, err = w.answer(r.Context(), r.URL.Path[1:], data)
	}
	if err != nil {
		out.Header().Set("Fault", string(fault.CodeOf(err)))
		data = []byte(fault.Message(err))
	}
	_, _ = out.Write(data)
}

// edgeNode is an edge that serves on a listener.
type edgeNode struct {
	*guard.SiteCertificates
	server *httptest.Server
	listen string
}

// newEdge makes an edge that asks nobody before it runs.
func newEdge(setup edgeSetup, bus requester) (*edgeNode, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(setup.Roots)
	client := NewClient(bus)
	sites, err := guard.NewSiteCertificates(guard.SiteOptions{
		Storage: guard.NewSharedStorage(client, client), Directory: setup.Directory, Roots: roots, Folder: setup.Folder, Listen: setup.Listen,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	socket, err := net.Listen("tcp", setup.Listen)
	if err != nil {
		return nil, err
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Listener.Close()
	server.Listener = tls.NewListener(socket, sites.TLS())
	server.Start()
	return &edgeNode{sites, server, setup.Listen}, sites.Manage([]string{siteName})
}

// shown is the certificate that the edge shows for the site.
func (e *edgeNode) shown() (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", e.listen, &tls.Config{InsecureSkipVerify: true, ServerName: siteName})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func mustEdge(t *testing.T, setup edgeSetup, bus requester) *edgeNode {
	t.Helper()
	e, err := newEdge(setup, bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.server.Close)
	return e
}

// run runs an edge until the returned function is called.
func run(t *testing.T, e *edgeNode) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, func() {}) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestMain(m *testing.M) {
	if text := os.Getenv(edgeEnv); text != "" {
		if err := edgeProcess(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// edgeProcess is an edge in a process of its own, for half a minute at most: it says
// which certificate it got, and ends.
func edgeProcess(text string) error {
	var setup edgeSetup
	if err := json.Unmarshal([]byte(text), &setup); err != nil {
		return err
	}
	e, err := newEdge(setup, httpWire{setup.Bus})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, func() {}) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	got, err := e.shown()
	for ; err != nil && ctx.Err() == nil; got, err = e.shown() {
		<-tick.C
	}
	cancel()
	if err := errors.Join(err, <-ended); err != nil {
		return err
	}
	_, err = fmt.Println(got.SerialNumber)
	return err
}

func freeAddress(t *testing.T) (string, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String(), l.Addr().(*net.TCPAddr).Port
}

// One edge asks a real ACME server, which calls another: that one answers, and shows the
// same certificate without asking. Without control nodes it does so after a start, too.
func TestEdges(t *testing.T) {
	t.Parallel()
	called, port := freeAddress(t)
	other, _ := freeAddress(t)
	directory, roots := testkit.Pebble(t, port)
	_, bus := serve(t, store.Config{})
	proxy := httptest.NewServer(bus)
	defer proxy.Close()
	setup := edgeSetup{Directory: directory, Roots: roots, Folder: t.TempDir(), Listen: called}
	second := mustEdge(t, setup, bus)
	if _, err := second.shown(); err == nil {
		t.Fatal("a certificate from nowhere")
	}
	serial := obtainElsewhere(t, edgeSetup{Bus: proxy.URL, Directory: directory, Roots: roots, Folder: t.TempDir(), Listen: other})
	stop := run(t, second)
	testkit.Until(t, 30*time.Second, "the second edge shows the certificate of the first", func() bool {
		got, err := second.shown()
		return err == nil && got.SerialNumber.String() == serial && got.VerifyHostname(siteName) == nil
	})
	stop()
	if state := second.States()[0]; state.NotAfter.IsZero() || state.Failure != "" {
		t.Errorf("got %+v", state)
	}
	info, err := os.Stat(setup.Folder + "/" + siteName + ".pem")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy: %v, %v", info, err)
	}

	bus.setCut(true)
	setup.Listen, _ = freeAddress(t)
	again := mustEdge(t, setup, bus)
	same := func(when string) {
		t.Helper()
		if got, err := again.shown(); err != nil || got.SerialNumber.String() != serial {
			t.Errorf("%s it is not there: %v", when, err)
		}
	}
	same("after a start without control nodes")
	stop = run(t, again)
	testkit.Until(t, 30*time.Second, "the edge notices that they are away", func() bool { return again.States()[0].Failure != "" })
	same("when it has noticed that they are away")
	stop()
}

// obtainElsewhere runs an edge in another process until it has a certificate, whose serial
// number it returns.
func obtainElsewhere(t *testing.T, setup edgeSetup) (serial string) {
	t.Helper()
	text, err := json.Marshal(setup)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), edgeEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("the other edge: %v", err)
	}
	return strings.TrimSpace(string(output))
}
