package mp4

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// streamed is what a StreamReader handed on.
type streamed struct {
	track   *Track
	samples []StreamSample
}

// readStream writes stream in pieces of those sizes, in turn.
func readStream(stream []byte, pieces ...int) (got streamed, err error) {
	r := StreamReader{
		Init:   func(t *Track) error { got.track = t; return nil },
		Sample: func(s StreamSample) error { got.samples = append(got.samples, s); return nil },
	}
	for i := 0; len(stream) > 0 && err == nil; i++ {
		n := min(max(pieces[i%len(pieces)], 1), len(stream))
		_, err = r.Write(stream[:n])
		stream = stream[n:]
	}
	return got, err
}

// streamOf is a stream of a few fragments, as we write them, and what is in it.
func streamOf(t testing.TB, fragments int) (stream []byte, want []StreamSample) {
	t.Helper()
	stream, err := AppendVideoInit(nil, VideoTrack{Codec: H264, Config: avcConfig(), Width: 320, Height: 180, Timescale: 90000})
	if err != nil {
		t.Fatal(err)
	}
	at := int64(1) << 40
	for n := range fragments {
		f := Fragment{Sequence: uint32(n + 1), DecodeTime: uint64(at)}
		for i := range n%3 + 1 {
			s := Sample{Duration: uint32(3000 + n), CompositionOffset: int32(i - 1), Sync: i == 0}
			data := bytes.Repeat([]byte{byte(n), byte(i)}, 10*n+i)
			f.Samples, f.Data = append(f.Samples, s), append(f.Data, data)
			want = append(want, StreamSample{DecodeTime: at, CompositionOffset: s.CompositionOffset, Duration: s.Duration, Sync: s.Sync, Data: data})
			at += int64(s.Duration)
		}
		if stream, err = AppendFragment(stream, f); err != nil {
			t.Fatal(err)
		}
	}
	return stream, want
}

// avcConfig is a small avcC.
func avcConfig() []byte {
	return []byte{1, 100, 0, 13, 0xff, 0xe1, 0, 4, 0x67, 100, 0, 13, 1, 0, 2, 0x68, 0xee, 0xfc, 0xf8, 0xf8, 0}
}

// What comes out is what went in, in whatever pieces it came.
func TestStreamReader(t *testing.T) {
	t.Parallel()
	stream, want := streamOf(t, 7)
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.IntRange(1, 400), 1, 8).Draw(t, "pieces")
		got, err := readStream(stream, pieces...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.samples); diff != "" {
			t.Fatalf("samples (-want +got):\n%s", diff)
		}
		if k := got.track; k.Codec != H264 || k.Timescale != 90000 || k.Width != 320 || k.Height != 180 || !bytes.Equal(k.Config, avcConfig()) {
			t.Fatalf("track: %+v", k)
		}
	})
}

func TestStreamReaderOfSound(t *testing.T) {
	t.Parallel()
	dops := []byte{0, 2, 1, 56, 0, 0, 0xbb, 0x80, 0, 0, 0}
	stream, err := AppendAudioInit(nil, AudioTrack{Codec: Opus, Config: dops, Channels: 2, SampleRate: 48000, Timescale: 48000})
	if err != nil {
		t.Fatal(err)
	}
	got, err := readStream(stream, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	if k := got.track; k.Codec != Opus || k.Timescale != 48000 || k.Channels != 2 || !bytes.Equal(k.Config, dops) {
		t.Errorf("track: %+v", k)
	}
}

func TestStreamReaderRefuses(t *testing.T) {
	t.Parallel()
	stream, _ := streamOf(t, 2)
	at := func(kind string, n int) int {
		from := 0
		for range n {
			from += bytes.Index(stream[from:], []byte(kind)) + 4
		}
		return from - 8
	}
	change := func(offset int, value ...byte) []byte {
		out := bytes.Clone(stream)
		copy(out[offset:], value)
		return out
	}
	moof, mdat, trun := at("moof", 1), at("mdat", 1), at("trun", 1)
	for name, test := range map[string]struct {
		stream []byte
		want   string
	}{
		"nothing but noise":    {[]byte("no media at all, only text"), "of 1852776557 bytes"},
		"a large moof":         {change(moof, 0x7f), "moof"},
		"a large mdat":         {change(mdat, 0x7f), "mdat"},
		"a small box":          {change(moof, 0, 0, 0, 7), "of 7 bytes"},
		"no moov":              {stream[moof:], "before the moov"},
		"two moovs":            {slices.Concat(stream[:moof], stream[:moof]), "a second moov"},
		"no mdat":              {slices.Concat(stream[:mdat], stream[moof:]), "without an mdat"},
		"a large sample":       {change(trun+24, 0x7f), "shorter than its samples"},
		"many samples":         {change(trun+12, 0x7f), "samples"},
		"more samples than it": {change(trun+12, 0, 0, 0, 9), "cut short"},
		"no time":              {change(at("tfdt", 1)+4, 'x', 'x', 'x', 'x'), "no time"},
	} {
		if _, err := readStream(test.stream, math.MaxInt); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

// An error of who takes the samples is the writer's, for ever.
func TestStreamReaderStops(t *testing.T) {
	t.Parallel()
	stream, _ := streamOf(t, 3)
	full := errors.New("full")
	calls := 0
	r := StreamReader{Init: func(*Track) error { return nil }, Sample: func(StreamSample) error { calls++; return full }}
	for range 2 {
		if _, err := r.Write(stream); !errors.Is(err, full) {
			t.Errorf("got %v, want %v", err, full)
		}
	}
	if calls != 1 {
		t.Errorf("%d samples after an error, want 1", calls)
	}
}

func FuzzStreamReader(f *testing.F) {
	stream, _ := streamOf(f, 4)
	f.Add(stream, 7)
	f.Add(stream[:len(stream)-5], 1000)
	f.Add([]byte("\x00\x00\x00\x08moov"), 3)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		got, err := readStream(stream, piece)
		whole, errWhole := readStream(stream, math.MaxInt)
		if (err == nil) != (errWhole == nil) || !cmp.Equal(got.samples, whole.samples) {
			t.Errorf("pieces: %d samples, %v; whole: %d samples, %v", len(got.samples), err, len(whole.samples), errWhole)
		}
		total := 0
		for _, s := range got.samples {
			total += len(s.Data)
		}
		if total > len(stream) {
			t.Errorf("%d bytes of samples in a stream of %d", total, len(stream))
		}
	})
}
