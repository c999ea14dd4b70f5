package cache

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// owned is what owners have in one evictor.
func (e *evictor) owned() map[owner]int64 {
	all := make(map[owner]int64)
	e.loadOf(all)
	for of, n := range all {
		if n == 0 {
			delete(all, of)
		}
	}
	return all
}

// crowd is an evictor of the disk with objects of several owners, and what is to be true
// of them.
type crowd struct {
	t    *rapid.T
	e    *evictor
	warm map[*object]bool
	cold map[uint64]*object
	last uint64
}

// counted is what owners have, counted one by one.
func (c *crowd) counted() map[owner]int64 {
	all := make(map[owner]int64)
	for o := range c.warm {
		all[o.owner] += o.seat.weight
	}
	for _, o := range c.cold {
		all[o.owner] += o.seat.weight
	}
	delete(all, nobody)
	return all
}

// change takes so much in for an owner, and looks at whom it cost.
func (c *crowd) change(of owner, bytes int64, fn func() []*object) {
	before := c.counted()
	before[of] += bytes
	for _, o := range fn() {
		delete(c.warm, o)
	}
	after := c.counted()
	if diff := cmp.Diff(after, c.e.owned()); diff != "" {
		c.t.Fatalf("what owners have is not what is counted of them:\n%s", diff)
	}
	if _, bytes := c.e.load(); bytes > c.e.limit {
		c.t.Fatalf("%d bytes of %d are taken", bytes, c.e.limit)
	}
	for of, had := range before {
		if of == nobody || had > c.e.share || after[of] >= had {
			continue
		}
		for other, has := range after {
			if has > c.e.share {
				c.t.Fatalf("owner %d had %d bytes of its share of %d and has %d, while owner %d has %d", of, had, c.e.share, after[of], other, has)
			}
		}
	}
}

func (c *crowd) object(t *rapid.T) *object {
	c.last++
	name := rapid.IntRange(0, 60).Draw(t, "name")
	o := &object{key: strconv.Itoa(name), id: c.last, owner: owner(name % 5)} // one of them is nobody
	o.hits.Store(int32(rapid.IntRange(0, mostHits).Draw(t, "hits")))
	return o
}

// Nobody who has no more than its share loses anything to who has, nor is it miscounted
// what there is.
func TestShares(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const room = 10_000
		c := &crowd{t: t, e: newEvictor(room, rapid.IntRange(10, 100).Draw(t, "share")), warm: make(map[*object]bool), cold: make(map[uint64]*object)}
		c.e.cold = newCold()
		c.e.forget = func(id uint64) { delete(c.cold, id) }
		size := func() int64 { return rapid.Int64Range(20, c.e.share).Draw(t, "size") }
		for range rapid.IntRange(0, 20).Draw(t, "of a process before") {
			o := c.object(t)
			o.seat.weight = size() / 20
			c.cold[o.id] = o
			c.e.cold.again.add(coldObject{id: o.id, hash: keyHash(o.key), weight: o.seat.weight, owner: o.owner})
		}
		c.e.watchAll()
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				o := c.object(t)
				weight := size()
				c.change(o.owner, weight, func() []*object {
					leave := c.e.add(o, weight)
					c.warm[o] = true
					return leave
				})
			},
			"chill": func(t *rapid.T) {
				o := c.object(t)
				o.seat.weight, o.seat.main = size(), rapid.Bool().Draw(t, "main")
				c.change(o.owner, o.seat.weight, func() []*object {
					leave := c.e.chill(o)
					c.cold[o.id] = o
					return leave
				})
			},
			"remove": func(t *rapid.T) {
				for o := range c.warm {
					c.e.remove(o)
					delete(c.warm, o)
					return
				}
			},
			"take": func(t *rapid.T) {
				key := strconv.Itoa(rapid.IntRange(0, 60).Draw(t, "key"))
				for _, id := range c.e.cold.take(keyHash(key)) {
					if o := c.cold[id]; o == nil || o.key != key {
						t.Fatalf("%d was taken for %s", id, key)
					}
					delete(c.cold, id)
				}
				for id, o := range c.cold {
					if o.key == key {
						t.Fatalf("%d of %s was not taken", id, key)
					}
				}
			},
			"tidy": func(*rapid.T) { // as after thousands
				for _, q := range []*coldQueue{&c.e.cold.once, &c.e.cold.again} {
					q.compact()
				}
			},
		})
	})
}

// One tenant cannot have the room of others: what it asks for besides its share costs
// itself, also after a restart. While nobody else wants it, it has all.
func TestTenantShare(t *testing.T) {
	t.Parallel()
	body := noise(100_000)
	for _, how := range []string{"a site's", "by the answer"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			o := inFolder(t)
			o.Disk, o.Share = 4<<20, 50
			answers := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=600")
				if how == "by the answer" {
					w.Header().Set("Of", r.URL.Query().Get("of"))
				}
				io.WriteString(w, body)
			}
			e := newEdgeOf(t, o, Policy{}, answers)
			of := func(tenant string) {
				if how == "by the answer" {
					e.site.CountFor = "Of"
				} else {
					site := *e.site
					site.Owner = tenant
					e.site = &site
				}
			}
			path := func(tenant string, n int) string { return fmt.Sprintf("/%d?of=%s", n, tenant) }
			get := func(tenant string, n int) {
				of(tenant)
				e.get(path(tenant, n))
				e.settle()
			}
			has := func(tenant string, from, to int64) {
				t.Helper()
				if got := e.Owned()[tenant]; got < from || got > to {
					t.Errorf("%s has %d bytes, want %d to %d", tenant, got, from, to)
				}
			}
			for n := range 15 {
				get("small", n)
			}
			for n := range 60 {
				get("large", n)
			}
			has("small", 15*100_000, 16*110_000)
			has("large", 2<<20, 4<<20) // more than its share: nobody wants the rest
			e = e.again(t, o)
			e.answers(answers)
			has("small", 15*100_000, 16*110_000)
			has("large", 2<<20, 4<<20)
			for n := range 60 {
				get("large", 100+n)
			}
			has("small", 15*100_000, 16*110_000)
			for n := range 10 {
				get("small", 100+n)
			}
			has("small", 20*100_000, 2<<20)
			has("large", 1<<20, 2<<20+110_000) // the others have taken what it had beside its share
		})
	}
}

// A catalog that knows of no owners is read, and owners that have nothing are forgotten.
func TestOwnersOnDisk(t *testing.T) {
	t.Parallel()
	o := inFolder(t)
	e := newEdgeOf(t, o, Policy{}, says("body", "Cache-Control", "max-age=600"))
	for n, tenant := range []string{"", "ten_a", "ten_b"} {
		site := *e.site
		site.Owner = tenant
		e.site = &site
		e.get("/" + strconv.Itoa(n))
		e.settle()
	}
	e = e.again(t, o)
	if got := e.Owned(); got["ten_a"] == 0 || got["ten_b"] == 0 || len(got) != 2 {
		t.Errorf("after a restart: %v", got)
	}
	e.want(e.get("/0"), 200, "body", "hit")
	e.invalidate(e.site.key(siteHost, &url.URL{Path: "/1"}))
	e = e.again(t, o)
	if got := e.owners.numbers; len(got) != 1 || got["ten_b"] == nobody {
		t.Errorf("owners that are known: %v", got)
	}
	for _, data := range [][]byte{nil, make([]byte, 15), make([]byte, 17), make([]byte, 21)} {
		if a, ok := decodeAbout(data); ok {
			t.Errorf("%d bytes are %v", len(data), a)
		}
	}
	for _, a := range []about{{1, 2, nobody}, {1 << 63, 1 << 40, 7}} {
		if got, ok := decodeAbout(a.encode()); !ok || got != a {
			t.Errorf("%v is read as %v", a, got)
		}
	}
}
