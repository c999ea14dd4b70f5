package transcode

import (
	"sync"
	"time"
)

// Progress is how far a job is. Phases follow one another; Done and Total are
// in the time of the source, so Done over the time that a phase has run is its
// speed.
type Progress struct {
	Phase string // analyse, encode or package
	Done  time.Duration
	Total time.Duration // 0 while unknown
}

// The phases.
const (
	phaseAnalyse = "analyse"
	phaseEncode  = "encode"
	phasePackage = "package"
)

// progress adds up the work of the running phase.
type progress struct {
	mu     sync.Mutex
	report func(Progress) // may be nil
	phase  string
	work   float64 // all of the phase, in whatever unit add counts
	done   float64
	length time.Duration // of the source
}

// begin starts a phase of so much work on a source of this length.
func (p *progress) begin(phase string, work float64, length time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.work, p.done, p.length = phase, work, 0, length
	p.tell()
}

// add counts work of a phase; a negative amount takes it back. Work of another
// phase than the running one does not show.
func (p *progress) add(phase string, amount float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if phase != p.phase {
		return
	}
	p.done += amount
	p.tell()
}

func (p *progress) tell() {
	if p.report == nil {
		return
	}
	now := Progress{Phase: p.phase, Total: p.length}
	if p.work > 0 {
		now.Done = time.Duration(min(1, p.done/p.work) * float64(p.length))
	}
	p.report(now)
}
