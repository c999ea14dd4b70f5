package transcode

import (
	"bytes"
	"errors"
	"image/jpeg"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/av/pixel"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/testkit"
)

func TestStretches(t *testing.T) {
	t.Parallel()
	everySecond := make([]int64, 10000)
	for i := range everySecond {
		everySecond[i] = int64(i) * 1000
	}
	tests := []struct {
		name    string
		closed  []int64
		seconds float64
		workers int
		want    []int64 // where they begin, without the first
	}{
		{"nowhere to cut", nil, 60, 2, nil},
		{"one worker", everySecond, 60, 1, nil},
		{"short", everySecond, 20, 4, nil},
		{"two", everySecond, 60, 2, []int64{30000}},
		{"no more than are worth it", everySecond, 50, 8, []int64{17000, 33000}},
		{"long", everySecond, 900, 2, []int64{225000, 450000, 675000}},
		{"one key", []int64{0}, 60, 2, nil},
		{"keys far apart", []int64{0, 50000}, 60, 4, []int64{50000}},
		{"a clock that begins anywhere", []int64{7000, 36000, 80000}, 60, 2, []int64{36000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &plan{timeBase: timebase.R(1, 1000), closed: tt.closed}
			got := p.stretches(tt.seconds, tt.workers)
			if got[0].from != nil || got[len(got)-1].to != nil {
				t.Error("the first does not begin at the beginning, or the last does not end at the end")
			}
			var from []int64
			for i, s := range got[1:] {
				from = append(from, *s.from)
				if end := got[i].to; end == nil || *end != *s.from+400 {
					t.Errorf("stretch %d does not go on 0.4 s beyond the start of the next", i)
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
	} {
		found.add(p)
	}
	if !slices.Equal(found.keys, []int64{0, 6, 8}) || !slices.Equal(found.closed, []int64{0, 8}) || found.loose {
		t.Errorf("got keys %v, closed %v, loose %v, want 0 6 8, 0 8, false", found.keys, found.closed, found.loose)
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
	for name, data := range map[string][]byte{lumaName: luma, tilesName: tiles} {
		if err := os.WriteFile(filepath.Join(s.folder, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeTimes(filepath.Join(s.folder, timesName), times); err != nil {
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
			if err := meet(list); errors.Is(err, errApart) != tt.apart || (err != nil) != tt.apart {
				t.Errorf("got %v, want apart %v", err, tt.apart)
			}
		})
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
		{"closed", "closed.mp4", "keyint=50", true, false},
		{"open", "open.mp4", "keyint=50:open-gop=1:bframes=3:b-adapt=0:scenecut=0", false, false},
		{"random access that is none", "refresh.mkv", "keyint=50:intra-refresh=1:bframes=0", true, true},
		{"matroska", "closed.mkv", "keyint=50", true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clip := testkit.Generate(t, testkit.Clip{Name: "stretches-" + tt.file, Args: []string{
				"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=32",
				"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-x264-params", tt.x264,
			}})
			var log bytes.Buffer
			analysed := func(workers int) (*job, []byte) {
				source, err := OpenFile(clip)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { source.Close() })
				options := DefaultOptions()
				options.Workers = workers
				service := &Service{Tools: tools, Log: slog.New(slog.NewTextHandler(&log, nil))}
				j, err := service.newJob(source, options)
				if err != nil {
					t.Fatal(err)
				}
				if j.work, err = openWorkdir(filepath.Join(t.TempDir(), "out")); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { j.close(); j.work.close() })
				if err := j.look(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := j.makePlan(t.Context()); err != nil {
					t.Fatal(err)
				}
				luma, err := os.ReadFile(filepath.Join(j.analysis.folder, lumaName))
				if err != nil {
					t.Fatal(err)
				}
				return j, luma
			}
			whole, wholeLuma := analysed(1)
			split, splitLuma := analysed(2)
			if got := len(split.plan.stretches(32, 2)) > 1; got != tt.cut {
				t.Errorf("cut %v, want %v", got, tt.cut)
			}
			if got := strings.Contains(log.String(), "made again"); got != tt.again {
				t.Errorf("made again in one stretch: %v, want %v", got, tt.again)
			}
			if len(whole.analysis.Times) != 800 || !slices.Equal(whole.analysis.Times, split.analysis.Times) || !bytes.Equal(wholeLuma, splitLuma) {
				t.Errorf("got %d pictures in one, %d in stretches, want 800, the same", len(whole.analysis.Times), len(split.analysis.Times))
			}
			for _, name := range []string{analysisName, "sprite-00001.jpg"} {
				a, errA := os.ReadFile(filepath.Join(whole.analysis.folder, name))
				b, errB := os.ReadFile(filepath.Join(split.analysis.folder, name))
				if errA != nil || errB != nil || !bytes.Equal(a, b) {
					t.Errorf("%s is another (%v, %v)", name, errA, errB)
				}
			}
			if names, err := os.ReadDir(split.work.units()); err != nil || len(names) != 1 {
				t.Errorf("%d results are left (%v), want only the analysis", len(names), err)
			}
		})
	}
}
