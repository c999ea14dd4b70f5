package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"liuyun/internal/base/fault"
)

// newRestore begins a restore as Restore does, to be stopped anywhere.
func newRestore(t *testing.T, from, data string) *restore {
	t.Helper()
	c, text, err := readContents(from)
	if err != nil {
		t.Fatal(err)
	}
	d, err := openForRestore(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &restore{RestoreOptions: restoreOptions(from, data), contents: c, text: text, data: d}
}

// A restore may be killed anywhere: no server starts in what it leaves, and the same
// command does it, also with another backup.
func TestRestoreStopped(t *testing.T) {
	t.Parallel()
	from := made(t, withMedia(t, fixtureData(t)))
	other := made(t, withMedia(t, fixtureData(t)))
	if err := os.WriteFile(filepath.Join(other, contentsName), changed(t, other, "v0.0.0-test", "v0.0.1-test"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stops := map[string]func(t *testing.T, data string){
		"at the objects": func(t *testing.T, data string) {
			ctx, stop := context.WithCancel(t.Context())
			o := restoreOptions(from, data)
			o.Progress = func(_, _ int64) { stop() }
			if _, err := Restore(ctx, o); err == nil {
				t.Fatal("it was not stopped")
			}
		},
		"collected": func(t *testing.T, data string) {
			r := newRestore(t, from, data)
			check(r.collect(t.Context()))
			r.data.Close()
		},
		"half moved": func(t *testing.T, data string) {
			r := newRestore(t, from, data)
			check(r.collect(t.Context()))
			check(os.Rename(r.stage(storeName), r.data.Join(storeName)))
			check(os.Rename(r.stage(blobName), r.data.Join(blobName)))
			r.data.Close()
		},
		"all moved": func(t *testing.T, data string) {
			r := newRestore(t, from, data)
			check(r.collect(t.Context()))
			check(r.settle())
			r.data.Close()
		},
	}
	for name, stop := range stops {
		for with, backup := range map[string]string{"the same": from, "another": other} {
			t.Run(name+", then "+with, func(t *testing.T) {
				data := filepath.Join(t.TempDir(), "data")
				stop(t, data)
				_, err := OpenData(data)
				wantCode(t, "a server", err, fault.Conflict)
				if err == nil || !strings.Contains(err.Error(), "was stopped") {
					t.Errorf("the server says %v, want that a restore was stopped", err)
				}
				result, err := Restore(t.Context(), restoreOptions(backup, data))
				if err != nil || result.Assets != fixtureMany || len(result.Missing) > 0 {
					t.Fatalf("again: got %+v, %v", result, err)
				}
				if _, err := os.Lstat(filepath.Join(data, restoringName)); err == nil {
					t.Error("something is left in " + restoringName)
				}
			})
		}
	}
}

// changed is the backup.json of a backup with something replaced.
func changed(t *testing.T, backup, old, new string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(backup, contentsName))
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%q is not in %q, %v", old, text, err)
	}
	return []byte(strings.Replace(string(text), old, new, 1))
}

// What is no whole backup is refused, and the folder can still be restored into.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	data := withMedia(t, fixtureData(t))
	write := func(t *testing.T, path string, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, backup string)
		want  fault.Code
	}{
		{"no backup.json", func(t *testing.T, b string) { os.Remove(filepath.Join(b, contentsName)) }, fault.NotFound},
		{"a damaged backup.json", func(t *testing.T, b string) { write(t, filepath.Join(b, contentsName), []byte("{}")) }, fault.Invalid},
		{"a newer one", func(t *testing.T, b string) {
			write(t, filepath.Join(b, contentsName), changed(t, b, `"liuyun_backup": 1`, `"liuyun_backup": 2`))
		}, fault.Conflict},
		{"more assets", func(t *testing.T, b string) {
			write(t, filepath.Join(b, contentsName), changed(t, b, `"assets": 2`, `"assets": 3`))
		}, fault.Invalid},
		{"no records", func(t *testing.T, b string) { os.Remove(filepath.Join(b, recordsName)) }, fault.NotFound},
		{"half of the records", func(t *testing.T, b string) {
			if err := os.Truncate(filepath.Join(b, recordsName), 1000); err != nil {
				t.Fatal(err)
			}
		}, fault.Invalid},
		{"an object lost", func(t *testing.T, b string) {
			names, _ := filepath.Glob(filepath.Join(b, blobName, "assets/*/source"))
			if len(names) == 0 || os.Remove(names[0]) != nil {
				t.Fatal(names)
			}
		}, fault.Invalid},
		{"no objects", func(t *testing.T, b string) { os.RemoveAll(filepath.Join(b, blobName)) }, fault.NotFound},
	}
	good := made(t, data)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			backup, into := made(t, data), filepath.Join(t.TempDir(), "data")
			test.spoil(t, backup)
			_, err := Restore(t.Context(), restoreOptions(backup, into))
			wantCode(t, "restore", err, test.want)
			if _, err := os.Lstat(filepath.Join(into, formatName)); err == nil {
				t.Error("it counts as a data folder")
			}
			if _, err := Restore(t.Context(), restoreOptions(good, into)); err != nil {
				t.Errorf("a good one after it: %v", err)
			}
		})
	}
	_, err := Restore(t.Context(), restoreOptions(good, data))
	wantCode(t, "over data", err, fault.Conflict)
	strange := t.TempDir()
	write(t, filepath.Join(strange, "letter.txt"), nil)
	_, err = Restore(t.Context(), restoreOptions(good, strange))
	wantCode(t, "over other files", err, fault.Conflict)
}

// A folder that is the root of a new disk has lost+found in it.
func TestRestoreOntoNewDisk(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := os.Mkdir(filepath.Join(data, lostFound), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), restoreOptions(made(t, fixtureData(t)), data)); err != nil {
		t.Error(err)
	}
}
