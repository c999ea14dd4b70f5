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
	mu     sync.Mutex
	byKey  map[uint64]uint64 // hash of a key → number of its newest object
	queue  []coldObject      // the oldest is at front
	front  int
	base   uint64 // number of queue[0]
	all    coldLoad
	owners map[owner]*chain // nobody has none
}

// coldObject is one of them.
type coldObject struct {
	id, hash uint64
	weight   int64
	since    uint64 // by the evictor's clock; 0: it is from a process before
	next     uint64 // number of the one with that hash that came before; what is before the front is none
	later    uint64 // number of the next one of the same owner; 0: there is none
	owner    owner
	gone     bool
}

// coldLoad is how much there is.
type coldLoad struct {
	count int
	used  int64
}

// chain are the objects of one owner. One without objects is not kept.
type chain struct {
	coldLoad
	first, last uint64 // numbers; the first may be gone
}

func newCold() *cold { return &cold{newColdQueue(), newColdQueue()} }

func newColdQueue() coldQueue {
	return coldQueue{byKey: make(map[uint64]uint64), base: 1, owners: make(map[owner]*chain)}
}

// keyHash is what a key is known by on the disk and here. Nobody can make two keys that
// have the same.
func keyHash(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])
}

// add appends an object.
func (c *coldQueue) add(o coldObject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number := c.base + uint64(len(c.queue))
	o.next, o.later, o.gone = c.byKey[o.hash], 0, false
	c.queue = append(c.queue, o)
	c.byKey[o.hash] = number
	c.link(number)
	c.count(&o, 1)
}

// link appends an object of the queue to those of its owner.
func (c *coldQueue) link(number uint64) {
	of := c.at(number).owner
	if of == nobody {
		return
	}
	mine := c.owners[of]
	switch {
	case mine == nil:
		mine = &chain{first: number}
		c.owners[of] = mine
	case mine.first == 0:
		mine.first = number
	default:
		c.at(mine.last).later = number
	}
	mine.last = number
}

// count adds an object to what there is, or takes it away.
func (c *coldQueue) count(o *coldObject, times int) {
	c.all.add(o, times)
	if o.owner == nobody {
		return
	}
	mine := c.owners[o.owner]
	if mine.add(o, times); mine.count == 0 {
		delete(c.owners, o.owner)
	}
}

func (l *coldLoad) add(o *coldObject, times int) {
	l.count += times
	l.used += int64(times) * o.weight
}

// take removes all objects of a key and returns them, the newest first.
func (c *coldQueue) take(hash uint64) (ids []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number := c.byKey[hash]; number >= c.base+uint64(c.front); {
		o := c.at(number)
		number = o.next
		if !o.gone {
			ids = append(ids, o.id)
			c.remove(o)
		}
	}
	delete(c.byKey, hash)
	c.tidy()
	return ids
}

// oldest removes the oldest object, of everybody or of one owner. ok is false where there
// is none.
func (c *coldQueue) oldest(of owner) (id uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number, ok := c.first(of)
	if !ok {
		return 0, false
	}
	o := c.at(number)
	switch {
	case c.byKey[o.hash] != number: // not the newest with its hash: it is passed over
	case o.next >= c.base+uint64(c.front): // those before it may be of other owners
		c.byKey[o.hash] = o.next
	default:
		delete(c.byKey, o.hash)
	}
	id = o.id
	c.remove(o)
	c.tidy()
	return id, true
}

// first is the number of the oldest object, of everybody or of one owner.
func (c *coldQueue) first(of owner) (number uint64, ok bool) {
	if of == everybody {
		c.tidy()
		return c.base + uint64(c.front), c.front < len(c.queue)
	}
	mine := c.owners[of]
	if mine == nil {
		return 0, false
	}
	for c.at(mine.first).gone { // there is one that is not
		mine.first = c.at(mine.first).later
	}
	return mine.first, true
}

func (c *coldQueue) remove(o *coldObject) {
	o.gone = true
	c.count(o, -1)
}

func (c *coldQueue) at(number uint64) *coldObject { return &c.queue[number-c.base] }

// tidy drops what is gone at the front, and all that is gone when that is more than half:
// one that stays for long does not keep what came and went behind it.
func (c *coldQueue) tidy() {
	for c.front < len(c.queue) && c.queue[c.front].gone {
		c.front++
	}
	if len(c.queue) > 2*c.all.count+mostGone {
		c.compact()
	}
}

// compact drops all that is gone.
func (c *coldQueue) compact() {
	c.base += uint64(len(c.queue)) // numbers grow
	clear(c.byKey)
	for _, mine := range c.owners {
		mine.first = 0
	}
	live := c.queue[:0]
	for _, o := range c.queue[c.front:] {
		if o.gone {
			continue
		}
		o.next, o.later = c.byKey[o.hash], 0
		c.byKey[o.hash] = c.base + uint64(len(live))
		live = append(live, o)
	}
	c.queue, c.front = live, 0
	for n := range live {
		c.link(c.base + uint64(n))
	}
}

// mostGone bounds what is gone and not dropped yet, beside as many as there are.
const mostGone = 4096

// load is how much there is of everybody, or of one owner.
func (c *coldQueue) load(of owner) (objects int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if of == everybody {
		return c.all.count, c.all.used
	}
	if mine := c.owners[of]; mine != nil {
		return mine.count, mine.used
	}
	return 0, 0
}

// since is when the oldest object came, of everybody or of one owner. ok is false where
// there is none.
func (c *coldQueue) since(of owner) (clock uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number, ok := c.first(of)
	if !ok {
		return 0, false
	}
	return c.at(number).since, true
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
	objects, _ := c.load(everybody)
	return objects > mostCold
}

// load is how much there is of everybody, or of one owner.
func (c *cold) load(of owner) (objects int, bytes int64) {
	n, once := c.once.load(of)
	m, again := c.again.load(of)
	return n + m, once + again
}

// loadOf adds to what owners have.
func (c *cold) loadOf(to map[owner]int64) {
	for _, q := range []*coldQueue{&c.once, &c.again} {
		q.mu.Lock()
		for of, mine := range q.owners {
			to[of] += mine.used
		}
		q.mu.Unlock()
	}
}
