package node

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"liuyun/internal/contract/event"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/web"
)

// Over a real bus a control node hears its nodes and tells of their changes.
func TestOverABus(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	b, err := bus.New(bus.Options{Name: "n1", Folder: t.TempDir(), Config: bus.DefaultConfig(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	up := func(run func(context.Context, func()) error) {
		ready := make(chan struct{})
		parts.Go(func() {
			if err := run(ctx, sync.OnceFunc(func() { close(ready) })); err != nil {
				t.Error(err)
			}
		})
		<-ready
	}
	up(b.Run)
	c := newCloud(t)
	s := New(Deps{Records: c.db, Messages: b, Reach: func() Reach { return Reach{} }, Log: quiet})
	changed := make(chan string, 8)
	// As those hear it who read GET /v1/events.
	stop, err := b.Announced(func(e event.Event) {
		if e.Type == event.NodeChanged && e.Tenant == "" {
			changed <- string(e.Data)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	up(s.Run)
	worker := &hands{}
	a := &Agent{Line: b, Worker: worker, Node: s.ids.New("nod"), Name: "box", Folder: t.TempDir(), Log: quiet}
	if err := s.Register(ctx, a.Node, "box", []string{"control", "worker"}, ""); err != nil {
		t.Fatal(err)
	}
	up(a.Run)
	select {
	case got := <-changed:
		if want := `{"id":"` + a.Node + `","state":"ready"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody told of the node")
	}
	page, err := s.list(ctx, &web.PageQuery{Limit: 10})
	if err != nil || len(page.Body.Data) != 1 || page.Body.Data[0].State != Ready || !worker.working {
		t.Errorf("got %+v, %v, working %v", page, err, worker.working)
	}
}
