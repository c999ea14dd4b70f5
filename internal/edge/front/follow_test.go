package front

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/contract/edge"
)

// get is what a Front answers for a host.
func get(f *Front, host string) string {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://"+host+"/x", nil)
	f.ServeHTTP(w, r)
	return w.Body.String()
}

// wait lets time pass, and what is due be done.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// An edge without a past is ready when a control node has said what is served. What is
// told after that is applied at once; what was missed, within the next ten seconds.
func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newCloud(), &fakeSites{}
		c.setSite("a", "a.example")
		c.away = true
		f := start(t, deps(t, c, s))
		if wait(time.Minute); f.ready() || get(f.Front, "a.example") != "cloud" {
			t.Fatal("ready without having been told anything")
		}
		c.set(func() { c.away = false })
		if wait(askEvery); !f.ready() || get(f.Front, "a.example") != "a1" {
			t.Fatalf("not ready, or %q", get(f.Front, "a.example"))
		}
		if got := f.State(); got.Revision != 1 || string(got.Secrets[0]) != "first" {
			t.Errorf("state %+v", got)
		}
		wait(askEveryMost)
		if asks := c.asked(); !asks[0].Fresh || asks[len(asks)-1].Fresh {
			t.Errorf("asked first %+v, then %+v", asks[0], asks[len(asks)-1])
		}

		before := len(c.asked())
		c.say(t, edge.SubjectChanged, c.setSite("b", "b.example"))
		synctest.Wait()
		if got := get(f.Front, "b.example"); got != "b2" || len(c.asked()) != before {
			t.Errorf("%q after %d questions, want b2 at once", got, len(c.asked())-before)
		}
		c.removeSite("a") // nobody hears it
		c.say(t, edge.SubjectChanged, c.setSite("d", "d.example"))
		wait(missedSpread)
		if get(f.Front, "d.example") != "d4" || get(f.Front, "a.example") != "cloud" {
			t.Error("what was missed was not asked for when the next was told")
		}
		c.setSite("e", "e.example")
		if wait(askEveryMost); get(f.Front, "e.example") != "e5" {
			t.Error("what was missed was not asked for")
		}
		before = len(c.asked())
		wait(time.Minute)
		if n := len(c.asked()) - before; n < 5 || n > 13 {
			t.Errorf("%d questions in a minute, want one every 5 to 10 s", n)
		}
		c.setSite("g", "g.example")
		f.Reconnected()
		if wait(reconnectSpread); get(f.Front, "g.example") != "g6" {
			t.Error("what was missed was not asked for when the connection was back")
		}
		if opened, _, _ := s.state(); opened != "a1 b2 d4 e5 g6" {
			t.Errorf("opened %s: each once is enough", opened)
		}
	})
}

// What is applied is told at once also where a report has just been told, and without
// counts, which are of whole times between reports.
func TestAppliedIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newCloud(), &fakeSites{}
		c.setSite("a", "a.example")
		f := start(t, deps(t, c, s))
		wait(reportEvery)
		f.Note("a", outcome())
		c.say(t, edge.SubjectChanged, c.purge("x"))
		wait(time.Millisecond)
		if got := c.lastReport(); got.Revision != 2 || got.Seconds != 0 || len(got.Sites) > 0 {
			t.Errorf("told %+v right after a report, want revision 2 and no counts", got)
		}
		c.say(t, edge.SubjectChanged, c.purge("y"))
		c.say(t, edge.SubjectChanged, c.purge("z"))
		told := 0
		c.set(func() { told = -len(c.reports) })
		wait(reportGap)
		c.set(func() { told += len(c.reports) })
		if got := c.lastReport(); got.Revision != 4 || told != 1 {
			t.Errorf("told %d times of two purges in a row, revision %d in the end; want one report of revision 4", told, got.Revision)
		}
		wait(reportEvery - reportGap)
		if got := c.lastReport(); got.Seconds != reportEvery.Seconds() || got.Sites["a"].Requests != 1 {
			t.Errorf("told %+v, want the count of %v", got, reportEvery)
		}
	})
}

// A revision is told as applied when all up to it is void, and then at once.
func TestPurge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newCloud(), &fakeSites{}
		c.setSite("a", "a.example")
		f := start(t, deps(t, c, s))
		wait(time.Second)
		s.before = func() {
			if f.State().Revision >= 2 || c.lastReport().Revision >= 2 {
				t.Error("said to be applied before it was void")
			}
		}
		c.say(t, edge.SubjectChanged, c.purge("x"))
		if wait(reportGap); c.lastReport().Revision != 2 {
			t.Errorf("told revision %d after a purge, want 2 at once", c.lastReport().Revision)
		}
		s.before = nil
		s.mu.Lock()
		s.dirty = errors.New("no disk")
		s.mu.Unlock()
		c.say(t, edge.SubjectChanged, c.change(func(revision int64, d *edge.Delta) {
			d.Purges = []edge.Purge{{Revision: revision, Kind: edge.PurgeTag, Value: "y"}}
			d.Sites = []edge.Site{{ID: "a", Revision: revision, Settings: edge.Settings{Name: "new", Hosts: []string{"a.example"}}}}
		}))
		wait(30 * time.Second)
		if got := c.lastReport().Revision; got != 2 {
			t.Errorf("told revision %d while it cannot be purged, want 2", got)
		}
		if got := get(f.Front, "a.example"); got != "new" {
			t.Errorf("%q is served, want the site as it is set", got)
		}
		s.mu.Lock()
		s.dirty = nil
		s.mu.Unlock()
		wait(2*time.Second + reportGap)
		if got := c.lastReport().Revision; got != 3 {
			t.Errorf("told revision %d, want 3", got)
		}
		if _, _, voids := s.state(); voids != "all , tag x, tag y" {
			t.Errorf("purged %s, want each once", voids)
		}
	})
}

// All that there is may come in pieces. Until the last, what was before is served.
func TestPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newCloud(), &fakeSites{}
		for i := range 100 {
			c.setSite(fmt.Sprintf("s%02d", i), fmt.Sprintf("s%02d.example", i))
		}
		c.page = 7
		least := 100
		d := deps(t, c, s)
		d.Changed = func(now *State) { least = min(least, len(now.Sites)) }
		f := start(t, d)
		wait(time.Second)
		if len(f.State().Sites) != 100 || f.State().Revision != 100 || len(c.asked()) > 16 {
			t.Fatalf("%d sites at revision %d after %d questions", len(f.State().Sites), f.State().Revision, len(c.asked()))
		}
		for i := range 50 {
			c.purge(fmt.Sprint(i))
		}
		c.set(func() { c.from = 120 }) // older purges are not known any more
		if wait(askEveryMost); f.State().Revision != 150 || least != 100 {
			t.Errorf("revision %d, and %d sites for a while", f.State().Revision, least)
		}
		if _, _, voids := s.state(); voids != "all , all " {
			t.Errorf("purged %s, want all twice", voids)
		}
	})
}

// An edge that has another sum than the control nodes asks for all. When that does not
// help, it does not ask for it again and again.
func TestSum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newCloud(), &fakeSites{}
		c.setSite("a", "a.example")
		f := start(t, deps(t, c, s))
		wait(time.Second)
		c.set(func() {
			c.sites["lost"] = edge.Site{ID: "lost", Revision: 1, Settings: edge.Settings{Name: "found", Hosts: []string{"lost.example"}}}
		})
		if wait(askEveryMost); get(f.Front, "lost.example") != "found" {
			t.Error("what was lost is not found")
		}
		whole := func() (n int) {
			for _, q := range c.asked() {
				if q.Revision == 0 {
					n++
				}
			}
			return n
		}
		before := whole()
		c.set(func() { c.off = 1 })
		wait(time.Hour)
		if n := whole() - before; n < 3 || n > 9 {
			t.Errorf("asked %d times for all in an hour", n)
		}
		c.say(t, edge.SubjectChanged, c.setSite("b", "b.example"))
		if wait(time.Second); get(f.Front, "b.example") != "b2" {
			t.Error("what is told is not applied")
		}
	})
}

// Control nodes that were restored from a backup know less than the edge.
func TestRestored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newCloud(), &fakeSites{}
		c.setSite("a", "a.example")
		for range 10 {
			c.purge("x")
		}
		f := start(t, deps(t, c, s))
		wait(time.Second)
		c.set(func() { c.revision, c.purges = 5, nil })
		if wait(askEveryMost + time.Second); f.State().Revision != 5 {
			t.Fatalf("revision %d, want 5", f.State().Revision)
		}
		c.say(t, edge.SubjectChanged, c.purge("y"))
		synctest.Wait()
		if _, _, voids := s.state(); voids != "all , all , tag y" {
			t.Errorf("purged %s", voids)
		}
	})
}

// An edge that starts where nobody answers serves what it served before. What it wrote is
// believed only as it was.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, s := newCloud(), &fakeSites{}
		c.setSite("a", "a.example")
		d := deps(t, c, s)
		f := start(t, d)
		wait(2 * snapshotEvery)
		c.say(t, edge.SubjectChanged, c.setSite("a", "new.example"))
		synctest.Wait()
		f.stop() // it writes what is new
		c.set(func() { c.away = true })

		f = start(t, d)
		if !f.ready() || get(f.Front, "new.example") != "a2" || f.State().Revision != 2 || string(f.State().Secrets[0]) != "first" {
			t.Errorf("ready: %v, served %q", f.ready(), get(f.Front, "new.example"))
		}
		f.stop()
		path := filepath.Join(d.Folder, snapshotName)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v: secrets are in it", info.Mode())
		}
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		other := d
		other.Seal = fakeSeal("another")
		for name, try := range map[string]struct {
			d    Deps
			data []byte
		}{
			"changed":       {d, append([]byte(" "), good...)},
			"half":          {d, good[:len(good)/2]},
			"empty":         {d, nil},
			"another's key": {other, good},
			"no JSON":       {d, fakeSeal("key").Seal([]byte("{"))},
			"another's":     {d, fakeSeal("key").Seal([]byte(`{"node":"n2","revision":5}`))},
		} {
			if err := os.WriteFile(path, try.data, 0o600); err != nil {
				t.Fatal(err)
			}
			f := start(t, try.d)
			if wait(time.Minute); f.ready() || get(f.Front, "new.example") != "cloud" {
				t.Errorf("%s: believed", name)
			}
			f.stop()
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		f = start(t, d)
		c.set(func() { c.away = false })
		if wait(time.Minute); !f.ready() || get(f.Front, "new.example") != "a2" {
			t.Error("not ready, though a control node answers")
		}
	})
}

// A hundred edges that come back at once do not ask at once.
func TestSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.setSite("a", "a.example")
		var fronts []*running
		for range 100 {
			fronts = append(fronts, start(t, deps(t, c, &fakeSites{})))
		}
		wait(30 * time.Second)
		before := len(c.asked())
		for _, f := range fronts {
			f.Reconnected()
		}
		most := 0
		for range 10 {
			wait(reconnectSpread / 10)
			n := len(c.asked()) - before
			before += n
			most = max(most, n)
		}
		if most > 35 {
			t.Errorf("%d of 100 edges asked in a tenth of a second", most)
		}
		for _, f := range fronts {
			f.stop()
		}
	})
}

// Whatever is told, an edge goes on, and never says that it knows less than it does.
func FuzzApply(f *testing.F) {
	c := newCloud()
	for _, d := range []edge.Delta{
		c.setSite("a", "a.example", "*.a.example"), c.purge("x"), c.removeSite("a"),
		{Whole: true, Revision: 9, More: true}, {From: 9, Revision: 3}, {Revision: -1}, {Nodes: []edge.Node{{ID: "n", Revision: 1}}},
	} {
		data, err := json.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, data)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := Deps{Open: (&fakeSites{}).open, Purge: (&fakeSites{}).purge, Log: slog.New(slog.DiscardHandler)}
		front := New(d)
		c := newFollower(front, func() {})
		for _, data := range [][]byte{first, second, first} {
			front.hearChange(data)
			select {
			case d := <-front.bumps:
				before := front.State().Revision
				c.bump(&d)
				if after := front.State().Revision; after < before {
					t.Errorf("a bump led from revision %d to %d", before, after)
				}
			default:
			}
			var a answer
			if json.Unmarshal(data, &a.delta) == nil {
				c.answered(a)
			}
		}
		var sum uint64
		for id, s := range front.State().Sites {
			sum += edge.Mark(id, s.Revision)
		}
		for id, n := range front.State().Nodes {
			sum += edge.Mark(id, n.Revision)
		}
		if sum != front.State().sum {
			t.Error("the sum is not that of what is held")
		}
		c.timer.Stop()
		front.table.close()
	})
}
