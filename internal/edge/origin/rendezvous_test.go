package origin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// peersOf are so many peers, named p0 and so on.
func peersOf(n int) []*peer {
	var list []*peer
	for i := range n {
		id := fmt.Sprintf("p%d", i)
		list = append(list, &peer{target: &target{name: id}, Peer: Peer{ID: id}, seed: hashString(id)})
	}
	return list
}

// home is the name of the shield for a key while nothing is in flight.
func home(list []*peer, key uint64) string {
	to, ok := pick(list, &question{key: key}, time.Now(), hopeful)
	if !ok {
		return ""
	}
	to.breaker.done(to.ticket, nothing, time.Now())
	to.inFlight.Add(-1)
	return to.name
}

func drawPeers(t *rapid.T) []*peer { return peersOf(rapid.IntRange(2, 20).Draw(t, "peers")) }

// When a shield goes, what was its own moves and nothing else; the order in which they
// are listed does not matter.
func TestLittleMoves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawPeers(t)
		gone := rapid.IntRange(0, len(list)-1).Draw(t, "gone")
		rest := slices.Delete(slices.Clone(list), gone, gone+1)
		slices.Reverse(rest)
		for _, key := range rapid.SliceOfN(rapid.Uint64(), 50, 50).Draw(t, "keys") {
			before, after := home(list, key), home(rest, key)
			if before != list[gone].name && before != after {
				t.Fatalf("%x was at %s and is at %s, when %s has gone", key, before, after, list[gone].name)
			}
		}
	})
}

func TestBalance(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 7} {
		list := peersOf(n)
		got := make(map[string]int)
		const keys = 5000
		for i := range keys { // as files of one folder are named
			r := &http.Request{Host: "example.org", URL: &url.URL{Path: fmt.Sprintf("/play/film/seg_%05d.m4s", i)}}
			got[home(list, keyOf(r))]++
		}
		share := 1 / float64(n)
		for _, p := range list {
			off := float64(got[p.name]) - keys*share
			if limit := 5 * math.Sqrt(keys*share*(1-share)); math.Abs(off) > limit {
				t.Errorf("of %d, %s has %d of %d, %.0f more than its share", n, p.name, got[p.name], keys, off)
			}
		}
	}
}

// Whatever is asked for and ends, none gets more than its share and a quarter, and there
// is always one that may be asked.
func TestLoadIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := drawPeers(t)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		hot := rapid.IntRange(1, 5).Draw(t, "keys")
		var flying []chosen
		for range 600 {
			if len(flying) > 0 && random.IntN(4) == 0 {
				i := random.IntN(len(flying))
				flying[i].inFlight.Add(-1)
				flying[i].breaker.done(flying[i].ticket, success, time.Now())
				flying = slices.Delete(flying, i, i+1)
				continue
			}
			key := mix(uint64(random.IntN(hot)))
			to, ok := pick(list, &question{key: key}, time.Now(), hopeful)
			if !ok {
				t.Fatalf("none may be asked, with %d in flight", len(flying))
			}
			flying = append(flying, to)
			fair := 1.25 * float64(len(flying)) / float64(len(list))
			if got := to.inFlight.Load(); got > idleLoad && float64(got) > math.Ceil(fair) {
				t.Fatalf("%s has %d of %d in flight; its share and a quarter is %.1f", to.name, got, len(flying), fair)
			}
		}
	})
}

// What goes past a shield that is loaded goes to the next one in order.
func TestLoadGoesToTheNext(t *testing.T) {
	t.Parallel()
	list := peersOf(3)
	q := &question{key: 7}
	first, _ := pick(list, q, time.Now(), hopeful)
	for range idleLoad - 1 {
		if to, _ := pick(list, q, time.Now(), hopeful); to.target != first.target {
			t.Fatal("one that is hardly loaded is passed over")
		}
	}
	second, _ := pick(list, q, time.Now(), hopeful)
	q.tried = []*target{first.target}
	if want, _ := pick(list, q, time.Now(), hopeful); second.target == first.target || second.target != want.target {
		t.Errorf("it goes to %s, and the next is %s", second.name, want.name)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	key := func(host, address string) uint64 {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return keyOf(&http.Request{URL: u, Header: http.Header{"X-Forwarded-Host": {host}}})
	}
	base := key("example.org", "/live/p.m3u8?token=1&x")
	for _, same := range []string{
		"/live/p.m3u8?token=1&x&_HLS_msn=3&_HLS_part=1", "/live/p.m3u8?_HLS_skip=YES&token=1&x", "/live/p.m3u8?token=1&_HLS_msn=4&x",
		"/live/p.m3u8?token=1&x&%5FHLS_msn=3", "/live/p.m3u8?token=1&x&_%48LS%5fpart=1", "https://elsewhere/live/p.m3u8?token=1&x",
	} {
		if key("Example.ORG", same) != base {
			t.Errorf("%s is at another shield", same)
		}
	}
	for _, other := range []string{"/live/p.m3u8", "/live/p.m3u8?token=2&x", "/live%2Fp.m3u8?token=1&x", "/live/p.m3u8?x&token=1", "/live/p.m3u8?token=1&x&_HL_msn=1"} {
		if key("example.org", other) == base {
			t.Errorf("%s has the same key", other)
		}
	}
	if key("example.com", "/live/p.m3u8?token=1&x") == base {
		t.Error("another site has the same key")
	}
	// All edges have to agree, of this version and of later ones.
	if got, want := key("example.org", "/a?b"), uint64(0xe329aeb5fd7e11b); got != want {
		t.Errorf("the key is %#x, want %#x", got, want)
	}
	if got, want := home(peersOf(4), 42), "p2"; got != want {
		t.Errorf("the shield is %s, want %s", got, want)
	}
}

func TestPolls(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]bool{
		"": false, "_HLS_msn=1": true, "a&_HLS_msn=1": true, "_HLS_msn": false, "_HLS_part=1": false, "x_HLS_msn=1": false,
		"%5FHLS%5fmsn=1": true, "%5": false, "%zzHLS_msn=1": false, "_HLS_msn%3D1": true,
	} {
		if got := polls(query); got != want {
			t.Errorf("%q: got %t", query, got)
		}
	}
}

// What begins with a prefix is what net/url says it is.
func FuzzBegins(f *testing.F) {
	for _, seed := range []string{"_HLS_msn=1", "%5FHLS_%6d", "%", "%4", "_%48LS_x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, parameter string) {
		decoded, err := url.PathUnescape(parameter)
		if got := begins(parameter, "_HLS_"); err == nil && got != strings.HasPrefix(decoded, "_HLS_") {
			t.Errorf("%q: got %t", parameter, got)
		}
	})
}

// No header makes a cache seem to have an answer unless its last member says so.
func FuzzAnswered(f *testing.F) {
	for _, seed := range []string{"liuyun; fwd=uri-miss; fwd-status=503", "a; hit, b; fwd=miss", `a; detail="x, y; hit"`, ",;="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got := answered(http.Header{"Cache-Status": {"theirs; hit; fwd-status=502", line}})
		if got && !strings.Contains(line, "hit") && !strings.Contains(line, "fwd-status") {
			t.Errorf("%q says that there is an answer", line)
		}
	})
}

func TestPickingDoesNotAllocate(t *testing.T) {
	list := peersOf(8)
	q := newQuestion(request(t, http.MethodGet, "/play/film/seg_00001.m4s?token=1&_HLS_msn=2", nil))
	q.Header.Set("X-Forwarded-Host", "example.org")
	if n := testing.AllocsPerRun(100, func() {
		q.key = keyOf(q.Request)
		_, _ = pick(list, q, time.Now(), hopeful)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{3, 16, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			list := peersOf(n)
			q := newQuestion(request(b, http.MethodGet, "/play/film/seg_00001.m4s", nil))
			q.Header.Set("X-Forwarded-Host", "example.org")
			b.ReportAllocs()
			for b.Loop() {
				q.key = keyOf(q.Request)
				to, _ := pick(list, q, time.Now(), hopeful)
				to.breaker.done(to.ticket, success, time.Time{})
				to.inFlight.Add(-1)
			}
		})
	}
}
