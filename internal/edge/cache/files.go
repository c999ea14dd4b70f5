package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"liuyun/internal/base/fault"
)

// files are the bodies that are too large for memory: a file each, whose name is the id
// of its object.
type files struct {
	folder string
	room   func(bytes int64) error // an error says that the disk is full
	first  uint64                  // id of this process
	next   atomic.Uint64
}

// fanOut is how many folders the files are spread over.
const fanOut = 256

// open makes the folder ready.
func (f *files) open(folder string, room func(bytes int64) error) error {
	for i := range fanOut {
		if err := os.MkdirAll(filepath.Join(folder, fmt.Sprintf("%02x", i)), 0o700); err != nil {
			return fault.Wrap(err, fault.Unavailable, "the cache's folder %s cannot be made", folder)
		}
	}
	f.folder, f.room = folder, room
	f.after(idsFrom(time.Now()))
	return nil
}

// idsFrom is where the ids of a process begin that starts then: behind those of all
// before, as far as clocks go forward.
func idsFrom(start time.Time) uint64 { return uint64(start.UnixMilli()) << 20 }

// after has all new ids be greater than that one.
func (f *files) after(id uint64) {
	f.first = max(f.first, id)
	f.next.Store(f.first)
}

// newID returns an id that no object had.
func (f *files) newID() uint64 { return f.next.Add(1) }

func (f *files) path(id uint64) string {
	return filepath.Join(f.folder, fmt.Sprintf("%02x", id%fanOut), strconv.FormatUint(id, 16))
}

// create makes a file for a body.
func (f *files) create() (id uint64, file *os.File, err error) {
	if err := f.room(smallBody); err != nil {
		return 0, nil, err
	}
	const tries = 1000 // where a clock went back, a process before may have had the next ids
	for range tries {
		id = f.newID()
		file, err = os.OpenFile(f.path(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return id, file, err
}

// remove deletes a file. What cannot be deleted is swept later.
func (f *files) remove(id uint64) { _ = os.Remove(f.path(id)) }

// check reports, with an error, that a file is not what was written.
func (f *files) check(id uint64, size int64, sum uint32) error {
	file, err := os.Open(f.path(id))
	if err != nil {
		return err
	}
	defer file.Close()
	hash := crc32.New(castagnoli())
	n, err := io.Copy(hash, file)
	switch {
	case err != nil:
		return err
	case n != size || hash.Sum32() != sum:
		return fmt.Errorf("%s is damaged: %d bytes of %d", file.Name(), n, size)
	}
	return nil
}

// sweep deletes the files of processes before that no object has, until ctx ends.
func (f *files) sweep(ctx context.Context, known func(id uint64) bool) {
	for i := range fanOut {
		if ctx.Err() != nil {
			return
		}
		entries, err := os.ReadDir(filepath.Join(f.folder, fmt.Sprintf("%02x", i)))
		if err != nil {
			continue // it is swept another time
		}
		for _, entry := range entries {
			id, err := strconv.ParseUint(entry.Name(), 16, 64)
			if err == nil && id <= f.first && !known(id) {
				f.remove(id)
			}
		}
	}
}
