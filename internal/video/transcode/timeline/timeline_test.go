package timeline

import (
	"bytes"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
)

func clockOf(timeBase timebase.Rational) Clock {
	return Clock{TimeBase: timeBase, Start: NoStart, End: NoEnd}
}

// evenly is the times of count frames at a constant rate, as a muxer rounds them.
func evenly(count int, rate, timeBase timebase.Rational, origin int64) []int64 {
	times := make([]int64, count)
	for n := range times {
		times[n] = origin + timebase.Rescale(int64(n), rate.Inv(), timeBase)
	}
	return times
}

// clocks are the time bases of containers: Matroska's milliseconds, MPEG's 90
// kHz, ffmpeg's MP4.
func clocks() []timebase.Rational {
	return []timebase.Rational{timebase.R(1, 1000), timebase.R(1, 90000), timebase.R(1, 12800)}
}

func tradeRates() []timebase.Rational {
	var rates []timebase.Rational
	for _, rate := range standardRates {
		if rate.Cmp(timebase.R(24000, 1001)) >= 0 {
			rates = append(rates, rate)
		}
	}
	return rates
}

// identity is Shows of a source at a constant rate.
func identity(count int) []int32 {
	shows := make([]int32, count)
	for n := range shows {
		shows[n] = int32(n)
	}
	return shows
}

// Every standard rate is recognised in every container's clock, and each frame
// is shown once.
func TestConstantRates(t *testing.T) {
	t.Parallel()
	for _, rate := range tradeRates() {
		for _, timeBase := range clocks() {
			for _, origin := range []int64{0, 1234567, -77} {
				line, left, err := New(evenly(2000, rate, timeBase, origin), clockOf(timeBase))
				if err != nil || left != 0 {
					t.Fatalf("%v in %v: %d left out, %v", rate, timeBase, left, err)
				}
				if line.FrameRate != rate || !line.Constant || line.Origin != origin {
					t.Errorf("%v in %v: got %v, constant %t, from %d, want it from %d", rate, timeBase, line.FrameRate, line.Constant, line.Origin, origin)
				}
				if diff := cmp.Diff(identity(2000), line.Shows); diff != "" {
					t.Errorf("%v in %v: (-want +got):\n%s", rate, timeBase, diff)
				}
			}
		}
	}
}

// A rate that is not of the trade is taken from the container when the frames
// agree.
func TestDeclaredRate(t *testing.T) {
	t.Parallel()
	timeBase := timebase.R(1, 90000)
	for _, test := range []struct{ declared, real timebase.Rational }{
		{timebase.R(18, 1), timebase.R(18, 1)},
		{timebase.R(6, 1), timebase.R(6, 1)},
		{timebase.R(90000, 1), timebase.R(25, 1)}, // a container's nonsense
	} {
		clock := clockOf(timeBase)
		clock.Declared = []timebase.Rational{{}, test.declared}
		line, _, err := New(evenly(500, test.real, timeBase, 0), clock)
		if err != nil {
			t.Fatal(err)
		}
		if !line.Constant || timebase.Rescale(500, line.FrameRate.Inv(), timeBase) != timebase.Rescale(500, test.real.Inv(), timeBase) {
			t.Errorf("%v declared, %v real: got %v, constant %t", test.declared, test.real, line.FrameRate, line.Constant)
		}
	}
}

// Very high and very low rates are brought into the range of players.
func TestRatesOutOfRange(t *testing.T) {
	t.Parallel()
	timeBase := timebase.R(1, 90000)
	for _, rate := range []timebase.Rational{timebase.R(240, 1), timebase.R(1000, 1), timebase.R(1, 1), timebase.R(1, 10)} {
		times := evenly(300, rate, timeBase, 0)
		line, _, err := New(times, clockOf(timeBase))
		if err != nil {
			t.Fatal(err)
		}
		if !inRange(line.FrameRate) || line.Constant {
			t.Errorf("%v: got %v, constant %t", rate, line.FrameRate, line.Constant)
		}
		if got, want := line.Seconds(), 300/rate.Float(); math.Abs(got-want) > 1/rate.Float()+0.2 {
			t.Errorf("%v: %g s long, want %g", rate, got, want)
		}
	}
}

func TestOneFrame(t *testing.T) {
	t.Parallel()
	clock := clockOf(timebase.R(1, 1000))
	clock.LastFor = 2000
	line, _, err := New([]int64{500}, clock)
	if err != nil || line.FrameRate != timebase.R(25, 1) || len(line.Shows) != 50 || line.Origin != 500 {
		t.Errorf("one picture for two seconds: got %+v, %v, want it 50 times at 25 a second", line, err)
	}
	if _, _, err := New(nil, clock); err == nil {
		t.Error("no picture at all: got no error")
	}
}

// Times that do not rise are left out and counted.
func TestTimesThatDoNotRise(t *testing.T) {
	t.Parallel()
	line, left, err := New([]int64{0, 40, 40, 80, 20, 120, 160, 200}, clockOf(timebase.R(1, 1000)))
	if err != nil || left != 2 || !line.Constant || len(line.Frames) != 6 {
		t.Errorf("got %+v, %d left out, %v, want six frames, two left out", line, left, err)
	}
}

// When sound begins before the picture or goes on after it, the first and the
// last picture are held.
func TestSoundAroundThePicture(t *testing.T) {
	t.Parallel()
	timeBase, rate := timebase.R(1, 90000), timebase.R(25, 1)
	const frame = 3600
	times := evenly(100, rate, timeBase, 90000)
	tests := []struct {
		name         string
		start, end   int64
		held, atEnd  int
		originBefore int64
	}{
		{"together", 90000, 90000 + 100*frame, 0, 0, 0},
		{"later", 91000, NoEnd, 0, 0, 0},
		{"earlier by 12.5 frames", 90000 - 45000, NoEnd, 13, 0, 13 * frame},
		{"earlier by a third of a frame", 90000 - 1200, NoEnd, 0, 0, 0},
		{"longer by 50 frames", NoStart, 90000 + 150*frame, 0, 50, 0},
		{"shorter", NoStart, 90000 + 20*frame, 0, 0, 0},
	}
	for _, test := range tests {
		clock := clockOf(timeBase)
		clock.Start, clock.End = test.start, test.end
		line, _, err := New(times, clock)
		if err != nil {
			t.Fatal(err)
		}
		want := append(make([]int32, test.held), identity(100)...)
		for range test.atEnd {
			want = append(want, 99)
		}
		if diff := cmp.Diff(want, line.Shows); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if got := times[0] - line.Origin; got != test.originBefore {
			t.Errorf("%s: begins %d ticks before the picture, want %d", test.name, got, test.originBefore)
		}
		repeated, dropped := line.Repeated()
		if repeated != test.held+test.atEnd || dropped != 0 {
			t.Errorf("%s: %d repeated, %d dropped, want %d, 0", test.name, repeated, dropped, test.held+test.atEnd)
		}
		if line.Constant != (test.held+test.atEnd == 0) {
			t.Errorf("%s: constant %t", test.name, line.Constant)
		}
	}
}

func TestRepeated(t *testing.T) {
	t.Parallel()
	line := Timeline{Frames: make([]int64, 6), Shows: []int32{0, 0, 1, 3, 3, 3, 5}}
	if repeated, dropped := line.Repeated(); repeated != 3 || dropped != 2 {
		t.Errorf("got %d repeated, %d dropped, want 3 and 2", repeated, dropped)
	}
}

// Wild times are an error at once, and never a huge plan.
func TestWildTimes(t *testing.T) {
	t.Parallel()
	for _, times := range [][]int64{
		{0, 40, 120 * 3600 * 1000},
		{0, 1 << 50},
		{0, math.MaxInt64},
		{math.MinInt64, math.MaxInt64},
		{math.MinInt64, 0, 40},
		{-1 << 62, 1 << 62},
	} {
		if line, _, err := New(times, clockOf(timebase.R(1, 1000))); err == nil {
			t.Errorf("%v: got %d frames at %v, want an error", times, len(line.Shows), line.FrameRate)
		}
	}
	clock := clockOf(timebase.R(1, 1000))
	clock.LastFor, clock.End = math.MaxInt64, math.MaxInt64/2
	if line, _, err := New([]int64{0, 40, 80}, clock); err == nil {
		t.Errorf("an end TooLong all time: got %d frames, want an error", len(line.Shows))
	}
}

// Whatever the times, a plan is bounded, in order, and shows each frame nearest
// to its time.
func TestTimelineProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		timeBase := rapid.SampledFrom(clocks()).Draw(t, "time base")
		second := timeBase.Den
		gaps := rapid.SliceOfN(rapid.Int64Range(-second/50, second/2), 1, 100).Draw(t, "gaps")
		at := rapid.Int64Range(-second, second).Draw(t, "first")
		var times []int64
		for _, gap := range gaps {
			times = append(times, at)
			at += gap
		}
		clock := clockOf(timeBase)
		clock.LastFor = rapid.Int64Range(0, second).Draw(t, "last for")
		line, left, err := New(times, clock)
		if err != nil {
			t.Fatal(err)
		}
		if len(line.Frames)+left != len(times) || !inRange(line.FrameRate) {
			t.Fatalf("%d frames and %d left out of %d, at %v", len(line.Frames), left, len(times), line.FrameRate)
		}
		if last := line.Shows[len(line.Shows)-1]; int(last) != len(line.Frames)-1 {
			t.Fatalf("the last slot shows %d of %d frames", last, len(line.Frames))
		}
		repeated, dropped := line.Repeated()
		if len(line.Shows)-repeated != len(line.Frames)-dropped {
			t.Fatalf("%d slots with %d repeated, %d frames with %d dropped", len(line.Shows), repeated, len(line.Frames), dropped)
		}
		half := float64(timeBase.Den)/line.FrameRate.Float()/2 + 1
		for n := 1; n < len(line.Shows); n++ {
			if line.Shows[n] < line.Shows[n-1] {
				t.Fatalf("slot %d goes back from %d to %d", n, line.Shows[n-1], line.Shows[n])
			}
			slot := float64(timebase.Rescale(int64(n), line.FrameRate.Inv(), timeBase))
			if shown := float64(line.Frames[line.Shows[n]] - line.Origin); shown-slot > half {
				t.Fatalf("slot %d at %g shows frame %d of %g: too early", n, slot, line.Shows[n], shown)
			}
		}
	})
}

// The plan is that of ffmpeg's own filter for a constant rate.
func TestVariableRateAsFFmpeg(t *testing.T) {
	t.Parallel()
	clip := testkit.Generate(t, testkit.Variable(4))
	ffmpeg := testkit.FFmpeg(t)
	timeBase, times, last := decodedTimes(t, clip)
	hashes := pictures(t, ffmpeg, clip)
	if len(times) != len(hashes) {
		t.Fatalf("%d times, %d pictures", len(times), len(hashes))
	}
	number := make(map[string]int32, len(hashes))
	for i, hash := range hashes {
		if _, twice := number[hash]; twice {
			t.Fatalf("picture %d is there twice", i)
		}
		number[hash] = int32(i)
	}
	clock := clockOf(timeBase)
	clock.LastFor = last
	chosen, _, err := New(times, clock)
	if err != nil {
		t.Fatal(err)
	}
	if want := timebase.R(30, 1); chosen.FrameRate != want || chosen.Constant {
		t.Errorf("chose %v, constant %t, want %v, variable", chosen.FrameRate, chosen.Constant, want)
	}
	for _, rate := range []timebase.Rational{chosen.FrameRate, timebase.R(24, 1), timebase.R(25, 1), timebase.R(50, 1), timebase.R(60000, 1001)} {
		line := Timeline{TimeBase: timeBase, FrameRate: rate, Origin: times[0], Frames: times}
		if err := line.fill(clock); err != nil {
			t.Fatal(err)
		}
		var want []int32
		for _, hash := range pictures(t, ffmpeg, clip, "-vf", "fps="+rate.String()+":round=near") {
			want = append(want, number[hash])
		}
		if diff := cmp.Diff(want, line.Shows); diff != "" {
			t.Errorf("at %v, ffmpeg and the plan (-ffmpeg +plan):\n%s", rate, diff)
		}
	}
}

// decodedTimes are the presentation times of a clip's pictures as ffprobe sees
// them, and how long the last one lasts.
func decodedTimes(t *testing.T, clip string) (timeBase timebase.Rational, times []int64, last int64) {
	t.Helper()
	out := output(t, testkit.FFprobe(t), "-v", "error", "-select_streams", "v:0",
		"-show_entries", "stream=time_base:frame=pts,pkt_duration", "-of", "default=noprint_wrappers=1", clip)
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		var err error
		var n int64
		switch key {
		case "time_base":
			timeBase, err = timebase.Parse(value)
		case "pts":
			n, err = strconv.ParseInt(value, 10, 64)
			times = append(times, n)
		case "pkt_duration":
			last, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return timeBase, times, last
}

// pictures are the hashes of a clip's decoded pictures.
func pictures(t *testing.T, ffmpeg, clip string, filter ...string) []string {
	t.Helper()
	args := append([]string{"-v", "error", "-i", clip}, filter...)
	if len(filter) == 0 {
		args = append(args, "-fps_mode", "passthrough")
	}
	out := output(t, ffmpeg, append(args, "-f", "framemd5", "-")...)
	var hashes []string
	for line := range strings.Lines(out) {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) == 6 {
			hashes = append(hashes, strings.TrimSpace(fields[5]))
		}
	}
	return hashes
}

func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, problems.String())
	}
	return string(out)
}
