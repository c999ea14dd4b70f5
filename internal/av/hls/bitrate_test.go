package hls

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPeakBitrate(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, c := range []struct {
		name     string
		segments []SegmentSize
		target   time.Duration
		want     int64
	}{
		{"nothing", nil, 6 * s, 0},
		{"no time", []SegmentSize{{0, 100}}, 6 * s, 0},
		{"one segment", []SegmentSize{{4 * s, 1000}}, 6 * s, 2000},
		{"shorter than half the target", []SegmentSize{{s, 1000}, {s, 100}}, 6 * s, 4400},
		{"two together beat each alone", []SegmentSize{{2 * s, 900}, {2 * s, 800}, {4 * s, 900}}, 6 * s, 3400},
		{"a short one alone does not count", []SegmentSize{{6 * s, 600}, {s, 1000}, {6 * s, 600}}, 6 * s, 1829},
		{"exactly half, exactly one and a half", []SegmentSize{{3 * s, 300}, {6 * s, 1200}}, 6 * s, 1600},
		{"rounded up", []SegmentSize{{3 * s, 1}}, 6 * s, 3},
		{"empty segments", []SegmentSize{{6 * s, 0}, {6 * s, 0}}, 6 * s, 0},
		{"too long for any set", []SegmentSize{{10 * s, 1000}}, 6 * s, 800},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := PeakBitrate(c.segments, c.target); got != c.want {
				t.Errorf("PeakBitrate() = %d, want %d", got, c.want)
			}
		})
	}
}

func TestAverageBitrate(t *testing.T) {
	t.Parallel()
	got := AverageBitrate([]SegmentSize{{6 * time.Second, 600}, {time.Second, 1000}})
	if want := int64(1829); got != want {
		t.Errorf("AverageBitrate() = %d, want %d", got, want)
	}
}

// TestPeakBitrateAgainstAllSets compares with every set there is.
func TestPeakBitrateAgainstAllSets(t *testing.T) {
	t.Parallel()
	size := rapid.Custom(func(t *rapid.T) SegmentSize {
		return SegmentSize{
			Duration: time.Duration(rapid.Int64Range(0, 8_000).Draw(t, "ms")) * time.Millisecond,
			Bytes:    rapid.Int64Range(0, 1<<30).Draw(t, "bytes"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		segments := rapid.SliceOfN(size, 0, 40).Draw(t, "segments")
		target := time.Duration(rapid.Int64Range(1, 8).Draw(t, "target")) * time.Second
		if got, want := PeakBitrate(segments, target), peakOfAllSets(segments, target); got != want {
			t.Fatalf("PeakBitrate() = %d, want %d", got, want)
		}
	})
}

func peakOfAllSets(segments []SegmentSize, target time.Duration) int64 {
	var best *big.Rat
	for i := range segments {
		var bytes int64
		var duration time.Duration
		for _, s := range segments[i:] {
			bytes += s.Bytes
			duration += s.Duration
			if 2*duration < target || 2*duration > 3*target {
				continue
			}
			rate := big.NewRat(bytes, int64(duration))
			if best == nil || rate.Cmp(best) > 0 {
				best = rate
			}
		}
	}
	if best == nil || best.Sign() == 0 {
		return AverageBitrate(segments)
	}
	best.Mul(best, big.NewRat(int64(8*time.Second), 1))
	up := new(big.Int).Add(best.Num(), best.Denom())
	up.Sub(up, big.NewInt(1))
	return up.Div(up, best.Denom()).Int64()
}

func BenchmarkPeakBitrate(b *testing.B) {
	segments := make([]SegmentSize, 100_000)
	for i := range segments {
		segments[i] = SegmentSize{time.Duration(i%7+1) * 500 * time.Millisecond, int64(i * 7919 % 1_000_003)}
	}
	for b.Loop() {
		PeakBitrate(segments, 6*time.Second)
	}
}
