package front

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/contract/edge"
)

// Requests of a site are shown while somebody looks: few, and without what is secret.
func TestTail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.setSite("a", "a.example")
		f := start(t, deps(t, c, &fakeSites{}))
		wait(5 * time.Second)
		f.Note("a", outcome())
		wait(time.Second)
		if len(c.seen) != 0 || f.tails.on.Load() != 0 {
			t.Error("shown to nobody")
		}
		c.say(t, edge.SubjectTail, edge.Tail{Site: "a", Until: time.Now().Add(time.Hour)})
		c.say(t, edge.SubjectTail, edge.Tail{Site: "nowhere", Until: time.Now().Add(time.Hour)})
		c.say(t, edge.SubjectTail, "no tail")
		synctest.Wait()
		f.Note("a", outcome())
		f.Note(edge.Cloud, outcome())
		wait(showEvery)
		want := []edge.Seen{{Node: "n1", Site: "a", Requests: []edge.Request{{
			Edge: "edge one", Client: "192.0.2.0/24", Method: "GET", Host: "A.example:443", Path: "/play/~/film/seg-1.m4s",
			Status: 200, Bytes: 1000, Seconds: 0.001, Cache: "hit",
		}}}}
		if diff := cmp.Diff(want, c.seen, cmp.Comparer(func(a, b time.Time) bool { return true })); diff != "" {
			t.Error(diff)
		}
		c.set(func() { c.seen = nil })
		for range 100 {
			for range 10 {
				f.Note("a", outcome())
			}
			wait(10 * time.Millisecond)
		}
		n := 0
		for _, s := range c.seen {
			n += len(s.Requests)
		}
		if n < 15 || n > 20 || f.tails.dropped.Load() < 900 {
			t.Errorf("%d of 1000 requests were shown within a second, and %d dropped, want 20", n, f.tails.dropped.Load())
		}
		wait(tailFor)
		if f.tails.on.Load() != 0 {
			t.Error("shown though nobody looks any more")
		}
	})
}

func TestTailBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ts := newTails("e")
		for i := range 100 {
			ts.look(edge.Tail{Site: fmt.Sprint(i), Until: time.Now().Add(time.Second)})
		}
		if n := ts.on.Load(); n != tailSites {
			t.Errorf("%d sites are looked at", n)
		}
		ts.look(edge.Tail{Site: "0"})
		ts.take(time.Now())
		if n := ts.on.Load(); n != tailSites-1 {
			t.Errorf("%d sites are looked at after one was ended", n)
		}
	})
}
