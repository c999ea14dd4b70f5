package blob

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"liuyun/internal/base/fault"
)

// What reads beside a store that is in use sees its objects, and leaves no trace.
func TestReadFS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := ReadFS(filepath.Join(dir, "none")); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("an absent folder: got %v", err)
	}
	writer, err := NewFS(dir, Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, tempFolder, "half")
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := ReadFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := os.Stat(half); err != nil {
		t.Errorf("what is being written was swept: %v", err)
	}
	if err := os.Remove(half); err != nil {
		t.Fatal(err)
	}
	if writer, err = NewFS(dir, Reserve{}); err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.Put(t.Context(), "a/b", strings.NewReader("words")); err != nil {
		t.Fatal(err)
	}
	object, err := r.Open(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close()
	if text, err := io.ReadAll(object); err != nil || string(text) != "words" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestFolderFiles(t *testing.T) {
	t.Parallel()
	s, err := NewFS(t.TempDir(), Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if files, err := FolderFiles(t.Context(), s, "x/"); len(files) > 0 || err != nil {
		t.Errorf("no folder: got %v, %v", files, err)
	}
	dir := filepath.Join(t.TempDir(), "made")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "sub/two"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := PutFolder(t.Context(), s, "x/", dir); err != nil {
		t.Fatal(err)
	}
	files, err := FolderFiles(t.Context(), s, "x/")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Name)
		if info, err := s.Stat(t.Context(), file.Name); err != nil || info.Size != file.Size {
			t.Errorf("%s: size %d, want %d (%v)", file.Name, file.Size, info.Size, err)
		}
	}
	if want := []string{"x/one", "x/sub/two", "x/" + manifestName}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}
