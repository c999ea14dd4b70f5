package app

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"
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
