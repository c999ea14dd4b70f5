package ladder

import (
	"testing"
	"time"
)

// machine is a machine that can make so many rungs: with one more, a child falls
// behind by so much of each second, and with fewer it comes nearer.
type machine struct {
	can     int
	lag     time.Duration
	now     time.Time
	started time.Time
}

const tick = 250 * time.Millisecond

// run lets the machine work for so long, and returns how many rungs are shed each
// second.
func (m *machine) run(s *shedder, rungs int, needed bool, length time.Duration) (shed []int) {
	for range int(length / tick) {
		m.now = m.now.Add(tick)
		switch made := rungs - s.shed; {
		case made > m.can:
			m.lag += tick / 4
		default:
			m.lag = max(m.lag-tick, 100*time.Millisecond)
		}
		if s.see(m.now, m.started, m.lag, rungs, needed) {
			m.started = m.now
		}
		shed = append(shed, s.shed)
	}
	return shed
}

func newMachine(can int) *machine {
	now := time.Unix(1_000_000, 0)
	return &machine{can: can, now: now, started: now}
}

func TestNothingIsShedThatCanBeMade(t *testing.T) {
	t.Parallel()
	for _, n := range newMachine(3).run(&shedder{}, 3, false, 10*time.Minute) {
		if n != 0 {
			t.Fatalf("%d rungs are shed", n)
		}
	}
}

// A hitch, such as the start of a child with much to catch up, sheds nothing.
func TestCatchingUp(t *testing.T) {
	t.Parallel()
	m := newMachine(3)
	m.lag = 9 * time.Second
	for _, n := range m.run(&shedder{}, 3, false, time.Minute) {
		if n != 0 {
			t.Fatalf("%d rungs are shed", n)
		}
	}
}

// As many rungs are shed as have to be, one after the other, and tried again more and
// more rarely.
func TestShedding(t *testing.T) {
	t.Parallel()
	for can := range 3 {
		var s shedder
		m := newMachine(can)
		m.run(&s, 3, false, time.Minute)
		if s.shed < 3-can-1 || s.shed > 3-can {
			t.Errorf("of 3 rungs %d are shed where %d can be made", s.shed, can)
		}
		const hours = 4
		trials, before := 0, s.shed
		for _, now := range m.run(&s, 3, false, hours*time.Hour) {
			if now < before {
				trials++
			}
			before = now
		}
		if trials < 5 || trials > 40 {
			t.Errorf("%d can be made: %d trials in %d hours", can, trials, hours)
		}
	}
}

// When the machine has time again, all rungs come back.
func TestComingBack(t *testing.T) {
	t.Parallel()
	var s shedder
	m := newMachine(1)
	m.run(&s, 3, false, 5*time.Minute)
	m.can = 3
	m.run(&s, 3, false, 30*time.Minute)
	if s.shed != 0 {
		t.Errorf("%d rungs are still shed", s.shed)
	}
}

// What replaces the source is made whatever happens.
func TestTheLastIsNeeded(t *testing.T) {
	t.Parallel()
	var s shedder
	for _, n := range newMachine(0).run(&s, 2, true, time.Hour) {
		if n > 1 {
			t.Fatalf("%d of 2 rungs are shed", n)
		}
	}
}
