package front

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"liuyun/internal/contract/edge"
)

const (
	streamA = "str_0123456789abcdefghjkmnpqrs"
	streamB = "str_0123456789abcdefghjkmnpqrt"
)

func watches(c *crowds, path, from, agent string, status int, at time.Time) {
	c.note(&Outcome{Method: "GET", Path: path, Client: from, Agent: agent, Status: status}, at)
}

// Who has got something of a stream is counted once, until nothing was heard of it for a
// while.
func TestCrowds(t *testing.T) {
	t.Parallel()
	c := newCrowds()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	expect := func(at time.Time, a, b int64) {
		t.Helper()
		if got := c.count(at); got[streamA] != a || got[streamB] != b {
			t.Errorf("%v: %v watch, want %d and %d", at.Sub(now), got, a, b)
		}
	}
	expect(now, 0, 0)
	watches(c, "/play/"+streamA+"/master.m3u8", "192.0.2.1:1000", "one", 200, now)
	watches(c, "/play/~/"+streamA+"/video/1.m4s", "192.0.2.1:1001", "one", 206, now)
	watches(c, "/play/"+streamA+"/video/1.m4s", "192.0.2.1:1001", "two", 304, now)
	watches(c, "/play/"+streamA+"/video/1.m4s", "[2001:db8::1]:1", "one", 200, now)
	for _, path := range []string{"/play/" + streamA, "/play/ast_0123456789abcdefghjkmnpqrs/a", "/a/" + streamA + "/b", "/play/str_1/a", "/play/~", "/play/", ""} {
		if path != "/play/"+streamA {
			watches(c, path, "192.0.2.9:1", "nobody", 200, now)
		}
	}
	watches(c, "/play/"+streamA+"/video/9.m4s", "192.0.2.9:1", "nobody", 404, now)
	watches(c, "/play/"+streamA+"/video/9.m4s", "192.0.2.9:1", "nobody", 0, now)
	expect(now, 3, 0)
	watches(c, "/play/"+streamB+"/video/1.m4s", "192.0.2.1:1001", "one", 200, now.Add(9*time.Second))
	expect(now.Add(10*time.Second), 3, 1)
	watches(c, "/play/"+streamA+"/video/3.m4s", "192.0.2.1:7", "one", 200, now.Add(15*time.Second))
	expect(now.Add(19*time.Second), 3, 1)
	expect(now.Add(20*time.Second), 1, 1)
	expect(now.Add(30*time.Second), 1, 0)
	expect(now.Add(40*time.Second), 0, 0)
	if len(c.of) > 0 {
		t.Errorf("%d streams are kept that nobody watches", len(c.of))
	}
}

// However many come, the count is right to a few percent, and no memory is taken for them
// nor for streams that are made up.
func TestCrowdsOfMany(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, n := range []int{10, 100, 1000, 10_000, 200_000} {
		c := newCrowds()
		for i := range n {
			watches(c, "/play/"+streamA+"/a", fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), "agent", 200, now)
		}
		got := float64(c.count(now)[streamA])
		t.Logf("%d: %.0f", n, got)
		if off := math.Abs(got/float64(n) - 1); off > 0.08 { // five times the standard error
			t.Errorf("%.0f of %d are counted", got, n)
		}
	}
	c := newCrowds()
	for i := range 2 * mostCrowds {
		stream := "str_" + strings.Repeat("0", 26-len(fmt.Sprint(i))) + fmt.Sprint(i)
		watches(c, "/play/"+stream+"/a", "192.0.2.1:1", "a", 200, now)
	}
	if got := len(c.count(now)); got != mostCrowds {
		t.Errorf("%d streams are counted, want %d", got, mostCrowds)
	}
}

// What viewers of the cloud get is told with each report, as numbers alone.
func TestViewersAreReported(t *testing.T) {
	t.Parallel()
	f := New(deps(t, &fakeCloud{}, &fakeSites{}))
	r := &reporter{Front: f}
	f.Note(edge.Cloud, Outcome{Method: "GET", Status: 200, Path: "/play/" + streamA + "/a", Client: "192.0.2.1:1"})
	f.Note("sit_1", Outcome{Method: "GET", Status: 200, Path: "/play/" + streamB + "/a", Client: "192.0.2.1:1"})
	if got := r.report(time.Now()).Viewers; len(got) != 1 || got[streamA] != 1 {
		t.Errorf("told are %v", got)
	}
}

func BenchmarkCrowdNote(b *testing.B) {
	c := newCrowds()
	o := &Outcome{Method: "GET", Path: "/play/" + streamA + "/video/1.m4s", Client: "192.0.2.1:1001", Agent: "Mozilla/5.0", Status: 200}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		c.note(o, now)
	}
}
