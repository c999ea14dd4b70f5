package cache

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/testkit"
)

// again closes an edge and opens another one in its folder, in front of an origin that
// has something else.
func (e *edge) again(t *testing.T, o Options) *edge {
	t.Helper()
	e.close()
	return newEdgeOf(t, o, Policy{}, says("new", "Cache-Control", "max-age=600"))
}

// inFolder are options of a cache that is opened more than once.
func inFolder(t *testing.T) Options {
	return Options{Folder: t.TempDir(), Memory: 16 << 20, Disk: 64 << 20}
}

// files are those of a cache's bodies.
func (e *edge) bodies(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(e.files.folder, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// outdate makes what is stored for a key stale.
func (e *edge) outdate(key string) {
	e.load(&Site{Name: "test"}, key)
	s := e.index.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.entries[key].objects[whole] {
		was := o.response.Load()
		old := newResponse("liuyun", was.status, was.header, was.received, was.received, Policy{})
		old.lifetime, old.asOf = 0, was.asOf
		o.response.Store(old)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	large := noise(1 << 20)
	o := inFolder(t)
	e := newEdgeOf(t, o, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Vary", "Foo")
		w.Header().Set("Etag", `"`+r.Header.Get("Foo")+`"`)
		switch r.URL.Path {
		case "/large":
			w.Write([]byte(large))
		case "/soon":
			w.Header().Set("Cache-Control", "max-age=5")
		case "/odd":
			w.Header().Set("Odd", "\xff")
		}
		w.Write([]byte(r.Header.Get("Foo")))
	})
	for range 2 {
		for _, path := range []string{"/a", "/large", "/soon", "/odd", "/gone"} {
			e.get(path, "Foo", "1")
			e.get(path, "Foo", "2")
		}
	}
	e.do(http.MethodDelete, "/gone", "")
	e = e.again(t, o)
	got := e.get("/a", "Foo", "1")
	e.want(got, 200, "1", "hit")
	if etag := got.header.Get("Etag"); etag != `"1"` {
		t.Errorf("the head is another one: Etag %s", etag)
	}
	e.want(e.get("/a", "Foo", "2"), 200, "2", "hit")
	e.want(e.get("/a", "Foo", "3"), 200, "new", "fwd=vary-miss")
	e.want(e.get("/large", "Foo", "2"), 200, large+"2", "hit")
	e.want(e.get("/large", "Foo", "1", "Range", "bytes=5-6"), 206, large[5:7], "hit")
	for _, path := range []string{"/soon", "/odd", "/gone"} {
		e.want(e.get(path, "Foo", "1"), 200, "new", "fwd=uri-miss")
	}
	e = e.again(t, o)
	e.want(e.get("/gone", "Foo", "1"), 200, "new", "hit")
	if files := e.bodies(t); len(files) != 2 {
		t.Errorf("%d files lie there, not 2", len(files))
	}
}

// What is damaged on the disk is fetched again, never served.
func TestDamage(t *testing.T) {
	t.Parallel()
	large := noise(1 << 20)
	for name, harm := range map[string]func(path string) error{
		"a byte": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[len(data)/2] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
		"shorter": func(path string) error { return os.Truncate(path, 1000) },
		"gone":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := inFolder(t)
			e := newEdgeOf(t, o, Policy{}, says(large, "Cache-Control", "max-age=600", "Etag", `"a"`))
			for _, path := range []string{"/a", "/stale"} {
				e.want(e.get(path), 200, large, "fwd=uri-miss")
			}
			e.close()
			for _, path := range e.bodies(t) {
				if err := harm(path); err != nil {
					t.Fatal(err)
				}
			}
			e = newEdgeOf(t, o, Policy{}, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=600")
				w.Header().Set("Etag", `"a"`)
				if r.Header.Get("If-None-Match") != "" {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				w.Write([]byte("new"))
			})
			e.outdate("test site.test /stale")
			for _, path := range []string{"/a", "/stale"} {
				e.want(e.get(path), 200, "new", "fwd=")
				e.settle()
				e.want(e.get(path), 200, "new", "hit")
			}
		})
	}
}

// A catalog that is no catalog is made anew, and what nobody knows of is swept away.
func TestDamagedCatalog(t *testing.T) {
	t.Parallel()
	o := inFolder(t)
	e := newEdgeOf(t, o, Policy{}, says(noise(1<<20), "Cache-Control", "max-age=600"))
	e.get("/a")
	e.close()
	path := filepath.Join(o.Folder, "catalog.db")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data, bytes.Repeat([]byte{0xa5}, 16<<10))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	last := e.files.next.Load()
	testkit.Until(t, time.Second, "a moment whose ids are later", func() bool { return idsFrom(time.Now()) > last })
	e = e.again(t, o)
	e.want(e.get("/a"), 200, "new", "fwd=uri-miss")
	testkit.Until(t, 10*time.Second, "what nobody knows of is gone", func() bool { return len(e.bodies(t)) == 0 })
}

// Objects that left memory are found on the disk, and the room there is kept to.
func TestColdObjects(t *testing.T) {
	t.Parallel()
	o := Options{Folder: t.TempDir(), Memory: 1 << 20, Disk: 4 << 20}
	body := noise(20 << 10)
	e := newEdgeOf(t, o, Policy{}, says(body, "Cache-Control", "max-age=600"))
	path := func(n int) string { return "/" + string(rune('a'+n%26)) + string(rune('a'+n/26)) }
	for n := range 100 {
		e.get(path(n))
	}
	before := e.asked.Load()
	for n := range 100 {
		e.want(e.get(path(n)), 200, body, "hit")
	}
	e.wantAsked(before)
	for n := range 400 {
		e.get(path(n))
	}
	_, used := e.disk.load()
	if _, cold := e.cold.load(everybody); used > 4<<20 || cold < 2<<20 {
		t.Errorf("%d bytes of 4 MiB are taken on the disk", used)
	}
	if _, memory := e.memory.load(); memory > 1<<20 {
		t.Errorf("%d bytes of 1 MiB are taken in memory", memory)
	}
	e.want(e.get(path(0)), 200, body, "hit") // it was asked for again, before the others
	e.want(e.get(path(150)), 200, body, "fwd=uri-miss")
}

func TestCold(t *testing.T) {
	t.Parallel()
	c := newColdQueue()
	for id := range uint64(20000) {
		c.add(coldObject{id: id, hash: id % 7000, weight: 1})
	}
	if got := c.take(5); !cmp.Equal(got, []uint64{14005, 7005, 5}) {
		t.Errorf("of hash 5: %v", got)
	}
	for id := range uint64(10000) {
		if id == 5 || id == 7005 {
			continue
		}
		if got, ok := c.oldest(everybody); got != id || !ok {
			t.Fatalf("the oldest is %d, not %d", got, id)
		}
	}
	if got := c.take(3000); !cmp.Equal(got, []uint64{17000, 10000}) {
		t.Errorf("of hash 3000: %v", got)
	}
	if n, bytes := c.load(everybody); n != 20000-3-9998-2 || bytes != int64(n) {
		t.Errorf("%d objects, %d bytes", n, bytes)
	}
	for range 20000 - 3 - 9998 - 2 {
		if _, ok := c.oldest(everybody); !ok {
			t.Fatal("one is lost")
		}
	}
	if _, ok := c.oldest(everybody); ok || len(c.byKey) > 0 {
		t.Errorf("there is more than there was: %v", c.byKey)
	}
}

// One that nobody asks for keeps nothing of those that come and go behind it.
func TestColdForgetsWhatIsGone(t *testing.T) {
	t.Parallel()
	c := newColdQueue()
	c.add(coldObject{id: 1, hash: 1, weight: 1})
	c.add(coldObject{id: 2, hash: 1, weight: 1})
	for id := uint64(3); id < 100_000; id++ {
		c.add(coldObject{id: id, hash: id, weight: 1, since: id})
		if got := c.take(id); !cmp.Equal(got, []uint64{id}) {
			t.Fatalf("of hash %d: %v", id, got)
		}
	}
	if len(c.queue) > 2*mostGone {
		t.Errorf("%d places are kept for 2 objects", len(c.queue))
	}
	if got := c.take(1); !cmp.Equal(got, []uint64{2, 1}) || len(c.byKey) > 0 {
		t.Errorf("of hash 1: %v, and %v is left", got, c.byKey)
	}
}

// A variant on the disk is found while another one is in memory.
func TestColdVariant(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Vary", "Accept-Language")
		io.WriteString(w, r.Header.Get("Accept-Language"))
	})
	for _, language := range []string{"en", "zh"} {
		e.want(e.get("/a", "Accept-Language", language), 200, language, "fwd=")
		e.settle()
	}
	key := e.site.key(siteHost, &url.URL{Path: "/a"})
	s := e.index.shard(key)
	s.mu.Lock()
	var en *object
	for _, o := range s.entries[key].objects[whole] {
		if o.variant != s.entries[key].objects[whole][0].variant {
			en = o
		}
	}
	e.memory.remove(en) // as when there is no room
	s.mu.Unlock()
	e.drop([]*object{en})
	e.want(e.get("/a", "Accept-Language", "en"), 200, "en", "hit")
	e.want(e.get("/a", "Accept-Language", "zh"), 200, "zh", "hit")
}

// No bytes on a disk make a record that is not what was written.
func FuzzRecord(f *testing.F) {
	s := &stored{Key: "a", Status: 200, Size: 3, Sum: 1, Inline: true}
	data, err := encodeRecord(s, []byte("abc"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, body, err := decodeRecord(data)
		if err == nil && s.Inline && int64(len(body)) != s.Size {
			t.Errorf("a body of %d bytes, not %d", len(body), s.Size)
		}
	})
}
