package origin

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sleeper answers after a time, or when it is given up.
type sleeper struct {
	takes    time.Duration
	code     int
	interim  time.Duration // after which a 103 is sent; 0 for none
	stubborn bool          // it does not see that it is given up
	asked    int
	canceled int
	open     int // bodies that are not closed
}

func (s *sleeper) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked++
	began, done := time.Now(), r.Context().Done()
	if s.stubborn {
		done = nil
	}
	if s.interim != 0 {
		select {
		case <-time.After(s.interim):
		case <-done:
			s.canceled++
			return nil, r.Context().Err()
		}
		if err := httptrace.ContextClientTrace(r.Context()).Got1xxResponse(103, textproto.MIMEHeader{"Link": {r.URL.Host}}); err != nil {
			return nil, err
		}
	}
	select {
	case <-time.After(s.takes - time.Since(began)):
	case <-done:
		s.canceled++
		return nil, r.Context().Err()
	}
	s.open++
	_ = r.Header.Clone() // as late as a transport may read it
	got := respond(r, s.code, "")
	got.Body = &bodyOf{strings.NewReader(r.URL.Host), s}
	return got, nil
}

type bodyOf struct {
	io.Reader
	of *sleeper
}

func (b *bodyOf) Close() error { b.of.open--; return nil }

// hedged is a Pool that knows how long its origins take, and may hedge a lot.
func hedged(t *testing.T, o Options, list ...*sleeper) *Pool {
	t.Helper()
	var via []http.RoundTripper
	for _, s := range list {
		via = append(via, s)
	}
	p := pool(t, o, via...)
	for _, e := range p.groups[0] {
		for range leastHeads {
			e.heads.add(200 * time.Millisecond)
		}
	}
	p.budget.saved.Store(mostSaved * whole)
	return p
}

func TestHedge(t *testing.T) {
	t.Parallel()
	const second = time.Second
	usual := 200 * time.Millisecond
	tests := []struct {
		name     string
		one, two sleeper
		path     string
		want     string
		code     int
		after    time.Duration
		asked    int // of the second
	}{
		{"in time", sleeper{takes: usual / 2, code: 200}, sleeper{takes: usual, code: 200}, "/", "o0", 200, usual / 2, 0},
		{"the second is first", sleeper{takes: second, code: 200}, sleeper{takes: usual, code: 200}, "/", "o1", 200, 2 * usual, 1},
		{"the first is first", sleeper{takes: usual * 3 / 2, code: 200}, sleeper{takes: usual, code: 200}, "/", "o0", 200, usual * 3 / 2, 1},
		{"the first fails late", sleeper{takes: usual * 3 / 2, code: 503}, sleeper{takes: usual, code: 200}, "/", "o1", 200, 2 * usual, 1},
		{"the second fails", sleeper{takes: second, code: 200}, sleeper{takes: usual, code: 503}, "/", "o0", 200, second, 1},
		{"both fail", sleeper{takes: second, code: 502}, sleeper{takes: usual, code: 503}, "/", "o1", 503, second, 1},
		{"a reload", sleeper{takes: second, code: 200}, sleeper{takes: usual, code: 200}, "/?a&%5fHLS_msn=1", "o0", 200, second, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one, two := &test.one, &test.two
				p := hedged(t, Options{}, one, two)
				began := time.Now()
				code, text, err := get(t, p, test.path)
				if code != test.code || text != test.want || time.Since(began) != test.after {
					t.Errorf("after %v: got %d, %q, %v, want %d, %q after %v", time.Since(began), code, text, err, test.code, test.want, test.after)
				}
				synctest.Wait()
				if two.asked != test.asked {
					t.Errorf("the second was asked %d times, want %d", two.asked, test.asked)
				}
				if one.open != 0 || two.open != 0 {
					t.Errorf("%d and %d bodies are open", one.open, two.open)
				}
				for _, s := range p.Status() { // no time has passed: the loser ends at once
					if s.InFlight != 0 {
						t.Errorf("%s has %d in flight", s.URL, s.InFlight)
					}
				}
			})
		})
	}
}

// Where a hedge is none: one origin, a backup, another method, too few answers known, too
// few requests before.
func TestNoHedge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		o      func(t *testing.T) Options
		method string
		change func(p *Pool)
	}{
		{"HEAD", nil, http.MethodHead, func(*Pool) {}},
		{"POST", nil, http.MethodPost, func(*Pool) {}},
		{"few answers", nil, http.MethodGet, func(p *Pool) { p.groups[0][0].heads.late.Store(0) }},
		{"few requests", nil, http.MethodGet, func(p *Pool) { p.budget.saved.Store(0) }},
		{"a backup", func(t *testing.T) Options {
			return Options{Endpoints: []Endpoint{{URL: parse(t, "http://o0")}, {URL: parse(t, "http://o1"), Backup: true}}}
		}, http.MethodGet, func(*Pool) {}},
		{"sick", nil, http.MethodGet, func(p *Pool) { p.groups[0][1].sick.Store(true) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				one, two := &sleeper{takes: time.Second, code: 200}, &sleeper{code: 200}
				var o Options
				if test.o != nil {
					o = test.o(t)
				}
				p := hedged(t, o, one, two)
				test.change(p)
				saved := p.budget.saved.Load()
				if _, text, err := exchange(t, p, request(t, test.method, "/", nil)); text != "o0" || two.asked != 0 {
					t.Errorf("got %q, %v; the second was asked %d times", text, err, two.asked)
				}
				if got := p.budget.saved.Load(); got < saved {
					t.Errorf("the budget was %d and is %d", saved, got)
				}
			})
		})
	}
}

func TestHedgesAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &sleeper{takes: time.Second, code: 200}
		p := hedged(t, Options{}, slow, &sleeper{takes: time.Second, code: 200})
		p.budget.saved.Store(0)
		const requests = 1000
		for range requests {
			for _, e := range p.groups[0] { // or it would learn that all are slow
				e.heads.late.Store(int64(100 * time.Millisecond))
			}
			if _, _, err := get(t, p, "/"); err != nil {
				t.Fatal(err)
			}
		}
		status := p.Status()
		hedges := status[0].Requests + status[1].Requests - requests
		if hedges == 0 || hedges > requests/20 {
			t.Errorf("%d of %d requests were sent twice", hedges, requests)
		}
	})
}

// One that was given up for being slow is known as slow.
func TestTheLoserCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hedged(t, Options{}, &sleeper{takes: time.Hour, code: 200}, &sleeper{takes: 300 * time.Millisecond, code: 200})
		before := p.groups[0][0].heads.count
		if _, _, err := get(t, p, "/"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		h := &p.groups[0][0].heads
		if h.count != before+1 || h.recent[before] != 500*time.Millisecond {
			t.Errorf("%d answers are known, the last after %v", h.count, h.recent[before])
		}
		if got := p.Status()[0]; got.Failures != 0 {
			t.Errorf("it counts as a failure: %+v", got)
		}
	})
}

// A loser may answer all the same, when the caller has its request back.
func TestStubbornLosers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		one, two sleeper
		want     string
	}{
		{"the second", sleeper{takes: 250 * time.Millisecond, code: 200}, sleeper{takes: time.Second, code: 200, stubborn: true}, "o0"},
		{"the second, with a failure", sleeper{takes: 250 * time.Millisecond, code: 200}, sleeper{takes: time.Second, code: 503, stubborn: true}, "o0"},
		{"the first", sleeper{takes: time.Second, code: 200, stubborn: true}, sleeper{takes: 100 * time.Millisecond, code: 200}, "o1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := hedged(t, Options{}, &test.one, &test.two)
				r := request(t, http.MethodGet, "/", nil)
				if _, text, err := exchange(t, p, r); text != test.want {
					t.Errorf("got %q, %v", text, err)
				}
				r.Header.Set("It-Is", "the caller's again")
				time.Sleep(time.Minute)
				synctest.Wait()
				if test.one.open != 0 || test.two.open != 0 {
					t.Errorf("%d and %d bodies are open", test.one.open, test.two.open)
				}
				for _, s := range p.Status() {
					if s.InFlight != 0 {
						t.Errorf("%s has %d in flight", s.URL, s.InFlight)
					}
				}
			})
		})
	}
}

// Interim answers are the winner's alone, and who sends one first is it.
func TestInterimAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		one, two sleeper
		want     string
		links    string
	}{
		{"before the hedge", sleeper{takes: time.Second, code: 200, interim: 100 * time.Millisecond}, sleeper{code: 200}, "o0", "o0"},
		{"of the first", sleeper{takes: time.Second, code: 200, interim: 300 * time.Millisecond}, sleeper{takes: 500 * time.Millisecond, code: 200}, "o0", "o0"},
		{"of the second", sleeper{takes: time.Second, code: 200, interim: 900 * time.Millisecond}, sleeper{takes: 2 * time.Second, code: 200, interim: 100 * time.Millisecond}, "o1", "o1"},
		{"of the loser, too late", sleeper{takes: time.Second, code: 200, interim: 900 * time.Millisecond}, sleeper{takes: 100 * time.Millisecond, code: 200}, "o1", ""},
		{"of the loser, later", sleeper{takes: time.Second, code: 200, interim: 900 * time.Millisecond, stubborn: true}, sleeper{takes: 100 * time.Millisecond, code: 200}, "o1", ""},
		{"of one that fails then", sleeper{takes: time.Second, code: 503, interim: 250 * time.Millisecond}, sleeper{takes: time.Second, code: 200}, "o0", "o0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := hedged(t, Options{}, &test.one, &test.two)
				links := ""
				trace := &httptrace.ClientTrace{Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
					links += header.Get("Link")
					return nil
				}}
				r := request(t, http.MethodGet, "/", nil)
				r = r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
				if _, text, err := exchange(t, p, r); text != test.want || links != test.links {
					t.Errorf("got %q with hints of %q, %v; want %q, %q", text, links, err, test.want, test.links)
				}
			})
		})
	}
}
