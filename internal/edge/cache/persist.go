package cache

import (
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
	size, _ := o.body.length()
	return func() {
		if o.id == 0 {
			if o.id = o.body.id; o.id == 0 {
				o.id = c.files.newID()
			}
		}
		c.catalog.put(o.id, keyHash(o.key), size+perObject, record)
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
		Key: o.key, Variant: o.variant, Status: head.status, Header: head.header, Requested: requested, Received: head.received,
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
		leave := c.put(s.at(key), o)
		s.mu.Unlock()
		o.body.release() // the index holds it
		c.drop(leave)
	}
}

// read reads an object of the disk, and checks all of it.
func (c *Cache) read(site *Site, id uint64) (*object, error) {
	data, err := c.catalog.get(id)
	if err != nil {
		return nil, err
	}
	s, memory, err := decodeRecord(data)
	if err != nil {
		return nil, err
	}
	o := &object{key: s.Key, variant: s.Variant, id: id}
	if s.Inline {
		o.body = wholeBody(&c.files, 0, memory, s.Size, s.Sum)
	} else {
		if err := c.files.check(id, s.Size, s.Sum); err != nil {
			return nil, err
		}
		o.body = wholeBody(&c.files, id, nil, s.Size, s.Sum)
	}
	o.response.Store(newResponse(c.name, s.Status, s.Header, s.Requested, s.Received, site.Policy))
	return o, nil
}

// forget removes an object that is on the disk alone.
func (c *Cache) forget(id uint64) {
	c.catalog.remove(id)
	c.files.remove(id)
}
