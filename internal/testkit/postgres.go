package testkit

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// postgresTimeout bounds how long the server may take to start.
const postgresTimeout = 60 * time.Second

// PostgresServer is a PostgreSQL server of a test's own: it listens on loopback
// only, lies in a temporary folder and does not sync, because no test cuts the
// machine's power.
type PostgresServer struct {
	bin       string // folder of the programs
	folder    string
	port      int
	as        *syscall.SysProcAttr
	databases atomic.Int32
	stop      chan syscall.Signal
	stopped   chan struct{}
}

// Postgres starts a server that ends with the test. Where PostgreSQL is not
// installed the test is skipped, or fails when CI is set.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	// Not t.TempDir: the server's user has to get through to it.
	folder, err := os.MkdirTemp("", "liuyun-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	s := &PostgresServer{bin: postgresFolder(t), folder: folder, port: freePort(t), as: &syscall.SysProcAttr{}}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		s.as.Credential = unprivileged(t)
		if err := os.Chown(folder, int(s.as.Credential.Uid), int(s.as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	s.command(t, "initdb", "--no-sync", "--auth=trust", "--username=liuyun", "--encoding=UTF8", "--locale=C.UTF-8", s.data())
	s.Start(t)
	t.Cleanup(s.Stop)
	return s
}

// postgresFolder is where the programs lie: Debian keeps them off the PATH.
func postgresFolder(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1])
	}
	return filepath.Dir(Program(t, "initdb"))
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func unprivileged(t testing.TB) *syscall.Credential {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	t.Skip("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
	return nil
}

func (s *PostgresServer) data() string { return filepath.Join(s.folder, "data") }

// command runs one of PostgreSQL's programs to its end.
func (s *PostgresServer) command(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.folder
	cmd.SysProcAttr = s.as
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// Start starts the server again after Stop or Crash, at the same address, and
// waits until it answers.
func (s *PostgresServer) Start(t testing.TB) {
	t.Helper()
	s.stop, s.stopped = make(chan syscall.Signal, 1), make(chan struct{})
	var log bytes.Buffer // read once stopped is closed
	failed := make(chan error, 1)
	go s.run(&log, failed)
	if err := <-failed; err != nil {
		t.Fatalf("postgres: %v", err)
	}
	deadline := time.Now().Add(postgresTimeout)
	for {
		ready := exec.Command(filepath.Join(s.bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port))
		if ready.Run() == nil {
			return
		}
		select {
		case <-s.stopped:
			t.Fatalf("postgres ended:\n%s", log.Bytes())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.Crash()
			t.Fatalf("postgres does not answer:\n%s", log.Bytes())
		}
	}
}

// run is the server's life. The thread stays its own, because the server is told
// of the death of the thread that started it.
func (s *PostgresServer) run(log *bytes.Buffer, failed chan<- error) {
	runtime.LockOSThread()
	defer close(s.stopped)
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.folder, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port),
		"-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=60")
	as := *s.as
	as.Pdeathsig = syscall.SIGQUIT
	cmd.SysProcAttr, cmd.Dir, cmd.Stdout, cmd.Stderr = &as, s.folder, log, log
	err := cmd.Start()
	failed <- err
	if err != nil {
		return
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	for {
		select {
		case sig := <-s.stop:
			cmd.Process.Signal(sig)
		case <-ended:
			return
		}
	}
}

// Stop ends the server as an operator does; connections are closed. Stopping it
// again does nothing.
func (s *PostgresServer) Stop() { s.end(syscall.SIGINT) }

// Crash ends the server as a failure does: nothing is written down any more.
func (s *PostgresServer) Crash() { s.end(syscall.SIGQUIT) }

func (s *PostgresServer) end(sig syscall.Signal) {
	select {
	case s.stop <- sig:
	case <-s.stopped:
	}
	<-s.stopped
}

// NewDatabase makes an empty database and returns its address.
func (s *PostgresServer) NewDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	s.command(t, "createdb", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-U", "liuyun", name)
	u := url.URL{Scheme: "postgres", User: url.User("liuyun"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: name, RawQuery: "sslmode=disable"}
	return u.String()
}
