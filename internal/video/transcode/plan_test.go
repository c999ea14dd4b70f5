package transcode

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/timebase"
	"liuyun/internal/video/transcode/timeline"
)

func TestSlots(t *testing.T) {
	t.Parallel()
	p := plan{timeline: &timeline.Timeline{
		TimeBase: timebase.R(1, 1000), Frames: []int64{0, 40, 50, 120, 400}, Shows: []int32{0, 0, 2, 3, 3, 4},
	}, keys: []int64{0, 50, 400}}
	for frame, want := range []int{0, 2, 2, 3, 5} {
		if got := p.slotShowing(frame); got != want {
			t.Errorf("source frame %d: got slot %d, want %d", frame, got, want)
		}
	}
	for slot, want := range []float64{0, 0, 0, 0.07, 0.07, 0} {
		if got := p.preroll(slot); math.Abs(got-want) > 1e-9 {
			t.Errorf("slot %d: got %g s before it, want %g", slot, got, want)
		}
	}
}

// Decoding may begin at the nearest random-access point, one some seconds
// earlier, and at the beginning of the file.
func TestStartingPoints(t *testing.T) {
	t.Parallel()
	p := plan{timeline: &timeline.Timeline{TimeBase: timebase.R(1, 10)}, keys: []int64{5, 20, 40, 60, 80, 100}}
	tests := []struct {
		from int64
		want []int64 // without the beginning of the file
	}{
		{0, nil},
		{19, nil},
		{20, []int64{20}},
		{59, []int64{40}},
		{60, []int64{60, 20}},
		{99, []int64{80, 40}},
		{1000, []int64{100, 60}},
	}
	for _, test := range tests {
		var got []int64
		points := p.startingPoints(test.from)
		for _, point := range points[:len(points)-1] {
			got = append(got, *point)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || points[len(points)-1] != nil {
			t.Errorf("from %d (-want +got):\n%s", test.from, diff)
		}
	}
}
