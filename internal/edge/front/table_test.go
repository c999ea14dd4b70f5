package front

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/contract/edge"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	next := &hosts{exact: make(map[string]*seat), below: make(map[string]*seat)}
	names := make(map[*seat]string)
	for _, host := range []string{"a.example", "*.a.example", "img.a.example", "Upper.Example.", "a.example", "[::1]", "192.0.2.1"} {
		s := &seat{}
		names[s] = host
		next.add(host, s)
	}
	for host, want := range map[string]string{
		"a.example": "a.example", "A.EXAMPLE": "a.example", "a.example:8443": "a.example", "a.example.": "a.example", "a.example.:80": "a.example",
		"b.a.example": "*.a.example", "B.a.example:80": "*.a.example", "img.a.example": "img.a.example", "c.b.a.example": "",
		"upper.example": "Upper.Example.", "[::1]": "[::1]", "[::1]:80": "[::1]", "192.0.2.1:80": "192.0.2.1",
		"": "", ".": "", ":80": "", ".a.example": "", "xa.example": "", "example": "", "*.a.example": "*.a.example",
		strings.Repeat("a", 300): "", strings.Repeat("a", 246) + ".a.example": "", strings.Repeat("a", 243) + ".a.example": "*.a.example",
	} {
		if got := names[next.find(host)]; got != want {
			t.Errorf("%q is served as %q, want %q", host, got, want)
		}
	}
}

func site(id string, revision int64, hosts ...string) *edge.Site {
	return &edge.Site{ID: id, Revision: revision, Settings: edge.Settings{Name: fmt.Sprint(id, revision), Hosts: hosts}}
}

func sites(all ...*edge.Site) map[string]*edge.Site {
	m := make(map[string]*edge.Site)
	for _, s := range all {
		m[s.ID] = s
	}
	return m
}

// tableFront is a Front that is set by the test.
func tableFront(t testing.TB, s *fakeSites) *Front {
	f := New(deps(t, newCloud(), s))
	t.Cleanup(f.table.close)
	return f
}

// What has not changed goes on with what it has. What was replaced is closed when its
// requests have ended.
func TestReplace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSites{}
		f := tableFront(t, s)
		off := site("c", 1, "c.example")
		off.Disabled = true
		f.table.set(sites(site("a", 1, "a.example"), site("b", 1, "b.example", "a.example"), off))
		if got := get(f, "a.example") + get(f, "b.example") + get(f, "c.example"); got != "a1b1cloud" {
			t.Fatal(got)
		}
		s.hold = make(chan struct{})
		f.table.set(sites(site("a", 2, "a.example"), site("b", 1, "b.example", "a.example")))
		var requests sync.WaitGroup
		for range 10 {
			requests.Go(func() {
				if got := get(f, "a.example"); got != "a2" {
					t.Errorf("%q while it is replaced", got)
				}
			})
		}
		wait(time.Second)
		before := s.hold
		s.hold = nil
		f.table.set(sites(site("a", 3, "a.example"), site("b", 1, "b.example", "a.example")))
		if wait(time.Second); get(f, "a.example") != "a3" {
			t.Error("new requests do not get what is new")
		}
		if opened, closed, _ := s.state(); opened != "a1 b1 a2 a3" || closed != "a1" {
			t.Errorf("opened %s, closed %s while requests use a2", opened, closed)
		}
		close(before)
		requests.Wait()
		synctest.Wait()
		if _, closed, _ := s.state(); closed != "a1 a2" {
			t.Errorf("closed %s after the requests", closed)
		}

		s.hold = make(chan struct{})
		f.table.set(sites(site("a", 4, "a.example")))
		requests.Go(func() { get(f, "a.example") })
		synctest.Wait()
		f.table.set(nil)
		if wait(closeAfter); get(f, "a.example") != "cloud" {
			t.Error("what is gone is served")
		}
		if _, closed, _ := s.state(); closed != "a1 a2 b1 a3 a4" && closed != "a1 a2 a3 b1 a4" {
			t.Errorf("closed %s after a minute", closed)
		}
		close(s.hold)
		requests.Wait()
	})
}

// A site that cannot be opened is served as before, if it was; it is tried again.
func TestBroken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSites{}
		f := tableFront(t, s)
		f.table.set(sites(site("a", 1, "a.example")))
		s.broken = map[string]error{"a": errors.New("bad CA"), "b": errors.New("bad key")}
		now := sites(site("a", 2, "other.example"), site("b", 2, "b.example"))
		f.table.set(now)
		if got := get(f, "other.example") + get(f, "a.example"); got != "a1cloud" {
			t.Error(got)
		}
		if got := get(f, "b.example"); !strings.Contains(got, "cannot be served") {
			t.Error(got)
		}
		if got := f.table.problems(); got["a"] != "bad CA" || got["b"] != "bad key" {
			t.Errorf("problems %v", got)
		}
		s.broken = nil
		f.table.retry(now)
		if got := get(f, "other.example") + get(f, "b.example"); got != "a2b2" || len(f.table.problems()) != 0 {
			t.Errorf("%s, problems %v", got, f.table.problems())
		}
	})
}

// Requests come while sites are replaced, and none meets what was closed.
func TestReplaceRace(t *testing.T) {
	t.Parallel()
	s := &countingSites{t: t}
	d := deps(t, newCloud(), &fakeSites{})
	d.Open = s.open
	f := New(d)
	var work sync.WaitGroup
	stop := make(chan struct{})
	f.table.set(sites(site("a", 1, "a.example")))
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					get(f, "a.example")
				}
			}
		})
	}
	for i := range int64(300) {
		f.table.set(sites(site("a", i+2, "a.example")))
	}
	close(stop)
	work.Wait()
	f.table.close()
}

type countingSites struct{ t *testing.T }

type countingBackend struct {
	mu     sync.RWMutex
	closed bool
	t      *testing.T
}

func (s *countingSites) open(edge.Site) (Backend, error) { return &countingBackend{t: s.t}, nil }

func (b *countingBackend) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		b.t.Error("asked after it was closed")
	}
}

func (b *countingBackend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		b.t.Error("closed twice")
	}
	b.closed = true
	return nil
}

// What answers has the writer of the server, with all that it can do.
func TestWriterIsNotWrapped(t *testing.T) {
	t.Parallel()
	var got http.ResponseWriter
	note := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { got = w })
	d := deps(t, newCloud(), &fakeSites{})
	d.Cloud = note
	d.Open = func(edge.Site) (Backend, error) { return fakeBackend{Handler: note, in: &fakeSites{}}, nil }
	f := New(d)
	defer f.table.close()
	f.table.set(sites(site("a", 1, "a.example")))
	for _, host := range []string{"a.example", "b.example"} {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest("GET", "http://"+host+"/", nil))
		if got != w {
			t.Errorf("%s: it is wrapped", host)
		}
	}
}

func outcome() Outcome {
	return Outcome{Status: 200, Bytes: 1000, Cache: "hit", Method: "GET", Host: "A.example:443", Path: "/play/~token/film/seg-1.m4s", Client: "192.0.2.7:1234", Duration: time.Millisecond}
}

// BenchmarkRequest is what a request costs here: its site is found, held, and counted.
func BenchmarkRequest(b *testing.B) {
	s := &fakeSites{}
	f := tableFront(b, s)
	var all []*edge.Site
	for i := range 1000 {
		all = append(all, site(fmt.Sprint("s", i), 1, fmt.Sprintf("s%d.example", i), fmt.Sprintf("*.s%d.example", i)))
	}
	f.table.set(sites(all...))
	f.tally.follow(sites(all...))
	o := outcome()
	o.Tenant = "t"
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			at := f.table.take("Img.s500.example:443")
			f.Note("s500", o)
			at.release()
		}
	})
}
