package job

import (
	"math"
	"strings"
	"time"

	"liuyun/internal/kit/store"
)

// Prefer says which of the workers that may take a job shall have it.
type Prefer string

// The preferences. Any other word, and none, is Time.
const (
	Time   Prefer = "time"   // whichever asks first
	Cost   Prefer = "cost"   // the cheapest
	Carbon Prefer = "carbon" // that with the least CO2e
)

// Place is how a [Queue] chooses among workers. The zero value gives each job to the
// worker that asks first.
type Place struct {
	// Peers are the workers that take jobs now; nil are none. It must be quick.
	Peers func() []Peer
	// Patience is how long a job's group may wait, from its beginning, for better
	// workers that are busy: then all may work on it.
	Patience time.Duration
}

// Peer is a worker as placement sees it.
type Peer struct {
	Node  string
	Class string
	// Cost and Carbon are what the same piece of work takes there, in any unit that all
	// peers share; negative while it is not known.
	Cost, Carbon float64
}

// by is what the preference looks at: what is not known is worse than all that is.
func (p Peer) by(prefer Prefer) float64 {
	v := p.Cost
	if prefer == Carbon {
		v = p.Carbon
	}
	if v < 0 || math.IsNaN(v) {
		return math.Inf(1)
	}
	return v
}

const (
	// alike is how much better a worker has to be for another to stand back: prices that
	// differ less are no reason to let a machine idle.
	alike = 0.95
	// turn is how long a job waits for better workers that would have taken it by now, were
	// they free: several times what lies between two of their questions.
	turn = 10 * time.Second
)

// Place sets how workers are chosen. It is called before Run.
func (q *Queue) Place(p Place) { q.place = p }

// gate keeps jobs from a worker that are better left to others.
type gate struct {
	closed []Prefer // what they prefer
	// What is open all the same: jobs of groups that began before this, and that are in
	// the queue from before that.
	begun, created time.Time
}

// gateFor tells what of a class the worker shall leave to better ones that are there.
// A class of "" is anybody's.
func (q *Queue) gateFor(node, class string, now time.Time) gate {
	if q.place.Peers == nil {
		return gate{}
	}
	peers := q.place.Peers()
	own := Peer{Cost: -1, Carbon: -1}
	for _, p := range peers {
		if p.Node == node {
			own = p
		}
	}
	g := gate{begun: now.Add(-q.place.Patience), created: now.Add(-turn)}
	for _, prefer := range []Prefer{Cost, Carbon} {
		for _, p := range peers {
			if (class == "" || p.Class == class) && p.by(prefer) < alike*own.by(prefer) {
				g.closed = append(g.closed, prefer)
				break
			}
		}
	}
	return g
}

// condition is SQL for the jobs that pass, whose columns begin with prefix. It needs
// the args of the gate.
func (g gate) condition(prefix string) string {
	one := " AND (" + prefix + "prefer <> ? OR (" + prefix + "group_created <= ? AND " + prefix + "created <= ?))"
	return strings.Repeat(one, len(g.closed))
}

func (g gate) args() (args []any) {
	for _, prefer := range g.closed {
		args = append(args, string(prefer), store.Time(g.begun), store.Time(g.created))
	}
	return args
}
