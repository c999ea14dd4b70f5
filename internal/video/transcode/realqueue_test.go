package transcode

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/bus"
	queue "liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
)

// start runs a component until stop is called, at the test's end at the latest.
func start(t *testing.T, run func(context.Context, func()) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("ended before it was ready: %v", err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// station is a real queue on a real bus and store, and a cloud for its workers.
type station struct {
	*cloud
	db    *store.DB
	bus   *bus.Bus
	queue *queue.Queue
	ended chan queue.Job // transcode jobs
	begun chan queue.Job // units, each attempt
	made  chan queue.Job // units
}

func newStation(t *testing.T) *station {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s := &station{cloud: newCloud(t), ended: make(chan queue.Job, 8), begun: make(chan queue.Job, 100), made: make(chan queue.Job, 100)}
	var err error
	if s.db, err = store.Open(t.Context(), filepath.Join(s.folder, "store"), store.DefaultConfig(), log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close() })
	if err := s.db.Migrate(t.Context(), bus.Migrations(), queue.Migrations()); err != nil {
		t.Fatal(err)
	}
	s.bus, err = bus.New(bus.Options{Name: "one", Folder: filepath.Join(s.folder, "bus"), Config: bus.DefaultConfig(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s.bus.Run)
	s.queue = queue.NewQueue(s.db, s.bus, log)
	tell := func(to chan queue.Job) func(*store.Tx, queue.Job) error {
		return func(_ *store.Tx, j queue.Job) error {
			to <- j
			return nil
		}
	}
	s.queue.OnEnd(encode.Transcode, tell(s.ended))
	s.queue.OnEnd(encode.Unit, tell(s.made))
	s.queue.OnStart(encode.Unit, tell(s.begun))
	start(t, s.queue.Run)
	return s
}

// worker runs a worker with handlers of its own.
func (s *station) worker(name string) (stop func()) {
	s.t.Helper()
	h := s.handlers(name)
	h.bus = s.bus
	w := &queue.Worker{Bus: s.bus, Node: name, Class: s.tools.Class, Kinds: h.Kinds()}
	return start(s.t, w.Run)
}

// file adds the request as a job.
func (s *station) file(ask encode.Request, name string) {
	s.t.Helper()
	err := s.db.Write(s.t.Context(), func(tx *store.Tx) error {
		_, err := s.queue.Add(tx, queue.Spec{Kind: encode.Transcode, Tenant: "ten_a", Group: ask.Asset, Name: name, Payload: ask})
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// result waits until the asset's job has ended.
func (s *station) result() (result encode.Result) {
	s.t.Helper()
	j := <-s.ended
	if j.State != queue.Done {
		s.t.Fatalf("the job is %s: %+v", j.State, j.Error)
	}
	if err := json.Unmarshal(j.Result, &result); err != nil {
		s.t.Fatal(err)
	}
	return result
}

func (s *station) units(state queue.State) (list []queue.Job) {
	s.t.Helper()
	err := s.db.Read(s.t.Context(), func(tx *store.Tx) (err error) {
		list, err = s.queue.List(tx, queue.Filter{Kind: encode.Unit, State: state, Limit: 200})
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// Over the real queue, with a worker that stops in the middle and another that
// goes on, the result is that of Encode and no unit is made twice that was kept.
func TestRealQueue(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	source := testkit.Generate(t, film())
	var mu sync.Mutex
	told := map[string][]float64{}
	stop, err := s.bus.Subscribe(queue.SubjectProgress, func(_ string, data []byte) {
		var p queue.Progress
		if err := json.Unmarshal(data, &p); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		told[p.Kind] = append(told[p.Kind], p.Progress)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()

	stopFirst := s.worker("first")
	s.file(s.request(source), "1")
	<-s.made
	stopFirst()
	s.empty()
	kept := len(s.units(queue.Done))
	if kept == 0 {
		t.Error("a unit has ended, and none is done")
	}

	s.worker("second")
	s.worker("remote third")
	result := s.result()
	sameFiles(t, s.files(result.Prefix), s.encodeHere(source, quick()))
	done := s.units(queue.Done)
	if len(done) != result.Units || result.Reused < kept {
		t.Errorf("%d units, %d reused, %d had been done; %d jobs", result.Units, result.Reused, kept, len(done))
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told[encode.Transcode]) < 3 || len(told[encode.Unit]) < 2 || slices.Max(told[encode.Transcode]) < 0.9 {
		t.Errorf("progress: got %v", told)
	}
}

// An asset that is deleted while it is encoded leaves nothing in scratch.
func TestRealQueueCanceled(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	h := s.handlers("first")
	w := &queue.Worker{Bus: s.bus, Node: "first", Class: s.tools.Class, Kinds: h.Kinds()}
	start(t, w.Run)
	ask := s.request(testkit.Generate(t, film()))
	ask.Options.Preset = "veryslow"
	s.file(ask, "1")
	<-s.begun
	err := s.db.Write(t.Context(), func(tx *store.Tx) error { return s.queue.CancelGroup(tx, "ten_a", testAsset) })
	if err != nil {
		t.Fatal(err)
	}
	if j := <-s.ended; j.State != queue.Canceled {
		t.Errorf("the job is %s", j.State)
	}
	began := time.Now()
	for w.Running() > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	s.empty()
}
