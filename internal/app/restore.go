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
// starts in it, only when everything is there, on the disk, and was read once. What
// was stopped before is done by the same call again.
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
}

// run collects everything in the folder restoringName, moves it to its place, and
// says last, by FORMAT, that it is a data folder.
func (r *restore) run(ctx context.Context) (*RestoreResult, error) {
	if !r.collected() {
		if err := r.collect(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.settle(); err != nil {
		return nil, err
	}
	result, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(r.stage(formatName), r.data.Join(formatName)); err != nil {
		return nil, err
	}
	if err := syncFolder(r.data.Path()); err != nil {
		return nil, err
	}
	return result, os.RemoveAll(r.stage())
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

// collected reports whether an earlier run collected this very backup.
func (r *restore) collected() bool {
	text, err := os.ReadFile(r.stage(contentsName))
	return err == nil && bytes.Equal(text, r.text) && checkFormat(r.stage()) == nil
}

// collect fills the stage. What an earlier run left there of the same backup's media
// stays; records are begun anew.
func (r *restore) collect(ctx context.Context) error {
	for _, name := range r.moved() { // of another backup, whose restore was stopped
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
	if err := writeWhole(r.stage(contentsName), r.text); err != nil {
		return err
	}
	if err := copyTree(filepath.Join(r.From, certsName), r.stage(certsName)); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(r.From, adminKeyName), r.stage(adminKeyName)); err != nil {
		return err
	}
	if err := r.bringObjects(ctx); err != nil {
		return err
	}
	// The last, for a database that has them is not filled again.
	if err := r.bringRecords(ctx); err != nil {
		return err
	}
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

// bringRecords restores the records into the database of the configuration.
func (r *restore) bringRecords(ctx context.Context) error {
	db, err := r.openRecords(ctx, r.stage(storeName))
	if err != nil {
		return err
	}
	defer db.Close()
	err = db.Restore(ctx, filepath.Join(r.From, recordsName), migrations()...)
	if fault.CodeOf(err) == fault.Conflict && db.Kind() == store.Postgres {
		return fault.Wrap(err, fault.Conflict, "%s. If that was a restore which was stopped, make the database anew and run this again", fault.Message(err))
	}
	return err
}

func (r *restore) openRecords(ctx context.Context, folder string) (*store.DB, error) {
	return store.Open(ctx, folder, r.Config.Store, slog.New(slog.DiscardHandler))
}

// settle moves everything from the stage to its place, but for FORMAT.
func (r *restore) settle() error {
	for _, name := range r.moved() {
		err := os.Rename(r.stage(name), r.data.Join(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(r.data.Path())
}

// look reads the records in their place, and whether the media of the assets is
// there.
func (r *restore) look(ctx context.Context) (*RestoreResult, error) {
	db, err := r.openRecords(ctx, r.data.Join(storeName))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	list, err := holdings(ctx, db)
	if err != nil {
		return nil, err
	}
	if len(list) != r.contents.Assets {
		return nil, fault.New(fault.Invalid, "%d assets were restored, and the backup says that it has %d; choose another one", len(list), r.contents.Assets)
	}
	missing, err := r.missing(ctx, list)
	if err != nil {
		return nil, err
	}
	return &RestoreResult{Data: r.data.Path(), Media: r.contents.Media, Assets: len(list), Missing: named(missing)}, nil
}

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
		err := checkFormat(d.Path())
		if err == nil {
			return fault.New(fault.Conflict, "%s has data in it; restore into a new folder, see --data", d.Path())
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		names, err := d.names()
		if err != nil || len(names) == 0 || slices.Contains(names, restoringName) {
			return err
		}
		return fault.New(fault.Conflict, "%s has files in it that are not from liuyun; choose an empty or a new folder with --data", d.Path())
	})
}
