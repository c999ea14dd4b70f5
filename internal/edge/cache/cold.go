package cache

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
)

// cold are the objects that lie on the disk alone: nobody has asked for them since the
// process started, or for long. Of each only a few bytes are in memory. They stand in two
// queues beside those of the disk's evictor, which says when which has to leave.
type cold struct {
	once  coldQueue // nobody asked for them again while they were in memory; beside small
	again coldQueue // the others, and all of a process before; beside main
}

// coldQueue are cold objects in the order in which they came.
type coldQueue struct {
	mu    sync.Mutex
	byKey map[uint64]uint64 // hash of a key → number of its newest object
	queue []coldObject      // the oldest is at front
	front int
	base  uint64 // number of queue[0]
	count int
	used  int64
}

// coldObject is one of them.
type coldObject struct {
	id, hash uint64
	weight   int64
	since    uint64 // by the evictor's clock; 0: it is from a process before
	next     uint64 // number of the one with that hash that came before; what is before the front is none
	gone     bool
}

func newCold() *cold { return &cold{newColdQueue(), newColdQueue()} }

func newColdQueue() coldQueue { return coldQueue{byKey: make(map[uint64]uint64), base: 1} }

// keyHash is what a key is known by on the disk and here. Nobody can make two keys that
// have the same.
func keyHash(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])
}

// add appends an object.
func (c *coldQueue) add(id, hash uint64, weight int64, since uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number := c.base + uint64(len(c.queue))
	c.queue = append(c.queue, coldObject{id: id, hash: hash, weight: weight, since: since, next: c.byKey[hash]})
	c.byKey[hash] = number
	c.count++
	c.used += weight
}

// take removes all objects of a key and returns them, the newest first.
func (c *coldQueue) take(hash uint64) (ids []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number := c.byKey[hash]; number >= c.base+uint64(c.front); {
		o := c.at(number)
		ids = append(ids, o.id)
		number = o.next
		c.remove(o)
	}
	delete(c.byKey, hash)
	c.tidy()
	return ids
}

// oldest removes the oldest object. ok is false where there is none.
func (c *coldQueue) oldest() (id uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy()
	if c.front == len(c.queue) {
		return 0, false
	}
	o := &c.queue[c.front]
	if c.byKey[o.hash] == c.base+uint64(c.front) {
		delete(c.byKey, o.hash)
	} // else it is the last of those with its hash, and is not reached any more
	id = o.id
	c.remove(o)
	c.tidy()
	return id, true
}

func (c *coldQueue) remove(o *coldObject) {
	o.gone = true
	c.count--
	c.used -= o.weight
}

func (c *coldQueue) at(number uint64) *coldObject { return &c.queue[number-c.base] }

// tidy drops what is gone at the front, and all that is gone when that is more than half:
// one that stays for long does not keep what came and went behind it.
func (c *coldQueue) tidy() {
	for c.front < len(c.queue) && c.queue[c.front].gone {
		c.front++
	}
	if len(c.queue) <= 2*c.count+mostGone {
		return
	}
	c.base += uint64(len(c.queue)) // numbers grow
	clear(c.byKey)
	live := c.queue[:0]
	for _, o := range c.queue[c.front:] {
		if o.gone {
			continue
		}
		o.next = c.byKey[o.hash]
		c.byKey[o.hash] = c.base + uint64(len(live))
		live = append(live, o)
	}
	c.queue, c.front = live, 0
}

// mostGone bounds what is gone and not dropped yet, beside as many as there are.
const mostGone = 4096

// load is how much there is.
func (c *coldQueue) load() (objects int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, c.used
}

// since is when the oldest object came. ok is false where there is none.
func (c *coldQueue) since() (clock uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy()
	if c.front == len(c.queue) {
		return 0, false
	}
	return c.queue[c.front].since, true
}

// take removes all objects of a key and returns them, the newest first.
func (c *cold) take(hash uint64) (ids []uint64) {
	ids = append(c.again.take(hash), c.once.take(hash)...)
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Compare(b, a) })
	return ids
}

// mostCold bounds the objects that are on the disk alone: each takes a hundred bytes of
// memory.
const mostCold = 4 << 20

// many reports whether there are more than that.
func (c *cold) many() bool {
	objects, _ := c.load()
	return objects > mostCold
}

// load is how much there is.
func (c *cold) load() (objects int, bytes int64) {
	n, once := c.once.load()
	m, again := c.again.load()
	return n + m, once + again
}
