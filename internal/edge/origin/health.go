package origin

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"liuyun/internal/base/fault"
)

// Health says how the origins of a site are looked at. An origin is taken for healthy
// until it was looked at.
type Health struct {
	Path      string        // that is asked for with GET, and may have a query; empty is "/"
	Every     time.Duration // an eighth earlier or later, by chance; 0 is 10 s
	Timeout   time.Duration // of one look; 0 is 5 s, or Every where that is shorter
	Healthy   int           // so many good looks in a row make it healthy; 0 is 2
	Unhealthy int           // so many bad ones make it unhealthy; 0 is 3
	Status    int           // that is good; 0 is each of 200 to 299
}

const (
	defaultEvery     = 10 * time.Second
	defaultTimeout   = 5 * time.Second
	defaultHealthy   = 2
	defaultUnhealthy = 3
	leastEvery       = 100 * time.Millisecond
	mostLook         = 64 << 10 // of the body of an answer; more ends the connection
)

// checked returns the settings with what is left out.
func (h *Health) checked() (*Health, error) {
	if h == nil {
		return nil, nil
	}
	out := *h
	if out.Path == "" {
		out.Path = "/"
	}
	if out.Every == 0 {
		out.Every = defaultEvery
	}
	if out.Timeout == 0 {
		out.Timeout = min(defaultTimeout, out.Every)
	}
	if out.Healthy == 0 {
		out.Healthy = defaultHealthy
	}
	if out.Unhealthy == 0 {
		out.Unhealthy = defaultUnhealthy
	}
	u, err := url.ParseRequestURI(out.Path)
	switch {
	case err != nil || u.IsAbs() || u.Host != "" || out.Path[0] != '/':
		return nil, fault.New(fault.Invalid, "the path of health checks is %q; write one such as /healthz", h.Path)
	case out.Every < leastEvery || out.Timeout < 0:
		return nil, fault.New(fault.Invalid, "health checks come every %v and take %v; choose %v at least", h.Every, h.Timeout, leastEvery)
	case out.Healthy < 0 || out.Unhealthy < 0:
		return nil, fault.New(fault.Invalid, "the thresholds of health checks are %d and %d; they cannot be negative", h.Healthy, h.Unhealthy)
	case out.Status != 0 && (out.Status < 200 || out.Status > 599):
		return nil, fault.New(fault.Invalid, "health checks expect the status %d; choose between 200 and 599", h.Status)
	}
	return &out, nil
}

// Run looks at the origins until ctx ends. Without [Options.Health] it only waits for
// that.
func (p *Pool) Run(ctx context.Context) {
	if p.health == nil {
		<-ctx.Done()
		return
	}
	var work sync.WaitGroup
	for _, group := range p.groups {
		for _, e := range group {
			work.Go(func() { p.watch(ctx, e) })
		}
	}
	work.Wait()
}

// watch looks at one origin again and again. Chance keeps edges that started together
// from looking together.
func (p *Pool) watch(ctx context.Context, e *endpoint) {
	every := p.health.Every
	timer := time.NewTimer(rand.N(every))
	defer timer.Stop()
	streak := 0 // of looks that speak against what it is taken for
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := p.look(ctx, e)
		if ctx.Err() != nil {
			return
		}
		e.looked.Store(true)
		if err != nil {
			e.note("health check: " + err.Error())
		}
		if streak++; (err != nil) == e.sick.Load() {
			streak = 0
		}
		switch {
		case err != nil && streak >= p.health.Unhealthy:
			p.log.Warn("an origin is unhealthy", "name", e.target.name, "cause", err)
			e.sick.Store(true)
			streak = 0
		case err == nil && streak >= p.health.Healthy:
			p.log.Info("an origin is healthy again", "name", e.target.name)
			e.sick.Store(false)
			streak = 0
		}
		timer.Reset(every*7/8 + rand.N(every/4))
	}
}

// look asks an origin how it is.
func (p *Pool) look(ctx context.Context, e *endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, p.health.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.health.Path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "liuyun")
	r.Header.Set("Cache-Control", "no-cache")
	e.direct(r)
	got, err := e.via.RoundTrip(r)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(got.Body, mostLook)); err != nil {
		return err
	}
	if want := p.health.Status; got.StatusCode == want || want == 0 && got.StatusCode/100 == 2 {
		return nil
	}
	return fmt.Errorf("the status is %d", got.StatusCode)
}
