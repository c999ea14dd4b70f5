package cache

import (
	"slices"
	"time"
	"unicode/utf8"
)

// lasting is how long an object has to be fresh to be kept for a later process. What
// changes faster, as a playlist of a live stream, is not worth a write.
const lasting = time.Minute

// keeping returns what has the catalog keep an object as it was asked for and is now. It
// is called with the object's shard held.
func (c *Cache) keeping(o *object, requested time.Time) func() {
	head := o.response.Load()
	if head.lifetime-head.initialAge < lasting || head.noCache {
		return func() {}
	}
	record, ok := c.record(o, head, requested)
	if !ok {
		return func() {}
	}
	weight := o.size() + int64(len(record))
	return func() {
		if o.id == 0 {
			if o.id = o.body.id; o.id == 0 {
				o.id = c.files.newID()
			}
		}
		c.catalog.put(o.id, about{keyHash(o.key), weight, o.owner}, record)
	}
}

// keepAgain has the catalog keep an object that the origin has said is still right.
func (c *Cache) keepAgain(o *object, requested time.Time) {
	keep := c.keeping(o, requested)
	s := c.index.shard(o.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has(o) {
		keep()
	}
}

// record is what the catalog keeps of an object. ok is false for what it cannot keep.
func (c *Cache) record(o *object, head *response, requested time.Time) (data []byte, ok bool) {
	if !utf8.ValidString(o.key) || !utf8.ValidString(o.variant) {
		return nil, false
	}
	for name, lines := range head.header {
		for _, line := range lines {
			if !utf8.ValidString(name) || !utf8.ValidString(line) {
				return nil, false
			}
		}
	}
	b := o.body
	b.mu.Lock()
	s := &stored{
		Key: o.key, Variant: o.variant, Slice: o.slice, Total: o.total, Status: head.status, Header: head.header, Requested: requested, Received: head.received, AsOf: head.asOf,
		Size: b.size, Sum: b.sum, Inline: b.id == 0,
	}
	memory := b.memory
	b.mu.Unlock()
	data, err := encodeRecord(s, memory)
	return data, err == nil
}

// load brings what is on the disk for a key into the index. What is damaged there is
// forgotten, and fetched again.
func (c *Cache) load(site *Site, key string) {
	hash := keyHash(key)
	lock := &c.loading[hash%uint64(len(c.loading))]
	lock.Lock()
	defer lock.Unlock()
	ids := c.cold.take(hash)
	for len(ids) > mostLoaded {
		c.forget(ids[len(ids)-1])
		ids = ids[:len(ids)-1]
	}
	for n := range ids {
		id := ids[len(ids)-1-n] // the newest last: it comes first in the entry
		o, err := c.read(site, id)
		if err != nil || o.key != key {
			c.log.Warn("an object of the cache is damaged; it is fetched again", "key", key, "cause", err)
			c.forget(id)
			continue
		}
		s := c.index.shard(key)
		s.mu.Lock()
		e := s.at(key)
		var leave []*object
		if slices.ContainsFunc(e.objects[o.slice], func(other *object) bool { return other.variant == o.variant && (other.id == 0 || other.id > id) }) {
			c.catalog.remove(id) // there is a newer one
		} else {
			o.hits.Store(1) // it was here before: if it is what is asked for, that is again
			leave = c.put(e, o)
		}
		s.mu.Unlock()
		o.body.release() // the index holds it
		c.drop(leave)
	}
}

// mostLoaded bounds what is read of a key at once: variants, and slices of a large film.
const mostLoaded = 8192

// forgetObject removes an object that is of no use any more.
func (c *Cache) forgetObject(o *object) {
	s := c.index.shard(o.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.has(o) {
		s.take(o)
		c.discard(o)
	}
}

// sound reports whether an object is what was written, before it is served for the first
// time in this process. One that is not is forgotten.
func (c *Cache) sound(o *object) bool {
	err := o.body.check()
	if err == nil {
		return true
	}
	c.log.Warn("an object of the cache is damaged; it is fetched again", "key", o.key, "cause", err)
	c.forgetObject(o)
	return false
}

// read reads an object of the disk. A file is checked when it is served: see sound.
func (c *Cache) read(site *Site, id uint64) (*object, error) {
	data, err := c.catalog.get(id)
	if err != nil {
		return nil, err
	}
	s, memory, err := decodeRecord(data)
	if err != nil {
		return nil, err
	}
	o := &object{key: s.Key, variant: s.Variant, slice: s.Slice, total: s.Total, id: id, owner: c.ownerOf(site, s.Header)}
	if s.Inline {
		o.body = wholeBody(&c.files, 0, memory, s.Size, s.Sum)
	} else {
		o.body = wholeBody(&c.files, id, nil, s.Size, s.Sum)
	}
	head := newResponse(c.name, s.Status, s.Header, s.Requested, s.Received, site.Policy)
	head.asOf = s.AsOf
	o.response.Store(head)
	return o, nil
}

// forget removes an object that is on the disk alone.
func (c *Cache) forget(id uint64) {
	c.catalog.remove(id)
	c.files.remove(id)
}
