package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"liuyun/internal/base/fault"
)

func temporaryName() string { return path.Join(tempFolder, rand.Text()) }

// Append adds to what was gathered under name.
func (f *FS) Append(ctx context.Context, name string, offset int64, r io.Reader) (written int64, err error) {
	if err := CheckName(name); err != nil {
		return 0, err
	}
	release, err := f.claim(ctx, name)
	if err != nil {
		return 0, err
	}
	defer release()
	file, err := f.openGathered(name)
	if err != nil {
		return 0, fmt.Errorf("append to %q: %w", name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("append to %q: %w", name, err)
	}
	if info.Size() != offset {
		return 0, offsetConflict(info.Size(), offset)
	}
	written, err = f.fill(ctx, file, offset, r)
	if syncErr := file.Sync(); syncErr != nil {
		return 0, fmt.Errorf("append to %q: %w", name, storageError(syncErr))
	}
	return written, err
}

// claimTime is how long a call waits for an Append of the same name whose client has
// gone, and that has not noticed yet.
const claimTime = 5 * time.Second

// claim keeps a second call for the same name away until release is called.
func (f *FS) claim(ctx context.Context, name string) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	for {
		f.mu.Lock()
		busy := f.busy[name]
		if busy == nil {
			mine := make(chan struct{})
			f.busy[name] = mine
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				delete(f.busy, name)
				close(mine)
			}, nil
		}
		f.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fault.New(fault.Conflict, "another request is writing to %q", name)
		}
	}
}

// openGathered opens the file behind a name that is not sealed, and makes it.
func (f *FS) openGathered(name string) (*os.File, error) {
	full := path.Join(appendFolder, name)
	file, err := f.root.OpenFile(full, os.O_RDWR, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	f.folders.RLock()
	defer f.folders.RUnlock()
	if err := f.makeFolder(path.Dir(full)); err != nil {
		return nil, err
	}
	file, err = f.root.OpenFile(full, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, pathConflict(name, storageError(err))
	}
	if err := f.syncFolder(path.Dir(full)); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Appended returns the size of what was gathered. What a killed process had written
// and not acknowledged counts, once it is synced.
func (f *FS) Appended(ctx context.Context, name string) (int64, error) {
	if err := CheckName(name); err != nil {
		return 0, err
	}
	// A writer that lives longer than that is not waited for: the size is right anyway.
	if release, err := f.claim(ctx, name); err == nil {
		defer release()
	}
	file, err := f.root.OpenFile(path.Join(appendFolder, name), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("size of %q: %w", name, err)
	}
	defer file.Close()
	// The size is read first: what is written after it is not promised.
	info, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("size of %q: %w", name, err)
	}
	if err := file.Sync(); err != nil {
		return 0, fmt.Errorf("size of %q: %w", name, storageError(err))
	}
	return info.Size(), nil
}

// Seal gives what was gathered its name.
func (f *FS) Seal(ctx context.Context, name string, size int64) (Info, error) {
	have, err := f.Appended(ctx, name)
	if err != nil {
		return Info{}, err
	}
	full := path.Join(appendFolder, name)
	if _, err := f.root.Stat(full); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return sealedBefore(ctx, f, name, size)
	}
	if have != size {
		return Info{}, sizeConflict(name, have, size)
	}
	if err := f.publish(full, name); err != nil {
		return Info{}, fmt.Errorf("seal %q: %w", name, err)
	}
	f.folders.Lock()
	err = f.removeEmpty(path.Dir(full))
	f.folders.Unlock()
	if err != nil {
		return Info{}, fmt.Errorf("seal %q: %w", name, err)
	}
	return f.Stat(ctx, name)
}

// sealedBefore answers a Seal for which nothing is gathered: it is right when the
// object is there already.
func sealedBefore(ctx context.Context, s Store, name string, size int64) (Info, error) {
	info, err := s.Stat(ctx, name)
	if err != nil {
		if fault.CodeOf(err) != fault.NotFound {
			return Info{}, err
		}
		if size == 0 {
			return s.Put(ctx, name, eof{})
		}
		return Info{}, sizeConflict(name, 0, size)
	}
	if info.Size != size {
		return Info{}, sizeConflict(name, 0, size)
	}
	return info, nil
}

// eof is an empty source.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// Abort drops what was gathered.
func (f *FS) Abort(_ context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	full := path.Join(appendFolder, name)
	f.folders.Lock()
	defer f.folders.Unlock()
	if err := f.root.Remove(full); err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		return fmt.Errorf("abort %q: %w", name, err)
	}
	return f.removeEmpty(path.Dir(full))
}

func offsetConflict(have, offset int64) error {
	return fault.New(fault.Conflict, "%d bytes are stored, and these begin at %d: ask for the offset and go on from there", have, offset)
}

func sizeConflict(name string, have, size int64) error {
	return fault.New(fault.Conflict, "%q has %d of %d bytes and is not complete", name, have, size)
}
