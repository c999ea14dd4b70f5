package transcode

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/testkit"
	"liuyun/internal/video/transcode/analyse"
	"liuyun/internal/video/transcode/timeline"
)

func TestParseSaliency(t *testing.T) {
	t.Parallel()
	for text, on := range map[string]bool{"": false, "off": false, "auto": true, "strong": true} {
		s, err := ParseSaliency(text)
		if err != nil || s.on() != on {
			t.Errorf("%q: got %v, %v", text, s, err)
		}
	}
	if _, err := ParseSaliency("much"); err == nil {
		t.Error("much: got no error")
	}
	a, b := DefaultOptions(), DefaultOptions()
	b.Saliency = SaliencyAuto
	if a.key() == b.key() {
		t.Error("a result with regions has the name of one without")
	}
}

// Spans of source frames become those of an output's frames, in its pixels.
func TestRegionsOfAnOutput(t *testing.T) {
	t.Parallel()
	p := plan{timeline: &timeline.Timeline{TimeBase: timebase.R(1, 1000)}}
	for i := range 100 { // every source frame twice
		p.timeline.Shows = append(p.timeline.Shows, int32(i/2))
	}
	whole := analyse.Region{Right: analyse.Columns, Bottom: analyse.Rows, QP: 1.5}
	corner := analyse.Region{Left: 30, Top: 12, Right: analyse.Columns, Bottom: analyse.Rows, QP: -3}
	tiny := analyse.Region{Left: 10, Top: 10, Right: 11, Bottom: 11, QP: -4}
	spans := []analyse.Span{
		{Frame: 10, Regions: []analyse.Region{corner, whole}},
		{Frame: 20, Regions: nil},
		{Frame: 30, Regions: []analyse.Region{whole}},
		{Frame: 30, Regions: []analyse.Region{tiny}},
	}
	out := ffmpeg.Output{Width: 640, Height: 360, Step: 2}
	got := p.regions(out, 20, spans)
	want := []ffmpeg.RegionSpan{
		{From: 0, Regions: []ffmpeg.Region{{X: 480, Y: 176, Width: 160, Height: 184, QP: -3}, {Width: 640, Height: 360, QP: 1.5}}},
		{From: 10},
		{From: 20, Regions: []ffmpeg.Region{{X: 160, Y: 144, Width: 16, Height: 16, QP: -4}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("regions (-want +got):\n%s", diff)
	}
	if got := p.regions(out, 20, []analyse.Span{{Frame: 10}}); got != nil {
		t.Errorf("nothing known: got %v, want no spans", got)
	}
}

// With regions a result is another (of what has no edges as from a screen), as often as it is made, and one of an encoder
// that ignores them says so.
func TestEncodeWithSaliency(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	clip := testkit.Generate(t, testkit.Clip{Name: "saliency-soft.mp4", Args: []string{
		"-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=4,gblur=sigma=3,noise=alls=4", "-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-pix_fmt", "yuv420p",
	}})
	encode := func(preset string, saliency Saliency) (*Report, string) {
		source, err := OpenFile(clip)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		options := DefaultOptions()
		options.Preset, options.Ladder, options.Saliency = preset, "360:20M", saliency
		root := filepath.Join(t.TempDir(), "out")
		report, err := (&Service{Tools: tools}).Encode(t.Context(), source, root, options)
		if err != nil {
			t.Fatal(err)
		}
		return report, root
	}
	video := func(root string) []byte {
		paths, err := filepath.Glob(filepath.Join(root, "video", "*", "*.m4s"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no segments: %v", err)
		}
		slices.Sort(paths)
		var all []byte
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data...)
		}
		return all
	}
	off, offRoot := encode("veryfast", SaliencyOff)
	auto, autoRoot := encode("veryfast", SaliencyAuto)
	_, again := encode("veryfast", SaliencyAuto)
	if bytes.Equal(video(offRoot), video(autoRoot)) {
		t.Error("regions change nothing")
	}
	if !bytes.Equal(video(autoRoot), video(again)) {
		t.Error("two results with regions differ")
	}
	if len(auto.Warnings) != 0 || !cmp.Equal(off.Plan, auto.Plan) {
		t.Errorf("with regions: got warnings %v and plan %+v, want none and %+v", auto.Warnings, auto.Plan, off.Plan)
	}
	if len(auto.Content) != 1 || auto.Content[0].To != 100 || auto.Content[0].Texture == 0 {
		t.Errorf("content: got %+v, want one shot of 100 pictures", auto.Content)
	}
	fast, _ := encode("ultrafast", SaliencyAuto)
	if len(fast.Warnings) != 1 || fast.Warnings[0].Code != "saliency" {
		t.Errorf("ultrafast: got warnings %v, want that nothing follows regions", fast.Warnings)
	}
	if data, err := json.Marshal(auto.Content); err != nil || len(data) > 400 {
		t.Errorf("a shot takes %d bytes in the report, %v", len(data), err)
	}
}
