package rate

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"liuyun/internal/base/timebase"
)

func TestLadder(t *testing.T) {
	t.Parallel()
	type rung struct {
		Name          string
		Width, Height int
		Step          int
	}
	tests := []struct {
		name string
		src  Source
		want []rung
	}{
		{"1080p", Source{1920, 1080, timebase.R(25, 1)}, []rung{
			{"1080p", 1920, 1080, 1}, {"720p", 1280, 720, 1}, {"480p", 854, 480, 1}, {"360p", 640, 360, 1}, {"240p", 426, 240, 1},
		}},
		{"portrait at 120", Source{1080, 1920, timebase.R(120, 1)}, []rung{
			{"1080p", 1080, 1920, 1}, {"720p", 720, 1280, 2}, {"480p", 480, 854, 2}, {"360p", 360, 640, 2}, {"240p", 240, 426, 2},
		}},
		{"120000/1001", Source{1280, 720, timebase.R(120000, 1001)}, []rung{
			{"720p", 1280, 720, 2}, {"480p", 854, 480, 2}, {"360p", 640, 360, 2}, {"240p", 426, 240, 2},
		}},
		{"60 stays", Source{1280, 720, timebase.R(60, 1)}, []rung{
			{"720p", 1280, 720, 1}, {"480p", 854, 480, 1}, {"360p", 640, 360, 1}, {"240p", 426, 240, 1},
		}},
		{"odd", Source{853, 481, timebase.R(30, 1)}, []rung{{"481p", 852, 480, 1}, {"360p", 638, 360, 1}, {"240p", 426, 240, 1}}},
		{"just above a standard", Source{1360, 768, timebase.R(30, 1)}, []rung{
			{"768p", 1360, 768, 1}, {"480p", 850, 480, 1}, {"360p", 638, 360, 1}, {"240p", 426, 240, 1},
		}},
		{"8K keeps six", Source{7680, 4320, timebase.R(24, 1)}, []rung{
			{"4320p", 7680, 4320, 1}, {"2160p", 3840, 2160, 1}, {"1440p", 2560, 1440, 1},
			{"1080p", 1920, 1080, 1}, {"720p", 1280, 720, 1}, {"480p", 854, 480, 1},
		}},
		{"tiny", Source{64, 36, timebase.R(25, 1)}, []rung{{"36p", 64, 36, 1}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []rung
			for _, r := range Ladder(test.src) {
				got = append(got, rung{r.Name, r.Width, r.Height, r.Step})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ladder (-want +got):\n%s", diff)
			}
		})
	}
}

func drawSource(t *rapid.T) Source {
	return Source{
		Width:     rapid.IntRange(leastSide, 8192).Draw(t, "width"),
		Height:    rapid.IntRange(leastSide, 8192).Draw(t, "height"),
		FrameRate: timebase.R(rapid.Int64Range(5, 120).Draw(t, "rate"), rapid.SampledFrom([]int64{1, 2}).Draw(t, "den")),
	}
}

// check holds what is true of every rung.
func (r Rung) check(t *rapid.T, src Source) {
	switch {
	case r.Width%2 != 0 || r.Height%2 != 0:
		t.Fatalf("%+v is odd", r)
	case r.Width > src.Width || r.Height > src.Height:
		t.Fatalf("%+v is larger than %d×%d", r, src.Width, src.Height)
	case r.Width < leastSide || r.Height < leastSide:
		t.Fatalf("%+v is smaller than encoders take", r)
	case r.Cap < 100e3:
		t.Fatalf("%+v has hardly a cap", r)
	case r.Step&(r.Step-1) != 0 || r.Step < 1:
		t.Fatalf("%+v: the step is no power of two", r)
	}
	kept := src.FrameRate.Float() / float64(r.Step)
	if min(r.Width, r.Height) < smallSide-1 && kept > highestSmallRate+0.5 {
		t.Fatalf("%+v keeps %g frames a second", r, kept)
	}
	if r.Step > 1 && 2*kept <= highestSmallRate {
		t.Fatalf("%+v keeps only %g frames a second", r, kept)
	}
	if r.Width == leastSide || r.Height == leastSide {
		return // squeezed to what encoders take
	}
	exact := float64(src.Width) / float64(src.Height)
	least, most := float64(r.Width-2)/float64(r.Height+2), float64(r.Width+2)/float64(r.Height-2)
	if exact < least || exact > most {
		t.Fatalf("%+v: the shape of %d×%d is lost", r, src.Width, src.Height)
	}
}

func TestLadderProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		src := drawSource(t)
		rungs := Ladder(src)
		if len(rungs) == 0 || len(rungs) > mostRungs {
			t.Fatalf("%d rungs", len(rungs))
		}
		for i, r := range rungs {
			r.check(t, src)
			if i > 0 && (r.Width*r.Height >= rungs[i-1].Width*rungs[i-1].Height || r.Cap > rungs[i-1].Cap) {
				t.Fatalf("%+v does not come below %+v", r, rungs[i-1])
			}
		}
		if top := rungs[0]; src.Width-top.Width > 1 || src.Height-top.Height > 1 {
			t.Fatalf("the top rung of %d×%d is %+v", src.Width, src.Height, top)
		}
	})
}

func TestParse(t *testing.T) {
	t.Parallel()
	src := Source{1280, 720, timebase.R(25, 1)}
	rungs, err := Parse("360:500k, 720p:3M,480", src)
	if err != nil {
		t.Fatal(err)
	}
	want := []Rung{
		{"720p", 1280, 720, 1, 3_000_000},
		{"480p", 854, 480, 1, CapFor(854*480, src.FrameRate)},
		{"360p", 640, 360, 1, 500_000},
	}
	if diff := cmp.Diff(want, rungs); diff != "" {
		t.Errorf("ladder (-want +got):\n%s", diff)
	}
	for _, text := range []string{"", "auto"} {
		if got, err := Parse(text, src); err != nil || len(got) != 4 {
			t.Errorf("%q: got %v, %v, want the automatic four", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"1080":      "would be larger than the source; the most is 720p",
		"720,720p":  "named twice",
		"tall":      "not a picture height",
		"8":         "not a picture height",
		"-360":      "not a picture height",
		"360:":      "not a bit rate",
		"360:fast":  "not a bit rate",
		"360:5":     "not a bit rate",
		"360:NaN":   "not a bit rate",
		"360:1e12k": "not a bit rate",
		"360,":      "not a picture height",
	} {
		if _, err := Parse(text, src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want one with %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"auto", "1080:6M,720,480:900k", "720p", "16:1k", "99999999999999999999", "360:Inf"} {
		f.Add(seed)
	}
	src := Source{1920, 1080, timebase.R(30, 1)}
	f.Fuzz(func(t *testing.T, text string) {
		rungs, err := Parse(text, src)
		for _, r := range rungs {
			if err != nil || r.Width > src.Width || r.Height > src.Height || r.Cap < 1000 || r.Cap > 1e9 {
				t.Errorf("%q: got %+v, %v", text, r, err)
			}
		}
	})
}

func TestParseBitrate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"800k": 800_000, "2.5M": 2_500_000, "96000": 96_000, "1000M": 1_000_000_000} {
		if got, err := ParseBitrate(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestCapFor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		width, height int
		fps           int64
		want          int64
	}{
		{1920, 1080, 30, 5_500_000},
		{1920, 1080, 60, 7_775_000},
		{1280, 720, 30, 3_000_000},
		{426, 240, 30, 575_000},
		{16, 16, 5, 100_000},
	}
	for _, test := range tests {
		if got := CapFor(test.width*test.height, timebase.R(test.fps, 1)); got != test.want {
			t.Errorf("%d×%d at %d: got %d, want %d", test.width, test.height, test.fps, got, test.want)
		}
	}
}

// simulate says for each picture how many bits are missing when it is taken, by
// stepping through exact time, a rational number of bits at a moment.
func simulate(b Bucket, start *big.Rat, pictures []Picture) []*big.Rat {
	size := new(big.Rat).SetInt64(b.Size)
	level := new(big.Rat).Mul(size, start)
	missing := make([]*big.Rat, len(pictures))
	for i, p := range pictures {
		level.Sub(level, new(big.Rat).SetInt64(p.Bits))
		missing[i] = new(big.Rat)
		if level.Sign() < 0 {
			missing[i].Neg(level)
			level.SetInt64(0)
		}
		arrived := big.NewRat(int64(p.Duration), int64(time.Second))
		level.Add(level, arrived.Mul(arrived, new(big.Rat).SetInt64(b.Rate)))
		if level.Cmp(size) > 0 {
			level.Set(size)
		}
	}
	return missing
}

func TestBucketAgainstSimulation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		quarters := rapid.Int64Range(0, 4).Draw(t, "start")
		b := Bucket{
			Rate:  rapid.Int64Range(1000, 1e7).Draw(t, "rate"),
			Size:  rapid.Int64Range(1000, 2e7).Draw(t, "size"),
			Start: float64(quarters) / 4,
		}
		fps := rapid.SampledFrom([]int64{5, 25, 30, 60, 120}).Draw(t, "fps")
		most := 4 * b.Rate / fps
		var pictures []Picture
		for _, bits := range rapid.SliceOfN(rapid.Int64Range(0, most), 0, 200).Draw(t, "bits") {
			pictures = append(pictures, Picture{Bits: bits, Duration: time.Second / time.Duration(fps)})
		}
		missing := simulate(b, big.NewRat(quarters, 4), pictures)
		compareRuns(t, b.Check(pictures), missing)
	})
}

// compareRuns checks that runs begin where bits are missing, name the worst
// picture of the run, and leave none out.
func compareRuns(t *rapid.T, runs []Overflow, missing []*big.Rat) {
	const nothing = 1.0 // bits, by which floating point may be off
	bits := make([]float64, len(missing))
	for i, m := range missing {
		bits[i], _ = m.Float64()
	}
	for k, run := range runs {
		end := len(bits)
		if k+1 < len(runs) {
			end = runs[k+1].First
		}
		worst := 0.0
		for i := run.First; i < end; i++ {
			worst = max(worst, bits[i])
		}
		if run.Picture < run.First || run.Picture >= end || math.Abs(worst-float64(run.Missing)) > nothing || math.Abs(bits[run.Picture]-worst) > nothing {
			t.Fatalf("run %+v until %d: picture %d misses %.1f bits, the worst %.1f", run, end, run.Picture, bits[run.Picture], worst)
		}
	}
	first := len(bits)
	if len(runs) > 0 {
		first = runs[0].First
	}
	for i := range first {
		if bits[i] > nothing {
			t.Fatalf("picture %d misses %.1f bits and is in no run", i, bits[i])
		}
	}
}

func TestBucketRuns(t *testing.T) {
	t.Parallel()
	second := func(bits ...int64) (list []Picture) {
		for _, b := range bits {
			list = append(list, Picture{b, time.Second})
		}
		return list
	}
	b := Bucket{Rate: 100, Size: 200, Start: 1}
	tests := []struct {
		name     string
		pictures []Picture
		want     []Overflow
	}{
		{"none", nil, nil},
		{"at the cap", second(200, 100, 100, 100), nil},
		{"one too large", second(250, 0, 0, 0), []Overflow{{Picture: 0, First: 0, Missing: 50}}},
		{"worst of a run", second(250, 190, 150, 0, 0), []Overflow{{Picture: 1, First: 0, Missing: 90}}},
		{"two runs", second(250, 0, 0, 0, 210), []Overflow{{Picture: 0, First: 0, Missing: 50}, {Picture: 4, First: 4, Missing: 10}}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, b.Check(test.pictures)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	if got, want := (Overflow{Picture: 3, Missing: 70}).Error(), "picture 3 needs 70 bits more than the cap lets through"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
