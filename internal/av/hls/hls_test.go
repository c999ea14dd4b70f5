package hls

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/hls-m3u8/m3u8"
	"pgregory.net/rapid"

	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
)

type appender interface {
	AppendTo([]byte) ([]byte, error)
}

func ladder() *Multivariant {
	ntsc := timebase.R(30000, 1001)
	variant := func(name string, w, h int, bandwidth int64, codec string, r VideoRange) Variant {
		return Variant{
			URI: "video/" + name + "/index.m3u8", Bandwidth: bandwidth, AverageBandwidth: bandwidth * 3 / 4,
			Codecs:  []string{codec, "mp4a.40.2"},
			Picture: Picture{w, h, r}, FrameRate: ntsc, Audio: "stereo", Subtitles: "subtitles",
		}
	}
	return &Multivariant{
		Media: []Media{
			{Type: Audio, Group: "stereo", Name: "English", Language: "en", Default: true, Channels: 2, URI: "audio/en-2/index.m3u8"},
			{Type: Audio, Group: "stereo", Name: "普通话", Language: "zh-Hans", Autoselect: true, Channels: 2, URI: "audio/zh-2/index.m3u8"},
			{Type: Subtitles, Group: "subtitles", Name: "English (SDH)", Language: "en", Autoselect: true,
				Characteristics: []string{"public.accessibility.transcribes-spoken-dialog", "public.accessibility.describes-music-and-sound"},
				URI:             "text/en/index.m3u8"},
			{Type: Subtitles, Group: "subtitles", Name: "Français", Language: "fr", Autoselect: true, Forced: true, URI: "text/fr/index.m3u8"},
		},
		Variants: []Variant{
			variant("h264-1080p", 1920, 1080, 5_400_123, "avc1.640028", SDR),
			variant("h264-360p", 640, 360, 812_000, "avc1.64001e", SDR),
			variant("hevc-1080p", 1920, 1080, 3_900_001, "hvc1.2.4.L120.B0", PQ),
		},
		IFrames: []IFrameVariant{{
			URI: "video/h264-360p/iframes.m3u8", Bandwidth: 150_000, AverageBandwidth: 90_000,
			Codecs: []string{"avc1.64001e"}, Picture: Picture{640, 360, SDR},
		}},
	}
}

func goldens() map[string]appender {
	media := func(kind Kind) *MediaPlaylist {
		return &MediaPlaylist{Kind: kind, Target: 6 * time.Second, Timescale: 30000, Map: "init.mp4"}
	}
	video, audio, iframes, text := media(Fragments), media(Fragments), media(IFrames), media(WebVTT)
	for i, frames := range []int64{120, 150, 61} {
		video.Segments = append(video.Segments, Segment{URI: fmt.Sprintf("seg-%05d.m4s", i+1), Duration: frames * 1001})
		iframes.Segments = append(iframes.Segments, Segment{
			URI: fmt.Sprintf("seg-%05d.m4s", i+1), Duration: frames * 1001, Range: Range{int64(100 * i), 4321},
		})
		text.Segments = append(text.Segments, Segment{URI: fmt.Sprintf("seg-%05d.vtt", i+1), Duration: frames * 1001})
	}
	text.Map = ""
	audio.Timescale = 48000
	for i, samples := range []int64{188 * 1024, 187 * 1024, 188 * 1024} {
		audio.Segments = append(audio.Segments, Segment{URI: fmt.Sprintf("seg-%05d.m4s", i+1), Duration: samples})
	}
	return map[string]appender{
		"multivariant.m3u8": ladder(),
		"video.m3u8":        video,
		"audio.m3u8":        audio,
		"iframes.m3u8":      iframes,
		"subtitles.m3u8":    text,
		"audio-only.m3u8": &Multivariant{
			Variants: []Variant{{URI: "audio/en-2/index.m3u8", Bandwidth: 130_000, AverageBandwidth: 128_000, Codecs: []string{"mp4a.40.2"}}},
		},
		"audio-only-groups.m3u8": &Multivariant{
			Media: []Media{
				{Type: Audio, Group: "a", Name: "English", Language: "en", Default: true, Channels: 6},
				{Type: Audio, Group: "a", Name: "Commentary", Channels: 2, URI: "audio/commentary/index.m3u8"},
			},
			Variants: []Variant{{URI: "audio/en-6/index.m3u8", Bandwidth: 330_000, Codecs: []string{"mp4a.40.2"}, Audio: "a"}},
		},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, playlist := range goldens() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := playlist.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			testkit.Golden(t, filepath.Join("testdata", name), got)
		})
	}
}

// TestForeignParser reads every golden with a parser that is not ours.
func TestForeignParser(t *testing.T) {
	t.Parallel()
	for name, playlist := range goldens() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := playlist.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			parsed, _, err := m3u8.DecodeFrom(bytes.NewReader(text), true)
			if err != nil {
				t.Fatalf("strict parser: %v", err)
			}
			switch want := playlist.(type) {
			case *Multivariant:
				compareMultivariant(t, parsed.(*m3u8.MasterPlaylist), want)
			case *MediaPlaylist:
				compareMedia(t, parsed.(*m3u8.MediaPlaylist), want)
			}
		})
	}
}

func compareMultivariant(t *testing.T, got *m3u8.MasterPlaylist, want *Multivariant) {
	t.Helper()
	if !got.IndependentSegments() {
		t.Error("segments are not declared independent")
	}
	if g, w := len(got.Variants), len(want.Variants)+len(want.IFrames); g != w {
		t.Fatalf("got %d variants, want %d", g, w)
	}
	for i, w := range want.Variants {
		g := got.Variants[i]
		resolution := ""
		if w.Picture != (Picture{}) {
			resolution = fmt.Sprintf("%dx%d", w.Picture.Width, w.Picture.Height)
		}
		gotText := fmt.Sprint(g.URI, g.Bandwidth, g.AverageBandwidth, g.Codecs, g.Resolution, g.VideoRange, g.Audio, g.Subtitles, g.Captions)
		wantText := fmt.Sprint(w.URI, w.Bandwidth, w.AverageBandwidth, strings.Join(w.Codecs, ","), resolution, w.Picture.Range, w.Audio, w.Subtitles, "NONE")
		if gotText != wantText {
			t.Errorf("variant %d: got %s, want %s", i, gotText, wantText)
		}
	}
	if g, w := len(got.GetAllAlternatives()), len(want.Media); g != w {
		t.Errorf("got %d renditions, want %d", g, w)
	}
}

func compareMedia(t *testing.T, got *m3u8.MediaPlaylist, want *MediaPlaylist) {
	t.Helper()
	if g, w := got.TargetDuration, uint(want.Target/time.Second); g != w {
		t.Errorf("got target %d, want %d", g, w)
	}
	if got.Iframe != (want.Kind == IFrames) || !got.Closed || got.MediaType != m3u8.VOD {
		t.Errorf("got iframe %v, closed %v, type %v", got.Iframe, got.Closed, got.MediaType)
	}
	if (got.Map != nil) != (want.Map != "") {
		t.Errorf("got map %v, want %q", got.Map, want.Map)
	}
	if g, w := int(got.Count()), len(want.Segments); g != w {
		t.Fatalf("got %d segments, want %d", g, w)
	}
	for i, w := range want.Segments {
		g := got.Segments[i]
		gotText := fmt.Sprintf("%s %d@%d", g.URI, g.Limit, g.Offset)
		wantText := fmt.Sprintf("%s %d@%d", w.URI, w.Range.Length, w.Range.Offset)
		if gotText != wantText {
			t.Errorf("segment %d: got %s, want %s", i, gotText, wantText)
		}
		if d := g.Duration - float64(w.Duration)/float64(want.Timescale); d < -2e-6 || d > 2e-6 {
			t.Errorf("segment %d: duration off by %g s", i, d)
		}
	}
}

// TestDurationsDoNotDrift proves that rounding never adds up.
func TestDurationsDoNotDrift(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := MediaPlaylist{Kind: WebVTT, Target: 10 * time.Second, Timescale: rapid.Int64Range(1000, 90000).Draw(t, "timescale")}
		durations := rapid.SliceOfN(rapid.Int64Range(1, 10*p.Timescale), 1, 50).Draw(t, "durations")
		var ticks int64
		for _, d := range durations {
			ticks += d
			p.Segments = append(p.Segments, Segment{URI: "s", Duration: d})
		}
		text, err := p.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		var got int64
		for line := range strings.Lines(string(text)) {
			var s, us int64
			if n, _ := fmt.Sscanf(line, "#EXTINF:%d.%06d,", &s, &us); n == 2 {
				got += s*1e6 + us
			}
		}
		if want := timebase.MulDiv(ticks, 1e6, p.Timescale); got != want {
			t.Fatalf("durations add up to %d µs, want %d", got, want)
		}
	})
}

func TestMediaPlaylistErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want   string
		change func(*MediaPlaylist)
	}{
		{"whole seconds", func(p *MediaPlaylist) { p.Target = 5500 * time.Millisecond }},
		{"timescale 0", func(p *MediaPlaylist) { p.Timescale = 0 }},
		{"no segments", func(p *MediaPlaylist) { p.Segments = nil }},
		{"map is missing", func(p *MediaPlaylist) { p.Map = "" }},
		{"no initialization section", func(p *MediaPlaylist) { p.Kind = WebVTT }},
		{"I-frame needs a byte range", func(p *MediaPlaylist) { p.Kind = IFrames }},
		{"segment 1: it lasts 6.5s, above the target duration of 6s", func(p *MediaPlaylist) { p.Segments[1].Duration = 6500 }},
		{"not positive", func(p *MediaPlaylist) { p.Segments[0].Duration = 0 }},
		{"overflow", func(p *MediaPlaylist) { p.Segments[0].Duration = 1<<63 - 1 }},
		{"URI is missing", func(p *MediaPlaylist) { p.Segments[0].URI = "" }},
		{"comment", func(p *MediaPlaylist) { p.Segments[0].URI = "#EXT-X-ENDLIST" }},
		{"percent-encoded", func(p *MediaPlaylist) { p.Segments[0].URI = "a\nb" }},
		{"percent-encoded", func(p *MediaPlaylist) { p.Map = `init".mp4` }},
		{"empty or negative", func(p *MediaPlaylist) { p.Segments[0].Range.Offset = 5 }},
	} {
		p := &MediaPlaylist{Target: 6 * time.Second, Timescale: 1000, Map: "init.mp4", Segments: []Segment{{URI: "1", Duration: 6499}, {URI: "2", Duration: 4000}}}
		checkError(t, p, nil, "", "")
		c.change(p)
		checkError(t, p, []byte("kept"), c.want, "kept")
	}
}

func TestMultivariantErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want   string
		change func(*Multivariant)
	}{
		{"no variants", func(m *Multivariant) { m.Variants = nil }},
		{"channels is missing", func(m *Multivariant) { m.Media[0].Channels = 0 }},
		{"only subtitles can be forced", func(m *Multivariant) { m.Media[0].Forced = true }},
		{"two renditions called", func(m *Multivariant) { m.Media[1].Name = m.Media[0].Name }},
		{"two defaults", func(m *Multivariant) { m.Media[1].Default = true }},
		{`holds '"'`, func(m *Multivariant) { m.Media[0].Name = `5" disc` }},
		{`holds '\n'`, func(m *Multivariant) { m.Media[0].Name = "a\n#EXT-X-ENDLIST" }},
		{"not UTF-8", func(m *Multivariant) { m.Media[0].Name = "\xff" }},
		{"unknown type", func(m *Multivariant) { m.Media[0].Type = "VIDEO" }},
		{"need a URI", func(m *Multivariant) { m.Media[2].URI = "" }},
		{"no channels", func(m *Multivariant) { m.Media[2].Channels = 2 }},
		{"name is missing", func(m *Multivariant) { m.Media[0].Name = "" }},
		{"RFC 5646", func(m *Multivariant) { m.Media[0].Language = "en_US" }},
		{`audio group "nope" has no renditions`, func(m *Multivariant) { m.Variants[0].Audio = "nope" }},
		{"bandwidth 0", func(m *Multivariant) { m.Variants[0].Bandwidth = 0 }},
		{"average bandwidth", func(m *Multivariant) { m.Variants[0].AverageBandwidth = 1 << 40 }},
		{"codecs are missing", func(m *Multivariant) { m.Variants[0].Codecs = nil }},
		{"one RFC 6381 name", func(m *Multivariant) { m.Variants[0].Codecs = []string{"avc1.640028,mp4a.40.2"} }},
		{"frame rate is missing", func(m *Multivariant) { m.Variants[0].FrameRate = timebase.Rational{} }},
		{"not positive", func(m *Multivariant) { m.Variants[0].Picture.Height = 0 }},
		{"unknown video range", func(m *Multivariant) { m.IFrames[0].Picture.Range = "HDR" }},
		{"percent-encoded", func(m *Multivariant) { m.IFrames[0].URI = "é.m3u8" }},
	} {
		m := ladder()
		c.change(m)
		checkError(t, m, []byte("kept"), c.want, "kept")
	}
}

func checkError(t *testing.T, a appender, dst []byte, wantError, wantText string) {
	t.Helper()
	got, err := a.AppendTo(dst)
	if wantError == "" {
		if err != nil {
			t.Errorf("unexpected error: %v", err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), wantError) {
		t.Errorf("got error %v, want one with %q", err, wantError)
	}
	if string(got) != wantText {
		t.Errorf("got text %q after an error, want %q", got, wantText)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"English":            "English",
		` Director's "cut" `: "Director's 'cut'",
		"a\r\n#EXT\tb\x00":   "a #EXT b",
		"\xffé":              "é",
	} {
		if got := Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
		if err := checkQuoted("name", Printable(in)); err != nil {
			t.Error(err)
		}
	}
}
