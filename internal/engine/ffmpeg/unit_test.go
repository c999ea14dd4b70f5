package ffmpeg

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"liuyun/internal/base/timebase"
	"liuyun/internal/kit/proc"
	"liuyun/internal/testkit"
)

// sdr is a source picture without surprises.
func sdr(width, height int) Picture {
	return Picture{Width: width, Height: height, Aspect: timebase.R(1, 1), Colour: BT709}
}

func rung(file string, width, height int, keys ...int) Output {
	return Output{
		File: file, Codec: "h264", Width: width, Height: height, Step: 1, KeyFrames: keys, Preset: "ultrafast",
		Quality: 20, MaxRate: 4_000_000, Buffer: 6_000_000, Level: "3.1", References: 4, Colour: BT709,
	}
}

// The arguments are part of what names a unit's output: a change of them is a
// change of every hash and has to be meant.
func TestUnitArgs(t *testing.T) {
	t.Parallel()
	seek := int64(90_000)
	hdr := Picture{
		Width: 1920, Height: 1080, Aspect: timebase.R(1, 1), Rotation: 90,
		Colour: Colour{Primaries: "bt2020", Transfer: "smpte2084", Matrix: "bt2020nc"},
	}
	light := &Light{
		Mastering: &Mastering{Red: [2]int{35400, 14600}, Green: [2]int{8500, 39850}, Blue: [2]int{6550, 2300}, White: [2]int{15635, 16450}, MaxLuminance: 10_000_000, MinLuminance: 50},
		MaxCLL:    1000, MaxFALL: 400,
	}
	toned := rung("h264.mp4", 720, 1280, 0)
	toned.ToneMap = true
	kept := Output{
		File: "hevc.mp4", Codec: "hevc", Width: 720, Height: 1280, Step: 1, KeyFrames: []int{0, 50}, Preset: "medium",
		Quality: 26, MaxRate: 2_000_000, Buffer: 3_000_000, Level: "4", Colour: hdr.Colour, TenBit: true, Light: light,
	}
	av1 := kept
	av1.File, av1.Codec, av1.KeyFrames = "av1.mp4", "av1", []int{0}
	interlaced := sdr(720, 576)
	interlaced.Interlaced, interlaced.Aspect = true, timebase.R(16, 15)
	medium := rung("medium.mp4", 1280, 720, 0, 100)
	medium.Preset = "medium"
	halved := rung("small.mp4", 640, 360, 0, 120)
	halved.Step = 2
	zoned := medium
	zoned.Quality, zoned.Zones = 24, []Zone{{From: 60, To: 100, Quality: 30}, {From: 100, To: 200, Quality: 21}}
	zonedHEVC := kept
	zonedHEVC.Zones = []Zone{{From: 0, To: 50, Quality: 28}}
	deep := Picture{Width: 7680, Height: 4320, Aspect: timebase.R(1, 1), Deep: true, Colour: hdr.Colour}
	large := rung("h264.mp4", 3840, 2160, 0)
	large.ToneMap = true
	units := map[string]Unit{
		"oversize": {TimeBase: timebase.R(1, 90000), Picture: deep, To: 900_000, FrameRate: timebase.R(24, 1), Count: 100, Outputs: []Output{large, toned}},
		"plain": {
			Stream: 0, TimeBase: timebase.R(1, 12800), Picture: sdr(1280, 720), Seek: &seek, From: 102_400, To: 204_801,
			FrameRate: timebase.R(25, 1), First: 200, Count: 200,
			Outputs: []Output{rung("big.mp4", 1280, 720, 0, 100), rung("small.mp4", 640, 360, 0, 100), medium},
		},
		"zones": {
			TimeBase: timebase.R(1, 12800), Picture: sdr(1280, 720), To: 204_801, FrameRate: timebase.R(25, 1), Count: 200,
			Outputs: []Output{zoned, zonedHEVC}, Samples: &Samples{At: []int{6, 18, 61}, File: "samples.luma"},
		},
		"hdr":        {TimeBase: timebase.R(1, 90000), Picture: hdr, To: 900_000, FrameRate: timebase.R(30000, 1001), Count: 100, Hold: true, Outputs: []Output{toned, kept, av1}},
		"interlaced": {TimeBase: timebase.R(1, 90000), Picture: interlaced, To: 900_000, FrameRate: timebase.R(25, 1), Count: 100, Outputs: []Output{rung("sd.mp4", 768, 576, 0)}},
		"halved":     {TimeBase: timebase.R(1, 90000), Picture: sdr(1920, 1080), To: 900_000, FrameRate: timebase.R(120, 1), Count: 240, Outputs: []Output{rung("big.mp4", 1920, 1080, 0, 120), halved}},
	}
	for name, unit := range units {
		t.Run(name, func(t *testing.T) {
			text := strings.Join((&Tools{}).UnitArgs(unit), "\n") + "\n"
			testkit.Golden(t, filepath.Join("testdata", "args", name+".txt"), []byte(text))
		})
	}
}

// The same holds for the analysis, which everything after it stands on.
func TestAnalysisArgs(t *testing.T) {
	t.Parallel()
	seek, from, to := int64(90_000), int64(102_400), int64(204_801)
	hdr := Picture{Width: 3840, Height: 2160, Aspect: timebase.R(1, 1), Rotation: 90, Colour: Colour{Primaries: "bt2020", Transfer: "smpte2084", Matrix: "bt2020nc"}}
	tiles := &Tiles{Interval: timebase.R(2, 1), Origin: 12_800, Most: 43_200, Width: 160, Height: 90, File: "tiles.yuv"}
	passes := map[string]Analysis{
		"whole":   {TimeBase: timebase.R(1, 12800), Picture: sdr(320, 180), Width: 32, Height: 18, Threads: 4},
		"stretch": {TimeBase: timebase.R(1, 12800), Picture: sdr(1920, 1080), Seek: &seek, From: &from, To: &to, Width: 32, Height: 18, Threads: 1, Tiles: tiles},
		"exact":   {TimeBase: timebase.R(1, 12800), Picture: sdr(1920, 1080), Width: 32, Height: 18, Exact: true, Threads: 1, Tiles: tiles},
		"hdr":     {TimeBase: timebase.R(1, 90000), Picture: hdr, Width: 32, Height: 18, Threads: 1, Tiles: tiles},
		"colour":  {TimeBase: timebase.R(1, 12800), Picture: sdr(960, 540), Width: 160, Height: 96, InColour: true, Threads: 1, Tiles: tiles},
	}
	for name, pass := range passes {
		t.Run(name, func(t *testing.T) {
			text := strings.Join((&Tools{}).AnalysisArgs(pass), "\n") + "\n"
			testkit.Golden(t, filepath.Join("testdata", "args", "analysis-"+name+".txt"), []byte(text))
		})
	}
}

// A picture whose size changes on the way is analysed like any other, also where
// lines are stepped over.
func TestAnalysisOfPicturesThatChangeTheirSize(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	var joined []byte
	for _, size := range []string{"640x360", "1280x720", "320x180"} {
		path := testkit.Generate(t, testkit.Clip{Name: "size-" + size + ".h264", Args: []string{
			"-f", "lavfi", "-i", "smptebars=size=" + size + ":rate=25:duration=1", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-pix_fmt", "yuv420p",
		}})
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		joined = append(joined, data...)
	}
	path := filepath.Join(t.TempDir(), "sizes.h264")
	if err := os.WriteFile(path, joined, 0o644); err != nil {
		t.Fatal(err)
	}
	analysed := func(exact bool) (pictures [][]byte) {
		_, err := tools.Analyse(t.Context(), Command{Input: open(t, path), Dir: t.TempDir()},
			Analysis{TimeBase: timebase.R(1, 1200000), Picture: sdr(640, 360), Width: 32, Height: 18, Exact: exact, Threads: 1},
			func(_ int64, luma []byte) error { pictures = append(pictures, slices.Clone(luma)); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return pictures
	}
	exact, thinned := analysed(true), analysed(false)
	if len(exact) != 75 || len(thinned) != 75 {
		t.Fatalf("got %d and %d pictures, want 75", len(exact), len(thinned))
	}
	for i := range exact {
		for at, level := range exact[i] {
			if got := int(thinned[i][at]); got < int(level)-24 || got > int(level)+24 {
				t.Fatalf("picture %d, sample %d: level %d, exactly %d", i, at, got, level)
			}
		}
	}
}

// numbers decodes a file and reads the numbers of its pictures.
func numbers(t *testing.T, tools *Tools, path string) []int {
	t.Helper()
	const width, height = 320, 180
	var list []int
	_, err := tools.DecodeSmall(t.Context(), Command{Input: open(t, path), Dir: t.TempDir()}, width, height, func(luma []byte) error {
		list = append(list, testkit.FrameNumber(luma, width, width, height))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A unit shows exactly the frames that it names, wherever it begins, whatever
// the source's groups of pictures are, in every rung.
func TestEncodeShowsTheFramesThatThePlanNames(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for name, args := range map[string][]string{
		"closed.mp4": {"-c:v", "libx264", "-g", "48", "-bf", "3"},
		"open.mkv":   {"-c:v", "libx264", "-bf", "3", "-x264-params", "open-gop=1:keyint=48"},
		"open.ts":    {"-c:v", "libx264", "-bf", "3", "-x264-params", "open-gop=1:keyint=48"},
		"mpeg2.ts":   {"-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-g", "15"},
		"edited.mp4": {"-c:v", "libx264", "-g", "48", "-bf", "3", "-output_ts_offset", "1.5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clip := testkit.Numbered("25", 200)
			clip.Name = name
			for i, arg := range clip.Args {
				if arg == "-c:v" {
					clip.Args = append(clip.Args[:i:i], args...)
					break
				}
			}
			clip.Args = append(clip.Args, "-preset", "ultrafast", "-pix_fmt", "yuv420p")
			path := testkit.Generate(t, clip)
			media, err := tools.Probe(t.Context(), open(t, path))
			if err != nil {
				t.Fatal(err)
			}
			v := media.Video[0]
			var times, keys []int64
			_, err = tools.Analyse(t.Context(), Command{Input: open(t, path), Dir: t.TempDir()},
				Analysis{Stream: v.Index, TimeBase: v.TimeBase, Picture: sdr(v.Width, v.Height), Width: 32, Height: 18, Exact: true, Threads: 2},
				func(pts int64, _ []byte) error { times = append(times, pts); return nil })
			if err != nil {
				t.Fatal(err)
			}
			if err := tools.Index(t.Context(), open(t, path), v.Index, func(p Packet) error {
				if p.Key && p.HasPTS {
					keys = append(keys, p.PTS)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(times) != 200 {
				t.Fatalf("got %d frames, want 200", len(times))
			}
			for _, first := range []int{0, 47, 96, 131} {
				const count = 60
				unit := Unit{
					Stream: v.Index, TimeBase: v.TimeBase, Picture: sdr(v.Width, v.Height), From: times[first], To: times[first+count] + 1,
					Origin: times[0], FrameRate: timebase.R(25, 1), First: int64(first), Count: count,
					Outputs: []Output{rung("big.mp4", 320, 180, 0, 25), rung("small.mp4", 160, 90, 0, 25)},
				}
				for _, key := range keys {
					if key <= unit.From {
						at := key + media.SeekShift(&v)
						unit.Seek = &at
					}
				}
				dir := t.TempDir()
				if _, err := tools.Encode(t.Context(), Command{Input: open(t, path), Dir: dir}, unit); err != nil {
					t.Fatal(err)
				}
				for _, out := range unit.Outputs {
					got := numbers(t, tools, filepath.Join(dir, out.File))
					for i := range max(count, len(got)) {
						if i >= len(got) || got[i] != first+i {
							t.Errorf("unit at %d, %s: got pictures %v, want %d to %d", first, out.File, got, first, first+count-1)
							break
						}
					}
				}
			}
		})
	}
}

// A repeated unit is the same to the byte, and a killed child is worth another try.
func TestEncodeIsRepeatable(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	path := testkit.Generate(t, testkit.Pattern(640, 360, "25", 3))
	unit := Unit{
		TimeBase: timebase.R(1, 12800), Picture: sdr(640, 360), To: 1 << 40, FrameRate: timebase.R(25, 1), Count: 50,
		Outputs: []Output{rung("a.mp4", 640, 360, 0, 20), rung("b.mp4", 320, 180, 0, 20)},
	}
	for _, codec := range []string{"h264", "hevc", "av1"} {
		if !tools.HasEncoder(EncoderFor(codec)) {
			t.Skipf("no %s: what it makes is not compared", EncoderFor(codec))
		}
		var sums []string
		for range 2 {
			dir := t.TempDir()
			for i := range unit.Outputs {
				unit.Outputs[i].Codec = codec
			}
			if _, err := tools.Encode(t.Context(), Command{Input: open(t, path), Dir: dir, Limits: proc.Limits{Memory: 4 << 30}}, unit); err != nil {
				t.Fatal(err)
			}
			hash := sha256.New()
			for _, out := range unit.Outputs {
				file, err := os.Open(filepath.Join(dir, out.File))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(hash, file); err != nil {
					t.Fatal(err)
				}
				file.Close()
			}
			sums = append(sums, fmt.Sprintf("%x", hash.Sum(nil)))
		}
		if sums[0] != sums[1] {
			t.Errorf("%s: two runs of one unit differ", codec)
		}
	}
}

// ITU-R BS.2217's relative gate test reads −10.0 LKFS, and a track brought to
// −23 reads that.
func TestLoudness(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	path := testkit.Media(t, "audio/ebu_RelGateTest.wav")
	got, err := tools.MeasureLoudness(t.Context(), Command{Input: open(t, path), Dir: t.TempDir()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.Integrated < -10.1 || got.Integrated > -9.9 {
		t.Errorf("got %.2f LUFS, want -10.0", got.Integrated)
	}
	dir := t.TempDir()
	spec := AudioEncoding{
		TimeBase: timebase.R(1, 48000), Rate: 48000, Channels: 2, Layout: "stereo", Bitrate: 128_000, Gain: -23 - got.Integrated, File: "a.mp4",
	}
	if _, err := tools.EncodeAudio(t.Context(), Command{Input: open(t, path), Dir: dir}, spec); err != nil {
		t.Fatal(err)
	}
	got, err = tools.MeasureLoudness(t.Context(), Command{Input: open(t, filepath.Join(dir, "a.mp4")), Dir: dir}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.Integrated < -23.2 || got.Integrated > -22.8 {
		t.Errorf("after the gain: got %.2f LUFS, want -23.0", got.Integrated)
	}
}

// The limiter keeps true peaks at the ceiling when a gain lifts them above.
func TestLimiter(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	path := testkit.Media(t, "audio/jfk_speech_16k.wav")
	dir := t.TempDir()
	spec := AudioEncoding{
		TimeBase: timebase.R(1, 16000), Rate: 48000, Channels: 1, Layout: "mono", Bitrate: 128_000, Gain: 14, Limit: true, File: "a.mp4",
	}
	if _, err := tools.EncodeAudio(t.Context(), Command{Input: open(t, path), Dir: dir}, spec); err != nil {
		t.Fatal(err)
	}
	got, err := tools.MeasureLoudness(t.Context(), Command{Input: open(t, filepath.Join(dir, "a.mp4")), Dir: dir}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.TruePeak > -0.3 {
		t.Errorf("got a true peak of %.2f dBTP, want about -1.5 and never near full scale", got.TruePeak)
	}
}

// The loudness meter reads lines in any pieces, and nothing that is not a number.
func TestLoudnessMeter(t *testing.T) {
	t.Parallel()
	text := "frame:1 pts:0\nlavfi.r128.I=-31.5\nlavfi.r128.true_peaks_ch0=0.5\nlavfi.r128.I=nan\nlavfi.r128.true_peaks_ch1=0.25\nlavfi.r128.LRA=3.1\n"
	for size := 1; size < len(text); size++ {
		meter := loudnessMeter{found: Loudness{Integrated: silence, TruePeak: silence}}
		for rest := []byte(text); len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := meter.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if meter.found.Integrated != -31.5 || meter.found.Range != 3.1 || meter.found.TruePeak > -6.02 || meter.found.TruePeak < -6.03 {
			t.Fatalf("pieces of %d: got %+v", size, meter.found)
		}
	}
	if _, err := (&loudnessMeter{}).Write(bytes.Repeat([]byte("x"), 5000)); err == nil {
		t.Error("a line without end: got no error")
	}
}

// FuzzFramecrcTime reads what ffmpeg writes; it is a child that hostile bytes
// may have taken over.
func FuzzFramecrcTime(f *testing.F) {
	f.Add([]byte("0,          8,          8,        1,      576, 0x0b387933"))
	f.Add([]byte(",,,"))
	f.Fuzz(func(t *testing.T, line []byte) {
		pts, err := framecrcTime(line)
		if err != nil && pts != 0 {
			t.Errorf("%q: got %d with an error", line, pts)
		}
	})
}

// Tone mapping in strips gives what it gives in one: two levels, which is what
// dithering may do, are the most that a sample is off, and pictures keep their times.
func TestStripsShowNoSeams(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	whole := toneMap(Colour{Primaries: "bt2020", Transfer: "smpte2084", Matrix: "bt2020nc"})
	graph := chain("0:0", []string{"split=2"}, "a", "b") + ";" + chain("a", whole, "whole") + ";" + chain("b", inStrips(whole, 1080), "parted")
	var made [2]bytes.Buffer
	run := Command{Input: open(t, testkit.Media(t, "hdr/roof_hdr10_1080p_1s.mp4")), Pipes: []io.Writer{&made[0], &made[1]}}
	run.Args = append(tools.inputArgs(readOptions{threads: 1}), "-filter_complex_threads", "1", "-filter_complex", graph)
	for i, label := range []string{"whole", "parted"} {
		run.Args = append(append(run.Args, "-map", "["+label+"]", "-frames:v", "2"), tools.passthrough()...)
		run.Args = append(run.Args, "-c:v", "rawvideo", "-f", "rawvideo", PipeURL(i))
	}
	if _, err := tools.Run(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	a, b := made[0].Bytes(), made[1].Bytes()
	if len(a) != 2*1920*1080*3/2 || len(b) != len(a) {
		t.Fatalf("%d and %d bytes", len(a), len(b))
	}
	for i, v := range a {
		if d := int(v) - int(b[i]); d < -2 || d > 2 {
			t.Fatalf("sample %d is %d in strips and %d in one", i, b[i], v)
		}
	}
}
