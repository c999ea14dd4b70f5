package quality

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/testkit"
)

func comparer(t *testing.T) *Comparer {
	t.Helper()
	config := ffmpeg.DefaultConfig()
	config.FFmpegPath, config.FFprobePath = testkit.FFmpeg(t), testkit.FFprobe(t)
	tools, err := ffmpeg.Find(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return New(tools)
}

func input(t *testing.T, path string) ffmpeg.Input {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return ffmpeg.Input{File: file}
}

// models are the published ones, as a comparison uses them.
func models(t *testing.T) []Model {
	t.Helper()
	return []Model{
		{"vmaf", testkit.Shared(t, "vmaf/vmaf_v0.6.1.json")},
		{"vmaf_neg", testkit.Shared(t, "vmaf/vmaf_v0.6.1neg.json")},
	}
}

// make runs ffmpeg on a clip: what an encoder would have made of it.
func makeFrom(t *testing.T, in, name string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	all := append([]string{"-hide_banner", "-loglevel", "error", "-nostdin", "-i", in}, append(args, out)...)
	if text, err := exec.CommandContext(t.Context(), testkit.FFmpeg(t), all...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// unpacked are a shared pair of clips and libvmaf's metrics of each frame.
func unpacked(t *testing.T, name string) (ref, dis string, want []map[string]float64) {
	t.Helper()
	folder := t.TempDir()
	for side, path := range map[string]*string{"ref": &ref, "dis": &dis} {
		*path = filepath.Join(folder, side+".y4m")
		if err := os.WriteFile(*path, testkit.Unxz(t, testkit.Shared(t, "vmaf/pairs/"+name+"."+side+".y4m.xz")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log struct {
		Frames []struct {
			Metrics map[string]float64 `json:"metrics"`
		} `json:"frames"`
	}
	data, err := os.ReadFile(testkit.Shared(t, "vmaf/pairs/"+name+".libvmaf.json"))
	if err == nil {
		err = json.Unmarshal(data, &log)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range log.Frames {
		f.Metrics[PSNR] = f.Metrics["psnr_y"]
		want = append(want, f.Metrics)
	}
	return ref, dis, want
}

// compareInputs opens both and compares them.
func compareInputs(t *testing.T, c *Comparer, ref, dis ffmpeg.Input, o Options) (*Report, error) {
	t.Helper()
	reference, err := c.Open(t.Context(), ref)
	if err != nil {
		return nil, err
	}
	other, err := c.Open(t.Context(), dis)
	if err != nil {
		return nil, err
	}
	return c.Compare(t.Context(), reference, other, o)
}

// Through decoders, pipes and workers the numbers are libvmaf's, for all frames
// and for every n-th.
func TestScoresAreLibvmafs(t *testing.T) {
	t.Parallel()
	c := comparer(t)
	ref, dis, want := unpacked(t, "football")
	for _, provider := range []Provider{Own, VMAFProgram, FFmpegLibvmaf} {
		for _, every := range []int{1, 2, 5} {
			t.Run(string(provider)+"/"+strconv.Itoa(every), func(t *testing.T) {
				t.Parallel()
				o := Options{Models: models(t), Also: []string{PSNR, SSIM}, Every: every, Provider: provider, Scratch: t.TempDir()}
				report, err := compareInputs(t, c, input(t, ref), input(t, dis), o)
				if provider != Own && fault.CodeOf(err) == fault.Unavailable {
					t.Skip(err)
				}
				if err != nil {
					t.Fatal(err)
				}
				if report.Provider != provider || report.Width != 640 || report.Height != 360 || report.Depth != 8 || report.Total != len(want) || len(report.Metrics) != 4 {
					t.Errorf("%+v", *report)
				}
				for _, m := range report.Metrics {
					if got, n := len(m.Frames), (len(want)+every-1)/every; got != n {
						t.Fatalf("%s has %d frames, want %d", m.Name, got, n)
					}
					for i, s := range m.Frames {
						if s.Frame != i*every {
							t.Fatalf("score %d is of frame %d, want %d", i, s.Frame, i*every)
						}
						if m.Name == SSIM { // which libvmaf was not asked for
							if s.Value < 0.3 || s.Value > 1 {
								t.Errorf("frame %d: SSIM is %.4f", s.Frame, s.Value)
							}
							continue
						}
						if math.Abs(s.Value-want[s.Frame][m.Name]) > 0.01 {
							t.Errorf("frame %d: %s is %.4f, libvmaf says %.4f", s.Frame, m.Name, s.Value, want[s.Frame][m.Name])
						}
					}
				}
			})
		}
	}
}

// An encode of another size, container and time base is brought to the
// reference, or both to the size that is asked for.
func TestSizesAreAligned(t *testing.T) {
	t.Parallel()
	c := comparer(t)
	ref := testkit.Generate(t, testkit.Pattern(640, 360, "25", 1))
	small := makeFrom(t, ref, "small.mkv", "-an", "-vf", "scale=320:180", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "20")
	same := makeFrom(t, ref, "same.ts", "-an", "-c:v", "copy")
	mean := func(dis string, o Options) float64 {
		report, err := compareInputs(t, c, input(t, ref), input(t, dis), o)
		if err != nil {
			t.Fatal(err)
		}
		if report.Total != 25 || len(report.Metrics[0].Frames) != 25 {
			t.Errorf("%d of %d frames", len(report.Metrics[0].Frames), report.Total)
		}
		return report.Metrics[0].Mean
	}
	if got := mean(same, Options{Provider: XPSNR}); got != sameXPSNR {
		t.Errorf("XPSNR of the same pictures in another container: %g", got)
	}
	half, quarter := mean(small, Options{}), mean(small, Options{Width: 320, Height: 320})
	if half < 15 || half > 60 || quarter <= half {
		t.Errorf("XPSNR of half the size is %.2f, compared there %.2f, which must be more", half, quarter)
	}
}

// What cannot be paired is refused, with words that name the files.
func TestWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	c := comparer(t)
	ref := testkit.Generate(t, testkit.Pattern(320, 180, "25", 1))
	encode := []string{"-an", "-c:v", "libx264", "-preset", "ultrafast"}
	made := func(name string, args ...string) string { return makeFrom(t, ref, name, append(encode, args...)...) }
	for name, dis := range map[string]struct{ path, says string }{
		"a frame less":     {made("short.mp4", "-frames:v", "24"), "25 frames and short.mp4 has 24"},
		"another rate":     {made("rate.mp4", "-r", "30"), "30"},
		"slower":           {made("slow.mp4", "-vf", "setpts=PTS*1.5", "-r", "50/3"), "at"},
		"another shape":    {made("square.mp4", "-vf", "scale=180:180,setsar=1"), "another shape"},
		"no picture":       {makeFrom(t, ref, "sound.m4a", "-vn", "-c:a", "copy"), "no picture"},
		"a cut in between": {made("cut.mp4", "-vf", "select='not(between(n,10,12))'", "-fps_mode", "passthrough"), "22"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reference, err := c.Open(t.Context(), input(t, ref))
			if err != nil {
				t.Fatal(err)
			}
			other, err := c.Open(t.Context(), input(t, dis.path))
			if err == nil {
				err = CheckPair(reference, other)
			}
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("before anything is decoded: %v", err)
			}
			_, err = compareInputs(t, c, input(t, ref), input(t, dis.path), Options{})
			if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), dis.says) {
				t.Errorf("%v, want a fault of %q that says %q", err, fault.Invalid, dis.says)
			}
		})
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	c := comparer(t)
	ref := input(t, testkit.Generate(t, testkit.Pattern(320, 180, "25", 1)))
	broken := filepath.Join(t.TempDir(), "model.json")
	if err := os.WriteFile(broken, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"half a size":            {Width: 100},
		"too small a size":       {Width: 20, Height: 20},
		"an unknown provider":    {Provider: "eyes"},
		"an unknown metric":      {Also: []string{"eyes"}},
		"VMAF without a model":   {Provider: Own},
		"a model that is none":   {Provider: Own, Models: []Model{{"vmaf", broken}}},
		"a model not there":      {Provider: Own, Models: []Model{{"vmaf", broken + "2"}}},
		"fewer than every frame": {Every: -1},
	} {
		_, err := compareInputs(t, c, ref, ref, o)
		if code := fault.CodeOf(err); code != fault.Invalid && code != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A program that ends at once, or scores nothing, ends the comparison too.
func TestProgramsThatDoNotWork(t *testing.T) {
	t.Parallel()
	c := comparer(t)
	ref := testkit.Generate(t, testkit.Pattern(320, 180, "25", 1))
	for name, code := range map[string]fault.Code{"false": fault.Unavailable, "true": fault.Internal} {
		broken := &Comparer{tools: c.tools, program: testkit.Program(t, name)}
		o := Options{Models: models(t), Provider: VMAFProgram, Scratch: t.TempDir()}
		if _, err := compareInputs(t, broken, input(t, ref), input(t, ref), o); fault.CodeOf(err) != code {
			t.Errorf("%s: %v, want a fault of %q", name, err, code)
		}
		if left, err := os.ReadDir(o.Scratch); err != nil || len(left) > 0 {
			t.Errorf("%s left %v behind (%v)", name, left, err)
		}
	}
}

// The best that is there is taken, and what was not built in is not tried.
func TestProviders(t *testing.T) {
	t.Parallel()
	c := &Comparer{tools: &ffmpeg.Tools{}}
	if diff := cmp.Diff([]Provider{XPSNR}, c.Providers(0)); diff != "" {
		t.Errorf("without a model (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Provider{Own, XPSNR}, c.Providers(1)); diff != "" {
		t.Errorf("with a model (-want +got):\n%s", diff)
	}
	c.program = "/usr/bin/vmaf"
	if diff := cmp.Diff([]Provider{VMAFProgram, Own, XPSNR}, c.Providers(1)); diff != "" {
		t.Errorf("with vmaf (-want +got):\n%s", diff)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if got := (Config{}).Models(); got != nil {
		t.Errorf("no models configured: %v", got)
	}
	want := []Model{{"vmaf", "/models/a.json"}, {"vmaf_neg", "/models/b.json"}}
	if diff := cmp.Diff(want, Config{Model: "/models/a.json", NEGModel: "/models/b.json"}.Models()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := (Config{NEGModel: "/models/b.json"}).Validate(); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("NEG alone: %v", err)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	m := Metric{Name: "vmaf"}
	for i := range 21 {
		m.Frames = append(m.Frames, Score{Frame: i, Value: float64(100 - i*5)})
	}
	m.summarise()
	if m.Mean != 50 || m.P5 != 5 || len(m.Worst) != worstFrames || m.Worst[0].Frame != 20 || m.Worst[4].Value != 20 {
		t.Errorf("%+v", m)
	}
	if want := 21/(1+1./6+1./11+1./16+1./21+1./26+1./31+1./36+1./41+1./46+1./51+1./56+1./61+1./66+1./71+1./76+1./81+1./86+1./91+1./96+1./101) - 1; math.Abs(m.Harmonic-want) > 1e-9 {
		t.Errorf("harmonic mean %g, want %g", m.Harmonic, want)
	}
}

// Whatever a child wrote, a log gives scores for the frames asked for or an error.
func FuzzReadLog(f *testing.F) {
	f.Add([]byte(`{"version":"3.2.0","frames":[{"frameNum":0,"metrics":{"m0":1.5}},{"frameNum":2,"metrics":{"m0":2.5}}],"pooled_metrics":{}}`))
	f.Add([]byte(`{"frames":[{"frameNum":1,"metrics":{"m0":1}}]}`))
	f.Add([]byte(`{"frames":{}}`))
	f.Fuzz(func(t *testing.T, log []byte) {
		c := &comparison{every: 2, metrics: []Metric{{Name: "vmaf"}}}
		if err := c.readLog(strings.NewReader(string(log)), []float64{0, 0.1, 0.2}); err == nil {
			if got := c.metrics[0].Frames; len(got) != 2 || got[0].Frame != 0 || got[1].Frame != 2 {
				t.Errorf("%+v", got)
			}
		}
	})
}

// What a comparison is said to need grows with its pictures and with how many are
// scored at once, and is bounded by the box.
func TestMemory(t *testing.T) {
	t.Parallel()
	video := func(width, height int) *Video {
		return &Video{side{video: &ffmpeg.VideoStream{}, picture: ffmpeg.Picture{Width: width, Height: height}}}
	}
	const mb = 1 << 20
	hd := Memory(video(1920, 1080), video(960, 540), Options{Workers: 1})
	if hd < 100*mb || hd > 400*mb {
		t.Errorf("1080p needs %d MB", hd/mb)
	}
	if more := Memory(video(1920, 1080), video(960, 540), Options{Workers: 4}); more <= hd+80*mb {
		t.Errorf("four workers need %d MB, one %d MB", more/mb, hd/mb)
	}
	whole, boxed := Memory(video(7680, 4320), video(3840, 2160), Options{Workers: 1}), Memory(video(7680, 4320), video(3840, 2160), Options{Workers: 1, Width: 3840, Height: 3840})
	if boxed >= whole || boxed < 700*mb || whole > 2000*mb {
		t.Errorf("8K needs %d MB, in a box %d MB", whole/mb, boxed/mb)
	}
}
