package compare

import (
	"bytes"
	"image/jpeg"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/testkit"
	"liuyun/internal/video/compare/report"
)

// makeEncode makes a worse copy of a clip.
func makeEncode(t *testing.T, clip, out string, args ...string) {
	t.Helper()
	args = append([]string{"-v", "error", "-y", "-i", clip, "-an", "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1"}, append(args, out)...)
	if text, err := exec.Command(testkit.FFmpeg(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func tools(t *testing.T) *ffmpeg.Tools {
	t.Helper()
	testkit.FFmpeg(t)
	found, err := ffmpeg.Find(t.Context(), ffmpeg.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// compareFiles compares files of a folder.
func compareFiles(t *testing.T, s Service, o Options, reference string, names ...string) (*report.Data, error) {
	t.Helper()
	scratch := t.TempDir()
	base, err := Reference(reference)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	encodes, err := Encodes(t.Context(), names, scratch)
	if err != nil {
		return nil, err
	}
	defer CloseAll(encodes)
	return s.Compare(t.Context(), base, encodes, scratch, o)
}

// Numbers are those of ffmpeg's own filters, frames are paired by their times, and
// the shots are where they were made.
func TestCompare(t *testing.T) {
	t.Parallel()
	s := Service{Tools: tools(t)}
	folder := t.TempDir()
	clip := testkit.Generate(t, testkit.Numbered("25", 60, 30))
	good, bad, half := filepath.Join(folder, "good.mp4"), filepath.Join(folder, "bad.mkv"), filepath.Join(folder, "half.ts")
	makeEncode(t, clip, good, "-crf", "20", "-bf", "2")
	makeEncode(t, clip, bad, "-crf", "40", "-g", "10")
	makeEncode(t, clip, half, "-crf", "30", "-vf", "scale=iw/2:ih/2")
	last := 0.0
	s.OnProgress = func(_ string, share float64) { last = share }
	d, err := compareFiles(t, s, Options{Every: 1, Moments: 3}, clip, good, bad, half)
	if err != nil {
		t.Fatal(err)
	}
	if last < 0.999 {
		t.Errorf("progress ended at %v", last)
	}
	if len(d.Shots) != 2 || math.Abs(d.Shots[1].Start-1.2) > 0.001 || math.Abs(d.Shots[1].End-2.4) > 0.001 {
		t.Errorf("shots %+v", d.Shots)
	}
	for i, want := range []int{60, 60, 60} {
		if got := len(d.Encodes[i].Line); got != want {
			t.Errorf("%s: %d frames compared, want %d", d.Encodes[i].Name, got, want)
		}
		sum := int64(0)
		for _, shot := range d.Encodes[i].Shots {
			sum += shot.Bytes
		}
		if sum != d.Encodes[i].Bytes || sum == 0 {
			t.Errorf("%s: shots have %d bytes of %d", d.Encodes[i].Name, sum, d.Encodes[i].Bytes)
		}
	}
	for i, name := range []string{good, bad} {
		if want, got := peerPSNR(t, clip, name), d.Encodes[i].Scores[1].Mean; math.Abs(got-want) > 0.02 {
			t.Errorf("%s: PSNR %.3f, ffmpeg says %.3f", name, got, want)
		}
	}
	if a, b := d.Encodes[0].Scores, d.Encodes[1].Scores; a[0].Mean <= b[0].Mean || a[2].Mean <= b[2].Mean {
		t.Errorf("the good one has %+v, the bad one %+v", a, b)
	}
	if len(d.Moments) != 3 {
		t.Fatalf("%d moments", len(d.Moments))
	}
	for _, m := range d.Moments {
		for i, data := range m.Pictures {
			picture, err := jpeg.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if size := picture.Bounds().Size(); size.X != d.Reference.Width || size.Y != d.Reference.Height {
				t.Errorf("picture %d has %v pixels", i, size)
			}
		}
	}
	if err := report.Write(&bytes.Buffer{}, d); err != nil {
		t.Error(err)
	}
}

// peerPSNR is the mean luma PSNR that ffmpeg's filter finds.
func peerPSNR(t *testing.T, reference, name string) float64 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "psnr.log")
	command := exec.Command(testkit.FFmpeg(t), "-v", "error", "-i", name, "-i", reference, "-lavfi", "[0:v][1:v]psnr=stats_file="+out, "-f", "null", "-")
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	sum, n := 0.0, 0.0
	for _, found := range regexp.MustCompile(`psnr_y:(\S+)`).FindAllSubmatch(text, -1) {
		value, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		sum, n = sum+min(100, value), n+1
	}
	return sum / n
}

// What is the same has nothing wrong with it; a sample has the same frames.
func TestCompareSampled(t *testing.T) {
	t.Parallel()
	s := Service{Tools: tools(t)}
	clip := testkit.Generate(t, testkit.Numbered("25", 20))
	d, err := compareFiles(t, s, Options{Every: 7}, clip, clip)
	if err != nil {
		t.Fatal(err)
	}
	e := d.Encodes[0]
	if len(e.Line) != 3 || math.Abs(e.Line[1].Time-0.28) > 1e-6 || e.Scores[0].Worst != 100 || e.Scores[2].Worst < 0.99999 {
		t.Errorf("%d frames, %+v", len(e.Line), e)
	}
}

// Folders stand for what is in them, and what belongs together is a group.
func TestFolders(t *testing.T) {
	t.Parallel()
	folder, scratch := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("plain/b.mp4", "b")
	write("plain/a.MKV", "a")
	write("plain/notes.txt", "n")
	write("made/report.json", `{"renditions":[{"id":"h264-360p","codec":"h264","playlist":"video/h264-360p/media.m3u8"},{"id":"hevc-360p","codec":"hevc","playlist":"video/hevc-360p/media.m3u8"}]}`)
	for _, id := range []string{"h264-360p", "hevc-360p"} {
		write("made/video/"+id+"/init.mp4", "init ")
		write("made/video/"+id+"/00002.m4s", "two")
		write("made/video/"+id+"/00001.m4s", "one ")
	}
	write("evil/report.json", `{"renditions":[{"id":"x","codec":"h264","playlist":"../plain/media.m3u8"}]}`)
	write("short/report.json", `{"renditions":[{"id":"x","codec":"h264","playlist":"video/x/media.m3u8"}]}`)
	write("sound/report.json", `{"renditions":[]}`)
	write("broken/report.json", `{"renditions":[`)
	write("empty/notes.txt", "n")
	at := func(name string) string { return filepath.Join(folder, name) }
	all, err := Encodes(t.Context(), []string{at("plain"), at("made"), at("plain/b.mp4")}, scratch)
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(all)
	want := [][3]string{
		{"plain/a", "plain", "a"}, {"plain/b", "plain", "b"},
		{"made/h264-360p", "made h264", "init one two"}, {"made/hevc-360p", "made hevc", "init one two"}, {"b.mp4", "", "b"},
	}
	for i, e := range all {
		text, err := os.ReadFile(e.File.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got := [3]string{e.Name, e.Group, string(text)}; got != want[i] {
			t.Errorf("got %q, want %q", got, want[i])
		}
	}
	for name, code := range map[string]fault.Code{
		"evil": fault.Invalid, "short": fault.Invalid, "sound": fault.Invalid, "broken": fault.Invalid, "empty": fault.Invalid, "none": fault.NotFound,
	} {
		if all, err := Encodes(t.Context(), []string{at(name)}, scratch); fault.CodeOf(err) != code || len(all) > 0 {
			t.Errorf("%s: %d entries, error %v", name, len(all), err)
		}
	}
	if _, err := Reference(at("plain")); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("a folder as the reference: %v", err)
	}
	same, err := Encodes(t.Context(), []string{at("plain/b.mp4"), at("plain/../plain/b.mp4")}, scratch)
	if err != nil || same[0].Name != filepath.Clean(at("plain/b.mp4")) {
		t.Errorf("names %v: %v", same[0].Name, err)
	}
	CloseAll(same)
}

// Films larger than the box are compared in it, others at their own size.
func TestBox(t *testing.T) {
	t.Parallel()
	s := Service{Tools: tools(t)}
	clip := testkit.Generate(t, testkit.Numbered("25", 20))
	worse := filepath.Join(t.TempDir(), "worse.mp4")
	makeEncode(t, clip, worse, "-crf", "35")
	score := func(o Options) float64 {
		o.Every = 5
		d, err := compareFiles(t, s, o, clip, worse)
		if err != nil {
			t.Fatal(err)
		}
		return d.Encodes[0].Scores[1].Mean
	}
	whole, roomy, small := score(Options{}), score(Options{Box: 640}), score(Options{Box: 320})
	if roomy != whole || small == whole {
		t.Errorf("PSNR %.3f, in a box that has room %.3f, in a small one %.3f", whole, roomy, small)
	}
}
