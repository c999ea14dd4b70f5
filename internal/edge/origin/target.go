package origin

import (
	"net/http"
	"sync/atomic"
	"time"
)

// target is who can be asked: an origin, or a shield.
type target struct {
	name    string // for people
	via     http.RoundTripper
	address func(out *http.Request) // makes it a request to this target

	breaker  breaker
	heads    heads
	inFlight atomic.Int64 // until the body of the answer is closed
	asked    atomic.Uint64
	failed   atomic.Uint64
	trouble  atomic.Pointer[trouble]
}

// trouble is what went wrong last.
type trouble struct {
	text string
	at   time.Time
}

const longestTrouble = 256 // bytes of it; some errors quote what was sent

func (t *target) note(text string) {
	if len(text) > longestTrouble {
		text = text[:longestTrouble] + "…"
	}
	t.trouble.Store(&trouble{text, time.Now()})
}

// Condition says how somebody does who is asked.
type Condition struct {
	Breaker     string // [Closed], [Open] or [HalfOpen]
	InFlight    int64  // requests whose answers have not ended
	Requests    uint64
	Failures    uint64
	P95         time.Duration // until the head of an answer, of the last ones; 0 where few are known
	LastError   string        // empty for none
	LastErrorAt time.Time
}

func (t *target) condition(now time.Time) Condition {
	c := Condition{
		Breaker: t.breaker.state(now), InFlight: t.inFlight.Load(), P95: t.heads.p95(),
		Requests: t.asked.Load(), Failures: t.failed.Load(),
	}
	if last := t.trouble.Load(); last != nil {
		c.LastError, c.LastErrorAt = last.text, last.at
	}
	return c
}

// chosen is a target with the leave to ask it once. Its place in flight is taken.
type chosen struct {
	*target
	ticket ticket
}

// choose takes the leave, if the breaker is in the state that is needed.
func (t *target) choose(now time.Time, n need) (chosen, bool) {
	leave, ok := t.breaker.take(now, n)
	if !ok {
		return chosen{}, false
	}
	t.inFlight.Add(1)
	t.asked.Add(1)
	return chosen{t, leave}, true
}
