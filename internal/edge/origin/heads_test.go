package origin

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHeads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var h heads
		var all []time.Duration
		for range rapid.IntRange(0, 400).Draw(t, "count") {
			d := time.Duration(rapid.Int64Range(0, 1000).Draw(t, "took"))
			all = append(all, d)
			h.add(d)
			if n := len(all); n < leastHeads && h.p95() != 0 {
				t.Fatalf("there is a quantile of %d", n)
			} else if n == leastHeads || n > leastHeads && n%newHeads == 0 {
				last := slices.Sorted(slices.Values(all[max(n-recentHeads, 0):]))
				least := 0 // that this many began in no more time
				for _, d := range last {
					if d <= h.p95() {
						least++
					}
				}
				if 100*least < 95*len(last) || !slices.Contains(last, h.p95()) {
					t.Fatalf("%d of the last %d began within %v", least, len(last), h.p95())
				}
			}
		}
	})
}

func BenchmarkHeads(b *testing.B) {
	var h heads
	b.ReportAllocs()
	for i := range b.N {
		h.add(time.Duration(i*7919%1000) * time.Microsecond)
	}
}
