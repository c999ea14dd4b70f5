package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
	"liuyun/internal/control/account"
	"liuyun/internal/control/cert"
	"liuyun/internal/control/meter"
	"liuyun/internal/control/node"
	"liuyun/internal/control/notify"
	"liuyun/internal/control/site"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
	"liuyun/internal/video/live"
	"liuyun/internal/video/vod"
)

// What lies in a backup, besides certs, admin.key and blob, which have the names
// that they have in a data folder.
const (
	contentsName = "backup.json" // what else is in it; the last that is written
	recordsName  = "records.gz"
)

// backupFormat is the version of the backups that this program writes. Raise it
// when an older program could no longer restore them.
const backupFormat = 1

// largestContents bounds what is read of a backup.json.
const largestContents = 64 << 10

// contents is backup.json.
type contents struct {
	Format  int    `json:"liuyun_backup"`
	Version string `json:"version"` // of the program that made it
	Media   bool   `json:"media"`
	Assets  int    `json:"assets"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"` // of the objects
}

// BackupOptions are what [Backup] is given.
type BackupOptions struct {
	Config  Config
	Data    string // the data folder of a control node, whose server may run
	To      string // the folder to make
	Media   bool   // sources and what was made of them, too
	Version string // of the program
	// Progress tells how many bytes of media are carried, and how many there are.
	// It may be called from several goroutines, and is not nil.
	Progress func(done, total int64)
}

// AssetRef names an asset for people.
type AssetRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// BackupResult says what a backup holds.
type BackupResult struct {
	Path    string
	Media   bool
	Assets  int
	Objects int64
	Bytes   int64
	// Missing are the assets whose media was lost before the backup was made. It is
	// empty without media.
	Missing []AssetRef
}

// migrations lists the tables of all packages, in the order in which they are made.
func migrations() []store.Migrations {
	return []store.Migrations{
		account.Migrations(), meter.Migrations(), bus.Migrations(), job.Migrations(), notify.Migrations(), node.Migrations(), vod.Migrations(), live.Migrations(), site.Migrations(), cert.Migrations(),
	}
}

// Backup writes the state of a cloud, as one moment shows it, into a new folder,
// which appears under its name when everything is in it and on the disk. The server
// may go on meanwhile. What is not yet an asset's own, such as half an upload or a
// unit of an unfinished encode, is left out: it is made again. A backup that was
// stopped is gone on with by the same call.
//
// A folder that is no data folder of a control node is fault.NotFound, a target that
// is there fault.Conflict.
func Backup(ctx context.Context, o BackupOptions) (*BackupResult, error) {
	b, err := newBackup(o)
	if err != nil {
		return nil, err
	}
	defer b.lock.Close()
	result, err := b.run(ctx)
	if err != nil {
		return nil, explainTarget(err, b.To)
	}
	return result, nil
}

// backup is one run of Backup.
type backup struct {
	BackupOptions
	part string   // where it is collected
	lock *os.File // part, held by this process
}

// newBackup checks both folders and takes the place where the backup is collected.
func newBackup(o BackupOptions) (*backup, error) {
	var err error
	if o.Data, err = filepath.Abs(o.Data); err != nil {
		return nil, err
	}
	if o.To, err = filepath.Abs(o.To); err != nil {
		return nil, err
	}
	if err := checkFormat(o.Data); errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.NotFound, "%s is no data folder of liuyun; name the server's with --data", o.Data)
	} else if err != nil {
		return nil, explainRead(err, o.Data)
	}
	reach, err := readReach(filepath.Join(o.Data, certsName))
	switch {
	case err != nil:
		return nil, explainRead(err, o.Data)
	case reach != nil && o.Config.Store.URL == "":
		return nil, fault.New(fault.NotFound, "%s belongs to a worker, which has no records; back up a control node", o.Data)
	case reach != nil && o.Config.Blob.URL == "" && o.Media:
		return nil, fault.New(fault.Conflict, "the media of this cloud is on its first control node; back it up there, or leave out --media")
	}
	if strings.HasPrefix(o.To+"/", o.Data+"/") {
		return nil, fault.New(fault.Invalid, "%s is inside the data folder; choose a place outside of it, best on another disk", o.To)
	}
	if _, err := os.Lstat(o.To); err == nil {
		return nil, fault.New(fault.Conflict, "%s is there already; choose a new name for the backup", o.To)
	}
	b := &backup{BackupOptions: o, part: filepath.Join(filepath.Dir(o.To), "."+filepath.Base(o.To)+".part")}
	if err := os.Mkdir(b.part, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, explainTarget(err, o.To)
	}
	if b.lock, err = os.Open(b.part); err != nil {
		return nil, explainTarget(err, o.To)
	}
	if err := syscall.Flock(int(b.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		b.lock.Close()
		return nil, fault.Wrap(err, fault.Conflict, "another liuyun is writing this backup; wait for it, or choose another name")
	}
	return b, nil
}

func (b *backup) run(ctx context.Context) (*BackupResult, error) {
	// backup.json says that a backup is whole: one that a kill left goes first.
	if err := os.RemoveAll(b.path(contentsName)); err != nil {
		return nil, err
	}
	db, err := b.openRecords(ctx)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	objects, err := b.openObjects(ctx)
	if err != nil {
		return nil, err
	}
	defer objects.Close()
	result, err := b.collect(ctx, db, objects)
	if err != nil {
		return nil, err
	}
	if err := b.copySecrets(); err != nil {
		return nil, err
	}
	c := contents{Format: backupFormat, Version: b.Version, Media: b.Media, Assets: result.Assets, Objects: result.Objects, Bytes: result.Bytes}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := file.WriteWhole(b.path(contentsName), append(text, '\n'), 0o600); err != nil {
		return nil, err
	}
	if err := syncAll(b.part); err != nil {
		return nil, err
	}
	if err := os.Rename(b.part, b.To); err != nil {
		return nil, err
	}
	return result, file.SyncFolder(filepath.Dir(b.To))
}

func (b *backup) path(name string) string { return filepath.Join(b.part, name) }

// openRecords opens the records beside a server that may be using them.
func (b *backup) openRecords(ctx context.Context) (*store.DB, error) {
	folder := filepath.Join(b.Data, storeName)
	if b.Config.Store.URL == "" {
		// Opening would make records where there are none.
		if _, err := os.Stat(folder); err != nil {
			return nil, fault.Wrap(err, fault.NotFound, "there are no records in %s; if they are in a PostgreSQL, give --set store.url=… as to the server", b.Data)
		}
	}
	return store.Open(ctx, folder, b.Config.Store, slog.New(slog.DiscardHandler))
}

// noObjects is a store in which nothing is.
type noObjects struct{}

func (noObjects) Open(_ context.Context, name string) (blob.Object, error) {
	return nil, noObject(name)
}
func (noObjects) Stat(_ context.Context, name string) (blob.Info, error) {
	return blob.Info{}, noObject(name)
}
func (noObjects) List(context.Context, string, func(blob.Info) error) error { return nil }
func (noObjects) Close() error                                              { return nil }

func noObject(name string) error { return fault.New(fault.NotFound, "there is no object %q", name) }

// openObjects opens the objects to read, which another process may be changing.
func (b *backup) openObjects(ctx context.Context) (blob.ReadCloser, error) {
	if b.Config.Blob.URL != "" {
		scratch := b.path(scratchName)
		defer os.RemoveAll(scratch) // reading needs none
		return blob.NewS3(ctx, b.Config.Blob, scratch)
	}
	objects, err := blob.ReadFS(filepath.Join(b.Data, blobName))
	if fault.CodeOf(err) == fault.NotFound {
		return noObjects{}, nil
	}
	return objects, err
}

// maxRounds bounds how often records are read anew because media that they name
// was deleted before it was copied.
const maxRounds = 20

// collect writes records and objects so that they fit: what the records name is in
// the backup, but for what was lost before.
//
// Records are written first, then what they name is carried. Nothing is deleted
// before the records have stopped naming it. So if something was not there any more,
// records that are written now either do not name it either, or it was lost long ago.
func (b *backup) collect(ctx context.Context, db *store.DB, objects blob.Reader) (*BackupResult, error) {
	before := make(map[string]bool) // what was not whole in the last round
	for range maxRounds {
		if err := db.Backup(ctx, b.path(recordsName)); err != nil {
			return nil, err
		}
		list, err := b.readBack(ctx)
		if err != nil {
			return nil, err
		}
		c := newCarrier(objects, intoFolder(b.path(blobName)), b.progress(list))
		missing, err := b.carry(ctx, c, list)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(missing, func(h vod.Holding) bool { return !before[claim(h)] }) {
			result := &BackupResult{Path: b.To, Media: b.Media, Assets: len(list), Missing: named(missing)}
			result.Objects, result.Bytes = c.count()
			return result, prune(b.path(blobName), c.have) // what another round, or run, left
		}
		clear(before)
		for _, h := range missing {
			before[claim(h)] = true
		}
	}
	return nil, fault.New(fault.Unavailable, "assets change faster than their media is copied; try again when there is less to do")
}

// claim is what the record of an asset says that it has.
func claim(h vod.Holding) string { return fmt.Sprintf("%s %q %q", h.Asset, h.Prefix, h.Objects) }

func named(list []vod.Holding) []AssetRef {
	refs := []AssetRef{}
	for _, h := range list {
		refs = append(refs, AssetRef{h.Asset, h.Name})
	}
	return refs
}

// progress tells how much of the assets' media is carried.
func (b *backup) progress(list []vod.Holding) func(done int64) {
	total := int64(0)
	for _, h := range list {
		total += h.Bytes
	}
	return func(done int64) {
		if b.Media {
			b.Progress(min(done, total), total)
		}
	}
}

// readBack restores the records that were written, into a database that is thrown
// away, and returns what the assets in it hold.
func (b *backup) readBack(ctx context.Context) (list []vod.Holding, err error) {
	folder := b.path(".check")
	if err := os.RemoveAll(folder); err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	db, err := store.Open(ctx, folder, store.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := db.Restore(ctx, b.path(recordsName), migrations()...); err != nil {
		return nil, err
	}
	return holdings(ctx, db)
}

// holdings lists what the assets in the records hold.
func holdings(ctx context.Context, db *store.DB) (list []vod.Holding, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		list = nil
		return vod.Holdings(tx, func(h vod.Holding) error { list = append(list, h); return nil })
	})
	return list, err
}

// carry brings the media of the assets in list, where it is asked for, and what is
// known of uploads.
func (b *backup) carry(ctx context.Context, c *carrier, list []vod.Holding) (missing []vod.Holding, err error) {
	if b.Media {
		if missing, err = c.carry(ctx, list); err != nil {
			return nil, err
		}
	}
	var uploads []string
	err = c.from.List(ctx, vod.UploadRecords, func(info blob.Info) error {
		uploads = append(uploads, info.Name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range uploads {
		if _, err := c.carryObject(ctx, name, -1); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// copySecrets copies what makes this node the one that it is.
func (b *backup) copySecrets() error {
	if err := os.RemoveAll(b.path(certsName)); err != nil {
		return err
	}
	if err := copyTree(filepath.Join(b.Data, certsName), b.path(certsName)); err != nil {
		return explainRead(err, b.Data)
	}
	if err := os.RemoveAll(b.path(adminKeyName)); err != nil {
		return err
	}
	return explainRead(copyFile(filepath.Join(b.Data, adminKeyName), b.path(adminKeyName)), b.Data)
}

// explainTarget tells why a backup was not written; what is a fault stays.
func explainTarget(err error, path string) error {
	switch {
	case isFault(err):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(err, fault.StorageFull, "the disk is full before the backup %s is done; make room and run it again, it goes on where it stopped", path)
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(err, fault.Forbidden, "the backup %s may not be written, or the data not read, by this user; run it as the user of the server, and choose a folder of that user", path)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fault.Wrap(err, fault.NotFound, "the backup %s cannot be written; choose a name in a folder that exists", path)
	}
	return fmt.Errorf("backup %s: %w", path, err)
}

// explainRead tells why a data folder or a backup cannot be read; nil stays nil,
// and so does what is a fault.
func explainRead(err error, path string) error {
	if errors.Is(err, fs.ErrPermission) && !isFault(err) {
		return fault.Wrap(err, fault.Forbidden, "%s may not be read by this user; run it as the user of the server", path)
	}
	return err
}

func isFault(err error) bool {
	var f *fault.Error
	return errors.As(err, &f)
}

// readContents reads the backup.json of the backup in folder, also as it is written.
func readContents(folder string) (c contents, text []byte, err error) {
	file, err := os.Open(filepath.Join(folder, contentsName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return c, nil, fault.Wrap(err, fault.NotFound, "%s is no backup of liuyun; name the folder that liuyun backup made", folder)
	}
	if err != nil {
		return c, nil, explainRead(err, folder)
	}
	defer file.Close()
	text, err = io.ReadAll(io.LimitReader(file, largestContents))
	if err != nil {
		return c, nil, fmt.Errorf("read %s: %w", contentsName, err)
	}
	if err := json.Unmarshal(bytes.TrimSpace(text), &c); err != nil || c.Format < 1 {
		return c, nil, fault.Wrap(err, fault.Invalid, "%s in %s is damaged; choose another backup", contentsName, folder)
	}
	if c.Format > backupFormat {
		return c, nil, fault.New(fault.Conflict, "the backup was made by a newer liuyun (%s); restore it with that version", c.Version)
	}
	return c, text, nil
}
