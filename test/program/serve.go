package program

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a liuyun serve that runs.
type Server struct {
	URL  string // of API, console and viewers
	Key  string // the admin key; "" on a node that has none
	Data string
	Node string // its id
	Pid  int

	command *exec.Cmd
	log     *os.File
	ended   chan struct{} // closed when it is gone
}

// startTime bounds how long a server may take until it is ready.
const startTime = time.Minute

// Serve starts a server with its data in the folder data and waits until it is
// ready. Whatever is left of it is killed at the end of the test, whose log then
// has the server's when the test failed.
func (p Program) Serve(t testing.TB, data string, arguments ...string) *Server {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	words := append(slices.Clone(p.Within), p.Path, "serve", "--data", data, "--listen", "127.0.0.1:0", "--json")
	words = append(words, arguments...)
	command := exec.Command(words[0], words[1:]...)
	command.Env = append(environ(), "NO_COLOR=1")
	command.Stderr = log
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s := &Server{Data: data, Pid: command.Process.Pid, command: command, log: log, ended: make(chan struct{})}
	type readyLine struct{ Type, URL, Node, Message string }
	ready := make(chan readyLine, 1)
	go func() {
		defer close(s.ended)
		var line readyLine
		if json.NewDecoder(out).Decode(&line) == nil {
			ready <- line
		}
		command.Wait()
	}()
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the server with %s said:\n%s", data, s.Log())
		}
		log.Close()
	})
	select {
	case line := <-ready:
		if line.Type != "ready" {
			t.Fatalf("the server is not ready: %s\n%s", line.Message, s.Log())
		}
		s.URL, s.Node = line.URL, line.Node
	case <-s.ended:
		t.Fatalf("the server ended before it was ready:\n%s", s.Log())
	case <-time.After(startTime):
		t.Fatalf("the server is not ready after %s:\n%s", startTime, s.Log())
	}
	if key, err := os.ReadFile(filepath.Join(data, "admin.key")); err == nil {
		s.Key = strings.TrimSpace(string(key))
	}
	return s
}

// Log is what the server said of itself.
func (s *Server) Log() string {
	text, _ := os.ReadFile(s.log.Name())
	return string(text)
}

// Kill kills the server, and nothing of what it started, and waits until it is
// gone.
func (s *Server) Kill() {
	s.command.Process.Kill()
	<-s.ended
}

// Suspend stops the server and all that it started, as a machine that falls
// asleep, until Continue.
func (s *Server) Suspend() { signalTree(s.Pid, syscall.SIGSTOP) }

// Continue wakes what Suspend has stopped.
func (s *Server) Continue() { signalTree(s.Pid, syscall.SIGCONT) }

// signalTree sends a signal to a process and all below it. What is gone meanwhile
// needs none.
func signalTree(pid int, signal syscall.Signal) {
	_ = syscall.Kill(pid, signal)
	for _, child := range Children(pid) {
		signalTree(child, signal)
	}
}

// Memory is how many bytes of the server, without its children, are resident.
func (s *Server) Memory() int64 { return statusBytes(s.Pid, "VmRSS:") }

// PeakMemory is the most that Memory ever was.
func (s *Server) PeakMemory() int64 { return peakMemory(s.Pid) }

// Stop asks the server to stop and returns its exit status.
func (s *Server) Stop() int {
	s.command.Process.Signal(syscall.SIGTERM)
	<-s.ended
	return s.command.ProcessState.ExitCode()
}
