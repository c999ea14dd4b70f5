package live

import (
	"hash/maphash"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// audience counts who watches a stream: those who hold a connection to this node, those
// who have asked it for playlists or media lately, and those whom edges count. Addresses of
// media are the same for all, so who asks is told apart by where he comes from and what he
// calls himself: viewers behind a cache that is no edge of the cloud count as one.
type audience struct {
	edges func() int // how many watch by edges; nil for nobody

	sent sentBytes
	last statistics // of the session that goes on, or the last one

	mu        sync.Mutex
	connected [ways]int
	asked     map[uint64]time.Time // when each asked last
	swept     time.Time
}

const (
	// watchesFor is how long one who has asked counts as watching: longer than any
	// player waits for its next segment.
	watchesFor = 15 * time.Second
	// mostAsking bounds the memory of a stream's audience; the count goes no higher.
	mostAsking = 50_000
)

var audienceSeed = maphash.MakeSeed()

// asks notes a request for something of the stream.
func (a *audience) asks(r *http.Request, now time.Time) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	var h maphash.Hash
	h.SetSeed(audienceSeed)
	h.WriteString(host)
	h.WriteByte(0)
	h.WriteString(r.UserAgent())
	who := h.Sum64()
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.swept) > watchesFor {
		a.sweep(now)
	}
	if _, known := a.asked[who]; !known && len(a.asked) >= mostAsking {
		return
	}
	if a.asked == nil {
		a.asked = make(map[uint64]time.Time)
	}
	a.asked[who] = now
}

// enter counts a connection until leave is called.
func (a *audience) enter(by way) (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.connected[by]++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.connected[by]--
	})
}

// count is how many watch.
func (a *audience) count(now time.Time) int { return sum(a.byWay(now)) }

// byWay is how many watch by each way.
func (a *audience) byWay(now time.Time) [ways]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sweep(now)
	by := a.connected
	by[byHTTP] += len(a.asked)
	if a.edges != nil {
		by[byHTTP] += a.edges()
	}
	return by
}

func (a *audience) sweep(now time.Time) {
	a.swept = now
	for who, at := range a.asked {
		if now.Sub(at) > watchesFor {
			delete(a.asked, who)
		}
	}
}

// audiences are those of all streams. The zero value is ready.
type audiences struct {
	edges func(stream string) int // how many watch one by edges; nil for nobody

	mu sync.Mutex
	of map[string]*audience
}

// find returns the audience of a stream that is there.
func (a *audiences) find(stream string) *audience {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.of[stream]
	if found == nil {
		found = &audience{}
		if a.edges != nil {
			found.edges = func() int { return a.edges(stream) }
		}
		if a.of == nil {
			a.of = make(map[string]*audience)
		}
		a.of[stream] = found
	}
	return found
}

// count is how many watch a stream.
func (a *audiences) count(stream string) int {
	a.mu.Lock()
	found := a.of[stream]
	a.mu.Unlock()
	if found == nil {
		return 0
	}
	return found.count(time.Now())
}

// byWay is how many watch any of the streams, by each way.
func (a *audiences) byWay(now time.Time) (by [ways]int) {
	a.mu.Lock()
	all := slices.Collect(maps.Values(a.of))
	a.mu.Unlock()
	for _, one := range all {
		for w, n := range one.byWay(now) {
			by[w] += n
		}
	}
	return by
}

func (a *audiences) forget(stream string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, stream)
}
