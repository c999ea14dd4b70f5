// Package testkit is what tests share: real clips, clips that ffmpeg makes,
// golden files and the check for goroutines left behind. Only tests import it.
//
// A test that needs something which is not there says so and is skipped; where
// CI is set, a missing program fails it instead. Shared clips may always be
// absent: they are no part of the project.
package testkit

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// sharedEnv names a folder to use in place of ../shared beside the checkout.
const sharedEnv = "LIUYUN_SHARED"

var update = flag.Bool("update", false, "write golden files instead of comparing with them")

// Until waits until what another goroutine or process brings about is so, for as long as
// limit at most, which bounds a test that fails and judges nothing.
func Until(t testing.TB, limit time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it has not come about in %v: %s", limit, what)
		}
	}
}

// Root returns the folder of the checkout, where go.mod lies.
func Root(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			t.Fatal("no go.mod above the working directory")
		}
		folder = parent
	}
}

// sharedFolder is where shared files lie, whether it exists or not.
func sharedFolder(t testing.TB) string {
	t.Helper()
	if shared := os.Getenv(sharedEnv); shared != "" {
		return shared
	}
	return filepath.Join(filepath.Dir(Root(t)), "shared")
}

func mediaFolder(t testing.TB) string { t.Helper(); return filepath.Join(sharedFolder(t), "media") }

// Shared returns the path of a shared file that is no clip, such as
// "vmaf/vmaf_v0.6.1.json", and skips the test where it is absent.
func Shared(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(sharedFolder(t), filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("shared file %s is absent", name)
	}
	return path
}

// Unxz returns what a file holds that xz has packed.
func Unxz(t testing.TB, path string) []byte {
	t.Helper()
	data, err := exec.CommandContext(t.Context(), Program(t, "xz"), "-dc", path).Output()
	if err != nil {
		t.Fatalf("unpack %s: %v", path, err)
	}
	return data
}

// Media returns the path of a shared clip, such as
// "animation/bbb_480p24_30s_6ch.mp4", and skips the test where it is absent. The
// file is read-only.
func Media(t testing.TB, name string) string {
	t.Helper()
	path, there := FindMedia(t, name)
	if !there {
		t.Skipf("shared clip %s is absent", name)
	}
	return path
}

// FindMedia is Media for a test that can do without: it reports whether the clip
// is there.
func FindMedia(t testing.TB, name string) (path string, there bool) {
	t.Helper()
	path = filepath.Join(mediaFolder(t), filepath.FromSlash(name))
	_, err := os.Stat(path)
	return path, err == nil
}

// MediaAll returns the paths of all shared files under folder, such as "hostile"
// or "." for all, in order of name, and skips the test where there are none.
func MediaAll(t testing.TB, folder string) []string {
	t.Helper()
	var paths []string
	root := filepath.Join(mediaFolder(t), filepath.FromSlash(folder))
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && entry.Name() != "MANIFEST.tsv" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Skipf("shared clips %s are absent", folder)
	}
	return paths
}

// FFmpeg returns the path of ffmpeg.
func FFmpeg(t testing.TB) string { t.Helper(); return Program(t, "ffmpeg") }

// FFprobe returns the path of ffprobe.
func FFprobe(t testing.TB) string { t.Helper(); return Program(t, "ffprobe") }

// Program returns the path of a program that the test needs. Where it is not
// installed the test is skipped, or fails when CI is set.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	Need(t, err == nil, name+" is not installed")
	return path
}

// Need skips the test, or fails it where CI is set, unless something is there.
func Need(t testing.TB, there bool, otherwise string) {
	t.Helper()
	switch {
	case there:
	case os.Getenv("CI") != "":
		t.Fatalf("%s, and CI is set", otherwise)
	default:
		t.Skip(otherwise)
	}
}

// Peer returns the path of a server that is not ours and that the Makefile
// installs into build/ by its version; else it is as [Program].
func Peer(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), "build", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return Program(t, name)
}

// Golden compares got with the file at path, which is relative to the package's
// folder. With -update it writes the file instead.
func Golden(t testing.TB, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run the test with -update to write it)", err)
	}
	if bytes.Equal(got, want) {
		return
	}
	diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n"))
	t.Errorf("%s differs (-want +got); run the test with -update if the change is right:\n%s", path, diff)
}

// NoLeaks fails the test when goroutines that it started are still running at
// its end. It sees the goroutines of the whole process: do not use it in a test
// that runs in parallel with others.
func NoLeaks(t testing.TB) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}
