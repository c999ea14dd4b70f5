package app

import "testing"

func TestGarbagePercent(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 400, 8 << 20: 400, 32 << 20: 100, 64 << 20: 50, 128 << 20: 25, 10 << 30: 25} {
		if got := garbagePercent(live); got != want {
			t.Errorf("%d MiB: %d %%, want %d %%", live>>20, got, want)
		}
	}
}
