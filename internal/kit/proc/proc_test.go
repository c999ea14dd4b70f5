package proc_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"liuyun/internal/kit/proc"
)

const shell = "/bin/sh"

var helper = flag.Bool("helper", false, "run as the process that TestParentDeath kills")

func TestMain(m *testing.M) {
	// Here, and not in a test, as only here a goroutine lands on the first thread.
	if err := confinedOnFirstThread(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// confinedOnFirstThread starts a confined child from the process's first thread
// and finds out whether that thread is confined from then on.
func confinedOnFirstThread() error {
	cmd := proc.Command{Path: "/bin/sh", Args: []string{"-c", "true"}, Access: &proc.Access{}}
	for range 10 { // one of them is on that thread
		if _, err := proc.Run(context.Background(), cmd); err != nil {
			return fmt.Errorf("run a confined child: %w", err)
		}
	}
	status, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/status")
	if err != nil {
		return err
	}
	if bytes.Contains(status, []byte("NoNewPrivs:\t1")) {
		return errors.New("the first thread was confined with a child, want another one")
	}
	return nil
}

// sh returns a Command that runs a shell script.
func sh(script string, args ...string) proc.Command {
	return proc.Command{Path: shell, Args: append([]string{"-c", script, "sh"}, args...)}
}

// reasonOf returns the Reason in err, "" for nil.
func reasonOf(t *testing.T, err error) proc.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *proc.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *proc.Error", err, err)
	}
	return e.Reason
}

func TestReasons(t *testing.T) {
	t.Parallel()
	fileSize := sh("while :; do echo 0123456789abcdef; done > " + filepath.Join(t.TempDir(), "big"))
	fileSize.Limits.FileSize = 4096
	cpu := sh("while :; do :; done")
	cpu.Limits.CPU = time.Second
	wall := sh("while :; do read x < /dev/zero; done")
	wall.Limits.Wall = 100 * time.Millisecond
	memory := proc.Command{Path: "/bin/dd", Args: []string{"if=/dev/zero", "of=/dev/null", "bs=1G", "count=1"}}
	memory.Limits.Memory = 256 << 20

	tests := []struct {
		name   string
		cmd    proc.Command
		want   proc.Reason
		code   int
		signal syscall.Signal
	}{
		{"ok", sh("exit 0"), "", 0, 0},
		{"exit", sh("exit 7"), proc.Exited, 7, 0},
		{"signal", sh("kill -9 $$"), proc.Signaled, -1, syscall.SIGKILL},
		{"file size", fileSize, proc.FileSizeLimit, -1, syscall.SIGXFSZ},
		{"cpu", cpu, proc.CPULimit, -1, syscall.SIGKILL},
		{"wall", wall, proc.WallLimit, -1, syscall.SIGKILL},
		{"memory", memory, proc.MemoryLimit, 1, 0},
		{"missing", proc.Command{Path: "/no/such/program"}, proc.NotStarted, -1, 0},
		{"relative", proc.Command{Path: "sh"}, proc.NotStarted, -1, 0},
		{"niceness", proc.Command{Path: shell, Nice: 20}, proc.NotStarted, -1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			usage, err := proc.Run(t.Context(), tt.cmd)
			if got := reasonOf(t, err); got != tt.want {
				t.Fatalf("reason: got %q (%v) after %+v, want %q", got, err, usage, tt.want)
			}
			var e *proc.Error
			if errors.As(err, &e) && (e.ExitCode != tt.code || e.Signal != tt.signal) {
				t.Errorf("got code %d signal %v, want %d %v", e.ExitCode, e.Signal, tt.code, tt.signal)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	u, err := proc.Run(t.Context(), sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"))
	if err != nil {
		t.Fatal(err)
	}
	if u.CPU() <= 0 || u.Wall <= 0 || u.MaxRSS <= 0 {
		t.Errorf("usage: got %+v, want all positive", u)
	}
}

func TestCancelKillsGroup(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by the test")
	cmd := sh("sleep 100 & echo $!; wait")
	var pid int
	cmd.Stdout = writerFunc(func(p []byte) (int, error) {
		pid, _ = strconv.Atoi(strings.TrimSpace(string(p)))
		cancel(stopped)
		return len(p), nil
	})
	_, err := proc.Run(ctx, cmd)
	if got := reasonOf(t, err); got != proc.Canceled || !errors.Is(err, stopped) {
		t.Errorf("got %v, want %q with its cause", err, proc.Canceled)
	}
	waitGone(t, pid)
}

func TestLeftBehindIsKilled(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cmd := sh("sleep 100 & echo $!")
	cmd.Stdout = &out
	if _, err := proc.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
}

// TestParentDeath kills a process that has a child of its own, in a group of its
// own: the kernel must take the child with it.
func TestParentDeath(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var pid int
	cmd := proc.Command{Path: self, Args: []string{"-test.run=^TestHelperParent$", "-helper"}}
	cmd.Stdout = writerFunc(func(p []byte) (int, error) {
		if pid, _ = strconv.Atoi(strings.TrimSpace(string(p))); pid > 0 {
			cancel()
		}
		return len(p), nil
	})
	if _, err := proc.Run(ctx, cmd); reasonOf(t, err) != proc.Canceled {
		t.Fatalf("got %v, want %q", err, proc.Canceled)
	}
	waitGone(t, pid)
}

// TestHelperParent is the process that TestParentDeath kills.
func TestHelperParent(t *testing.T) {
	if !*helper {
		t.Skip("skipped: only a helper of TestParentDeath")
	}
	cmd := sh("echo $$; while :; do read x < /dev/zero; done")
	cmd.Stdout = os.Stdout
	cmd.Access = &proc.Access{}
	_, err := proc.Run(t.Context(), cmd)
	t.Fatal(err)
}

// waitGone waits until a killed process is dead: gone, or a zombie that its
// adoptive parent has not yet collected.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); <-tick.C {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}

func TestCanceledBeforeStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := proc.Run(ctx, sh("exit 0"))
	if got := reasonOf(t, err); got != proc.Canceled || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %q", err, proc.Canceled)
	}
}

func TestPipesAndFiles(t *testing.T) {
	t.Parallel()
	in := tempFile(t, "given\n")
	var first, second, stdout, stderr bytes.Buffer
	cmd := sh("read x <&3; echo $x >&1; echo one >&4; echo two >&5; echo bad >&2; pwd >&1; echo ${HOME-unset}")
	cmd.Files = []*os.File{in}
	cmd.Pipes = []io.Writer{&first, &second}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Dir = "/usr"
	if _, err := proc.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	got := []string{first.String(), second.String(), stdout.String(), stderr.String()}
	want := []string{"one\n", "two\n", "given\n/usr\nunset\n", "bad\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}

func TestWriterFailureEndsChild(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"while :; do echo x; done", "echo x; exit 0"} {
		cmd := sh(script)
		cmd.Stdout = writerFunc(func([]byte) (int, error) { return 0, syscall.ENOSPC })
		_, err := proc.Run(t.Context(), cmd)
		if got := reasonOf(t, err); got != proc.OutputFailed || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: got %v, want %q with ENOSPC", script, err, proc.OutputFailed)
		}
	}
}

func TestStderrTail(t *testing.T) {
	t.Parallel()
	cmd := sh(`i=0; while [ $i -lt 20000 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 3`)
	_, err := proc.Run(t.Context(), cmd)
	var e *proc.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want *proc.Error", err)
	}
	if len(e.Stderr) != 64<<10 || !bytes.HasSuffix(e.Stderr, []byte("line 19999\n")) {
		t.Errorf("tail: got %d bytes ending %q", len(e.Stderr), e.Stderr[max(0, len(e.Stderr)-20):])
	}
}

func TestLimitsAreSet(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cmd := sh("ulimit -t; ulimit -d; ulimit -n; ulimit -c; nice")
	cmd.Path = shell
	cmd.Stdout = &out
	cmd.Nice = 5
	cmd.Limits = proc.Limits{CPU: 1500 * time.Millisecond, Memory: 1 << 30, Files: 50}
	if _, err := proc.Run(t.Context(), withPath(cmd)); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "2\n1048576\n50\n0\n5\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func withPath(c proc.Command) proc.Command {
	c.Env = append(c.Env, "PATH=/usr/bin:/bin")
	return c
}

// TestAccess tries each thing that a confined child may and may not do.
func TestAccess(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	input := tempFile(t, "input\n")
	secret := tempFile(t, "secret\n")
	granted := tempFile(t, "granted\n")
	scratch, outside := t.TempDir(), t.TempDir()
	tests := []struct {
		name, script string
		allowed      bool
	}{
		{"library folder", "read x < /usr/lib/os-release", true},
		{"null device", "echo x > /dev/null; read x < /dev/null || true", true},
		{"inherited input", "read x <&3", true},
		{"reopened input", "read x < /proc/self/fd/3 && [ $x = input ]", true},
		{"writing the input", "echo x >> /proc/self/fd/3", false},
		{"granted file", "read x < " + granted.Name(), true},
		{"other file", "read x < " + secret.Name(), false},
		{"account file", "read x < /etc/passwd", false},
		{"own environment", "read x < /proc/self/environ", false},
		{"parent's status", "read x < /proc/$PPID/status", false},
		{"scratch", "cd " + scratch + " && echo x > new && read x < new && echo y > new", true},
		{"beside scratch", "echo x > " + filepath.Join(outside, "new"), false},
		{"another program", "/usr/bin/env true", false},
		{"signal to parent", "kill -0 $PPID", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "signal to parent" && proc.Sandbox() < "landlock 7" {
				t.Skip("skipped: the kernel has no signal scope")
			}
			cmd := sh(tt.script)
			cmd.Files = []*os.File{input}
			cmd.Access = &proc.Access{Read: []string{granted.Name()}, Files: []*os.File{input}, Write: scratch}
			_, err := proc.Run(t.Context(), cmd)
			if got := err == nil; got != tt.allowed {
				t.Errorf("%s: allowed %v (%v), want %v", tt.script, got, err, tt.allowed)
			}
		})
	}
	// The rules were the threads' own: this process reads what it likes.
	if _, err := os.ReadFile(secret.Name()); err != nil {
		t.Errorf("this process is confined: %v", err)
	}
}

func TestAccessDeniesTCP(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	const bash = "/bin/bash" // has /dev/tcp built in
	if _, err := os.Stat(bash); err != nil {
		t.Skip("skipped: bash is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	cmd := proc.Command{Path: bash, Args: []string{"-c", "exec 3<>/dev/tcp/127.0.0.1/" + port}}
	if _, err := proc.Run(t.Context(), cmd); err != nil {
		t.Fatalf("unconfined: got %v, want a connection", err)
	}
	cmd.Access = &proc.Access{}
	if _, err := proc.Run(t.Context(), cmd); err == nil {
		t.Error("confined: got a connection, want none")
	}
}

func TestAccessToMissingFails(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	cmd := sh("exit 0")
	cmd.Access = &proc.Access{Write: "/no/such/folder"}
	_, err := proc.Run(t.Context(), cmd)
	if got := reasonOf(t, err); got != proc.NotStarted || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %q: not exist", err, proc.NotStarted)
	}
}

func needSandbox(t *testing.T) {
	t.Helper()
	if proc.Sandbox() == "none" {
		t.Skip("skipped: the kernel has no Landlock")
	}
}

func tempFile(t *testing.T, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func BenchmarkRun(b *testing.B) {
	for _, confined := range []string{"free", "confined"} {
		b.Run(confined, func(b *testing.B) {
			cmd := proc.Command{Path: "/bin/true"}
			if confined == "confined" {
				cmd.Access = &proc.Access{Write: b.TempDir()}
			}
			for b.Loop() {
				if _, err := proc.Run(b.Context(), cmd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A child reads what it is given as its standard input, confined or not, and without
// one there is nothing.
func TestStdin(t *testing.T) {
	for _, access := range []*proc.Access{nil, {}} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.WriteString("an order\n"); err != nil {
			t.Fatal(err)
		}
		out.Close()
		var got bytes.Buffer
		cmd := sh("while read -r line; do echo \"$line\"; done")
		cmd.Access, cmd.Stdin, cmd.Stdout = access, in, &got
		if _, err := proc.Run(t.Context(), cmd); err != nil || got.String() != "an order\n" {
			t.Errorf("got %q, %v", got.String(), err)
		}
		in.Close()
		got.Reset()
		cmd = sh("while read -r line; do echo \"$line\"; done")
		cmd.Access, cmd.Stdout = access, &got
		if _, err := proc.Run(t.Context(), cmd); err != nil || got.Len() > 0 {
			t.Errorf("without one: got %q, %v", got.String(), err)
		}
	}
}

// Who reads one pipe to its end and then another does not wait for ever, though nobody
// takes what is in the other meanwhile.
func TestPipesEnd(t *testing.T) {
	t.Parallel()
	largeReader, large := io.Pipe()
	smallReader, small := io.Pipe()
	var got int64
	read := make(chan error, 1)
	go func() {
		if _, err := io.Copy(io.Discard, smallReader); err != nil {
			read <- err
			return
		}
		var err error
		got, err = io.Copy(io.Discard, largeReader)
		read <- err
	}()
	cmd := sh("exec 4>&-; head -c 200000 /dev/zero >&3; kill -9 $$")
	cmd.Pipes = []io.Writer{large, small}
	_, err := proc.Run(t.Context(), cmd)
	var failed *proc.Error
	if !errors.As(err, &failed) || failed.Signal != syscall.SIGKILL || failed.Reason == proc.OutputFailed {
		t.Errorf("it ended with %v", err)
	}
	if err := <-read; err != nil || got != 200000 {
		t.Errorf("read %d bytes: %v", got, err)
	}
}
