package front

import (
	"hash/maphash"
	"maps"
	"math"
	"math/bits"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"liuyun/internal/base/id"
)

const (
	// crowdStep is how much of the time a sketch of a crowd is of, and crowdSteps are counted
	// together: who has asked for something in them watches. That is longer than any player
	// waits for its next segment.
	crowdStep  = 5 * time.Second
	crowdSteps = 4
	// crowdBits of a hash choose a register: with 4096 of them the count is right to 1.6 %,
	// and mostly to the one up to a hundred.
	crowdBits = 12
	// mostCrowds bounds the streams whose viewers are counted: 16 KiB each.
	mostCrowds = 1000
)

// crowd counts who watches a stream, in bounded memory and without keeping who they are:
// HyperLogLog (Flajolet et al., 2007) of each of the last steps of time. The union of
// several has the greater of each register. Few are counted by the registers that are empty.
type crowd struct {
	mu    sync.Mutex
	steps [crowdSteps]crowdSketch
}

// crowdSketch is of one step of time, by its number.
type crowdSketch struct {
	step      int64
	registers [1 << crowdBits]uint8
}

// note takes in one who watches, by a hash.
func (c *crowd) note(who uint64, step int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.steps[step%crowdSteps]
	if s.step != step {
		*s = crowdSketch{step: step}
	}
	at, rest := who>>(64-crowdBits), who<<crowdBits|1<<(crowdBits-1)
	s.registers[at] = max(s.registers[at], uint8(bits.LeadingZeros64(rest)+1))
}

// count is about how many have watched in the steps up to that one.
func (c *crowd) count(step int64) int64 {
	var all [1 << crowdBits]uint8
	c.mu.Lock()
	for i := range c.steps {
		if s := &c.steps[i]; s.step <= step && step-s.step < crowdSteps {
			for at, rank := range s.registers {
				all[at] = max(all[at], rank)
			}
		}
	}
	c.mu.Unlock()
	const m = float64(len(all))
	sum, empty := 0.0, 0
	for _, rank := range all {
		sum += math.Ldexp(1, -int(rank))
		if rank == 0 {
			empty++
		}
	}
	estimate := 0.7213 / (1 + 1.079/m) * m * m / sum
	if estimate <= 2.5*m && empty > 0 {
		estimate = m * math.Log(m/float64(empty))
	}
	return int64(math.Round(estimate))
}

// crowds are those of all streams that somebody watches here.
type crowds struct {
	seed maphash.Seed
	mu   sync.RWMutex
	of   map[string]*crowd
}

func newCrowds() *crowds { return &crowds{seed: maphash.MakeSeed(), of: make(map[string]*crowd)} }

func stepAt(now time.Time) int64 { return now.UnixNano() / int64(crowdStep) }

// note takes in who has got something, if that is of a stream. Viewers are told apart by
// where they come from and what they call themselves, as control nodes do it.
func (c *crowds) note(o *Outcome, now time.Time) {
	stream := streamOf(o.Path)
	media := o.Method == http.MethodGet || o.Method == http.MethodHead // others are answered for streams that are none
	if stream == "" || !media || o.Status < 200 || o.Status >= 400 {
		return
	}
	c.mu.RLock()
	of := c.of[stream]
	c.mu.RUnlock()
	if of == nil {
		if of = c.begin(stream); of == nil {
			return
		}
	}
	host, _, err := net.SplitHostPort(o.Client)
	if err != nil {
		host = o.Client
	}
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.WriteString(host)
	h.WriteByte(0)
	h.WriteString(o.Agent)
	of.note(h.Sum64(), stepAt(now))
}

// begin returns the crowd of a stream, or nil where there are too many.
func (c *crowds) begin(stream string) *crowd {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of[stream]
	if of == nil && len(c.of) < mostCrowds {
		of = &crowd{}
		c.of[strings.Clone(stream)] = of
	}
	return of
}

// count is how many watch each stream, and forgets those that nobody does.
func (c *crowds) count(now time.Time) (counts map[string]int64) {
	c.mu.RLock()
	all := maps.Clone(c.of)
	c.mu.RUnlock()
	for stream, of := range all {
		if n := of.count(stepAt(now)); n > 0 {
			if counts == nil {
				counts = make(map[string]int64, len(all))
			}
			counts[stream] = n
			continue
		}
		c.mu.Lock()
		delete(c.of, stream)
		c.mu.Unlock()
	}
	return counts
}

// streamOf is the stream that a path of media is of, or "".
func streamOf(path string) string {
	rest, ok := strings.CutPrefix(path, "/play/")
	if !ok {
		return ""
	}
	if rest[:min(len(rest), 1)] == "~" { // a token, or what stands for it
		_, rest, _ = strings.Cut(rest, "/")
	}
	if rest, _, _ = strings.Cut(rest, "/"); !id.Valid("str", rest) {
		return ""
	}
	return rest
}
