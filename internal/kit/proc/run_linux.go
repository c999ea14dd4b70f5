package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Run starts the child, copies its output and waits for it. When ctx ends, or
// the wall limit is reached, or a Writer fails, the child's whole process group
// is killed; whatever it left running in its group is killed at its exit too.
// The error is nil after exit status 0, else an *Error. Run returns only when
// the child is gone and every byte of its output was written.
func Run(ctx context.Context, c Command) (Usage, error) {
	notStarted := func(err error) (Usage, error) {
		return Usage{}, &Error{Reason: NotStarted, ExitCode: -1, Err: err}
	}
	if err := c.validate(); err != nil {
		return notStarted(err)
	}
	if ctx.Err() != nil {
		return Usage{}, &Error{Reason: Canceled, ExitCode: -1, Err: context.Cause(ctx)}
	}
	if c.Limits.Wall > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Limits.Wall, errWall)
		defer cancel()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	ch := &child{Command: c}
	if err := ch.openPipes(cancel); err != nil {
		return notStarted(err)
	}
	stop := context.AfterFunc(ctx, ch.hurry)
	defer stop()

	err := onThread(ch.Access != nil, func() error { return ch.supervise(ctx) })
	ch.copying.Wait()
	if err != nil {
		return notStarted(err)
	}
	return ch.usage, ending{
		status: ch.status,
		cause:  context.Cause(ctx),
		usage:  ch.usage,
		limits: c.Limits,
		stderr: ch.stderr.bytes(),
	}.err()
}

// child is one run.
type child struct {
	Command
	ours    []*os.File // the reading ends of the pipes
	theirs  []*os.File // the writing ends: stdout, stderr, Pipes…
	copying sync.WaitGroup
	stderr  tail

	usage  Usage
	status syscall.WaitStatus
}

// openPipes makes the pipes and starts copying them. The goroutines end when
// the writing ends are closed here and in the child.
func (ch *child) openPipes(cancel context.CancelCauseFunc) error {
	writers := append([]io.Writer{ch.Stdout, tee(&ch.stderr, ch.Stderr)}, ch.Pipes...)
	for range writers {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(ch.ours)
			closeAll(ch.theirs)
			return fmt.Errorf("make pipe: %w", err)
		}
		ch.ours = append(ch.ours, r)
		ch.theirs = append(ch.theirs, w)
	}
	for i, w := range writers {
		if w == nil {
			w = io.Discard
		}
		ch.copying.Go(func() { copyPipe(w, ch.ours[i], cancel) })
	}
	return nil
}

// copyPipe copies until the last writing end is closed, and closes r, and w where that is
// an [io.Pipe]: its reader may wait for that end before it takes what holds up another.
func copyPipe(w io.Writer, r *os.File, cancel context.CancelCauseFunc) {
	defer r.Close()
	if pipe, ok := w.(*io.PipeWriter); ok {
		defer pipe.Close()
	}
	// Hidden behind plain interfaces: no splice, which would count as one write.
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 64<<10))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		cancel(&outputError{err})
	}
}

// hurry bounds how long the copying may go on after the child was killed: a
// process that left its group may still hold the pipes.
func (ch *child) hurry() {
	for _, r := range ch.ours {
		_ = r.SetReadDeadline(time.Now().Add(time.Second)) // closed already: nothing to bound
	}
}

// onThread calls f locked to one thread: the parent-death signal is tied to it,
// and Landlock confines it and what it starts. A thread that f spoils is thrown
// away at the end (a goroutine that ends locked takes its thread with it) and is
// never the process's first: the runtime cannot end that one, and as the kernel
// takes it for the whole process, a child that shares its rules could signal us.
func onThread(spoil bool, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		first := unix.Gettid() == unix.Getpid()
		if !spoil || first {
			defer runtime.UnlockOSThread()
		}
		if spoil && first {
			done <- onThread(spoil, f) // on another one, as this one is held
			return
		}
		done <- f()
	}()
	return <-done
}

// supervise confines, starts and waits for the child, on a locked thread that is
// kept until the child is gone.
func (ch *child) supervise(ctx context.Context) error {
	defer closeAll(ch.theirs)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()

	if ch.Access != nil {
		if err := confineThread(ch.Path, ch.Access); err != nil {
			return fmt.Errorf("confine: %w", err)
		}
	}
	stdin := ch.Stdin
	if stdin == nil {
		stdin = null
	}
	begin := time.Now()
	cmd, err := ch.start(stdin)
	if err != nil {
		return err
	}
	closeAll(ch.theirs)

	g := &group{leader: cmd.Process.Pid}
	stop := context.AfterFunc(ctx, g.kill)
	defer stop()
	limitErr := ch.limitAndRelease(g.leader, cmd.SysProcAttr.Ptrace)
	if limitErr != nil {
		g.kill()
	}
	g.await()
	waitErr := cmd.Wait()
	ch.account(cmd.ProcessState, time.Since(begin))
	if limitErr != nil {
		return fmt.Errorf("set limits: %w", limitErr)
	}
	if exit := (*exec.ExitError)(nil); waitErr != nil && !errors.As(waitErr, &exit) {
		return waitErr
	}
	return nil
}

// start starts the child stopped before its first instruction, by tracing it,
// so that its limits hold from there on. Where tracing is not allowed (some
// containers, or we are traced ourselves) it runs at once, and for the first
// fraction of a millisecond without limits.
func (ch *child) start(stdin *os.File) (*exec.Cmd, error) {
	cmd := ch.execCommand(stdin)
	cmd.SysProcAttr.Ptrace = true
	err := cmd.Start()
	if errors.Is(err, unix.EPERM) {
		cmd = ch.execCommand(stdin)
		err = cmd.Start()
	}
	return cmd, err
}

// limitAndRelease sets the limits and lets a stopped child go.
func (ch *child) limitAndRelease(pid int, stopped bool) error {
	if stopped {
		awaitState(pid, unix.WSTOPPED|unix.WEXITED)
	}
	if err := ch.limit(pid); err != nil {
		return err
	}
	if !stopped {
		return nil
	}
	if err := unix.PtraceDetach(pid); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

func (ch *child) execCommand(stdin *os.File) *exec.Cmd {
	env := ch.Env
	if env == nil {
		env = []string{} // exec takes nil for "inherit"
	}
	return &exec.Cmd{
		Path:       ch.Path,
		Args:       append([]string{ch.Path}, ch.Args...),
		Env:        env,
		Dir:        ch.Dir,
		Stdin:      stdin,
		Stdout:     ch.theirs[0],
		Stderr:     ch.theirs[1],
		ExtraFiles: append(append([]*os.File{}, ch.Files...), ch.theirs[2:]...),
		SysProcAttr: &syscall.SysProcAttr{
			Setpgid:   true,
			Pdeathsig: syscall.SIGKILL,
		},
	}
}

// limit applies the limits. A child that is already gone needs none.
func (ch *child) limit(pid int) error {
	l := ch.Limits
	for _, r := range []struct {
		resource int
		value    uint64
		wanted   bool
	}{
		// The soft limit equals the hard one: SIGKILL, which no handler survives.
		{unix.RLIMIT_CPU, cpuSeconds(l.CPU), l.CPU > 0},
		{unix.RLIMIT_DATA, uint64(l.Memory), l.Memory > 0},
		{unix.RLIMIT_FSIZE, uint64(l.FileSize), l.FileSize > 0},
		{unix.RLIMIT_NOFILE, uint64(l.Files), l.Files > 0},
		{unix.RLIMIT_CORE, 0, true},
	} {
		if !r.wanted {
			continue
		}
		err := unix.Prlimit(pid, r.resource, &unix.Rlimit{Cur: r.value, Max: r.value}, nil)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	if ch.Nice == 0 {
		return nil
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, pid, ch.Nice); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

func (ch *child) account(state *os.ProcessState, wall time.Duration) {
	ch.usage = Usage{User: state.UserTime(), System: state.SystemTime(), Wall: wall}
	if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
		ch.usage.MaxRSS = ru.Maxrss << 10
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok {
		ch.status = ws
	}
}

// group is a child's process group, named by its leader. Once the leader is
// reaped its number may belong to another, so nothing is killed after await.
type group struct {
	mu     sync.Mutex
	leader int
	gone   bool
}

func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gone {
		_ = unix.Kill(-g.leader, unix.SIGKILL) // ESRCH: all gone already
	}
}

// await returns when the leader has ended, still unreaped, and all that it
// left behind is killed.
func (g *group) await() {
	awaitState(g.leader, unix.WEXITED)
	g.kill()
	g.mu.Lock()
	g.gone = true
	g.mu.Unlock()
}

// awaitState waits for a change of state without collecting it.
func awaitState(pid, states int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, states|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// tee writes to t and, where there is one, to w.
func tee(t *tail, w io.Writer) io.Writer {
	if w == nil {
		return t
	}
	return io.MultiWriter(t, w)
}

// closeAll closes files; closing one twice does no harm.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
