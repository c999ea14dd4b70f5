package origin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	tests := []struct{ base, path, want, host string }{
		{"http://o", "/a/b?c=d", "http://o/a/b?c=d", "o"},
		{"http://o/", "/a", "http://o/a", "o"},
		{"https://o:8443/base", "/a", "https://o:8443/base/a", "o:8443"},
		{"http://o/base/", "/", "http://o/base/", "o"},
		{"http://o/base", "/a%2Fb", "http://o/base/a%2Fb", "o"},
		{"http://o/b%2Fc", "/a b", "http://o/b%2Fc/a%20b", "o"},
		{"http://o/b%2F", "/a%2f", "http://o/b%2F/a%2f", "o"},
		{"http://o/base", "//a", "http://o/base//a", "o"},
		{"http://o/base", "/a?", "http://o/base/a?", "o"},
		{"http://o", "*", "http://o/*", "o"},
	}
	for _, test := range tests {
		e := newEndpoint(Endpoint{URL: parse(t, test.base)}, nil)
		u, err := url.Parse(test.path)
		if strings.HasPrefix(test.path, "//") {
			u, err = &url.URL{Path: test.path}, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.User("me")
		out := &http.Request{URL: u, Host: "viewer"}
		e.direct(out)
		if got := out.URL.String(); got != test.want || out.Host != test.host {
			t.Errorf("%s at %s: got %s for %s, want %s for %s", test.path, test.base, got, out.Host, test.want, test.host)
		}
		if out.URL == u || u.Host != "" {
			t.Errorf("%s at %s: the caller's address was changed", test.path, test.base)
		}
	}
	out := &http.Request{URL: parse(t, "/a")}
	newEndpoint(Endpoint{URL: parse(t, "http://10.0.0.1"), Host: "example.org"}, nil).direct(out)
	if out.Host != "example.org" || out.URL.Host != "10.0.0.1" {
		t.Errorf("got %s at %s", out.Host, out.URL.Host)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := Endpoint{URL: parse(t, "http://o")}
	bad := map[string]Options{
		"no origin":      {},
		"no address":     {Endpoints: []Endpoint{{}}},
		"no host":        {Endpoints: []Endpoint{{URL: parse(t, "http:///a")}}},
		"another scheme": {Endpoints: []Endpoint{{URL: parse(t, "ftp://o")}}},
		"a query":        {Endpoints: []Endpoint{{URL: parse(t, "http://o?a")}}},
		"a user":         {Endpoints: []Endpoint{{URL: parse(t, "http://me@o")}}},
		"a weight":       {Endpoints: []Endpoint{{URL: good.URL, Weight: -1}}},
		"too many":       {Endpoints: make([]Endpoint, mostEndpoints+1)},
		"a path":         {Endpoints: []Endpoint{good}, Health: &Health{Path: "healthz"}},
		"no path at all": {Endpoints: []Endpoint{good}, Health: &Health{Path: "http://other/"}},
		"too often":      {Endpoints: []Endpoint{good}, Health: &Health{Every: time.Millisecond}},
		"a threshold":    {Endpoints: []Endpoint{good}, Health: &Health{Healthy: -1}},
		"a status":       {Endpoints: []Endpoint{good}, Health: &Health{Status: 99}},
	}
	for name, o := range bad {
		if _, err := New(o); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWeights(t *testing.T) {
	t.Parallel()
	var order strings.Builder
	mark := func(name string) fake {
		return func(r *http.Request) (*http.Response, error) {
			order.WriteString(name)
			return respond(r, 200, ""), nil
		}
	}
	p := pool(t, Options{Endpoints: []Endpoint{
		{URL: parse(t, "http://a"), Weight: 4}, {URL: parse(t, "http://b")}, {URL: parse(t, "http://c"), Weight: 2},
	}}, mark("a"), mark("b"), mark("c"))
	for range 14 {
		if _, _, err := get(t, p, "/"); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := order.String(), "acabacaacabaca"; got != want {
		t.Errorf("they were asked in the order %s, want %s", got, want)
	}
}

func TestGoesOn(t *testing.T) {
	t.Parallel()
	type turns []http.RoundTripper
	ok := status(200)
	tests := []struct {
		name, method, path, body string
		turns                    turns
		asked                    []int64
		status                   int // 0 for an error
	}{
		{"an answer", "GET", "/", "", turns{ok, ok, ok}, []int64{1, 0, 0}, 200},
		{"refused", "GET", "/", "", turns{fake(refuses), ok, ok}, []int64{1, 1, 0}, 200},
		{"broken off", "GET", "/", "", turns{fake(breaks), ok, ok}, []int64{1, 1, 0}, 200},
		{"502, 503", "HEAD", "/", "", turns{status(502), status(503), ok}, []int64{1, 1, 1}, 200},
		{"504", "OPTIONS", "/", "", turns{status(504), ok, ok}, []int64{1, 1, 0}, 200},
		{"500 is an answer", "GET", "/", "", turns{status(500), ok, ok}, []int64{1, 0, 0}, 500},
		{"twice at most", "GET", "/", "", turns{status(502), status(503), status(504), ok}, []int64{1, 1, 1, 0}, 504},
		{"an answer is more than none", "GET", "/", "", turns{status(503), fake(refuses), fake(breaks)}, []int64{1, 1, 1}, 503},
		{"no answer at all", "GET", "/", "", turns{fake(refuses), fake(refuses)}, []int64{1, 1}, 0},
		{"no one else", "GET", "/", "", turns{status(503)}, []int64{1}, 503},
		{"POST once", "POST", "/", "text", turns{status(503), ok}, []int64{1, 0}, 503},
		{"POST that broke off", "POST", "/", "text", turns{fake(breaks), ok}, []int64{1, 0}, 0},
		{"POST that was not dialled", "POST", "/", "text", turns{fake(refuses), ok}, []int64{1, 1}, 200},
		{"POST to nobody", "POST", "/", "text", turns{fake(refuses), fake(refuses)}, []int64{1, 1}, 0},
		{"DELETE without a body", "DELETE", "/", "", turns{fake(breaks), ok}, []int64{1, 0}, 0},
		{"GET with a body", "GET", "/", "text", turns{status(503), ok}, []int64{1, 0}, 503},
		{"a reload that has waited", "GET", "/p?_HLS_msn=1", "", turns{status(503), ok}, []int64{1, 0}, 503},
		{"a reload that was refused", "GET", "/p?_HLS_msn=1", "", turns{fake(refuses), ok}, []int64{1, 1}, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var list []http.RoundTripper
			for _, turn := range test.turns {
				list = append(list, &counted{fake: turn.(fake)})
			}
			p := pool(t, Options{}, list...)
			r := request(t, test.method, test.path, nil)
			sent := &closing{Reader: strings.NewReader(test.body)}
			if test.body != "" {
				r.Body = sent
			}
			got, _, err := exchange(t, p, r)
			if got != test.status || (err == nil) == (test.status == 0) {
				t.Errorf("got %d, %v, want %d", got, err, test.status)
			}
			var asked []int64
			for _, one := range list {
				asked = append(asked, one.(*counted).n.Load())
			}
			if diff := cmp.Diff(test.asked, asked); diff != "" {
				t.Errorf("how often they were asked (-want +got):\n%s", diff)
			}
			if err != nil && test.body != "" && sent.closed != 1 {
				t.Errorf("the body was closed %d times", sent.closed)
			}
			for _, s := range p.Status() {
				if s.InFlight != 0 {
					t.Errorf("%s has %d in flight", s.URL, s.InFlight)
				}
			}
		})
	}
}

// closing counts how often it is closed.
type closing struct {
	io.Reader
	closed int
}

func (c *closing) Read(p []byte) (int, error) {
	if c.closed > 0 {
		return 0, http.ErrBodyReadAfterClose
	}
	return c.Reader.Read(p)
}

func (c *closing) Close() error { c.closed++; return nil }

func TestUploadSurvivesARefusal(t *testing.T) {
	t.Parallel()
	var got string
	takes := fake(func(r *http.Request) (*http.Response, error) {
		text, err := io.ReadAll(r.Body)
		got = string(text)
		_ = r.Body.Close()
		return respond(r, 201, ""), err
	})
	p := pool(t, Options{}, fake(refuses), takes)
	sent := &closing{Reader: strings.NewReader("all of it")}
	r := request(t, http.MethodPost, "/", sent)
	if _, _, err := exchange(t, p, r); err != nil || got != "all of it" || sent.closed != 1 {
		t.Errorf("got %q, %v; the body was closed %d times", got, err, sent.closed)
	}
}

// What was read of a body is not there for another origin.
func TestHalfAnUploadGoesNowhere(t *testing.T) {
	t.Parallel()
	half := fake(func(r *http.Request) (*http.Response, error) {
		_, _ = r.Body.Read(make([]byte, 3))
		return refuses(r)
	})
	other := &counted{fake: status(200)}
	p := pool(t, Options{}, half, other)
	if code, _, err := exchange(t, p, request(t, http.MethodPost, "/", strings.NewReader("all of it"))); err == nil || other.n.Load() != 0 {
		t.Errorf("got %d, and another one was asked %d times", code, other.n.Load())
	}
}

// Only what can be asked again is a probe.
func TestProbesAreRepeatable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := &counted{fake: refuses}
		p := pool(t, Options{}, broken, status(200))
		for broken.n.Load() < mostStreak {
			_, _, _ = get(t, p, "/")
		}
		time.Sleep(firstPause)
		for range 4 {
			if code, _, err := exchange(t, p, request(t, http.MethodPost, "/", nil)); code != 200 {
				t.Errorf("got %d, %v", code, err)
			}
		}
		if n := broken.n.Load(); n != mostStreak {
			t.Errorf("it was asked %d times", n)
		}
		_, _, _ = get(t, p, "/")
		_, _, _ = get(t, p, "/")
		if n := broken.n.Load(); n != mostStreak+1 {
			t.Errorf("with the probe it was asked %d times", n)
		}
	})
}

// A body that is not sent whole is the client's fault.
func TestBrokenUploadHarmsNoOrigin(t *testing.T) {
	t.Parallel()
	takes := fake(func(r *http.Request) (*http.Response, error) {
		_, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		return nil, err
	})
	p := pool(t, Options{}, takes)
	for range 3 * mostStreak {
		r := request(t, http.MethodPost, "/", io.MultiReader(strings.NewReader("half"), broken{}))
		if _, err := p.RoundTrip(r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("got %v", err)
		}
	}
	if got := p.Status()[0]; got.Breaker != Closed || got.Failures != 0 {
		t.Errorf("got %+v", got)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestBackups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		well := false
		main := &counted{fake: func(r *http.Request) (*http.Response, error) {
			if !well {
				return refuses(r)
			}
			return respond(r, 200, "main"), nil
		}}
		backup := &counted{fake: func(r *http.Request) (*http.Response, error) { return respond(r, 200, "backup"), nil }}
		p := pool(t, Options{Endpoints: []Endpoint{
			{URL: parse(t, "http://main")}, {URL: parse(t, "http://backup"), Backup: true},
		}}, main, backup)
		for i := range 20 {
			if _, text, err := get(t, p, "/"); text != "backup" {
				t.Fatalf("request %d: got %q, %v", i, text, err)
			}
		}
		if got := main.n.Load(); got != mostStreak {
			t.Errorf("what fails was asked %d times, want %d", got, mostStreak)
		}
		well = true
		time.Sleep(firstPause)
		for i := range 5 {
			if _, text, err := get(t, p, "/"); text != "main" {
				t.Fatalf("request %d after it came back: got %q, %v", i, text, err)
			}
		}
		if got := backup.n.Load(); got != 20 {
			t.Errorf("the backup was asked %d times, want 20", got)
		}
	})
}

// When all of them fail, a request is tried once, and no more.
func TestFailsOpen(t *testing.T) {
	t.Parallel()
	a, b := &counted{fake: refuses}, &counted{fake: refuses}
	p := pool(t, Options{}, a, b)
	for range mostStreak {
		if _, _, err := get(t, p, "/"); err == nil {
			t.Fatal("there is an answer")
		}
	}
	before := a.n.Load() + b.n.Load()
	for range 10 {
		_, _, _ = get(t, p, "/")
	}
	if got := a.n.Load() + b.n.Load() - before; got != 10 {
		t.Errorf("10 requests became %d", got)
	}
	b.fake = status(200)
	for range 2 { // one of them asks b, and that is known at once
		_, _, _ = get(t, p, "/")
	}
	for range 5 {
		if code, _, err := get(t, p, "/"); code != 200 {
			t.Errorf("got %d, %v", code, err)
		}
	}
}

func TestAnswerTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := &counted{fake: func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		other := &counted{fake: status(200)}
		p := pool(t, Options{Answer: 10 * time.Second}, hangs, other)
		began := time.Now()
		_, _, err := get(t, p, "/")
		var network net.Error
		if !errors.As(err, &network) || !network.Timeout() || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: got %v", time.Since(began), err)
		}
		if other.n.Load() != 0 {
			t.Error("another one was asked when the time was over")
		}
		if got := p.Status()[0]; got.Failures != 1 || got.LastError == "" || got.InFlight != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAnswerTimeoutIsForAllTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := fake(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(6 * time.Second):
				return respond(r, 503, ""), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		p := pool(t, Options{Answer: 10 * time.Second}, slow, slow, slow)
		began := time.Now()
		code, _, err := get(t, p, "/")
		if code != 503 || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: got %d, %v", time.Since(began), code, err)
		}
		if got := p.Status()[1]; got.Failures != 0 {
			t.Errorf("who had the rest of the time is blamed: %+v", got)
		}
	})
}

// The time for an answer begins when the request is sent.
func TestUploadsTakeTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const patience = 10 * time.Second
		takes := fake(func(r *http.Request) (*http.Response, error) {
			text, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			httptrace.ContextClientTrace(r.Context()).WroteRequest(httptrace.WroteRequestInfo{Err: err})
			if r.URL.Path != "/hang" {
				return respond(r, 200, string(text)), nil
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		p := pool(t, Options{Answer: patience}, takes)
		slowly := func() io.Reader {
			read, write := io.Pipe()
			go func() {
				for range 4 {
					time.Sleep(patience / 2)
					_, _ = write.Write([]byte("part"))
				}
				_ = write.Close()
			}()
			return read
		}
		if code, text, err := exchange(t, p, request(t, http.MethodPost, "/", slowly())); text != "partpartpartpart" {
			t.Errorf("got %d, %q, %v", code, text, err)
		}
		began := time.Now()
		_, _, err := exchange(t, p, request(t, http.MethodPost, "/hang", slowly()))
		var network net.Error
		if !errors.As(err, &network) || !network.Timeout() || time.Since(began) != 3*patience {
			t.Errorf("after %v: got %v", time.Since(began), err)
		}
	})
}

// A reload waits on purpose, and a client that leaves says nothing of an origin.
func TestWaitingOnPurpose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := fake(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		p := pool(t, Options{Answer: time.Minute}, hangs)
		for range 2 * mostStreak {
			if _, _, err := get(t, p, "/p?_HLS_msn=7&_HLS_part=1"); err == nil {
				t.Fatal("there is an answer")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			r := request(t, http.MethodGet, "/", nil).WithContext(ctx)
			if _, err := p.RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v", err)
			}
			cancel()
		}
		p.groups[0][0].via = status(503)
		for range 2 * mostStreak {
			if code, _, err := get(t, p, "/p?_HLS_msn=7"); code != 503 {
				t.Fatalf("got %d, %v", code, err)
			}
		}
		if got := p.Status()[0]; got.Failures != 0 || got.Breaker != Closed || got.InFlight != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{Endpoints: []Endpoint{
		{URL: parse(t, "http://b"), Backup: true}, {URL: parse(t, "http://a/base")},
	}}, fake(refuses), status(200))
	for _, s := range p.Status() {
		if s.Asked {
			t.Errorf("%s was asked by nobody", s.URL)
		}
	}
	got, err := p.RoundTrip(request(t, http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	list := p.Status()
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".LastErrorAt" }, cmp.Ignore())
	want := []EndpointStatus{
		{URL: "http://a/base", Healthy: true, Asked: true, Condition: Condition{Breaker: Closed, Requests: 1, Failures: 1, LastError: errRefused.Error()}},
		{URL: "http://b", Backup: true, Healthy: true, Asked: true, Condition: Condition{Breaker: Closed, InFlight: 1, Requests: 1}},
	}
	if diff := cmp.Diff(want, list, ignore); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for range 2 {
		_ = got.Body.Close()
	}
	if n := p.Status()[1].InFlight; n != 0 {
		t.Errorf("after the end %d are in flight", n)
	}
}

func TestTroubleIsShort(t *testing.T) {
	t.Parallel()
	var x target
	x.note(strings.Repeat("x", 1<<20))
	if got := len(x.condition(time.Now()).LastError); got > 2*longestTrouble {
		t.Errorf("it has %d bytes", got)
	}
}

func BenchmarkChoose(b *testing.B) {
	p := pool(b, Options{}, status(200), status(200), status(200))
	q := newQuestion(request(b, http.MethodGet, "/", nil))
	b.ReportAllocs()
	for b.Loop() {
		to, _ := p.choose(q)
		to.breaker.done(to.ticket, success, time.Time{})
	}
}

func TestChoosingDoesNotAllocate(t *testing.T) {
	p := pool(t, Options{}, status(200), status(200), status(200))
	q := newQuestion(request(t, http.MethodGet, "/", nil))
	if n := testing.AllocsPerRun(100, func() { _, _ = p.choose(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
