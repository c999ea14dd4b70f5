package ffmpeg

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"liuyun/internal/base/fault"
	"liuyun/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// findTools returns the installed tools.
func findTools(t testing.TB) *Tools {
	t.Helper()
	c := DefaultConfig()
	c.FFmpegPath, c.FFprobePath = testkit.FFmpeg(t), testkit.FFprobe(t)
	tools, err := Find(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

// open returns the file as an Input that is closed at the test's end.
func open(t testing.TB, path string) Input {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return Input{File: f}
}

// write makes a file for a test.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for _, name := range []string{"libx264", "aac"} {
		if !tools.HasEncoder(name) {
			t.Errorf("encoder %s: not found", name)
		}
	}
	if tools.HasEncoder("no_such") || tools.HasEncoder("=") || tools.HasFilter("=") {
		t.Error("found an encoder or filter that is not there")
	}
	if !tools.HasFilter("scale") || !tools.HasFilter("bwdif") || !tools.CanDecode("h264") || tools.CanDecode("no_such") {
		t.Error("filters or decoders are misread")
	}
	if !tools.Version.AtLeast(5, 1) {
		t.Errorf("version: got %+v", tools.Version)
	}
	if again := findTools(t); again.Class != tools.Class {
		t.Errorf("class: got %q, then %q", tools.Class, again.Class)
	}
	t.Logf("%s %s %v", tools.Version, tools.Class, tools.Libraries)
}

func TestFindRefuses(t *testing.T) {
	t.Parallel()
	ffmpeg, ffprobe := testkit.FFmpeg(t), testkit.FFprobe(t)
	tests := []struct {
		name   string
		change func(*Config)
		code   fault.Code
		says   string
	}{
		{"missing", func(c *Config) { c.FFmpegPath = "/no/such/ffmpeg" }, fault.Unavailable, "install ffmpeg 5.1 or later"},
		{"another program", func(c *Config) { c.FFprobePath = "/bin/true" }, fault.Unavailable, "ffprobe"},
		{"failing program", func(c *Config) { c.FFmpegPath = "/bin/false" }, fault.Unavailable, "does not work"},
		{"no pixels", func(c *Config) { c.MaxPixels = 0 }, fault.Invalid, "max_pixels"},
		{"no limit", func(c *Config) { c.ProbeLimits.Wall = 0 }, fault.Invalid, "wall limits"},
		{"relative folder", func(c *Config) { c.ReadDirs = []string{"lib"} }, fault.Invalid, "absolute"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := DefaultConfig()
			c.FFmpegPath, c.FFprobePath = ffmpeg, ffprobe
			tt.change(&c)
			_, err := Find(t.Context(), c)
			if got := fault.CodeOf(err); got != tt.code || !strings.Contains(fault.Message(err), tt.says) {
				t.Errorf("got %q: %v, want %q with %q", got, err, tt.code, tt.says)
			}
		})
	}
}

func TestSupportedVersion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want Version
		ok   bool
	}{
		{"ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026\n", Version{5, 1, "5.1.9-0+deb12u1"}, true},
		{"ffmpeg version n7.1 Copyright\n", Version{7, 1, "n7.1"}, true},
		{"ffmpeg version 8.0-static https://example.org Copyright\n", Version{8, 0, "8.0-static"}, true},
		{"ffmpeg version 2025-01-13-git-851a84650e-full_build Copyright\nlibavutil      59. 56.100 / 59. 56.100\n", Version{7, 0, "2025-01-13-git-851a84650e-full_build"}, true},
		{"ffmpeg version N-107000-g123 Copyright\nlibavutil      57. 30.100 / 57. 30.100\n", Version{5, 1, "N-107000-g123"}, true},
		{"ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright\n", Version{}, false},
		{"ffmpeg version 5.0.1 Copyright\n", Version{}, false},
		{"ffmpeg version git Copyright\n", Version{}, false},
		{"avconv 12\n", Version{}, false},
		{"", Version{}, false},
	}
	for _, tt := range tests {
		got, err := supportedVersion("ffmpeg", []byte(tt.text))
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("%q: got %+v, %v, want %+v, ok %v", tt.text, got, err, tt.want, tt.ok)
		}
		if err != nil && (fault.CodeOf(err) != fault.Unavailable || !strings.Contains(fault.Message(err), "install")) {
			t.Errorf("%q: got %v, want what to install", tt.text, err)
		}
	}
}

func TestCodecLibraries(t *testing.T) {
	t.Parallel()
	const list = "\tlinux-vdso.so.1 (0x00007f00)\n" +
		"\tlibx264.so.164 => /lib/x/libx264.so.164 (0x00007f01)\n" +
		"\tlibpulse.so.0 => /lib/x/libpulse.so.0 (0x00007f02)\n" +
		"\tlibavcodec.so.59 => /lib/x/libavcodec.so.59 (0x00007f03)\n" +
		"\tlibaom.so.3 => not found\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f04)\n"
	want := []string{"/lib/x/libavcodec.so.59", "/lib/x/libx264.so.164"}
	if diff := cmp.Diff(want, codecLibraries([]byte(list))); diff != "" {
		t.Errorf("libraries (-want +got):\n%s", diff)
	}
	if got := codecLibraries([]byte("ffmpeg version 7.1\nlibavutil 59. 1.100\n")); got != nil {
		t.Errorf("static: got %v, want none", got)
	}
}

// A file without a build id is told apart by its content.
func TestBuildID(t *testing.T) {
	t.Parallel()
	ids := make(map[string]bool)
	for _, content := range []string{"one", "two", "one"} {
		id, err := buildID(write(t, "lib", content))
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	if len(ids) != 2 {
		t.Errorf("got %d identities of two contents", len(ids))
	}
	if id, err := buildID("/bin/true"); err != nil || len(id) < 16 {
		t.Errorf("build id of an executable: got %q, %v", id, err)
	}
}

func TestCappedBuffer(t *testing.T) {
	t.Parallel()
	b := cappedBuffer{limit: 4}
	if _, err := b.Write([]byte("1234")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("5")); !errors.Is(err, errTooMuch) {
		t.Errorf("got %v, want %v", err, errTooMuch)
	}
}

func TestCoders(t *testing.T) {
	t.Parallel()
	const table = `Codecs:
 D..... = Decoding supported
 .E.... = Encoding supported
 -------
 D.VI.S 012v                 Uncompressed 4:2:2 10-bit
 .EVIL. a64_multi            Multicolor charset for Commodore 64 (encoders: a64multi )
 DEV.L. av1                  Alliance for Open Media AV1 (decoders: libdav1d av1 ) (encoders: libaom-av1 libsvtav1 )
 DEAIL. aac                  AAC (Advanced Audio Coding) (decoders: aac aac_fixed )
 DEV.LS h264                 H.264 / AVC / MPEG-4 AVC / MPEG-4 part 10 (encoders: libx264 libx264rgb )
 ..V.L. vvc                  H.266 / VVC (Versatile Video Coding)
 DES... webvtt               WebVTT subtitle
`
	encoders, decodable := coders([]byte(table))
	names := func(m map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(m)), " ") }
	if got, want := names(encoders), "a64multi aac libaom-av1 libsvtav1 libx264 libx264rgb webvtt"; got != want {
		t.Errorf("got encoders %s, want %s", got, want)
	}
	if got, want := names(decodable), "012v aac av1 h264 webvtt"; got != want {
		t.Errorf("got decoders of %s, want %s", got, want)
	}
	if encoders, decodable := coders([]byte("no table\n DE")); len(encoders)+len(decodable) > 0 {
		t.Errorf("got %v and %v of no table", encoders, decodable)
	}
}
