package mp4

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	ffbits "github.com/Eyevinn/mp4ff/bits"
	ff "github.com/Eyevinn/mp4ff/mp4"
	"github.com/google/go-cmp/cmp"
)

// parse lets mp4ff decode what was written.
func parse(t *testing.T, data []byte) *ff.File {
	t.Helper()
	file, err := ff.DecodeFileSR(ffbits.NewFixedSliceReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestVideoInit(t *testing.T) {
	t.Parallel()
	video := testVideo(t)
	video.Colour = &Colour{Primaries: 1, Transfer: 1, Matrix: 1, FullRange: true}
	video.Mastering = &Mastering{Red: Chromaticity{5, 6}, Green: Chromaticity{1, 2}, Blue: Chromaticity{3, 4}, White: Chromaticity{7, 8}, MaxLuminance: 9, MinLuminance: 10}
	video.ContentLight = &ContentLight{MaxContent: 1000, MaxFrameAverage: 400}
	data, err := AppendVideoInit([]byte("kept"), video)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("kept")) {
		t.Error("what was in dst is gone")
	}
	file := parse(t, data[4:])
	if got, want := file.Ftyp.CompatibleBrands(), []string{"iso6", "cmfc"}; file.Ftyp.MajorBrand() != "cmfc" || !slices.Equal(got, want) {
		t.Errorf("brands = %s, %v, want cmfc, %v", file.Ftyp.MajorBrand(), got, want)
	}
	trak := file.Moov.Trak
	if trak.Edts != nil || file.Moov.Mvex.Trex == nil || trak.Mdia.Minf.Stbl.Stsz.SampleNumber != 0 {
		t.Error("want no edit list, a trex, and no samples")
	}
	entry := trak.Mdia.Minf.Stbl.Stsd.AvcX
	var config bytes.Buffer
	if err := entry.AvcC.DecConfRec.Encode(&config); err != nil {
		t.Fatal(err)
	}
	if entry.Type() != "avc1" || !bytes.Equal(config.Bytes(), video.Config) {
		t.Errorf("%s with %x, want avc1 with %x", entry.Type(), config.Bytes(), video.Config)
	}
	var colour *ff.ColrBox
	for _, child := range entry.Children {
		if b, ok := child.(*ff.ColrBox); ok {
			colour = b
		}
	}
	want := []ff.Box{
		&ff.PaspBox{HSpacing: 1, VSpacing: 1},
		&ff.ColrBox{ColorType: "nclx", ColorPrimaries: 1, TransferCharacteristics: 1, MatrixCoefficients: 1, FullRangeFlag: true},
		ff.CreateMdcvBox([3]uint16{1, 3, 5}, [3]uint16{2, 4, 6}, 7, 8, 9, 10),
		ff.CreateClliBox(1000, 400),
	}
	if diff := cmp.Diff(want, []ff.Box{entry.Pasp, colour, entry.Mdcv, entry.Clli}); diff != "" {
		t.Errorf("boxes (-want +got):\n%s", diff)
	}
}

func TestVideoInitWithStart(t *testing.T) {
	t.Parallel()
	video := testVideo(t)
	video.MediaStart = 1024
	data, err := AppendVideoInit(nil, video)
	if err != nil {
		t.Fatal(err)
	}
	want := []ff.ElstEntry{{SegmentDuration: 0, MediaTime: 1024, MediaRateInteger: 1}}
	if diff := cmp.Diff(want, parse(t, data).Moov.Trak.Edts.Elst[0].Entries); diff != "" {
		t.Errorf("edit list (-want +got):\n%s", diff)
	}
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	videos := map[string]func(*VideoTrack){
		`codec "vp9"`:           func(v *VideoTrack) { v.Codec = "vp9" },
		"configuration":         func(v *VideoTrack) { v.Config = v.Config[:9] },
		"0×108 pixels":          func(v *VideoTrack) { v.Width = 0 },
		"192×70000 pixels":      func(v *VideoTrack) { v.Height = 70000 },
		"no timescale":          func(v *VideoTrack) { v.Timescale = 0 },
		"starts at -1":          func(v *VideoTrack) { v.MediaStart = -1 },
		"starts at 2147483648 ": func(v *VideoTrack) { v.MediaStart = 1 << 31 },
	}
	for want, spoil := range videos {
		video := testVideo(t)
		spoil(&video)
		if _, err := AppendVideoInit(nil, video); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("AppendVideoInit = %v, want %q", err, want)
		}
	}
	audios := map[string]func(*AudioTrack){
		"audio specific config": func(a *AudioTrack) { a.Config = nil },
		"of 70 bytes":           func(a *AudioTrack) { a.Config = append(a.Config, make([]byte, 65)...) },
		"0 channels":            func(a *AudioTrack) { a.Channels = 0 },
		"at 0 Hz":               func(a *AudioTrack) { a.SampleRate = 0 },
		"no timescale":          func(a *AudioTrack) { a.Timescale = 0 },
		"priming of -1":         func(a *AudioTrack) { a.Priming = -1 },
		"-1 bit/s":              func(a *AudioTrack) { a.Bitrate = -1 },
	}
	for want, spoil := range audios {
		audio := testAudio(t)
		spoil(&audio)
		if _, err := AppendAudioInit(nil, audio); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("AppendAudioInit = %v, want %q", err, want)
		}
	}
}

func TestAudioInit(t *testing.T) {
	t.Parallel()
	tests := []struct{ language, code, extended string }{
		{"", "und", ""},
		{"eng", "eng", ""},
		{"por-BR", "por", "por-BR"},
		{"pt-BR", "und", "pt-BR"},
		{"de", "und", "de"},
		{"ENG", "eng", ""},
		{"engl", "und", "engl"},
		{"zh-Hans", "und", "zh-Hans"},
		{"-", "und", ""},
	}
	for _, tt := range tests {
		audio := testAudio(t)
		audio.Language = tt.language
		audio.Bitrate = 128_000
		data, err := AppendAudioInit(nil, audio)
		if err != nil {
			t.Fatal(err)
		}
		trak := parse(t, data).Moov.Trak
		extended := ""
		if trak.Mdia.Elng != nil {
			extended = trak.Mdia.Elng.Language
		}
		if got := trak.Mdia.Mdhd.GetLanguage(); got != tt.code || extended != tt.extended {
			t.Errorf("language %q: %q and %q, want %q and %q", tt.language, got, extended, tt.code, tt.extended)
		}
		entry := trak.Mdia.Minf.Stbl.Stsd.Mp4a
		if entry.ChannelCount != 2 || entry.SampleRate != 48000 || entry.Esds.DecConfigDescriptor.AvgBitrate != 128_000 ||
			!bytes.Equal(entry.Esds.DecConfigDescriptor.DecSpecificInfo.DecConfig, audio.Config) {
			t.Errorf("sample entry = %+v", entry)
		}
		want := []ff.ElstEntry{{SegmentDuration: 0, MediaTime: 1024, MediaRateInteger: 1}}
		if diff := cmp.Diff(want, trak.Edts.Elst[0].Entries); diff != "" {
			t.Errorf("edit list (-want +got):\n%s", diff)
		}
	}
}

func TestSegmentHeader(t *testing.T) {
	t.Parallel()
	perSample := testPictures(4)
	perSample[2].Sync = true
	perSample[3].Duration = 500
	onlyOne := []Sample{{Size: 70, Duration: 512, Sync: true}}
	tests := []struct {
		name      string
		samples   []Sample
		tfhd      uint32 // flags
		trun      uint32
		firstFlag uint32
	}{
		{"pictures", testPictures(4), 0x020028, 0xa05, 0x02000000},
		{"each its own", perSample, 0x020000, 0xf01, 0},
		{"sound", testSound(3), 0x020038, 0x001, 0},
		{"one picture", onlyOne, 0x020038, 0x001, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			head, err := AppendSegmentHeader(nil, Segment{Sequence: 7, DecodeTime: 1 << 33, Samples: tt.samples})
			if err != nil {
				t.Fatal(err)
			}
			data := slices.Clone(head)
			for _, s := range tt.samples {
				data = append(data, make([]byte, s.Size)...)
			}
			if mdat := head[len(head)-8:]; string(mdat[4:]) != "mdat" || int(binary.BigEndian.Uint32(mdat)) != len(data)-len(head)+8 {
				t.Errorf("header ends with %q, want that of mdat", mdat)
			}
			segment := parse(t, data).Segments[0]
			if segment.Styp.MajorBrand() != "cmfs" {
				t.Errorf("styp = %q, want cmfs", segment.Styp.MajorBrand())
			}
			moof := segment.Fragments[0].Moof
			tfhd, tfdt, trun := moof.Traf.Tfhd, moof.Traf.Tfdt, moof.Traf.Trun
			if moof.Mfhd.SequenceNumber != 7 || tfdt.Version != 1 || tfdt.BaseMediaDecodeTime() != 1<<33 || trun.Version != 1 {
				t.Errorf("sequence %d, decode time %d in version %d, trun version %d", moof.Mfhd.SequenceNumber, tfdt.BaseMediaDecodeTime(), tfdt.Version, trun.Version)
			}
			if tfhd.Flags != tt.tfhd || trun.Flags != tt.trun {
				t.Errorf("flags tfhd %#x, trun %#x, want %#x, %#x", tfhd.Flags, trun.Flags, tt.tfhd, tt.trun)
			}
			if got := int(moof.StartPos) + int(trun.DataOffset); got != len(head) {
				t.Errorf("samples start at byte %d, want %d", got, len(head))
			}
			if flags, _ := trun.FirstSampleFlags(); flags != tt.firstFlag {
				t.Errorf("flags of the first sample %#x, want %#x", flags, tt.firstFlag)
			}
			trun.AddSampleDefaultValues(tfhd, nil)
			var want []ff.Sample
			for _, s := range tt.samples {
				flags := uint32(0x01010000)
				if s.Sync {
					flags = 0x02000000
				}
				want = append(want, ff.Sample{Flags: flags, Dur: s.Duration, Size: s.Size, CompositionTimeOffset: s.CompositionOffset})
			}
			if diff := cmp.Diff(want, trun.Samples); diff != "" {
				t.Errorf("samples (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSegmentHeaderRefuses(t *testing.T) {
	t.Parallel()
	for want, samples := range map[string][]Sample{
		"segment 3: no samples":       nil,
		"segment 3: 4294967303 bytes": {{Size: 1<<32 - 1}},
	} {
		if _, err := AppendSegmentHeader(nil, Segment{Sequence: 3, Samples: samples}); err == nil || err.Error() != want {
			t.Errorf("AppendSegmentHeader = %v, want %q", err, want)
		}
	}
}

func BenchmarkAppendSegmentHeader(b *testing.B) {
	segment := Segment{Sequence: 1, Samples: testPictures(240)}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = AppendSegmentHeader(dst[:0], segment); err != nil {
			b.Fatal(err)
		}
	}
}
