package blobtest

import (
	"bytes"
	"io"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/blob"
)

func put(t *testing.T, s blob.Store, name string, r io.Reader) blob.Info {
	t.Helper()
	info, err := s.Put(t.Context(), name, r)
	if err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
	return info
}

func read(t *testing.T, s blob.Store, name string) []byte {
	t.Helper()
	object, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatalf("open %q: %v", name, err)
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	if err != nil {
		t.Fatalf("read %q: %v", name, err)
	}
	if object.Info().Size != int64(len(content)) {
		t.Errorf("%q has %d bytes, its info says %d", name, len(content), object.Info().Size)
	}
	return content
}

func stat(t *testing.T, s blob.Store, name string) blob.Info {
	t.Helper()
	info, err := s.Stat(t.Context(), name)
	if err != nil {
		t.Fatalf("stat %q: %v", name, err)
	}
	return info
}

func statError(t *testing.T, s blob.Store, name string) error {
	t.Helper()
	_, err := s.Stat(t.Context(), name)
	return err
}

func remove(t *testing.T, s blob.Store, name string) {
	t.Helper()
	if err := s.Delete(t.Context(), name); err != nil {
		t.Fatalf("delete %q: %v", name, err)
	}
}

func all(t *testing.T, s blob.Store, prefix string) (names []string) {
	t.Helper()
	err := s.List(t.Context(), prefix, func(info blob.Info) error {
		names = append(names, info.Name)
		return nil
	})
	if err != nil {
		t.Fatalf("list %q: %v", prefix, err)
	}
	return names
}

func add(t *testing.T, s blob.Appender, name string, offset int64, content []byte) {
	t.Helper()
	written, err := s.Append(t.Context(), name, offset, io.MultiReader(bytes.NewReader(content)))
	if err != nil || written != int64(len(content)) {
		t.Fatalf("append %d bytes to %q at %d: %d, %v", len(content), name, offset, written, err)
	}
}

func wantAppended(t *testing.T, s blob.Appender, name string, want int64) {
	t.Helper()
	if got, err := s.Appended(t.Context(), name); err != nil || got != want {
		t.Fatalf("%q has %d bytes gathered (%v), want %d", name, got, err, want)
	}
}

func seal(t *testing.T, s blob.Appender, name string, size int64) blob.Info {
	t.Helper()
	info, err := s.Seal(t.Context(), name, size)
	if err != nil {
		t.Fatalf("seal %q: %v", name, err)
	}
	return info
}

func wantCode(t *testing.T, what string, want fault.Code, err error) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("%s: got code %q (%v), want %q", what, got, err, want)
	}
}
