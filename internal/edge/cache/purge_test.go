package cache

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"liuyun/internal/base/fault"
	"liuyun/internal/testkit"
)

// versions is an origin whose responses have the version that it is at, and validate.
func versions(version *string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.Header().Set("Etag", `"`+*version+`"`)
		if r.Header.Get("If-None-Match") == `"`+*version+`"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, *version)
	}
}

// purge applies a purge, and fails the test if that fails.
func (e *edge) purge(p Purge) {
	e.t.Helper()
	if err := e.Purge(p); err != nil {
		e.t.Fatal(err)
	}
}

// later asks the edge when what was asked for before is stored.
func (e *edge) later(path string) answer {
	e.t.Helper()
	e.settle()
	return e.get(path)
}

func TestPurge(t *testing.T) {
	t.Parallel()
	const path = "/films/film.mp4?v=1"
	for name, p := range map[string]Purge{
		"everything": {Kind: PurgeEverything},
		"its site":   {Kind: PurgeEverything, Site: "test"},
		"its host":   {Kind: PurgeHost, Value: siteHost},
		"its folder": {Kind: PurgePrefix, Value: siteHost + "/films/*"},
		"a key":      {Kind: PurgeTag, Value: "news", Site: "test"},
		"a tag":      {Kind: PurgeTag, Value: "season 2"},
		"itself":     {Kind: PurgeURL, Value: "https://" + siteHost + path},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := "one"
			e := newEdge(t, Policy{}, versions(&v, "Cache-Control", "max-age=5999", "Surrogate-Key", "film news", "Cache-Tag", "season 2"))
			e.want(e.get(path), 200, "one", "fwd=uri-miss")
			e.want(e.later(path), 200, "one", "hit; ttl=5")
			p.Sequence = 1
			e.purge(p)
			e.want(e.get(path), 200, "one", "fwd=stale; fwd-status=304; stored")
			e.want(e.later(path), 200, "one", "hit; ttl=5")
			v = "two"
			e.purge(p) // it is done already
			e.want(e.later(path), 200, "one", "hit; ttl=5")
			p.Sequence = 2
			e.purge(p)
			e.want(e.get(path), 200, "two", "fwd=stale; fwd-status=200; stored")
			p.Sequence, p.Effect = 3, Forget
			e.purge(p)
			e.want(e.get(path), 200, "two", "fwd=uri-miss; fwd-status=200; stored")
			e.want(e.later(path), 200, "two", "hit; ttl=5")
			e.wantAsked(4)
			if got := e.Purged(); got != 3 {
				t.Errorf("purged up to %d", got)
			}
		})
	}
}

func TestPurgeConcernsNoOther(t *testing.T) {
	t.Parallel()
	v := "one"
	e := newEdge(t, Policy{}, versions(&v, "Cache-Control", "max-age=600", "Surrogate-Key", "film"))
	e.get("/a")
	for n, p := range []Purge{
		{Kind: PurgeEverything, Site: "other"}, {Kind: PurgeHost, Value: "other.test"}, {Kind: PurgePrefix, Value: siteHost + "/a/"},
		{Kind: PurgeTag, Value: "fil"}, {Kind: PurgeURL, Value: siteHost + "/a?"}, {Kind: PurgeTag, Value: "film", Site: "other"},
	} {
		p.Sequence, p.Effect = int64(n+1), Forget
		e.purge(p)
		e.want(e.later("/a"), 200, "one", "hit")
	}
	if err := e.Purge(Purge{Sequence: 9, Kind: PurgeEverything}, Purge{Sequence: 10, Kind: PurgePrefix, Value: siteHost + "/a"}); fault.CodeOf(err) != fault.Invalid {
		t.Error(err)
	}
	e.want(e.later("/a"), 200, "one", "hit") // all of them or none
}

// What is purged softly is served while it is validated, and while the origin fails, for
// as long as that may last.
func TestPurgedIsStale(t *testing.T) {
	t.Parallel()
	v := "one"
	e := newEdge(t, Policy{StaleIfError: time.Hour}, versions(&v, "Cache-Control", "max-age=5999, stale-while-revalidate=60"))
	e.get("/a")
	v = "two"
	e.purge(Purge{Sequence: 1, Kind: PurgeEverything})
	e.want(e.later("/a"), 200, "one", "hit")
	e.settle()
	e.want(e.later("/a"), 200, "two", "hit; ttl=5")
	e.answers(says("three", "Cache-Control", "max-age=600"))
	e.get("/b")
	e.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	e.purge(Purge{Sequence: 2, Kind: PurgeURL, Value: siteHost + "/b"})
	got := e.get("/b")
	e.want(got, 200, "three", "hit")
	if says := got.header.Get("Cache-Status"); !strings.Contains(says, "stale-if-error") {
		t.Errorf("Cache-Status %q", says)
	}
	e.purge(Purge{Sequence: 3, Kind: PurgeURL, Value: siteHost + "/b", Effect: Forget})
	if got := e.get("/b"); got.status != 502 || got.body != "" {
		t.Errorf("what is forgotten: status %d, %q", got.status, got.body)
	}
}

// Variants and slices are purged with their address, and what is forgotten takes no room
// any more when it was asked for.
func TestPurgeVariantsAndSlices(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Vary", "Foo")
		io.WriteString(w, r.Header.Get("Foo"))
	})
	for _, foo := range []string{"1", "2"} {
		e.get("/a", "Foo", foo)
	}
	e.purge(Purge{Sequence: 1, Kind: PurgeURL, Value: siteHost + "/a", Effect: Forget})
	e.want(e.get("/a", "Foo", "1"), 200, "1", "fwd=vary-miss")
	e.want(e.get("/a", "Foo", "2"), 200, "2", "fwd=vary-miss")
	f := newFilm(5<<20, `"v1"`)
	e.answers(f.ServeHTTP)
	e.want(e.get("/film", "Range", "bytes=0-5000000"), 206, f.body[:5000001], "fwd=uri-miss")
	e.settle()
	sent := f.sent.Load()
	e.purge(Purge{Sequence: 2, Kind: PurgeURL, Value: siteHost + "/film"})
	e.want(e.get("/film", "Range", "bytes=0-5000000"), 206, f.body[:5000001], "fwd=stale; fwd-status=304")
	e.settle()
	if f.sent.Load() != sent {
		t.Errorf("%d bytes were sent that are there", f.sent.Load()-sent)
	}
	e.purge(Purge{Sequence: 3, Kind: PurgeURL, Value: siteHost + "/film", Effect: Forget})
	e.want(e.get("/film", "Range", "bytes=0-9"), 206, f.body[:10], "fwd=uri-miss")
	e.settle()
	if got := f.sent.Load(); got != sent+sliceSize {
		t.Errorf("the origin sent %d bytes after its slices were forgotten", got-sent)
	}
	if files := e.bodies(t); len(files) != 3 {
		t.Errorf("%d files lie there, not 3", len(files))
	}
}

// gate is an origin that says when it was asked, and answers what and when it is told.
type gate struct {
	asked  chan struct{}
	answer chan http.HandlerFunc
}

func newGate() *gate { return &gate{make(chan struct{}), make(chan http.HandlerFunc)} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for asked := g.asked; ; asked = nil {
		select {
		case asked <- struct{}{}:
			continue
		case answer := <-g.answer:
			answer(w, r)
		case <-r.Context().Done():
		}
		return
	}
}

// wait waits until the origin is asked.
func (g *gate) wait(t *testing.T) {
	t.Helper()
	select {
	case <-g.asked:
	case <-time.After(20 * time.Second):
		t.Fatal("the origin is not asked")
	}
}

// A purge while the origin answers is for that answer too; who asks afterwards does not
// wait for it, and it does not take the place of a later one.
func TestPurgeDuringFlight(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Purge{
		"outdated":  {Kind: PurgeURL, Value: siteHost + "/a"},
		"forgotten": {Kind: PurgeURL, Value: siteHost + "/a", Effect: Forget},
		"by a tag":  {Kind: PurgeTag, Value: "film"}, // nobody knows yet that it will have it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			e := newEdge(t, Policy{}, g.ServeHTTP)
			fields := []string{"Cache-Control", "max-age=600", "Surrogate-Key", "film"}
			var before, after answer
			var group sync.WaitGroup
			group.Go(func() { before = e.get("/a") })
			g.wait(t)
			p.Sequence = 1
			e.purge(p)
			group.Go(func() { after = e.get("/a") })
			g.wait(t) // another time
			for range 2 {
				g.answer <- says("new", fields...)
			}
			group.Wait()
			e.want(before, 200, "new", "") // a hit, where the other one was stored sooner
			e.want(after, 200, "new", "")
			e.wantAsked(2)
			e.settle()
			e.want(e.later("/a"), 200, "new", "hit")

			// What has come is stored as it was when it was asked for.
			p.Sequence, p.Effect = 2, Forget
			e.purge(p)
			group.Go(func() { before = e.get("/a") })
			g.wait(t)
			p.Sequence, p.Effect = 3, Outdate
			e.purge(p)
			g.answer <- says("old", fields...)
			group.Wait()
			e.want(before, 200, "old", "fwd=uri-miss")
			e.settle()
			group.Go(func() { after = e.get("/a") })
			g.wait(t)
			g.answer <- says("newer", fields...)
			group.Wait()
			e.want(after, 200, "newer", "fwd=stale")
			e.wantAsked(4)
		})
	}
}

// An answer from before a purge that ends after one from behind it is not stored in its
// place.
func TestLateAnswerIsNotStored(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	asked := make(chan struct{}, 2)
	first := true
	var mu sync.Mutex
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		old := first
		first = false
		mu.Unlock()
		w.Header().Set("Cache-Control", "max-age=600")
		asked <- struct{}{}
		if old {
			<-release
			io.WriteString(w, "old")
			return
		}
		io.WriteString(w, "new")
	})
	var before answer
	var group sync.WaitGroup
	group.Go(func() { before = e.get("/a") })
	<-asked
	e.purge(Purge{Sequence: 1, Kind: PurgeEverything})
	e.want(e.get("/a"), 200, "new", "fwd=uri-miss")
	close(release)
	group.Wait()
	if before.err != nil {
		t.Error(before.err)
	}
	e.want(e.later("/a"), 200, "new", "hit")
	e.wantAsked(2)
}

// While a body comes, those who ask after a purge of one of its tags get another one, and
// others the same.
func TestPurgeDuringBody(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Surrogate-Key", "film")
		io.WriteString(w, "a")
		http.NewResponseController(w).Flush()
		<-more
		io.WriteString(w, "b")
	})
	get := func() *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+"/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		in, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Body.Close() })
		return in
	}
	get()
	e.purge(Purge{Sequence: 1, Kind: PurgeTag, Value: "other"})
	get()
	e.wantAsked(1)
	e.purge(Purge{Sequence: 2, Kind: PurgeTag, Value: "film"})
	get()
	e.wantAsked(2)
	close(more)
	e.settle()
}

// Marks are there after a restart and after a kill, also for what is on the disk alone.
func TestPurgeOutlivesRestart(t *testing.T) {
	t.Parallel()
	v := "one"
	origin := func(w http.ResponseWriter, r *http.Request) {
		versions(&v, "Cache-Control", "max-age=600", "Surrogate-Key", strings.TrimPrefix(r.URL.Path, "/"))(w, r)
	}
	o := inFolder(t)
	e := newEdgeOf(t, o, Policy{}, origin)
	for _, path := range []string{"/a", "/b", "/c", "/d"} {
		e.get(path)
	}
	e.catalog.flush()
	e.purge(Purge{Sequence: 4, Kind: PurgeTag, Value: "a"})
	e.purge(Purge{Sequence: 5, Kind: PurgeURL, Value: siteHost + "/b", Effect: Forget})
	e.want(e.later("/c"), 200, "one", "hit")
	killed := inFolder(t) // its files as a kill leaves them
	data, err := os.ReadFile(filepath.Join(o.Folder, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(killed.Folder, "catalog.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	e.close()
	for name, o := range map[string]Options{"closed": o, "killed": killed} {
		e := newEdgeOf(t, o, Policy{}, origin)
		if got := e.Purged(); got != 5 {
			t.Errorf("%s: purged up to %d", name, got)
		}
		e.want(e.get("/a"), 200, "one", "fwd=stale; fwd-status=304")
		e.want(e.get("/b"), 200, "one", "fwd=uri-miss")
		e.want(e.later("/c"), 200, "one", "hit")
		e.purge(Purge{Sequence: 6, Kind: PurgeTag, Value: "d"}) // it is on the disk alone
		e.want(e.get("/d"), 200, "one", "fwd=stale")
		e.close()
		e = newEdgeOf(t, o, Policy{}, origin) // and what was validated since is not purged
		for _, path := range []string{"/a", "/b", "/c", "/d"} {
			e.want(e.later(path), 200, "one", "hit")
		}
		e.close()
	}
}

// A purge that cannot be written is in force, and is written by the next one.
func TestPurgeIsWrittenLater(t *testing.T) {
	t.Parallel()
	o := inFolder(t)
	e := newEdgeOf(t, o, Policy{}, says("old", "Cache-Control", "max-age=30"))
	e.get("/a")
	if err := e.catalog.db.Close(); err != nil {
		t.Fatal(err)
	}
	p := Purge{Sequence: 3, Kind: PurgeEverything}
	if err := e.Purge(p); fault.CodeOf(err) != fault.Unavailable {
		t.Fatal(err)
	}
	e.answers(says("new", "Cache-Control", "max-age=30"))
	e.want(e.get("/a"), 200, "new", "fwd=stale")
	if got := e.Purged(); got != 0 {
		t.Errorf("purged up to %d, which a restart would bring back", got)
	}
	db, err := openDB(filepath.Join(o.Folder, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	e.catalog.db = db
	e.purge(p)
	if got := e.Purged(); got != 3 {
		t.Errorf("purged up to %d", got)
	}
	e = e.again(t, o)
	if got := e.Purged(); got != 3 {
		t.Errorf("purged up to %d after a restart", got)
	}
}

// A damaged mark is no reason to serve what was purged: all is fetched again.
func TestDamagedMark(t *testing.T) {
	t.Parallel()
	o := inFolder(t)
	e := newEdgeOf(t, o, Policy{}, says("old", "Cache-Control", "max-age=600"))
	e.get("/a")
	e.purge(Purge{Sequence: 1, Kind: PurgeEverything})
	damaged := markRecord{"", target{kind: PurgeEverything}, mark{outdated: 1}}
	sum := damaged.encode()
	damaged.outdated = 0
	copy(sum, damaged.encode()[:8])
	err := e.catalog.update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(marksBucket)).Put(damaged.key(), sum) })
	if err != nil {
		t.Fatal(err)
	}
	e = e.again(t, o)
	e.want(e.get("/a"), 200, "new", "fwd=uri-miss")
}

// What is for caches alone reaches caches, and no viewer, however the answer comes about.
func TestAudience(t *testing.T) {
	t.Parallel()
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Surrogate-Control", "Cdn-Cache-Control"} {
			w.Header().Set(name, "max-age=600")
		}
		w.Header().Set("Surrogate-Key", "a")
		w.Header().Set("Cache-Tag", "b")
		w.Header().Set("Purge-Sequence", "1")
		switch r.URL.Path {
		case "/private":
			w.Header()["Surrogate-Control"], w.Header()["Cdn-Cache-Control"] = []string{"private"}, []string{"private"}
		case "/film":
			w.Header().Set("Etag", `"a"`)
			http.ServeContent(w, r, "a.mp4", time.Time{}, strings.NewReader(noise(5<<20)))
		}
	})
	e.purge(Purge{Sequence: 7, Kind: PurgeTag, Value: "x"})
	inner := e.through(t, Caches)
	for _, ask := range [][]string{
		{"GET", "/a"}, {"GET", "/a"}, {"HEAD", "/a"}, {"POST", "/a"}, {"GET", "/private"}, {"GET", "/private"},
		{"GET", "/film", "Range", "bytes=5-9"}, {"GET", "/film", "Range", "bytes=5-9"}, {"GET", "/film", "Range", "bytes=5-9", "If-None-Match", `"a"`},
	} {
		got := e.do(ask[0], ask[1], "", ask[2:]...)
		for _, name := range []string{"Surrogate-Control", "Surrogate-Key", "Cache-Tag", "Purge-Sequence"} {
			if got.header[name] != nil {
				t.Errorf("%v: viewers see %s", ask, name)
			}
		}
		got = inner.do(ask[0], ask[1], "", ask[2:]...)
		for name, want := range map[string]string{"Surrogate-Key": "a", "Cache-Tag": "b", "Purge-Sequence": "1", "Surrogate-Control": "max-age=600", "Cdn-Cache-Control": "max-age=600"} {
			if strings.Contains(name, "Control") && ask[1] == "/private" {
				want = "private"
			}
			if says := got.header.Get(name); says != want {
				t.Errorf("%v: another cache sees %s %q, not %q", ask, name, says, want)
			}
		}
	}
}

// through is an edge asked by others than viewers.
func (e *edge) through(t *testing.T, to Audience) *edge {
	site := *e.site
	site.Audience = to
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.Serve(w, r, &site, new(Outcome)) }))
	t.Cleanup(front.Close)
	return &edge{Cache: e.Cache, t: t, url: front.URL, site: &site}
}

// In two tiers a purge may come to the outer cache first: what that fetches then from the
// inner one is as old as it is there.
func TestPurgeInTiers(t *testing.T) {
	t.Parallel()
	for name, effect := range map[string]Effect{"outdated": Outdate, "forgotten": Forget} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := "one"
			var mu sync.Mutex
			inner := newEdge(t, Policy{}, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				versions(&v, "Cache-Control", "max-age=600", "Surrogate-Key", "film")(w, r)
			})
			address, err := url.Parse(inner.through(t, Caches).url)
			if err != nil {
				t.Fatal(err)
			}
			outer := newEdge(t, Policy{}, nil)
			outer.site.Origin = address
			outer.want(outer.get("/a"), 200, "one", "fwd=uri-miss")
			if got := outer.later("/a"); !strings.Contains(got.header.Get("Cache-Status"), ", liuyun; hit") {
				t.Errorf("%q, %v", got.body, got.header)
			}
			mu.Lock()
			v = "two"
			mu.Unlock()
			p := Purge{Sequence: 5, Kind: PurgeTag, Value: "film", Effect: effect}
			outer.purge(p)
			for range 2 { // the inner one does not know yet
				got := outer.get("/a")
				says := got.header.Get("Cache-Status")
				if _, own, _ := strings.Cut(says, ", "); got.body != "one" || !strings.HasPrefix(own, "liuyun; fwd=stale") && !strings.HasPrefix(own, "liuyun; fwd=uri-miss") {
					t.Errorf("%q, Cache-Status %q", got.body, says)
				}
			}
			inner.purge(p)
			if got := outer.get("/a"); got.body != "two" {
				t.Errorf("%q after both were purged, %v", got.body, got.header)
			}
			before := inner.asked.Load()
			if got := outer.later("/a"); got.body != "two" || !strings.Contains(got.header.Get("Cache-Status"), ", liuyun; hit") {
				t.Errorf("%q, %v", got.body, got.header)
			}
			inner.wantAsked(before)
		})
	}
}

// Purges, requests and answers cross each other: what was purged before a request is not
// its answer.
func TestPurgeAmongRequests(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	current := 0
	e := newEdge(t, Policy{}, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		n := current
		mu.Unlock()
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Surrogate-Key", "film")
		fmt.Fprint(w, n)
	})
	const rounds, clients = 60, 4
	kinds := []Purge{{Kind: PurgeEverything}, {Kind: PurgeTag, Value: "film"}, {Kind: PurgeURL, Value: siteHost + "/a"}, {Kind: PurgePrefix, Value: siteHost + "/"}}
	done := make(chan struct{})
	var group sync.WaitGroup
	purged := 0
	for range clients {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				least := purged
				mu.Unlock()
				got := e.get("/a")
				n := -1
				if _, err := fmt.Sscan(got.body, &n); err != nil || n < least {
					t.Errorf("version %d (%v) after version %d was purged, %v", n, got.err, least-1, got.header)
				}
			}
		})
	}
	for n := range rounds {
		mu.Lock()
		current = n + 1
		mu.Unlock()
		p := kinds[n%len(kinds)]
		p.Sequence, p.Effect = int64(n+1), Effect(n/2%2)
		e.purge(p)
		mu.Lock()
		purged = n + 1
		mu.Unlock()
	}
	close(done)
	group.Wait()
	e.settle()
	testkit.Until(t, time.Second, "the last version is there", func() bool { return e.get("/a").body == fmt.Sprint(rounds) })
}
