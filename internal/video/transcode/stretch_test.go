package transcode

import (
	"bytes"
	"crypto/sha256"
	"image/jpeg"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/av/pixel"
	"liuyun/internal/av/scene"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/testkit"
)

func TestStretches(t *testing.T) {
	t.Parallel()
	packets := func(count int, step int64, keyEvery int) *randomAccess {
		r := &randomAccess{}
		for i := range count {
			r.add(ffmpeg.Packet{PTS: int64(i) * step, HasPTS: true, Key: i%keyEvery == 0})
		}
		return r
	}
	loose := packets(2500, 40, 25)
	loose.loose = true
	later := packets(2500, 40, 25)
	for _, list := range [][]int64{later.times, later.keys, later.closed} {
		for i := range list {
			list[i] += 7013
		}
	}
	wild := packets(2500, 40, 25)
	wild.times[100] = 1 << 61
	tests := []struct {
		name    string
		packets *randomAccess
		want    []int64 // where they begin, without the first
	}{
		{"nothing", &randomAccess{}, nil},
		{"one picture", packets(1, 40, 1), nil},
		{"short", packets(1400, 40, 25), nil},
		{"a minute", packets(1575, 40, 25), []int64{31000}},
		{"long", packets(3775, 40, 25), []int64{30000, 60000, 91000, 121000}},
		{"one key picture", packets(2500, 40, 2500), nil},
		{"keys far apart", packets(2500, 40, 1250), []int64{50000}},
		{"a clock that begins anywhere", later, []int64{7013 + 33000, 7013 + 67000}},
		{"times missing", loose, nil},
		{"times that make no sense", wild, nil},
		{"two pictures a second", packets(200, 500, 2), []int64{33000, 66000}},
		{"a picture every five seconds", packets(100, 5000, 1), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := tt.packets.stretches(timebase.R(1, 1000))
			if got[0].from != nil || got[len(got)-1].to != nil {
				t.Error("the first does not begin at the beginning, or the last does not end at the end")
			}
			var from []int64
			for i, s := range got[1:] {
				from = append(from, *s.from)
				step := tt.packets.times[1] - tt.packets.times[0]
				if end := got[i].to; end == nil || *end != *s.from+stretchOverlap*step {
					t.Errorf("stretch %d does not go on for %d pictures of the next", i, stretchOverlap)
				}
			}
			if diff := cmp.Diff(tt.want, from); diff != "" {
				t.Errorf("stretches begin elsewhere (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRandomAccess(t *testing.T) {
	t.Parallel()
	packet := func(pts int64, key bool) ffmpeg.Packet { return ffmpeg.Packet{PTS: pts, HasPTS: true, Key: key} }
	var found randomAccess
	for _, p := range []ffmpeg.Packet{
		packet(0, true), packet(3, false), packet(1, false), packet(2, false),
		packet(6, true), packet(4, false), packet(5, false), packet(7, false), // pictures before it follow it
		packet(8, true), packet(9, false),
		packet(20, true), packet(30, true), packet(40, true), packet(25, false), // after two of them
		packet(50, true), packet(45, true), packet(60, true),
	} {
		found.add(p)
	}
	if want := []int64{0, 6, 8, 20, 30, 40, 50, 45, 60}; !slices.Equal(found.keys, want) {
		t.Errorf("got keys %v, want %v", found.keys, want)
	}
	if want := []int64{0, 8, 20, 45, 60}; !slices.Equal(found.closed, want) || found.loose {
		t.Errorf("got closed %v, loose %v, want %v, false", found.closed, found.loose, want)
	}
	found.add(ffmpeg.Packet{})
	if !found.loose {
		t.Error("a packet without a time was not noticed")
	}
}

// drawn writes a stretch whose pictures are of one level each, and a tile for
// each of its tiles.
func drawn(t *testing.T, s stretch, times []int64, level func(pts int64) byte, spec *ffmpeg.Tiles) *stretch {
	t.Helper()
	s.folder = t.TempDir()
	var luma, tiles []byte
	before := int64(-1) << 62
	for _, pts := range times {
		luma = append(luma, slices.Repeat([]byte{level(pts)}, pixel.Size)...)
		if slot := spec.Slot(pts, timebase.R(1, 1000)); slot > before {
			before = slot
			tiles = append(tiles, slices.Repeat([]byte{level(pts)}, spec.Width*spec.Height)...)
			tiles = append(tiles, slices.Repeat([]byte{128}, spec.Width*spec.Height/2)...)
		}
	}
	for name, data := range map[string][]byte{lumaName: luma, tilesName: tiles, looksName: nil, framesName: make([]byte, scene.FrameBytes*len(times))} {
		if err := os.WriteFile(filepath.Join(s.folder, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeNumbers(filepath.Join(s.folder, timesName), times); err != nil {
		t.Fatal(err)
	}
	return &s
}

// everyTick is times from one, below another, a step apart.
func everyTick(from, to, step int64) (times []int64) {
	for at := from; at < to; at += step {
		times = append(times, at)
	}
	return times
}

func TestStretchesMeet(t *testing.T) {
	t.Parallel()
	spec := &ffmpeg.Tiles{Interval: timebase.R(1, 1), Width: 4, Height: 2}
	level := func(pts int64) byte { return byte(pts / 40) }
	from, to := int64(2000), int64(2400)
	good := everyTick(2000, 4000, 40)
	tests := []struct {
		name   string
		first  stretch
		times  []int64
		second func(pts int64) byte
		apart  bool
	}{
		{"as it should be", stretch{}, good, level, false},
		{"another picture", stretch{}, good, func(pts int64) byte { return level(pts) + byte(btoi(pts == 2160)) }, true},
		{"begins later", stretch{}, good[1:], level, true},
		{"lacks one", stretch{}, slices.Delete(slices.Clone(good), 3, 4), level, true},
		{"the first ends early", stretch{Ends: "broken"}, good, level, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.first.to = &to
			list := []*stretch{
				drawn(t, tt.first, everyTick(0, 2400, 40), level, spec),
				drawn(t, stretch{from: &from}, tt.times, tt.second, spec),
			}
			apart, err := joints(list)
			if err != nil {
				t.Fatal(err)
			}
			if want := []bool{false, tt.apart}; !slices.Equal(apart, want) {
				t.Errorf("got apart %v, want %v", apart, want)
			}
		})
	}
}

func TestFuse(t *testing.T) {
	t.Parallel()
	var list []*stretch
	for i := range int64(6) {
		from, to := 10*i, 10*i+12
		list = append(list, &stretch{from: &from, to: &to})
	}
	list[0].from, list[5].to = nil, nil
	fused := fuse(list, []bool{false, false, true, true, false, true})
	var got [][2]int64
	for _, s := range fused {
		ends := [2]int64{-1, -1}
		if s.from != nil {
			ends[0] = *s.from
		}
		if s.to != nil {
			ends[1] = *s.to
		}
		got = append(got, ends)
	}
	want := [][2]int64{{-1, 12}, {10, 42}, {40, -1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stretches (-want +got):\n%s", diff)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestSheets(t *testing.T) {
	t.Parallel()
	board := &storyboard{Seconds: 1, Width: 16, Height: 16, Columns: 2, Rows: 2}
	spec := board.spec(0, timebase.R(1, 1000))
	level := func(pts int64) byte { return byte(16 + pts/40) } // of the middle of each second: 29, 54, …
	from, to := int64(2000), int64(2400)
	folder := t.TempDir()
	maker := newSheetMaker(folder, board, spec, timebase.R(1, 1000))
	first := drawn(t, stretch{to: &to}, everyTick(0, 2400, 40), level, spec)
	// The second has no picture between 4 and 6 s.
	second := drawn(t, stretch{from: &from}, append(everyTick(2000, 4000, 40), everyTick(6000, 6600, 40)...), level, spec)
	if err := maker.add(first, from); err != nil {
		t.Fatal(err)
	}
	if err := maker.add(second, 1<<62); err != nil {
		t.Fatal(err)
	}
	sheets, err := maker.finish()
	if err != nil || sheets != 2 {
		t.Fatalf("got %d sheets (%v), want 2", sheets, err)
	}
	at := func(second int) int64 { return int64(second)*1000 + 520 } // the first picture after the middle
	want := [][]byte{
		{level(at(0)), level(at(1)), level(at(2)), level(at(3))},
		{level(at(3)), level(6000), level(at(6)), 0}, // held where there is none; black after the end
	}
	for n, cells := range want {
		file, err := os.Open(filepath.Join(folder, []string{"sprite-00001.jpg", "sprite-00002.jpg"}[n]))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		picture, err := jpeg.Decode(file)
		if err != nil {
			t.Fatal(err)
		}
		for cell, want := range cells {
			red, _, _, _ := picture.At(cell%2*16+8, cell/2*16+8).RGBA()
			if got := int(red >> 8); got < int(want)-2 || got > int(want)+2 {
				t.Errorf("sheet %d cell %d: got level %d, want %d", n+1, cell, got, want)
			}
		}
	}
}

func TestPosterFinder(t *testing.T) {
	t.Parallel()
	flat := func(level byte) pixel.Signature { return slices.Repeat(pixel.Signature{level}, pixel.Size) }
	checked := func(low, high byte) pixel.Signature {
		s := flat(low)
		for i := 0; i < len(s); i += 2 {
			s[i] = high
		}
		return s
	}
	tests := []struct {
		name     string
		pictures []pixel.Signature // a second apart
		keys     []int64
		want     int
	}{
		{"contrast", []pixel.Signature{flat(100), checked(90, 130), checked(50, 180)}, nil, 2},
		{"not in the dark", []pixel.Signature{checked(0, 50), checked(80, 120)}, nil, 1},
		{"early among equals", []pixel.Signature{checked(80, 160), checked(80, 160)}, nil, 0},
		{"near a key picture", []pixel.Signature{flat(100), flat(100), flat(100), checked(80, 158), checked(80, 160), checked(80, 159)}, []int64{0, 5000}, 5},
		{"a far one that is much better", []pixel.Signature{checked(99, 101), checked(99, 101), checked(40, 200)}, []int64{0}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			finder := posterFinder{keys: tt.keys, timeBase: timebase.R(1, 1000)}
			for i, s := range tt.pictures {
				finder.add(int64(i)*time.Second.Milliseconds(), s)
			}
			if got := finder.best(); got != tt.want {
				t.Errorf("got picture %d, want %d", got, tt.want)
			}
		})
	}
}

// The analysis of a source in stretches is that of the source in one.
func TestAnalysisInStretches(t *testing.T) {
	t.Parallel()
	testkit.FFmpeg(t)
	tools, err := ffmpeg.Find(t.Context(), ffmpeg.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, file, x264 string
		cut, again       bool // in stretches, then again in one
	}{
		{"closed", "closed.mp4", "keyint=20", true, false},
		{"open", "open.mp4", "keyint=20:open-gop=1:bframes=3:b-adapt=0:scenecut=0", false, false},
		{"random access that is none", "refresh.mkv", "keyint=20:intra-refresh=1:bframes=0", true, true},
		{"matroska", "closed.mkv", "keyint=20", true, false},
		{"transport stream", "closed.ts", "keyint=20", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clip := testkit.Generate(t, testkit.Clip{Name: "stretches-" + tt.file, Args: []string{
				"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10:duration=64",
				"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-x264-params", tt.x264,
			}})
			var log bytes.Buffer
			analysed := func(cut bool) (*job, []byte) {
				source, err := OpenFile(clip)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { source.Close() })
				service := &Service{Tools: tools, Log: slog.New(slog.NewTextHandler(&log, nil))}
				j, err := service.newJob(source, DefaultOptions())
				if err != nil {
					t.Fatal(err)
				}
				if j.work, err = openWorkdir(filepath.Join(t.TempDir(), "out")); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { j.close(); j.work.close() })
				j.plan = &plan{}
				if err := j.look(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := j.readKeys(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := len(j.plan.stretches) > 1; got != tt.cut {
					t.Errorf("cut %v, want %v", got, tt.cut)
				}
				if !cut {
					j.plan.stretches = []*stretch{{}}
				}
				if err := j.planAnalysed(t.Context()); err != nil {
					t.Fatal(err)
				}
				luma, err := os.ReadFile(filepath.Join(j.analysis.folder, lumaName))
				if err != nil {
					t.Fatal(err)
				}
				return j, luma
			}
			whole, wholeLuma := analysed(false)
			split, splitLuma := analysed(true)
			if got := strings.Contains(log.String(), "do not fit together"); got != tt.again {
				t.Errorf("decoded again as one: %v, want %v", got, tt.again)
			}
			if len(whole.analysis.Times) != 640 || !slices.Equal(whole.analysis.Times, split.analysis.Times) || !bytes.Equal(wholeLuma, splitLuma) {
				t.Errorf("got %d pictures in one, %d in stretches, want 640, the same", len(whole.analysis.Times), len(split.analysis.Times))
			}
			for _, name := range []string{analysisName, "sprite-00001.jpg"} {
				a, errA := os.ReadFile(filepath.Join(whole.analysis.folder, name))
				b, errB := os.ReadFile(filepath.Join(split.analysis.folder, name))
				if errA != nil || errB != nil || !bytes.Equal(a, b) {
					t.Errorf("%s is another (%v, %v)", name, errA, errB)
				}
			}
		})
	}
}

// What becomes of a damaged source does not depend on the number of cores.
func TestDamagedSourceOnManyCores(t *testing.T) {
	t.Parallel()
	testkit.FFmpeg(t)
	tools, err := ffmpeg.Find(t.Context(), ffmpeg.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	clip := testkit.Generate(t, testkit.Clip{Name: "damaged.mp4", Args: []string{
		"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10:duration=95",
		"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "20", "-movflags", "+faststart",
	}})
	data, err := os.ReadFile(clip)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.mp4")
	for at := len(data) / 2; at < len(data)/2+20_000; at += 7 {
		data[at] ^= 0x5a
	}
	if err := os.WriteFile(broken, data, 0o644); err != nil {
		t.Fatal(err)
	}
	results := make(map[int]map[string][sha256.Size]byte)
	for _, workers := range []int{1, 3} {
		source, err := OpenFile(broken)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		options := DefaultOptions()
		options.Workers, options.Preset = workers, "ultrafast"
		root := filepath.Join(t.TempDir(), "out")
		report, err := (&Service{Tools: tools}).Encode(t.Context(), source, root, options)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(report.Warnings, func(w Warning) bool { return w.Code == "damaged" }) {
			t.Errorf("got warnings %v, want one of damage", report.Warnings)
		}
		files := make(map[string][sha256.Size]byte)
		err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			files[strings.TrimPrefix(path, root)] = sha256.Sum256(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		results[workers] = files
	}
	if diff := cmp.Diff(results[1], results[3]); diff != "" {
		t.Errorf("one and three workers make different results (-one +three):\n%s", diff)
	}
}
