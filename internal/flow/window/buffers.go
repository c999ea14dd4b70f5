package window

import "sync"

// Buffers keeps memory that nobody needs now, of all groups that have it in their
// options: for parts that somebody asks for, and for compressing playlists. The zero
// value is empty.
type Buffers struct {
	mu   sync.Mutex
	free [][]byte
	size int // of those that are free, bytes

	zips    sync.Once     // makes zipping
	zipping chan struct{} // one for each text that is compressed now, at most one a core
	zippers sync.Pool     // of *zipper
}

// mostFree is how many bytes are kept that nobody needs now.
const mostFree = 8 << 20

// get returns an empty slice with room for n bytes: of those that are free the smallest
// with room, but for those that are much too large.
func (p *Buffers) get(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i, b := range p.free {
		if size := cap(b); size >= n && size <= 2*n+4096 && (best < 0 || size < cap(p.free[best])) {
			best = i
		}
	}
	if best < 0 {
		return make([]byte, 0, (n+n/8+4095)&^4095)
	}
	return p.remove(best)[:0]
}

// remove takes one of those that are free. The lock is held.
func (p *Buffers) remove(i int) []byte {
	last := len(p.free) - 1
	b := p.free[i]
	p.free[i], p.free[last] = p.free[last], nil
	p.free = p.free[:last]
	p.size -= cap(b)
	return b
}

// put takes a slice back, in the place of others where there are enough: those that
// have lain there for long are of a size that is not wanted any more.
func (p *Buffers) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.free) > 0 && p.size+cap(b) > mostFree {
		p.remove(0)
	}
	if cap(b) <= mostFree {
		p.free = append(p.free, b)
		p.size += cap(b)
	}
}

// buffer is a part. Its media are the units that the stream's hub holds as well, so
// that a stream which nobody watches is in memory once; the first who asks for the part
// has it made in one piece, for all. Whoever uses it holds it.
type buffer struct {
	head  []byte // all before the media
	media [][]byte
	size  int
	from  *Buffers

	mu   sync.Mutex
	held int
	flat []byte // head and media; nil until somebody has asked
}

// newBuffer returns a buffer that is held once.
func newBuffer(head []byte, media [][]byte, from *Buffers) *buffer {
	b := &buffer{head: head, media: media, size: len(head), from: from, held: 1}
	for _, m := range media {
		b.size += len(m)
	}
	return b
}

func (b *buffer) hold() *buffer {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held++
	return b
}

// release gives it back. What bytes has returned must not be used any more when the
// last one has done so.
func (b *buffer) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held--; b.held == 0 && b.flat != nil {
		b.from.put(b.flat)
		b.flat = nil
	}
}

// bytes is the part in one piece, for as long as it is held.
func (b *buffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flat == nil {
		b.flat = b.append(b.from.get(b.size))
	}
	return b.flat
}

// once calls fn with the part in one piece, and keeps nothing of that.
func (b *buffer) once(fn func(data []byte)) {
	b.mu.Lock()
	flat := b.flat
	b.mu.Unlock()
	if flat != nil {
		fn(flat)
		return
	}
	scratch := b.append(b.from.get(b.size))
	fn(scratch)
	b.from.put(scratch)
}

func (b *buffer) append(dst []byte) []byte {
	dst = append(dst, b.head...)
	for _, m := range b.media {
		dst = append(dst, m...)
	}
	return dst
}
