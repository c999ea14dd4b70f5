package route

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ask(r *Router, method, target string) *http.Response {
	w := httptest.NewRecorder()
	q := httptest.NewRequest(method, target, nil)
	q.RemoteAddr = "10.1.1.1:4711"
	r.ServeHTTP(w, q)
	return w.Result()
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	near := node("near", "eu", 0)
	near.URL = &url.URL{Scheme: "https", Host: "near.example:8443", Path: "/base/"}
	r := &Router{Scheduler: scheduler(t, regions, near, node("far", "asia", 0))}
	for target, want := range map[string]string{
		"/route/play/~to%20ken/ast_1/master.m3u8?a=b&c": "https://near.example:8443/base/play/~to%20ken/ast_1/master.m3u8?a=b&c",
		"/route/play/a":                 "https://near.example:8443/base/play/a",
		"/route//evil.example/a":        "https://near.example:8443/base//evil.example/a",
		"/route/http://evil.example/a":  "https://near.example:8443/base/http://evil.example/a",
		"/route/%2e%2e/@evil.example/a": "https://near.example:8443/base/%2e%2e/@evil.example/a",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			answer := ask(r, method, target)
			if got := answer.Header.Get("Location"); answer.StatusCode != http.StatusFound || got != want {
				t.Errorf("%s %s: %d to %q, want %q", method, target, answer.StatusCode, got, want)
			}
			if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s %s: %v", method, target, answer.Header)
			}
		}
	}
}

func TestAnswersBesides(t *testing.T) {
	t.Parallel()
	r := &Router{Scheduler: new(Scheduler)}
	for _, test := range []struct {
		method, target string
		status         int
		field, value   string
	}{
		{"GET", "/route/play/a", 503, "Retry-After", "5"},
		{"GET", "/route/", 404, "Access-Control-Allow-Origin", "*"},
		{"GET", "/elsewhere", 404, "Cache-Control", "no-store"},
		{"POST", "/route/play/a", 405, "Allow", "GET, HEAD, OPTIONS"},
		{"OPTIONS", "/route/play/a", 204, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"},
		{"GET", "/steer/hls", 400, "Cache-Control", "no-store"},
		{"GET", "/steer/dash?node=.", 400, "Cache-Control", "no-store"},
		{"GET", "/steer/hls?node=a&content=" + strings.Repeat("x", longestParam+1), 400, "Cache-Control", "no-store"},
	} {
		answer := ask(r, test.method, test.target)
		if answer.StatusCode != test.status || answer.Header.Get(test.field) != test.value {
			t.Errorf("%s %.40s: %d, %v", test.method, test.target, answer.StatusCode, answer.Header)
		}
	}
}

func TestClientIsWhoConnects(t *testing.T) {
	t.Parallel()
	r := &Router{Scheduler: scheduler(t, regions, node("eu", "eu", 0), node("asia", "asia", 0))}
	where := func(from string) string {
		w := httptest.NewRecorder()
		q := httptest.NewRequest("GET", "/route/x", nil)
		q.RemoteAddr = from
		q.Header.Set("X-Forwarded-For", "10.9.1.1") // asia, says the client
		r.ServeHTTP(w, q)
		return w.Result().Header.Get("Location")
	}
	for from, want := range map[string]string{"10.1.1.1:1": "eu", "[::ffff:10.1.1.1]:1": "eu", "[2001:db8::1]:1": "asia"} {
		if got := where(from); got != "https://"+want+".example/x" {
			t.Errorf("from %s: to %s, want %s", from, got, want)
		}
	}
	r.Client = func(q *http.Request) netip.Addr { return netip.MustParseAddr(q.Header.Get("X-Forwarded-For")) }
	if got := where("10.1.1.1:1"); got != "https://asia.example/x" {
		t.Errorf("by a proxy that is believed: to %s", got)
	}
}

func steered(t *testing.T, r *Router, target string) (got steering) {
	t.Helper()
	answer := ask(r, "GET", target)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d, %v", target, answer.StatusCode, answer.Header)
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSteer(t *testing.T) {
	t.Parallel()
	at := func(id, region, address string) Node {
		n := node(id, region, 0)
		n.URL, _ = url.Parse(address)
		return n
	}
	nodes := []Node{
		at("a", "eu", "http://a.example:8080"), at("b", "asia", "http://b.example:8080/"), at("c", "", "http://[2001:db8::c]:8080"),
		at("tls", "eu", "https://tls.example:8080"), at("port", "eu", "http://port.example"), at("path", "eu", "http://path.example:8080/x"),
	}
	nodes[2].State = Draining
	r := &Router{Scheduler: scheduler(t, regions, nodes...)}
	want := steering{Version: 1, TTL: 10, Priority: []string{".", "b", "c"}, Clones: []clone{
		{".", "b", replacement{"b.example"}}, {".", "c", replacement{"[2001:db8::c]"}},
	}}
	query := SteeringQuery("a", "/play/~secret/ast_1/master.m3u8")
	if query != "?node=a&content=play%2Fast_1" {
		t.Errorf("query %q", query)
	}
	if diff := cmp.Diff(want, steered(t, r, SteerHLSPath+query)); diff != "" {
		t.Error(diff)
	}
	want.Clones[0].Replacement.Host, want.Clones[1].Replacement.Host = "b.example:8080", "[2001:db8::c]:8080"
	r.Self = &url.URL{Scheme: "https", Host: "cloud.example"}
	want.Reload = "https://cloud.example/steer/dash?content=play%2Fast_1&node=a"
	if diff := cmp.Diff(want, steered(t, r, SteerDASHPath+query+"&_DASH_pathway=%22.%22")); diff != "" {
		t.Error(diff)
	}
}

// A node that is not there any more, or drains, is left; where nobody else is, players
// stay where they are.
func TestSteerAway(t *testing.T) {
	t.Parallel()
	gone, other := node("gone", "eu", 0), node("other", "asia", 0)
	gone.State = "gone"
	r := &Router{Scheduler: scheduler(t, regions, gone, other)}
	if got := steered(t, r, "/steer/hls?node=gone&content=x").Priority; !cmp.Equal(got, []string{"other"}) {
		t.Errorf("from one that is gone: %q", got)
	}
	if got := steered(t, r, "/steer/hls?node=unknown&content=x").Priority; !cmp.Equal(got, []string{"."}) {
		t.Errorf("from an unknown one: %q", got)
	}
	r.Scheduler.SetNodes(nil)
	if got := steered(t, r, "/steer/hls?node=gone&content=x").Priority; !cmp.Equal(got, []string{"."}) {
		t.Errorf("with nobody: %q", got)
	}
}

// Who is served well is not moved: neither when another one ranks first, nor while the
// node has no room for new ones.
func TestSteerStays(t *testing.T) {
	t.Parallel()
	a, b, far := node("a", "eu", 100), node("b", "eu", 100), node("far", "asia", 100)
	r := &Router{Scheduler: scheduler(t, regions, a, b, far)}
	first := func(pathway string) string {
		return steered(t, r, "/steer/hls?node=a&content=x&_HLS_pathway="+pathway).Priority[0]
	}
	if first(".") != "." || first("a") != "." || first("b") != "b" {
		t.Errorf("first are %q, %q, %q", first("."), first("a"), first("b"))
	}
	if first("far") == "far" {
		t.Error("who is far away while near ones have room stays there")
	}
	b.Egress = 94
	r.Scheduler.SetNodes([]Node{a, b, far})
	if first("b") != "b" {
		t.Error("who is on a busy node is moved")
	}
	b.Egress = 96
	r.Scheduler.SetNodes([]Node{a, b, far})
	if first("b") != "." {
		t.Error("who is on a full node stays")
	}
}

func FuzzRouter(f *testing.F) {
	f.Add("/route/play/~t/ast_1/a?b=c")
	f.Add("/steer/hls?node=a&content=x&_HLS_pathway=.&_HLS_throughput=1")
	f.Add("/steer/dash?node=a&content=x&_DASH_pathway=%22a,b%22")
	r := &Router{Scheduler: scheduler(f, regions, node("a", "eu", 0), node("b", "asia", 0))}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" {
			return
		}
		q := &http.Request{Method: "GET", URL: u, RemoteAddr: "10.1.1.1:1", Header: http.Header{}}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		if location := w.Header().Get("Location"); location != "" {
			if to, err := url.Parse(location); err == nil && to.Host != "a.example" {
				t.Fatalf("%q leads to %q", target, location)
			}
		}
	})
}

// Where else something is: the nodes of the viewer first, and none that differ in more than
// their host, or are not to be sent anybody.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	draining, another := node("d", "eu", 1), node("e", "eu", 1)
	draining.State, another.URL = Draining, &url.URL{Scheme: "http", Host: "e.example:81"}
	s := scheduler(t, "192.0.2.0/24 eu", node("a", "eu", 1), node("b", "asia", 1), node("c", "eu", 1), draining, another)
	router := &Router{Scheduler: s}
	q := httptest.NewRequest(http.MethodGet, "/play/~token/ast_1/manifest.mpd?a=b", nil)
	q.RemoteAddr = "192.0.2.1:5"
	for _, test := range []struct {
		of   string
		n    int
		want string
	}{{"a", 2, "c b"}, {"c", 1, "a"}, {"nobody", 2, ""}, {"a", 0, ""}} {
		var got []string
		for _, e := range router.Elsewhere(q, test.of, test.n) {
			got = append(got, e.ID)
			if n, _ := s.node(e.ID); e.URL.String() != n.base+q.URL.String() {
				t.Errorf("%s is at %s", e.ID, e.URL)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("beside %s: %q, want %q", test.of, got, test.want)
		}
	}
}
