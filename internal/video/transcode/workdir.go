package transcode

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
)

// stateName is the folder in the output folder that holds what a later run goes
// on from. It is gone when the job is done.
const stateName = ".liuyun"

// reportName is written last: where it is, the job is done.
const reportName = encode.ReportName

// workdir is the output folder while a job runs in it. Everything in it is
// written to a temporary name, synced and renamed, so that what has its name is
// whole.
type workdir struct {
	root  string // the output folder
	lock  *os.File
	shelf Shelf               // nil: what is made is kept here alone
	room  func(n int64) error // nil: as much as the disk has
}

// Shelf keeps results beyond the work folder, so that they are there after a
// crash, and on other machines. A result is a folder of files named by a hash of
// all that they depend on: keeping one a second time changes nothing.
type Shelf interface {
	// Fetch makes the folder dir with the files of the result, which nobody may
	// change, and reports whether the shelf has it.
	Fetch(ctx context.Context, hash, dir string) (bool, error)
	// Keep takes the files in dir, which stay as they are from then on. What it
	// took survives a crash when it returns.
	Keep(ctx context.Context, hash, dir string) error
}

// openWorkdir takes the output folder for one job. It must be absent, empty, or
// from an earlier run of ours.
func openWorkdir(root string) (*workdir, error) {
	if err := checkOurs(root); err != nil {
		return nil, err
	}
	w := &workdir{root: root}
	for _, folder := range []string{w.state(), w.units(), w.scratch()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, explainWrite(err, root)
		}
	}
	lock, err := os.OpenFile(filepath.Join(w.state(), "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, explainWrite(err, root)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fault.Wrap(err, fault.Conflict, "another liuyun is working in %s; wait for it or choose another folder", root)
	}
	w.lock = lock
	if err := emptyFolder(w.scratch()); err != nil {
		w.close()
		return nil, explainWrite(err, root)
	}
	return w, nil
}

// checkOurs refuses a folder with files that are not from us.
func checkOurs(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "%s cannot be used as the output folder", root)
	}
	for _, entry := range entries {
		if entry.Name() == stateName || (entry.Name() == reportName && isReport(filepath.Join(root, reportName))) {
			return nil
		}
	}
	return fault.New(fault.Conflict, "%s has files in it that are not from liuyun; choose an empty or a new folder", root)
}

// isReport tells a report of ours from a file that has the same name.
func isReport(path string) bool {
	var report Report
	return readJSON(path, &report) == nil && report.Version == 1 && len(report.Job) == 2*hashSize && report.Class != ""
}

func (w *workdir) state() string   { return filepath.Join(w.root, stateName) }
func (w *workdir) units() string   { return filepath.Join(w.state(), "units") }
func (w *workdir) scratch() string { return filepath.Join(w.state(), "scratch") }
func (w *workdir) staged() string  { return filepath.Join(w.state(), "staged") }

// unit is the folder of the unit with this hash, whether it is there or not.
func (w *workdir) unit(hash string) string { return filepath.Join(w.units(), hash) }

// newScratch makes an empty folder that nobody else uses.
func (w *workdir) newScratch() (string, error) {
	return os.MkdirTemp(w.scratch(), "")
}

// commit makes the scratch folder the result called hash: all its files reach
// the disk before it gets the name. A result that is there already stays.
func (w *workdir) commit(scratch, hash string) error {
	if err := syncTree(scratch); err != nil {
		return err
	}
	if err := w.rename(scratch, hash); err != nil {
		return err
	}
	return syncPath(w.units())
}

// rename gives scratch its name. A result that is there already stays.
func (w *workdir) rename(scratch, hash string) error {
	err := os.Rename(scratch, w.unit(hash))
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return os.RemoveAll(scratch)
	}
	return err
}

// has reports whether the result called hash is there.
func (w *workdir) has(hash string) bool {
	_, err := os.Stat(w.unit(hash))
	return err == nil
}

// finish removes the state after the job is done and gives the folder up.
func (w *workdir) finish() error {
	err := os.RemoveAll(w.state())
	w.close()
	return err
}

// close gives the folder up and leaves the state for a later run. The lock is
// taken away first: a child that is just being started holds the file, too.
func (w *workdir) close() {
	_ = syscall.Flock(int(w.lock.Fd()), syscall.LOCK_UN) // closing it does the same
	w.lock.Close()
}

// writeFile writes a whole file so that its name never shows a part of it.
func writeFile(path string, data []byte) error {
	temporary := path + ".tmp"
	file, err := os.Create(temporary)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary)
		return err
	}
	return syncPath(filepath.Dir(path))
}

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'))
}

func readJSON(path string, value any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, value)
}

// syncTree makes all files and folders below root durable.
func syncTree(root string) error {
	var group errgroup.Group
	group.SetLimit(8) // the disk takes what comes together in one go
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			group.Go(func() error { return syncPath(path) })
		}
		return err
	})
	if syncErr := group.Wait(); err == nil {
		err = syncErr
	}
	return err
}

func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

func emptyFolder(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	return os.MkdirAll(folder, 0o755)
}

// explainWrite says what is wrong with writing below root.
func explainWrite(err error, root string) error {
	var known *fault.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(err, fault.StorageFull, "the disk with %s is full; what is done is kept: make room and run the same command again", root)
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return fault.Wrap(err, fault.Forbidden, "%s cannot be written to; choose another folder or change its permissions", root)
	}
	return fmt.Errorf("work in %s: %w", root, err)
}

// once makes the result called hash unless it is there or on the shelf: make
// writes into an empty scratch folder, which is committed, and kept on the shelf,
// when it returns nil. It returns the folder of the result, and whether it had
// been made before.
func (w *workdir) once(ctx context.Context, hash string, make func(scratch string) error) (folder string, reused bool, err error) {
	if w.has(hash) {
		return w.unit(hash), true, nil
	}
	if found, err := w.fetch(ctx, hash); found || err != nil {
		return w.unit(hash), found, err
	}
	if err := w.checkRoom(0); err != nil {
		return "", false, err
	}
	scratch, err := w.newScratch()
	if err != nil {
		return "", false, explainWrite(err, w.root)
	}
	if err := make(scratch); err != nil {
		os.RemoveAll(scratch)
		return "", false, err
	}
	if err := w.commit(scratch, hash); err != nil {
		os.RemoveAll(scratch)
		return "", false, explainWrite(err, w.root)
	}
	if w.shelf != nil {
		err = w.shelf.Keep(ctx, hash, w.unit(hash))
	}
	return w.unit(hash), false, err
}

// fetch takes the result called hash from the shelf, if it is there.
func (w *workdir) fetch(ctx context.Context, hash string) (bool, error) {
	if w.shelf == nil {
		return false, nil
	}
	scratch, err := w.newScratch()
	if err != nil {
		return false, explainWrite(err, w.root)
	}
	defer os.RemoveAll(scratch)
	dir := filepath.Join(scratch, hash)
	found, err := w.shelf.Fetch(ctx, hash, dir)
	if err != nil || !found {
		return false, err
	}
	return true, explainWrite(w.rename(dir, hash), w.root)
}

// checkRoom refuses, with fault.StorageFull, to go on where n more bytes would
// leave less than the reserve.
func (w *workdir) checkRoom(n int64) error {
	if w.room == nil {
		return nil
	}
	return w.room(n)
}

// specHash names a result by everything that its bytes depend on.
func specHash(class, source string, spec []string) string {
	hash := sha256.New()
	for _, part := range append([]string{class, source}, spec...) {
		fmt.Fprintf(hash, "%d:%s,", len(part), part)
	}
	return hex.EncodeToString(hash.Sum(nil)[:hashSize])
}

// hashSize is the bytes of a hash that make a name.
const hashSize = 16
