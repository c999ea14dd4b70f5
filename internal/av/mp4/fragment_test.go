package mp4

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	ff "github.com/Eyevinn/mp4ff/mp4"
	"github.com/google/go-cmp/cmp"
)

// fragmentOf is a fragment of samples with bytes of their own.
func fragmentOf(samples []Sample) Fragment {
	f := Fragment{Sequence: 7, DecodeTime: 1 << 33, Samples: samples}
	for i := range samples {
		f.Data = append(f.Data, bytes.Repeat([]byte{byte(i + 1)}, 10+i))
	}
	return f
}

func TestFragment(t *testing.T) {
	t.Parallel()
	early := testPictures(4)
	early[1].CompositionOffset = -512
	early[3].Duration = 500
	for name, samples := range map[string][]Sample{
		"pictures": testPictures(5), "negative offsets": early, "sound": testSound(3),
		"one": {{Duration: 512, Sync: true}}, "no key": {{Duration: 512}, {Duration: 512}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fragmentOf(samples)
			data, err := AppendFragment([]byte("kept"), f)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(data, []byte("kept")) || string(data[8:12]) != "moof" {
				t.Errorf("starts with %q, want what was in dst, and moof", data[:12])
			}
			fragments := parse(t, data[4:]).Segments[0].Fragments
			if len(fragments) != 1 || len(fragments[0].Children) != 2 {
				t.Fatalf("%d fragments, want one of moof and mdat", len(fragments))
			}
			moof := fragments[0].Moof
			tfhd, tfdt, trun := moof.Traf.Tfhd, moof.Traf.Tfdt, moof.Traf.Trun
			if moof.Mfhd.SequenceNumber != 7 || tfhd.TrackID != 1 || tfdt.Version != 1 || tfdt.BaseMediaDecodeTime() != 1<<33 || trun.Version != 1 {
				t.Errorf("sequence %d, track %d, decode time %d in version %d, trun version %d",
					moof.Mfhd.SequenceNumber, tfhd.TrackID, tfdt.BaseMediaDecodeTime(), tfdt.Version, trun.Version)
			}
			if tfhd.Flags != 0x020000 || trun.Flags != 0xf01 {
				t.Errorf("flags tfhd %#x, trun %#x, want %#x, %#x", tfhd.Flags, trun.Flags, 0x020000, 0xf01)
			}
			var want []ff.Sample
			for i, s := range samples {
				flags := uint32(0x01010000) // no sync sample, depends on others
				if s.Sync {
					flags = 0x02000000
				}
				want = append(want, ff.Sample{Flags: flags, Dur: s.Duration, Size: uint32(len(f.Data[i])), CompositionTimeOffset: s.CompositionOffset})
			}
			if diff := cmp.Diff(want, trun.Samples); diff != "" {
				t.Errorf("samples (-want +got):\n%s", diff)
			}
			if got, want := data[4+trun.DataOffset:], slices.Concat(f.Data...); !bytes.Equal(got, want) {
				t.Errorf("data = %x, want %x to the end", got, want)
			}
		})
	}
}

func TestFragmentOfAnotherTrack(t *testing.T) {
	t.Parallel()
	f := fragmentOf(testSound(2))
	f.Track = 3
	data, err := AppendFragment(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	if got := parse(t, data).Segments[0].Fragments[0].Moof.Traf.Tfhd.TrackID; got != 3 {
		t.Errorf("track %d, want 3", got)
	}
}

func TestFragmentRefuses(t *testing.T) {
	t.Parallel()
	huge := make([]byte, 1<<20)
	for want, f := range map[string]Fragment{
		"fragment 3: 0 samples, the data of 0": {Sequence: 3},
		"fragment 3: 2 samples, the data of 1": {Sequence: 3, Samples: testSound(2), Data: [][]byte{{1}}},
		"fragment 3: 2147483656 bytes":         {Sequence: 3, Samples: make([]Sample, 2048), Data: slices.Repeat([][]byte{huge}, 2048)},
	} {
		dst, err := AppendFragment([]byte("kept"), f)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("AppendFragment = %v, want %q", err, want)
		}
		if string(dst) != "kept" {
			t.Errorf("dst is %q after an error", dst)
		}
	}
}

// appendParts writes samples of file as fragments of at most n samples.
func appendParts(t *testing.T, dst, file []byte, samples []Sample, n int, sequence *uint32, at *uint64) []byte {
	t.Helper()
	for part := range slices.Chunk(samples, n) {
		f := Fragment{Sequence: *sequence, DecodeTime: *at, Samples: part}
		for _, s := range part {
			f.Data = append(f.Data, file[s.Offset:s.Offset+int64(s.Size)])
			*at += uint64(s.Duration)
		}
		var err error
		if dst, err = AppendFragment(dst, f); err != nil {
			t.Fatal(err)
		}
		*sequence++
	}
	return dst
}

// TestVideoThroughFragments lets ffmpeg decode a stream of parts: every picture
// comes out, at its time, far from zero too.
func TestVideoThroughFragments(t *testing.T) {
	t.Parallel()
	c := videoCases()[0]
	units := encodeUnits(t, c)
	tracks := readUnits(t, c, units)
	for _, n := range []int{1, 7, math.MaxInt} {
		stream, err := AppendVideoInit(nil, videoTrack(tracks[0]))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		sequence, at, total := uint32(1), uint64(0), 0
		for i, unit := range units {
			stream = appendParts(t, stream, unit, tracks[i].Samples, n, &sequence, &at)
			want = append(want, pictures(t, save(t, "unit.mp4", unit))...)
			total += unitLengths[i]
		}
		path := save(t, "stream.mp4", stream)
		checkTimes(t, path, total)
		if got := pictures(t, path); !slices.Equal(got, want) {
			t.Errorf("parts of %d: decoded pictures = %v, want those of the units, %v", n, got, want)
		}
	}
}

func TestAudioThroughFragments(t *testing.T) {
	t.Parallel()
	file := encodeImpulse(t)
	track := readAudio(t, file)
	stream, err := AppendAudioInit(nil, audioTrackOf(track))
	if err != nil {
		t.Fatal(err)
	}
	sequence, at := uint32(1), uint64(0)
	stream = appendParts(t, stream, file, track.Samples, 24, &sequence, &at)
	checkImpulse(t, save(t, "stream.mp4", stream), "0:a:0")
}

// TestFragmentsLate reads a part whose time does not fit 32 bits.
func TestFragmentsLate(t *testing.T) {
	t.Parallel()
	c := videoCases()[0]
	unit := encodeUnits(t, c)[0]
	track := readUnit(t, c, unit, unitLengths[0])
	stream, err := AppendVideoInit(nil, videoTrack(track))
	if err != nil {
		t.Fatal(err)
	}
	const start = 1 << 40
	sequence, at := uint32(1<<32-1), uint64(start)
	stream = appendParts(t, stream, unit, track.Samples, len(track.Samples), &sequence, &at)
	if got := packetTimes(t, save(t, "late.mp4", stream), "v:0"); len(got) != unitLengths[0] || got[0] < start-unitTimescale || got[0] > start+unitTimescale {
		t.Errorf("%d pictures from %d, want %d from about %d", len(got), got[0], unitLengths[0], start)
	}
}

func BenchmarkAppendFragment(b *testing.B) {
	f := fragmentOf(testPictures(15))
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = AppendFragment(dst[:0], f); err != nil {
			b.Fatal(err)
		}
	}
}
