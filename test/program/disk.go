package program

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// Disk is a small file system of its own, mounted for one test.
type Disk struct{ Root string }

// NewDisk mounts a file system of so many bytes, and skips the test where that
// is not permitted.
func NewDisk(t testing.TB, size int64) Disk {
	t.Helper()
	d := Disk{t.TempDir()}
	if err := syscall.Mount("liuyun-test", d.Root, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENODEV) {
			t.Skipf("mounting a small file system is not permitted here: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.Root, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Remount changes its flags and size. A file system cannot become read-only while
// a file of it is being written: then it waits for a better moment.
func (d Disk) Remount(t testing.TB, flags uintptr, size int64) {
	t.Helper()
	var err error
	if !Eventually(startTime, func() bool {
		err = syscall.Mount("liuyun-test", d.Root, "tmpfs", syscall.MS_REMOUNT|flags, fmt.Sprintf("size=%d", size))
		return !errors.Is(err, syscall.EBUSY)
	}) || err != nil {
		t.Fatal(err)
	}
}

// Fill takes room until so many bytes are left, or as few as can be. The file
// that it returns gives the room back when it is removed.
func (d Disk) Fill(t testing.TB, left int64) (ballast string) {
	t.Helper()
	file, err := os.CreateTemp(d.Root, "ballast-")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 256<<10); ; {
		var s syscall.Statfs_t
		if err := syscall.Statfs(d.Root, &s); err != nil {
			t.Fatal(err)
		}
		take := min(int64(len(block)), int64(s.Bavail)*s.Bsize-left)
		if take <= 0 {
			return file.Name()
		}
		if _, err := file.Write(block[:take]); errors.Is(err, syscall.ENOSPC) {
			return file.Name()
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
