package cache

import (
	"hash/maphash"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// object is a stored response, or a slice of one.
type object struct {
	key, variant string
	slice        int64                    // which one, or whole
	total        int64                    // bytes of the whole, of a slice
	response     atomic.Pointer[response] // replaced when the origin says that it still is the right one
	body         *body
	hits         atomic.Int32 // see evictor
	id           uint64       // in the catalog; 0: it is not there. The shard guards it.
	owner        owner

	seat seat // guarded by the evictor that it says
}

// index finds objects, and the fetches that are under way. It is spread over shards, so
// that few requests wait for each other.
type index struct {
	seed   maphash.Seed
	shards [64]shard
	passed [4096]atomic.Uint64 // see passes
	began  time.Time
}

type shard struct {
	mu      sync.Mutex
	entries map[string]*entry
}

// whole is the slice of an object that is no slice.
const whole int64 = -1

// entry is what there is of one address. The shard guards it.
type entry struct {
	objects map[int64][]*object // by slice: one a variant, the newest first
	flights []*flight
}

// mostVariants bounds the variants of one address: requests choose what they say in the
// fields of Vary.
const mostVariants = 64

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed(), began: time.Now()}
	for i := range x.shards {
		x.shards[i].entries = make(map[string]*entry)
	}
	return x
}

func (x *index) shard(key string) *shard {
	return &x.shards[maphash.String(x.seed, key)%uint64(len(x.shards))]
}

// find returns the object that a request may be answered with. The caller holds the
// shard.
func (e *entry) find(header http.Header, slice int64) *object {
	var mine asker
	for _, o := range e.objects[slice] {
		if o.variant == mine.variant(o.response.Load().vary, header) {
			return o
		}
	}
	return nil
}

// asker knows what a request says in the fields that it was asked for last: many
// responses are chosen by the same ones.
type asker struct {
	fields []string
	text   string
	known  bool
}

func (a *asker) variant(fields []string, header http.Header) string {
	if !a.known || !slices.Equal(a.fields, fields) {
		a.fields, a.text, a.known = fields, variant(fields, header), true
	}
	return a.text
}

// flight returns the fetch under way that a request may wait for, if there is one that
// may bring what it needs, and is not from before a purge.
func (e *entry) flight(header http.Header, slice int64, m *marks) *flight {
	var mine asker
	for _, f := range e.flights {
		if f.slice == slice && !f.void && f.variant == mine.variant(f.fields, header) && !m.outdates(f) {
			return f
		}
	}
	return nil
}

// newer reports whether there is an answer to the same question that was asked for later.
func (e *entry) newer(o *object) bool {
	asOf := o.response.Load().asOf
	return slices.ContainsFunc(e.objects[o.slice], func(other *object) bool {
		return other.variant == o.variant && other.response.Load().asOf > asOf
	})
}

// at returns the entry of a key, and makes it.
func (s *shard) at(key string) *entry {
	e := s.entries[key]
	if e == nil {
		e = &entry{objects: make(map[int64][]*object)}
		s.entries[key] = e
	}
	return e
}

// tidy forgets an entry that has nothing.
func (s *shard) tidy(key string) {
	if e := s.entries[key]; e != nil && len(e.objects) == 0 && len(e.flights) == 0 {
		delete(s.entries, key)
	}
}

// has reports whether an object is there.
func (s *shard) has(o *object) bool {
	e := s.entries[o.key]
	return e != nil && slices.Contains(e.objects[o.slice], o)
}

// take removes an object and reports whether it was there.
func (s *shard) take(o *object) bool {
	if !s.has(o) {
		return false
	}
	e := s.entries[o.key]
	e.objects[o.slice] = slices.DeleteFunc(e.objects[o.slice], func(other *object) bool { return other == o })
	if len(e.objects[o.slice]) == 0 {
		delete(e.objects, o.slice)
	}
	s.tidy(o.key)
	return true
}

// passFor is how long requests do not wait for each other after an answer to one of
// them was of no use for the others.
const passFor = 30 * time.Second

// passes reports whether answers for that key were of no use for others lately. What is
// known is bounded: a key may be forgotten for another one.
func (x *index) passes(key string) bool {
	at, name := x.note(key)
	known := at.Load()
	return known != 0 && known&^secondsMask == name && x.seconds() < known&secondsMask
}

// pass notes whether an answer for that key was of no use for others.
func (x *index) pass(key string, useless bool) {
	at, name := x.note(key)
	known := at.Load()
	switch {
	case useless:
		at.Store(name | x.seconds() + uint64(passFor/time.Second))
	case known != 0 && known&^secondsMask == name:
		at.CompareAndSwap(known, 0)
	}
}

// secondsMask is where a note has its time; the rest is the key's name.
const secondsMask = 1<<32 - 1

// note is where something is noted of a key, and the key's name there.
func (x *index) note(key string) (at *atomic.Uint64, name uint64) {
	hash := maphash.String(x.seed, key)
	return &x.passed[hash%uint64(len(x.passed))], hash &^ secondsMask
}

// seconds is the time since the index was made.
func (x *index) seconds() uint64 { return uint64(time.Since(x.began) / time.Second) }
