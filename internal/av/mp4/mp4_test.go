package mp4

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	ff "github.com/Eyevinn/mp4ff/mp4"
	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// testVideo is a track as x264 makes it.
func testVideo(t testing.TB) VideoTrack {
	return VideoTrack{
		Codec:  H264,
		Config: unhex(t, "0164000bffe100196764000bacd9430ffbc044000003000400000300c83c50a65801000668ebe112c8b0fdf8f800"),
		Width:  192, Height: 108, Timescale: 12800,
	}
}

// testAudio is a track as ffmpeg's AAC encoder makes it.
func testAudio(t testing.TB) AudioTrack {
	return AudioTrack{Config: unhex(t, "119056e500"), Channels: 2, SampleRate: 48000, Timescale: 48000, Priming: 1024, Language: "eng"}
}

// testPictures are n pictures I P B P B …, whose bytes follow one another.
func testPictures(n int) []Sample {
	samples := make([]Sample, n)
	var at int64
	for i := range samples {
		s := Sample{Offset: at, Size: uint32(100 + i), Duration: 512, Sync: i == 0}
		switch {
		case i == 0:
		case i%2 == 1:
			s.CompositionOffset = 512
		default:
			s.CompositionOffset = -512
		}
		samples[i] = s
		at += int64(s.Size)
	}
	return samples
}

// testSound is n frames of sound.
func testSound(n int) []Sample {
	samples := make([]Sample, n)
	for i := range samples {
		samples[i] = Sample{Offset: int64(i) * 300, Size: 300, Duration: 1024, Sync: true}
	}
	return samples
}

// noise is a source of any size: each byte tells its offset.
type noise struct{}

func (noise) ReadAt(p []byte, offset int64) (int, error) {
	for i := range p {
		p[i] = byte((offset + int64(i)) * 7)
	}
	return len(p), nil
}

// progressiveFile is a file of one track.
func progressiveFile(t testing.TB, video *ProgressiveVideo, audio ...ProgressiveAudio) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := WriteProgressive(&file, video, audio); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func videoFile(t testing.TB, n int) []byte {
	return progressiveFile(t, &ProgressiveVideo{VideoTrack: testVideo(t), Sources: []Source{{noise{}, testPictures(n)}}})
}

func audioFile(t testing.TB, n int) []byte {
	return progressiveFile(t, nil, ProgressiveAudio{AudioTrack: testAudio(t), Sources: []Source{{noise{}, testSound(n)}}})
}

func readTrack(t testing.TB, file []byte) *Track {
	t.Helper()
	track, err := ReadTrack(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return track
}

// checkBytes wants the samples of file to hold the bytes of want in noise.
func checkBytes(t *testing.T, file []byte, got, want []Sample) {
	t.Helper()
	for i := range want {
		expected := make([]byte, want[i].Size)
		noise{}.ReadAt(expected, want[i].Offset)
		if !bytes.Equal(file[got[i].Offset:][:got[i].Size], expected) {
			t.Fatalf("sample %d has other bytes", i)
		}
	}
}

// anywhere strips where samples are.
func anywhere(samples []Sample) []Sample {
	stripped := make([]Sample, len(samples))
	for i, s := range samples {
		s.Offset = 0
		stripped[i] = s
	}
	return stripped
}

func TestReadBackVideo(t *testing.T) {
	t.Parallel()
	samples := testPictures(60)
	video := &ProgressiveVideo{VideoTrack: testVideo(t), Sources: []Source{
		{noise{}, samples[:10]}, {noise{}, append([]Sample{samples[0]}, samples[20:60]...)},
	}}
	video.MediaStart = 512
	want := append(append([]Sample{}, samples[:10]...), video.Sources[1].Samples...)
	file := progressiveFile(t, video)
	got := readTrack(t, file)
	if diff := cmp.Diff(anywhere(want), anywhere(got.Samples)); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	checkBytes(t, file, got.Samples, want)
	got.Samples = nil
	wantTrack := &Track{Codec: H264, Timescale: 12800, Config: video.Config, Width: 192, Height: 108, MediaStart: 512}
	if diff := cmp.Diff(wantTrack, got); diff != "" {
		t.Errorf("track (-want +got):\n%s", diff)
	}
}

func TestReadBackAudio(t *testing.T) {
	t.Parallel()
	samples := testSound(200)
	samples[199].Duration = 500
	file := progressiveFile(t, nil, ProgressiveAudio{AudioTrack: testAudio(t), Sources: []Source{{noise{}, samples}}})
	got := readTrack(t, file)
	if diff := cmp.Diff(anywhere(samples), anywhere(got.Samples)); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	checkBytes(t, file, got.Samples, samples)
	if got.Duration() != 199*1024+500 {
		t.Errorf("Duration = %d, want %d", got.Duration(), 199*1024+500)
	}
	got.Samples = nil
	want := &Track{Codec: AAC, Timescale: 48000, Config: testAudio(t).Config, Channels: 2, SampleRate: 48000, MediaStart: 1024}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("track (-want +got):\n%s", diff)
	}
}

// header is a file of which only the first bytes exist.
type header []byte

func (h header) ReadAt(p []byte, offset int64) (int, error) {
	if offset > int64(len(h)) {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, h[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func TestWideOffsets(t *testing.T) {
	t.Parallel()
	samples := make([]Sample, 6)
	for i := range samples {
		samples[i] = Sample{Size: 1 << 30, Duration: 12800, Sync: true}
	}
	p := progressive{}
	if err := p.addTracks(&ProgressiveVideo{VideoTrack: testVideo(t), Sources: []Source{{noise{}, samples}}}, nil); err != nil {
		t.Fatal(err)
	}
	p.order = interleave(p.tracks)
	head, err := p.header([]string{"isom"})
	if err != nil {
		t.Fatal(err)
	}
	track, err := ReadTrack(header(head), int64(len(head))+6<<30)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range track.Samples {
		if want := int64(len(head)) + int64(i)<<30; s.Offset != want {
			t.Errorf("sample %d at byte %d, want %d", i, s.Offset, want)
		}
	}
	if _, err := ReadTrack(header(head), int64(len(head))+5<<30); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("ReadTrack of a file that lacks its end = %v, want an error that says so", err)
	}
}

func TestInterleave(t *testing.T) {
	t.Parallel()
	video := &ProgressiveVideo{VideoTrack: testVideo(t), Sources: []Source{{noise{}, testPictures(75)}}}
	audio := ProgressiveAudio{AudioTrack: testAudio(t), Sources: []Source{{noise{}, testSound(141)}}}
	p := progressive{}
	if err := p.addTracks(video, []ProgressiveAudio{audio, audio}); err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, c := range interleave(p.tracks) {
		for i, track := range p.tracks {
			if c.track == track {
				got = append(got, i)
			}
		}
	}
	if want := []int{0, 1, 2, 0, 1, 2, 0, 1, 2}; !cmp.Equal(got, want) {
		t.Errorf("tracks of the chunks = %v, want %v", got, want)
	}
}

func TestPresentFrom(t *testing.T) {
	t.Parallel()
	track := &Track{MediaStart: 1024, Samples: []Sample{{CompositionOffset: 1024}, {CompositionOffset: 2560}, {CompositionOffset: 0}}}
	for _, tt := range []struct {
		start int64
		want  []int32
	}{{0, []int32{0, 1536, -1024}}, {2048, []int32{2048, 3584, 1024}}, {1024, []int32{1024, 2560, 0}}} {
		if err := track.PresentFrom(tt.start); err != nil {
			t.Fatal(err)
		}
		var got []int32
		for _, s := range track.Samples {
			got = append(got, s.CompositionOffset)
		}
		if !cmp.Equal(got, tt.want) || track.MediaStart != tt.start {
			t.Errorf("PresentFrom(%d): offsets %v from %d, want %v", tt.start, got, track.MediaStart, tt.want)
		}
	}
	if err := track.PresentFrom(1 << 31); err == nil || track.MediaStart != 1024 {
		t.Errorf("PresentFrom(1<<31) = %v, starts at %d; want an error and no change", err, track.MediaStart)
	}
}

// makeBox returns a box around its parts.
func makeBox(kind string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), kind...), body...)
}

func TestReadTrackRefuses(t *testing.T) {
	t.Parallel()
	video := videoFile(t, 30)
	change := func(old, to string) []byte {
		if !bytes.Contains(video, []byte(old)) {
			t.Fatalf("no %q to change", old)
		}
		return bytes.Replace(video, []byte(old), []byte(to), 1)
	}
	both := progressiveFile(t, &ProgressiveVideo{VideoTrack: testVideo(t), Sources: []Source{{noise{}, testPictures(3)}}},
		ProgressiveAudio{AudioTrack: testAudio(t), Sources: []Source{{noise{}, testSound(3)}}})
	init, err := AppendVideoInit(nil, testVideo(t))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "no moov box"},
		{"text", []byte("not a movie at all"), "box at byte 0"},
		{"not finished", makeBox("mdat", make([]byte, 100)), "no moov box"},
		{"cut short", video[:len(video)-1], "the file is cut short"},
		{"no tracks", makeBox("moov"), "no video or audio track"},
		{"another handler", change("vide", "text"), "no video or audio track"},
		{"two tracks", both, "more than one media track"},
		{"fragmented", init, "fragmented"},
		{"sample entry", change("avc1\x00\x00\x00\x00\x00\x00\x00\x01", "vp09\x00\x00\x00\x00\x00\x00\x00\x01"), `sample entry "vp09" is not supported`},
		{"no config", change("avcC", "free"), "no avcC box"},
		{"no sizes", change("stsz", "free"), "a sample table is missing"},
		{"no durations", change("stts", "free"), "a sample table is missing"},
		{"more sizes", change("stts\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x1e", "stts\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x1d"), "1 samples without a duration"},
		{"fewer sizes", change("stts\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x1e", "stts\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff"), "more durations than samples"},
		{"sync sample", change("stss\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01", "stss\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"), "stss: sample 0"},
		{"many boxes", bytes.Repeat(makeBox("free"), maxChildren+1), "boxes side by side"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadTrack(bytes.NewReader(tt.file), int64(len(tt.file)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ReadTrack = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestEditLists(t *testing.T) {
	t.Parallel()
	edit := func(entries ...ff.ElstEntry) *ff.ElstBox { return &ff.ElstBox{Version: 1, Entries: entries} }
	normal := ff.ElstEntry{SegmentDuration: 10, MediaTime: 1024, MediaRateInteger: 1}
	tests := []struct {
		name         string
		edits        *ff.ElstBox
		start, delay int64
		wantErr      string
	}{
		{"none", nil, 0, 0, ""},
		{"start", edit(normal), 1024, 0, ""},
		{"delay and start", edit(ff.ElstEntry{SegmentDuration: 500, MediaTime: -1, MediaRateInteger: 1}, normal), 1024, 6400, ""},
		{"two edits", edit(normal, normal), 0, 0, "more than one edit"},
		{"half speed", edit(ff.ElstEntry{MediaRateFraction: 1 << 14}), 0, 0, "own speed"},
		{"negative", edit(ff.ElstEntry{MediaTime: -2, MediaRateInteger: 1}), 0, 0, "media time -2"},
		{"endless", edit(ff.ElstEntry{SegmentDuration: 1 << 63, MediaTime: -1}), 0, 0, "endless"},
	}
	for _, tt := range tests {
		r := &trackReader{movieRate: 1000, mediaRate: 12800, edits: tt.edits}
		track := &Track{}
		err := r.applyEdits(track)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.wantErr)
			}
			continue
		}
		if err != nil || track.MediaStart != tt.start || track.Delay != tt.delay {
			t.Errorf("%s: start %d, delay %d, %v, want %d, %d", tt.name, track.MediaStart, track.Delay, err, tt.start, tt.delay)
		}
	}
}

func FuzzReadTrack(f *testing.F) {
	f.Add(videoFile(f, 5))
	f.Add(audioFile(f, 5))
	init, err := AppendAudioInit(nil, testAudio(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(init)
	f.Fuzz(func(t *testing.T, file []byte) {
		track, err := ReadTrack(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		for i, s := range track.Samples {
			if s.Offset < 0 || s.Offset+int64(s.Size) > int64(len(file)) {
				t.Fatalf("sample %d: bytes %d to %d of %d", i, s.Offset, s.Offset+int64(s.Size), len(file))
			}
		}
		// What is written from what was read reads the same.
		if track.Codec == AAC || track.PresentFrom(0) != nil {
			return
		}
		if dst, err := AppendSegmentHeader(nil, Segment{Sequence: 1, Samples: track.Samples}); err == nil && len(dst) == 0 {
			t.Fatal("no segment header")
		}
	})
}

func BenchmarkReadTrack(b *testing.B) {
	file := audioFile(b, 2*3600*48000/1024) // two hours
	r := bytes.NewReader(file)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadTrack(r, int64(len(file))); err != nil {
			b.Fatal(err)
		}
	}
}
