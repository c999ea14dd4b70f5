package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"liuyun/internal/base/fault"
)

// Folders of an FS that hold no objects: names that begin with a dot are none.
const (
	tempFolder   = ".tmp"    // what is being written, or being deleted
	appendFolder = ".append" // what an Appender has gathered
)

// bufferSize is what is read and written at once. It fits into a core's cache.
const bufferSize = 256 << 10

// FS is a [Store] and an [Appender] in a folder: an object is a file of the same
// name. Nothing else may write there.
type FS struct {
	dir     string
	root    *os.Root
	reserve Reserve
	lock    *os.File // held as long as this FS lives, nil when another one has it

	buffers sync.Pool
	folders sync.RWMutex             // read: a file gets a name in a folder; write: folders go away
	making  sync.Mutex               // one makes folders at a time
	mu      sync.Mutex               // guards busy
	busy    map[string]chan struct{} // names that a call is at, closed when it ends
}

// NewFS opens the folder dir and makes it when it is absent. What an earlier process
// left half-written is removed. Close it at the end.
func NewFS(dir string, reserve Reserve) (*FS, error) {
	for _, folder := range []string{tempFolder, appendFolder} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, fault.Wrap(storageError(err), fault.Unavailable, "the folder for objects, %s, cannot be made", dir)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the folder for objects, %s, cannot be opened", dir)
	}
	reserve.Folder = cmp.Or(reserve.Folder, dir)
	f := &FS{dir: dir, root: root, reserve: reserve, busy: make(map[string]chan struct{})}
	f.buffers.New = func() any { return new([bufferSize]byte) }
	if err := f.sweep(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close releases the folder. Objects that are open stay open.
func (f *FS) Close() error {
	if f.lock != nil {
		f.lock.Close()
	}
	return f.root.Close()
}

// sweep removes temporary files, unless another living FS may be writing them.
func (f *FS) sweep() error {
	const name = tempFolder + "/lock"
	lock, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fault.Wrap(storageError(err), fault.Unavailable, "the folder for objects, %s, cannot be written to", f.dir)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return lock.Close()
	}
	f.lock = lock
	entries, err := fs.ReadDir(f.root.FS(), tempFolder)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	for _, entry := range entries {
		if full := path.Join(tempFolder, entry.Name()); full != name {
			if err := f.root.RemoveAll(full); err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
		}
	}
	return nil
}

// Put stores an object.
func (f *FS) Put(ctx context.Context, name string, r io.Reader) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	temp, file, err := f.temporary()
	if err != nil {
		return Info{}, err
	}
	defer file.Close()
	// After the rename there is nothing of this name, and this does nothing.
	defer f.root.Remove(temp)
	if _, err := f.fill(ctx, file, 0, r); err != nil {
		return Info{}, err
	}
	if err := file.Sync(); err != nil {
		return Info{}, fmt.Errorf("put %q: %w", name, storageError(err))
	}
	if err := f.publish(temp, name); err != nil {
		return Info{}, fmt.Errorf("put %q: %w", name, err)
	}
	info, err := file.Stat()
	if err != nil {
		return Info{}, fmt.Errorf("put %q: %w", name, err)
	}
	return infoOf(name, info), nil
}

// temporary makes a file that no other has, to be renamed or removed.
func (f *FS) temporary() (name string, file *os.File, err error) {
	name = temporaryName()
	file, err = f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", nil, fmt.Errorf("temporary file: %w", storageError(err))
	}
	return name, file, nil
}

// fill writes what r gives to file from offset on, and returns how much it wrote,
// also besides an error. While the network fills the next buffer, the disk already
// writes, so that the sync at the end is short and dirty memory stays small.
func (f *FS) fill(ctx context.Context, file *os.File, offset int64, r io.Reader) (written int64, err error) {
	buffer := f.buffers.Get().(*[bufferSize]byte)
	defer f.buffers.Put(buffer)
	started := int64(0)
	for {
		if written-started >= checkEvery || written == 0 {
			if err := f.reserve.CheckRoom(checkEvery); err != nil {
				return written, err
			}
			startWriting(file, offset+started, written-started)
			started = written
		}
		if err := context.Cause(ctx); err != nil {
			return written, err
		}
		n, readErr := r.Read(buffer[:])
		if n > 0 {
			w, err := file.WriteAt(buffer[:n], offset+written)
			written += int64(w)
			if err != nil {
				return written, fmt.Errorf("write: %w", storageError(err))
			}
		}
		if readErr == io.EOF {
			return written, nil
		}
		if readErr != nil {
			return written, readErr
		}
	}
}

// startWriting asks the kernel to begin writing a range, and does not wait. It is
// advice: its failure shows in the sync that follows.
func startWriting(file *os.File, offset, length int64) {
	if length <= 0 {
		return
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), offset, length, unix.SYNC_FILE_RANGE_WRITE)
	})
}

// publish renames the file temp, which is synced, to name, for good.
func (f *FS) publish(temp, name string) error {
	f.folders.RLock()
	defer f.folders.RUnlock()
	if err := f.makeFolder(path.Dir(name)); err != nil {
		return err
	}
	if err := f.root.Rename(temp, name); err != nil {
		return pathConflict(name, storageError(err))
	}
	return f.syncFolder(path.Dir(name))
}

// makeFolder makes a folder with those above it, each synced into its parent. One
// call at a time: a folder that is there is one that is synced.
func (f *FS) makeFolder(name string) error {
	f.making.Lock()
	defer f.making.Unlock()
	return f.makeFolders(name)
}

func (f *FS) makeFolders(name string) error {
	if info, err := f.root.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if err := f.makeFolders(path.Dir(name)); err != nil {
		return err
	}
	if err := f.root.Mkdir(name, 0o755); err != nil {
		return pathConflict(name, storageError(err))
	}
	return f.syncFolder(path.Dir(name))
}

func (f *FS) syncFolder(name string) error {
	folder, err := f.root.Open(name)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", storageError(err))
	}
	return nil
}

// pathConflict explains that a name is an object's and a folder's at once.
func pathConflict(name string, err error) error {
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, fs.ErrExist) {
		return fault.Wrap(err, fault.Conflict, "%q cannot be stored: an object and a folder would have the same name", name)
	}
	return err
}

// Open opens an object; it is a [Filer].
func (f *FS) Open(ctx context.Context, name string) (Object, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	// Asked before opening: opening a named pipe would wait for its writer.
	if _, err := f.Stat(ctx, name); err != nil {
		return nil, err
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, openError(name, err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open %q: %w", name, err)
	}
	return &fileObject{file: file, info: infoOf(name, info)}, nil
}

// Stat describes an object.
func (f *FS) Stat(_ context.Context, name string) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	info, err := f.root.Stat(name)
	if err != nil {
		return Info{}, openError(name, err)
	}
	if !info.Mode().IsRegular() {
		return Info{}, notFound(name)
	}
	return infoOf(name, info), nil
}

func openError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return notFound(name)
	}
	return fmt.Errorf("open %q: %w", name, err)
}

// infoOf describes a file. Each Put makes a new inode, so that two of one moment and
// size differ too.
func infoOf(name string, info fs.FileInfo) Info {
	etag := strconv.FormatInt(info.Size(), 36) + "-" + strconv.FormatInt(info.ModTime().UnixNano(), 36)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		etag += "-" + strconv.FormatUint(stat.Ino, 36)
	}
	return Info{Name: name, Size: info.Size(), Modified: info.ModTime().UTC(), ETag: etag}
}

// List walks the objects.
func (f *FS) List(ctx context.Context, prefix string, fn func(Info) error) error {
	if prefix == "" {
		return f.list(ctx, ".", fn)
	}
	if err := CheckPrefix(prefix); err != nil {
		return err
	}
	return f.list(ctx, strings.TrimSuffix(prefix, "/"), fn)
}

func (f *FS) list(ctx context.Context, folder string, fn func(Info) error) error {
	entries, err := fs.ReadDir(f.root.FS(), folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %q: %w", folder, err)
	}
	// A folder counts with its slash, so that names come in order.
	key := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(key(a), key(b)) })
	for _, entry := range entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		name := path.Join(folder, entry.Name())
		if CheckName(name) != nil {
			continue
		}
		if entry.IsDir() {
			if err := f.list(ctx, name, fn); err != nil {
				return err
			}
			continue
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone meanwhile, or none of ours
		}
		if err := fn(infoOf(name, info)); err != nil {
			return err
		}
	}
	return nil
}

// Delete removes an object, and folders that it leaves empty.
func (f *FS) Delete(_ context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if info, err := f.root.Lstat(name); err == nil && info.IsDir() {
		return nil
	}
	f.folders.Lock()
	defer f.folders.Unlock()
	if err := f.root.Remove(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		return fmt.Errorf("delete %q: %w", name, err)
	}
	return f.removeEmpty(path.Dir(name))
}

// removeEmpty removes a folder when it is empty, and those above it, and syncs the
// last one that stays. The caller holds folders.
func (f *FS) removeEmpty(folder string) error {
	for folder != "." && folder != appendFolder && f.root.Remove(folder) == nil {
		folder = path.Dir(folder)
	}
	return f.syncFolder(folder)
}

// DeleteAll removes a folder: for others all at once.
func (f *FS) DeleteAll(_ context.Context, prefix string) error {
	if err := CheckPrefix(prefix); err != nil {
		return err
	}
	temp, err := f.takeAway(strings.TrimSuffix(prefix, "/"))
	if temp == "" || err != nil {
		return err
	}
	if err := f.root.RemoveAll(temp); err != nil {
		return fmt.Errorf("delete %q: %w", prefix, err)
	}
	return nil
}

// takeAway renames a folder to a temporary name, which is empty when there is none.
func (f *FS) takeAway(folder string) (temp string, err error) {
	f.folders.Lock()
	defer f.folders.Unlock()
	info, err := f.root.Lstat(folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("delete %q: %w", folder, err)
	}
	temp = temporaryName()
	if err := f.root.Rename(folder, temp); err != nil {
		return "", fmt.Errorf("delete %q: %w", folder, err)
	}
	return temp, f.removeEmpty(path.Dir(folder))
}

// fileObject is an object on the disk.
type fileObject struct {
	file *os.File
	info Info
}

var _ Filer = (*fileObject)(nil)

func (o *fileObject) Read(p []byte) (int, error)                { return o.file.Read(p) }
func (o *fileObject) ReadAt(p []byte, off int64) (int, error)   { return o.file.ReadAt(p, off) }
func (o *fileObject) Seek(off int64, whence int) (int64, error) { return o.file.Seek(off, whence) }
func (o *fileObject) WriteTo(w io.Writer) (int64, error)        { return o.file.WriteTo(w) }
func (o *fileObject) Close() error                              { return o.file.Close() }
func (o *fileObject) Info() Info                                { return o.info }
func (o *fileObject) File() *os.File                            { return o.file }
