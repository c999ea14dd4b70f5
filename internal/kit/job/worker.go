package job

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/bus"
)

// WorkerSubjects are what a worker needs of the bus.
func WorkerSubjects() bus.Subjects {
	return bus.Subjects{
		Publish:   []string{"job.take", "job.release", "job.renew", "job.end", "job.submit", "job.look", SubjectProgress},
		Subscribe: []string{SubjectAdded, SubjectCanceled, SubjectEnded, SubjectProgress},
	}
}

// Kind is what a worker can do of one kind.
type Kind struct {
	Slots int // how many at once
	// Brief says that a job takes seconds, a minute at most: when the worker is
	// stopped it may end, within Worker.Grace. Others are stopped at once and given
	// back.
	Brief bool
	// Handle does the job. Its ctx ends when the job was canceled, the lease was
	// lost or the worker is stopped; then nothing that it returns counts. The result
	// becomes JSON. An error with code Unavailable or Internal is tried again, three
	// times in all; StorageFull waits for room; Canceled puts the job back; any other
	// is for good.
	Handle func(ctx context.Context, l *Lease) (result any, err error)
}

// Worker takes jobs and does them. The fields are set before Run and not changed.
type Worker struct {
	Bus   *bus.Bus
	Node  string   // different on each node
	Class string   // of jobs that it takes besides those for any
	Also  []string // other classes that it takes, at most 8
	Kinds map[string]Kind
	// Room is nil, or says with fault.StorageFull that the disk is too full for jobs
	// that wait for room. Any error of a job is then the disk's.
	Room func() error
	// Sound says what keeps this machine from doing any work, or nil; without it all
	// machines are sound. It is asked when a job came to an error. When the machine is
	// at fault the job goes back as if it had not been tried, and no more are taken
	// until Resume.
	Sound func(ctx context.Context) error
	// Grace is how long brief jobs may take that run when Run's ctx ends.
	Grace time.Duration
	Log   *slog.Logger

	pace   pace
	mu     sync.Mutex
	paused bool
	hurry  bool              // the grace is over
	leases map[string]*Lease // by job
	used   map[string]int    // slots, by kind
	idle   *sync.Cond
	wake   chan struct{}
	waits  waits
}

// pace is what tests make shorter.
type pace struct{ renew, poll, look, lease time.Duration }

// Lease is a job that is being done. Handlers may use it from several goroutines
// until they return.
type Lease struct {
	Job
	worker *Worker
	cancel context.CancelFunc

	mu       sync.Mutex
	progress float64
	phase    string
	told     time.Time // when progress was published last
	renewed  time.Time // when the lease was renewed last, before the request was sent
}

// begin makes what the zero value lacks. The methods may be called before Run.
func (w *Worker) begin() {
	if w.leases != nil {
		return
	}
	w.leases, w.used = make(map[string]*Lease), make(map[string]int)
	w.idle, w.wake = sync.NewCond(&w.mu), make(chan struct{}, 1)
	if w.pace == (pace{}) {
		w.pace = pace{renew: 8 * time.Second, poll: 2 * time.Second, look: 5 * time.Second, lease: 30 * time.Second}
	}
	if w.Log == nil {
		w.Log = slog.New(slog.DiscardHandler)
	}
}

// Run takes jobs until ctx ends. Then brief jobs that run may end; the others are
// stopped and given back.
func (w *Worker) Run(ctx context.Context, ready func()) error {
	w.mu.Lock()
	w.begin()
	w.mu.Unlock()
	for subject, fn := range map[string]func([]byte){
		SubjectAdded: func([]byte) { w.nudge() }, SubjectCanceled: w.canceled, SubjectEnded: w.ended,
	} {
		stop, err := w.Bus.Subscribe(subject, func(_ string, data []byte) { fn(data) })
		if err != nil {
			return err
		}
		defer stop()
	}
	ready()
	if !w.release(ctx) {
		return nil
	}
	var all sync.WaitGroup
	defer all.Wait()
	brief, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	all.Go(func() { w.renewUntil(brief) })
	all.Go(func() { w.lookUntil(brief) })
	for ctx.Err() == nil {
		if free := w.free(); len(free) > 0 {
			w.takeInto(ctx, brief, &all, free)
		}
		select {
		case <-w.wake:
		case <-time.After(w.pace.poll):
		case <-ctx.Done():
		}
	}
	w.settle()
	return nil
}

// settle waits for the brief jobs that run, for at most Grace.
func (w *Worker) settle() {
	timer := time.AfterFunc(w.Grace, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hurry = true
		w.idle.Broadcast()
	})
	defer timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.briefRunning() > 0 && !w.hurry {
		w.idle.Wait()
	}
}

func (w *Worker) briefRunning() int {
	n := 0
	for kind, k := range w.Kinds {
		if k.Brief {
			n += w.used[kind]
		}
	}
	return n
}

// release gives back what an earlier life of this worker held. It tries until it
// succeeds and reports whether ctx still lives.
func (w *Worker) release(ctx context.Context) bool {
	for {
		err := w.Bus.Request(ctx, "job.release", releaseRequest{w.Node}, nil)
		if err == nil {
			return true
		}
		w.Log.Debug("job: waits for the queue", "error", err)
		select {
		case <-time.After(w.pace.poll / 4):
		case <-ctx.Done():
			return false
		}
	}
}

func (w *Worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// free tells the slots that may be filled.
func (w *Worker) free() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	free := make(map[string]int)
	for kind, k := range w.Kinds {
		if n := k.Slots - w.used[kind]; n > 0 && !w.paused {
			free[kind] = n
		}
	}
	return free
}

// takeInto takes jobs and begins them. They live as long as ctx, those of a brief
// kind as long as brief.
func (w *Worker) takeInto(ctx, brief context.Context, all *sync.WaitGroup, free map[string]int) {
	var out takeAnswer
	sent := time.Now()
	// Not of ctx: what was given must not be lost when the worker is stopped meanwhile.
	err := w.Bus.Request(brief, "job.take", takeRequest{w.Node, w.Class, w.Also, free, w.Room != nil && w.Room() != nil}, &out)
	if err != nil {
		if ctx.Err() == nil {
			w.Log.Debug("job: nothing taken", "error", err)
		}
		return
	}
	for _, j := range out.Jobs {
		life := ctx
		if w.Kinds[j.Kind].Brief && ctx.Err() == nil {
			life = brief
		}
		working, cancel := context.WithCancel(life)
		l := &Lease{Job: j, worker: w, cancel: cancel, renewed: sent}
		w.mu.Lock()
		w.leases[j.ID] = l
		w.used[j.Kind]++
		w.mu.Unlock()
		all.Go(func() {
			defer cancel()
			w.do(working, life, l)
			w.mu.Lock()
			delete(w.leases, j.ID)
			w.used[j.Kind]--
			w.idle.Broadcast()
			w.mu.Unlock()
			w.nudge()
		})
	}
	if len(out.Jobs) > 0 {
		w.nudge() // perhaps there are more than fitted
	}
}

// do runs the handler and tells how it ended. working ends with the lease, life
// with the worker.
func (w *Worker) do(working, life context.Context, l *Lease) {
	result, err := w.handle(working, l)
	end := endRequest{Node: w.Node, Lease: l.held()}
	if err == nil {
		var text string
		if text, err = document(result); err == nil {
			end.Result = json.RawMessage(text)
		}
	}
	if err != nil {
		end.Error = w.failure(working, l, err)
	}
	w.tell(life, l, end)
}

// failure is what the queue is told of a job that came to err. The disk or the
// machine may be at fault; then it is not the job that has failed.
func (w *Worker) failure(working context.Context, l *Lease, err error) *Failure {
	code := fault.CodeOf(err)
	failure := &Failure{code, fault.Message(err)}
	switch {
	case working.Err() != nil:
		return &Failure{fault.Canceled, "stopped"}
	case code == fault.Canceled || code == fault.StorageFull:
		return failure
	}
	// An encoder that cannot write its last bytes does not always say so.
	if w.Room != nil {
		if full := w.Room(); fault.CodeOf(full) == fault.StorageFull {
			w.Log.Warn("job: held, for the disk is full", "job", l.ID, "error", err)
			return &Failure{fault.StorageFull, fault.Message(full)}
		}
	}
	if w.Sound != nil {
		if unsound := w.Sound(working); unsound != nil {
			w.Pause()
			w.Log.Warn("job: given back, for this machine is at fault", "job", l.ID, "error", err, "machine", unsound)
			return &Failure{fault.Canceled, fault.Message(unsound)}
		}
	}
	if code == fault.Internal {
		w.Log.Error("job: failed", "job", l.ID, "kind", l.Kind, "error", err)
	}
	return failure
}

// tell reports the end until it is heard or the lease has run out, then nobody
// wants to hear it. A worker that is being stopped tries for a few seconds.
func (w *Worker) tell(life context.Context, l *Lease, end endRequest) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(life), w.pace.lease)
	defer cancel()
	stop := context.AfterFunc(life, func() { time.AfterFunc(min(3*time.Second, w.pace.lease), cancel) })
	defer stop()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := w.Bus.Request(ctx, "job.end", end, nil)
		if err == nil {
			return
		}
		w.Log.Warn("job: its end was not heard", "job", l.ID, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

func (w *Worker) handle(ctx context.Context, l *Lease) (result any, err error) {
	defer func() {
		if r := recover(); r != nil {
			w.Log.Error("job: panic", "job", l.ID, "kind", l.Kind, "panic", r, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "a defect in the program, see the log of node %s", w.Node)
		}
	}()
	k, ok := w.Kinds[l.Kind]
	if !ok {
		return nil, fmt.Errorf("job of kind %s, which this worker did not ask for", l.Kind)
	}
	return k.Handle(ctx, l)
}

// renewUntil keeps the leases alive. One that could not be renewed in time is
// lost: by then another may have the job.
func (w *Worker) renewUntil(ctx context.Context) {
	ticker := time.NewTicker(w.pace.renew)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		w.mu.Lock()
		in := renewRequest{Node: w.Node}
		all := make([]*Lease, 0, len(w.leases))
		for _, l := range w.leases {
			in.Leases, all = append(in.Leases, l.held()), append(all, l)
		}
		w.mu.Unlock()
		if len(all) == 0 {
			continue
		}
		w.renew(ctx, in, all)
	}
}

func (w *Worker) renew(ctx context.Context, in renewRequest, all []*Lease) {
	ctx, cancel := context.WithTimeout(ctx, w.pace.renew)
	defer cancel()
	sent := time.Now()
	var out renewAnswer
	err := w.Bus.Request(ctx, "job.renew", in, &out)
	lost := make(map[string]bool)
	for _, id := range out.Lost {
		lost[id] = true
	}
	for _, l := range all {
		l.mu.Lock()
		if err == nil && !lost[l.ID] {
			l.renewed = sent
		}
		late := time.Since(l.renewed) > w.pace.lease
		l.mu.Unlock()
		if lost[l.ID] || late {
			w.Log.Warn("job: the lease is lost", "job", l.ID, "attempt", l.Attempt)
			l.cancel()
		}
	}
}

// canceled stops a job at once; without it the next renewal would.
func (w *Worker) canceled(data []byte) {
	var e Ended
	if json.Unmarshal(data, &e) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.leases[e.Job]; l != nil {
		l.cancel()
	}
}

// Pause takes no more jobs until Resume; those that run go on.
func (w *Worker) Pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin()
	w.paused = true
}

// Resume takes jobs again.
func (w *Worker) Resume() {
	w.mu.Lock()
	w.begin()
	w.paused = false
	w.mu.Unlock()
	w.nudge()
}

// Running returns how many jobs the worker has in hand.
func (w *Worker) Running() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.leases)
}
