package ffmpeg

import (
	"path/filepath"
	"strings"
	"testing"

	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
)

// corner is one region in the corner of an output, and a worse one of all of it.
func corner(out Output, from int, qp float64) RegionSpan {
	return RegionSpan{From: from, Regions: []Region{
		{X: 16, Y: 8, Width: out.Width / 4, Height: out.Height / 4, QP: qp},
		{Width: out.Width, Height: out.Height, QP: 1.5},
	}}
}

// Regions are a part of the arguments like everything else: chains of addroi, one a
// time, behind the scaler of each output.
func TestRegionArgs(t *testing.T) {
	t.Parallel()
	one := rung("one.mp4", 1280, 720, 0, 100)
	one.Regions = []RegionSpan{corner(one, 0, -3)}
	three := rung("three.mp4", 640, 360, 0, 100)
	three.Step = 2
	three.Regions = []RegionSpan{corner(three, 0, -3), {From: 25}, corner(three, 60, -4.5)}
	ten := rung("ten.mp4", 640, 360, 0)
	ten.Codec, ten.TenBit, ten.Regions = "hevc", true, []RegionSpan{corner(ten, 0, -3)}
	unit := Unit{
		TimeBase: timebase.R(1, 90000), Picture: sdr(1280, 720), To: 900_000, FrameRate: timebase.R(50, 1), Count: 200,
		Outputs: []Output{rung("none.mp4", 1280, 720, 0, 100), one, three, ten},
	}
	text := strings.Join((&Tools{}).UnitArgs(unit), "\n") + "\n"
	testkit.Golden(t, filepath.Join("testdata", "args", "regions.txt"), []byte(text))
}

// As many regions as are allowed, of the largest pictures, fit into an argument.
func TestRegionsFitIntoAnArgument(t *testing.T) {
	t.Parallel()
	const linux = 128 << 10 // MAX_ARG_STRLEN
	out := rung("a.mp4", 8192, 8192, 0)
	span := RegionSpan{}
	for range MaxRegions {
		span.Regions = append(span.Regions, Region{X: 8000, Y: 8000, Width: 8192, Height: 8192, QP: -2.5})
	}
	out.Regions = []RegionSpan{span}
	unit := Unit{TimeBase: timebase.R(1, 90000), Picture: sdr(8192, 8192), To: 900_000, FrameRate: timebase.R(25, 1), Count: 200, Outputs: []Output{out}}
	for _, arg := range (&Tools{}).UnitArgs(unit) {
		if len(arg) >= linux {
			t.Errorf("an argument of %d bytes, Linux takes less than %d", len(arg), linux)
		}
	}
}

// Encoders are tried, and those that ignore regions are found out.
func TestFollowsRegions(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	tests := []struct {
		codec, preset string
		want          bool
	}{
		{"h264", "medium", true},
		{"h264", "ultrafast", false}, // no adaptive quantisation
		{"hevc", "medium", true},
		{"av1", "medium", false},
	}
	for _, test := range tests {
		if !tools.HasEncoder(EncoderFor(test.codec)) {
			t.Logf("no %s: it is not tried", EncoderFor(test.codec))
			continue
		}
		got, err := tools.FollowsRegions(t.Context(), test.codec, test.preset)
		if err != nil {
			t.Fatal(err)
		}
		if got != test.want {
			t.Errorf("%s, %s: got %v, want %v", test.codec, test.preset, got, test.want)
		}
	}
	// The list is what keeps AV1 from being tried; the try would have found it out.
	if tools.HasEncoder(EncoderFor("av1")) {
		plain, moved, err := tools.tryRegions(t.Context(), "av1", "medium")
		if err != nil {
			t.Fatal(err)
		}
		if plain == 0 || float64(moved) > proofGrowth*float64(plain) {
			t.Errorf("av1: got %d bytes with regions and %d without, want about as many", moved, plain)
		}
	}
}

// A unit whose regions change in time has the frames that the plan names, and its
// bits where the regions say: more in the second half here.
func TestEncodeWithRegionsThatChange(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	path := testkit.Generate(t, testkit.Numbered("25", 100))
	out := rung("a.mp4", 320, 180, 0, 50)
	out.Preset = "veryfast"
	all := []Region{{Width: 320, Height: 180, QP: -10}}
	sizes := map[string]int64{}
	for name, regions := range map[string][]RegionSpan{
		"none": nil, "late": {{From: 0}, {From: 50, Regions: all}}, "all": {{From: 0, Regions: all}},
	} {
		out.Regions = regions
		unit := Unit{TimeBase: timebase.R(1, 12800), Picture: sdr(640, 360), To: 1 << 40, FrameRate: timebase.R(25, 1), Count: 100, Hold: true, Outputs: []Output{out}}
		dir := t.TempDir()
		usage, err := tools.Encode(t.Context(), Command{Input: open(t, path), Dir: dir}, unit)
		if err != nil {
			t.Fatal(err)
		}
		for i, number := range numbers(t, tools, filepath.Join(dir, out.File)) {
			if number != i {
				t.Fatalf("%s: picture %d shows frame %d", name, i, number)
			}
		}
		if usage.Last.Frame != 100 {
			t.Errorf("%s: got %d frames, want 100", name, usage.Last.Frame)
		}
		sizes[name] = usage.Last.TotalSize
	}
	t.Logf("bytes: %v", sizes)
	if !(sizes["none"] < sizes["late"] && sizes["late"] < sizes["all"]) {
		t.Errorf("bytes: got %v, want none < late < all", sizes)
	}
}
