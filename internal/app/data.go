package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
)

// What lies in a data folder.
const (
	formatName   = "FORMAT"     // which version wrote it
	adminKeyName = "admin.key"  // the first key, 0600
	storeName    = "store"      // records, when SQLite keeps them
	blobName     = "blob"       // objects, when this disk keeps them
	busName      = "bus"        // what the bus has not delivered
	liveName     = "live"       // windows of streams, a folder each; not backed up
	speedName    = "speed.json" // how fast this machine encodes, as it was measured
	scratchName  = "scratch"    // may be emptied at any time nobody runs

	// restoringName is where a restore collects what it then moves to its place.
	restoringName = ".restoring"
)

// dataFormat is the version of the data folder that this program writes. Raise
// it when an older program could no longer read the folder.
const dataFormat = 1

// largestFormat bounds what is read of a FORMAT file.
const largestFormat = 256

// Data is a data folder that this process has for itself.
type Data struct {
	folder *os.File
}

// OpenData takes the data folder at path, which is made when it is absent. A
// folder that another process has, that holds other files, or that a newer
// version wrote is refused with a fault. The caller closes it.
func OpenData(path string) (*Data, error) { return openFolder(path, (*Data).begin) }

// openFolder takes the folder at path for this process and has begin look into it.
func openFolder(path string, begin func(*Data) error) (*Data, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, explainFolder(err, path)
	}
	folder, err := os.Open(path)
	if err != nil {
		return nil, explainFolder(err, path)
	}
	d := &Data{folder}
	if err := d.take(begin); err != nil {
		folder.Close()
		return nil, err
	}
	return d, nil
}

// take locks the folder, then looks into it.
func (d *Data) take(begin func(*Data) error) error {
	if err := syscall.Flock(int(d.folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fault.Wrap(err, fault.Conflict, "another liuyun is running in %s; stop it, or choose another folder with --data", d.Path())
	}
	return begin(d)
}

// begin sees to the FORMAT of a folder in which a server is to run.
func (d *Data) begin() error {
	err := checkFormat(d.Path())
	if err == nil { // what a restore left that was killed after its last step but one
		return explainFolder(os.RemoveAll(d.Join(restoringName)), d.Path())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	names, err := d.names()
	switch {
	case err != nil:
		return err
	case slices.Contains(names, restoringName):
		return fault.New(fault.Conflict, "a restore into %s was stopped; run it again, or remove the folder", d.Path())
	case len(names) > 0:
		return fault.New(fault.Conflict, "%s has files in it that are not from liuyun; choose an empty or a new folder with --data", d.Path())
	}
	return writeFormat(d.Path())
}

// lostFound is what every new file system of the ext family has in it.
const lostFound = "lost+found"

// names lists what lies in the folder.
func (d *Data) names() (names []string, err error) {
	entries, err := os.ReadDir(d.Path())
	for _, entry := range entries {
		if entry.Name() != lostFound {
			names = append(names, entry.Name())
		}
	}
	return names, explainFolder(err, d.Path())
}

// Path is the folder's absolute path.
func (d *Data) Path() string { return d.folder.Name() }

// Join returns the path of what lies in the folder under these names.
func (d *Data) Join(names ...string) string {
	return filepath.Join(append([]string{d.Path()}, names...)...)
}

// AdminKey returns the path of the file with the first key.
func (d *Data) AdminKey() string { return d.Join(adminKeyName) }

// Close gives the folder up.
func (d *Data) Close() error { return d.folder.Close() }

// checkFormat reads the FORMAT of the data folder at path. Its error wraps
// fs.ErrNotExist when there is none.
func checkFormat(path string) error {
	file, err := os.Open(filepath.Join(path, formatName))
	if err != nil {
		return fmt.Errorf("read %s: %w", formatName, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largestFormat))
	if err != nil {
		return fmt.Errorf("read %s: %w", formatName, err)
	}
	version, err := parseFormat(string(text))
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "%s is damaged; it should say %q: restore a backup into a new folder", filepath.Join(path, formatName), formatText())
	}
	if version > dataFormat {
		return fault.New(fault.Conflict, "%s was written by a newer liuyun (format %d, this one knows up to %d): install that version, or restore a backup of this one", path, version, dataFormat)
	}
	return nil
}

func formatText() string { return "liuyun data " + strconv.Itoa(dataFormat) }

func parseFormat(text string) (int, error) {
	number, found := strings.CutPrefix(strings.TrimSpace(text), "liuyun data ")
	version, err := strconv.Atoi(number)
	if !found || err != nil || version < 1 {
		return 0, fmt.Errorf("%q is no format", text)
	}
	return version, nil
}

// writeFormat marks the folder as a data folder of this version, durably.
func writeFormat(folder string) error {
	return explainFolder(file.WriteWhole(filepath.Join(folder, formatName), []byte(formatText()+"\n"), 0o600), folder)
}

// explainFolder tells what is wrong with a data folder; nil stays nil.
func explainFolder(err error, path string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(err, fault.StorageFull, "the disk of %s is full; make room and run it again", path)
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(err, fault.Forbidden, "%s may not be used by this user; give it another owner, or choose another folder with --data", path)
	}
	return fault.Wrap(err, fault.Invalid, "%s cannot be used as the data folder; choose another with --data", path)
}
