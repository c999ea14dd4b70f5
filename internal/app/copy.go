package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
	"liuyun/internal/kit/blob"
	"liuyun/internal/video/vod"
)

// copiesAtOnce is how many objects travel at a time.
const copiesAtOnce = 4

// carrier brings objects from one store to another place, and counts them.
type carrier struct {
	from blob.Reader
	put  func(ctx context.Context, object blob.Object) error // durable only when its owner says so
	tell func(done int64)                                    // how many bytes were carried, or were there

	mu   sync.Mutex
	have map[string]int64 // what is in its place, with its size
	done atomic.Int64
}

func newCarrier(from blob.Reader, put func(context.Context, blob.Object) error, tell func(int64)) *carrier {
	return &carrier{from: from, put: put, tell: tell, have: make(map[string]int64)}
}

// carry brings what the assets in list hold, and returns those of which something
// is not there.
func (c *carrier) carry(ctx context.Context, list []vod.Holding) (missing []vod.Holding, err error) {
	for _, h := range list {
		whole, err := c.carryAsset(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("media of %s: %w", h.Asset, err)
		}
		if !whole {
			missing = append(missing, h)
		}
	}
	return missing, nil
}

// carryAll brings all objects.
func (c *carrier) carryAll(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	err := c.from.List(groupCtx, "", func(info blob.Info) error {
		group.Go(func() error {
			_, err := c.carryObject(groupCtx, info.Name, info.Size)
			return err
		})
		return nil
	})
	return cmp.Or(group.Wait(), err)
}

// carryAsset reports whether everything of an asset was there.
func (c *carrier) carryAsset(ctx context.Context, h vod.Holding) (whole bool, err error) {
	var lost atomic.Bool
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	add := func(name string, size int64) {
		group.Go(func() error {
			there, err := c.carryObject(groupCtx, name, size)
			if !there {
				lost.Store(true)
			}
			return err
		})
	}
	for _, name := range h.Objects {
		add(name, -1)
	}
	last := ""
	if h.Prefix != "" {
		files, err := filesOf(ctx, c.from, h.Prefix)
		if err != nil || len(files) == 0 {
			group.Wait()
			return false, err
		}
		// The list of a folder goes first when the folder is deleted: as it is still
		// there when all others were carried, nothing had gone before.
		last = files[len(files)-1].Name
		for _, file := range files[:len(files)-1] {
			add(file.Name, file.Size)
		}
	}
	if err := group.Wait(); err != nil || lost.Load() {
		return false, err
	}
	if last == "" {
		return true, nil
	}
	return c.carryObject(ctx, last, -1)
}

// filesOf lists what lies in the folder of a result: what its list names, what
// was put beside it, and the list, which is the last.
func filesOf(ctx context.Context, r blob.Reader, prefix string) ([]blob.Info, error) {
	listed, err := blob.FolderFiles(ctx, r, prefix)
	if err != nil || len(listed) == 0 {
		return nil, err
	}
	known := make(map[string]bool, len(listed))
	for _, file := range listed {
		known[file.Name] = true
	}
	end := len(listed) - 1
	files := listed[:end:end]
	err = r.List(ctx, prefix, func(info blob.Info) error {
		if !known[info.Name] {
			files = append(files, info)
		}
		return nil
	})
	return append(files, listed[end]), err
}

// carryObject reports whether an object was there, of the size that it should
// have; -1 is any.
func (c *carrier) carryObject(ctx context.Context, name string, size int64) (there bool, err error) {
	object, err := c.from.Open(ctx, name)
	if fault.CodeOf(err) == fault.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer object.Close()
	if size >= 0 && object.Info().Size != size {
		return false, nil
	}
	switch err := c.put(ctx, object); {
	case errors.Is(err, errGone):
		return false, nil
	case err != nil:
		return false, err
	}
	c.mu.Lock()
	c.have[name] = object.Info().Size
	c.mu.Unlock()
	c.tell(c.done.Add(object.Info().Size))
	return true, nil
}

// count is how many objects are in their place, and their bytes.
func (c *carrier) count() (objects, bytes int64) {
	for _, size := range c.have {
		bytes += size
	}
	return int64(len(c.have)), bytes
}

// holds says of an asset whether everything is in a store, without reading it.
func holds(ctx context.Context, r blob.Reader, h vod.Holding) (bool, error) {
	wanted := make([]blob.Info, 0, len(h.Objects))
	for _, name := range h.Objects {
		wanted = append(wanted, blob.Info{Name: name, Size: -1})
	}
	if h.Prefix != "" {
		files, err := blob.FolderFiles(ctx, r, h.Prefix)
		if err != nil || len(files) == 0 {
			return false, err
		}
		wanted = append(wanted, files...)
	}
	for _, file := range wanted {
		info, err := r.Stat(ctx, file.Name)
		if fault.CodeOf(err) == fault.NotFound || err == nil && file.Size >= 0 && info.Size != file.Size {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// errGone is that an object was deleted while it was being carried.
var errGone = errors.New("the object was deleted meanwhile")

// intoFolder puts objects as files into a folder: as hard links where it is on the
// file system of the objects, which are replaced as a whole and never changed, else
// as copies. A file of the same size and time stays. Nothing is synced.
func intoFolder(folder string) func(context.Context, blob.Object) error {
	return func(_ context.Context, object blob.Object) error {
		info := object.Info()
		target := filepath.Join(folder, filepath.FromSlash(info.Name))
		if present, err := os.Lstat(target); err == nil && present.Mode().IsRegular() &&
			present.Size() == info.Size && present.ModTime().Equal(info.Modified) {
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if file, ok := object.(blob.Filer); ok {
			switch err := linkOpen(file.File(), target); {
			case err == nil:
				return nil
			case errors.Is(err, syscall.ENOENT):
				return errGone
			}
		}
		return copyObject(object, target)
	}
}

// linkOpen gives an open file another name: the very file, whatever its name means
// by now.
func linkOpen(file *os.File, target string) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var linkErr error
	err = conn.Control(func(fd uintptr) {
		linkErr = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, target, unix.AT_SYMLINK_FOLLOW)
	})
	return errors.Join(err, linkErr)
}

// copyObject copies an object, with its time, by which another run knows it.
func copyObject(object blob.Object, target string) error {
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	n, err := io.Copy(out, object)
	info := object.Info()
	if err == nil && n != info.Size {
		err = fmt.Errorf("%s: %d of %d bytes: %w", info.Name, n, info.Size, io.ErrUnexpectedEOF)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chtimes(target, info.Modified, info.Modified)
}

// prune removes the files below folder that are no key of keep, and folders that
// are empty then.
func prune(folder string, keep map[string]int64) error {
	var folders []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			folders = append(folders, path)
			return nil
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if _, kept := keep[filepath.ToSlash(name)]; kept {
			return nil
		}
		return os.Remove(path)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for i := len(folders) - 1; i > 0; i-- {
		_ = os.Remove(folders[i]) // fails where something is in it
	}
	return err
}

// copyTree copies the regular files below from to a folder that it makes, each
// readable by its owner only. A from that is absent makes none.
func copyTree(from, to string) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // replaced or removed meanwhile
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o700)
		case entry.Type().IsRegular():
			return copyFile(path, target)
		}
		return nil
	})
	return err
}

// copyFile copies a small file, readable by its owner only. One that is absent is
// left out.
func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

// syncAll makes everything on the file system of a folder durable at once: a sync
// of each of a hundred thousand segments would take minutes.
func syncAll(folder string) error {
	opened, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer opened.Close()
	return errors.Join(unix.Syncfs(int(opened.Fd())), file.SyncFolder(folder))
}
