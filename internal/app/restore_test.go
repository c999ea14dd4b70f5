package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/secret"
	"liuyun/internal/testkit"
)

// newRestore begins a restore as Restore does, to be stopped anywhere.
func newRestore(t *testing.T, o RestoreOptions) *restore {
	t.Helper()
	c, text, err := readContents(o.From)
	if err != nil {
		t.Fatal(err)
	}
	d, err := openForRestore(o.Data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &restore{RestoreOptions: o, contents: c, text: text, data: d}
}

// stopAfter takes the steps up to the named one.
func stopAfter(t *testing.T, r *restore, name string) {
	t.Helper()
	for _, s := range append(r.collecting(), r.placing()...) {
		if err := s.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if s.name == name {
			return
		}
	}
	t.Fatalf("there is no step %q", name)
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
			r := newRestore(t, restoreOptions(from, data))
			stopAfter(t, r, "complete")
			r.data.Close()
		},
		"half moved": func(t *testing.T, data string) {
			r := newRestore(t, restoreOptions(from, data))
			stopAfter(t, r, "complete")
			check(os.Rename(r.stage(storeName), r.data.Join(storeName)))
			check(os.Rename(r.stage(blobName), r.data.Join(blobName)))
			r.data.Close()
		},
		"all moved": func(t *testing.T, data string) {
			r := newRestore(t, restoreOptions(from, data))
			stopAfter(t, r, "settle")
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

// Media moves from the data folder to S3, and back.
func TestBackupMovesMedia(t *testing.T) {
	t.Parallel()
	server := testkit.S3(t)
	config := DefaultConfig()
	config.Blob.URL = "s3://" + server.Bucket + "/here?endpoint=" + server.Endpoint
	config.Blob.AccessKey, config.Blob.SecretKey = server.AccessKey, secret.New(server.SecretKey)

	from := made(t, withMedia(t, fixtureData(t)))
	there := restoreOptions(from, filepath.Join(t.TempDir(), "there"))
	there.Config = config
	result, err := Restore(t.Context(), there)
	if err != nil || len(result.Missing) > 0 {
		t.Fatalf("to S3: got %+v, %v", result, err)
	}
	if _, err := os.Lstat(filepath.Join(there.Data, blobName)); err == nil {
		t.Error("media is in the data folder, too")
	}
	back := backupOptions(there.Data, filepath.Join(t.TempDir(), "backup"))
	back.Config = config
	if saved, err := Backup(t.Context(), back); err != nil || len(saved.Missing) > 0 {
		t.Fatalf("from S3: got %+v, %v", saved, err)
	}
	if diff := cmp.Diff(objectsIn(t, filepath.Join(from, blobName)), objectsIn(t, filepath.Join(back.To, blobName))); diff != "" {
		t.Errorf("there and back (-want +got):\n%s", diff)
	}
	here := restoreOptions(back.To, filepath.Join(t.TempDir(), "here"))
	if result, err := Restore(t.Context(), here); err != nil || len(result.Missing) > 0 {
		t.Errorf("from S3 to the folder: got %+v, %v", result, err)
	}
	bare := backupOptions(there.Data, filepath.Join(t.TempDir(), "state"))
	bare.Config, bare.Media = config, false
	if _, err := Backup(t.Context(), bare); err != nil {
		t.Fatal(err)
	}
	again := restoreOptions(bare.To, filepath.Join(t.TempDir(), "again"))
	again.Config = config
	if result, err := Restore(t.Context(), again); err != nil || len(result.Missing) > 0 {
		t.Errorf("media that is still on S3: got %+v, %v", result, err)
	}
}
