package cache

import (
	"strconv"
	"sync/atomic"
	"time"

	"liuyun/internal/kit/obs"
)

// hitStatus is what Cache-Status says of an answer from the cache (RFC 9211).
func (c *Cache) hitStatus(v verdict) string {
	return c.name + "; hit; ttl=" + seconds(v.ttl)
}

// staleStatus is what Cache-Status says of an answer from the cache for which the origin
// could not be asked.
func (c *Cache) staleStatus(v verdict) string {
	return c.hitStatus(v) + "; detail=stale-if-error"
}

// missStatus is what Cache-Status says of an answer of the origin.
func (c *Cache) missStatus(f *flight, v verdict, collapsed bool) string {
	text := c.name + "; fwd=" + v.forward
	if f.status != 0 {
		text += "; fwd-status=" + strconv.Itoa(f.status)
	}
	if f.useful {
		text += "; stored"
	}
	if collapsed {
		text += "; collapsed"
	}
	return text
}

// seconds is a time in whole seconds.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64(d/time.Second), 10)
}

// counts are what a cache has done.
type counts struct {
	hits, misses, passed atomic.Int64
	waiting              atomic.Int64 // now
}

// Stored is how many bytes are stored.
func (c *Cache) Stored() int64 {
	_, memory := c.memory.load()
	_, disk := c.disk.load()
	return memory + disk
}

// Waiting is how many requests wait for an origin to begin its answer.
func (c *Cache) Waiting() int64 { return c.counts.waiting.Load() }

// Measure tells what the cache does.
func (c *Cache) Measure(m *obs.Registry) {
	m.FuncBy("liuyun_edge_requests_total", "Requests answered from the cache (hit), by an answer of the origin that others may have too (miss), or by the origin alone (pass).", "by", func() map[string]float64 {
		return map[string]float64{"hit": float64(c.counts.hits.Load()), "miss": float64(c.counts.misses.Load()), "pass": float64(c.counts.passed.Load())}
	})
	m.Func("liuyun_edge_waiting_count", "Requests that wait for the origin to begin its answer.", func() float64 { return float64(c.counts.waiting.Load()) })
	m.FuncBy("liuyun_edge_stored_bytes", "What is stored.", "in", func() map[string]float64 {
		_, memory := c.memory.load()
		_, disk := c.disk.load()
		return map[string]float64{"memory": float64(memory), "disk": float64(disk)}
	})
	m.FuncBy("liuyun_edge_objects_count", "How many objects are stored.", "in", func() map[string]float64 {
		memory, _ := c.memory.load()
		disk, _ := c.disk.load()
		return map[string]float64{"memory": float64(memory), "disk": float64(disk)}
	})
}
