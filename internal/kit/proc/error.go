package proc

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Reason says why a child did not end well.
type Reason string

// The reasons.
const (
	NotStarted    Reason = "not started"
	Exited        Reason = "exit status"
	Signaled      Reason = "signal"
	CPULimit      Reason = "CPU limit"
	MemoryLimit   Reason = "memory limit"
	FileSizeLimit Reason = "file size limit"
	WallLimit     Reason = "wall limit"
	OutputFailed  Reason = "output" // a Writer that takes the child's output failed
	Canceled      Reason = "canceled"
)

// Error tells how a child ended. Err is the cause where there is one: the
// context's, a Writer's, or why it could not be started.
type Error struct {
	Reason   Reason
	ExitCode int            // -1 when a signal ended it or it did not start
	Signal   syscall.Signal // 0 when it exited by itself
	Stderr   []byte         // the end of what it wrote to stderr, at most 64 KiB
	Err      error
}

// Error names the reason with its number, and the cause.
func (e *Error) Error() string {
	text := string(e.Reason)
	switch e.Reason {
	case Exited:
		text = fmt.Sprintf("exit status %d", e.ExitCode)
	case Signaled:
		text = fmt.Sprintf("signal %d (%v)", int(e.Signal), e.Signal)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// errWall is the context's cause when the wall limit ended it.
var errWall = errors.New("wall limit reached")

// outputError is the context's cause when a Writer failed.
type outputError struct{ err error }

func (e *outputError) Error() string { return "write output: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// ending is all that is known of a child that has ended.
type ending struct {
	status syscall.WaitStatus
	cause  error // why the context ended, nil when it did not
	usage  Usage
	limits Limits
	stderr []byte
}

// err returns nil for a child that did its work, else what stopped it. A
// Writer's failure counts even when the child exited well: its output is lost.
func (e ending) err() error {
	var lost *outputError
	lostOutput := errors.As(e.cause, &lost)
	if e.status.Exited() && e.status.ExitStatus() == 0 && !lostOutput {
		return nil
	}
	out := &Error{Reason: e.reason(lostOutput), ExitCode: e.status.ExitStatus(), Stderr: e.stderr}
	if e.status.Signaled() {
		out.Signal = e.status.Signal()
	}
	switch {
	case lostOutput:
		out.Err = lost.err
	case out.Reason == Canceled:
		out.Err = e.cause
	}
	return out
}

func (e ending) reason(lostOutput bool) Reason {
	switch {
	case lostOutput:
		return OutputFailed
	case errors.Is(e.cause, errWall):
		return WallLimit
	case e.cause != nil:
		return Canceled
	case e.hitCPULimit():
		return CPULimit
	case e.status.Signaled() && e.status.Signal() == syscall.SIGXFSZ:
		return FileSizeLimit
	case e.hitMemoryLimit():
		return MemoryLimit
	case e.status.Signaled():
		return Signaled
	}
	return Exited
}

// hitCPULimit is true for a child that the kernel killed for its CPU time. The
// kernel does not say so, and counts by ticks: on a busy machine that differs
// much from the time accounted, hence the half.
func (e ending) hitCPULimit() bool {
	if e.limits.CPU == 0 || !e.status.Signaled() {
		return false
	}
	sig := e.status.Signal()
	bound := time.Duration(cpuSeconds(e.limits.CPU)) * time.Second
	return (sig == syscall.SIGKILL || sig == syscall.SIGXCPU) && e.usage.CPU() >= bound/2
}

// hitMemoryLimit is a judgement: the kernel only refuses the allocation, and
// the child ends as it likes. Most say so in the C library's words.
func (e ending) hitMemoryLimit() bool {
	if e.limits.Memory == 0 {
		return false
	}
	text := bytes.ToLower(e.stderr)
	for _, words := range []string{"cannot allocate memory", "out of memory", "memory exhausted", "bad_alloc"} {
		if bytes.Contains(text, []byte(words)) {
			return true
		}
	}
	crashed := e.status.Signaled() &&
		(e.status.Signal() == syscall.SIGSEGV || e.status.Signal() == syscall.SIGABRT)
	return crashed && e.usage.MaxRSS > e.limits.Memory/2
}

// cpuSeconds rounds up: RLIMIT_CPU counts whole seconds.
func cpuSeconds(d time.Duration) uint64 {
	return uint64((d + time.Second - 1) / time.Second)
}
