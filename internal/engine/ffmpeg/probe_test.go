package ffmpeg

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
)

// TestProbeEverything probes every shared file but those that test/hostile gives to
// the program: each gives facts or a clear fault, soon. With -v it prints a table.
func TestProbeEverything(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for _, path := range testkit.MediaAll(t, ".") {
		name := filepath.Base(path)
		if ext := filepath.Ext(name); ext == ".jpg" || ext == ".tsv" {
			continue // many, and all alike
		}
		if strings.Contains(path, "/media/hostile/") || strings.Contains(path, "/conformance/h264_jvt/") {
			continue
		}
		begin := time.Now()
		m, err := tools.Probe(t.Context(), open(t, path))
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		t.Logf("%-60s %s", name, summary(m, err))
		if code := fault.CodeOf(err); err != nil && code != fault.Invalid {
			t.Errorf("%s: got %q: %v, want facts or %q", name, code, err, fault.Invalid)
		}
	}
}

func summary(m *Media, err error) string {
	if err != nil {
		return string(fault.CodeOf(err)) + ": " + fault.Message(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%.3fs", m.Duration.Seconds())
	for _, v := range m.Video {
		fmt.Fprintf(&b, " %s/%s %dx%d %s %s", v.Codec, v.CodecTag, v.Width, v.Height, v.PixelFormat, v.AverageRate)
		if v.Encrypted {
			b.WriteString(" encrypted")
		}
	}
	for _, a := range m.Audio {
		fmt.Fprintf(&b, " %s %d×%d", a.Codec, a.Channels, a.SampleRate)
		if a.Encrypted {
			b.WriteString(" encrypted")
		}
	}
	for _, s := range m.Subtitles {
		fmt.Fprintf(&b, " %s", s.Codec)
	}
	if m.Errors > 0 {
		fmt.Fprintf(&b, " (%d errors)", m.Errors)
	}
	return b.String()
}

func TestProbeFacts(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	m, err := tools.Probe(t.Context(), open(t, testkit.Media(t, "hdr/roof_hdr10_1080p_1s.mp4")))
	if err != nil {
		t.Fatal(err)
	}
	v := m.Video[0]
	want := VideoStream{
		Stream: Stream{
			Index: 0, Kind: "video", Codec: "hevc", CodecTag: "hev1", Profile: "Main 10",
			TimeBase: timebase.R(1, 90000), HasStart: true, Duration: 91566, BitRate: 20872490,
			Language: "eng", Default: true,
		},
		Width: 1920, Height: 1080, PixelFormat: "yuv420p10le", BitDepth: 10,
		Range: "tv", Matrix: "bt2020nc", Primaries: "bt2020", Transfer: "smpte2084",
		RealRate: timebase.R(30, 1), AverageRate: timebase.R(140000, 5087), Frames: 28,
		Light: &Light{
			Mastering: &Mastering{
				Red: [2]int{7500, 3000}, Green: [2]int{34000, 16000}, Blue: [2]int{13250, 34500}, White: [2]int{15635, 16450},
				MinLuminance: 50, MaxLuminance: 1000,
			},
			MaxCLL: 1000, MaxFALL: 200,
		},
		HDR10Plus: true,
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("video (-want +got):\n%s", diff)
	}
	if !v.HDR() || m.Duration != 1018*time.Millisecond || m.Size != 2688739 {
		t.Errorf("got HDR %v, %v, %d bytes", v.HDR(), m.Duration, m.Size)
	}
}

func TestProbeEncrypted(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for _, name := range []string{
		"hostile/mp4ff_odd/mp4__testdata__cbcs.mp4",
		"hostile/mp4parse/mp4parse_capi__tests__av1-clearkey-cbcs-video.mp4",
		"hostile/mp4parse/mp4parse__tests__bipbop_cbcs_audio_init.mp4",
	} {
		m, err := tools.Probe(t.Context(), open(t, testkit.Media(t, name)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, v := range m.Video {
			if err := tools.Check("clip", v.Stream); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "encrypted") {
				t.Errorf("%s: got %v, want that it is encrypted", name, err)
			}
		}
		for _, a := range m.Audio {
			if !a.Encrypted {
				t.Errorf("%s: sound is not marked as encrypted", name)
			}
		}
	}
}

func TestCheckVVC(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	if tools.CanDecode("vvc") {
		t.Skip("skipped: this ffmpeg decodes VVC")
	}
	in := open(t, testkit.Media(t, "hostile/mp4ff_odd/mp4__testdata__vvc_400kbps_2s.mp4"))
	m, err := tools.Probe(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	checked := tools.Check("clip", m.Video[0].Stream)
	_, ran := tools.Run(t.Context(), Command{
		Input: in, Limits: DefaultConfig().ProbeLimits,
		Args: []string{"-i", InputURL, "-map", "0:v", "-f", "null", "-"},
	})
	for _, err := range []error{checked, ran} {
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "ffmpeg 7 or later") {
			t.Errorf("got %v, want that it needs ffmpeg 7", err)
		}
	}
}

func TestProbeFaults(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	clip, err := os.ReadFile(testkit.Generate(t, testkit.Pattern(320, 180, "25", 1)))
	if err != nil {
		t.Fatal(err)
	}
	const playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n"
	tests := []struct {
		name, content, says string
	}{
		{"empty", "", "is empty (0 bytes)"},
		{"zeros", string(make([]byte, 100_000)), "is not a media file"},
		{"text", "just some text\n", "is not a media file"},
		{"noise", string(bytes.Repeat([]byte{0x5a, 0xa7, 0x13}, 50_000)), "is not a media file"},
		{"truncated", string(clip[:len(clip)/2]), "is incomplete"},
		{"playlist", playlist, "is a playlist"},
		{"sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n", "describes a network stream"},
		{"picture", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde", "is a still picture"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := tools.Probe(t.Context(), open(t, write(t, tt.name+".mp4", tt.content)))
			if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		if _, err := tools.Probe(t.Context(), open(t, t.TempDir())); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("got %v, want %q", err, fault.Invalid)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := tools.Probe(ctx, open(t, write(t, "a", "b"))); fault.CodeOf(err) != fault.Canceled {
			t.Errorf("got %v, want %q", err, fault.Canceled)
		}
	})
}

// A header that promises a picture beyond the limit must not cost its memory.
func TestHugeDimensions(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	tools.config.MaxPixels = 100 * 100
	in := open(t, testkit.Generate(t, testkit.Pattern(320, 180, "25", 1)))
	_, probed := tools.Probe(t.Context(), in)
	_, ran := tools.Run(t.Context(), Command{
		Input: in, Limits: DefaultConfig().ProbeLimits,
		Args: []string{"-i", InputURL, "-map", "0:v", "-f", "null", "-"},
	})
	for _, err := range []error{probed, ran} {
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), "320x180, more than the limit") {
			t.Errorf("got %v, want that the picture is too large", err)
		}
	}
}

func TestOrientation(t *testing.T) {
	t.Parallel()
	const one = 65536
	tests := []struct {
		name       string
		a, b, c, d int
		clockwise  int
		mirrored   bool
	}{
		{"upright", one, 0, 0, one, 0, false},
		{"quarter", 0, one, -one, 0, 90, false},
		{"half", -one, 0, 0, -one, 180, false},
		{"three quarters", 0, -one, one, 0, 270, false},
		{"flipped upside down", one, 0, 0, -one, 0, true},
		{"nothing", 0, 0, 0, 0, 0, false},
	}
	for _, tt := range tests {
		text := fmt.Sprintf("\n00000000: %11d %11d %11d\n00000001: %11d %11d %11d\n00000002: %11d %11d %11d\n",
			tt.a, tt.b, 0, tt.c, tt.d, 0, 0, 0, 1<<30)
		clockwise, mirrored := orientation(text)
		if clockwise != tt.clockwise || mirrored != tt.mirrored {
			t.Errorf("%s: got %d %v, want %d %v", tt.name, clockwise, mirrored, tt.clockwise, tt.mirrored)
		}
	}
	if clockwise, mirrored := orientation("0: 1 x"); clockwise != 0 || mirrored {
		t.Error("nonsense turns")
	}
}

func TestProbeRotated(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	m, err := tools.Probe(t.Context(), open(t, testkit.Generate(t, testkit.Rotated(1))))
	if err != nil {
		t.Fatal(err)
	}
	if v := m.Video[0]; v.Rotation != 90 && v.Rotation != 270 {
		t.Errorf("rotation: got %d, want a quarter turn", v.Rotation)
	}
}

func TestBitDepth(t *testing.T) {
	t.Parallel()
	tests := map[string]int{
		"yuv420p": 8, "yuvj420p": 8, "yuv420p10le": 10, "yuv422p12be": 12, "gray16le": 16, "gbrp9le": 9,
		"p010le": 10, "rgb24": 8, "rgb48le": 16, "nv12": 8, "": 0,
	}
	for name, want := range tests {
		if got := bitDepth(name, 0); got != want {
			t.Errorf("%q: got %d, want %d", name, got, want)
		}
	}
}

// FuzzMedia: whatever ffprobe prints, the facts are made without a panic.
func FuzzMedia(f *testing.F) {
	f.Add([]byte(`{"format":{"format_name":"mov,mp4","start_time":"N/A","duration":"1e300"},"streams":[{"index":0,"codec_type":"video",` +
		`"time_base":"-9223372036854775808/-1","sample_aspect_ratio":"0:1","side_data_list":[{"displaymatrix":"0: 1 2 3"},` +
		`{"side_data_type":"Mastering display metadata","red_x":"9223372036854775807/1"}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var doc probeDocument
		if json.Unmarshal(text, &doc) == nil {
			doc.media()
		}
	})
}

// FuzzProtectedTracks: any bytes end soon.
func FuzzProtectedTracks(f *testing.F) {
	f.Add(mp4Box("moov", mp4Box("trak", mp4Box("mdia", mp4Box("minf", mp4Box("stbl", mp4Box("stsd", append(make([]byte, 8), mp4Box("encv", nil)...))))))))
	f.Add(bytes.Repeat(mp4Box("moov", nil), 100))
	f.Fuzz(func(t *testing.T, file []byte) {
		protectedTracks(bytes.NewReader(file), int64(len(file)))
	})
}

func TestProtectedTracks(t *testing.T) {
	t.Parallel()
	track := func(entry string) []byte {
		stsd := mp4Box("stsd", append(make([]byte, 8), mp4Box(entry, nil)...))
		return mp4Box("trak", mp4Box("mdia", mp4Box("minf", mp4Box("stbl", stsd))))
	}
	moov := mp4Box("moov", bytes.Join([][]byte{track("encv"), track("mp4a"), track("enca")}, nil))
	file := append(mp4Box("ftyp", []byte("isom")), moov...)
	got := protectedTracks(bytes.NewReader(file), int64(len(file)))
	if diff := cmp.Diff([]bool{true, false, true}, got); diff != "" {
		t.Errorf("tracks (-want +got):\n%s", diff)
	}
}

func mp4Box(kind string, body []byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(append(head, kind...), body...)
}
