package testkit

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spy records what a helper does to the test that calls it.
type spy struct {
	testing.TB
	outcome string
}

func (s *spy) Helper() {}
func (s *spy) Skipf(string, ...any) {
	s.outcome = "skipped"
	panic(s)
}
func (s *spy) Fatalf(string, ...any) {
	s.outcome = "failed"
	panic(s)
}
func (s *spy) Errorf(string, ...any) { s.outcome = "failed" }

func outcome(t *testing.T, call func(testing.TB)) string {
	s := &spy{TB: t, outcome: "passed"}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(s) {
				panic(r)
			}
		}()
		call(s)
	}()
	return s.outcome
}

func TestMissingProgram(t *testing.T) {
	call := func(t testing.TB) { Program(t, "liuyun-no-such-program") }
	for ci, want := range map[string]string{"": "skipped", "true": "failed"} {
		t.Setenv("CI", ci)
		if got := outcome(t, call); got != want {
			t.Errorf("with CI=%q: %s, want %s", ci, got, want)
		}
	}
}

func TestMedia(t *testing.T) {
	shared := t.TempDir()
	clip := filepath.Join(shared, "media", "talking", "clip.mp4")
	if err := os.MkdirAll(filepath.Dir(clip), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{clip, filepath.Join(shared, "media", "MANIFEST.tsv")} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(sharedEnv, shared)
	if got := Media(t, "talking/clip.mp4"); got != clip {
		t.Errorf("got %s, want %s", got, clip)
	}
	if diff := cmp.Diff([]string{clip}, MediaAll(t, ".")); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if got := outcome(t, func(t testing.TB) { Media(t, "absent.mp4") }); got != "skipped" {
		t.Errorf("absent clip: %s, want skipped", got)
	}
	if got := outcome(t, func(t testing.TB) { MediaAll(t, "absent") }); got != "skipped" {
		t.Errorf("absent folder: %s, want skipped", got)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.golden")
	if err := os.WriteFile(path, []byte("a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"a\n": "passed", "b\n": "failed"} {
		if got := outcome(t, func(t testing.TB) { Golden(t, path, []byte(text)) }); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// gray decodes a clip to 8-bit luma at the given size.
func gray(t *testing.T, path, size string) []byte {
	t.Helper()
	var problems bytes.Buffer
	command := exec.Command(FFmpeg(t), "-loglevel", "error", "-i", path, "-map", "0:v", "-fps_mode", "passthrough",
		"-vf", "scale="+strings.Replace(size, "x", ":", 1), "-pix_fmt", "gray", "-f", "rawvideo", "-")
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, problems.Bytes())
	}
	return out
}

func TestNumberedFramesAreRead(t *testing.T) {
	t.Parallel()
	const frames, width, height = 300, 160, 90
	pictures := gray(t, Generate(t, Numbered("25", frames, 100, 200)), "160x90")
	if got := len(pictures) / (width * height); got != frames {
		t.Fatalf("got %d pictures, want %d", got, frames)
	}
	for i := range frames {
		picture := pictures[i*width*height : (i+1)*width*height]
		if got := FrameNumber(picture, width, width, height); got != i {
			t.Fatalf("picture %d reads as %d", i, got)
		}
	}
}

func TestFlashAndBeepBeginTogether(t *testing.T) {
	t.Parallel()
	const rate, seconds = 25, 3
	path := Generate(t, FlashBeep(rate, seconds))
	pictures := gray(t, path, "2x2")
	for i := range rate * seconds {
		flash := i > 0 && i%rate == 0
		if white := pictures[4*i] > 200; white != flash {
			t.Errorf("picture %d: white is %t, want %t", i, white, flash)
		}
	}
	sound, err := exec.Command(FFmpeg(t), "-loglevel", "error", "-i", path, "-f", "s16le", "-ac", "1", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	onset := -1
	for i := 0; i+1 < len(sound) && onset < 0; i += 2 {
		if math.Abs(float64(int16(sound[i])|int16(sound[i+1])<<8)) > 1000 {
			onset = i / 2
		}
	}
	if onset < 48000 || onset > 48000+48 {
		t.Errorf("the first beep begins at sample %d, want 48000", onset)
	}
}

// What each clip is for can be seen in the file.
func TestClipsAreWhatTheySay(t *testing.T) {
	t.Parallel()
	type stream struct {
		Type   string `json:"codec_type"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
		Rate   string `json:"r_frame_rate"`
		Mean   string `json:"avg_frame_rate"`
		Field  string `json:"field_order"`
		Side   []struct {
			Rotation int `json:"rotation"`
		} `json:"side_data_list"`
	}
	tests := []struct {
		clip  Clip
		check func(video stream) bool
	}{
		{Pattern(320, 180, "30000/1001", 1), func(v stream) bool {
			return v.Width == 320 && v.Height == 180 && v.Rate == "30000/1001" && v.Mean == v.Rate
		}},
		{Variable(2), func(v stream) bool { return v.Rate != v.Mean }},
		{Interlaced(1), func(v stream) bool { return v.Field == "tt" || v.Field == "tb" }},
		{Rotated(1), func(v stream) bool { return len(v.Side) == 1 && v.Side[0].Rotation == -90 }},
	}
	for _, test := range tests {
		t.Run(test.clip.Name, func(t *testing.T) {
			t.Parallel()
			path := Generate(t, test.clip)
			out, err := exec.Command(FFprobe(t), "-v", "error", "-show_streams", "-of", "json", path).Output()
			if err != nil {
				t.Fatal(err)
			}
			var found struct{ Streams []stream }
			if err := json.Unmarshal(out, &found); err != nil {
				t.Fatal(err)
			}
			if len(found.Streams) == 0 || found.Streams[0].Type != "video" || !test.check(found.Streams[0]) {
				t.Errorf("not what it should be: %s", out)
			}
		})
	}
}

func TestNoLeaks(t *testing.T) {
	stop := make(chan struct{})
	leaking := &cleanups{spy: spy{TB: t, outcome: "passed"}}
	NoLeaks(leaking)
	go func() { <-stop }()
	leaking.run()
	close(stop)
	if leaking.outcome != "failed" {
		t.Errorf("a leak: %s, want failed", leaking.outcome)
	}
	NoLeaks(t)
}

// cleanups is a spy whose cleanups run when the test says.
type cleanups struct {
	spy
	all []func()
}

func (c *cleanups) Cleanup(f func())  { c.all = append(c.all, f) }
func (c *cleanups) Error(args ...any) { c.outcome = "failed" }

func (c *cleanups) run() {
	for _, f := range c.all {
		f()
	}
}
