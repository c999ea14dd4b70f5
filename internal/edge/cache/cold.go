package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// cold are the objects that lie on the disk alone: nobody has asked for them since the
// process started, or for long. Of each only a few bytes are in memory. They leave in the
// order in which they came, before all others.
type cold struct {
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
	next     uint64 // number of the one with that hash that came before; what is before the front is none
	gone     bool
}

func newCold() *cold { return &cold{byKey: make(map[uint64]uint64), base: 1} }

// keyHash is what a key is known by on the disk and here. Nobody can make two keys that
// have the same.
func keyHash(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])
}

// add appends an object.
func (c *cold) add(id, hash uint64, weight int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number := c.base + uint64(len(c.queue))
	c.queue = append(c.queue, coldObject{id: id, hash: hash, weight: weight, next: c.byKey[hash]})
	c.byKey[hash] = number
	c.count++
	c.used += weight
}

// take removes all objects of a key and returns them, the newest first.
func (c *cold) take(hash uint64) (ids []uint64) {
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
func (c *cold) oldest() (id uint64, ok bool) {
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

func (c *cold) remove(o *coldObject) {
	o.gone = true
	c.count--
	c.used -= o.weight
}

func (c *cold) at(number uint64) *coldObject { return &c.queue[number-c.base] }

// tidy drops what is gone at the front.
func (c *cold) tidy() {
	for c.front < len(c.queue) && c.queue[c.front].gone {
		c.front++
	}
	if c.front > 4096 && c.front > len(c.queue)/2 {
		c.queue = append(c.queue[:0], c.queue[c.front:]...)
		c.base += uint64(c.front)
		c.front = 0
	}
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
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, c.used
}
