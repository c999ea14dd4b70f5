package app

import "testing"

func TestGarbage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		of   garbage
		want map[uint64]int // percent by bytes that live
	}{
		{garbageOfStreams(), map[uint64]int{0: 400, 4 << 20: 400, 16 << 20: 100, 32 << 20: 50, 64 << 20: 25, 128 << 20: 16, 10 << 30: 16}},
		{garbageOfEdge(), map[uint64]int{0: 800, 4 << 20: 800, 8 << 20: 400, 32 << 20: 100, 128 << 20: 100, 10 << 30: 100}},
	} {
		for live, want := range test.want {
			if got := test.of.percent(live); got != want {
				t.Errorf("%+v, %d MiB live: %d %%, want %d %%", test.of, live>>20, got, want)
			}
		}
	}
}
