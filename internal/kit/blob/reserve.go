package blob

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"liuyun/internal/base/fault"
)

// Reserve keeps room free on the file system of a folder, so that the records and
// the bus beside it do not stand still when objects fill the disk. The zero value
// reserves nothing.
type Reserve struct {
	// Folder lies on the file system that is looked at. [NewFS] sets it to its own
	// when it is empty.
	Folder string
	// Bytes and Percent of the file system are kept free, whichever is more.
	Bytes   int64
	Percent float64
}

// CheckRoom returns a fault of code storage_full when writing n more bytes would
// leave less than the reserve.
func (r Reserve) CheckRoom(n int64) error {
	if r.Folder == "" {
		return nil
	}
	free, size, err := room(r.Folder)
	if err != nil {
		return err
	}
	keep := max(r.Bytes, int64(r.Percent/100*float64(size)))
	if free-max(n, 0) < keep {
		return fault.New(fault.StorageFull, "the disk is full: %s are free, %s are kept in reserve: delete something, or give it a larger disk",
			humanBytes(free), humanBytes(keep))
	}
	return nil
}

// room returns what an unprivileged process may still write, and the size.
func room(folder string) (free, size int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", folder, err)
	}
	unit := int64(s.Bsize)
	return int64(s.Bavail) * unit, int64(s.Blocks) * unit, nil
}

// storageError makes a full disk or an exceeded quota a fault that says so.
func storageError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Wrap(err, fault.StorageFull, "the disk is full: delete something, or give it a larger disk")
	}
	return err
}

// checkEvery is how many bytes are written between two looks at the free space.
const checkEvery = 16 << 20

// roomyReader gives what r gives, and fails when the reserve is reached.
type roomyReader struct {
	r       io.Reader
	reserve Reserve
	left    int
}

func (r *roomyReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		if err := r.reserve.CheckRoom(checkEvery); err != nil {
			return 0, err
		}
		r.left = checkEvery
	}
	n, err := r.r.Read(p)
	r.left -= n
	return n, err
}

func humanBytes(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
