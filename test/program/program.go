// Package program runs the built liuyun as a real process, for tests that kill
// it, starve it or feed it files made to hurt. It knows how to start it, what it
// says under --json, and how to compare folders byte for byte; what should
// happen is the tests' business.
package program

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Program is a built liuyun.
type Program struct {
	Path string
	// Within is what a server is started by, as in "ip", "netns", "exec", NAME;
	// usually nothing.
	Within []string
}

// Build builds liuyun from the checkout at root, one after the other, whatever packages
// are tested at once: nothing is linked again while the last build, of whichever package,
// is up to date. A program that runs meanwhile is not touched, since go renames.
func Build(t testing.TB, root string) Program {
	t.Helper()
	folder := filepath.Join(root, "build", "test")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(folder, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "liuyun")
	command := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/liuyun")
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build liuyun: %v\n%s", err, out)
	}
	return Program{Path: path}
}

// Line is one object that liuyun wrote under --json, with the fields that tests
// look at.
type Line struct {
	Type    string `json:"type"`
	Phase   string `json:"phase"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Cause   string `json:"cause"`
	Job     string `json:"job"`

	Renditions []struct {
		ID      string `json:"id"`
		Recoded int    `json:"recoded_units"`
	} `json:"renditions"`
	Warnings []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"warnings"`
	Video struct {
		Height int `json:"height"`
	} `json:"video"`
	Plan struct {
		Frames int `json:"frames"`
	} `json:"plan"`
	Run struct {
		Wall     float64 `json:"wall_s"`
		Units    int     `json:"units"`
		Reused   int     `json:"reused_units"`
		Retried  int     `json:"retries"`
		Complete bool    `json:"already_complete"`
	} `json:"run"`
}

// Result is how a run ended.
type Result struct {
	Status int // exit status; −1 when a signal ended it
	Lines  []Line
	Stderr string
	Wall   time.Duration
	MaxRSS int64 // peak resident bytes of liuyun alone, read every few milliseconds
}

// Last is the last object: a report or an error. It is zero where nothing was
// written.
func (r Result) Last() Line {
	if len(r.Lines) == 0 {
		return Line{}
	}
	return r.Lines[len(r.Lines)-1]
}

// Phase is the last phase that the run came to, or "".
func (r Result) Phase() string {
	phase := ""
	for _, line := range r.Lines {
		if line.Phase != "" {
			phase = line.Phase
		}
	}
	return phase
}

// String is the result for a test's message.
func (r Result) String() string {
	last := r.Last()
	return fmt.Sprintf("status %d after %.1f s in phase %q: %s %s %s %s", r.Status, r.Wall.Seconds(), r.Phase(),
		last.Code, last.Message, last.Cause, strings.TrimSpace(r.Stderr))
}

// Run is a liuyun that was started.
type Run struct {
	Pid int
	// Phases has the name of each phase as it begins; it is closed at the end of
	// the output.
	Phases <-chan string
	// Done is closed when the process is gone and its output is read.
	Done <-chan struct{}

	process *os.Process
	peak    atomic.Int64
	mu      sync.Mutex
	result  Result
}

// environ is the environment without settings: those of the tests are none of
// the program, which refuses unknown ones. How fast the machine is takes seconds of all
// cores to measure, and is no matter of most tests.
func environ() []string {
	own := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LIUYUN_") })
	return append(own, "LIUYUN_WORKER_MEASURE=false")
}

// Start starts liuyun with arguments and --json. Whatever is left of it is
// killed at the end of the test.
func (p Program) Start(t testing.TB, arguments ...string) *Run {
	t.Helper()
	command := exec.Command(p.Path, append(arguments, "--json")...)
	command.Env = environ()
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	phases, done := make(chan string, 16), make(chan struct{})
	r := &Run{Pid: command.Process.Pid, Phases: phases, Done: done, process: command.Process}
	go r.watchMemory()
	go func() {
		defer close(done)
		lines, readErr := readLines(out, phases)
		close(phases)
		waitErr := command.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.result = Result{Status: command.ProcessState.ExitCode(), Lines: lines, Stderr: stderr.String(), Wall: time.Since(began)}
		r.result.MaxRSS = r.peak.Load()
		var exit *exec.ExitError
		if waitErr != nil && !errors.As(waitErr, &exit) {
			r.result.Stderr += waitErr.Error()
		}
		if readErr != nil {
			r.result.Stderr += readErr.Error()
		}
	}()
	t.Cleanup(func() { r.Signal(syscall.SIGKILL); <-done })
	return r
}

// watchMemory reads the peak until the end. (The usage that wait gives has the
// peak of the test's own process in it, from before liuyun was loaded.)
func (r *Run) watchMemory() {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if peak := peakMemory(r.Pid); peak > 0 {
			r.peak.Store(peak)
		}
		select {
		case <-r.Done:
			return
		case <-ticker.C:
		}
	}
}

// readLines reads the objects of a run. A phase that nobody waits for is dropped.
func readLines(out io.Reader, phases chan<- string) ([]Line, error) {
	var lines []Line
	phase := ""
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var line Line
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return lines, fmt.Errorf("line %q: %w", scanner.Text(), err)
		}
		lines = append(lines, line)
		if line.Phase != "" && line.Phase != phase {
			phase = line.Phase
			select {
			case phases <- phase:
			default:
			}
		}
	}
	return lines, scanner.Err()
}

// Signal sends a signal to liuyun itself; after its end it does nothing.
func (r *Run) Signal(signal syscall.Signal) {
	_ = r.process.Signal(signal) // os.ErrProcessDone: gone already
}

// Wait waits for the end.
func (r *Run) Wait() Result {
	<-r.Done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.result
}

// AwaitPhase returns true when the phase begins, false when the run ends first.
func (r *Run) AwaitPhase(phase string) bool {
	for began := range r.Phases {
		if began == phase {
			return true
		}
	}
	return false
}

// WaitAtMost waits for the end no longer than d and says whether it came.
func (r *Run) WaitAtMost(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.Done:
		return true
	case <-timer.C:
		return false
	}
}

// Run starts liuyun and waits for its end, at most limit: then it is killed and
// the test fails.
func (p Program) Run(t testing.TB, limit time.Duration, arguments ...string) Result {
	t.Helper()
	r := p.Start(t, arguments...)
	if !r.WaitAtMost(limit) {
		r.Signal(syscall.SIGKILL)
		result := r.Wait()
		t.Errorf("liuyun %s: not done after %v: %s", strings.Join(arguments, " "), limit, result)
		return result
	}
	return r.Wait()
}

// Tree is every file below root with a hash of its content, and every folder.
func Tree(t testing.TB, root string) map[string]string {
	t.Helper()
	tree := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			tree[name] = "folder"
			return nil
		case !entry.Type().IsRegular():
			tree[name] = entry.Type().String()
			return nil
		}
		data, err := os.ReadFile(path)
		tree[name] = fmt.Sprintf("%d bytes %x", len(data), sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
