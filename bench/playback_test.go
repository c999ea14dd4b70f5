package main

import (
	"testing"
	"time"
)

// It stalls when it has played all it has, for as long as nothing comes, and not before it
// has begun.
func TestPlayback(t *testing.T) {
	t.Parallel()
	p := playback{need: 1500 * time.Millisecond}
	begin := time.Now()
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for _, ms := range []int{0, 5000, 5000, 5500, 6900, 7000, 7000} {
		p.got(at(ms), 500*time.Millisecond)
	}
	if _, stalls := p.end(at(7900)); len(stalls) != 0 {
		t.Errorf("it stalls while it has something: %v", stalls)
	}
	p.got(at(9500), 500*time.Millisecond)
	began, stalls := p.end(at(10_500))
	if !began || len(stalls) != 2 || !stalls[0].from.Equal(at(8500)) || stalls[0].took != time.Second || stalls[1].took != 500*time.Millisecond {
		t.Errorf("%v, %v; want a stall of 1 s, and one that lasts 0.5 s", began, stalls)
	}
}
