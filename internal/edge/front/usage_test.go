package front

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/contract/edge"
)

// What was served is counted once, whatever fails: the question, the answer, the disk, or
// the process, at any time. A kill loses what was not written down yet, and no more.
func TestUsageOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			c := newCloud()
			c.countFail = func() (before, after bool) { return random.IntN(4) == 0, random.IntN(3) == 0 }
			d := deps(t, c, &fakeSites{})
			f := New(d)
			served, safe := make(map[string]int64), make(map[string]int64)
			for range 100 {
				time.Sleep(time.Duration(random.IntN(7200)) * time.Second)
				today := time.Now().UTC().Format(time.DateOnly)
				for range random.IntN(4) {
					tenant, n := fmt.Sprint("t", random.IntN(3)), random.Int64N(1000)+1
					f.Note("a", Outcome{Tenant: tenant, Bytes: n})
					served[today+" "+tenant] += n
				}
				switch random.IntN(6) {
				case 0: // killed
					f = New(d)
					served = maps.Clone(safe)
					if err := f.spool.open(); err != nil {
						t.Fatal(err)
					}
				case 1: // the disk is full
					f.spool.path = filepath.Join(d.Folder, "nowhere", spoolName)
					f.handOverOnce(t.Context(), time.Second)
					f.spool.path = filepath.Join(d.Folder, spoolName)
				default:
					f.handOverOnce(t.Context(), time.Second)
					safe = maps.Clone(served)
				}
			}
			c.countFail = nil
			f = New(d)
			if err := f.spool.open(); err != nil {
				t.Fatal(err)
			}
			for f.spool.waiting.Load() > 0 {
				f.handOverOnce(t.Context(), time.Second)
			}
			if diff := cmp.Diff(safe, c.counted); diff != "" {
				t.Errorf("seed %d: counted otherwise than served: %s", seed, diff)
			}
		})
	}
}

// Run writes usage down within ten seconds, whether control nodes answer or not, and hands
// it over when they do.
func TestUsageRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.setSite("a", "a.example")
		d := deps(t, c, &fakeSites{})
		f := start(t, d)
		wait(time.Minute)
		c.set(func() { c.away = true })
		day := time.Now().UTC().Format(time.DateOnly)
		f.Note("a", Outcome{Bytes: 5})
		wait(10 * time.Second)
		late := &spool{path: f.spool.path, log: d.Log}
		if err := late.open(); err != nil || late.waiting.Load() != 5 {
			t.Errorf("%d bytes are written down after ten seconds, %v", late.waiting.Load(), err)
		}
		f.Note("a", Outcome{Bytes: 6})
		wait(time.Minute)
		c.set(func() { c.away = false })
		wait(usageAgainMost + usageEveryMost + usageNextMost)
		c.set(func() {
			if got := c.counted[day+" t-a"]; got != 11 {
				t.Errorf("%d bytes are counted, want 11", got)
			}
		})
		f.Note("a", Outcome{Bytes: 7})
		f.stop()
		if got := c.counted[day+" t-a"]; got != 18 {
			t.Errorf("%d bytes are counted at the end, want 18", got)
		}
		info, err := os.Stat(late.path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Error(info, err)
		}
	})
}

// While control nodes are away, days gather up to a bound.
func TestUsageDays(t *testing.T) {
	t.Parallel()
	s := &spool{log: slog.New(slog.DiscardHandler)}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for day := range mostDays + 10 {
		s.add(map[string]int64{"t": 1}, now.AddDate(0, 0, day))
	}
	oldest := slices.Min(slices.Collect(maps.Keys(s.kept.Days)))
	if n := len(s.kept.Days); n != mostDays || s.dropped.Load() != 10 || s.waiting.Load() != mostDays || oldest != "2026-03-11" {
		t.Errorf("%d days from %s are kept, %d bytes wait, %d were dropped", n, oldest, s.waiting.Load(), s.dropped.Load())
	}
}

// What has gathered comes in batches that fit into a message, one by one, the oldest first.
func TestUsageBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		f := New(deps(t, c, &fakeSites{}))
		many := make(map[string]int64)
		for i := range 30_000 {
			many[fmt.Sprintf("tenant-%05d", i)] = 1
		}
		f.spool.add(many, time.Now())
		f.spool.add(map[string]int64{"t": 1}, time.Now().AddDate(0, 0, 1))
		batches := 0
		for ; f.spool.waiting.Load() > 0; batches++ {
			if wait := f.handOverOnce(t.Context(), time.Second); wait < usageNext || len(c.counted) > 16_000*(batches+1) {
				t.Fatalf("%d tenants and days are counted after %d batches, the next in %s", len(c.counted), batches+1, wait)
			}
		}
		if batches != 4 || len(c.counted) != 30_001 {
			t.Errorf("%d batches, %d tenants and days counted", batches, len(c.counted))
		}
	})
}

// A file that is damaged or lost does not make the next numbers smaller: they would count
// for nothing.
func TestUsageLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		d := deps(t, c, &fakeSites{})
		var numbers []int64
		for _, damage := range []string{"", "{", `{"days":null}`} {
			path := filepath.Join(d.Folder, spoolName)
			if damage != "" {
				if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f := New(d)
			if err := f.spool.open(); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				f.Note("a", Outcome{Tenant: "t", Bytes: 1})
				time.Sleep(time.Second)
				f.handOverOnce(t.Context(), time.Second)
				numbers = append(numbers, f.spool.kept.Number)
			}
		}
		if !slices.IsSorted(numbers) || len(slices.Compact(slices.Clone(numbers))) != len(numbers) {
			t.Errorf("numbers %v", numbers)
		}
		if got := c.counted[time.Now().UTC().Format(time.DateOnly)+" t"]; got != 9 {
			t.Errorf("%d bytes counted, want 9", got)
		}
		if _, err := os.Stat(filepath.Join(d.Folder, spoolName+".bad")); err != nil {
			t.Error(err)
		}
	})
}

// The batch that is handed over again is the same, though more was served since.
func TestUsageBatchStays(t *testing.T) {
	t.Parallel()
	s := &spool{node: "n"}
	now := time.Date(2026, 3, 1, 23, 59, 59, 0, time.UTC)
	s.add(map[string]int64{"t": 1}, now)
	s.cut(now)
	want := *s.kept.Batch
	s.add(map[string]int64{"t": 2}, now.Add(time.Second))
	s.cut(now.Add(time.Second))
	if diff := cmp.Diff(want, *s.kept.Batch); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(edge.Usage{Node: "n", Number: now.UnixMilli(), Day: "2026-03-01", Bytes: map[string]int64{"t": 1}}, want); diff != "" {
		t.Error(diff)
	}
}
