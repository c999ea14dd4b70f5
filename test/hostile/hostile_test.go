// Package hostile gives liuyun, as a real process, files that are broken, cut
// off, odd or made to hurt, and holds it to what it promises: it ends in bounded
// time and memory, with exit status 0, or with 2 and one sentence that says what
// is wrong with the file, and it opens nothing but the file. Some files are made
// here; the shared ones are used where they are.
package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

const (
	limit     = 60 * time.Second
	memory    = 100 << 20 // bytes that liuyun itself may ever have resident
	addresses = `0x[0-9a-f]{6,}|/proc/|Error while|\[\w+(,\w+)* @|panic|goroutine|exit status`
)

// verdict is what came of one file.
type verdict struct {
	name          string
	probe, encode program.Result
}

func (v verdict) String() string {
	last := v.encode.Last()
	outcome := last.Message
	if v.encode.Status == 0 {
		var codes []string
		for _, w := range last.Warnings {
			codes = append(codes, w.Code)
		}
		outcome = fmt.Sprintf("%d pictures; %s", last.Plan.Frames, strings.Join(codes, " "))
	}
	return fmt.Sprintf("%-62s probe %d %4.1f s  encode %d %4.1f s %3d MB  %s", v.name,
		v.probe.Status, v.probe.Wall.Seconds(), v.encode.Status, v.encode.Wall.Seconds(), v.encode.MaxRSS>>20, outcome)
}

// try probes and encodes a file and checks what holds for every file.
func try(t *testing.T, liuyun program.Program, path string) verdict {
	t.Helper()
	before := content(t, path)
	dir := filepath.Join(t.TempDir(), "out")
	v := verdict{name: filepath.Base(path), probe: liuyun.Run(t, limit, "probe", path)}
	encode := []string{"encode", path, "-o", dir, "--preset", "ultrafast", "-j", "2"}
	if height := v.probe.Last().Video.Height; height == 0 || height >= 240 {
		encode = append(encode, "--ladder", "240") // a smaller one would be refused it
	}
	v.encode = liuyun.Run(t, limit, encode...)
	if v.encode.Status == 2 && strings.Contains(v.encode.Last().Message, "ladder") {
		v.encode = liuyun.Run(t, limit, "encode", path, "-o", dir, "--preset", "ultrafast", "-j", "2")
	}
	t.Log(v)
	check(t, "probe", v.probe)
	check(t, "encode", v.encode)
	if v.encode.Status == 0 && v.probe.Status != 0 {
		t.Errorf("encoded, but not probed: %s", v.probe)
	}
	program.NoOrphans(t, dir)
	if content(t, path) != before {
		t.Error("the source was changed")
	}
	return v
}

// check holds one run to bounds and to a clear message.
func check(t *testing.T, command string, r program.Result) {
	t.Helper()
	last := r.Last()
	switch {
	case r.MaxRSS > memory:
		t.Errorf("%s: %d MB of memory", command, r.MaxRSS>>20)
	case strings.Contains(r.Stderr, "panic") || strings.Contains(r.Stderr, "goroutine "):
		t.Errorf("%s: panic:\n%s", command, r.Stderr)
	case r.Status == 0 && (last.Type == "report" || last.Type == "probe"):
	case r.Status == 2 && last.Code == "invalid":
		if problem := unclear(last.Message); problem != "" {
			t.Errorf("%s: the message %s: %q", command, problem, last.Message)
		}
	default:
		t.Errorf("%s: want status 0, or 2 with a reason: %s", command, r)
	}
}

// unclear says what is wrong with a message for people.
func unclear(message string) string {
	switch {
	case len(message) < 20:
		return "says too little"
	case len(message) > 300:
		return "is too long"
	case strings.Contains(message, "\n"):
		return "has more than one line"
	case !utf8.ValidString(message):
		return "is not text"
	case regexp.MustCompile(addresses).MatchString(message):
		return "is ffmpeg's"
	}
	return ""
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Every shared file that is broken or odd.
func TestShared(t *testing.T) {
	liuyun := program.Build(t, testkit.Root(t))
	for _, folder := range []string{"hostile", "conformance/h264_jvt"} {
		for _, path := range testkit.MediaAll(t, folder) {
			if filepath.Ext(path) == ".tsv" {
				continue
			}
			t.Run(filepath.Base(path), func(t *testing.T) {
				t.Parallel()
				v := try(t, liuyun, path)
				if folder != "hostile" && v.encode.Status != 0 {
					t.Errorf("a conforming stream was refused: %s", v.encode)
				}
			})
		}
	}
}

// Files with a known kind of damage, and what has to be said of each.
func TestMade(t *testing.T) {
	liuyun := program.Build(t, testkit.Root(t))
	server := newTrap(t)
	for _, f := range made(t, server.address()) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), f.name)
			if err := os.WriteFile(path, f.data, 0o600); err != nil {
				t.Fatal(err)
			}
			v := try(t, liuyun, path)
			last := v.encode.Last()
			if f.says != "" && (v.encode.Status != 2 || !regexp.MustCompile(f.says).MatchString(last.Message)) {
				t.Errorf("want status 2 and a message like %q: %s", f.says, v.encode)
			}
			if f.frames > 0 && (v.encode.Status != 0 || last.Plan.Frames < f.frames) {
				t.Errorf("%d pictures encoded, want at least %d: %s", last.Plan.Frames, f.frames, v.encode)
			}
			if f.warns && v.encode.Status == 0 && len(last.Warnings) == 0 {
				t.Error("the report has no warning")
			}
			if strings.Contains(v.encode.String(), "root:x:0") || slices.ContainsFunc(v.encode.Lines, leaks) {
				t.Error("another file was read")
			}
		})
	}
}

func leaks(line program.Line) bool { return strings.Contains(line.Cause, "root:") }

// What cannot be opened as a file.
func TestNotAFile(t *testing.T) {
	liuyun := program.Build(t, testkit.Root(t))
	folder := t.TempDir()
	for name, want := range map[string]int{folder: 2, filepath.Join(folder, "none.mp4"): 3, os.DevNull: 2, "/dev/zero": 2} {
		dir := filepath.Join(t.TempDir(), "out")
		for _, result := range []program.Result{
			liuyun.Run(t, limit, "probe", name),
			liuyun.Run(t, limit, "encode", name, "-o", dir),
		} {
			if result.Status != want || result.Last().Message == "" {
				t.Errorf("%s: want status %d: %s", name, want, result)
			}
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: a folder was made for nothing", name)
		}
	}
}
