package app

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/store"
	"liuyun/internal/video/vod"
)

// Two assets are in the records of testdata/format1.
const (
	fixture     = "testdata/format1"
	readyName   = "Harbour 港口.mp4"
	failedName  = "junk.mp4"
	fixtureMany = 2
)

// fixtureData is a data folder as an earlier version left it, with certificates and
// a key, and with media that stands for the real one.
func fixtureData(t *testing.T) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	for _, folder := range []string{storeName, certsName, filepath.Join(certsName, "acme")} {
		if err := os.MkdirAll(filepath.Join(data, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	unzip(t, filepath.Join(fixture, "liuyun.db.gz"), filepath.Join(data, storeName, "liuyun.db"))
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(formatName, "liuyun data 1\n")
	put(adminKeyName, "lyk_secret\n")
	put(filepath.Join(certsName, "ca.key"), "secret")
	put(filepath.Join(certsName, "acme", "account.json"), "{}")
	return data
}

func unzip(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	zipped, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// withMedia puts into the folder what its assets should have.
func withMedia(t *testing.T, data string) string {
	t.Helper()
	objects, err := blob.NewFS(filepath.Join(data, blobName), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	put := func(name string) {
		if _, err := objects.Put(t.Context(), name, strings.NewReader("bytes of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range held(t, openStore(t, filepath.Join(data, storeName))) {
		for _, name := range h.Objects {
			put(name)
		}
		put(vod.UploadRecords + h.Asset)
		put("units/" + h.Asset + "/is/made/again")
		if h.Prefix == "" {
			continue
		}
		made := filepath.Join(t.TempDir(), "made")
		for n := range 5 {
			path := filepath.Join(made, "video", fmt.Sprintf("%d.m4s", n))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(path), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := blob.PutFolder(t.Context(), objects, h.Prefix, made); err != nil {
			t.Fatal(err)
		}
		put(h.Prefix + "report.json") // beside what the folder's list names
	}
	return data
}

func openStore(t *testing.T, folder string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), folder, store.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func held(t *testing.T, db *store.DB) []vod.Holding {
	t.Helper()
	list, err := holdings(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func silent(_, _ int64) {}

func backupOptions(data, to string) BackupOptions {
	return BackupOptions{Config: DefaultConfig(), Data: data, To: to, Media: true, Version: "v0.0.0-test", Progress: silent}
}

func restoreOptions(from, data string) RestoreOptions {
	return RestoreOptions{Config: DefaultConfig(), From: from, Data: data, Progress: silent}
}

// made makes a backup of a data folder, and says where.
func made(t *testing.T, data string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "backup")
	if _, err := Backup(t.Context(), backupOptions(data, to)); err != nil {
		t.Fatal(err)
	}
	return to
}

// objectsIn lists the objects in a folder with what is in them.
func objectsIn(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, _ := filepath.Rel(folder, path)
		if strings.HasPrefix(name, ".") {
			return nil
		}
		text, err := os.ReadFile(path)
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantCode(t *testing.T, what string, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("%s: got %q (%v), want %q", what, got, err, want)
	}
}

// Everything comes back: records, secrets, objects; and nothing that is not needed.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	data := withMedia(t, fixtureData(t))
	to := filepath.Join(t.TempDir(), "backup")
	result, err := Backup(t.Context(), backupOptions(data, to))
	if err != nil {
		t.Fatal(err)
	}
	want := objectsIn(t, filepath.Join(data, blobName))
	for name := range want {
		if strings.HasPrefix(name, "units/") {
			delete(want, name)
		}
	}
	if diff := cmp.Diff(want, objectsIn(t, filepath.Join(to, blobName))); diff != "" {
		t.Errorf("objects in the backup (-want +got):\n%s", diff)
	}
	if result.Assets != fixtureMany || len(result.Missing) > 0 || result.Objects != int64(len(want)) {
		t.Errorf("got %+v, want %d assets, %d objects", result, fixtureMany, len(want))
	}
	onlyOurs(t, to)

	into := filepath.Join(t.TempDir(), "restored")
	restored, err := Restore(t.Context(), restoreOptions(to, into))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&RestoreResult{Data: into, Media: true, Assets: fixtureMany, Missing: []AssetRef{}}, restored); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, objectsIn(t, filepath.Join(into, blobName))); diff != "" {
		t.Errorf("objects that were restored (-want +got):\n%s", diff)
	}
	for _, name := range []string{adminKeyName, certsName + "/ca.key", certsName + "/acme/account.json"} {
		got, err := os.ReadFile(filepath.Join(into, name))
		wanted, _ := os.ReadFile(filepath.Join(data, name))
		if err != nil || string(got) != string(wanted) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if diff := cmp.Diff(held(t, openStore(t, filepath.Join(data, storeName))), held(t, openStore(t, filepath.Join(into, storeName)))); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	d, err := OpenData(into)
	if err != nil {
		t.Fatalf("a server does not start in it: %v", err)
	}
	d.Close()
	_, err = Restore(t.Context(), restoreOptions(to, into))
	wantCode(t, "restore over data", err, fault.Conflict)
	_, err = Backup(t.Context(), backupOptions(data, to))
	wantCode(t, "backup over a backup", err, fault.Conflict)
}

// onlyOurs checks that others can read nothing below folder.
func onlyOurs(t *testing.T, folder string) {
	t.Helper()
	for _, name := range []string{"", recordsName, certsName, certsName + "/ca.key", adminKeyName} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%q in the backup: %v %v, want only its owner to read it", name, info, err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(folder))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the backup there is %v, %v", entries, err)
	}
}

// The server deletes an asset while its media is copied: the backup has records
// without it, and nothing of it.
func TestBackupWhileDeleting(t *testing.T) {
	t.Parallel()
	data := withMedia(t, fixtureData(t))
	db := openStore(t, filepath.Join(data, storeName))
	all, err := blob.NewFS(filepath.Join(data, blobName), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	b, err := newBackup(backupOptions(data, filepath.Join(t.TempDir(), "backup")))
	if err != nil {
		t.Fatal(err)
	}
	defer b.lock.Close()
	reader := &deleting{Reader: all, at: "4.m4s"}
	reader.delete = func(asset string) {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec("UPDATE assets SET deleted = 1 WHERE id = ?", asset)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if err := all.DeleteAll(t.Context(), "assets/"+asset+"/"); err != nil {
			t.Error(err)
		}
	}
	result, err := b.collect(t.Context(), db, reader)
	if err != nil {
		t.Fatal(err)
	}
	if reader.deleted == "" || result.Assets != fixtureMany-1 || len(result.Missing) > 0 {
		t.Errorf("got %+v, want %d assets and nothing missing", result, fixtureMany-1)
	}
	list, err := b.readBack(t.Context())
	if err != nil || len(list) != fixtureMany-1 || list[0].Name != failedName {
		t.Errorf("records: got %v, %v", list, err)
	}
	for name := range objectsIn(t, b.path(blobName)) {
		if strings.HasPrefix(name, "assets/"+reader.deleted) {
			t.Errorf("%s is in the backup", name)
		}
	}
}

// deleting deletes the asset whose object is opened, once its name ends in at.
type deleting struct {
	blob.Reader
	at      string
	delete  func(asset string)
	mu      sync.Mutex
	deleted string
}

func (d *deleting) Open(ctx context.Context, name string) (blob.Object, error) {
	d.mu.Lock()
	if d.deleted == "" && strings.HasSuffix(name, d.at) {
		d.deleted = strings.Split(name, "/")[1]
		d.delete(d.deleted)
	}
	d.mu.Unlock()
	return d.Reader.Open(ctx, name)
}

// What was lost before the backup is named, and holds nothing up.
func TestBackupOfLostMedia(t *testing.T) {
	t.Parallel()
	data := withMedia(t, fixtureData(t))
	lost, err := filepath.Glob(filepath.Join(data, blobName, "assets/*/*/video/2.m4s"))
	if err != nil || len(lost) != 1 {
		t.Fatal(lost, err)
	}
	if err := os.Remove(lost[0]); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "backup")
	result, err := Backup(t.Context(), backupOptions(data, to))
	if err != nil || len(result.Missing) != 1 || result.Missing[0].Name != readyName {
		t.Fatalf("got %+v, %v, want %s to be missing", result, err, readyName)
	}
	restored, err := Restore(t.Context(), restoreOptions(to, filepath.Join(t.TempDir(), "restored")))
	if err != nil || len(restored.Missing) != 1 || restored.Missing[0].Name != readyName {
		t.Errorf("got %+v, %v, want %s to be missing", restored, err, readyName)
	}
}

// Without media everything else is there, and what cannot be watched is named.
func TestBackupWithoutMedia(t *testing.T) {
	t.Parallel()
	o := backupOptions(withMedia(t, fixtureData(t)), filepath.Join(t.TempDir(), "backup"))
	o.Media = false
	result, err := Backup(t.Context(), o)
	if err != nil || result.Assets != fixtureMany || len(result.Missing) > 0 {
		t.Fatalf("got %+v, %v", result, err)
	}
	for name := range objectsIn(t, filepath.Join(o.To, blobName)) {
		if !strings.HasPrefix(name, vod.UploadRecords) {
			t.Errorf("%s is in the backup", name)
		}
	}
	restored, err := Restore(t.Context(), restoreOptions(o.To, filepath.Join(t.TempDir(), "restored")))
	if err != nil || restored.Media || len(restored.Missing) != fixtureMany {
		t.Errorf("got %+v, %v, want %d without media", restored, err, fixtureMany)
	}
}

// A backup that was stopped has no name, and is gone on with. What an earlier run
// left of it that is not wanted any more goes.
func TestBackupStopped(t *testing.T) {
	t.Parallel()
	data := withMedia(t, fixtureData(t))
	o := backupOptions(data, filepath.Join(t.TempDir(), "backup"))
	ctx, stop := context.WithCancel(t.Context())
	o.Progress = func(_, _ int64) { stop() }
	if _, err := Backup(ctx, o); err == nil {
		t.Fatal("it was not stopped")
	}
	if _, err := os.Lstat(o.To); err == nil {
		t.Fatal("half a backup has its name")
	}
	part := filepath.Join(filepath.Dir(o.To), ".backup.part")
	left := filepath.Join(part, blobName, "assets", "gone", "source")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Progress = silent
	if _, err := Backup(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(o.To, blobName, "assets", "gone")); err == nil {
		t.Error("what another run left is in the backup")
	}
	onlyOurs(t, o.To)
	if _, err := Restore(t.Context(), restoreOptions(o.To, filepath.Join(t.TempDir(), "restored"))); err != nil {
		t.Error(err)
	}
}

func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	data, elsewhere := fixtureData(t), t.TempDir()
	tests := []struct {
		name     string
		data, to string
		want     fault.Code
	}{
		{"no data folder", elsewhere, filepath.Join(elsewhere, "b"), fault.NotFound},
		{"inside the data", data, filepath.Join(data, "b"), fault.Invalid},
		{"the data itself", data, data, fault.Invalid},
		{"no such folder", data, filepath.Join(elsewhere, "none", "b"), fault.NotFound},
		{"something there", data, elsewhere, fault.Conflict},
	}
	for _, test := range tests {
		_, err := Backup(t.Context(), backupOptions(test.data, test.to))
		wantCode(t, test.name, err, test.want)
	}
	b, err := newBackup(backupOptions(data, filepath.Join(elsewhere, "b")))
	if err != nil {
		t.Fatal(err)
	}
	defer b.lock.Close()
	_, err = Backup(t.Context(), backupOptions(data, filepath.Join(elsewhere, "b")))
	wantCode(t, "two at once", err, fault.Conflict)
}
