package compare

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/compare/report"
)

// filmOf has n frames at a rate, each larger than the one before.
func filmOf(n int, rate int64) *film {
	f := &film{Entry: &Entry{}, rate: timebase.R(rate, 1), stream: &ffmpeg.VideoStream{Stream: ffmpeg.Stream{TimeBase: timebase.R(1, 1000)}}}
	for i := range n {
		f.times = append(f.times, 500+int64(math.Round(1000*float64(i)/float64(rate))))
		f.sizes = append(f.sizes, 100+i)
	}
	return f
}

func TestSummary(t *testing.T) {
	t.Parallel()
	var frames []frameScore
	for i := range 40 {
		frames = append(frames, frameScore{float64(i), []float64{0, float64((i*7+3)%40) + 10}})
	}
	got := summary(frames, 1)
	if want := (report.Score{Mean: 29.5, P5: 11, Worst: 10, WorstAt: 11}); math.Abs(got.Mean-want.Mean) > 1e-9 || got.P5 != want.P5 || got.Worst != want.Worst || got.WorstAt != want.WorstAt {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestShots(t *testing.T) {
	t.Parallel()
	shots := []report.Shot{{Start: 0, End: 1}, {Start: 1, End: 2}, {Start: 2, End: 2.5}, {Start: 2.5, End: 4}}
	for time, want := range map[float64]int{0: 0, 0.99: 0, 1: 1, 2.4: 2, 2.5: 3, 99: 3, -1: 0} {
		if got := shotAt(shots, time); got != want {
			t.Errorf("%v s is in shot %d, want %d", time, got, want)
		}
	}
	f := filmOf(40, 10)
	spent := f.spent(shots)
	sum := int64(0)
	for _, s := range spent {
		sum += s.Bytes
	}
	if spent[0].Bytes != 1045 || spent[2].Bytes != 610 || sum != f.bytes() {
		t.Errorf("spent %v, together %d of %d", spent, sum, f.bytes())
	}
	perShot(spent, shots, []frameScore{{0.5, []float64{80}}, {0.6, []float64{90}}, {3, []float64{70}}})
	if spent[0].Score != 85 || spent[3].Score != 70 || !math.IsNaN(spent[1].Score) {
		t.Errorf("scores %v", spent)
	}
}

// Each encode shows its worst, no two moments are the same, and shots come once
// while there are others.
func TestWorst(t *testing.T) {
	t.Parallel()
	shots := []report.Shot{{Start: 0, End: 5}, {Start: 5, End: 10}, {Start: 10, End: 15}}
	scores := func(bad map[float64]float64) (frames []frameScore) {
		for at := 0.0; at < 15; at++ {
			score := 90.0
			if low, known := bad[at]; known {
				score = low
			}
			frames = append(frames, frameScore{at, []float64{score}})
		}
		return frames
	}
	all := [][]frameScore{scores(map[float64]float64{7: 20, 8: 21, 2: 50, 12: 60}), scores(map[float64]float64{7: 30, 13: 55})}
	var got []float64
	var whose []int
	for _, m := range worst(all, shots, 3) {
		got, whose = append(got, m.Time), append(whose, m.Encode)
	}
	if diff := cmp.Diff([]float64{2, 7, 13}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{0, 0, 1}, whose); diff != "" {
		t.Error(diff)
	}
	if got := worst(all, shots, 0); len(got) != 0 {
		t.Errorf("%d moments where none are wanted", len(got))
	}
	if got := worst(all, shots, 24); len(got) > 6 {
		t.Errorf("%d moments of 3 shots in 2 encodes", len(got))
	}
	if got := scoreAt(all[0], 7.2, 0.5); got != 20 {
		t.Errorf("score %v, want that of the nearest frame", got)
	}
	if got := scoreAt(all[0], 7.5, 0.1); !math.IsNaN(got) {
		t.Errorf("score %v where no frame is near", got)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Every: -1}, {Every: 1001}, {Every: 1, Moments: -1}, {Every: 1, Moments: 25}, {Every: 1, Models: make([]string, 5)}} {
		if err := o.Validate(); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, _, err := metrics([]string{"a/vmaf_v0.6.1.json", "b/vmaf_v0.6.1.json"}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("one model twice: %v", err)
	}
	_, shown, err := metrics([]string{"VMAF_4k_v0.6.1neg.json", "vmaf_v0.6.1.json"})
	if err != nil || shown[0].Name != "VMAF 4K NEG" || shown[1].Name != "VMAF" || len(shown) != 4 {
		t.Errorf("metrics %v: %v", shown, err)
	}
}
