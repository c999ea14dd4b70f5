package transcode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

func openTest(t *testing.T, root string) *workdir {
	t.Helper()
	w, err := openWorkdir(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Only a new folder, an empty one or one of ours is taken.
func TestOpenWorkdir(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []string
		code  fault.Code
	}{
		{"empty", nil, ""},
		{"begun", []string{".liuyun/units/0123/a.mp4"}, ""},
		{"begun, partly released", []string{".liuyun/staged/report.json", "video/h264-360p/init.mp4"}, ""},
		{"foreign", []string{"notes.txt"}, fault.Conflict},
		{"foreign folder", []string{"video/a.mp4"}, fault.Conflict},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for _, file := range test.files {
				put(t, filepath.Join(root, file), "x")
			}
			w, err := openWorkdir(root)
			if fault.CodeOf(err) != test.code {
				t.Fatalf("got %v, want code %q", err, test.code)
			}
			if err == nil {
				w.close()
			}
			for _, file := range test.files {
				if read(t, filepath.Join(root, file)) != "x" {
					t.Errorf("%s was touched", file)
				}
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "x")
	if _, err := openWorkdir(file); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a file in place of the folder: got %v", err)
	}
}

// One liuyun at a time; what the one before left in work is thrown away.
func TestWorkdirLock(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "a", "b")
	first := openTest(t, root)
	scratch, err := first.newScratch()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openWorkdir(root); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("a second one: got %v, want a conflict", err)
	}
	first.close()
	second := openTest(t, root)
	if _, err := os.Stat(scratch); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("scratch of the first is still there: %v", err)
	}
	if err := second.finish(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(second.state()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state is still there: %v", err)
	}
}

// A result is made once, is there whole or not at all, and a failure leaves
// nothing.
func TestOnce(t *testing.T) {
	t.Parallel()
	w := openTest(t, t.TempDir())
	failure := errors.New("encoder broke")
	_, _, err := w.once(t.Context(), "abc", func(scratch string) error {
		put(t, filepath.Join(scratch, "half.mp4"), "half")
		return failure
	})
	if !errors.Is(err, failure) || w.has("abc") {
		t.Errorf("got %v, committed %t", err, w.has("abc"))
	}
	for round, wantReused := range []bool{false, true} {
		folder, reused, err := w.once(t.Context(), "abc", func(scratch string) error {
			put(t, filepath.Join(scratch, "deep", "whole.mp4"), "whole")
			return nil
		})
		if err != nil || reused != wantReused || read(t, filepath.Join(folder, "deep", "whole.mp4")) != "whole" {
			t.Errorf("round %d: got %s, reused %t, %v", round, folder, reused, err)
		}
	}
	left, err := os.ReadDir(w.scratch())
	if err != nil || len(left) > 0 {
		t.Errorf("scratch holds %v, %v", left, err)
	}
}

// Two units of the same content at the same time are one result.
func TestOnceAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := openTest(t, t.TempDir())
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			folder, _, err := w.once(t.Context(), "same", func(scratch string) error {
				return os.WriteFile(filepath.Join(scratch, "a"), []byte("content"), 0o600)
			})
			if err != nil {
				t.Errorf("once: %v", err)
			} else if data, err := os.ReadFile(filepath.Join(folder, "a")); err != nil || string(data) != "content" {
				t.Errorf("got %q, %v", data, err)
			}
		})
	}
	group.Wait()
	left, err := os.ReadDir(w.scratch())
	if err != nil || len(left) > 0 {
		t.Errorf("scratch holds %v, %v", left, err)
	}
}

// The output of an earlier job goes, whatever it had besides.
func TestPublish(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put(t, filepath.Join(root, "report.json"), `{"version":1,"job":"`+strings.Repeat("0", 2*hashSize)+`","class":"old"}`)
	put(t, filepath.Join(root, "video", "old", "1.m4s"), "old")
	put(t, filepath.Join(root, "mp4", "old.mp4"), "old")
	put(t, filepath.Join(root, "manifest.mpd"), "old")
	w := openTest(t, root)
	put(t, filepath.Join(w.staged(), "report.json"), "new")
	put(t, filepath.Join(w.staged(), "master.m3u8"), "new")
	put(t, filepath.Join(w.staged(), "manifest.mpd"), "new")
	put(t, filepath.Join(w.staged(), "video", "new", "1.m4s"), "new")
	if err := w.publish(t.Context(), w.staged()); err != nil {
		t.Fatal(err)
	}
	if err := w.finish(); err != nil {
		t.Fatal(err)
	}
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(root, path)
			files = append(files, name+" "+read(t, path))
		}
		return err
	})
	if got, want := strings.Join(files, ", "), "manifest.mpd new, master.m3u8 new, report.json new, video/new/1.m4s new"; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "a.json")
	for _, text := range []string{"one", "two"} {
		if err := writeFile(path, []byte(text)); err != nil || read(t, path) != text {
			t.Errorf("got %q, %v, want %q", read(t, path), err, text)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(folder, "folder"), []byte("x")); err == nil {
		t.Error("a folder was written over")
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestExplainWrite(t *testing.T) {
	t.Parallel()
	known := fault.New(fault.Invalid, "known")
	tests := []struct {
		err  error
		code fault.Code
		text string
	}{
		{nil, "", ""},
		{&fs.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC}, fault.StorageFull, "the disk with out is full"},
		{fmt.Errorf("a: %w", syscall.EDQUOT), fault.StorageFull, "make room and run the same command again"},
		{&fs.PathError{Op: "open", Path: "a", Err: syscall.EACCES}, fault.Forbidden, "out cannot be written to"},
		{syscall.EROFS, fault.Forbidden, "choose another folder"},
		{fmt.Errorf("a: %w", known), fault.Invalid, "known"},
		{io.ErrUnexpectedEOF, fault.Internal, "work in out: unexpected EOF"},
	}
	for _, test := range tests {
		err := explainWrite(test.err, "out")
		if fault.CodeOf(err) != test.code || !strings.Contains(fault.Message(err), test.text) {
			t.Errorf("%v: got %v, want %s with %q", test.err, err, test.code, test.text)
		}
	}
}

// Nothing that a result depends on may be shifted into its neighbour.
func TestSpecHash(t *testing.T) {
	t.Parallel()
	seen := make(map[string]int)
	for i, spec := range []struct {
		class, source string
		args          []string
	}{
		{"a", "b", nil},
		{"ab", "", nil},
		{"a", "b", []string{""}},
		{"a", "b", []string{"", ""}},
		{"a", "b", []string{"1", "2"}},
		{"a", "b", []string{"12"}},
		{"a", "b", []string{"1:2"}},
		{"a", "b", []string{"1,1:2"}},
		{"a", "b1", []string{"2"}},
	} {
		hash := specHash(spec.class, spec.source, spec.args)
		if other, known := seen[hash]; known {
			t.Errorf("%d and %d have the same hash", i, other)
		}
		seen[hash] = i
		if hash != specHash(spec.class, spec.source, spec.args) || len(hash) != 32 {
			t.Errorf("%d: %s is no stable hash", i, hash)
		}
	}
}

// memory is a source in memory.
type memory struct{ bytes.Reader }

func (m *memory) Name() string        { return "memory" }
func (m *memory) Input() ffmpeg.Input { return ffmpeg.Input{} }

func memorySource(data []byte) *memory { return &memory{*bytes.NewReader(data)} }

// Files that a person would take for one another have different fingerprints.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	const small, large = 1 << 20, 9 << 20
	mark := func(data []byte, at int) []byte {
		data = bytes.Clone(data)
		data[at]++
		return data
	}
	seen := make(map[string]string)
	for name, data := range map[string][]byte{
		"nothing":                    {},
		"small":                      make([]byte, small),
		"one byte longer":            make([]byte, small+1),
		"small, a byte in it":        mark(make([]byte, small), small/3),
		"small, its last byte":       mark(make([]byte, small), small-1),
		"exactly all":                make([]byte, fingerprintPieces*fingerprintPiece),
		"exactly all, its last byte": mark(make([]byte, fingerprintPieces*fingerprintPiece), fingerprintPieces*fingerprintPiece-1),
		"large":                      make([]byte, large),
		"large, its first byte":      mark(make([]byte, large), 0),
		"large, its last byte":       mark(make([]byte, large), large-1),
	} {
		id, err := fingerprint(memorySource(data))
		if err != nil {
			t.Fatal(err)
		}
		if other, known := seen[id]; known {
			t.Errorf("%s is taken for %s", name, other)
		}
		seen[id] = name
	}
}

// What is not a file with something in it is refused with its reason.
func TestOpenFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	put(t, filepath.Join(folder, "empty.mp4"), "")
	put(t, filepath.Join(folder, "clip.mp4"), "media")
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		code fault.Code
		text string
	}{
		"clip.mp4":  {"", ""},
		"empty.mp4": {fault.Invalid, "empty"},
		"none.mp4":  {fault.NotFound, "there is no file"},
		"pipe":      {fault.Invalid, "not a file"},
		".":         {fault.Invalid, "not a file"},
	} {
		source, err := OpenFile(filepath.Join(folder, name))
		if fault.CodeOf(err) != want.code || !strings.Contains(fault.Message(err), want.text) {
			t.Errorf("%s: got %v, want %s with %q", name, err, want.code, want.text)
		}
		if err != nil {
			continue
		}
		if source.Name() != name || source.Size() != 5 {
			t.Errorf("got %s of %d bytes", source.Name(), source.Size())
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}
}
