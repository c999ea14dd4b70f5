// Package blobtest is the conformance suite of kit/blob: what each kind of store has
// to do. A driver's own test makes a store and calls Run. Only tests import it.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/blob"
)

// Run checks a store that is empty and that nobody else uses.
func Run(t *testing.T, s blob.Backend) {
	tests := []struct {
		name string
		fn   func(*testing.T, blob.Backend)
	}{
		{"put and open", putAndOpen},
		{"put is whole or nothing", putWhole},
		{"absent", absent},
		{"names", names},
		{"list", list},
		{"delete", deleting},
		{"ranges", ranges},
		{"at once", atOnce},
		{"append", appending},
		{"append in odd pieces", appendPieces},
		{"append that breaks", appendBreaks},
		{"seal", sealing},
		{"abort", aborting},
		{"folders", folders},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.fn(t, s) })
	}
	if left := all(t, s, ""); len(left) > 0 {
		t.Errorf("the suite left %q", left)
	}
}

// Bytes returns n bytes that differ from each other and from those of another seed.
func Bytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	source := rand.New(rand.NewPCG(seed, uint64(n)))
	for i := range b {
		b[i] = byte(source.Uint32())
	}
	return b
}

func putAndOpen(t *testing.T, s blob.Backend) {
	for _, size := range []int{0, 1, 4096, 1 << 20, 1<<20 + 1, 40<<20 + 7} {
		want := Bytes(size, 1)
		// Not a bytes.Reader, whose size could be asked for.
		put(t, s, "put/a b+ü%2f&.bin", io.MultiReader(bytes.NewReader(want)))
		if got := read(t, s, "put/a b+ü%2f&.bin"); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: read back %d others", size, len(got))
		}
	}
	first := stat(t, s, "put/a b+ü%2f&.bin")
	second := put(t, s, first.Name, bytes.NewReader(Bytes(int(first.Size), 2)))
	if second.ETag == first.ETag || second.ETag == "" {
		t.Errorf("replaced: ETag stayed %q", second.ETag)
	}
	now := stat(t, s, first.Name)
	if now.ETag != second.ETag || now.Size != second.Size || now.Name != first.Name || now.Modified.IsZero() {
		t.Errorf("stat: got %+v, put said %+v", now, second)
	}
	remove(t, s, first.Name)
}

func putWhole(t *testing.T, s blob.Backend) {
	broken := errors.New("the sender went away")
	for _, size := range []int{0, 100, 3 << 20, 20 << 20} {
		source := io.MultiReader(bytes.NewReader(Bytes(size, 3)), iotest.ErrReader(broken))
		if _, err := s.Put(t.Context(), "whole/x", source); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: got %v, want the reader's error", size, err)
		}
		wantCode(t, "half an object", fault.NotFound, statError(t, s, "whole/x"))
	}
	put(t, s, "whole/x", strings.NewReader("old"))
	if _, err := s.Put(t.Context(), "whole/x", io.MultiReader(strings.NewReader("new"), iotest.ErrReader(broken))); err == nil {
		t.Error("a broken put had no error")
	}
	if got := read(t, s, "whole/x"); string(got) != "old" {
		t.Errorf("a broken put left %q", got)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(canceled, "whole/y", strings.NewReader("new")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	remove(t, s, "whole/x")
}

func absent(t *testing.T, s blob.Backend) {
	wantCode(t, "stat", fault.NotFound, statError(t, s, "absent/x"))
	_, err := s.Open(t.Context(), "absent/x")
	wantCode(t, "open", fault.NotFound, err)
	wantCode(t, "delete", "", s.Delete(t.Context(), "absent/x"))
	wantCode(t, "delete all", "", s.DeleteAll(t.Context(), "absent/"))
	put(t, s, "absent/a/b", strings.NewReader("x"))
	wantCode(t, "stat of a folder", fault.NotFound, statError(t, s, "absent/a"))
	wantCode(t, "below an object", fault.NotFound, statError(t, s, "absent/a/b/c"))
	wantCode(t, "delete below an object", "", s.Delete(t.Context(), "absent/a/b/c"))
	remove(t, s, "absent/a/b")
}

func names(t *testing.T, s blob.Backend) {
	for _, name := range []string{"", "/", "/x", "x/", "a//b", "..", "a/../b", "./a", ".tmp/x", ".append/x",
		"a\x00b", "a\nb", `a\b`, "\xff", strings.Repeat("x", 256), strings.Repeat("xy/", 200) + "z"} {
		_, err := s.Put(t.Context(), name, strings.NewReader("x"))
		wantCode(t, fmt.Sprintf("put %.20q", name), fault.Invalid, err)
		_, err = s.Open(t.Context(), name)
		wantCode(t, fmt.Sprintf("open %.20q", name), fault.Invalid, err)
		_, err = s.Append(t.Context(), name, 0, strings.NewReader("x"))
		wantCode(t, fmt.Sprintf("append %.20q", name), fault.Invalid, err)
		wantCode(t, fmt.Sprintf("delete %.20q", name), fault.Invalid, s.Delete(t.Context(), name))
		wantCode(t, fmt.Sprintf("delete all %.20q", name), fault.Invalid, s.DeleteAll(t.Context(), name+"//"))
	}
	for _, prefix := range []string{"a", "/", "../"} {
		wantCode(t, "list "+prefix, fault.Invalid, s.List(t.Context(), prefix, func(blob.Info) error { return nil }))
		wantCode(t, "delete all "+prefix, fault.Invalid, s.DeleteAll(t.Context(), prefix))
	}
}

func list(t *testing.T, s blob.Backend) {
	want := []string{"list/a.txt", "list/a/1", "list/a/2/x", "list/a0", "list/b"}
	for _, name := range want {
		put(t, s, name, strings.NewReader(name))
	}
	if got := all(t, s, "list/"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := all(t, s, "list/a/"); fmt.Sprint(got) != fmt.Sprint(want[1:3]) {
		t.Errorf("below list/a/: got %q, want %q", got, want[1:3])
	}
	if got := all(t, s, ""); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("all: got %q, want %q", got, want)
	}
	enough := errors.New("enough")
	seen := 0
	err := s.List(t.Context(), "list/", func(info blob.Info) error {
		seen++
		if info.Size != int64(len(info.Name)) || info.ETag == "" {
			t.Errorf("got %+v", info)
		}
		return enough
	})
	if !errors.Is(err, enough) || seen != 1 {
		t.Errorf("stopped after %d with %v", seen, err)
	}
	wantCode(t, "delete all", "", s.DeleteAll(t.Context(), "list/"))
}

func deleting(t *testing.T, s blob.Backend) {
	for _, name := range []string{"del/a/1", "del/a/2", "del/ab", "del/b"} {
		put(t, s, name, strings.NewReader("x"))
	}
	wantCode(t, "delete all", "", s.DeleteAll(t.Context(), "del/a/"))
	if got := all(t, s, "del/"); fmt.Sprint(got) != "[del/ab del/b]" {
		t.Errorf("after DeleteAll: %q", got)
	}
	object, err := s.Open(t.Context(), "del/b")
	if err != nil {
		t.Fatal(err)
	}
	remove(t, s, "del/b")
	remove(t, s, "del/ab")
	if got, err := io.ReadAll(object); err == nil && string(got) != "x" {
		t.Errorf("an open object turned into %q when it was deleted", got)
	}
	object.Close()
}

func ranges(t *testing.T, s blob.Backend) {
	want := Bytes(3<<20+11, 4)
	put(t, s, "range", bytes.NewReader(want))
	object, err := s.Open(t.Context(), "range")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if err := iotest.TestReader(io.NewSectionReader(object, 1<<20, 300), want[1<<20:1<<20+300]); err != nil {
		t.Errorf("a section: %v", err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			from := i * 400_000
			p := make([]byte, 5000)
			if n, err := object.ReadAt(p, int64(from)); n != len(p) || err != nil || !bytes.Equal(p, want[from:from+n]) {
				t.Errorf("ReadAt %d: %d bytes, %v", from, n, err)
			}
		})
	}
	group.Wait()
	p := make([]byte, 10)
	if n, err := object.ReadAt(p, int64(len(want)-4)); n != 4 || err != io.EOF {
		t.Errorf("across the end: %d, %v", n, err)
	}
	if n, err := object.ReadAt(p, int64(len(want))); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
	for _, at := range []int64{2 << 20, 5, int64(len(want)) - 3} {
		if _, err := object.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, want[at:]) {
			t.Errorf("from %d: %d bytes, %v", at, len(got), err)
		}
	}
	remove(t, s, "range")
}

// Two that put the same name at once leave one of both, whole.
func atOnce(t *testing.T, s blob.Backend) {
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			content := bytes.Repeat([]byte{byte('a' + i)}, 100_000)
			if _, err := s.Put(t.Context(), "once/x", bytes.NewReader(content)); err != nil {
				t.Error(err)
			}
			name := fmt.Sprintf("once/%d/x", i)
			if _, err := s.Put(t.Context(), name, bytes.NewReader(content)); err != nil {
				t.Error(err)
			}
			if err := s.Delete(t.Context(), name); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got := read(t, s, "once/x")
	if len(got) != 100_000 || !bytes.Equal(got, bytes.Repeat(got[:1], len(got))) {
		t.Errorf("two puts are mixed in %d bytes", len(got))
	}
	remove(t, s, "once/x")
}

func appending(t *testing.T, s blob.Backend) {
	const name = "up/x"
	wantAppended(t, s, name, 0)
	add(t, s, name, 0, []byte("hello "))
	wantAppended(t, s, name, 6)
	wantCode(t, "stat before Seal", fault.NotFound, statError(t, s, name))
	if got := all(t, s, ""); len(got) != 0 {
		t.Errorf("what is gathered has the name %q", got)
	}
	for _, offset := range []int64{0, 5, 7} {
		_, err := s.Append(t.Context(), name, offset, strings.NewReader("zzz"))
		wantCode(t, fmt.Sprint("append at ", offset), fault.Conflict, err)
	}
	add(t, s, name, 6, nil)
	add(t, s, name, 6, []byte("world"))
	wantAppended(t, s, name, 11)
	_, err := s.Seal(t.Context(), name, 12)
	wantCode(t, "seal with another size", fault.Conflict, err)
	seal(t, s, name, 11)
	if got := read(t, s, name); string(got) != "hello world" {
		t.Errorf("sealed %q", got)
	}
	wantAppended(t, s, name, 0)
	remove(t, s, name)
}

func appendPieces(t *testing.T, s blob.Backend) {
	want := Bytes(37<<20+5, 5)
	offset := 0
	for i := 0; offset < len(want); i++ {
		n := min([]int{1, 3 << 20, 9 << 20, 17, 16 << 20}[i%5], len(want)-offset)
		add(t, s, "up/pieces", int64(offset), want[offset:offset+n])
		offset += n
		wantAppended(t, s, "up/pieces", int64(offset))
	}
	seal(t, s, "up/pieces", int64(len(want)))
	if got := read(t, s, "up/pieces"); !bytes.Equal(got, want) {
		t.Errorf("got %d other bytes, want %d", len(got), len(want))
	}
	remove(t, s, "up/pieces")
}

// What came before the break is kept, and the rest goes on behind it.
func appendBreaks(t *testing.T, s blob.Backend) {
	want := Bytes(21<<20, 6)
	broken := errors.New("the sender went away")
	offset := int64(0)
	for _, n := range []int64{1000, 9 << 20, 0, 5 << 20} {
		source := io.MultiReader(bytes.NewReader(want[offset:offset+n]), iotest.ErrReader(broken))
		written, err := s.Append(t.Context(), "up/breaks", offset, source)
		if err == nil || written < 0 || written > n {
			t.Fatalf("%d of %d bytes, %v", written, n, err)
		}
		have, err := s.Appended(t.Context(), "up/breaks")
		if err != nil || have < offset+written || have > offset+n {
			t.Fatalf("after %d+%d bytes: %d are there, %v", offset, written, have, err)
		}
		offset = have
	}
	add(t, s, "up/breaks", offset, want[offset:])
	seal(t, s, "up/breaks", int64(len(want)))
	if got := read(t, s, "up/breaks"); !bytes.Equal(got, want) {
		t.Error("the bytes differ after breaks")
	}
	remove(t, s, "up/breaks")
}

func sealing(t *testing.T, s blob.Backend) {
	put(t, s, "seal/x", strings.NewReader("what was there"))
	add(t, s, "seal/x", 0, []byte("new"))
	if got := read(t, s, "seal/x"); string(got) != "what was there" {
		t.Errorf("before Seal: %q", got)
	}
	first := seal(t, s, "seal/x", 3)
	if again := seal(t, s, "seal/x", 3); again.ETag != first.ETag {
		t.Errorf("sealed twice: %+v, then %+v", first, again)
	}
	if got := read(t, s, "seal/x"); string(got) != "new" {
		t.Errorf("after Seal: %q", got)
	}
	_, err := s.Seal(t.Context(), "seal/none", 3)
	wantCode(t, "seal of nothing", fault.Conflict, err)
	seal(t, s, "seal/empty", 0)
	if got := read(t, s, "seal/empty"); len(got) != 0 {
		t.Errorf("an empty one: %q", got)
	}
	wantCode(t, "delete all", "", s.DeleteAll(t.Context(), "seal/"))
}

func aborting(t *testing.T, s blob.Backend) {
	wantCode(t, "abort nothing", "", s.Abort(t.Context(), "abort/x"))
	for _, size := range []int{10, 9 << 20} {
		add(t, s, "abort/x", 0, Bytes(size, 7))
		wantCode(t, "abort", "", s.Abort(t.Context(), "abort/x"))
		wantAppended(t, s, "abort/x", 0)
		_, err := s.Seal(t.Context(), "abort/x", int64(size))
		wantCode(t, "seal after abort", fault.Conflict, err)
	}
}

func folders(t *testing.T, s blob.Backend) {
	base := t.TempDir()
	make := func(name string, files map[string]string) string {
		dir := filepath.Join(base, name)
		for file, content := range files {
			full := filepath.Join(dir, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(content), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	files := map[string]string{"a": "1", "sub/b c": "22", "sub/deep/.d": "333"}
	fetched := filepath.Join(base, "got")
	if found, err := blob.GetFolder(t.Context(), s, "folder/x/", fetched); found || err != nil {
		t.Fatalf("absent: found %t, %v", found, err)
	}
	put(t, s, "folder/x/half", strings.NewReader("of a folder"))
	if found, err := blob.GetFolder(t.Context(), s, "folder/x/", fetched); found || err != nil {
		t.Fatalf("half: found %t, %v", found, err)
	}
	for i, content := range []map[string]string{files, files, {"other": "x"}} {
		dir := make(fmt.Sprint("in", i), content)
		if err := blob.PutFolder(t.Context(), s, "folder/x/", dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder is still there: %v", err)
		}
		out := fetched + fmt.Sprint(i)
		if found, err := blob.GetFolder(t.Context(), s, "folder/x/", out); !found || err != nil {
			t.Fatalf("found %t, %v", found, err)
		}
		for name, want := range content {
			if got, err := os.ReadFile(filepath.Join(out, name)); string(got) != want {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
		}
		if got := len(all(t, s, "folder/x/")); got != len(content)+1 {
			t.Errorf("%d objects for %d files: one more is right", got, len(content))
		}
	}
	wantCode(t, "delete all", "", s.DeleteAll(t.Context(), "folder/"))
	if found, err := blob.GetFolder(t.Context(), s, "folder/x/", fetched); found || err != nil {
		t.Errorf("deleted: found %t, %v", found, err)
	}
}
