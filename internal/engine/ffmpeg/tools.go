// Package ffmpeg is the only place that runs ffmpeg and ffprobe. It finds them,
// says what they can do, builds their arguments, starts them as confined and
// limited children (kit/proc), reads their progress and messages, and puts what
// went wrong into people's words. It decides nothing about the encoding: what
// to make of an input is the caller's business.
package ffmpeg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/proc"
)

// Config says which tools to use and how far they may go.
type Config struct {
	FFmpegPath  string   `conf:"ffmpeg_path" help:"The ffmpeg program; empty looks in PATH."`
	FFprobePath string   `conf:"ffprobe_path" help:"The ffprobe program; empty looks in PATH."`
	ReadDirs    []string `conf:"read_dirs" help:"Folders beside the system's own that hold their libraries and data."`

	// MaxPixels is the largest picture, width × height, that is decoded.
	MaxPixels int64 `conf:"max_pixels" help:"The largest picture, width × height, that is decoded."`

	ProbeLimits proc.Limits `conf:"probe" help:"Reading the head of a file:"`
	IndexLimits proc.Limits `conf:"index" help:"Reading a whole file:"`
}

// DefaultConfig returns tools from PATH, pictures to 8192 × 8192, and limits
// that no sound file reaches.
func DefaultConfig() Config {
	return Config{
		MaxPixels:   8192 * 8192,
		ProbeLimits: proc.Limits{CPU: time.Minute, Memory: 2 << 30, Wall: 2 * time.Minute},
		IndexLimits: proc.Limits{CPU: 30 * time.Minute, Memory: 2 << 30, Wall: 2 * time.Hour},
	}
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	switch {
	case c.MaxPixels < 1:
		return fault.New(fault.Invalid, "max_pixels is %d: it must be positive", c.MaxPixels)
	case c.ProbeLimits.Wall <= 0 || c.IndexLimits.Wall <= 0:
		return fault.New(fault.Invalid, "the wall limits of probing and indexing must be positive")
	}
	for _, dir := range c.ReadDirs {
		if !filepath.IsAbs(dir) {
			return fault.New(fault.Invalid, "read_dirs has %q: it must be an absolute path", dir)
		}
	}
	return nil
}

// Tools are an ffmpeg and its ffprobe that were found to work. They are safe
// for concurrent use.
type Tools struct {
	Version Version // of ffmpeg

	// Class names what must be equal for a repeated unit to be byte-identical:
	// architecture, ffmpeg's version and build, and the builds of the libraries
	// that encode, decode, scale and filter. It is short and fit for a file name.
	Class string
	// Libraries are the file names, versions in them, of the libraries that
	// count in Class: "libx264.so.164" … Empty for a static ffmpeg.
	Libraries []string

	children   chan struct{}       // one element a running child; nil: any number
	memory     *semaphore.Weighted // of encodes, bytes; nil: as much as there is
	memorySize int64
	config     Config
	ffmpeg     string
	ffprobe    string
	encoders   map[string]bool
	filters    map[string]bool
	decodable  map[string]bool // codec names
	proofs     *proofs
	device     *onHardware // encodes instead of libraries; nil: nothing does
}

// Find locates both tools and reads what they are and can do, in five short runs
// side by side. The error is a fault.Unavailable that says what to install when
// one is missing, does not start, or is older than 5.1.
func Find(ctx context.Context, c Config) (*Tools, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	t := &Tools{config: c, proofs: newProofs()}
	var err error
	if t.ffmpeg, err = lookPath("ffmpeg", c.FFmpegPath); err != nil {
		return nil, err
	}
	if t.ffprobe, err = lookPath("ffprobe", c.FFprobePath); err != nil {
		return nil, err
	}
	version := question{tool: t.ffmpeg, args: []string{"-version"}}
	probeVersion := question{tool: t.ffprobe, args: []string{"-version"}}
	codecs := question{tool: t.ffmpeg, args: []string{"-hide_banner", "-codecs"}}
	filters := question{tool: t.ffmpeg, args: []string{"-hide_banner", "-filters"}}
	// The loader lists the libraries and runs nothing; a static executable
	// ignores the variable and prints its version, in which there is no library.
	libraries := question{tool: t.ffmpeg, env: []string{"LD_TRACE_LOADED_OBJECTS=1"}, args: []string{"-version"}}
	t.ask(ctx, &version, &probeVersion, &codecs, &filters, &libraries)
	if t.Version, err = version.version("ffmpeg"); err != nil {
		return nil, err
	}
	if _, err = probeVersion.version("ffprobe"); err != nil {
		return nil, err
	}
	if err := cmp.Or(codecs.err, filters.err, libraries.err); err != nil {
		return nil, err
	}
	t.encoders, t.decodable = coders(codecs.answer)
	t.filters = listed(filters.answer, '.', 'T')
	return t, t.identify(version.answer, libraries.answer)
}

// AtMost returns the same tools that run at most n children at a time; others wait
// in the order in which they came. Who waits holds nothing that a running child
// needs, so that all who share a machine may share them: what one source's
// analysis, another's sound and the units of a third need together never is more
// than the machine has.
func (t *Tools) AtMost(n int) *Tools {
	bounded := *t
	bounded.children = make(chan struct{}, max(1, n))
	return &bounded
}

// Sharing returns the same tools, whose children and memory are counted with those of
// the others.
func (t *Tools) Sharing(with *Tools) *Tools {
	shared := *t
	shared.children, shared.memory, shared.memorySize = with.children, with.memory, with.memorySize
	return &shared
}

// enter waits for a child's turn. leave ends it.
func (t *Tools) enter(ctx context.Context) (leave func(), err error) {
	if t.children == nil {
		return func() {}, nil
	}
	select {
	case t.children <- struct{}{}:
		return func() { <-t.children }, nil
	case <-ctx.Done():
		return nil, fault.Wrap(ctx.Err(), fault.Canceled, "stopped on request")
	}
}

// HasEncoder reports whether ffmpeg has the encoder: "libx264", "aac" …
func (t *Tools) HasEncoder(name string) bool { return t.encoders[name] }

// HasFilter reports whether ffmpeg has the filter: "zscale", "bwdif" …
func (t *Tools) HasFilter(name string) bool { return t.filters[name] }

// CanDecode reports whether ffmpeg has a decoder for the codec: "h264", "vvc" …
func (t *Tools) CanDecode(codec string) bool { return t.decodable[codec] }

// passthrough are the output options that keep every frame with its own time:
// none is doubled or dropped. 5.1 brought the name for what was -vsync, which 8
// no longer knows.
func (t *Tools) passthrough() []string { return []string{"-fps_mode", "passthrough"} }

// lookPath returns an absolute path: the given one, or the first in PATH.
func lookPath(name, given string) (string, error) {
	path := given
	if path == "" {
		path = name
	}
	found, err := exec.LookPath(path)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		where := "in PATH"
		if given != "" {
			where = "at " + given
		}
		return "", fault.Wrap(err, fault.Unavailable,
			"%s was not found %s: install ffmpeg 5.1 or later (Debian and Ubuntu: apt-get install ffmpeg), or set its path", name, where)
	}
	if found, err = filepath.Abs(found); err != nil {
		return "", fmt.Errorf("path of %s: %w", name, err)
	}
	return found, nil
}

// question is a run of a tool that only talks about itself, and what it said.
type question struct {
	tool   string
	env    []string
	args   []string
	answer []byte
	err    error
}

// version reads the answer as that of -version.
func (q *question) version(tool string) (Version, error) {
	if q.err != nil {
		return Version{}, q.err
	}
	return supportedVersion(tool, q.answer)
}

// ask answers questions side by side.
func (t *Tools) ask(ctx context.Context, questions ...*question) {
	var group sync.WaitGroup
	for _, q := range questions {
		group.Go(func() { q.answer, q.err = t.answer(ctx, q) })
	}
	group.Wait()
}

func (t *Tools) answer(ctx context.Context, q *question) ([]byte, error) {
	out := cappedBuffer{limit: 4 << 20}
	_, err := proc.Run(ctx, proc.Command{
		Path:   q.tool,
		Args:   q.args,
		Env:    append(childEnv(), q.env...),
		Dir:    "/",
		Stdout: &out,
		Limits: proc.Limits{CPU: 20 * time.Second, Memory: 1 << 30, Wall: 30 * time.Second},
		Access: &proc.Access{Read: t.config.ReadDirs},
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, fault.Wrap(err, fault.Canceled, "stopped while looking at %s", q.tool)
		}
		return nil, fault.Wrap(err, fault.Unavailable, "%s does not work: install ffmpeg again, or set the path of another", q.tool)
	}
	return out.buf, nil
}

// childEnv is all that a child sees of the environment. Debian's ffmpeg loads OpenBLAS
// where that is installed, which has nothing to do here: it would start a thread for each
// core at each start, and wait for ever where there is no memory for one.
func childEnv() []string {
	return []string{"LC_ALL=C", "AV_LOG_FORCE_NOCOLOR=1", "OPENBLAS_NUM_THREADS=1"}
}

// listed reads the tables that ffmpeg prints of filters: flags, name, description.
// A row counts when its flags begin with one of first.
func listed(text []byte, first ...byte) map[string]bool {
	names := make(map[string]bool)
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 3 || bytes.Equal(fields[1], []byte("=")) || !slices.Contains(first, fields[0][0]) {
			continue
		}
		names[string(fields[1])] = true
	}
	return names
}

// coders reads the table that ffmpeg prints of codecs: six flags, the name, a
// description, and "(encoders: a b )" unless there is one of the codec's name.
func coders(text []byte) (encoders, decodable map[string]bool) {
	encoders, decodable = make(map[string]bool), make(map[string]bool)
	row := regexp.MustCompile(`(?m)^ ([D.])([E.])\S{4} (\w\S*)(?:.*\(encoders: ([^)]*)\))?`)
	for _, m := range row.FindAllSubmatch(text, -1) {
		name := string(m[3])
		if m[1][0] == 'D' {
			decodable[name] = true
		}
		switch {
		case m[2][0] != 'E':
		case len(m[4]) == 0:
			encoders[name] = true
		default:
			for _, encoder := range bytes.Fields(m[4]) {
				encoders[string(encoder)] = true
			}
		}
	}
	return encoders, decodable
}

// cappedBuffer keeps what is written to it, and refuses more than limit bytes.
type cappedBuffer struct {
	buf   []byte
	limit int
}

var errTooMuch = errors.New("more output than allowed")

// Write fails with errTooMuch beyond the limit.
func (b *cappedBuffer) Write(p []byte) (int, error) {
	if len(b.buf)+len(p) > b.limit {
		return 0, errTooMuch
	}
	b.buf = append(b.buf, p...)
	return len(p), nil
}
