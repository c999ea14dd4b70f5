package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/store"
)

// bench is a queue with a real bus and a real store.
type bench struct {
	*Queue
	t *testing.T
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t *testing.T, folder string) (*store.DB, *bus.Bus) {
	t.Helper()
	return openAs(t, folder, folder+"/bus")
}

func openAs(t *testing.T, folder, busFolder string) (*store.DB, *bus.Bus) {
	t.Helper()
	db, err := store.Open(t.Context(), folder, store.DefaultConfig(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), bus.Migrations(), Migrations()); err != nil {
		t.Fatal(err)
	}
	b, err := bus.New(bus.Options{Name: "one", Folder: busFolder, Config: bus.DefaultConfig(), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	component(t, b.Run)
	return db, b
}

func newBench(t *testing.T, change func(*Queue)) *bench {
	t.Helper()
	db, b := open(t, t.TempDir())
	q := NewQueue(db, b, quiet())
	q.timing = timing{
		lease: 400 * time.Millisecond, sweep: 20 * time.Millisecond, hold: 50 * time.Millisecond,
		backOff: [2]time.Duration{10 * time.Millisecond, 20 * time.Millisecond}, keep: time.Hour, keepTime: time.Hour,
	}
	if change != nil {
		change(q)
	}
	component(t, q.Run)
	return &bench{q, t}
}

func component(t *testing.T, run func(context.Context, func()) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("ended before it was ready: %v", err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

type handler = func(context.Context, *Lease) (any, error)

func (b *bench) worker(node string, slots int, handle handler) *Worker {
	return &Worker{
		Bus: b.bus, Node: node, Kinds: map[string]Kind{"work": {Slots: slots, Handle: handle}}, Log: quiet(),
		pace: pace{renew: 100 * time.Millisecond, poll: 100 * time.Millisecond, look: 100 * time.Millisecond, lease: 400 * time.Millisecond},
	}
}

func (b *bench) write(fn func(tx *store.Tx) error) {
	b.t.Helper()
	if err := b.db.Write(b.t.Context(), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) add(specs ...Spec) (ids []string) {
	b.t.Helper()
	b.write(func(tx *store.Tx) (err error) {
		ids, err = b.Add(tx, specs...)
		return err
	})
	return ids
}

func (b *bench) get(id string) (j Job) {
	b.t.Helper()
	if err := b.db.Read(b.t.Context(), func(tx *store.Tx) (err error) {
		j, err = b.Get(tx, id)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return j
}

func (b *bench) until(id string, what string, condition func(Job) bool) Job {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		j := b.get(id)
		if condition(j) {
			return j
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("not within 20 s: %s; the job is %+v", what, j)
		}
	}
}

func (b *bench) untilState(id string, want State) Job {
	b.t.Helper()
	return b.until(id, string(want), func(j Job) bool { return j.State == want })
}

func spec(name string) Spec { return Spec{Kind: "work", Tenant: "ten", Group: "ast", Name: name} }

func ok(context.Context, *Lease) (any, error) { return map[string]int{"n": 1}, nil }

// until ctx ends.
func forever(ctx context.Context, _ *Lease) (any, error) { <-ctx.Done(); return nil, ctx.Err() }

func TestDone(t *testing.T) {
	t.Parallel()
	var order []string
	b := newBench(t, func(q *Queue) {
		q.OnStart("work", func(_ *store.Tx, j Job) error { order = append(order, "start "+string(j.State)); return nil })
		q.OnEnd("work", func(_ *store.Tx, j Job) error {
			order = append(order, "end "+string(j.State)+string(j.Result))
			return nil
		})
	})
	told := make(chan Progress, 10)
	stop, err := b.bus.Subscribe(SubjectProgress, func(_ string, data []byte) {
		var p Progress
		json.Unmarshal(data, &p)
		told <- p
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	component(t, b.worker("w", 1, func(_ context.Context, l *Lease) (any, error) {
		l.Progress(0.5, "encode")
		l.Progress(0.6, "encode") // too soon to be told
		return json.RawMessage(l.Payload), nil
	}).Run)
	s := spec("a")
	s.Payload = map[string]string{"in": "x"}
	ids := b.add(s)
	j := b.untilState(ids[0], Done)
	if string(j.Result) != `{"in":"x"}` || j.Attempt != 1 || j.Node != "w" || j.Progress != 1 || j.Ended.IsZero() {
		t.Errorf("got %+v", j)
	}
	if diff := cmp.Diff([]string{"start running", `end done{"in":"x"}`}, order); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Progress{ids[0], "ast", "ten", "work", 0.5, "encode"}, <-told); diff != "" || len(told) > 0 {
		t.Errorf("progress: %d more (-want +got):\n%s", len(told), diff)
	}
	if again := b.add(s); again[0] != ids[0] {
		t.Errorf("added again: got %s, want the present %s", again[0], ids[0])
	}
}

// How often a handler's error is tried again, and what becomes of the job.
func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		err      error
		state    State
		attempts int
		code     fault.Code
	}{
		{"invalid", fault.New(fault.Invalid, "no video"), Failed, 1, fault.Invalid},
		{"not found", fault.New(fault.NotFound, "no source"), Failed, 1, fault.NotFound},
		{"internal", errors.New("oops"), Failed, 3, fault.Internal},
		{"unavailable", fault.New(fault.Unavailable, "no ffmpeg"), Failed, 3, fault.Unavailable},
	}
	b := newBench(t, nil)
	component(t, b.worker("w", 4, func(_ context.Context, l *Lease) (any, error) {
		if l.Name == "panic" {
			panic("boom")
		}
		if l.Name == "large" {
			return make([]byte, MaxPayload), nil
		}
		for _, test := range tests {
			if test.name == l.Name {
				return nil, test.err
			}
		}
		return nil, nil
	}).Run)
	tests = append(tests, []struct {
		name     string
		err      error
		state    State
		attempts int
		code     fault.Code
	}{{"panic", nil, Failed, 3, fault.Internal}, {"large", nil, Failed, 1, fault.Limit}}...)
	for _, test := range tests {
		j := b.untilState(b.add(spec(test.name))[0], test.state)
		if j.Attempt != test.attempts || j.Error == nil || j.Error.Code != test.code {
			t.Errorf("%s: got %+v with %+v", test.name, j, j.Error)
		}
	}
	id := b.add(spec("invalid"))[0]
	if j := b.untilState(id, Failed); j.Attempt != 1 {
		t.Errorf("a failed job was not made anew: %+v", j)
	}
}

// A machine that is at fault gives its jobs back, untried, and takes no more.
func TestUnsoundMachine(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id := b.add(Spec{Kind: "work", Group: "g", Name: "n"})[0]
	asked := make(chan struct{}, 1)
	sick := b.worker("sick", 1, func(context.Context, *Lease) (any, error) {
		return nil, fault.New(fault.Invalid, "the program is broken, and tells it as it can")
	})
	sick.Sound = func(context.Context) error {
		asked <- struct{}{}
		return fault.New(fault.Unavailable, "the program is broken")
	}
	component(t, sick.Run)
	<-asked
	back := b.until(id, "given back", func(j Job) bool { return j.State == Waiting })
	if back.Error != nil || back.Attempt != 1 {
		t.Errorf("given back with error %v in attempt %d", back.Error, back.Attempt)
	}
	component(t, b.worker("sound", 1, func(context.Context, *Lease) (any, error) { return nil, nil }).Run)
	if j := b.untilState(id, Done); j.Node != "sound" {
		t.Errorf("done by %s", j.Node)
	}
}

// An error on a full disk is the disk's, whatever it says.
func TestErrorOnFullDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var full atomic.Bool
	full.Store(true)
	w := b.worker("w", 1, func(context.Context, *Lease) (any, error) {
		if full.Load() {
			return nil, fault.New(fault.Invalid, "the file is not an MP4, or was not finished")
		}
		return nil, nil
	})
	w.Room = func() error {
		if full.Load() {
			return fault.New(fault.StorageFull, "no room")
		}
		return nil
	}
	component(t, w.Run)
	id := b.add(spec("a"))[0]
	if j := b.until(id, "held", func(j Job) bool { return j.Hold == HoldStorage }); j.Error == nil || j.Error.Message != "no room" {
		t.Errorf("held with %+v", j.Error)
	}
	full.Store(false)
	b.untilState(id, Done)
}

// A job that found the disk full says so, waits for a worker with room, and its
// attempts do not count.
func TestStorageFull(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var full atomic.Bool
	full.Store(true)
	var tries atomic.Int32
	component(t, b.worker("w", 1, func(context.Context, *Lease) (any, error) {
		if full.Load() {
			tries.Add(1)
			return nil, fault.New(fault.StorageFull, "no room")
		}
		return nil, nil
	}).Run)
	id := b.add(spec("a"))[0]
	j := b.until(id, "held", func(j Job) bool { return j.Hold == HoldStorage && tries.Load() > 4 })
	if j.State != Waiting || j.Error == nil || j.Error.Code != fault.StorageFull {
		t.Errorf("got %+v", j)
	}
	full.Store(false)
	if j := b.untilState(id, Done); j.Hold != "" || j.Error != nil {
		t.Errorf("got %+v", j)
	}
}

// A worker without room leaves held jobs to others.
func TestHeldNeedsRoom(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var tried atomic.Int32
	w := b.worker("w", 1, func(context.Context, *Lease) (any, error) {
		tried.Add(1)
		return nil, fault.New(fault.StorageFull, "no room")
	})
	w.Room = func() error { return fault.New(fault.StorageFull, "no room") }
	component(t, w.Run)
	id := b.add(spec("a"))[0]
	b.until(id, "held", func(j Job) bool { return j.Hold == HoldStorage })
	component(t, b.worker("v", 1, ok).Run)
	if j := b.untilState(id, Done); j.Node != "v" || tried.Load() != 1 {
		t.Errorf("done by %s after %d tries of the full one", j.Node, tried.Load())
	}
}

func TestCancelWhileRunning(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	started, stopped := make(chan struct{}, 1), make(chan struct{})
	w := b.worker("w", 1, func(ctx context.Context, l *Lease) (any, error) {
		started <- struct{}{}
		<-ctx.Done()
		<-stopped // it takes its time
		return nil, nil
	})
	w.pace.renew = time.Hour // only the nudge tells
	w.pace.lease = time.Hour
	component(t, w.Run)
	ids := b.add(spec("a"), spec("b"))
	<-started
	busy := func() (busy bool) {
		b.db.Read(t.Context(), func(tx *store.Tx) (err error) {
			busy, err = b.Busy(tx, "ten", "ast")
			return err
		})
		return busy
	}
	b.write(func(tx *store.Tx) error { return b.CancelGroup(tx, "ten", "ast") })
	for _, id := range ids {
		if j := b.get(id); j.State != Canceled {
			t.Errorf("got %+v", j)
		}
	}
	if !busy() {
		t.Error("not busy while the worker has not stopped")
	}
	close(stopped)
	b.until(ids[0], "not busy", func(Job) bool { return !busy() })
	if j := b.get(ids[0]); j.State != Canceled || j.Result != nil {
		t.Errorf("the late end counted: %+v", j)
	}
}

// A worker that is gone loses its jobs, at most five times.
func TestLostWorker(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id := b.add(spec("a"))[0]
	for attempt := 1; attempt <= maxLost; attempt++ {
		// One that takes and is never heard of again.
		b.until(id, "taken", func(Job) bool {
			out, err := b.take(t.Context(), takeRequest{Node: "gone", Free: map[string]int{"work": 1}})
			if err != nil {
				t.Fatal(err)
			}
			return len(out.Jobs) == 1 && out.Jobs[0].Attempt == attempt
		})
	}
	if j := b.untilState(id, Failed); j.Error.Code != fault.Unavailable || j.Attempt != maxLost {
		t.Errorf("got %+v", j)
	}
}

// A job whose children get done may lose its worker as often as machines fail.
func TestLostWorkerWhileWorkComesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id := b.add(spec("film"))[0]
	ctx := t.Context()
	for attempt := 1; attempt <= 2*maxLost; attempt++ {
		if out, err := b.take(ctx, takeRequest{Node: "ill", Free: map[string]int{"work": 1}}); err != nil || len(out.Jobs) != 1 {
			t.Fatal(out, err)
		}
		unit := Spec{Kind: "unit", Name: fmt.Sprint(attempt)}
		if _, err := b.submit(ctx, submitRequest{Node: "ill", Lease: held{Job: id, Attempt: attempt}, Specs: []Spec{unit}}); err != nil {
			t.Fatal(err)
		}
		out, err := b.take(ctx, takeRequest{Node: "well", Free: map[string]int{"unit": 1}})
		if err != nil || len(out.Jobs) != 1 {
			t.Fatal(out, err)
		}
		if _, err := b.endJob(ctx, endRequest{Node: "well", Lease: held{Job: out.Jobs[0].ID, Attempt: 1}}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.release(ctx, releaseRequest{Node: "ill"}); err != nil {
			t.Fatal(err)
		}
	}
	if j := b.get(id); j.State != Waiting {
		t.Errorf("after %d losses: %+v", 2*maxLost, j)
	}
}

// A worker that was suspended finds its lease gone, and its end is refused: what
// SIGSTOP does to a process, a pause of its renewals and a late end do here.
func TestLateEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id := b.add(spec("a"))[0]
	out, err := b.take(t.Context(), takeRequest{Node: "slept", Free: map[string]int{"work": 1}})
	if err != nil || len(out.Jobs) != 1 {
		t.Fatal(out, err)
	}
	b.until(id, "lease lost", func(j Job) bool { return j.State == Waiting })
	late := endRequest{Node: "slept", Lease: held{Job: id, Attempt: 1}, Result: json.RawMessage(`"late"`)}
	if _, err := b.endJob(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	if j := b.get(id); j.State != Waiting {
		t.Errorf("the late end counted: %+v", j)
	}
	if out, err := b.renew(t.Context(), renewRequest{"slept", []held{{Job: id, Attempt: 1}}}); err != nil || len(out.Lost) != 1 {
		t.Errorf("renewed: %v %v", out, err)
	}
	component(t, b.worker("w", 1, ok).Run)
	j := b.untilState(id, Done)
	if _, err := b.endJob(t.Context(), late); err != nil { // both have finished it
		t.Fatal(err)
	}
	if again := b.get(id); string(again.Result) != `{"n":1}` || !again.Ended.Equal(j.Ended) || again.Node != "w" {
		t.Errorf("the second end did harm: %+v", again)
	}
}

// A worker that cannot reach the queue stops its jobs when its lease has run out.
func TestLeaseLostWithoutTheQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	stopped := make(chan struct{})
	b.add(spec("a"))
	started := make(chan struct{})
	w := b.worker("w", 1, func(ctx context.Context, l *Lease) (any, error) {
		close(started)
		<-ctx.Done()
		close(stopped)
		return nil, nil
	})
	component(t, w.Run)
	<-started
	w.mu.Lock()
	leases := maps.Clone(w.leases)
	w.mu.Unlock()
	for _, l := range leases {
		l.mu.Lock()
		l.renewed = time.Now().Add(-time.Hour)
		l.mu.Unlock()
		unreachable, cancel := context.WithCancel(t.Context())
		cancel()
		w.renew(unreachable, renewRequest{}, []*Lease{l})
	}
	<-stopped
}

// One tenant's thousand jobs do not hold up another's one.
func TestFairness(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var many []Spec
	for i := range 1000 {
		many = append(many, Spec{Kind: "work", Tenant: "many", Group: fmt.Sprintf("m%d", i), Name: "x"})
	}
	b.add(many...)
	one := b.add(Spec{Kind: "work", Tenant: "one", Group: "o", Name: "x"})[0]
	hurry := b.add(Spec{Kind: "work", Tenant: "many", Group: "late", Name: "x", Priority: 5})[0]
	var got []string
	for range 4 {
		out, err := b.take(t.Context(), takeRequest{Node: "w", Free: map[string]int{"work": 1}})
		if err != nil || len(out.Jobs) != 1 {
			t.Fatal(out, err)
		}
		got = append(got, out.Jobs[0].Tenant+" "+out.Jobs[0].Group)
	}
	want := []string{"many late", "one o", "many m0", "many m1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if b.get(one).State != Running || b.get(hurry).State != Running {
		t.Error("not taken")
	}
}

// Of one group what costs most comes first, however late it is added; another group
// that was begun before it does not wait for that.
func TestCostliestFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(q *Queue) { q.timing.lease = time.Hour }) // what is taken is not due again on a slow machine
	cost := func(group, name string, cost int) Spec {
		return Spec{Kind: "work", Tenant: "one", Group: group, Name: name, Cost: cost}
	}
	b.add(cost("old", "a", 0), cost("old", "b", 2), cost("old", "c", 1), cost("old", "d", 2))
	b.add(cost("new", "a", 100))
	b.add(cost("old", "e", 3))
	var got []string
	for range 6 {
		out, err := b.take(t.Context(), takeRequest{Node: "w", Free: map[string]int{"work": 1}})
		if err != nil || len(out.Jobs) != 1 {
			t.Fatal(out, err)
		}
		got = append(got, out.Jobs[0].Group+" "+out.Jobs[0].Name)
	}
	if diff := cmp.Diff([]string{"old e", "old b", "old d", "old c", "old a", "new a"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// Only workers of the class take a job that asks for one, or who take that besides.
func TestClass(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	s := spec("a")
	s.Class = "avx"
	b.add(s)
	for class, want := range map[string]int{"": 0, "other": 0, "avx": 1} {
		out, err := b.take(t.Context(), takeRequest{Node: "w", Class: class, Free: map[string]int{"work": 1}})
		if err != nil || len(out.Jobs) != want {
			t.Errorf("class %q: got %d jobs, %v", class, len(out.Jobs), err)
		}
	}
	s.Name = "another"
	b.add(s)
	out, err := b.take(t.Context(), takeRequest{Node: "w", Class: "sse", Also: []string{"neon", "avx"}, Free: map[string]int{"work": 1}})
	if err != nil || len(out.Jobs) != 1 {
		t.Errorf("besides another class: got %d jobs, %v", len(out.Jobs), err)
	}
}

// A coordinator adds children and waits for them; when it fails, the waiting ones
// are canceled, and the next attempt gets the present ones.
func TestChildren(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var child, failing string
	w := b.worker("w", 1, ok)
	w.Kinds["lead"] = Kind{Slots: 1, Handle: func(ctx context.Context, l *Lease) (any, error) {
		ids, err := l.Submit(ctx, Spec{Kind: "work", Name: "u"}, Spec{Kind: "never", Name: "n"})
		if err != nil {
			return nil, err
		}
		child, failing = ids[0], ids[1]
		j, err := l.Wait(ctx, ids[0])
		if err != nil {
			return nil, err
		}
		if l.Attempt < 3 {
			return nil, errors.New("again")
		}
		return j.Result, nil
	}}
	component(t, w.Run)
	lead := b.add(Spec{Kind: "lead", Tenant: "ten", Group: "ast"})[0]
	j := b.untilState(lead, Done)
	if string(j.Result) != `{"n":1}` || j.Attempt != 3 {
		t.Errorf("got %+v", j)
	}
	if c := b.get(child); c.Parent != lead || c.Attempt != 1 || c.Tenant != "ten" || c.Group != "ast" {
		t.Errorf("child: %+v", c)
	}
	if c := b.get(failing); c.State != Canceled {
		t.Errorf("a child that nobody waits for: %+v", c)
	}
}

// A worker that is stopped gives its jobs back, and none is counted against them.
func TestStopGivesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(q *Queue) { q.timing.lease = time.Hour })
	stop := component(t, b.worker("w", 1, forever).Run)
	id := b.add(spec("a"))[0]
	b.untilState(id, Running)
	stop()
	if j := b.get(id); j.State != Waiting || j.Error != nil {
		t.Errorf("got %+v", j)
	}
	component(t, b.worker("v", 1, ok).Run)
	b.untilState(id, Done)
}

// A worker that starts anew gives back what it held before it was killed.
func TestKilledWorkerComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(q *Queue) { q.timing.lease = time.Hour })
	id := b.add(spec("a"))[0]
	if out, err := b.take(t.Context(), takeRequest{Node: "w", Free: map[string]int{"work": 1}}); err != nil || len(out.Jobs) != 1 {
		t.Fatal(out, err)
	}
	component(t, b.worker("w", 1, ok).Run)
	if j := b.untilState(id, Done); j.Attempt != 2 {
		t.Errorf("got %+v", j)
	}
}

// A paused worker takes no more; what runs goes on.
func TestPause(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	release, started := make(chan struct{}), make(chan struct{}, 2)
	w := b.worker("w", 1, func(context.Context, *Lease) (any, error) { started <- struct{}{}; <-release; return nil, nil })
	component(t, w.Run)
	ids := b.add(spec("a"), spec("b"))
	<-started
	w.Pause()
	close(release)
	b.untilState(ids[0], Done)
	b.until(ids[0], "idle", func(Job) bool { return w.Running() == 0 })
	if b.get(ids[1]).State != Waiting {
		t.Errorf("got %+v, %+v", b.get(ids[0]), b.get(ids[1]))
	}
	w.Resume()
	b.untilState(ids[1], Done)
}

// A worker that is stopped lets brief jobs end, within its grace, and gives the
// others back at once.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		grace       time.Duration
		brief, want State
	}{
		{"with a grace", time.Minute, Done, Waiting},
		{"without", 0, Waiting, Waiting},
	} {
		b := newBench(t, func(q *Queue) { q.timing.lease = time.Hour })
		begun, release := make(chan struct{}, 2), make(chan struct{})
		wait := func(ctx context.Context, _ *Lease) (any, error) {
			begun <- struct{}{}
			select {
			case <-release:
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		w := b.worker("w", 1, wait)
		w.Grace, w.pace.lease = test.grace, time.Hour
		w.Kinds["brief"] = Kind{Slots: 1, Brief: true, Handle: wait}
		stop := component(t, w.Run)
		long := b.add(spec("long"))[0]
		s := spec("brief")
		s.Kind = "brief"
		brief := b.add(s)[0]
		<-begun
		<-begun
		stopped := make(chan struct{})
		go func() { stop(); close(stopped) }()
		b.untilState(long, test.want)
		if test.grace > 0 && b.get(brief).State != Running {
			t.Errorf("%s: the brief job is %s before it has ended", test.name, b.get(brief).State)
		}
		close(release)
		<-stopped
		if j := b.get(brief); j.State != test.brief || j.Attempt != 1 {
			t.Errorf("%s: the brief job is %+v, want %s", test.name, j, test.brief)
		}
	}
}

// Ended jobs go after a while, but the last of each group stays.
func TestClean(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	component(t, b.worker("w", 4, ok).Run)
	ids := b.add(spec("a"), spec("b"), Spec{Kind: "work", Tenant: "ten", Group: "other", Name: "c"})
	for _, id := range ids {
		b.untilState(id, Done)
	}
	if err := b.clean(t.Context(), time.Now().Add(30*time.Minute)); err != nil {
		t.Fatal(err)
	}
	b.get(ids[0])
	if err := b.clean(t.Context(), time.Now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	var left []string
	b.db.Read(t.Context(), func(tx *store.Tx) error {
		jobs, err := b.List(tx, Filter{Tenant: "ten"})
		for _, j := range jobs {
			left = append(left, j.ID)
		}
		return err
	})
	if diff := cmp.Diff([]string{ids[2], ids[1]}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// Taking looks at an index: forty times as many jobs cost a little more, not
// forty times as much.
func TestTakeIsQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("adds 20,000 jobs")
	}
	b := newBench(t, nil)
	few := b.takeAmong(0, 500)
	many := b.takeAmong(500, 20_000)
	t.Logf("one job of 500: %v, of 20,000: %v", few, many)
	if many > 10*few+time.Millisecond {
		t.Errorf("taking one job of 500 takes %v, of 20,000 %v", few, many)
	}
}

// takeAmong adds jobs of 50 tenants until there have been so many, and returns how
// long it takes to take one.
func (b *bench) takeAmong(have, want int) time.Duration {
	b.t.Helper()
	b.write(func(tx *store.Tx) error {
		_, err := tx.Exec(`WITH RECURSIVE n (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO jobs (id, kind, tenant, grp, name, class, parent, priority, state, hold, ready, attempt, tries, lost, payload, result,
			error_code, error_message, progress, phase, node, group_created, created, started, ended, not_before, lease)
			SELECT 'job_' || i, 'work', 'ten_' || (i % 50), 'g' || (i / 10), 'u' || i, '', '', 0, 'waiting', '', 1, 0, 0, 0, '', '',
			'', '', 0, '', '', i / 10, i, 0, 0, 0, 0 FROM n`, have+1, want)
		return err
	})
	const n = 10
	began := time.Now()
	for range n {
		if out, err := b.take(b.t.Context(), takeRequest{Node: "w", Free: map[string]int{"work": 1}}); err != nil || len(out.Jobs) != 1 {
			b.t.Fatal(out, err)
		}
	}
	return time.Since(began) / n
}
