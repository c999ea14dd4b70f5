package window

import (
	"bytes"
	"testing"
)

// What is free is used again where it fits, and what nobody needs is bounded.
func TestBuffers(t *testing.T) {
	t.Parallel()
	var p Buffers
	small, large := p.get(5_000), p.get(60_000)
	p.put(small)
	p.put(large)
	if got := p.get(50_000); cap(got) != cap(large) || len(p.free) != 1 {
		t.Error("one that is free and fits is not used")
	}
	if got := p.get(100); cap(got) == cap(small) {
		t.Error("one is used for what needs a fraction of it")
	}
	if got := p.get(4_000); cap(got) != cap(small) || len(p.free) != 0 || p.size != 0 {
		t.Error("a small one is not used again")
	}
	for range 3 * mostFree / 100_000 {
		p.put(make([]byte, 0, 100_000))
	}
	if p.size > mostFree || len(p.free) == 0 {
		t.Errorf("%d bytes are kept for nobody", p.size)
	}
	p.put(p.get(2 * mostFree))
	if p.size > mostFree {
		t.Errorf("%d bytes are kept after a large one", p.size)
	}
}

// A part is made in one piece for the first who asks, and that is given back after the
// last.
func TestBuffer(t *testing.T) {
	t.Parallel()
	var p Buffers
	b := newBuffer([]byte("head "), [][]byte{[]byte("one "), []byte("two")}, &p)
	const want = "head one two"
	if b.size != len(want) {
		t.Errorf("%d bytes", b.size)
	}
	b.once(func(data []byte) {
		if string(data) != want {
			t.Errorf("got %q", data)
		}
	})
	if b.flat != nil || len(p.free) != 1 {
		t.Error("what was made once is kept")
	}
	first, second := b.hold().bytes(), b.hold().bytes()
	if string(first) != want || &first[0] != &second[0] {
		t.Errorf("got %q, and %q", first, second)
	}
	b.once(func(data []byte) {
		if &data[0] != &first[0] {
			t.Error("it is made again")
		}
	})
	b.release()
	b.release()
	if len(p.free) != 0 || !bytes.Equal(first, []byte(want)) {
		t.Error("it is given back while it is held")
	}
	b.release()
	if len(p.free) != 1 {
		t.Error("it is not given back")
	}
}
