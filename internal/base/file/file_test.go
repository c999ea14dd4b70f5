package file

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), ".a.part"), []byte("what a killed one has left, and longer"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "2nd"} {
		if err := WriteWhole(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, _ := os.Stat(path)
		if err != nil || string(got) != text || info.Mode().Perm() != 0o600 {
			t.Errorf("%q, %v, %v", got, info.Mode(), err)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := WriteWhole(filepath.Join(path, "below"), nil, 0o600); err == nil {
		t.Error("a file is no folder")
	}
}
