package transcode

import (
	"log/slog"
	"strings"
	"testing"

	"liuyun/internal/av/rate"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/timeline"
)

// planned is a job whose renditions are planned, of a source of this size.
func planned(t *testing.T, width, height int, change func(*job)) *job {
	t.Helper()
	video := &ffmpeg.VideoStream{Width: width, Height: height}
	picture := ffmpeg.Picture{Width: width, Height: height, Aspect: timebase.R(1, 1), Colour: ffmpeg.BT709}
	j := &job{tools: &ffmpeg.Tools{}, options: DefaultOptions(), inventory: &inventory{video: video, picture: picture}}
	j.plan = &plan{picture: picture, timeline: &timeline.Timeline{FrameRate: timebase.R(24, 1), TimeBase: timebase.R(1, 24)}}
	if change != nil {
		change(j)
		j.inventory.picture = j.plan.picture
	}
	if err := j.planRenditions(); err != nil {
		t.Fatal(err)
	}
	j.fitMemory()
	return j
}

// Of 8K in, what is 4K or smaller is made in units that leave room in 1.5 GB, and an
// 8K rendition alone.
func TestOversizeSourcesAreParted(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"h264", "hevc", "av1"} {
		j := planned(t, 7680, 4320, func(j *job) {
			j.options.Ladder, j.options.Codecs = "2160,1440,1080,720,480", []string{codec}
		})
		groups := j.groups(j.plan.renditions)
		count := 0
		for _, group := range groups {
			count += len(group)
			memory := j.memoryOf(group...)
			if memory > unitMemory && len(group) > 1 {
				t.Errorf("%s: %d renditions need %d MB", codec, len(group), memory>>20)
			}
			if codec == "h264" && memory > unitMemory {
				t.Errorf("h264 %s needs %d MB", group[0].ID, memory>>20)
			}
		}
		if count != 5 || len(groups) < 2 {
			t.Errorf("%s: %d renditions in %d groups", codec, count, len(groups))
		}
	}
	all := planned(t, 7680, 4320, nil)
	if groups := all.groups(all.plan.renditions); len(groups[0]) != 1 || groups[0][0].ID != "h264-4320p" {
		t.Errorf("the 8K rendition is in a group with others: %d", len(groups[0]))
	}
	small := planned(t, 3840, 2160, nil)
	if groups := small.groups(small.plan.renditions); len(groups) != 1 || small.plan.renditions[0].Template.Lookahead != 0 {
		t.Error("a source of 4K is made otherwise than before")
	}
}

func TestSlotsFollowMemory(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		width, height int
		workers, want int
	}{
		{"1080p", 1920, 1080, 2, 2},
		{"4K", 3840, 2160, 4, 4},
		{"8K on two cores", 7680, 4320, 2, 1},
		{"8K on sixty-four", 7680, 4320, 64, 30},
	}
	for _, test := range tests {
		j := planned(t, test.width, test.height, func(j *job) {
			j.options.Workers, j.options.Ladder = test.workers, "1080,720,480"
			if test.width > 1920 {
				j.options.Ladder = "2160,1440,1080"
			}
		})
		if got := j.slots(); got != test.want && !(test.want == 30 && got >= 20 && got < 64) {
			t.Errorf("%s: %d at a time, want %d", test.name, got, test.want)
		}
	}
}

func TestWhatDoesNotFitIsRefusedBefore(t *testing.T) {
	t.Parallel()
	j := planned(t, 7680, 4320, func(j *job) { j.tools = j.tools.Within(3e9) })
	j.executor, j.log = &localExecutor{job: j}, slog.New(slog.DiscardHandler)
	err := j.statesMemory()
	if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(fault.Message(err), "h264-4320p") {
		t.Errorf("an 8K rendition in 3 GB: %v", err)
	}
	j = planned(t, 7680, 4320, func(j *job) { j.tools, j.options.Ladder = j.tools.Within(3e9), "2160,1080" })
	j.executor, j.log = &localExecutor{job: j}, slog.New(slog.DiscardHandler)
	if err := j.statesMemory(); err != nil {
		t.Errorf("4K of 8K in 3 GB: %v", err)
	}
}

// Ten bits stay ten bits but in H.264.
func TestTenBitsStay(t *testing.T) {
	t.Parallel()
	j := planned(t, 1920, 1080, func(j *job) { j.plan.picture.Deep = true })
	rung := rate.Source{Width: 1920, Height: 1080, FrameRate: timebase.R(24, 1)}.Sized(1080)
	for codec, want := range map[string]bool{"h264": false, "hevc": true, "av1": true} {
		if got := j.rendition(codec, rung).Template.TenBit; got != want {
			t.Errorf("%s: got %v, want %v", codec, got, want)
		}
	}
}
