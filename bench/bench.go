package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// bench is one run of this command: the tools, the places, and what several
// benchmarks share.
type bench struct {
	flags   flags
	root    string // of the checkout
	scratch string // emptied at the end
	liuyun  string
	ffmpeg  string
	ffprobe string
	cpus    []int // the processors that we may use
	machine machine
	pairs   map[string]*pairs // by clip and preset
	full    *filled           // nil until it is needed
}

func newBench(ctx context.Context, f flags) (*bench, error) {
	b := &bench{flags: f, pairs: make(map[string]*pairs)}
	var err error
	if b.root, err = checkoutRoot(); err != nil {
		return nil, err
	}
	if b.liuyun, err = filepath.Abs(f.liuyun); err != nil {
		return nil, err
	}
	if _, err := os.Stat(b.liuyun); err != nil {
		return nil, fmt.Errorf("%w: run make build first", err)
	}
	if f.liuyun == builtProgram {
		if err := b.checkFresh(); err != nil {
			return nil, err
		}
	}
	for name, path := range map[string]*string{"ffmpeg": &b.ffmpeg, "ffprobe": &b.ffprobe} {
		if *path, err = exec.LookPath(name); err != nil {
			return nil, err
		}
	}
	if b.cpus, err = allowedCPUs(); err != nil {
		return nil, err
	}
	if b.machine, err = b.describeMachine(ctx); err != nil {
		return nil, err
	}
	if b.scratch, err = os.MkdirTemp("", "liuyun-bench-"); err != nil {
		return nil, err
	}
	return b, nil
}

// builtProgram is what is measured unless told otherwise.
const builtProgram = "bin/liuyun"

// checkFresh refuses a program that is older than its sources: figures of another
// than the one at hand are worse than none.
func (b *bench) checkFresh() error {
	built, err := os.Stat(b.liuyun)
	if err != nil {
		return err
	}
	for _, folder := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(b.root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !slices.Contains([]string{".go", ".c", ".h"}, filepath.Ext(path)) || strings.HasSuffix(path, "_test.go") {
				return err
			}
			info, err := entry.Info()
			if err == nil && info.ModTime().After(built.ModTime()) {
				err = fmt.Errorf("%s is older than %s: run make build first", b.liuyun, path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) close() { os.RemoveAll(b.scratch) }

// say tells people what is going on, apart from the table.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// folder makes an empty folder for one run; the caller removes it.
func (b *bench) folder() (string, error) { return os.MkdirTemp(b.scratch, "run-") }

// cores are the first n processors that we may use, or an error.
func (b *bench) cores(n int) ([]int, error) {
	if len(b.cpus) < n {
		return nil, &absentError{fmt.Sprintf("%d processors", n)}
	}
	return b.cpus[:n], nil
}

// absentError says what a benchmark needs and has not got: it is skipped.
type absentError struct{ what string }

func (e *absentError) Error() string { return e.what + " absent" }

// checkoutRoot is the folder with go.mod at or above the working directory.
func checkoutRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("no go.mod above the working directory")
		}
		folder = parent
	}
}

// describeMachine names what the figures depend on, and no host.
func (b *bench) describeMachine(ctx context.Context) (machine, error) {
	model, err := cpuModel("/proc/cpuinfo")
	if err != nil {
		return machine{}, err
	}
	version, err := exec.CommandContext(ctx, b.ffmpeg, "-version").Output()
	if err != nil {
		return machine{}, fmt.Errorf("ask ffmpeg for its version: %w", err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	name, _, _ := strings.Cut(strings.TrimPrefix(first, "ffmpeg version "), " ")
	return machine{CPU: model, Cores: len(b.cpus), FFmpeg: name}, nil
}
