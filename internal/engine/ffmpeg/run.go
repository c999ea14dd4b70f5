package ffmpeg

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"liuyun/internal/kit/proc"
)

// Command is one run of ffmpeg.
type Command struct {
	Input Input
	// Args are the arguments after the general ones, which Run adds: options of
	// the input, "-i", InputURL, filters, maps, encoders, outputs. Outputs are
	// named relative to Dir, or by PipeURL.
	Args []string
	// Dir is the working folder, the only one beneath which the child may write
	// (and read beside the Input). "" is none.
	Dir string
	// Pipes receive the outputs PipeURL(0), PipeURL(1), … Each is written by a
	// goroutine of its own; an error from one ends the run and is its error.
	Pipes []io.Writer
	// OnProgress is called about twice a second, from a goroutine of the run,
	// and once at the end. It must be quick.
	OnProgress func(Progress)
	Limits     proc.Limits
	Nice       int // 0 to 19
}

// firstPipe is the descriptor of Pipes[0]; the Input is before it.
const firstPipe = 4

// PipeURL names Command.Pipes[i] in arguments.
func PipeURL(i int) string { return "pipe:" + strconv.Itoa(firstPipe+i) }

// Progress is how far a run is.
type Progress struct {
	Frame     int64         // frames encoded
	OutTime   time.Duration // of the output
	TotalSize int64         // bytes written; 0 when ffmpeg does not know
	Speed     float64       // output seconds a second; 0 when unknown
	Doubled   int64         // frames that ffmpeg itself doubled
	Dropped   int64         // frames that ffmpeg itself dropped
	Done      bool          // the last report of a run
}

// Usage is what a run used and what it said. It is filled, as far as the run
// came, when there is an error too.
type Usage struct {
	CPU    time.Duration // user and system
	Wall   time.Duration
	MaxRSS int64 // bytes; see proc.Usage

	Errors        int      // messages of level error and worse: mostly broken data
	Warnings      int      // messages of level warning
	CorruptFrames int      // pictures that were decoded only in part
	Messages      []string // the distinct errors and warnings, 20 at most, numbers replaced by #
	Last          Progress // the last report
}

// Run runs ffmpeg, confined (kit/proc) to the Input and Dir. Its error is a
// *fault.Error in people's words, or what a Pipe returned.
func (t *Tools) Run(ctx context.Context, c Command) (Usage, error) {
	args := []string{"-hide_banner", "-nostdin", "-y", "-nostats", "-loglevel", "repeat+level+warning",
		"-max_error_rate", "1", // what decodes is used, however little it is
		"-progress", PipeURL(len(c.Pipes))}
	progress := progressReader{report: c.OnProgress}
	child := child{
		tool:   t.ffmpeg,
		input:  c.Input,
		args:   append(args, t.config.guarded(c.Args)...),
		dir:    c.Dir,
		pipes:  append(append([]io.Writer{}, c.Pipes...), &lineWriter{each: progress.line}),
		limits: c.Limits,
		nice:   c.Nice,
	}
	used, log, err := t.start(ctx, child)
	if err != nil {
		err = t.explain(err, c.Input)
	}
	return Usage{
		CPU: used.CPU(), Wall: used.Wall, MaxRSS: used.MaxRSS,
		Errors: log.errors, Warnings: log.warnings, CorruptFrames: log.corrupt,
		Messages: log.texts(), Last: progress.now,
	}, err
}

// child is a run of either tool.
type child struct {
	tool   string
	input  Input
	stream *os.File // what it reads instead of an input, by its descriptor alone
	second *os.File // another beside it, as descriptor 4; the pipes come after
	orders *os.File // its standard input; nil is none
	args   []string
	dir    string
	pipes  []io.Writer
	stdout io.Writer
	limits proc.Limits
	nice   int
	// trusted says that it reads nothing but what we tell it, and is not confined.
	trusted bool
}

// start runs a child with all that protects us from it.
func (t *Tools) start(ctx context.Context, c child) (proc.Usage, messageLog, error) {
	leave, err := t.enter(ctx)
	if err != nil {
		return proc.Usage{}, messageLog{}, err
	}
	defer leave()
	return t.run(ctx, c)
}

// run is start for who has a turn already.
func (t *Tools) run(ctx context.Context, c child) (proc.Usage, messageLog, error) {
	access := &proc.Access{Read: t.config.ReadDirs, Write: c.dir}
	if c.trusted {
		access = nil
	}
	third := c.input.File
	switch {
	case third != nil && access != nil:
		access.Files = []*os.File{third}
	case c.stream != nil:
		third = c.stream
	case third == nil:
		null, err := os.Open(os.DevNull)
		if err != nil {
			return proc.Usage{}, messageLog{}, fmt.Errorf("open null device: %w", err)
		}
		defer null.Close()
		third = null
	}
	files := []*os.File{third}
	if c.second != nil {
		files = append(files, c.second)
	}
	dir := c.dir
	if dir == "" {
		dir = "/"
	}
	var log messageLog
	stderr := &lineWriter{each: log.add}
	used, err := proc.Run(ctx, proc.Command{
		Path:   c.tool,
		Args:   c.args,
		Env:    childEnv(),
		Dir:    dir,
		Files:  files,
		Stdin:  c.orders,
		Pipes:  c.pipes,
		Stdout: c.stdout,
		Stderr: stderr,
		Limits: c.limits,
		Nice:   c.nice,
		Access: access,
	})
	_ = stderr.flush() // log.add never fails
	return used, log, err
}

// progressReader reads what -progress writes: "key=value" lines, a report ended
// by "progress=continue" or "progress=end".
type progressReader struct {
	now    Progress
	report func(Progress)
}

func (r *progressReader) line(line []byte) error {
	key, value, found := bytes.Cut(line, []byte("="))
	if !found {
		return nil
	}
	text := string(bytes.TrimSpace(value))
	switch string(key) {
	case "frame":
		r.now.Frame = number(text)
	case "out_time_us":
		r.now.OutTime = time.Duration(min(number(text), math.MaxInt64/1000)) * time.Microsecond
	case "total_size":
		r.now.TotalSize = number(text)
	case "dup_frames":
		r.now.Doubled = number(text)
	case "drop_frames":
		r.now.Dropped = number(text)
	case "speed":
		r.now.Speed, _ = strconv.ParseFloat(string(bytes.TrimSuffix([]byte(text), []byte("x"))), 64)
	case "progress":
		r.now.Done = text == "end"
		if r.report != nil {
			r.report(r.now)
		}
	}
	return nil
}

// number reads a count; 0 for "N/A" and what is below zero.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
