package bus

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
)

// A full disk shuts the streams; requests go on. When there is room again the
// server is started anew in its place, and what was subscribed, consumed and
// waiting in the outbox comes back by itself.
func TestFullDisk(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(folder, syscall.MNT_DETACH) })
	b := newBus(t, Options{Folder: folder})
	b.options.Log = slog.New(slog.DiscardHandler)
	b.timing.probeWait, b.timing.restartWait, b.timing.room = 500*time.Millisecond, 200*time.Millisecond, 4<<20
	run(t, b)
	db := openStore(t, t.TempDir())
	component(t, b.Relay(db))
	stop, err := b.Serve("echo", func(_ context.Context, data []byte) (any, error) { return json.RawMessage(data), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	consumed := atomic.Int32{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Consume(ctx, "test", func(context.Context, uint64, event.Event) error { consumed.Add(1); return nil })
	}()
	defer func() { cancel(); <-done }()
	emit(t, b, db, "asset.created")
	testkit.Until(t, 20*time.Second, "consumed", func() bool { return consumed.Load() == 1 })

	filler := filepath.Join(folder, "filler")
	fill(t, filler)
	for range 20 { // until a write does not fit
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			return b.Emit(tx, event.Event{Type: "asset.updated", Data: json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`)})
		}); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Until(t, 20*time.Second, "unhealthy", func() bool { return fault.CodeOf(b.Healthy()) == fault.Unavailable })
	if err := b.Request(t.Context(), "echo", 1, nil); err != nil {
		t.Errorf("request on a full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, 20*time.Second, "healthy", func() bool { return b.Healthy() == nil })
	testkit.Until(t, 20*time.Second, "empty outbox", func() bool { return outboxSize(t, db) == 0 })
	testkit.Until(t, 20*time.Second, "all consumed", func() bool { return consumed.Load() >= 21 })
	if err := b.Request(t.Context(), "echo", 1, nil); err != nil {
		t.Errorf("request after the restart: %v", err)
	}
}

// fill writes until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 20; size >= 1<<12; size /= 2 {
		for {
			if _, err := file.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
}

// What was subscribed survives a restart of the server.
func TestRestart(t *testing.T) {
	t.Parallel()
	b, db := start(t, Options{}), openStore(t, t.TempDir())
	component(t, b.Relay(db))
	types := collect(t, b, 0)
	stop, err := b.Serve("echo", func(_ context.Context, data []byte) (any, error) { return json.RawMessage(data), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	_, js, _ := b.connection()
	testkit.Until(t, 20*time.Second, "a consumer", func() bool {
		s, err := js.Stream(t.Context(), eventStream)
		return err == nil && s.CachedInfo().State.Consumers == 1
	})
	emit(t, b, db, "asset.created")
	wantTypes(t, types, "asset.created")
	b.restart(t.Context())
	emit(t, b, db, "asset.ready")
	wantTypes(t, types, "asset.created", "asset.ready")
	if err := b.Request(t.Context(), "echo", 1, nil); err != nil {
		t.Error(err)
	}
}

const childEnv = "BUS_TEST_FOLDER"

// TestChild is the process that TestKill kills: it emits and relays for ever.
func TestChild(t *testing.T) {
	folder := os.Getenv(childEnv)
	if folder == "" {
		t.Skip("runs as the child of TestKill")
	}
	b, db := start(t, Options{Folder: filepath.Join(folder, "bus")}), openStore(t, folder)
	component(t, b.Relay(db))
	for i := 0; ; i++ {
		if err := db.Write(context.Background(), func(tx *store.Tx) error {
			return b.Emit(tx, event.Event{Type: "asset.updated"})
		}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("emitted")
	}
}

// Every committed event reaches the stream once, whenever the process is killed.
func TestKill(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	committed := 0
	for round := range 3 {
		child := exec.Command(os.Args[0], "-test.run=^TestChild$")
		child.Env = append(os.Environ(), childEnv+"="+folder)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		scanner := bufio.NewScanner(out)
		for n := 0; n < 20+7*round && scanner.Scan(); {
			if scanner.Text() == "emitted" {
				n++
			}
		}
		child.Process.Kill()
		for scanner.Scan() {
		}
		child.Wait()
	}
	b, db := start(t, Options{Folder: filepath.Join(folder, "bus")}), openStore(t, folder)
	if err := db.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT seq FROM sqlite_sequence WHERE name = 'outbox'`).Scan(&committed)
	}); err != nil || committed < 20+27+34 {
		t.Fatalf("%d committed, %v", committed, err)
	}
	component(t, b.Relay(db))
	testkit.Until(t, 20*time.Second, "empty outbox", func() bool { return outboxSize(t, db) == 0 })
	_, js, _ := b.connection()
	stream, err := js.Stream(t.Context(), eventStream)
	if err != nil {
		t.Fatal(err)
	}
	if got := int(stream.CachedInfo().State.Msgs); got != committed {
		t.Errorf("the stream has %d events, %d were committed", got, committed)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Of three nodes one may go: events, leases and requests go on.
func TestCluster(t *testing.T) {
	addresses := []string{freeAddress(t), freeAddress(t), freeAddress(t)}
	buses, stops := make([]*Bus, 3), make([]func(), 3)
	ready := make(chan int, 3)
	for i := range buses {
		o := Options{Name: fmt.Sprintf("node%d", i), Folder: t.TempDir(), Config: DefaultConfig(), Log: slog.New(slog.DiscardHandler)}
		o.Config.Cluster.Listen = addresses[i]
		for j, a := range addresses {
			if j != i {
				o.Config.Cluster.Routes = append(o.Config.Cluster.Routes, a)
			}
		}
		buses[i] = newBus(t, o)
		buses[i].timing.lease = 4 * time.Second
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- buses[i].Run(ctx, func() { ready <- i }) }()
		stops[i] = func() { cancel(); <-done }
	}
	for range buses {
		<-ready
	}
	for i, b := range buses {
		testkit.Until(t, 20*time.Second, fmt.Sprintf("node %d healthy", i), func() bool { return b.Healthy() == nil })
	}
	db := openStore(t, t.TempDir()) // stands for the records that they share
	led := make(chan int, 10)
	leading, stopLeading := make([]context.CancelFunc, 3), make([]chan struct{}, 3)
	for i, b := range buses {
		ctx, cancel := context.WithCancel(context.Background())
		leading[i], stopLeading[i] = cancel, make(chan struct{})
		go func() {
			defer close(stopLeading[i])
			b.Lead(ctx, "relay", func(ctx context.Context) error {
				led <- i
				return b.relay(ctx, db)
			})
		}()
	}
	first := <-led
	rest := (first + 1) % 3
	types := collect(t, buses[rest], 0)
	testkit.Until(t, 20*time.Second, "a consumer", func() bool {
		_, js, _ := buses[rest].connection()
		s, err := js.Stream(t.Context(), eventStream)
		return err == nil && s.CachedInfo().State.Consumers == 1 && s.CachedInfo().Config.Replicas == 3
	})
	emit(t, buses[rest], db, "asset.created")
	wantTypes(t, types, "asset.created")

	stops[first]() // with its lease in hand
	if second := <-led; second == first {
		t.Error("the stopped node leads")
	}
	emit(t, buses[rest], db, "asset.ready")
	wantTypes(t, types, "asset.created", "asset.ready")
	for i := range buses {
		leading[i]()
	}
	for i := range buses {
		<-stopLeading[i]
		if i != first {
			t.Cleanup(stops[i])
		}
	}
}
