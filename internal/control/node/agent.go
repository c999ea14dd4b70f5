package node

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/worker"
	"liuyun/internal/kit/bus"
)

// State is how a node is.
type State string

// The states.
const (
	Ready    State = "ready"
	Draining State = "draining" // finishes what it does, on request
	Aside    State = "aside"    // cannot do its work; comes back by itself when mended
	Gone     State = "gone"     // not heard of
)

// Beat is what a node tells of itself every five seconds.
type Beat struct {
	Node       string  `json:"node"`
	Name       string  `json:"name"`
	Version    string  `json:"version"`
	Class      string  `json:"class"`
	State      State   `json:"state"`
	Reason     string  `json:"reason"`
	Cores      int     `json:"cores"`
	Load       float64 `json:"load"`
	Memory     int64   `json:"memory"`
	MemoryUsed int64   `json:"memory_used"`
	DiskFree   int64   `json:"disk_free"`
	DiskSize   int64   `json:"disk_size"`
	Running    int     `json:"running"`
	// Figures are nil on a node that takes no jobs, and of an earlier version.
	Figures *worker.Figures `json:"figures,omitempty"`
}

// greeting and welcome are the question and answer of subjectGreet.
type greeting struct {
	Node string `json:"node"`
}

type welcome struct {
	Time     time.Time `json:"time"`
	Draining bool      `json:"draining"`
	Reach    Reach     `json:"reach"` // of the control nodes now
}

// line is what an Agent needs of the bus.
type line interface {
	Publish(subject string, v any) error
	Request(ctx context.Context, subject string, in, out any) error
}

// AgentSubjects are what the Agent of a node says on the bus, in its own name.
func AgentSubjects(node string) []string {
	return []string{bus.From(subjectBeat, node), bus.From(subjectGreet, node)}
}

// taker is what an Agent holds back: it takes jobs, or it does not.
type taker interface {
	Pause()
	Resume()
	Running() int
}

// Agent tells the control nodes how this machine is, and holds its worker back
// while it cannot do its work. Line must be set.
type Agent struct {
	Line    line
	Worker  taker  // nil on a node that takes no jobs
	Node    string // id
	Name    string
	Version string
	Class   string
	Folder  string // of the data; its disk is looked at and tried

	// Reserve is the free space below which the disk counts as full.
	Reserve int64
	// Tools says why ffmpeg cannot do the work, with what to do, or nil. It is asked
	// once a minute, by one goroutine at a time.
	Tools func(ctx context.Context) error
	// Figures are what this machine is worth as a worker; nil without a Worker.
	Figures func() *worker.Figures
	// Learn is told with each beat where the control nodes are now; nil where nobody
	// needs to know.
	Learn func(Reach)
	Log   *slog.Logger

	mu   sync.Mutex
	last Beat
	cpu  cpuTimes

	probing sync.Mutex // one looks at tools and disk at a time
	tools   error      // what Tools answered
	checked time.Time  // when it was asked
}

// Run beats until ctx ends. It is ready after the first beat; while the control
// nodes cannot be reached it goes on trying, and the worker goes on with what it
// has.
func (a *Agent) Run(ctx context.Context, ready func()) error {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		a.beat(ctx)
		ready()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Last returns the last beat.
func (a *Agent) Last() Beat {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// beat looks at the machine, decides and tells.
func (a *Agent) beat(ctx context.Context) {
	b := Beat{Node: a.Node, Name: a.Name, Version: a.Version, Class: a.Class, State: Ready}
	a.measure(&b)
	if a.Figures != nil {
		b.Figures = a.Figures()
	}
	skew, draining, err := a.greet(ctx)
	if fault.CodeOf(err) == fault.NotFound {
		b.State, b.Reason = Aside, "this node was deleted; join again with a new token"
	} else if reason := a.reason(ctx, b, skew); reason != "" {
		b.State, b.Reason = Aside, reason
	} else if err != nil {
		// Nobody can be asked. What was wanted last still holds.
		b.State, b.Reason = a.Last().State, a.Last().Reason
		if b.State == "" {
			b.State = Ready
		}
	} else if draining {
		b.State = Draining
	}
	a.settle(b)
	if err := a.Line.Publish(bus.From(subjectBeat, a.Node), b); err != nil {
		a.Log.Debug("heartbeat not sent", "error", err)
	}
}

// settle takes the beat as the present one and lets the worker follow.
func (a *Agent) settle(b Beat) {
	a.mu.Lock()
	before := a.last
	a.last = b
	a.mu.Unlock()
	if a.Worker != nil {
		if b.State == Ready {
			a.Worker.Resume()
		} else {
			a.Worker.Pause()
		}
	}
	switch {
	case b.State == Aside && (before.State != Aside || before.Reason != b.Reason):
		a.Log.Warn("this node takes no jobs", "reason", b.Reason)
	case before.State == Aside && b.State != Aside:
		a.Log.Info("this node can work again")
	}
}

// greet asks a control node for the time and for what is wanted. Skew is how far
// this clock is ahead, at least: half of the way there and back is in doubt.
func (a *Agent) greet(ctx context.Context) (skew time.Duration, draining bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, beatEvery-time.Second)
	defer cancel()
	asked := time.Now()
	var answer welcome
	if err := a.Line.Request(ctx, bus.From(subjectGreet, a.Node), greeting{a.Node}, &answer); err != nil {
		return 0, false, err
	}
	if a.Learn != nil && len(answer.Reach.Bus) > 0 {
		a.Learn(answer.Reach)
	}
	return skewOf(asked, time.Since(asked), answer.Time), answer.Draining, nil
}

// skewOf compares this clock with another's answer, which was given at some time
// between asking and took later.
func skewOf(asked time.Time, took time.Duration, answer time.Time) time.Duration {
	here := asked.Add(took / 2).Round(0) // without the monotonic reading, which the other has not got
	off := here.Sub(answer)
	switch doubt := took / 2; {
	case off > doubt:
		return off - doubt
	case off < -doubt:
		return off + doubt
	}
	return 0
}

// reason says why the node cannot do its work and what to do, or is empty.
func (a *Agent) reason(ctx context.Context, b Beat, skew time.Duration) string {
	if skew > maxSkew || skew < -maxSkew {
		where := "ahead of"
		if skew < 0 {
			where = "behind"
		}
		return fmt.Sprintf("its clock is %d s %s the control node's; set it, and let NTP keep it", int(math.Abs(skew.Seconds())+0.5), where)
	}
	// Before the disk is tried: a full one takes no writes, and this says why.
	if b.DiskSize > 0 && b.DiskFree < a.Reserve {
		return fmt.Sprintf("its disk is full: %d MB are free in %s, and %d MB are kept in reserve; delete something", b.DiskFree>>20, a.Folder, a.Reserve>>20)
	}
	if err := a.probe(ctx, time.Minute); err != nil {
		return fault.Message(err)
	}
	return ""
}

// Sound says what keeps this machine from doing any work, or nil. A worker asks
// when a job came to an error: the fault may be the machine's.
func (a *Agent) Sound(ctx context.Context) error { return a.probe(ctx, soundFor) }

// soundFor is how long the answer of Tools holds for jobs that fail: many may do
// so at once.
const soundFor = 2 * time.Second

// probe looks at ffmpeg, unless that was found well within the time fresh, and at
// the disk.
func (a *Agent) probe(ctx context.Context, fresh time.Duration) error {
	a.probing.Lock()
	defer a.probing.Unlock()
	if a.Worker != nil && a.Tools != nil {
		if a.tools != nil || time.Since(a.checked) >= fresh {
			err := a.Tools(ctx)
			if ctx.Err() != nil {
				return nil // nobody knows
			}
			a.tools, a.checked = err, time.Now()
		}
		if a.tools != nil {
			return a.tools
		}
	}
	if err := probeDisk(a.Folder); err != nil {
		return fault.Wrap(err, fault.Unavailable, "its disk cannot be written (%v); look at the disk that holds %s", err, a.Folder)
	}
	return nil
}
