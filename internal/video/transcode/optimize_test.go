package transcode

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/engine/ffmpeg"
	queue "liuyun/internal/kit/job"
	"liuyun/internal/testkit"
	"liuyun/internal/video/transcode/analyse"
	"liuyun/internal/video/transcode/timeline"
)

// shots is a clip of five that are unlike each other, each three seconds long.
func shots() testkit.Clip {
	graph := "testsrc2=size=320x180:rate=25:duration=3[a];" +
		"mandelbrot=size=320x180:rate=25:end_scale=0.01,trim=duration=3,setpts=PTS-STARTPTS[b];" +
		"smptebars=size=320x180:rate=25:duration=3[c];" +
		"life=size=320x180:rate=25:mold=10:seed=7:death_color=#204080:life_color=#f0d000,trim=duration=3,setpts=PTS-STARTPTS[d];" +
		"gradients=size=320x180:rate=25:seed=3:speed=0.02,trim=duration=3,setpts=PTS-STARTPTS[e];" +
		"[a][b][c][d][e]concat=n=5,format=yuv420p[v]"
	return testkit.Clip{Name: "shots.mp4", Args: []string{
		"-filter_complex", graph, "-map", "[v]", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-g", "25", "-pix_fmt", "yuv420p",
	}}
}

// What is searched for on two machines is what one finds, byte for byte, and the
// report says what was expected and what came out.
func TestQueueOptimizes(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	source := testkit.Generate(t, shots())
	ask := c.request(source)
	ask.Options.Optimize = "thorough"
	result := c.mustRun(ask, c.handlers("a"), c.handlers("remote b"))
	files := c.files(result.Prefix)
	sameFiles(t, files, c.encodeHere(source, ask.Options))
	c.empty()

	var report Report
	if err := json.Unmarshal([]byte(files[reportName]), &report); err != nil {
		t.Fatal(err)
	}
	found := report.Renditions[0].Search
	if found == nil || report.Renditions[1].Search != nil {
		t.Fatalf("got %+v and %+v, want a search of the first rendition alone", found, report.Renditions[1].Search)
	}
	if found.Effort != OptimizeThorough || found.Metric != "estimate" || len(found.Shots) < 4 || found.Encodes < 1 || found.Encodes > 2.5 {
		t.Errorf("got %+v", found)
	}
	pictures, again, crfs := 0, 0, map[float64]bool{}
	for _, shot := range found.Shots {
		if shot.First != pictures {
			t.Errorf("a shot begins at %d, want %d", shot.First, pictures)
		}
		pictures += shot.Pictures
		crfs[shot.CRF] = true
		if shot.Expected != nil {
			again++
		}
		if shot.Quality < 30 || shot.Quality > 100 || shot.Bits <= 0 || shot.Tries < 1 {
			t.Errorf("got %+v", shot)
		}
	}
	if pictures != report.Plan.Frames || again == 0 || len(crfs) < 2 {
		t.Errorf("got %d pictures of %d, %d shots encoded again, CRFs %v", pictures, report.Plan.Frames, again, crfs)
	}
}

// A search that is stopped goes on where it stopped, and a mean bit rate that is
// asked for is kept to.
func TestOptimizeGoesOn(t *testing.T) {
	t.Parallel()
	source := testkit.Generate(t, shots())
	root := filepath.Join(t.TempDir(), "out")
	options := DefaultOptions()
	options.Preset, options.Ladder, options.Optimize, options.Bits, options.Workers = "ultrafast", "180:20M", OptimizeThorough, 1_000_000, 2
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	encode := func(ctx context.Context, onProgress func(Progress)) (*Report, error) {
		file, err := OpenFile(source)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		service := Service{Tools: findTools(t), OnProgress: onProgress}
		return service.Encode(ctx, file, root, options)
	}
	_, err := encode(ctx, func(p Progress) {
		if p.Phase == phaseEncode && p.Done > p.Total/4 {
			stop()
		}
	})
	if fault.CodeOf(err) != fault.Canceled {
		t.Fatalf("got %v, want a job that was stopped", err)
	}
	kept, err := os.ReadDir(filepath.Join(root, stateName, "units"))
	if err != nil || len(kept) < 2 {
		t.Fatalf("got %d results kept, %v", len(kept), err)
	}
	report, err := encode(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	found := report.Renditions[0].Search
	if mean := float64(found.Bits) / report.Source.Duration; mean > 1_000_000*1.03 || mean < 800_000 {
		t.Errorf("got %.0f bits a second, want about 1M: %+v", mean, found)
	}
	if report.Run.MeasureCPU <= 0 || report.Run.TriesCPU <= 0 || report.Run.CPU < report.Run.MeasureCPU+report.Run.TriesCPU {
		t.Errorf("got %+v", report.Run)
	}
}

// With a model the quality is that model's.
func TestOptimizeByVMAF(t *testing.T) {
	t.Parallel()
	model, err := ReadModel(testkit.Shared(t, "vmaf/vmaf_v0.6.1neg.json"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := OpenFile(testkit.Generate(t, shots()))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	options := DefaultOptions()
	options.Preset, options.Ladder, options.Optimize, options.Target, options.Model = "ultrafast", "180:20M", OptimizeQuick, 90, model
	service := Service{Tools: findTools(t)}
	report, err := service.Encode(t.Context(), file, filepath.Join(t.TempDir(), "out"), options)
	if err != nil {
		t.Fatal(err)
	}
	if found := report.Renditions[0].Search; found.Metric == "estimate" || found.Quality < 88 || found.Quality > 92.5 {
		t.Errorf("got %+v, want a mean VMAF of 90", found)
	}
}

func TestTreatment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		crf     []float64
		step    int
		quality float64
		zones   []ffmpeg.Zone
	}{
		{"all alike", []float64{24, 24, 24}, 1, 24, nil},
		{"each its own", []float64{24, 26, 22}, 1, 24, []ffmpeg.Zone{{From: 50, To: 75, Quality: 26}, {From: 75, To: 101, Quality: 22}}},
		{"back again", []float64{24, 26, 24}, 1, 24, []ffmpeg.Zone{{From: 50, To: 75, Quality: 26}}},
		{"two alike", []float64{24, 26, 26}, 1, 24, []ffmpeg.Zone{{From: 50, To: 101, Quality: 26}}},
		{"one between two alike", []float64{24, 26, 24, 26}, 1, 24, []ffmpeg.Zone{{From: 50, To: 75, Quality: 26}, {From: 90, To: 101, Quality: 26}}},
		{"every other picture", []float64{24, 26, 22}, 2, 24, []ffmpeg.Zone{{From: 25, To: 38, Quality: 26}, {From: 38, To: 51, Quality: 22}}},
	} {
		out := ffmpeg.Output{Step: tt.step, Quality: 23}
		(&treatment{shots: []int{200, 250, 275, 290}[:len(tt.crf)], crf: tt.crf, base: 23}).apply(&out, 101)
		if diff := cmp.Diff(tt.zones, out.Zones); diff != "" || out.Quality != tt.quality {
			t.Errorf("%s: got quality %g, zones (-want +got):\n%s", tt.name, out.Quality, diff)
		}
	}
	lower := ffmpeg.Output{Step: 1, Quality: 36}
	(&treatment{shots: []int{200, 250}, crf: []float64{24, 40}, base: 23}).apply(&lower, 101)
	if diff := cmp.Diff(ffmpeg.Output{Step: 1, Quality: 37, Zones: []ffmpeg.Zone{{From: 50, To: 101, Quality: 51}}}, lower); diff != "" {
		t.Errorf("a rung with a quality of its own (-want +got):\n%s", diff)
	}
	untouched := ffmpeg.Output{Quality: 23}
	(*treatment)(nil).apply(&untouched, 100)
	if diff := cmp.Diff(ffmpeg.Output{Quality: 23}, untouched); diff != "" {
		t.Errorf("nothing to apply (-want +got):\n%s", diff)
	}
}

// Textures are means over the pictures that a range has of each shot.
func TestTexture(t *testing.T) {
	t.Parallel()
	a := &analysis{Described: []analyse.Shot{{From: 0, To: 10, Texture: 4}, {From: 10, To: 40, Texture: 8}}}
	for _, tt := range []struct {
		from, to int
		want     float64
	}{{0, 10, 4}, {12, 20, 8}, {5, 20, 20.0 / 3}, {40, 50, 0}} {
		if got := a.texture(tt.from, tt.to); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("[%d, %d): got %g, want %g", tt.from, tt.to, got, tt.want)
		}
	}
}

// calmThenLively is one shot that stands still for two seconds, and moves for two.
func calmThenLively() testkit.Clip {
	return testkit.Clip{Name: "calm-then-lively.mp4", Args: []string{
		"-f", "lavfi", "-i", "mandelbrot=size=320x180:rate=25:end_scale=0.01,loop=loop=49:size=1:start=0,trim=duration=4,setpts=PTS-STARTPTS",
		"-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-g", "25", "-pix_fmt", "yuv420p",
	}}
}

// Where far more begins to change in a shot, the rest of it has a CRF of its own,
// above that of the calm part.
func TestOptimizeAtRises(t *testing.T) {
	t.Parallel()
	file, err := OpenFile(testkit.Generate(t, calmThenLively()))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	options := DefaultOptions()
	options.Preset, options.Ladder, options.Optimize = "veryfast", "180:20M", OptimizeQuick
	service := Service{Tools: findTools(t)}
	report, err := service.Encode(t.Context(), file, filepath.Join(t.TempDir(), "out"), options)
	if err != nil {
		t.Fatal(err)
	}
	parts := report.Renditions[0].Search.Shots
	if len(report.Content) != 1 || len(parts) != 2 {
		t.Fatalf("got %d shots, %+v; want one in two parts", len(report.Content), parts)
	}
	calm, lively := parts[0], parts[1]
	if calm.Rest || !lively.Rest || lively.First < 48 || lively.First > 52 || lively.CRF < calm.CRF+2 {
		t.Errorf("got %+v and %+v, want the second to begin at about 50 and to be coarser", calm, lively)
	}
}

// Frames of the timeline that show a picture once more change nothing, and what is
// left out counts where the next one is shown.
func TestRisesInTheTimeline(t *testing.T) {
	t.Parallel()
	changes := make([]float32, 60) // of source frames: calm up to frame 30
	for i := range changes {
		changes[i] = 0.02
		if i >= 30 {
			changes[i] = 2
		}
	}
	for _, tt := range []struct {
		name        string
		each, every int // a source frame is shown so often; one of so many
		step        int
		from        int
		want        []int // first frames of the parts
	}{
		{"as they are", 1, 1, 1, 0, []int{0, 30}},
		{"each twice", 2, 1, 1, 0, []int{0, 60}},
		{"every other one", 1, 2, 1, 0, []int{0, 15}},
		{"from the middle of the calm part", 1, 1, 1, 10, []int{10, 30}},
		{"a calm part of five pictures", 1, 1, 1, 25, []int{25}},
		{"one in two pictures is encoded", 1, 1, 2, 0, []int{0, 30}},
		{"one in three pictures is encoded", 1, 1, 3, 0, []int{0}},
	} {
		var shows []int32
		for i := 0; i < len(changes); i += tt.every {
			for range tt.each {
				shows = append(shows, int32(i))
			}
		}
		s := &shotSearch{job: &job{plan: &plan{timeline: &timeline.Timeline{Shows: shows}}, analysis: &analysis{Changes: changes}}, rendition: &rendition{}}
		s.rendition.Rung.Step = tt.step
		var got []int
		for _, p := range s.partsIn(tt.from, len(shows)) {
			got = append(got, p.first)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Long shots are measured in fewer of their pictures, none in its first one.
func TestSamples(t *testing.T) {
	t.Parallel()
	s := &shotSearch{rendition: &rendition{}, spans: [][2]int{{100, 100 + 12 + 72 + 752}}, parts: [][]part{{{first: 100}, {first: 112}, {first: 184}}}}
	s.rendition.Rung.Step, s.rendition.Template = 1, ffmpeg.Output{Width: 320, Height: 180}
	counts := [3]int{}
	for _, at := range s.samples(0) {
		switch {
		case at > 0 && at < 12:
			counts[0]++
		case at > 12 && at < 84:
			counts[1]++
		case at > 84 && at < 836:
			counts[2]++
		default:
			t.Errorf("picture %d is measured", at)
		}
	}
	if want := [3]int{1, 6, 20}; counts != want {
		t.Errorf("got %v pictures of each shot, want %v", counts, want)
	}
}

// The decode that quality is found out by compares every picture with the source, too.
func TestOptimizeFindsWrongPictures(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ask := c.request(testkit.Generate(t, shots()))
	ask.Options.Optimize, ask.Options.Ladder = "quick", "180:20M"
	c.mustRun(ask, c.handlers("a"))
	tried := 0
	for _, job := range c.jobs {
		var task unitTask
		if err := json.Unmarshal(job.Payload, &task); err != nil {
			t.Fatal(err)
		}
		if task.Unit == nil {
			continue
		}
		if task.Unit.Measure == nil || len(task.Unit.Check) != 1 || task.Unit.Check[0] != task.Unit.Encode.Outputs[0].File {
			t.Fatalf("a unit that is not measured and compared: %+v", task.Unit)
		}
		// As if the plan had the first picture stand still.
		for i := range task.Unit.Shows {
			task.Unit.Shows[i] = task.Unit.Shows[0]
		}
		payload, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.objects.DeleteAll(t.Context(), encode.UnitsPrefix(testAsset)+task.Unit.Hash(c.tools)+"/"); err != nil {
			t.Fatal(err)
		}
		tried++
		if _, err := c.handlers("b").unit(t.Context(), queue.Job{Payload: payload}, &lineup{cloud: c}); err != nil {
			if !strings.Contains(fault.Message(err), "match the source") {
				t.Errorf("got %v", err)
			}
			return
		}
	}
	t.Errorf("none of %d units with wrong pictures was found out", tried)
}
