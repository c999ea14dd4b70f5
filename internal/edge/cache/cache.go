// Package cache is a shared HTTP cache in front of origins (RFC 9111). It streams while
// it fetches: all who ask for the same share one request to the origin, from the first
// byte on. What is small is kept in memory, what is large in files that the kernel
// sends.
package cache

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/base/fault"
)

// Options are what a cache stands on.
type Options struct {
	Name   string // of this cache, a token: in Cache-Status, Via and CDN-Loop
	Folder string // it is the cache's alone
	Memory int64  // bytes of memory for objects
	Disk   int64  // bytes of files
	// Share is the part of Memory, and of Disk, in percent, that one owner has at most
	// while others want it; from 1 to 100.
	Share int
	// Room reports, with an error, that there is no room for so many bytes more on the
	// disk of Folder. It must not be nil.
	Room func(bytes int64) error
	// Patience is how long an origin may send nothing in the middle of a response.
	Patience time.Duration
	Log      *slog.Logger
}

// Cache is a cache. Who has made one closes it.
type Cache struct {
	identity
	files    files
	memory   *evictor
	disk     *evictor
	largest  int64 // body that is taken
	patience time.Duration
	log      *slog.Logger
	index    *index
	cold     *cold
	catalog  *catalog
	marks    *marks
	owners   *owners
	loading  [64]sync.Mutex // by hash of a key: see load
	buffers  sync.Pool

	life   context.Context // of fetches, and of what goes on beside them
	end    context.CancelFunc
	work   sync.WaitGroup
	flying atomic.Int64 // fetches that are under way
	counts counts
}

// largestShare is what of the room for files one of them may take.
const largestShare = 8

// New returns a cache with what a former one has left in the folder.
func New(o Options) (*Cache, error) {
	c := &Cache{
		identity: identity{o.Name, rand.Text()}, memory: newEvictor(o.Memory, o.Share), disk: newEvictor(o.Disk, o.Share),
		patience: o.Patience, log: o.Log, index: newIndex(), cold: newCold(), marks: newMarks(), owners: newOwners(),
		buffers: sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }},
	}
	c.largest = min(o.Disk/largestShare, c.disk.share)
	if err := c.files.open(filepath.Join(o.Folder, "files"), o.Room); err != nil {
		return nil, err
	}
	var err error
	complete := false
	c.catalog, complete, err = openCatalog(filepath.Join(o.Folder, "catalog.db"), o.Log, c.owners, func(id uint64, a about) {
		c.files.after(id)
		c.cold.again.add(coldObject{id: id, hash: a.hash, weight: a.weight, owner: a.owner})
	}, c.marks.restore)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the cache's folder %s cannot be used", o.Folder)
	}
	if !complete {
		c.cold, c.marks = newCold(), newMarks()
	}
	c.disk.cold, c.disk.forget = c.cold, c.forget
	c.disk.watchAll()
	c.life, c.end = context.WithCancel(context.Background())
	c.work.Go(func() { c.catalog.run(c.life) })
	c.work.Go(func() { c.files.sweep(c.life, c.catalog.has) })
	return c, nil
}

// Close ends all fetches, and writes what a later cache has to know.
func (c *Cache) Close() error {
	c.end()
	c.work.Wait()
	return c.catalog.close()
}

// put stores an object, and returns what has to leave for it. The caller holds the
// shard of e.
func (c *Cache) put(e *entry, o *object) (leave []*object) {
	kept := []*object{o}
	for _, old := range e.objects[o.slice] {
		if old.variant == o.variant || len(kept) == mostVariants {
			c.discard(old)
			continue
		}
		kept = append(kept, old)
	}
	e.objects[o.slice] = kept
	o.body.hold()
	size := o.size()
	if o.body.inMemory() {
		return c.memory.add(o, size)
	}
	return c.disk.add(o, size)
}

// size is about what an object takes.
func (o *object) size() int64 {
	size, _ := o.body.length()
	size += perObject + int64(len(o.key)+len(o.variant))
	for name, lines := range o.response.Load().header {
		for _, line := range lines {
			size += int64(len(name) + len(line))
		}
	}
	return size
}

// discard forgets an object that is in no entry any more. The caller holds its shard.
func (c *Cache) discard(o *object) {
	o.seat.in.remove(o)
	if o.id != 0 {
		c.catalog.remove(o.id)
	}
	o.body.release()
}

// drop removes objects for which there is no room any more. What was in memory may stay
// on the disk.
func (c *Cache) drop(leave []*object) {
	for len(leave) > 0 {
		o := leave[0]
		leave = leave[1:]
		s := c.index.shard(o.key)
		s.mu.Lock()
		if s.take(o) {
			switch {
			case o.id == 0:
			case o.body.inMemory():
				leave = append(leave, c.disk.chill(o)...)
			default:
				c.catalog.remove(o.id)
			}
			o.body.release()
		}
		s.mu.Unlock()
	}
}

// invalidate forgets all that is stored for a key, for good, and has what is under way
// not stored: it may be from before what has changed.
func (c *Cache) invalidate(key string) {
	hash := keyHash(key)
	lock := &c.loading[hash%uint64(len(c.loading))]
	lock.Lock()
	s := c.index.shard(key)
	s.mu.Lock() // with both, nothing moves from one to the other
	known := false
	for _, id := range c.cold.take(hash) {
		c.forget(id)
		known = true
	}
	if e := s.entries[key]; e != nil {
		for _, f := range e.flights {
			f.void = true
		}
		for _, objects := range e.objects {
			for _, o := range objects {
				known = known || o.id != 0
				c.discard(o)
			}
		}
		clear(e.objects)
		s.tidy(key)
	}
	s.mu.Unlock()
	lock.Unlock()
	if known {
		c.catalog.flush() // a kill must not bring it back
	}
}
