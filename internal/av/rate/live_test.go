package rate

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"liuyun/internal/base/timebase"
)

func TestLive(t *testing.T) {
	t.Parallel()
	hd := Source{1920, 1080, timebase.R(25, 1)}
	for _, test := range []struct {
		name  string
		src   Source
		asked string
		whole bool
		want  string
	}{
		{"none", hd, "", false, ""},
		{"none, whatever the source", hd, "", true, ""},
		{"auto", hd, "auto", false, "720p 480p 360p"},
		{"auto, whole", hd, "auto", true, "1080p 720p 480p 360p"},
		{"auto of 4K", Source{3840, 2160, timebase.R(25, 1)}, "auto", true, "1080p 720p 480p 360p"},
		{"auto of 720p", Source{1280, 720, timebase.R(50, 1)}, "auto", false, "480p 360p"},
		{"auto of portrait", Source{720, 1280, timebase.R(30, 1)}, "auto", false, "480p 360p"},
		{"auto of what is small", Source{480, 270, timebase.R(30, 1)}, "auto", false, ""},
		{"whole of what is small", Source{480, 270, timebase.R(30, 1)}, "auto", true, "270p"},
		{"auto of 1024x768", Source{1024, 768, timebase.R(30, 1)}, "auto", false, "480p 360p"},
		{"named, in any order", hd, "360p 1080p", false, "1080p 360p"},
		{"named and larger than the source", Source{1280, 720, timebase.R(25, 1)}, "1080p 720p 360p", false, "720p 360p"},
		{"named and whole", hd, "480p", true, "1080p 480p"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, r := range Live(test.src, strings.Fields(test.asked), test.whole) {
				got = append(got, r.Name)
			}
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("got %q, want %q", text, test.want)
			}
		})
	}
}

func TestLiveProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		src := drawSource(t)
		names := rapid.SampledFrom([][]string{{Auto}, LiveNames(), {"720p", "360p"}, nil}).Draw(t, "names")
		rungs := Live(src, names, rapid.Bool().Draw(t, "whole"))
		for i, r := range rungs {
			if r.Width > src.Width || r.Height > src.Height || r.Width%2 != 0 || r.Height%2 != 0 || r.Step != 1 || r.Cap < 100e3 {
				t.Fatalf("%+v of %+v", r, src)
			}
			if i > 0 && (r.Width*r.Height > rungs[i-1].Width*rungs[i-1].Height || r.Cap > rungs[i-1].Cap) {
				t.Fatalf("%+v does not come below %+v", r, rungs[i-1])
			}
		}
		if len(rungs) > 0 && len(names) == 0 {
			t.Fatalf("%+v, and nobody asked", rungs)
		}
	})
}

func TestCheckLive(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{nil, {Auto}, {"720p"}, LiveNames()} {
		if err := CheckLive(names); err != nil {
			t.Errorf("%q: got %v, want none", names, err)
		}
	}
	for text, want := range map[string]string{
		"auto 720p": "not one of", "240p": "not one of", "720": "not one of", "720p 480p 720p": "named twice",
	} {
		if err := CheckLive(strings.Fields(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if !slices.IsSortedFunc(LiveNames(), func(a, b string) int { return len(b) - len(a) }) {
		t.Error("the names are not the largest first")
	}
}
