package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"liuyun/internal/kit/cork"
)

// A client that asks for much and reads nothing is let go of; one that reads slowly
// is not.
func TestStalledClient(t *testing.T) {
	t.Parallel()
	const stalled = 400 * time.Millisecond
	socket, err := listen(t.Context(), "127.0.0.1:0", stalled)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.CopyN(w, zeros{}, 64<<20)
		ended <- err
	})}
	go server.Serve(socket)
	defer server.Close()
	ask := func() net.Conn {
		c, err := net.Dial("tcp", socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	slow := ask()
	defer slow.Close()
	deadline := time.Now().Add(8 * stalled)
	for buffer := make([]byte, 1<<20); time.Now().Before(deadline); time.Sleep(stalled / 4) {
		if _, err := slow.Read(buffer); err != nil {
			t.Fatalf("a client that reads slowly was let go of: %v", err)
		}
	}
	slow.Close()
	<-ended
	silent := ask()
	defer silent.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("64 MiB went to a client that reads nothing")
		}
	case <-time.After(time.Minute):
		t.Error("a client that reads nothing still holds its connection")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Who breaks off a handshake writes nothing into the log; a handler that panics does.
func TestServerLog(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a defect") }))
	server.Config.ErrorLog = log.New(serverLog{slog.New(slog.NewTextHandler(&text, nil))}, "", 0)
	server.StartTLS()
	if c, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{ServerName: "elsewhere.example"}); err == nil {
		c.Close()
		t.Error("an unknown authority is trusted")
	}
	if in, err := server.Client().Get(server.URL); err == nil {
		in.Body.Close()
		t.Error("a handler that panics answers")
	}
	server.Close() // whoever writes has ended
	if got := text.String(); strings.Contains(got, "handshake") || !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "a defect") {
		t.Errorf("the log is\n%s", got)
	}
}

// What is encrypted leaves in large pieces: whoever sends a file finds the connection.
func TestSecureConnectionsAreHeld(t *testing.T) {
	t.Parallel()
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS()
	defer certificates.Close()
	n := &serving{ServeOptions: ServeOptions{Log: slog.New(slog.DiscardHandler)}}
	addresses := make(chan string, 1)
	secure := &tls.Config{Certificates: certificates.TLS.Certificates}
	serve := n.listener("127.0.0.1:0", secure, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var from pieces
		if _, err := cork.CopyN(r.Context(), w, &from, 1<<20); err != nil || from.largest <= 32<<10 {
			t.Errorf("%s: sent in pieces of %d bytes, as if nothing held the connection: %v", r.Proto, from.largest, err)
		}
	}), nil, func(at net.Addr) { addresses <- at.String() })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, func() {}) }()
	in, err := certificates.Client().Get("https://" + <-addresses)
	if err != nil {
		t.Fatal(err)
	}
	if sent, err := io.Copy(io.Discard, in.Body); sent != 1<<20 || err != nil {
		t.Errorf("got %d bytes: %v", sent, err)
	}
	in.Body.Close()
	certificates.Client().CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// pieces reads zeros, and notes the largest piece that was wanted.
type pieces struct{ largest int }

func (r *pieces) Read(p []byte) (int, error) {
	r.largest = max(r.largest, len(p))
	return len(p), nil
}
