package mp4

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"liuyun/internal/av/av1"
	"liuyun/internal/av/h264"
	"liuyun/internal/av/h265"
	"liuyun/internal/testkit"
)

// run returns what a program writes to its standard output.
func run(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, errs.Bytes())
	}
	return out
}

// encode lets ffmpeg make a file and returns its bytes.
func encode(t *testing.T, args ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "unit.mp4")
	args = slices.Concat([]string{"-v", "error", "-nostdin", "-f", "lavfi", "-i"}, args, []string{"-threads", "1", path})
	run(t, testkit.FFmpeg(t), args...)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// save writes data to a file of the test and returns its path.
func save(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// videoCase is an encoder as the units use it.
type videoCase struct {
	name   string
	codec  Codec
	args   []string
	prefix string // of the codec string
}

func videoCases() []videoCase {
	return []videoCase{
		{"x264", H264, []string{"-c:v", "libx264", "-preset", "veryfast", "-bf", "3",
			"-x264-params", "b-pyramid=normal:keyint=25:min-keyint=25:scenecut=0:stitchable=1"}, "avc1.6400"},
		{"x265", HEVC, []string{"-c:v", "libx265", "-preset", "veryfast", "-tag:v", "hvc1",
			"-x265-params", "log-level=none:bframes=4:b-pyramid=1:keyint=25:min-keyint=25:scenecut=0:open-gop=0"}, "hvc1.1.6.L"},
		{"svtav1", AV1, []string{"-c:v", "libsvtav1", "-preset", "12", "-g", "25"}, "av01.0.0"},
		{"aomav1", AV1, []string{"-c:v", "libaom-av1", "-cpu-used", "8", "-g", "25", "-keyint_min", "25"}, "av01.0.0"},
	}
}

// unitLengths are the pictures of the units that a rendition is made of in tests.
var unitLengths = []int{50, 37}

const (
	unitTimescale = 12800   // 512 ticks a picture at 25 a second
	reorderDelay  = 4 * 512 // more than any of the encoders needs
)

// encodeUnits makes units that differ in what they show and in quality.
func encodeUnits(t *testing.T, c videoCase) [][]byte {
	t.Helper()
	units := make([][]byte, len(unitLengths))
	for i, n := range unitLengths {
		graph := fmt.Sprintf("testsrc2=size=192x108:rate=25,trim=start_frame=%d,setpts=PTS-STARTPTS,trim=end_frame=%d,format=yuv420p", 100*i, n)
		args := slices.Concat([]string{graph}, c.args, []string{"-crf", strconv.Itoa(26 + 4*i), "-video_track_timescale", strconv.Itoa(unitTimescale)})
		units[i] = encode(t, args...)
	}
	return units
}

// inspect returns how many pictures a sample holds, and whether it is a random
// access point.
func inspect(t *testing.T, codec Codec, data []byte) (pictures int, randomAccess bool) {
	t.Helper()
	switch codec {
	case H264:
		in, err := h264.InspectSample(data, 4)
		if err != nil {
			t.Fatal(err)
		}
		return in.Pictures, in.RandomAccess
	case HEVC:
		in, err := h265.InspectSample(data, 4)
		if err != nil {
			t.Fatal(err)
		}
		return in.Pictures, in.RandomAccess
	}
	in, err := av1.InspectSample(data)
	if err != nil {
		t.Fatal(err)
	}
	return in.Pictures, in.RandomAccess
}

// sameConfig reports whether units may follow one another.
func sameConfig(codec Codec, a, b []byte) bool {
	switch codec {
	case H264:
		return h264.SameConfig(a, b)
	case HEVC:
		return h265.SameConfig(a, b)
	}
	return av1.SameConfig(a, b)
}

// readUnit reads a unit and checks each of its samples.
func readUnit(t *testing.T, c videoCase, unit []byte, pictures int) *Track {
	t.Helper()
	track, err := ReadTrack(bytes.NewReader(unit), int64(len(unit)))
	if err != nil {
		t.Fatal(err)
	}
	if track.Codec != c.codec || track.Width != 192 || track.Height != 108 || track.Timescale != unitTimescale {
		t.Fatalf("track = %s %d×%d at %d, want %s 192×108 at %d",
			track.Codec, track.Width, track.Height, track.Timescale, c.codec, unitTimescale)
	}
	if got, want := track.Duration(), int64(pictures*unitTimescale/25); got != want || track.Delay != 0 {
		t.Errorf("duration %d after %d, want %d after 0", got, track.Delay, want)
	}
	if len(track.Samples) != pictures {
		t.Fatalf("%d samples, want %d", len(track.Samples), pictures)
	}
	if c.codec == AV1 {
		first := track.Samples[0]
		if track.Config, err = av1.ConfigFromSample(unit[first.Offset : first.Offset+int64(first.Size)]); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range track.Samples {
		n, randomAccess := inspect(t, c.codec, unit[s.Offset:s.Offset+int64(s.Size)])
		if n != 1 {
			t.Errorf("sample %d holds %d pictures, want 1", i, n)
		}
		if want := i%25 == 0; randomAccess != want || s.Sync != want {
			t.Errorf("sample %d: random access %t, sync %t, want %t", i, randomAccess, s.Sync, want)
		}
	}
	return track
}

// readUnits reads the units of one rendition, ready to be written.
func readUnits(t *testing.T, c videoCase, units [][]byte) []*Track {
	t.Helper()
	tracks := make([]*Track, len(units))
	for i, unit := range units {
		tracks[i] = readUnit(t, c, unit, unitLengths[i])
		if !sameConfig(c.codec, tracks[0].Config, tracks[i].Config) {
			t.Errorf("unit %d has another configuration", i)
		}
		if err := tracks[i].PresentFrom(reorderDelay); err != nil {
			t.Fatal(err)
		}
	}
	return tracks
}

// appendSegments writes samples of file in segments that start at sync samples.
func appendSegments(t *testing.T, dst, file []byte, samples []Sample, sequence *uint32, at *uint64) []byte {
	t.Helper()
	for len(samples) > 0 {
		n := 1
		for n < len(samples) && !(samples[n].Sync && n >= 20) {
			n++
		}
		start := len(dst)
		var err error
		dst, err = AppendSegmentHeader(dst, Segment{Sequence: *sequence, DecodeTime: *at, Samples: samples[:n]})
		if err != nil {
			t.Fatal(err)
		}
		first := len(dst) - start
		for _, s := range samples[:n] {
			dst = append(dst, file[s.Offset:s.Offset+int64(s.Size)]...)
			*at += uint64(s.Duration)
		}
		if got := dst[start+first:][:samples[0].Size]; !bytes.Equal(got, file[samples[0].Offset:][:samples[0].Size]) {
			t.Errorf("segment %d: the first sample is not right after the header", *sequence)
		}
		*sequence++
		samples = samples[n:]
	}
	return dst
}

// packetTimes returns the presentation times of a file's packets, sorted.
func packetTimes(t *testing.T, path, stream string) []int64 {
	t.Helper()
	out := run(t, testkit.FFprobe(t), "-v", "error", "-select_streams", stream,
		"-show_entries", "packet=pts", "-of", "csv=p=0", path)
	var times []int64
	for _, line := range strings.Fields(string(out)) {
		at, err := strconv.ParseInt(strings.TrimRight(line, ","), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, at)
	}
	slices.Sort(times)
	return times
}

// checkTimes wants pictures at 0, 512, 1024 …
func checkTimes(t *testing.T, path string, pictures int) {
	t.Helper()
	var want []int64
	for i := range pictures {
		want = append(want, int64(i)*unitTimescale/25)
	}
	if got := packetTimes(t, path, "v:0"); !slices.Equal(got, want) {
		t.Errorf("presentation times = %v, want %v", got, want)
	}
}

// pictures returns a hash of each decoded picture. Any word from the decoder is
// an error.
func pictures(t *testing.T, path string) []string {
	t.Helper()
	cmd := exec.Command(testkit.FFmpeg(t), "-v", "warning", "-xerror", "-nostdin", "-i", path,
		"-map", "0:v:0", "-f", "framehash", "-hash", "crc32", "-fps_mode", "passthrough", "-")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Errorf("decode %s: %v\n%s", filepath.Base(path), err, errs.Bytes())
	}
	var hashes []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			fields := strings.Split(strings.TrimSpace(line), ",")
			hashes = append(hashes, fields[len(fields)-1])
		}
	}
	return hashes
}

func TestVideoThroughCMAF(t *testing.T) {
	t.Parallel()
	for _, c := range videoCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			units := encodeUnits(t, c)
			tracks := readUnits(t, c, units)
			name, err := CodecString(c.codec, tracks[0].Config)
			if err != nil || !strings.HasPrefix(name, c.prefix) {
				t.Errorf("CodecString = %q, %v, want %q…", name, err, c.prefix)
			}
			stream, err := AppendVideoInit(nil, videoTrack(tracks[0]))
			if err != nil {
				t.Fatal(err)
			}
			var wantPictures []string
			sequence, at, total := uint32(1), uint64(0), 0
			for i, unit := range units {
				stream = appendSegments(t, stream, unit, tracks[i].Samples, &sequence, &at)
				wantPictures = append(wantPictures, pictures(t, save(t, "unit.mp4", unit))...)
				total += unitLengths[i]
			}
			path := save(t, "stream.mp4", stream)
			checkTimes(t, path, total)
			if got := pictures(t, path); !slices.Equal(got, wantPictures) {
				t.Errorf("decoded pictures = %v, want those of the units, %v", got, wantPictures)
			}
		})
	}
}

func videoTrack(t *Track) VideoTrack {
	return VideoTrack{Codec: t.Codec, Config: t.Config, Width: t.Width, Height: t.Height, Timescale: t.Timescale, MediaStart: t.MediaStart}
}

func TestVideoThroughProgressive(t *testing.T) {
	t.Parallel()
	for _, c := range videoCases()[:2] {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			units := encodeUnits(t, c)
			tracks := readUnits(t, c, units)
			video := &ProgressiveVideo{VideoTrack: videoTrack(tracks[0])}
			var wantPictures []string
			total := 0
			for i, unit := range units {
				video.Sources = append(video.Sources, Source{R: bytes.NewReader(unit), Samples: tracks[i].Samples})
				wantPictures = append(wantPictures, pictures(t, save(t, "unit.mp4", unit))...)
				total += unitLengths[i]
			}
			sound := encodeImpulse(t)
			audioTrack := readAudio(t, sound)
			audio := ProgressiveAudio{
				AudioTrack: audioTrackOf(audioTrack),
				Sources:    []Source{{R: bytes.NewReader(sound), Samples: audioTrack.Samples}},
			}
			second := audio
			second.Language = "deu"

			var file bytes.Buffer
			if err := WriteProgressive(&file, video, []ProgressiveAudio{audio, second}); err != nil {
				t.Fatal(err)
			}
			path := save(t, "out.mp4", file.Bytes())
			checkTimes(t, path, total)
			if got := pictures(t, path); !slices.Equal(got, wantPictures) {
				t.Errorf("decoded pictures = %v, want those of the units, %v", got, wantPictures)
			}
			checkImpulse(t, path, "0:a:0")
			checkImpulse(t, path, "0:a:1")
			if at := bytes.Index(file.Bytes(), []byte("moov")); at > bytes.Index(file.Bytes(), []byte("mdat")) {
				t.Errorf("moov at byte %d is behind mdat", at)
			}
		})
	}
}

// Where the impulse of the sound is, and how long it is.
const (
	soundRate    = 48000
	impulseAt    = 10007
	soundSamples = 100_003
)

// encodeImpulse is stereo silence but for one short pulse.
func encodeImpulse(t *testing.T) []byte {
	t.Helper()
	pulse := fmt.Sprintf("0.9*between(n,%d,%d)", impulseAt-4, impulseAt+4)
	graph := fmt.Sprintf("aevalsrc='%s|%s':s=%d:c=stereo,atrim=end_sample=%d", pulse, pulse, soundRate, soundSamples)
	return encode(t, graph, "-c:a", "aac", "-b:a", "192k")
}

func readAudio(t *testing.T, file []byte) *Track {
	t.Helper()
	track, err := ReadTrack(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if track.Codec != AAC || track.Channels != 2 || track.SampleRate != soundRate || track.MediaStart != 1024 {
		t.Fatalf("track = %s, %d channels at %d Hz, priming %d; want aac, 2 at %d, 1024",
			track.Codec, track.Channels, track.SampleRate, track.MediaStart, soundRate)
	}
	if got := track.Duration() - track.MediaStart; got != soundSamples {
		t.Errorf("presents %d samples, want %d", got, soundSamples)
	}
	return track
}

func audioTrackOf(t *Track) AudioTrack {
	return AudioTrack{
		Config: t.Config, Channels: t.Channels, SampleRate: t.SampleRate, Timescale: t.Timescale,
		Priming: t.MediaStart, Language: "eng", Bitrate: 192_000,
	}
}

// checkImpulse decodes what a stream of path presents and wants the source's
// samples, the impulse in its place. The last frame may be longer.
func checkImpulse(t *testing.T, path, stream string) {
	t.Helper()
	pcm := run(t, testkit.FFmpeg(t), "-v", "error", "-nostdin", "-copyts", "-i", path, "-map", stream,
		"-af", "atrim=start_pts=0", "-f", "s16le", "-ac", "1", "-")
	if got := len(pcm) / 2; got < soundSamples || got >= soundSamples+1024 {
		t.Errorf("%s decodes to %d samples, want %d", stream, got, soundSamples)
	}
	peak, at := 0, 0
	for i := 0; i+1 < len(pcm); i += 2 {
		if v := int(int16(uint16(pcm[i]) | uint16(pcm[i+1])<<8)); v > peak {
			peak, at = v, i/2
		}
	}
	if at < impulseAt-4 || at > impulseAt+4 || peak < 10_000 {
		t.Errorf("%s: peak %d at sample %d, want the pulse at %d", stream, peak, at, impulseAt)
	}
}

func TestAudioThroughCMAF(t *testing.T) {
	t.Parallel()
	file := encodeImpulse(t)
	track := readAudio(t, file)
	stream, err := AppendAudioInit(nil, audioTrackOf(track))
	if err != nil {
		t.Fatal(err)
	}
	sequence, at := uint32(1), uint64(0)
	stream = appendSegments(t, stream, file, track.Samples, &sequence, &at)
	path := save(t, "stream.mp4", stream)
	if sequence < 4 {
		t.Errorf("%d segments, want several", sequence-1)
	}
	checkImpulse(t, path, "0:a:0")
	// ffmpeg does not drop the priming of a fragmented track, but dates it.
	if got := packetTimes(t, path, "a:0"); got[0] != -1024 || got[1] != 0 {
		t.Errorf("presentation starts at %d, %d, want -1024, 0", got[0], got[1])
	}
}

func TestColourMetadata(t *testing.T) {
	t.Parallel()
	c := videoCases()[1]
	unit := encode(t, slices.Concat([]string{"testsrc2=size=192x108:rate=25:duration=0.4,format=yuv420p10le"}, c.args)...)
	track, err := ReadTrack(bytes.NewReader(unit), int64(len(unit)))
	if err != nil {
		t.Fatal(err)
	}
	video := videoTrack(track)
	video.Colour = &Colour{Primaries: 9, Transfer: 16, Matrix: 9}
	video.Mastering = &Mastering{
		Red: Chromaticity{34000, 16000}, Green: Chromaticity{13250, 34500}, Blue: Chromaticity{7500, 3000},
		White: Chromaticity{15635, 16450}, MaxLuminance: 10_000_000, MinLuminance: 50,
	}
	video.ContentLight = &ContentLight{MaxContent: 1000, MaxFrameAverage: 400}
	stream, err := AppendVideoInit(nil, video)
	if err != nil {
		t.Fatal(err)
	}
	sequence, at := uint32(1), uint64(0)
	stream = appendSegments(t, stream, unit, track.Samples, &sequence, &at)
	out := string(run(t, testkit.FFprobe(t), "-v", "error", "-show_streams", save(t, "hdr.mp4", stream)))
	for _, want := range []string{
		"codec_tag_string=hvc1", "sample_aspect_ratio=1:1", "red_x=34000/50000", "green_y=34500/50000", "blue_x=7500/50000",
		"white_point_y=16450/50000", "min_luminance=50/10000", "max_luminance=10000000/10000",
		"max_content=1000", "max_average=400",
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("ffprobe does not say %s", want)
		}
	}
}
