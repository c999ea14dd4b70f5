package e2e

import (
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"liuyun/internal/testkit"
)

// Every film, through every rung and both manifests, in ffmpeg: the pictures of
// the plan, no more, no fewer, each at its time, each showing what it should;
// the same sound by both. Parsers that are not ours find nothing wrong in the
// manifests.
func TestFilms(t *testing.T) {
	t.Parallel()
	for _, name := range filmNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := encode(t, name)
			address := p.serve(t)
			shows := films()[name].shows
			for _, r := range p.Renditions {
				checkPictures(t, r.ID+" by HLS", p, r, shows, pictures(t, address+r.Playlist, "0:v:0"))
				checkPictures(t, r.ID+" by DASH", p, r, shows, pictures(t, address+"manifest.mpd", "0:m:id:"+r.ID))
				if r.MP4 != "" {
					checkPictures(t, r.ID+" as MP4", p, r, shows, pictures(t, address+r.MP4, "0:v:0"))
				}
			}
			if len(p.Renditions) > 0 {
				checkPictures(t, "master.m3u8", p, p.Renditions[0], shows, pictures(t, address+"master.m3u8", "0:v:0"))
			}
			checkSound(t, p, address)
			if _, err := node(t, nil, "manifests.mjs", p.dir); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkPictures(t *testing.T, what string, p *presentation, r rendition, shows func(int) []int, got []picture) {
	t.Helper()
	step := p.step(r)
	if want := (p.Plan.Frames + step - 1) / step; len(got) != want {
		t.Errorf("%s: %d pictures, the plan has %d", what, len(got), want)
	}
	for i, picture := range got {
		n := i * step
		if want := p.Plan.FrameRate.Inv().Mul(int64(n), 1); picture.at.Cmp(want) != 0 {
			t.Fatalf("%s: picture %d is at %s s, want %s", what, i, picture.at, want)
		}
		if shows != nil && !slices.Contains(shows(n), picture.number) {
			t.Fatalf("%s: picture %d shows frame %d, want %v", what, i, picture.number, shows(n))
		}
	}
}

// checkSound hears each track by both manifests. It may end before the picture
// does, as in the source, and not after it.
func checkSound(t *testing.T, p *presentation, address string) {
	t.Helper()
	const frame = 2048 / 44100.0
	longest := p.Source.Duration
	if len(p.Renditions) > 0 {
		longest = p.seconds()
	}
	for _, a := range p.Audio {
		hls := heard(t, address+a.Playlist, "0:a:0")
		dash := heard(t, address+"manifest.mpd", "0:m:id:"+a.ID)
		if !slices.Equal(hls.samples, dash.samples) {
			t.Errorf("%s: %d samples by HLS, %d by DASH, or others", a.ID, len(hls.samples), len(dash.samples))
		}
		if got := float64(len(hls.samples)) / float64(hls.rate); got > longest+frame {
			t.Errorf("%s plays %.3f s, the film %.3f", a.ID, got, longest)
		}
	}
}

// The first sample is the first of the source: not one is lost or added in front,
// at the seams of segments or at the end.
func TestSoundIsExactToTheSample(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"film", "sound-only"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := encode(t, name)
			got := heard(t, p.serve(t)+p.Audio[0].Playlist, "0:a:0")
			want := heard(t, films()[name].source(t), "0:a:0")
			if len(got.samples) < len(want.samples) {
				t.Fatalf("%d samples, the source has %d", len(got.samples), len(want.samples))
			}
			for _, at := range []float64{0.05, 5, 9.5} {
				if lag := lag(got, want, at); lag != 0 {
					t.Errorf("at %g s the sound is %d samples late", at, lag)
				}
			}
		})
	}
}

// lag finds by how many samples got is behind want around a time.
func lag(got, want sound, at float64) int {
	const reach, length = 1500, 8192
	from := max(reach, int(at*float64(want.rate)))
	best, found := math.Inf(-1), 0
	for shift := -reach; shift <= reach; shift++ {
		sum := 0.0
		for i := from; i < from+length && i+shift < len(got.samples) && i < len(want.samples); i++ {
			sum += float64(want.samples[i]) * float64(got.samples[i+shift])
		}
		if sum > best {
			best, found = sum, shift
		}
	}
	return found
}

// What the pictures are like, as ffprobe reads it from the segments.
func TestLook(t *testing.T) {
	t.Parallel()
	const mastering = "side_data_type=Mastering display metadata"
	tests := []struct {
		film, rendition string
		want, not       []string
	}{
		{"rotated", "h264-180p", []string{"width=180", "height=320"}, []string{"rotation"}},
		{"shared-upright-4k60", "h264-480p", []string{"width=480", "height=854", "color_range=tv"}, []string{"rotation"}},
		{"anamorphic", "h264-576p", []string{"width=1024", "height=576", "sample_aspect_ratio=1:1"}, nil},
		{"odd-size", "h264-180p", []string{"width=320", "height=180", "pix_fmt=yuv420p"}, nil},
		{"interlaced", "h264-288p", []string{"interlaced_frame=0"}, nil},
		{"shared-hdr10", "hevc-540p", []string{"pix_fmt=yuv420p10le", "color_transfer=smpte2084", "color_primaries=bt2020", "color_space=bt2020nc", mastering}, nil},
		{"shared-hdr10", "h264-540p", []string{"pix_fmt=yuv420p", "color_transfer=bt709", "color_primaries=bt709", "color_space=bt709"}, []string{mastering}},
		{"shared-hlg", "hevc-270p", []string{"pix_fmt=yuv420p10le", "color_transfer=arib-std-b67", "color_primaries=bt2020"}, nil},
		{"shared-hlg", "h264-270p", []string{"pix_fmt=yuv420p", "color_transfer=bt709"}, nil},
	}
	for _, test := range tests {
		t.Run(test.film+"/"+test.rendition, func(t *testing.T) {
			t.Parallel()
			p := encode(t, test.film)
			i := slices.IndexFunc(p.Renditions, func(r rendition) bool { return r.ID == test.rendition })
			if i < 0 {
				t.Fatalf("there is no %s among %+v", test.rendition, p.Renditions)
			}
			out, err := exec.CommandContext(t.Context(), testkit.FFprobe(t), "-v", "error", "-select_streams", "v:0", "-show_streams", "-show_frames",
				"-read_intervals", "%+#1", p.serve(t)+p.Renditions[i].Playlist).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want+"\n") {
					name, _, _ := strings.Cut(want, "=")
					t.Errorf("want %s, got %q", want, regexp.MustCompile(`(?m)^`+name+`=.*$`).FindAll(out, -1))
				}
			}
			for _, not := range test.not {
				if strings.Contains(string(out), not) {
					t.Errorf("%s is there", not)
				}
			}
		})
	}
}

// The playlists of a film say how long it is, to the frame. (ffmpeg reads whole
// seconds from an MPD: mpd-parser judges that one, in TestFilms.)
func TestDurations(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"film", "broadcast", "edited", "variable"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := encode(t, name)
			out, err := exec.CommandContext(t.Context(), testkit.FFprobe(t), "-v", "error", "-show_entries", "format=duration",
				"-of", "csv=p=0", filepath.Join(p.dir, p.Renditions[0].Playlist)).Output()
			var got float64
			if _, scan := fmt.Sscan(string(out), &got); err != nil || scan != nil {
				t.Fatalf("%v %v %q", err, scan, out)
			}
			if math.Abs(got-p.seconds()) > 0.001 {
				t.Errorf("lasts %.4f s, the plan %.4f", got, p.seconds())
			}
		})
	}
}
