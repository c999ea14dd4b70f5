package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/base/fault"

	"pgregory.net/rapid"
)

// shields answers in place of all peers, by the host that is called.
type shields map[string]http.RoundTripper

func (s shields) RoundTrip(r *http.Request) (*http.Response, error) {
	return s[r.URL.Host].RoundTrip(r)
}

func (s shields) asked(name string) int64 { return s[name].(*counted).n.Load() }

// says answers with a text.
func says(text string) *counted {
	return &counted{fake: func(r *http.Request) (*http.Response, error) { return respond(r, 200, text), nil }}
}

// tier is a Tier over peers, each at the host of its name.
func tier(t testing.TB, s shields, next http.RoundTripper, o TierOptions) *Tier {
	t.Helper()
	o.Peers, o.Next = s, next
	x := NewTier(o)
	var list []Peer
	for name := range s {
		list = append(list, Peer{ID: name, URL: parse(t, "http://"+name)})
	}
	if err := x.SetPeers(list); err != nil {
		t.Fatal(err)
	}
	return x
}

// conditions are how the peers do.
func conditions(x *Tier) (list []Condition) {
	for _, p := range *x.peers.Load() {
		list = append(list, p.condition(time.Now()))
	}
	return list
}

// order is the names of the peers in their order for a path.
func order(t testing.TB, x *Tier, path string) []string {
	t.Helper()
	q := newQuestion(request(t, http.MethodGet, path, nil))
	q.key = keyOf(q.Request)
	var list []string
	for {
		to, ok := pick(*x.peers.Load(), q, time.Now(), hopeful)
		if !ok {
			return list
		}
		to.breaker.done(to.ticket, nothing, time.Now())
		to.inFlight.Add(-1)
		q.tried = append(q.tried, to.target)
		list = append(list, to.name)
	}
}

func TestTierAsksThePeer(t *testing.T) {
	t.Parallel()
	var got *http.Request
	peer := &counted{fake: func(r *http.Request) (*http.Response, error) {
		got = r
		return respond(r, 200, "peer"), nil
	}}
	x := tier(t, shields{"p": peer}, says("next"), TierOptions{})
	r := request(t, http.MethodGet, "/a%2Fb?c", nil)
	r.Header.Set("X-Forwarded-Host", "viewer.example")
	r.Header.Set("Range", "bytes=0-1")
	if _, text, err := exchange(t, x, r); text != "peer" {
		t.Fatalf("got %q, %v", text, err)
	}
	if got.URL.String() != "http://p/a%2Fb?c" || got.Host != "viewer.example" || got.Header.Get("Range") != "bytes=0-1" {
		t.Errorf("it was asked for %s of %s", got.URL, got.Host)
	}
	if r.URL.Host != "" || r.Host != "" {
		t.Error("the caller's request was changed")
	}
	if s := conditions(x); len(s) != 1 || s[0].Requests != 1 || s[0].InFlight != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestTierGoesPast(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(r *http.Request) *http.Request
	}{
		{"an upgrade", func(r *http.Request) *http.Request { r.Header.Set("Upgrade", "websocket"); return r }},
	}
	for _, test := range tests {
		s := shields{"p": says("peer")}
		x := tier(t, s, says("next"), TierOptions{})
		if _, text, err := exchange(t, x, test.change(request(t, http.MethodGet, "/", nil))); text != "next" || s.asked("p") != 0 {
			t.Errorf("%s: got %q, %v", test.name, text, err)
		}
	}
	if _, text, _ := get(t, NewTier(TierOptions{Next: says("next")}), "/"); text != "next" {
		t.Errorf("without peers: got %q", text)
	}
}

// What changes something goes by the shield that has what is stored of it, once; and past
// it only when that has got nothing of it.
func TestTierChanges(t *testing.T) {
	t.Parallel()
	read := func(r *http.Request) string {
		text, _ := io.ReadAll(r.Body)
		return string(text)
	}
	next := &counted{fake: func(r *http.Request) (*http.Response, error) { return respond(r, 200, "next "+read(r)), nil }}
	for name, test := range map[string]struct {
		fake fake
		want string
		asks int64
	}{
		"done":   {func(r *http.Request) (*http.Response, error) { return respond(r, 200, "peer "+read(r)), nil }, "peer x", 0},
		"failed": {func(r *http.Request) (*http.Response, error) { return respond(r, 503, "failed "+read(r)), nil }, "failed x", 0},
		"away":   {func(*http.Request) (*http.Response, error) { return nil, errRefused }, "next x", 1},
		"half":   {func(r *http.Request) (*http.Response, error) { read(r); return nil, errors.New("broken") }, "", 0},
	} {
		asked := next.n.Load()
		peer := &counted{fake: test.fake}
		x := tier(t, shields{"p": peer}, next, TierOptions{})
		_, text, err := exchange(t, x, request(t, http.MethodPost, "/", &closing{Reader: strings.NewReader("x")}))
		if text != test.want || (err != nil) != (test.want == "") || peer.n.Load() != 1 || next.n.Load()-asked != test.asks {
			t.Errorf("%s: got %q, %v; the shield was asked %d times", name, text, err, peer.n.Load())
		}
	}
}

// cacheSays answers with a status and what a cache says of it.
func cacheSays(code int, text string) *counted {
	return &counted{fake: func(r *http.Request) (*http.Response, error) {
		got := respond(r, code, "shield")
		if text != "" {
			got.Header.Set("Cache-Status", text)
		}
		return got, nil
	}}
}

func TestTierPassesOver(t *testing.T) {
	t.Parallel()
	const second, next = "second", "next"
	tests := []struct {
		name       string
		one, other *counted
		want       string
		code       int
	}{
		{"refused", &counted{fake: refuses}, says(second), second, 200},
		{"broken off", &counted{fake: breaks}, says(second), second, 200},
		{"no answer of an origin", cacheSays(502, "liuyun; fwd=uri-miss"), says(second), second, 200},
		{"no cache there", cacheSays(503, ""), says(second), second, 200},
		{"what an origin says of its cache", cacheSays(502, "theirs; fwd=miss; fwd-status=502, liuyun; fwd=uri-miss"), says(second), second, 200},
		{"the origin's own", cacheSays(503, "liuyun; fwd=uri-miss; fwd-status=503; stored"), says(second), "shield", 503},
		{"the origin's own, of before", cacheSays(504, "liuyun; hit; ttl=3"), says(second), "shield", 504},
		{"500", cacheSays(500, ""), says(second), "shield", 500},
		{"both", &counted{fake: refuses}, cacheSays(504, "liuyun; fwd=stale"), next, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := shields{"a": says(""), "b": says(""), "c": says("third")}
			x := tier(t, s, says(next), TierOptions{})
			by := order(t, x, "/")
			s[by[0]], s[by[1]] = test.one, test.other
			code, text, err := get(t, x, "/")
			if text != test.want || code != test.code {
				t.Errorf("got %d, %q, %v, want %d, %q", code, text, err, test.code, test.want)
			}
			if s.asked(by[2]) != 0 {
				t.Error("a third shield was asked")
			}
			for i, one := range conditions(x) {
				if one.InFlight != 0 {
					t.Errorf("shield %d has %d in flight", i, one.InFlight)
				}
			}
		})
	}
}

// A shield that is broken is left alone, and gets what is its own again when it is back.
func TestTierLeavesABrokenPeerAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := shields{"a": says("a"), "b": says("b")}
		x := tier(t, s, says("next"), TierOptions{})
		by := order(t, x, "/")
		one := s[by[0]].(*counted)
		well := one.fake
		one.fake = refuses
		for range 20 {
			if _, text, err := get(t, x, "/"); text != by[1] {
				t.Fatalf("got %q, %v", text, err)
			}
		}
		if n := one.n.Load(); n != mostStreak {
			t.Errorf("it was asked %d times", n)
		}
		one.fake = well
		time.Sleep(firstPause)
		for range 3 {
			if _, text, err := get(t, x, "/"); text != by[0] {
				t.Errorf("got %q, %v", text, err)
			}
		}
	})
}

// A shield that hangs does not take the time of Next.
func TestTierWaitsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := func() *counted {
			return &counted{fake: func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}}
		}
		s := shields{"a": hangs(), "b": hangs()}
		x := tier(t, s, says("next"), TierOptions{Answer: 5 * time.Second})
		began := time.Now()
		if _, text, err := get(t, x, "/"); text != "next" || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: got %q, %v", time.Since(began), text, err)
		}
		if s.asked("a")+s.asked("b") != 1 {
			t.Error("a second one was asked when the time was over")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := x.RoundTrip(request(t, http.MethodGet, "/", nil).WithContext(ctx)); err == nil {
			t.Error("there is an answer for one who has left")
		}
	})
}

func TestTierHedges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := shields{"a": nil, "b": nil, "c": nil}
		x := tier(t, s, says("next"), TierOptions{})
		by := order(t, x, "/")
		slow, quick := &sleeper{takes: time.Second, code: 200}, &sleeper{takes: 10 * time.Millisecond, code: 200}
		s[by[0]], s[by[1]] = slow, quick
		for _, p := range *x.peers.Load() {
			for range leastHeads {
				p.heads.add(100 * time.Millisecond)
			}
		}
		x.budget.saved.Store(whole)
		began := time.Now()
		if _, text, err := get(t, x, "/"); text != by[1] || time.Since(began) != 110*time.Millisecond {
			t.Errorf("after %v: got %q, %v", time.Since(began), text, err)
		}
		synctest.Wait()
		if slow.canceled != 1 || slow.open != 0 || quick.open != 0 {
			t.Errorf("got %+v and %+v", slow, quick)
		}
	})
}

// Two shields are asked for one request, and never a third.
func TestTierAsksTwoPeersAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := shields{"a": nil, "b": nil, "c": nil}
		x := tier(t, s, says("next"), TierOptions{})
		by := order(t, x, "/")
		third := says("third")
		s[by[0]], s[by[1]], s[by[2]] = &counted{fake: refuses}, &sleeper{takes: time.Second, code: 200}, third
		for _, p := range *x.peers.Load() {
			for range leastHeads {
				p.heads.add(100 * time.Millisecond)
			}
		}
		x.budget.saved.Store(mostSaved * whole)
		if _, text, err := get(t, x, "/"); text != by[1] || third.n.Load() != 0 {
			t.Errorf("got %q, %v; the third was asked %d times", text, err, third.n.Load())
		}
	})
}

func TestSetPeers(t *testing.T) {
	t.Parallel()
	s := shields{"a": &counted{fake: refuses}, "b": says("b")}
	x := tier(t, s, says("next"), TierOptions{})
	path := "/"
	for i := 0; order(t, x, path)[0] != "a"; i++ {
		path = fmt.Sprintf("/%d", i)
	}
	_, _, _ = get(t, x, path)
	bad := [][]Peer{
		{{ID: "", URL: parse(t, "http://c")}},
		{{ID: "c", URL: parse(t, "http://c")}, {ID: "c", URL: parse(t, "http://d")}},
		{{ID: "c"}},
		{{ID: "c", URL: parse(t, "c:80")}},
		make([]Peer, mostPeers+1),
	}
	for i, list := range bad {
		if err := x.SetPeers(list); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("list %d: got %v", i, err)
		}
	}
	failures := func(list ...Peer) uint64 {
		t.Helper()
		if err := x.SetPeers(list); err != nil {
			t.Fatal(err)
		}
		return conditions(x)[0].Failures
	}
	a := &url.URL{Scheme: "http", Host: "a"}
	if n := failures(Peer{ID: "a", URL: a}, Peer{ID: "c", URL: parse(t, "http://c")}); n != 1 {
		t.Errorf("one that stays has %d failures", n)
	}
	if n := failures(Peer{ID: "a", URL: parse(t, "http://elsewhere")}); n != 0 {
		t.Errorf("one that has moved has %d failures", n)
	}
	if err := x.SetPeers(nil); err != nil {
		t.Fatal(err)
	}
	if _, text, err := get(t, x, path); text != "next" {
		t.Errorf("got %q, %v", text, err)
	}
}

// An edge, a shield and an origin, each over connections: edges that want the same ask
// the same shield, which does not ask others.
func TestTierOverConnections(t *testing.T) {
	t.Parallel()
	from := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "origin") })
	peers := make([]Peer, 3)
	tiers := make([]*Tier, len(peers))
	for i := range peers {
		behind := over(t, Options{}, from)
		tiers[i] = NewTier(TierOptions{Peers: http.DefaultTransport, Next: behind})
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, text, err := exchange(t, behind, request(t, http.MethodGet, r.URL.RequestURI(), nil).WithContext(r.Context()))
			fmt.Fprint(w, i, " ", r.Host, " ", text, err)
		}))
		t.Cleanup(s.Close)
		peers[i] = Peer{ID: fmt.Sprint(i), URL: parse(t, s.URL)}
	}
	for _, x := range tiers {
		if err := x.SetPeers(peers); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	asked := make(map[string]bool)
	for n := range 20 {
		var first string
		for _, x := range tiers {
			r := request(t, http.MethodGet, fmt.Sprintf("/%d", n), nil)
			r.Header.Set("X-Forwarded-Host", "viewer.example")
			_, text, err := exchange(t, x, r)
			if err != nil || !strings.HasSuffix(text, " viewer.example origin<nil>") || first != "" && text != first {
				t.Fatalf("got %q, %v after %q", text, err, first)
			}
			first = text
		}
		asked[first] = true
	}
	if len(asked) != len(peers) {
		t.Errorf("of %d shields %d were asked", len(peers), len(asked))
	}
}

// Shields that are asked for the same never wait for each other, whoever of them is passed
// over: each asks only those that come before it.
func TestShieldsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawPeers(t)
		key := rapid.Uint64().Draw(t, "key")
		asks := make(map[string]string) // by whom who is asked
		for _, p := range list {
			q := &question{key: key, above: scoreOf(list, p.ID, key)}
			for range rapid.IntRange(0, len(list)).Draw(t, "passed over") {
				q.tried = append(q.tried, rapid.SampledFrom(list).Draw(t, "one").target)
			}
			if to, ok := pick(list, q, time.Now(), hopeful); ok {
				asks[p.name] = to.name
			}
		}
		for _, p := range list {
			at := p.name
			for range list {
				if at = asks[at]; at == p.name {
					t.Fatalf("%s waits for itself: %v", p.name, asks)
				}
			}
		}
	})
}
