package ffmpeg

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
)

// The pictures that go into the encoder are those that are asked for, and what
// comes out is told apart by them; a zone's quality is that of its pictures alone.
func TestSamplesAndZones(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	path := testkit.Generate(t, testkit.Numbered("25", 100))
	for _, codec := range []string{"h264", "hevc"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			if !tools.HasEncoder(EncoderFor(codec)) {
				t.Skipf("%s is not in this ffmpeg", EncoderFor(codec))
			}
			out := rung("out.mp4", 320, 180, 0)
			out.Codec, out.Preset, out.Quality = codec, "veryfast", 18
			if codec == "hevc" {
				out.Level, out.References = "4", 0
			}
			at := []int{10, 40, 70, 90}
			size := out.LumaBytes()
			encode := func(zones ...Zone) (decoded [][]byte) {
				o := out
				o.Zones = zones
				folder := t.TempDir()
				unit := Unit{
					TimeBase: timebase.R(1, 12800), Picture: sdr(320, 180), To: 1 << 40, FrameRate: timebase.R(25, 1), Count: 100, Hold: true,
					Outputs: []Output{o}, Samples: &Samples{At: at, File: "samples.luma"},
				}
				if _, err := tools.Encode(t.Context(), Command{Input: open(t, path), Dir: folder}, unit); err != nil {
					t.Fatal(err)
				}
				reference, err := os.ReadFile(filepath.Join(folder, "samples.luma"))
				if err != nil || len(reference) != 2*len(at)*size {
					t.Fatalf("got %d bytes of samples, %v, want %d pictures", len(reference), err, 2*len(at))
				}
				var all, small [][]byte
				into := func(list *[][]byte) PictureReader {
					return func(luma []byte) error { *list = append(*list, slices.Clone(luma)); return nil }
				}
				run := func() Command {
					return Command{Input: open(t, filepath.Join(folder, o.File)), Dir: t.TempDir()}
				}
				_, err = tools.DecodeSamples(t.Context(), run(), at, size, into(&decoded), &Squeezed{Width: 80, Height: 48, Each: into(&all)})
				if err != nil || len(decoded) != len(at) {
					t.Fatalf("got %d pictures, %v", len(decoded), err)
				}
				if _, err = tools.DecodeSmall(t.Context(), run(), 80, 48, into(&small)); err != nil || len(all) != 100 || !slices.EqualFunc(all, small, bytes.Equal) {
					t.Errorf("got %d small pictures beside, %d alone, %v", len(all), len(small), err)
				}
				var alone [][]byte
				if _, err = tools.DecodeSamples(t.Context(), run(), at, size, into(&alone), nil); err != nil || !slices.EqualFunc(decoded, alone, bytes.Equal) {
					t.Errorf("got others of %d pictures without the small ones, %v", len(alone), err)
				}
				for i, n := range at {
					for k, want := range []int{n - 1, n} {
						picture := reference[(2*i+k)*size:][:size]
						if got := testkit.FrameNumber(picture, 320, 320, 180); got != want {
							t.Errorf("sample %d shows picture %d, want %d", 2*i+k, got, want)
						}
					}
					if got := testkit.FrameNumber(decoded[i], 320, 320, 180); got != n {
						t.Errorf("decoded picture %d, want %d", got, n)
					}
				}
				return decoded
			}
			plain, zoned := encode(), encode(Zone{From: 50, To: 100, Quality: 48})
			off := func(a, b []byte) (sum int) {
				for i := range a {
					d := int(a[i]) - int(b[i])
					sum += d * d
				}
				return sum
			}
			if first, second := off(plain[1], zoned[1]), off(plain[3], zoned[3]); second <= 4*first || bytes.Equal(plain[3], zoned[3]) {
				t.Errorf("before the zone pictures differ by %d, in it by %d", first, second)
			}
		})
	}
}
