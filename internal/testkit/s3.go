package testkit

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// S3Server is a running S3 server with an empty bucket.
type S3Server struct {
	Endpoint             string // http://127.0.0.1:PORT
	Bucket               string
	AccessKey, SecretKey string
	Folder               string // in which the bucket's objects lie as files
}

// S3 starts a real S3 server (versitygw, which `make build/versitygw` installs) for
// one test. Where it is absent the test is skipped, or fails when CI is set.
func S3(t testing.TB) S3Server {
	t.Helper()
	program := Peer(t, "versitygw")
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "media"), 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	s := S3Server{Endpoint: "http://" + address, Bucket: "media", AccessKey: "test-access", SecretKey: "test-secret-key", Folder: filepath.Join(folder, "media")}
	command := exec.Command(program, "--quiet", "--port", address, "--access", s.AccessKey, "--secret", s.SecretKey,
		"posix", "--sidecar", t.TempDir(), folder)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("the S3 server does not listen: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
