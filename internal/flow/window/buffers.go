package window

import (
	"sync"
	"sync/atomic"
)

// Buffers keeps the memory of parts that nobody reads any more for those that come, of
// all groups that have it in their options: streams need most of theirs at different
// moments. The zero value is empty.
type Buffers struct {
	mu   sync.Mutex
	free []*buffer
	size int // of those that are free, bytes
}

// mostFree is how many bytes are kept that nobody needs now.
const mostFree = 8 << 20

// buffer holds a part. Whoever reads it holds it; the last one gives it back.
type buffer struct {
	data []byte
	held atomic.Int32
	from *Buffers
}

func (b *buffer) hold() *buffer { b.held.Add(1); return b }

func (b *buffer) release() {
	if b.held.Add(-1) == 0 {
		b.from.put(b)
	}
}

// get returns an empty buffer with room for n bytes, held once: of those that are
// free the smallest with room, but for those that are much too large.
func (p *Buffers) get(n int) *buffer {
	b := p.take(n)
	if b == nil {
		b = &buffer{from: p, data: make([]byte, 0, (n+n/8+4095)&^4095)}
	}
	b.data = b.data[:0]
	b.held.Store(1)
	return b
}

func (p *Buffers) take(n int) *buffer {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i, b := range p.free {
		if size := cap(b.data); size >= n && size <= 2*n+4096 && (best < 0 || size < cap(p.free[best].data)) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return p.remove(best)
}

// remove takes one of those that are free. The lock is held.
func (p *Buffers) remove(i int) *buffer {
	last := len(p.free) - 1
	b := p.free[i]
	p.free[i], p.free[last] = p.free[last], nil
	p.free = p.free[:last]
	p.size -= cap(b.data)
	return b
}

// put takes a buffer back, in the place of others where there are enough: those that
// lie there are of a size that is not wanted any more.
func (p *Buffers) put(b *buffer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) > 0 && p.size+cap(b.data) > mostFree {
		p.remove(0)
	}
	if cap(b.data) <= mostFree {
		p.free = append(p.free, b)
		p.size += cap(b.data)
	}
}
