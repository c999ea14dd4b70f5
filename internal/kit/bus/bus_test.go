package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
)

// start runs a bus until the test ends.
func start(t *testing.T, o Options) *Bus {
	t.Helper()
	b := newBus(t, o)
	run(t, b)
	return b
}

func newBus(t *testing.T, o Options) *Bus {
	t.Helper()
	if o.Name == "" {
		o.Name = "one"
	}
	if o.Folder == "" && o.URLs == nil {
		o.Folder = t.TempDir()
	}
	if o.Config.Disk == 0 {
		o.Config.Memory, o.Config.Disk = DefaultConfig().Memory, DefaultConfig().Disk
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.timing.probe = 100 * time.Millisecond
	return b
}

// run gives the bus life and returns how to end it.
func run(t *testing.T, b *Bus) (stop func()) {
	t.Helper()
	return component(t, b.Run)
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
	case <-time.After(30 * time.Second):
		t.Fatal("not ready after 30 s")
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

func openStore(t *testing.T, folder string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), folder, store.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), Migrations()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Config)
		valid  bool
	}{
		{"defaults", func(*Config) {}, true},
		{"cluster", func(c *Config) { c.Cluster = Cluster{"10.0.0.1:6222", []string{"10.0.0.2:6222"}} }, true},
		{"no port", func(c *Config) { c.Listen = "10.0.0.1" }, false},
		{"route without a port", func(c *Config) { c.Cluster = Cluster{"10.0.0.1:6222", []string{"10.0.0.2"}} }, false},
		{"a cluster of one", func(c *Config) { c.Cluster.Listen = "10.0.0.1:6222" }, false},
		{"routes alone", func(c *Config) { c.Cluster.Routes = []string{"10.0.0.2:6222"} }, false},
		{"little memory", func(c *Config) { c.Memory = 1 }, false},
		{"little disk", func(c *Config) { c.Disk = 1 }, false},
	}
	for _, test := range tests {
		c := DefaultConfig()
		test.change(&c)
		if err := c.Validate(); (err == nil) != test.valid {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"no name":                   {Folder: "x"},
		"name with a dot":           {Name: "a.b", Folder: "x"},
		"neither server nor client": {Name: "a"},
		"client without TLS":        {Name: "a", URLs: []string{"tls://127.0.0.1:1"}},
		"listener without TLS":      {Name: "a", Folder: "x", Config: Config{Listen: "127.0.0.1:0"}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNotRunning(t *testing.T) {
	t.Parallel()
	b := newBus(t, Options{})
	if err := b.Publish("x", 1); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("publish: %v", err)
	}
	if err := b.Healthy(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("healthy: %v", err)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	type question struct{ Say string }
	stop, err := b.Serve("echo", func(ctx context.Context, data []byte) (any, error) {
		var q question
		if err := json.Unmarshal(data, &q); err != nil {
			return nil, err
		}
		switch q.Say {
		case "fault":
			return nil, fmt.Errorf("inside: %w", fault.Wrap(errors.New("secret"), fault.Conflict, "not now"))
		case "panic":
			panic("boom")
		case "large":
			return strings.Repeat("x", MaxMessage), nil
		case "slow":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return q, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)

	tests := []struct {
		say     string
		code    fault.Code
		message string // part of it
	}{
		{"hello", "", ""},
		{"fault", fault.Conflict, "not now"},
		{"panic", fault.Internal, "defect"},
		{"large", fault.Limit, "too large"},
		{strings.Repeat("x", MaxMessage+1), fault.Limit, "too large"},
		{strings.Repeat("x", MaxMessage-100), "", ""},
		{"slow", fault.Unavailable, "no answer in time"},
	}
	for _, test := range tests {
		t.Run(test.say[:min(len(test.say), 8)], func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			if test.say == "slow" {
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			}
			var got question
			err := b.Request(ctx, "echo", question{test.say}, &got)
			if fault.CodeOf(err) != test.code || !strings.Contains(fault.Message(err), test.message) {
				t.Fatalf("got %v, want %s %s", err, test.code, test.message)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the cause left the node")
			}
			if err == nil && got.Say != test.say {
				t.Errorf("got %d bytes, want %d", len(got.Say), len(test.say))
			}
		})
	}
	if err := b.Request(t.Context(), "nobody", 1, nil); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("nobody there: %v", err)
	}
}

func TestPublishAndSubscribe(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	got := make(chan string, 10)
	stop, err := b.Subscribe("news.*", func(subject string, data []byte) { got <- subject + string(data) })
	if err != nil {
		t.Fatal(err)
	}
	b.Publish("news.a", 1)
	b.Publish("other", 2)
	b.Publish("news.b", 3)
	if a, c := <-got, <-got; a != "news.a1" || c != "news.b3" {
		t.Errorf("got %s, %s", a, c)
	}
	stop()
	b.Publish("news.a", 4)
	b.Request(t.Context(), "nobody", 1, nil) // a way to the server and back
	if len(got) != 0 {
		t.Errorf("after stop: got %s", <-got)
	}
}

func emit(t *testing.T, b *Bus, db *store.DB, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			return b.Emit(tx, event.Event{Type: kind, Tenant: "ten", Data: json.RawMessage(`{}`)})
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// collect gathers the types of events until stop.
func collect(t *testing.T, b *Bus, after uint64) (types func() []string) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- b.Events(ctx, after, func(seq uint64, e event.Event) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, e.Type)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("events: %v", err)
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), got...)
	}
}

func wantTypes(t *testing.T, types func() []string, want ...string) {
	t.Helper()
	testkit.Until(t, 20*time.Second, fmt.Sprintf("%v", want), func() bool { return len(types()) >= len(want) })
	if diff := cmp.Diff(want, types()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func outboxSize(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM outbox`).Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b, db := start(t, Options{}), openStore(t, t.TempDir())
	emit(t, b, db, "asset.created", "asset.updated")
	undone := errors.New("undone")
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		if err := b.Emit(tx, event.Event{Type: "asset.deleted"}); err != nil {
			return err
		}
		return undone
	}); !errors.Is(err, undone) {
		t.Fatal(err)
	}
	component(t, b.Relay(db))
	testkit.Until(t, 20*time.Second, "empty outbox", func() bool { return outboxSize(t, db) == 0 })

	fromFirst := collect(t, b, 1)
	last, err := b.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fromNow := collect(t, b, last)
	wantTypes(t, fromFirst, "asset.updated")
	if _, js, _ := b.connection(); js != nil { // the one that begins now must have begun
		testkit.Until(t, 20*time.Second, "two consumers", func() bool {
			s, err := js.Stream(t.Context(), eventStream)
			return err == nil && s.CachedInfo().State.Consumers == 2
		})
	}
	emit(t, b, db, "asset.ready")
	wantTypes(t, fromFirst, "asset.updated", "asset.ready")
	wantTypes(t, fromNow, "asset.ready")
	wantTypes(t, collect(t, b, 0), "asset.created", "asset.updated", "asset.ready")
	// A number from a stream that is no more.
	wantTypes(t, collect(t, b, 1000), "asset.created", "asset.updated", "asset.ready")

	refused := errors.New("refused")
	if err := b.Events(t.Context(), 1, func(uint64, event.Event) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("fn's error: got %v", err)
	}
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		return b.Emit(tx, event.Event{Type: "no type"})
	}); err == nil {
		t.Error("a type with a space was taken")
	}
}

// A relay that was killed between the acknowledgement and the removal of the row
// publishes the event again; the stream has it once.
func TestRelayTwice(t *testing.T) {
	t.Parallel()
	b, db := start(t, Options{}), openStore(t, t.TempDir())
	emit(t, b, db, "asset.created", "asset.updated", "asset.ready")
	rows, err := outboxRows(t.Context(), db)
	if err != nil || len(rows) != 3 {
		t.Fatal(rows, err)
	}
	for _, row := range rows[:2] { // what was done before the kill
		if err := b.publishEvent(t.Context(), row.id, row.kind, row.body); err != nil {
			t.Fatal(err)
		}
	}
	component(t, b.Relay(db))
	testkit.Until(t, 20*time.Second, "empty outbox", func() bool { return outboxSize(t, db) == 0 })
	_, js, _ := b.connection()
	stream, err := js.Stream(t.Context(), eventStream)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != 3 {
		t.Errorf("the stream has %d events, want 3", got)
	}
}

// An event comes again until its function succeeds, in order, and to one of
// several consumers.
func TestConsume(t *testing.T) {
	t.Parallel()
	b, db := start(t, Options{}), openStore(t, t.TempDir())
	component(t, b.Relay(db))
	emit(t, b, db, "asset.created", "asset.updated", "asset.ready")

	var mu sync.Mutex
	var got []string
	failed := false
	ctx, cancel := context.WithCancel(context.Background())
	var consumers sync.WaitGroup
	for range 3 {
		consumers.Go(func() {
			err := b.Consume(ctx, "test", func(_ context.Context, _ uint64, e event.Event) error {
				mu.Lock()
				defer mu.Unlock()
				if e.Type == "asset.updated" && !failed {
					failed = true
					return errors.New("not yet")
				}
				got = append(got, e.Type)
				return nil
			})
			if err != nil {
				t.Errorf("consume: %v", err)
			}
		})
	}
	wantTypes(t, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), got...) },
		"asset.created", "asset.updated", "asset.ready")
	cancel()
	consumers.Wait()

	// What was acknowledged does not come again.
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	emit(t, b, db, "asset.deleted")
	next := ""
	if err := b.Consume(ctx, "test", func(_ context.Context, _ uint64, e event.Event) error {
		next = e.Type
		cancel()
		return nil
	}); err != nil || next != "asset.deleted" {
		t.Errorf("got %s %v, want asset.deleted", next, err)
	}
}

// Where there is one control node, it leads at once.
func TestLeadAlone(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	led := false
	if err := b.Lead(t.Context(), "x", func(context.Context) error { led = true; return nil }); err != nil || !led {
		t.Errorf("led %t, %v", led, err)
	}
	failed := errors.New("failed")
	if err := b.Lead(t.Context(), "x", func(context.Context) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}

func TestNoGoroutinesLeft(t *testing.T) {
	testkit.NoLeaks(t)
	b := newBus(t, Options{})
	stop := run(t, b)
	if _, err := b.Subscribe("x", func(string, []byte) {}); err != nil {
		t.Fatal(err)
	}
	stop()
}
