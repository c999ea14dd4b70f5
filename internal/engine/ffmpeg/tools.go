// Package ffmpeg is the only place that runs ffmpeg and ffprobe. It finds them,
// says what they can do, builds their arguments, starts them as confined and
// limited children (kit/proc), reads their progress and messages, and puts what
// went wrong into people's words. It decides nothing about the encoding: what
// to make of an input is the caller's business.
package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

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

	config    Config
	ffmpeg    string
	ffprobe   string
	encoders  map[string]bool
	filters   map[string]bool
	decodable map[string]bool // codec names
}

// Find locates both tools and reads what they are and can do. It takes about
// five short runs. The error is a fault.Unavailable that says what to install
// when one is missing, does not start, or is older than 5.1.
func Find(ctx context.Context, c Config) (*Tools, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	t := &Tools{config: c}
	var err error
	if t.ffmpeg, err = lookPath("ffmpeg", c.FFmpegPath); err != nil {
		return nil, err
	}
	if t.ffprobe, err = lookPath("ffprobe", c.FFprobePath); err != nil {
		return nil, err
	}
	versionText, err := t.ask(ctx, t.ffmpeg, nil, "-version")
	if err != nil {
		return nil, err
	}
	if t.Version, err = supportedVersion("ffmpeg", versionText); err != nil {
		return nil, err
	}
	if err := t.readAbilities(ctx); err != nil {
		return nil, err
	}
	return t, t.identify(ctx, versionText)
}

// readAbilities reads the lists of what the tools can do, side by side.
func (t *Tools) readAbilities(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		text, err := t.ask(ctx, t.ffmpeg, nil, "-hide_banner", "-encoders")
		t.encoders = listed(text, 'A', 'V', 'S')
		return err
	})
	group.Go(func() error {
		text, err := t.ask(ctx, t.ffmpeg, nil, "-hide_banner", "-filters")
		t.filters = listed(text, '.', 'T')
		return err
	})
	group.Go(func() error {
		text, err := t.ask(ctx, t.ffmpeg, nil, "-hide_banner", "-codecs")
		t.decodable = listed(text, 'D')
		return err
	})
	group.Go(func() error {
		text, err := t.ask(ctx, t.ffprobe, nil, "-version")
		if err != nil {
			return err
		}
		_, err = supportedVersion("ffprobe", text)
		return err
	})
	return group.Wait()
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

// ask runs a tool that only talks about itself.
func (t *Tools) ask(ctx context.Context, tool string, env []string, args ...string) ([]byte, error) {
	out := cappedBuffer{limit: 4 << 20}
	_, err := proc.Run(ctx, proc.Command{
		Path:   tool,
		Args:   args,
		Env:    append(childEnv(), env...),
		Dir:    "/",
		Stdout: &out,
		Limits: proc.Limits{CPU: 20 * time.Second, Memory: 1 << 30, Wall: 30 * time.Second},
		Access: &proc.Access{Read: t.config.ReadDirs},
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, fault.Wrap(err, fault.Canceled, "stopped while looking at %s", tool)
		}
		return nil, fault.Wrap(err, fault.Unavailable, "%s does not work: install ffmpeg again, or set the path of another", tool)
	}
	return out.buf, nil
}

// childEnv is all that a child sees of the environment.
func childEnv() []string { return []string{"LC_ALL=C", "AV_LOG_FORCE_NOCOLOR=1"} }

// listed reads the tables that ffmpeg prints of encoders, filters and codecs:
// flags, name, description. A row counts when its flags begin with one of first.
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
