package life_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/life"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary notes what happens, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// part works until it is stopped. It takes its time to start and to stop.
func (d *diary) part(name string, start, stop time.Duration) life.Component {
	return life.Component{Name: name, Run: func(ctx context.Context, ready func()) error {
		time.Sleep(start)
		d.note(name + " up")
		ready()
		<-ctx.Done()
		time.Sleep(stop)
		d.note(name + " down")
		return ctx.Err() // being stopped is no failure
	}}
}

var quiet = slog.New(slog.DiscardHandler)

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := run(ctx, d.part("store", 3*time.Second, 0), d.part("bus", time.Second, 5*time.Second), d.part("api", 0, time.Second))
		if err != nil {
			t.Error(err)
		}
		want := []string{"store up", "bus up", "api up", "api down", "bus down", "store down"}
		if diff := cmp.Diff(want, d.all()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestFailures(t *testing.T) {
	fails := func(after time.Duration, err error) func(*diary) life.Component {
		return func(*diary) life.Component {
			return life.Component{Name: "bus", Run: func(_ context.Context, ready func()) error {
				ready()
				time.Sleep(after)
				return err
			}}
		}
	}
	tests := []struct {
		name  string
		bus   func(*diary) life.Component
		stop  time.Duration // when asked to; 0: never
		want  string
		code  fault.Code
		lines []string
	}{
		{"while it runs", fails(time.Second, fault.New(fault.Unavailable, "the port is taken")), 0, "bus: the port is taken", fault.Unavailable,
			[]string{"store up", "api up", "api down", "store down"}},
		{"at the start", func(*diary) life.Component {
			return life.Component{Name: "bus", Run: func(context.Context, func()) error { return errors.New("odd") }}
		}, 0, "bus: odd", fault.Internal, []string{"store up", "store down"}},
		{"ends by itself", fails(time.Second, nil), 0, "bus ended, though nobody had asked it to", fault.Internal, []string{"store up", "api up", "api down", "store down"}},
		{"while it stops", func(*diary) life.Component {
			return life.Component{Name: "bus", Run: func(ctx context.Context, ready func()) error {
				ready()
				<-ctx.Done()
				return errors.New("flush: no room")
			}}
		}, time.Second, "bus, while it was stopped: flush: no room", fault.Internal, []string{"store up", "api up", "api down", "store down"}},
		{"never stops in time", func(d *diary) life.Component { return d.part("bus", 0, time.Hour) }, time.Second, "bus, store did not finish within 30s", fault.Internal,
			[]string{"store up", "bus up", "api up", "api down", "store down"}},
		{"stopped while it starts", func(d *diary) life.Component { return d.part("bus", time.Minute, 0) }, time.Second, "did not finish within 30s", fault.Internal,
			[]string{"store up", "store down"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d diary
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.stop > 0 {
					time.AfterFunc(test.stop, cancel)
				}
				err := run(ctx, d.part("store", 0, 0), test.bus(&d), d.part("api", 0, 0))
				if err == nil || !strings.Contains(err.Error(), test.want) || fault.CodeOf(err) != test.code {
					t.Errorf("got %v, want %s", err, test.want)
				}
				synctest.Wait()
				if diff := cmp.Diff(test.lines, d.all()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				time.Sleep(2 * time.Hour) // let what was left behind end
			})
		})
	}
}

func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var sick error
		g := life.New(quiet, time.Minute)
		bus := d.part("bus", 0, 0)
		bus.Healthy = func() error { return sick }
		g.Add(bus, d.part("worker", time.Second, time.Second))
		ask := func(status int, want string) {
			t.Helper()
			w := httptest.NewRecorder()
			g.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
			if got := strings.TrimSpace(w.Body.String()); w.Code != status || got != want {
				t.Errorf("got %d %s, want %d %s", w.Code, got, status, want)
			}
		}
		ask(503, `{"ready":false,"waiting":[{"name":"bus","reason":"starting"},{"name":"worker","reason":"starting"}]}`)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error)
		go func() { ended <- g.Run(ctx) }()
		synctest.Wait()
		ask(503, `{"ready":false,"waiting":[{"name":"worker","reason":"starting"}]}`)
		time.Sleep(2 * time.Second)
		ask(200, `{"ready":true,"waiting":[]}`)
		sick = fault.Wrap(errors.New("inside"), fault.StorageFull, "its disk is full")
		ask(503, `{"ready":false,"waiting":[{"name":"bus","reason":"its disk is full"}]}`)
		cancel()
		synctest.Wait()
		ask(503, `{"ready":false,"waiting":[{"name":"bus","reason":"stopping"},{"name":"worker","reason":"stopping"}]}`)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// run runs the components as one group.
func run(ctx context.Context, components ...life.Component) error {
	g := life.New(quiet, 30*time.Second)
	g.Add(components...)
	return g.Run(ctx)
}
