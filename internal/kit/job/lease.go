package job

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"liuyun/internal/base/fault"
)

// progressEvery is how often progress is told at most, but for a new phase.
const progressEvery = time.Second

func (l *Lease) held() held {
	l.mu.Lock()
	defer l.mu.Unlock()
	return held{l.ID, l.Attempt, l.progress, l.phase}
}

// Progress tells how far the job is, from 0 to 1, and what it is doing. It may be
// called as often as one likes.
func (l *Lease) Progress(fraction float64, phase string) {
	fraction = min(max(fraction, 0), 1)
	l.mu.Lock()
	changed := phase != l.phase
	l.progress, l.phase = fraction, phase
	quiet := !changed && time.Since(l.told) < progressEvery
	if !quiet {
		l.told = time.Now()
	}
	l.mu.Unlock()
	if !quiet {
		_ = l.worker.Bus.Publish(SubjectProgress, Progress{l.ID, l.Group, l.Tenant, l.Kind, fraction, phase})
	}
}

// submitBatch keeps the specs of one request below the bus's limit.
const submitBatch = 64

// Submit adds children of this job, in its tenant and group, and returns their
// ids; see [Spec] for those that are present. It tries again while the queue
// cannot be reached, until ctx ends.
func (l *Lease) Submit(ctx context.Context, specs ...Spec) (ids []string, err error) {
	for len(specs) > 0 {
		n, size := 0, 0
		for n < min(len(specs), submitBatch) {
			text, err := document(specs[n].Payload)
			if err != nil {
				return nil, err
			}
			if size += len(text); n > 0 && size > takeBytes {
				break
			}
			n++
		}
		var out submitAnswer
		if err := l.ask(ctx, "job.submit", submitRequest{l.worker.Node, l.held(), specs[:n]}, &out); err != nil {
			return nil, err
		}
		ids, specs = append(ids, out.IDs...), specs[n:]
	}
	return ids, nil
}

// ask sends a request that may be sent twice until it is answered.
func (l *Lease) ask(ctx context.Context, subject string, in, out any) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := l.worker.Bus.Request(ctx, subject, in, out)
		if fault.CodeOf(err) != fault.Unavailable || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), fault.Canceled, "stopped")
		}
	}
}

// waits are the jobs that handlers of this worker wait for.
type waits struct {
	mu   sync.Mutex
	jobs map[string][]chan Job
	wake chan struct{}
}

func (s *waits) nudges() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
	}
	return s.wake
}

func (s *waits) nudge() {
	select {
	case s.nudges() <- struct{}{}:
	default:
	}
}

func (s *waits) add(id string) chan Job {
	c := make(chan Job, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs == nil {
		s.jobs = make(map[string][]chan Job)
	}
	s.jobs[id] = append(s.jobs[id], c)
	return c
}

func (s *waits) remove(id string, c chan Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rest []chan Job
	for _, other := range s.jobs[id] {
		if other != c {
			rest = append(rest, other)
		}
	}
	if s.jobs[id] = rest; len(rest) == 0 {
		delete(s.jobs, id)
	}
}

func (s *waits) list() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.jobs {
		ids = append(ids, id)
	}
	return ids
}

func (s *waits) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.jobs[id]) > 0
}

func (s *waits) give(j Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.jobs[j.ID] {
		c <- j // each has room for one, and gets one
	}
	delete(s.jobs, j.ID)
}

// Wait returns the job when it is done, failed for good or canceled, without its
// payload. An error says that ctx has ended.
func (l *Lease) Wait(ctx context.Context, id string) (Job, error) {
	s := &l.worker.waits
	c := s.add(id)
	defer s.remove(id, c)
	s.nudge()
	select {
	case j := <-c:
		return j, nil
	case <-ctx.Done():
		return Job{}, fault.Wrap(ctx.Err(), fault.Canceled, "stopped waiting for job %s", id)
	}
}

// ended wakes those who wait for a job.
func (w *Worker) ended(data []byte) {
	var e Ended
	if json.Unmarshal(data, &e) == nil && w.waits.has(e.Job) {
		w.waits.nudge()
	}
}

// lookUntil asks after the jobs that handlers wait for: when somebody tells that
// one has ended, and every few seconds in case nobody could.
func (w *Worker) lookUntil(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.waits.nudges():
			// Several that begin or end at once are one question.
			select {
			case <-time.After(min(20*time.Millisecond, w.pace.look)):
			case <-ctx.Done():
				return
			}
		case <-time.After(w.pace.look):
		}
		ids := w.waits.list()
		for len(ids) > 0 {
			n := min(len(ids), 500)
			var out lookAnswer
			if err := w.Bus.Request(ctx, "job.look", lookRequest{ids[:n]}, &out); err != nil {
				w.Log.Debug("job: cannot look after children", "error", err)
				break
			}
			for _, j := range out.Jobs {
				w.waits.give(j)
			}
			ids = ids[n:]
		}
	}
}
