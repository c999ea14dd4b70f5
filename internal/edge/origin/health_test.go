package origin

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const every = 10 * time.Second
		var code, looks atomic.Int64
		code.Store(200)
		checked := fake(func(r *http.Request) (*http.Response, error) {
			if r.URL.String() != "http://a/base/healthz?deep" || r.Host != "example.org" {
				t.Errorf("it is asked for %s of %s", r.URL, r.Host)
			}
			looks.Add(1)
			is := int(code.Load())
			switch is {
			case 0:
				<-r.Context().Done()
				return nil, r.Context().Err()
			case 1:
				return refuses(r)
			}
			return respond(r, is, "text"), nil
		})
		p := pool(t, Options{
			Endpoints: []Endpoint{{URL: parse(t, "http://a/base"), Host: "example.org"}},
			Health:    &Health{Path: "/healthz?deep", Every: every, Unhealthy: 2, Healthy: 3},
		}, checked)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); p.Run(ctx) }()
		after := func(n int64, want bool) {
			t.Helper()
			for before := looks.Load(); looks.Load() < before+n; {
				time.Sleep(every / 16)
				synctest.Wait()
			}
			time.Sleep(every * 3 / 4) // one that hangs ends, and the next has not begun
			synctest.Wait()
			if got := p.Status()[0]; got.Healthy != want {
				t.Errorf("after %d looks at %d it is healthy: %t", n, code.Load(), got.Healthy)
			}
		}
		after(3, true)
		for _, bad := range []int64{404, 0, 1, 302} {
			code.Store(bad)
			after(1, true)
			after(1, false)
			code.Store(200)
			after(2, false)
			after(1, true)
		}
		began := time.Now()
		cancel()
		<-ended
		if time.Since(began) != 0 {
			t.Error("it does not end with its context")
		}
		if got := p.Status()[0]; got.Requests != 0 || !got.Asked || got.LastError == "" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestUnhealthyIsNotAsked(t *testing.T) {
	t.Parallel()
	a, b := &counted{fake: status(200)}, &counted{fake: status(200)}
	p := pool(t, Options{}, a, b)
	p.groups[0][0].sick.Store(true)
	for range 10 {
		_, _, _ = get(t, p, "/")
	}
	if a.n.Load() != 0 || b.n.Load() != 10 {
		t.Errorf("they were asked %d and %d times", a.n.Load(), b.n.Load())
	}
	p.groups[0][1].sick.Store(true)
	for range 10 {
		_, _, _ = get(t, p, "/")
	}
	if a.n.Load() != 5 {
		t.Errorf("of 10 requests, with none healthy, it got %d", a.n.Load())
	}
}

func TestRunWithoutHealthEnds(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{}, status(200))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Run(ctx)
}
