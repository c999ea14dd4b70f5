package job

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/store"
)

// simulated is a worker of a simulation.
type simulated struct {
	node, class   string
	slots         int
	speed         float64 // pieces of work a minute, by slot
	price, carbon float64 // of a minute of a slot
	gone          time.Duration
}

func (w simulated) peer() Peer {
	return Peer{Node: w.node, Class: w.class, Cost: w.price / w.speed, Carbon: w.carbon / w.speed}
}

// simulation runs a real queue on a real store with workers that only take time. One
// goroutine does all in order of time, so that it is the same each time.
type simulation struct {
	t        *testing.T
	q        *Queue
	workers  []simulated
	patience time.Duration
	began    time.Time
	pending  []finishing
}

// finishing is a job that a worker will have done at a time.
type finishing struct {
	at     time.Time
	worker int
	job    Job
}

// outcome is what a simulation came to.
type outcome struct {
	units        map[string]int // by node
	cost, carbon float64
	ended        map[string]time.Duration // by group: when its last unit was done
}

const unitsEach = 24

// simulate has groups of units done, each with its preference, and returns what came
// of it.
func simulate(t *testing.T, workers []simulated, patience time.Duration, groups ...Prefer) (out outcome) {
	t.Helper()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), folder, store.DefaultConfig(), quiet())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Migrate(t.Context(), bus.Migrations(), Migrations()); err != nil {
			t.Fatal(err)
		}
		b, err := bus.New(bus.Options{Name: "one", Folder: folder + "/bus", Config: bus.DefaultConfig(), Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		s := &simulation{t: t, q: NewQueue(db, b, quiet()), workers: workers, patience: patience, began: time.Now()}
		s.q.Place(Place{Peers: s.peers, Patience: patience})
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			for i, prefer := range groups {
				for n := range unitsEach {
					_, err := s.q.Add(tx, Spec{Kind: "unit", Class: "x86", Tenant: "ten", Group: fmt.Sprint(i), Name: fmt.Sprint(n), Prefer: prefer})
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		out = s.run(unitsEach * len(groups))
	})
	return out
}

// peers are the workers that are still there.
func (s *simulation) peers() (list []Peer) {
	for _, w := range s.workers {
		if w.gone == 0 || time.Since(s.began) < w.gone {
			list = append(list, w.peer())
		}
	}
	return list
}

func (s *simulation) run(units int) outcome {
	out := outcome{units: map[string]int{}, ended: map[string]time.Duration{}}
	for poll := s.began; units > 0; {
		if time.Since(s.began) > 24*time.Hour {
			s.t.Fatalf("%d units are left after a day", units)
		}
		// The dearest asks first: what it is not to have it must be refused.
		for i := range s.workers {
			s.take(len(s.workers) - 1 - i)
		}
		if poll = poll.Add(4 * time.Second); len(s.pending) > 0 && s.pending[0].at.Before(poll) {
			poll = s.pending[0].at
		}
		time.Sleep(time.Until(poll))
		for len(s.pending) > 0 && !s.pending[0].at.After(time.Now()) {
			f := s.pending[0]
			s.pending = s.pending[1:]
			w := s.workers[f.worker]
			if _, err := s.q.endJob(s.t.Context(), endRequest{Node: w.node, Lease: held{Job: f.job.ID, Attempt: f.job.Attempt}}); err != nil {
				s.t.Fatal(err)
			}
			units--
			out.units[w.node]++
			out.cost += w.peer().Cost
			out.carbon += w.peer().Carbon
			out.ended[f.job.Group] = time.Since(s.began)
		}
	}
	return out
}

// take has a worker ask for jobs for its free slots.
func (s *simulation) take(worker int) {
	w := s.workers[worker]
	free := w.slots
	for _, f := range s.pending {
		if f.worker == worker {
			free--
		}
	}
	if free == 0 || (w.gone > 0 && time.Since(s.began) >= w.gone) {
		return
	}
	answer, err := s.q.take(s.t.Context(), takeRequest{Node: w.node, Class: w.class, Free: map[string]int{"unit": free}})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, j := range answer.Jobs {
		at := time.Now().Add(time.Duration(float64(time.Minute) / w.speed))
		s.pending = append(s.pending, finishing{at, worker, j})
	}
	slices.SortStableFunc(s.pending, func(a, b finishing) int { return a.at.Compare(b.at) })
}

// fleet is a cheap, slow machine on a dirty grid, a green one, and a fast, dear one.
func fleet() []simulated {
	return []simulated{
		{node: "cheap", class: "x86", slots: 2, speed: 1, price: 1, carbon: 8},
		{node: "green", class: "x86", slots: 2, speed: 1, price: 3, carbon: 1},
		{node: "fast", class: "x86", slots: 4, speed: 4, price: 16, carbon: 16},
		{node: "arm", class: "arm", slots: 8, speed: 4, price: 0.1, carbon: 0.1}, // another class: no use for these units
	}
}

// Each preference gets what it asks for: time the earliest end, cost the least money,
// carbon the least CO2e. No unit is made by another class.
func TestPreferences(t *testing.T) {
	t.Parallel()
	const patient = 12 * time.Hour
	results := map[Prefer]outcome{}
	for _, prefer := range []Prefer{Time, Cost, Carbon} {
		o := simulate(t, fleet(), patient, prefer)
		t.Logf("%s: %v, cost %.1f, carbon %.1f, done after %s", prefer, o.units, o.cost, o.carbon, o.ended["0"])
		if o.units["arm"] > 0 {
			t.Errorf("%s: %d units were made by another class", prefer, o.units["arm"])
		}
		results[prefer] = o
	}
	fast, cheap, green := results[Time], results[Cost], results[Carbon]
	if cheap.units["cheap"] != unitsEach || green.units["green"] != unitsEach {
		t.Errorf("others than the best took units within the patience: %v for cost, %v for carbon", cheap.units, green.units)
	}
	if fast.units["fast"] == 0 || fast.units["cheap"] == 0 || fast.units["green"] == 0 {
		t.Errorf("time: got %v, want all of them to work", fast.units)
	}
	if cheap.cost >= fast.cost/2 || cheap.cost >= green.cost/2 {
		t.Errorf("cost: %.1f, against %.1f for time and %.1f for carbon", cheap.cost, fast.cost, green.cost)
	}
	if green.carbon >= fast.carbon/2 || green.carbon >= cheap.carbon/2 {
		t.Errorf("carbon: %.1f, against %.1f for time and %.1f for cost", green.carbon, fast.carbon, cheap.carbon)
	}
	if fast.ended["0"] >= cheap.ended["0"] || fast.ended["0"] >= green.ended["0"] {
		t.Errorf("time: done after %s, against %s and %s", fast.ended["0"], cheap.ended["0"], green.ended["0"])
	}
}

// Past the patience the dear ones help: a group is done at most that much later than
// with all of them from the beginning.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	const patience = 2 * time.Minute
	fast := simulate(t, fleet(), patience, Time)
	cost := simulate(t, fleet(), patience, Cost)
	t.Logf("time %s, cost %s, %v", fast.ended["0"], cost.ended["0"], cost.units)
	if cost.units["fast"] == 0 || cost.units["cheap"] <= fast.units["cheap"] {
		t.Errorf("got %v, against %v for time", cost.units, fast.units)
	}
	if latest := fast.ended["0"] + patience + turn + time.Minute; cost.ended["0"] > latest {
		t.Errorf("done after %s, want %s at the latest", cost.ended["0"], latest)
	}
}

// Nobody starves beside others: those for time have the other machines at once, and
// those for cost and carbon come to their end.
func TestNobodyStarves(t *testing.T) {
	t.Parallel()
	const patience = 10 * time.Minute
	o := simulate(t, fleet(), patience, Cost, Time, Carbon, Time, Cost)
	t.Logf("%v, %v", o.units, o.ended)
	if len(o.ended) != 5 {
		t.Errorf("%d of 5 groups are done", len(o.ended))
	}
	alone := simulate(t, fleet(), patience, Time, Time, Time, Time, Time)
	last := func(o outcome) (at time.Duration) {
		for _, ended := range o.ended {
			at = max(at, ended)
		}
		return at
	}
	if latest := last(alone) + patience + turn + time.Minute; last(o) > latest {
		t.Errorf("the last is done after %s, want %s at the latest", last(o), latest)
	}
}

// A cheap machine that goes away is waited for no longer; one whose price nobody
// knows comes after those whose price is known.
func TestPeersChange(t *testing.T) {
	t.Parallel()
	workers := fleet()[:3]
	workers[0].gone = 5 * time.Minute
	o := simulate(t, workers, 12*time.Hour, Cost)
	if o.units["green"] == 0 || o.units["fast"] > 0 && o.units["cheap"] == 0 {
		t.Errorf("after the cheapest is gone: got %v", o.units)
	}
	if end := o.ended["0"]; end > time.Hour {
		t.Errorf("done after %s", end)
	}
	q := &Queue{}
	q.Place(Place{Peers: func() []Peer {
		return []Peer{{"a", "x86", 1, 1}, {"b", "x86", -1, 0.97}, {"c", "arm", -1, -1}}
	}})
	for _, test := range []struct {
		node, class string
		want        []Prefer
	}{
		{"a", "x86", nil}, {"b", "x86", []Prefer{Cost}}, {"b", "arm", nil}, {"c", "arm", nil}, {"c", "", []Prefer{Cost, Carbon}},
		{"unheard of", "x86", []Prefer{Cost, Carbon}},
	} {
		if g := q.gateFor(test.node, test.class, time.Now()); !slices.Equal(g.closed, test.want) {
			t.Errorf("%s for class %q: closed to %v, want %v", test.node, test.class, g.closed, test.want)
		}
	}
}
