package rtsp

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"pgregory.net/rapid"

	"liuyun/internal/flow/ingest"
)

const ms = ingest.Timescale / 1000

// ntpOf is a time of day in the form of reports.
func ntpOf(d time.Duration) uint64 {
	return uint64(3_900_000_000+d/time.Second)<<32 | uint64(d%time.Second)<<32/uint64(time.Second)
}

// Tracks begin where their first packets came, and go on by their own timestamps.
func TestClockByArrival(t *testing.T) {
	t.Parallel()
	c := &clock{}
	pictures, sound := c.add(90000), c.add(48000)
	at := time.Unix(1000, 0)
	if got := c.time(pictures, 0xffffff00, at); got != 0 {
		t.Errorf("the first picture is at %d", got)
	}
	if got := c.time(sound, 7, at.Add(30*time.Millisecond)); got != 30*ms {
		t.Errorf("the first sound is at %d", got)
	}
	if got := c.time(pictures, 3600-0x100, at.Add(time.Hour)); got != 3600 {
		t.Errorf("over the wrap is %d", got)
	}
	if got := c.time(sound, 7+1024, at); got != 30*ms+1920 {
		t.Errorf("the second sound is at %d", got)
	}
	if got := c.time(pictures, 0xffffff00, at); got != 0 {
		t.Errorf("back is %d", got)
	}
}

// Reports put sound beside pictures, whenever they come, unless they tell nonsense.
func TestClockByReports(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		early bool          // reports come before packets
		off   time.Duration // what the clock of sound is wrong by
		want  int64         // where sound is
	}{
		"early": {true, 0, 100 * ms}, "late": {false, 0, 100 * ms},
		"nonsense": {false, time.Hour, 300 * ms}, "far": {false, -900 * time.Millisecond, -800 * ms},
	} {
		clock := &clock{}
		sound, pictures := clock.add(48000), clock.add(90000)
		clock.leading = pictures
		// Sound of 100 ms after the picture comes 300 ms after it.
		reports := func() {
			clock.report(pictures, &rtcp.SenderReport{NTPTime: ntpOf(time.Second), RTPTime: 90000})
			clock.report(sound, &rtcp.SenderReport{NTPTime: ntpOf(time.Second + c.off), RTPTime: 50000 + 48000})
		}
		if c.early {
			reports()
		}
		clock.time(pictures, 0, at)
		clock.time(sound, 50000+4800, at.Add(300*time.Millisecond))
		if !c.early {
			reports()
		}
		if got := clock.time(sound, 50000+4800, at); max(got-c.want, c.want-got) > 1 {
			t.Errorf("%s: sound is at %d, want %d", name, got, c.want)
		}
		if got := clock.time(pictures, 0, at); got != 0 {
			t.Errorf("%s: pictures were moved to %d", name, got)
		}
	}
}

// The delay of reordering is found out, and then kept.
func TestReorder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ shown, decoded []int64 }{
		"in order":  {[]int64{0, 1, 2, 3, 4}, []int64{0, 1, 2, 3, 4}},
		"one":       {[]int64{0, 3, 1, 2, 6, 4, 5, 9, 7, 8}, []int64{0, 3, 3, 3, 3, 4, 5, 6, 7, 8}},
		"pyramid":   {[]int64{0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11}, []int64{0, 4, 4, 4, 4, 4, 4, 5, 6, 7, 8, 9, 10}},
		"leap":      {[]int64{0, 2, 1, 4, 3, 1000, 1002, 1001}, []int64{0, 2, 2, 2, 3, 1000, 1000, 1001}},
		"leap back": {[]int64{1000, 1002, 1001, 1004, 0, 2, 1, 4}, []int64{1000, 1002, 1002, 1002, 0, 0, 1, 2}},
	} {
		r := &reorder{}
		for i, n := range c.shown {
			got := r.decoded(n * 3600)
			// A tick more each for those that are late.
			if want := c.decoded[i] * 3600; got < want-2*3600 || got > want+int64(len(c.shown)) || (i > 8 && got != want) {
				t.Errorf("%s: picture %d, shown at %d, is decoded at %g, want %d", name, i, n, float64(got)/3600, c.decoded[i])
			}
		}
	}
}

// Whatever the order is, it is decoded in order, and in time once the delay is known.
func TestReorderAny(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		group := rapid.IntRange(1, 8).Draw(t, "group")
		order := rapid.Permutation(indexes(group)).Draw(t, "order")
		r := &reorder{}
		last := int64(-1 << 62)
		for g := range 12 {
			for _, n := range order {
				pts := int64(g*group+n) * 3600
				dts := r.decoded(pts)
				if dts <= last {
					t.Fatalf("decoded at %d after %d", dts, last)
				}
				if g > 6 && (dts > pts || pts-dts > 2*int64(group)*3600) {
					t.Fatalf("shown at %d, decoded at %d", pts, dts)
				}
				last = dts
			}
		}
	})
}

func indexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return slices.Clone(list)
}

// Loss is what was lost since it was last asked for.
func TestQuality(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	r.received.Store(90)
	r.lose(10)
	if q := r.quality(); q.Loss != 0.1 {
		t.Errorf("%v", q.Loss)
	}
	r.received.Add(50)
	r.way.at = time.Time{}
	if q := r.quality(); q.Loss != 0 {
		t.Errorf("later %v", q.Loss)
	}
}
