package front

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/contract/edge"
)

// A request is found a site and counted without an allocation, also when its path is not
// among those that are kept.
func TestNoAllocations(t *testing.T) {
	f := tableFront(t, &fakeSites{})
	f.table.set(sites(site("a", 1, "*.a.example")))
	f.tally.follow(sites(site("a", 1)))
	o := outcome()
	o.Tenant = "t"
	var paths []string
	for i := range 2000 {
		paths = append(paths, fmt.Sprintf("/play/~token/%4d/seg", i))
	}
	for _, o.Path = range paths {
		f.Note("a", o)
	}
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		s := f.table.take("Img.A.example:443")
		o.Path = paths[i%len(paths)]
		i++
		f.Note("a", o)
		s.release()
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

// What many goroutines count adds up.
func TestTally(t *testing.T) {
	t.Parallel()
	ta := newTally(nil)
	ta.follow(sites(&edge.Site{ID: "a", Tenant: "t1"}))
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for n := range 1000 {
				o := &Outcome{Status: 200 + 100*(n%5), Bytes: 3, Cache: []string{"hit", "miss"}[n%2]}
				ta.note("a", o)
				ta.fetched("a", 1)
				ta.noteOwn(5)
				ta.note("unknown", &Outcome{Bytes: 1, Tenant: "t2"})
				if i == 0 && n%100 == 0 {
					ta.follow(sites(&edge.Site{ID: "a", Tenant: "t1"}, &edge.Site{ID: fmt.Sprint(n)}))
				}
			}
		})
	}
	work.Wait()
	got := (*ta.sites.Load())["a"].sum().since(totals{})
	want := edge.Counts{Requests: 8000, Hits: 4000, Bytes: 24000, Fetched: 8000, Status: map[string]int64{"2xx": 1600, "3xx": 1600, "4xx": 1600, "5xx": 1600}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = (*ta.sites.Load())[edge.Cloud].sum().since(totals{})
	want = edge.Counts{Requests: 8000, Hits: 8000, Bytes: 40000, Status: map[string]int64{"2xx": 8000}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("own:", diff)
	}
	if diff := cmp.Diff(map[string]int64{"t1": 24000, "t2": 8000}, ta.takeTenants()); diff != "" {
		t.Error(diff)
	}
	if got := ta.takeTenants(); len(got) != 0 {
		t.Errorf("taken twice: %v", got)
	}
}

// Who asks for ever new paths does not drive out those that many ask for, and takes no
// more memory.
func TestSketch(t *testing.T) {
	t.Parallel()
	s, seed := newSketch(), maphash.MakeSeed()
	random := rand.New(rand.NewPCG(1, 2))
	real := make(map[string]int64)
	for range 2 {
		clear(real)
		for range 30_000 {
			path := fmt.Sprintf("/hostile/%d/%s", random.Uint64(), strings.Repeat("x", random.IntN(1000)))
			if n := random.IntN(100); n < 20 {
				path = fmt.Sprintf("/film/%d", n)
				real[path]++
			}
			s.add(seed, "", path, "")
		}
		top := s.top(toldPaths)
		for path, n := range real {
			if got := top[path]; got > n || got < n*7/10 {
				t.Errorf("%s: %d, want about %d and no more", path, got, n)
			}
		}
		if len(top) > toldPaths || len(s.paths) != keptPaths || len(s.index) != keptPaths {
			t.Errorf("%d told, %d and %d kept", len(top), len(s.paths), len(s.index))
		}
		for _, p := range s.paths {
			if cap(p) > 2*longestPath {
				t.Fatalf("%d bytes are kept of a path", cap(p))
			}
		}
		s.reset()
	}
}

func TestHide(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"":                             "",
		"/":                            "/",
		"/play/~secret/a1/master.m3u8": "/play/~/a1/master.m3u8",
		"/play/~secret":                "/play/~",
		"/play/~":                      "/play/~",
		"/play/~/a1":                   "/play/~/a1",
		"/embed/~secret/a1":            "/embed/~/a1",
		"//play/~secret/a1":            "//play/~/a1",
		"/base/play/~secret/a1":        "/base/play/~/a1",
		"/~x/play/~secret/a1":          "/~x/play/~/a1",
		"/~user/page":                  "/~user/page",
		"/play/a1/~x":                  "/play/a1/~x",
		"/display/~me/x":               "/display/~me/x",
		"/play/~" + strings.Repeat("s", 500) + "/a": "/play/~/a",
	} {
		before, after := hide(path)
		if got := before + after; got != want {
			t.Errorf("%q is shown as %q, want %q", path, got, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for client, want := range map[string]string{
		"192.0.2.77:1234": "192.0.2.0/24", "192.0.2.77": "192.0.2.0/24", "[::ffff:192.0.2.77]:5": "192.0.2.0/24",
		"[2001:db8:1:2:3::4]:443": "2001:db8:1::/48", "[fe80::1%eth0]:443": "fe80::/48", "": "", "@": "", "host:80": "",
	} {
		if got := network(client); got != want {
			t.Errorf("%q is shown as %q, want %q", client, got, want)
		}
	}
}

// What cannot be told is told with the next report.
func TestReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newCloud(), &fakeSites{broken: map[string]error{"b": errors.New("bad key")}}
		c.setSite("a", "a.example")
		c.setSite("b", "b.example")
		d := deps(t, c, s)
		d.Origins = func() map[string][]edge.OriginState {
			return map[string][]edge.OriginState{"a": {{URL: "https://o.example", State: "up"}}}
		}
		f := start(t, d)
		wait(reportEvery)
		c.set(func() { c.deaf = true })
		f.Note("a", outcome())
		f.Fetched("a", 20)
		f.Fetched("unknown", 20)
		wait(2 * reportEvery)
		c.set(func() { c.deaf = false })
		f.Note("a", outcome())
		f.Note(edge.Cloud, Outcome{Status: 404, Cache: "pass", Path: "/x"})
		f.Note("unknown", outcome())
		wait(reportEvery)
		got := c.lastReport()
		want := edge.Report{
			Node: "n1", Revision: 2, At: got.At, Seconds: 15, Place: edge.Place{Name: "edge one"}, Load: 0.5, Stored: 7, Waiting: 3, Tenants: map[string]int64{"t1": 5},
			Sites: map[string]edge.Counts{
				"a":        {Requests: 2, Hits: 2, Bytes: 2000, Fetched: 20, Status: map[string]int64{"2xx": 2}, Paths: map[string]int64{"a.example/play/~/film/seg-1.m4s": 1}},
				edge.Cloud: {Requests: 1, Status: map[string]int64{"4xx": 1}, Paths: map[string]int64{"/x": 1}},
			},
			Origins: map[string][]edge.OriginState{"a": {{URL: "https://o.example", State: "up"}}, "b": {{State: "down", Reason: "bad key"}}},
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return a-b < 0.6 && b-a < 0.6 })); diff != "" {
			t.Error(diff)
		}
		wait(reportEvery)
		if got := c.lastReport().Sites; len(got) != 0 {
			t.Errorf("told twice: %v", got)
		}
	})
}

// With more sites than fit into a message, and paths that are as long as they may be and
// longer in JSON, each is told of once.
func TestReportsFit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		d := deps(t, c, &fakeSites{})
		origins := make(map[string][]edge.OriginState)
		var all []*edge.Site
		for i := range 2200 {
			all = append(all, site(fmt.Sprint("site", i), 1))
			origins[fmt.Sprint("site", i)] = []edge.OriginState{{URL: strings.Repeat("u", 300), State: "up"}, {State: "failing", Reason: strings.Repeat("\xff", 1000)}}
		}
		d.Origins = func() map[string][]edge.OriginState { return origins }
		f := New(d)
		f.tally.follow(sites(all...))
		for _, s := range all {
			for i := range 22 {
				f.Note(s.ID, Outcome{Status: 200, Bytes: 1, Path: fmt.Sprint("/", i, strings.Repeat("<", 1000))})
			}
		}
		if n := f.tally.sketches.Load(); n > mostSketches {
			t.Errorf("%d sites have their paths counted", n)
		}
		r := &reporter{Front: f, last: time.Now(), told: make(map[*siteTally]totals)}
		for range 6 {
			r.tell()
		}
		got := make(map[string]int64)
		for _, report := range c.reports {
			for id, counts := range report.Sites {
				got[id] += counts.Requests
			}
		}
		for _, s := range all {
			if got[s.ID] != 22 {
				t.Fatalf("%d requests of %s were told, want 22", got[s.ID], s.ID)
			}
		}
		if n := f.tally.sketches.Load(); n != 0 {
			t.Errorf("%d sites have their paths counted that nobody asks for", n)
		}
	})
}

// Of too many those that have most are told.
func TestMost(t *testing.T) {
	t.Parallel()
	got := most(map[string]int64{"a": 3, "b": 9, "c": 1, "d": 3}, 2)
	if want := (map[string]int64{"a": 3, "b": 9}); !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
