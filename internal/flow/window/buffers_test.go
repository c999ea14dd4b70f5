package window

import "testing"

// What is free is used again where it fits, and what nobody needs is bounded.
func TestBuffers(t *testing.T) {
	t.Parallel()
	var p Buffers
	small, large := p.get(5_000), p.get(60_000)
	small.release()
	held := large.hold()
	large.release()
	if p.get(50_000) == large {
		t.Error("a buffer is used again while it is held")
	}
	held.release()
	if got := p.get(50_000); got != large {
		t.Error("a buffer that is free and fits is not used")
	}
	if got := p.get(100); got == small {
		t.Error("a buffer is used for what needs a fraction of it")
	}
	if got := p.get(4_000); got != small || len(got.data) != 0 {
		t.Error("a small one is not used again, or not empty")
	}
	var many []*buffer
	for range 3 * mostFree / 100_000 {
		many = append(many, p.get(100_000))
	}
	for _, b := range many {
		b.release()
	}
	if p.size > mostFree || len(p.free) == 0 {
		t.Errorf("%d bytes are kept for nobody", p.size)
	}
	if large := p.get(2 * mostFree); large.held.Load() != 1 {
		t.Error("a large one is not to be had")
	} else if large.release(); p.size > mostFree {
		t.Errorf("%d bytes are kept after a large one", p.size)
	}
}
