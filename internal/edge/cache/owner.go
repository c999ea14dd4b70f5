package cache

import (
	"net/http"
	"sync"
)

// owner is who has objects, as a number: one is kept with each object, also with those that
// are on the disk alone.
type owner uint32

const (
	nobody    owner = 0         // whose objects nobody has to answer for
	everybody owner = 1<<32 - 1 // all of them
)

// mostOwners bounds those that are told apart. What there is of more is nobody's.
const mostOwners = 1 << 16

// owners are the numbers of owners and their names. A number that objects on the disk have
// is of the same owner in a later process: see catalog.
type owners struct {
	mu      sync.Mutex
	numbers map[string]owner
	names   map[owner]string
	last    owner
}

func newOwners() *owners {
	return &owners{numbers: make(map[string]owner), names: make(map[owner]string)}
}

// number is that of a name; "" is nobody.
func (o *owners) number(name string) owner {
	if name == "" {
		return nobody
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n, known := o.numbers[name]
	if !known && len(o.numbers) < mostOwners && o.last+1 < everybody {
		n = o.last + 1
		o.put(name, n)
	}
	return n
}

// restore takes in what a process before has called a number.
func (o *owners) restore(n owner, name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, known := o.numbers[name]
	if _, taken := o.names[n]; !known && !taken && n != nobody && n != everybody && name != "" {
		o.put(name, n)
	}
}

func (o *owners) put(name string, n owner) {
	o.numbers[name], o.names[n] = n, name
	o.last = max(o.last, n)
}

// name is that of a number; "" where it has none.
func (o *owners) name(n owner) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.names[n]
}

// ownerOf is whose an answer is with that header.
func (c *Cache) ownerOf(s *Site, header http.Header) owner {
	if s.Owner == "" && s.CountFor != "" {
		return c.owners.number(header.Get(s.CountFor))
	}
	return c.owners.number(s.Owner)
}

// Owned is how many bytes owners have in a cache, by their names.
func (c *Cache) Owned() map[string]int64 {
	all := make(map[owner]int64)
	c.memory.loadOf(all)
	c.disk.loadOf(all)
	named := make(map[string]int64, len(all))
	for of, bytes := range all {
		if name := c.owners.name(of); name != "" && bytes > 0 {
			named[name] += bytes
		}
	}
	return named
}
