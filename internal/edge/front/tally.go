package front

import (
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"liuyun/internal/contract/edge"
)

const (
	// mostCells is how many counters of the same thing there are at most, so that cores
	// do not wait for each other's.
	mostCells = 8
	// tenantShards is how many maps hold the tenants.
	tenantShards = 16
	// mostTenants bounds each of them: tenants that were served since the last time. The
	// bytes of more are dropped.
	mostTenants = 8192
	// mostSketches bounds the sites whose paths are counted at the same time.
	mostSketches = 1000
)

// tally counts what was answered.
type tally struct {
	log      *slog.Logger
	sites    atomic.Pointer[map[string]*siteTally] // does not change
	tenants  [tenantShards]tenantShard
	dropped  atomic.Int64 // bytes of tenants that had no place
	seed     maphash.Seed
	cells    int          // a power of two
	sketches atomic.Int64 // that there are
}

// siteTally is what was answered for a site.
type siteTally struct {
	tenant string
	cells  []cell

	mu    sync.Mutex
	paths *sketch // nil until there is one
}

// cell fills a line of the processor's cache.
type cell struct {
	requests, hits, bytes, fetched atomic.Int64
	status                         [4]atomic.Int64 // 2xx to 5xx
}

// tenantShard holds the bytes that were served since they were taken last.
type tenantShard struct {
	mu    sync.RWMutex // guards the map, and taking all counters at once
	bytes map[string]*atomic.Int64
}

func newTally(log *slog.Logger) *tally {
	t := &tally{log: log, seed: maphash.MakeSeed(), cells: 1}
	for t.cells < min(runtime.GOMAXPROCS(0), mostCells) {
		t.cells *= 2
	}
	for i := range t.tenants {
		t.tenants[i].bytes = make(map[string]*atomic.Int64)
	}
	return t
}

// follow counts for these sites and for the cloud. What was not told yet of one that is
// gone is forgotten, but not what its tenant has used.
func (t *tally) follow(sites map[string]*edge.Site) {
	var before map[string]*siteTally
	if known := t.sites.Load(); known != nil {
		before = *known
	}
	next := make(map[string]*siteTally, len(sites)+1)
	keep := func(id, tenant string) {
		next[id] = before[id]
		if next[id] == nil || next[id].tenant != tenant {
			next[id] = &siteTally{tenant: tenant, cells: make([]cell, t.cells)}
		}
	}
	keep(edge.Cloud, "")
	for id, site := range sites {
		keep(id, site.Tenant)
	}
	t.sites.Store(&next)
	for id, old := range before {
		if next[id] != old {
			t.forgetPaths(old)
		}
	}
}

// known reports whether there is such a site.
func (t *tally) known(site string) bool { return (*t.sites.Load())[site] != nil }

func (t *tally) note(site string, o *Outcome) {
	tenant := o.Tenant
	if s := (*t.sites.Load())[site]; s != nil {
		if tenant == "" {
			tenant = s.tenant
		}
		c := t.cell(s)
		c.requests.Add(1)
		c.bytes.Add(o.Bytes)
		if o.Cache == "hit" {
			c.hits.Add(1)
		}
		if class := o.Status/100 - 2; class >= 0 && class < len(c.status) {
			c.status[class].Add(1)
		}
		host := o.Host
		if site == edge.Cloud {
			host = "" // it has one name for all
		}
		t.notePath(s, host, o.Path)
	}
	if tenant != "" && o.Bytes > 0 {
		t.addTenant(tenant, o.Bytes)
	}
}

// noteOwn counts an answer of the cloud's own.
func (t *tally) noteOwn(bytes int64) {
	c := t.cell((*t.sites.Load())[edge.Cloud])
	c.requests.Add(1)
	c.hits.Add(1)
	c.bytes.Add(bytes)
	c.status[0].Add(1)
}

func (t *tally) fetched(site string, bytes int64) {
	if s := (*t.sites.Load())[site]; s != nil {
		t.cell(s).fetched.Add(bytes)
	}
}

// cell is one of a site's, any.
func (t *tally) cell(s *siteTally) *cell { return &s.cells[rand.Uint32()&uint32(t.cells-1)] }

// notePath counts a path with its host, unless another request of the site is just doing that: which
// are asked for most, those that are left say too.
func (t *tally) notePath(s *siteTally, host, path string) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.paths == nil {
		if t.sketches.Add(1) > mostSketches {
			t.sketches.Add(-1)
			return
		}
		s.paths = newSketch()
	}
	before, after := hide(path)
	s.paths.add(t.seed, host, before, after)
}

// takePaths returns the paths that were asked for most since they were taken, and begins
// anew.
func (t *tally) takePaths(s *siteTally) map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paths == nil {
		return nil
	}
	top := s.paths.top(toldPaths)
	if s.paths.reset(); len(top) == 0 {
		s.paths = nil // another site may have the room
		t.sketches.Add(-1)
	}
	return top
}

func (t *tally) forgetPaths(s *siteTally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paths != nil {
		s.paths = nil
		t.sketches.Add(-1)
	}
}

// sum is all that was counted of a site.
func (s *siteTally) sum() (c totals) {
	for i := range s.cells {
		from := &s.cells[i]
		c.requests += from.requests.Load()
		c.hits += from.hits.Load()
		c.bytes += from.bytes.Load()
		c.fetched += from.fetched.Load()
		for class := range from.status {
			c.status[class] += from.status[class].Load()
		}
	}
	return c
}

// totals are the numbers of a site since it is known.
type totals struct {
	requests, hits, bytes, fetched int64
	status                         [4]int64
}

// since are the counts after others.
func (t totals) since(o totals) edge.Counts {
	c := edge.Counts{Requests: t.requests - o.requests, Hits: t.hits - o.hits, Bytes: t.bytes - o.bytes, Fetched: t.fetched - o.fetched}
	for i, name := range []string{"2xx", "3xx", "4xx", "5xx"} {
		if n := t.status[i] - o.status[i]; n != 0 {
			if c.Status == nil {
				c.Status = make(map[string]int64, 4)
			}
			c.Status[name] = n
		}
	}
	return c
}

func (t *tally) addTenant(tenant string, n int64) {
	shard := &t.tenants[maphash.String(t.seed, tenant)%tenantShards]
	shard.mu.RLock()
	counter := shard.bytes[tenant]
	if counter != nil {
		counter.Add(n)
	}
	shard.mu.RUnlock()
	if counter != nil {
		return
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	switch counter := shard.bytes[tenant]; {
	case counter != nil:
		counter.Add(n)
	case len(shard.bytes) >= mostTenants:
		t.dropped.Add(n)
	default:
		counter = new(atomic.Int64)
		counter.Store(n)
		shard.bytes[tenant] = counter
	}
}

// takeTenants returns the bytes by tenant since they were taken last.
func (t *tally) takeTenants() map[string]int64 {
	taken := make(map[string]int64)
	for i := range t.tenants {
		shard := &t.tenants[i]
		shard.mu.Lock()
		for tenant, counter := range shard.bytes {
			if n := counter.Swap(0); n != 0 {
				taken[tenant] = n
			} else {
				delete(shard.bytes, tenant)
			}
		}
		shard.mu.Unlock()
	}
	return taken
}
