package transcode

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/av/mp4"
	"liuyun/internal/av/rate"
	"liuyun/internal/contract/encode"
)

// Bytes go to the shot in which a picture is shown, whenever it is decoded.
func TestShotBytes(t *testing.T) {
	t.Parallel()
	sample := func(size uint32, offset int32) mp4.Sample { return mp4.Sample{Size: size, CompositionOffset: offset} }
	a := &assembled{
		rendition: &rendition{Rung: rate.Rung{Step: 1}}, duration: 10, delay: 10,
		pieces: []piece{
			// Shown 0, 2, 1, 3: the third is decoded before the second.
			{first: 0, samples: []mp4.Sample{sample(1, 10), sample(20, 20), sample(300, 0), sample(4000, 10)}},
			{first: 4, samples: []mp4.Sample{sample(50000, 10), sample(600000, 10)}},
		},
	}
	for _, test := range []struct {
		step  int
		shots []int
		want  []int64
	}{
		{1, nil, []int64{654321}},
		{1, []int{2, 5}, []int64{301, 54020, 600000}},
		{2, []int{4, 10}, []int64{301, 54020, 600000}},
		{2, []int{3, 9}, []int64{301, 54020, 600000}},
	} {
		a.Rung.Step = test.step
		if diff := cmp.Diff(test.want, a.shotBytes(test.shots)); diff != "" {
			t.Errorf("step %d, shots %v (-want +got):\n%s", test.step, test.shots, diff)
		}
	}
}

// Other nodes read of a report what was written.
func TestReportForOthers(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Report{
		Plan:       PlanReport{ShotStarts: []float64{0, 1.5}},
		Renditions: []RenditionReport{{ID: "h264-720p", ShotBytes: []int64{1, 2}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got, want encode.Report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want.Plan.ShotStarts = []float64{0, 1.5}
	want.Renditions = []encode.RenditionReport{{ID: "h264-720p", ShotBytes: []int64{1, 2}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
