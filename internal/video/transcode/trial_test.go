package transcode

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/av/mp4"
	"liuyun/internal/av/rate"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
	"liuyun/internal/video/transcode/timeline"
)

// differenceGauge takes the mean difference of samples from 100.
type differenceGauge struct{ fails error }

func (differenceGauge) name() string                    { return "difference" }
func (differenceGauge) slack() float64                  { return 0 }
func (differenceGauge) cost() float64                   { return 0.001 }
func (g differenceGauge) meter(w, h int) (meter, error) { return g, nil }
func (g differenceGauge) measure(source, made, before, after []byte) (float64, error) {
	sum := 0.0
	for i := range source {
		sum += math.Abs(float64(source[i]) - float64(made[i]))
	}
	return max(0, 100-3*sum/float64(len(source))), g.fails
}

// neighbours notes what a meter is given.
type neighbours struct{ seen []string }

func (n *neighbours) measure(source, made, before, after []byte) (float64, error) {
	text := func(p []byte) string {
		if len(p) == 0 {
			return "-"
		}
		return strconv.Itoa(int(p[0]))
	}
	n.seen = append(n.seen, text(before)+" "+text(source)+" "+text(after)+": "+text(made))
	return float64(made[0]), nil
}

// Of stacked pictures one in trialEvery is compared, with the source's neighbours.
func TestStackJudge(t *testing.T) {
	t.Parallel()
	seen := &neighbours{}
	judge := stackJudge{meter: seen, size: 4, sums: make([]float64, 2)}
	for n := range 8 {
		stack := bytes.Repeat([]byte{byte(n)}, 4)
		stack = append(append(stack, bytes.Repeat([]byte{byte(50 + n)}, 4)...), bytes.Repeat([]byte{byte(90 + n)}, 4)...)
		if err := judge.add(stack); err != nil {
			t.Fatal(err)
		}
		clear(stack) // it is the reader's
	}
	got, err := judge.finish()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1 2 3: 52", "1 2 3: 92", "6 7 -: 57", "6 7 -: 97"}, seen.seen); diff != "" {
		t.Errorf("measured (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{54.5, 94.5}, got); diff != "" {
		t.Errorf("means (-want +got):\n%s", diff)
	}
	if _, err := (&stackJudge{meter: seen, size: 4, sums: make([]float64, 1)}).finish(); err == nil {
		t.Error("no picture gives a mean")
	}
}

func TestSpansStayInShots(t *testing.T) {
	t.Parallel()
	p := &plan{timeline: &timeline.Timeline{Shows: make([]int32, 200)}, shots: []int{40, 60, 150}}
	tests := []struct {
		frame, size int
		want        [2]int
	}{
		{0, 25, [2]int{0, 25}}, {39, 25, [2]int{15, 40}}, {100, 25, [2]int{88, 113}}, {61, 25, [2]int{60, 85}},
		{199, 25, [2]int{175, 200}}, {50, 25, [2]int{38, 63}}, // the shot is too short
		{100, 200, [2]int{0, 200}},
	}
	for _, test := range tests {
		if got := p.spanAt(test.frame, test.size); got != test.want {
			t.Errorf("%d frames around %d: got %v, want %v", test.size, test.frame, got, test.want)
		}
	}
}

func TestPictureBits(t *testing.T) {
	t.Parallel()
	key, other := pictureBits([]mp4.Sample{{Size: 1000}, {Size: 100}, {Size: 300}})
	if key != 8000 || other != 1600 {
		t.Errorf("got %g and %g", key, other)
	}
	if key, other = pictureBits([]mp4.Sample{{Size: 10}}); key != 80 || other != 80 {
		t.Errorf("a single picture: got %g and %g", key, other)
	}
}

// A title has its own ladder where a gauge is there: rungs come from trials, keep to
// their caps, and the report says what was expected.
func TestTitleHasItsOwnLadder(t *testing.T) {
	t.Parallel()
	source, err := OpenFile(testkit.Generate(t, testkit.Pattern(640, 360, "25", 6)))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	encode := func(root string, change func(*job)) (*Report, error) {
		options := DefaultOptions()
		options.Preset = "ultrafast"
		service := Service{Tools: findTools(t)}
		j, err := service.newJob(source, options)
		if err != nil {
			t.Fatal(err)
		}
		j.gauge = differenceGauge{}
		change(j)
		if j.work, err = openWorkdir(root); err != nil {
			t.Fatal(err)
		}
		defer j.work.close()
		j.sink = j.work
		return j.run(t.Context())
	}
	report, err := encode(t.TempDir(), func(*job) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Tried) != 1 || report.Tried[0].Spans < leastSpans || !slices.Equal(report.Tried[0].Sizes, []int{360, 240, 136}) {
		t.Errorf("tried %+v", report.Tried)
	}
	for i, r := range report.Renditions {
		if r.Forecast == nil || r.Forecast.Mean <= 0 || r.Peak > 3*r.Cap {
			t.Errorf("%s: %+v", r.ID, r)
		}
		if i > 0 && (r.Width > report.Renditions[i-1].Width || r.Forecast.Quality > report.Renditions[i-1].Forecast.Quality) {
			t.Errorf("%s does not come below %s", r.ID, report.Renditions[i-1].ID)
		}
	}
	broken := errors.New("the gauge is broken")
	if _, err := encode(t.TempDir(), func(j *job) { j.gauge = differenceGauge{broken} }); !errors.Is(err, broken) {
		t.Errorf("a broken gauge: %v", err)
	}
}

func TestWhatKeepsTheStandardLadder(t *testing.T) {
	t.Parallel()
	src := rate.Source{Width: 1280, Height: 720, FrameRate: timebase.R(25, 1)}
	tests := []struct {
		name   string
		change func(*job, *rate.Source)
		want   bool
	}{
		{"nothing", func(*job, *rate.Source) {}, true},
		{"no gauge", func(j *job, _ *rate.Source) { j.gauge = nil }, false},
		{"HDR", func(j *job, _ *rate.Source) { j.plan.picture.Colour.Transfer = "smpte2084" }, false},
		{"120 pictures a second", func(_ *job, s *rate.Source) { s.FrameRate = timebase.R(120, 1) }, false},
		{"tiny", func(_ *job, s *rate.Source) { s.Width, s.Height = 128, 72 }, false},
		{"two pictures", func(j *job, _ *rate.Source) { j.plan.timeline.Shows = make([]int32, 2) }, false},
		{"a picture in a second", func(_ *job, s *rate.Source) { s.FrameRate = timebase.R(1, 1) }, false},
		{"a mean rate", func(j *job, _ *rate.Source) { j.options.Bits = 2_000_000 }, false},
	}
	for _, test := range tests {
		j, source := &job{gauge: differenceGauge{}, plan: &plan{timeline: &timeline.Timeline{Shows: make([]int32, 100)}}}, src
		test.change(j, &source)
		if got := j.placesRungs(source); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestModelsAreChecked(t *testing.T) {
	t.Parallel()
	service := Service{Tools: findTools(t)}
	source, err := OpenFile(testkit.Generate(t, testkit.Pattern(320, 180, "25", 2)))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	options := DefaultOptions()
	options.Ladder = rate.Title
	if j, err := service.newJob(source, options); err != nil || j.gauge == nil || j.gauge.name() != "vmaf estimate 2" {
		t.Errorf("a title's ladder without a model: %v, %v", j, err)
	}
	for ladder, wrong := range map[string]bool{"auto": true, "title": true, "standard": false, "180": false} {
		options := DefaultOptions()
		options.Ladder, options.Model = ladder, []byte("{}")
		j, err := service.newJob(source, options)
		if wrong && fault.CodeOf(err) != fault.Invalid || !wrong && (err != nil || j.gauge != nil) {
			t.Errorf("ladder %s with an empty model: %v", ladder, err)
		}
	}
}

// Without a model pictures that are the same have the most, and less with noise.
func TestQualityIsEstimated(t *testing.T) {
	t.Parallel()
	const width, height = 64, 48
	gauge, err := newVMAFGauge(nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := gauge.meter(width, height)
	if err != nil {
		t.Fatal(err)
	}
	source := make([]byte, width*height)
	for i := range source {
		source[i] = byte(100 + i%64)
	}
	last := 101.0
	for noise := range 5 {
		made := slices.Clone(source)
		for i := range made {
			made[i] += byte(noise * 4 * (i % 2))
		}
		q, err := m.measure(source, made, source, nil)
		if err != nil {
			t.Fatal(err)
		}
		if noise == 0 && q < 90 || !(q < last && q > 0) {
			t.Errorf("noise %d has %.1f, the one before %.1f", noise, q, last)
		}
		last = q
	}
}

func TestEstimateRises(t *testing.T) {
	t.Parallel()
	for sum, want := range map[float64]float64{-100: 20, -20: 20, 10: 34, 23: 38.75, 55: 60.5, 100: 101, 200: 101} {
		if got := onScale(sum); math.Abs(got-want) > 1e-9 {
			t.Errorf("%g: got %g, want %g", sum, got, want)
		}
	}
	last := 0.0
	for sum := -30.0; sum < 110; sum += 0.5 {
		if v := onScale(sum); v < last {
			t.Errorf("%g has %g, less than the one before", sum, v)
		} else {
			last = v
		}
	}
}
