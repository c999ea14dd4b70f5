package blob

import (
	"cmp"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"liuyun/internal/base/fault"
)

// Cache hands out the objects of a store as local files. Objects that lie on this
// machine it opens where they are; others it fetches once into a folder, from which
// those that were not used longest go when it grows over its limit. It may be used by
// several goroutines, and its folder by one Cache only.
type Cache struct {
	store   Store
	dir     string
	limit   int64
	reserve Reserve

	mu      sync.Mutex
	entries map[string]*list.Element // by file name
	recent  *list.List               // of *cacheEntry, the one just used in front
	size    int64
	loading map[string]chan struct{} // closed when the download of a name has ended
}

type cacheEntry struct {
	file string
	size int64
}

// NewCache keeps up to limit bytes in the folder dir, which is the cache's own. What
// an earlier process fetched is used again.
func NewCache(s Store, dir string, limit int64, reserve Reserve) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.Wrap(storageError(err), fault.Unavailable, "the cache folder %s cannot be made", dir)
	}
	reserve.Folder = cmp.Or(reserve.Folder, dir)
	c := &Cache{store: s, dir: dir, limit: limit, reserve: reserve,
		entries: make(map[string]*list.Element), recent: list.New(), loading: make(map[string]chan struct{})}
	return c, c.adopt()
}

// adopt takes over the files of an earlier process, and removes those that it had not
// got whole.
func (c *Cache) adopt() error {
	found, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	var infos []fs.FileInfo
	for _, entry := range found {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && !strings.HasSuffix(entry.Name(), partSuffix) {
			infos = append(infos, info)
			continue
		}
		if err := os.RemoveAll(filepath.Join(c.dir, entry.Name())); err != nil {
			return fmt.Errorf("cache: %w", err)
		}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range infos {
		c.add(&cacheEntry{info.Name(), info.Size()})
	}
	c.makeRoom(0)
	return nil
}

const partSuffix = ".part"

// File opens an object as a file of this machine. The caller closes it and does not
// change it. The file stays readable when the cache drops it meanwhile.
func (c *Cache) File(ctx context.Context, name string) (*os.File, error) {
	if f, ok := c.store.(*FS); ok {
		object, err := f.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		return object.(*fileObject).file, nil
	}
	for {
		info, err := c.store.Stat(ctx, name)
		if err != nil {
			return nil, err
		}
		file := cacheName(info)
		if opened := c.open(file, info.Size); opened != nil {
			return opened, nil
		}
		done, mine := c.begin(file)
		if !mine {
			select {
			case <-done:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		opened, err := c.fetch(ctx, file, info)
		c.end(file)
		return opened, err
	}
}

// cacheName names the local file after the object's name and bytes: what was
// replaced is not found again.
func cacheName(info Info) string {
	sum := sha256.Sum256([]byte(info.Name + "\x00" + info.ETag))
	return hex.EncodeToString(sum[:20])
}

// open returns the cached file, or nil. A file of another size is dropped: it was cut
// by a crash.
func (c *Cache) open(file string, size int64) *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	element := c.entries[file]
	if element == nil {
		return nil
	}
	full := filepath.Join(c.dir, file)
	opened, err := os.Open(full)
	if err == nil {
		if info, err := opened.Stat(); err == nil && info.Size() == size {
			c.recent.MoveToFront(element)
			// The time says to the next process what was used last.
			now := time.Now()
			_ = os.Chtimes(full, now, now)
			return opened
		}
		opened.Close()
	}
	c.drop(element)
	return nil
}

// begin reports whether the caller is the one to fetch the file, else when to look
// again.
func (c *Cache) begin(file string) (done chan struct{}, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if done, busy := c.loading[file]; busy {
		return done, false
	}
	c.loading[file] = make(chan struct{})
	return nil, true
}

func (c *Cache) end(file string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.loading[file])
	delete(c.loading, file)
}

// fetch brings the object under a temporary name and renames it when it is whole.
func (c *Cache) fetch(ctx context.Context, file string, want Info) (_ *os.File, err error) {
	c.mu.Lock()
	c.makeRoom(want.Size)
	c.mu.Unlock()
	if err := c.reserve.CheckRoom(want.Size); err != nil {
		return nil, err
	}
	object, err := c.store.Open(ctx, want.Name)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	if got := object.Info(); got.ETag != want.ETag || got.Size != want.Size {
		return nil, fault.New(fault.Conflict, "%q was replaced while it was fetched: try again", want.Name)
	}
	full := filepath.Join(c.dir, file)
	out, err := os.OpenFile(full+partSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", storageError(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.Close(), os.Remove(full+partSuffix))
		}
	}()
	n, err := io.Copy(out, object)
	if err != nil {
		return nil, fmt.Errorf("fetch %q: %w", want.Name, storageError(err))
	}
	if n != want.Size {
		return nil, fmt.Errorf("fetch %q: %d of %d bytes: %w", want.Name, n, want.Size, io.ErrUnexpectedEOF)
	}
	if err := out.Sync(); err != nil {
		return nil, fmt.Errorf("cache: %w", storageError(err))
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if err := os.Rename(full+partSuffix, full); err != nil {
		return nil, fmt.Errorf("cache: %w", storageError(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(&cacheEntry{file, want.Size})
	c.makeRoom(0)
	return out, nil
}

// add puts an entry in front. The caller holds mu, as for the two below.
func (c *Cache) add(e *cacheEntry) {
	c.entries[e.file] = c.recent.PushFront(e)
	c.size += e.size
}

func (c *Cache) drop(element *list.Element) {
	e := c.recent.Remove(element).(*cacheEntry)
	delete(c.entries, e.file)
	c.size -= e.size
	_ = os.Remove(filepath.Join(c.dir, e.file)) // a leftover goes at the next start
}

// makeRoom drops what was not used longest until n more bytes fit. One file alone may
// be larger than the limit: it is needed.
func (c *Cache) makeRoom(n int64) {
	keep := 0
	if n == 0 {
		keep = 1
	}
	for c.size+n > c.limit && c.recent.Len() > keep {
		c.drop(c.recent.Back())
	}
}
