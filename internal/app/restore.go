package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/store"
	"liuyun/internal/video/vod"
)

// RestoreOptions are what [Restore] is given.
type RestoreOptions struct {
	Config Config // where records and objects go
	From   string // the folder that Backup made
	Data   string // a data folder that is new or empty
	// Progress is as in [BackupOptions].
	Progress func(done, total int64)
}

// RestoreResult says what was restored.
type RestoreResult struct {
	Data   string
	Media  bool // there was media in the backup
	Assets int
	// Missing are the assets of which something is not there: their media was not in
	// the backup and does not lie where the configuration says.
	Missing []AssetRef
}

// Restore makes a data folder of a backup. Records go into SQLite or into the
// PostgreSQL of the configuration, media into the folder or to the S3 of the
// configuration, whatever they came from. The folder counts as one, and a server
// starts in it, only when everything is there, on the disk, and was read once. A
// PostgreSQL is held back from servers until then, too. What was stopped, or killed,
// is done by the same call again, which never changes records that a server may have
// used.
//
// A folder or a database with something in it is fault.Conflict, as is a backup of a
// newer program; what is no whole backup is fault.NotFound or fault.Invalid.
func Restore(ctx context.Context, o RestoreOptions) (*RestoreResult, error) {
	from, err := filepath.Abs(o.From)
	if err != nil {
		return nil, err
	}
	o.From = from
	c, text, err := readContents(o.From)
	if err != nil {
		return nil, err
	}
	data, err := openForRestore(o.Data)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	r := &restore{RestoreOptions: o, contents: c, text: text, data: data}
	result, err := r.run(ctx)
	if err != nil {
		return nil, r.explain(err)
	}
	return result, nil
}

// restore is one run of Restore.
type restore struct {
	RestoreOptions
	contents contents
	text     []byte // of backup.json
	data     *Data
	result   *RestoreResult // what look found
}

// step is a part of a restore. Killed in one, or after one, a restore is gone on with
// by the next run.
type step struct {
	name string
	do   func(context.Context) error
}

// collecting are the steps that fill the folder restoringName and the database.
// Records are the last of it, for a database that has them is not filled again.
func (r *restore) collecting() []step {
	return []step{{"begin", r.begin}, {"secrets", r.bringSecrets}, {"objects", r.bringObjects}, {"records", r.bringRecords}, {"complete", r.complete}}
}

// placing are the steps that give what was collected to a server: the database first,
// then, by FORMAT, the folder.
func (r *restore) placing() []step {
	return []step{{"settle", r.settle}, {"look", r.look}, {"release", r.release}, {"place", r.place}, {"clean", r.clean}}
}

func (r *restore) run(ctx context.Context) (*RestoreResult, error) {
	whole, err := r.collected(ctx)
	if err != nil {
		return nil, err
	}
	steps := r.placing()
	if !whole {
		steps = append(r.collecting(), steps...)
	}
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return nil, err
		}
	}
	return r.result, nil
}

// explain tells why nothing was restored; what is a fault stays.
func (r *restore) explain(err error) error {
	switch {
	case isFault(err):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(err, fault.StorageFull, "the disk is full before everything is restored into %s; make room and run it again, it goes on where it stopped", r.data.Path())
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(err, fault.Forbidden, "the backup may not be read, or %s not written, by this user; run it as the user of the server", r.data.Path())
	}
	return fmt.Errorf("restore into %s: %w", r.data.Path(), err)
}

func (r *restore) stage(names ...string) string {
	return r.data.Join(append([]string{restoringName}, names...)...)
}

// collected reports whether an earlier run collected this very backup, and filled the
// database of the configuration with it. fault.Conflict says that there is something
// else in the folder or in the database.
func (r *restore) collected(ctx context.Context) (bool, error) {
	text, err := os.ReadFile(r.stage(contentsName))
	same := err == nil && bytes.Equal(text, r.text)
	placed := checkFormat(r.data.Path()) == nil
	if placed && !same {
		return false, fault.New(fault.Conflict, "a restore into %s is done; start the server with it, or restore into a new folder, see --data", r.data.Path())
	}
	whole := same && (placed || checkFormat(r.stage()) == nil)
	if r.Config.Store.URL == "" {
		return whole && (exists(r.stage(storeName)) || exists(r.data.Join(storeName))), nil
	}
	db, err := r.openRecords(ctx, "")
	if err != nil {
		return false, err
	}
	defer db.Close()
	state, err := db.StateOf(ctx, r.records())
	if err == nil && state == store.Released && !whole {
		err = fault.New(fault.Conflict, "this backup was restored into the database before, which may have been used since: restore into a new PostgreSQL database")
	}
	return whole && state != store.Empty, err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// begin makes the stage. What an earlier run left there of the same backup's media
// stays; the rest is begun anew.
func (r *restore) begin(context.Context) error {
	// Of another backup, whose restore was stopped. A FORMAT, which no server has seen,
	// goes first.
	for _, name := range append([]string{formatName}, r.moved()...) {
		if err := os.RemoveAll(r.data.Join(name)); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(r.stage(contentsName))
	if err != nil || !bytes.Equal(text, r.text) {
		if err := os.RemoveAll(r.stage()); err != nil {
			return err
		}
	}
	for _, name := range []string{formatName, storeName, certsName, adminKeyName} {
		if err := os.RemoveAll(r.stage(name)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(r.stage(), 0o700); err != nil {
		return err
	}
	return file.WriteWhole(r.stage(contentsName), r.text, 0o600)
}

// bringSecrets copies what makes the node the one that it was.
func (r *restore) bringSecrets(context.Context) error {
	if err := copyTree(filepath.Join(r.From, certsName), r.stage(certsName)); err != nil {
		return err
	}
	return copyFile(filepath.Join(r.From, adminKeyName), r.stage(adminKeyName))
}

// complete marks the stage as whole, once it is on the disk.
func (r *restore) complete(context.Context) error {
	if err := syncAll(r.data.Path()); err != nil {
		return err
	}
	return writeFormat(r.stage())
}

// moved lists what settle moves.
func (r *restore) moved() []string { return []string{storeName, certsName, adminKeyName, blobName} }

// bringObjects carries all objects of the backup to where they belong.
func (r *restore) bringObjects(ctx context.Context) error {
	from, err := blob.ReadFS(filepath.Join(r.From, blobName))
	if fault.CodeOf(err) == fault.NotFound && r.contents.Objects == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	put := intoFolder(r.stage(blobName))
	if r.Config.Blob.URL != "" {
		s3, err := blob.NewS3(ctx, r.Config.Blob, r.stage(scratchName))
		if err != nil {
			return err
		}
		defer s3.Close()
		put = func(ctx context.Context, object blob.Object) error {
			_, err := s3.Put(ctx, object.Info().Name, object)
			return err
		}
	}
	tell := func(done int64) {
		if r.contents.Media {
			r.Progress(done, r.contents.Bytes)
		}
	}
	c := newCarrier(from, put, tell)
	if err := c.carryAll(ctx); err != nil {
		return err
	}
	if objects, size := c.count(); objects != r.contents.Objects || size != r.contents.Bytes {
		return fault.New(fault.Invalid, "the backup in %s is not whole: %d objects with %d bytes of %d with %d are there; choose another one",
			r.From, objects, size, r.contents.Objects, r.contents.Bytes)
	}
	if r.Config.Blob.URL != "" {
		return nil
	}
	return prune(r.stage(blobName), c.have)
}

// records is the path of the records in the backup.
func (r *restore) records() string { return filepath.Join(r.From, recordsName) }

// bringRecords restores the records into the database of the configuration, where they
// are held back until release.
func (r *restore) bringRecords(ctx context.Context) error {
	db, err := r.openRecords(ctx, r.stage(storeName))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.RestoreHeld(ctx, r.records(), r.checkAssets, migrations()...)
}

// checkAssets compares the number of assets with what the backup says.
func (r *restore) checkAssets(tx *store.Tx) error {
	assets := 0
	if err := vod.Holdings(tx, func(vod.Holding) error { assets++; return nil }); err != nil {
		return err
	}
	if assets != r.contents.Assets {
		return fault.New(fault.Invalid, "%d assets were restored, and the backup says that it has %d; choose another one", assets, r.contents.Assets)
	}
	return nil
}

func (r *restore) openRecords(ctx context.Context, folder string) (*store.DB, error) {
	return store.Open(ctx, folder, r.Config.Store, slog.New(slog.DiscardHandler))
}

// settle moves everything from the stage to its place, but for FORMAT.
func (r *restore) settle(context.Context) error {
	for _, name := range r.moved() {
		err := os.Rename(r.stage(name), r.data.Join(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return file.SyncFolder(r.data.Path())
}

// look reads the records in their place, and whether the media of the assets is
// there.
func (r *restore) look(ctx context.Context) error {
	db, err := r.openRecords(ctx, r.data.Join(storeName))
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := holdings(ctx, db)
	if err != nil {
		return err
	}
	missing, err := r.missing(ctx, list)
	if err != nil {
		return err
	}
	r.result = &RestoreResult{Data: r.data.Path(), Media: r.contents.Media, Assets: len(list), Missing: named(missing)}
	return nil
}

// release gives the database to servers. From here on nothing is written into it.
func (r *restore) release(ctx context.Context) error {
	db, err := r.openRecords(ctx, r.data.Join(storeName))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Release(ctx)
}

// place gives the folder to a server.
func (r *restore) place(context.Context) error {
	err := os.Rename(r.stage(formatName), r.data.Join(formatName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // an earlier run did it
		return err
	}
	return file.SyncFolder(r.data.Path())
}

func (r *restore) clean(context.Context) error { return os.RemoveAll(r.stage()) }

// missing lists the assets of which something is not in the store of objects.
func (r *restore) missing(ctx context.Context, list []vod.Holding) (missing []vod.Holding, err error) {
	reach, err := readReach(r.data.Join(certsName))
	if err != nil {
		return nil, err
	}
	if reach != nil && r.Config.Blob.URL == "" {
		return nil, nil // they are on another node, which cannot be asked from here
	}
	objects, err := blob.Open(ctx, r.Config.Blob, r.data.Join(blobName), r.data.Join(scratchName, "s3"))
	if err != nil {
		return nil, err
	}
	defer objects.Close()
	for _, h := range list {
		whole, err := holds(ctx, objects, h)
		if err != nil {
			return nil, fmt.Errorf("media of %s: %w", h.Asset, err)
		}
		if !whole {
			missing = append(missing, h)
		}
	}
	return missing, nil
}

// openForRestore takes a folder in which nothing is but what a restore left that
// was stopped. It gets no FORMAT.
func openForRestore(path string) (*Data, error) {
	return openFolder(path, func(d *Data) error {
		names, err := d.names()
		if err != nil {
			return err
		}
		stopped := slices.Contains(names, restoringName)
		err = checkFormat(d.Path())
		switch {
		case err == nil && !stopped:
			return fault.New(fault.Conflict, "%s has data in it; restore into a new folder, see --data", d.Path())
		case err == nil: // the stage goes when a server opens the folder, so none did
			return nil
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case len(names) > 0 && !stopped:
			return fault.New(fault.Conflict, "%s has files in it that are not from liuyun; choose an empty or a new folder with --data", d.Path())
		}
		return nil
	})
}
