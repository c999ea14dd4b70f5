package dash

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/dash-mpd/mpd"
	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/timebase"
	"liuyun/internal/testkit"
)

func film() *Presentation {
	video := func(path string, timescale int64, durations ...int64) Segments {
		return Segments{Init: path + "/init.mp4", Media: path + "/seg-$Number%05d$.m4s", Timescale: timescale, Durations: durations}
	}
	shared := video("video/$RepresentationID$", 30000, 120120, 120120, 150150, 61061)
	ntsc := timebase.R(30000, 1001)
	sound := Segments{
		Init: "audio/$RepresentationID$/init.mp4", Media: "audio/$RepresentationID$/seg-$Number%05d$.m4s",
		Timescale: 48000, Durations: []int64{192512, 191488, 240640, 97280},
	}
	return &Presentation{
		Duration:  15_048_366_667 * time.Nanosecond,
		MinBuffer: 4 * time.Second,
		Video: []VideoSet{
			{Color: Color{1, 1, 1}, Rungs: []VideoRung{
				{"h264-1080p", 5_400_123, "avc1.640028", 1920, 1080, ntsc, shared},
				{"h264-360p", 812_000, "avc1.64001e", 640, 360, ntsc, shared},
			}},
			{Color: Color{9, 16, 9}, Rungs: []VideoRung{
				{"hevc-1080p", 3_900_001, "hvc1.2.4.L120.B0", 1920, 1080, timebase.R(60000, 1001), video("video/hevc/hi", 60000, 240240, 240240, 300300, 122122)},
				{"hevc-540p", 1_200_000, "hvc1.2.4.L93.B0", 960, 540, ntsc, video("video/hevc/lo", 30000, 120120, 120120, 150150, 61061)},
			}},
		},
		Audio: []AudioSet{
			{Lang: "en", Role: Main, Channels: 2, SampleRate: 48000, Rungs: []AudioRung{{"audio-en-2", 130_000, "mp4a.40.2", sound}}},
			{Lang: "en", Role: Main, Channels: 6, SampleRate: 48000, Rungs: []AudioRung{{"audio-en-6", 390_000, "mp4a.40.2", sound}}},
			{Lang: "zh-Hans", Role: Alternate, Label: `导演 <"&">`, Channels: 2, SampleRate: 48000, Rungs: []AudioRung{{"audio-zh-2", 130_000, "mp4a.40.2", sound}}},
		},
		Text: []TextSet{
			{ID: "text-en", Lang: "en", Role: Subtitle, URL: "text/en.vtt", Bandwidth: 300},
			{ID: "text-en-sdh", Lang: "en", Role: Caption, Label: "English (SDH)", URL: "text/en-sdh.vtt", Bandwidth: 400},
		},
		Thumbs: []Thumbnails{{
			ID: "storyboard", Bandwidth: 12_000, Media: "storyboard/sprite-$Number%05d$.jpg",
			Columns: 5, Rows: 5, Width: 160, Height: 90, Interval: 2 * time.Second,
		}},
	}
}

func soundOnly() *Presentation {
	p := film()
	p.Video, p.Text, p.Thumbs = nil, nil, nil
	p.Audio = p.Audio[:1]
	return p
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*Presentation{"film.mpd": film(), "audio-only.mpd": soundOnly()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := p.AppendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			testkit.Golden(t, filepath.Join("testdata", name), got)
		})
	}
}

// TestReadsBack proves that the text is a manifest with the same times.
func TestReadsBack(t *testing.T) {
	t.Parallel()
	text, err := film().AppendTo([]byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(string(text), "kept")
	if !ok {
		t.Fatal("what was in dst is gone")
	}
	m, err := mpd.ReadFromString(rest)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := time.Duration(*m.MediaPresentationDuration), 15049*time.Millisecond; got != want {
		t.Errorf("presentation lasts %v, want %v: rounded up", got, want)
	}
	if got, want := time.Duration(*m.MaxSegmentDuration), 5014*time.Millisecond; got != want {
		t.Errorf("longest segment %v, want %v", got, want)
	}
	sets := m.Periods[0].AdaptationSets
	if got, want := len(sets), 8; got != want {
		t.Fatalf("got %d sets, want %d", got, want)
	}
	if sets[0].SegmentTemplate == nil || sets[1].SegmentTemplate != nil {
		t.Error("equal segments are not shared, or different ones are")
	}
	if got, want := sets[2].Representations[0].GetSegmentTemplate().SegmentTimeline.S[0].D, uint64(192512); got != want {
		t.Errorf("first audio segment has %d ticks, want %d", got, want)
	}
	if got, want := sets[4].Labels[0].Value, `导演 <"&">`; got != want {
		t.Errorf("label %q, want %q", got, want)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	type run struct {
		d uint64
		r int
	}
	for _, c := range []struct {
		durations []int64
		want      []run
	}{
		{[]int64{7}, []run{{7, 0}}},
		{[]int64{7, 7, 7}, []run{{7, 2}}},
		{[]int64{7, 8, 8, 7}, []run{{7, 0}, {8, 1}, {7, 0}}},
	} {
		var got []run
		for _, s := range runs(0, c.durations) {
			got = append(got, run{s.D, s.R})
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(run{})); diff != "" {
			t.Errorf("runs(%v) (-want +got):\n%s", c.durations, diff)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	rung := func(p *Presentation) *VideoRung { return &p.Video[0].Rungs[1] }
	for _, c := range []struct {
		want   string
		change func(*Presentation)
	}{
		{"must be positive", func(p *Presentation) { p.Duration = 0 }},
		{"must be positive", func(p *Presentation) { p.MinBuffer = 0 }},
		{"neither video nor sound", func(p *Presentation) { p.Video, p.Audio = nil, nil }},
		{"video set 0: there are no rungs", func(p *Presentation) { p.Video[0].Rungs = nil }},
		{"audio set 0: there are no rungs", func(p *Presentation) { p.Audio[0].Rungs = nil }},
		{"white space", func(p *Presentation) { rung(p).ID = "a b" }},
		{`two representations are called "h264-1080p"`, func(p *Presentation) { rung(p).ID = "h264-1080p" }},
		{"out of range", func(p *Presentation) { rung(p).Bandwidth = 1 << 32 }},
		{"is missing", func(p *Presentation) { rung(p).Height = 0 }},
		{"is missing", func(p *Presentation) { p.Audio[0].Role = "" }},
		{"codec is missing", func(p *Presentation) { p.Audio[0].Rungs[0].Codec = "" }},
		{`media template "seg.m4s"`, func(p *Presentation) { rung(p).Segments.Media = "seg.m4s" }},
		{`media template "$Number$-$Time$"`, func(p *Presentation) { rung(p).Segments.Media = "$Number$-$Time$" }},
		{`initialization template "$Number$"`, func(p *Presentation) { rung(p).Segments.Init = "$Number$" }},
		{"names the segments of another", func(p *Presentation) {
			p.Video[0].Rungs[0].Segments.Media, rung(p).Segments.Media = "$Number$.m4s", "$Number$.m4s"
		}},
		{"timescale", func(p *Presentation) { rung(p).Segments.Timescale = 0 }},
		{"there are 3 segments", func(p *Presentation) { rung(p).Segments.Durations = []int64{1, 2, 3} }},
		{"duration of -1 ticks", func(p *Presentation) { rung(p).Segments.Durations = []int64{120120, -1, 1, 1} }},
		{"segment 1 ends at", func(p *Presentation) { rung(p).Segments.Durations = []int64{120120, 120121, 150149, 61061} }},
		{"is missing", func(p *Presentation) { p.Text[0].URL = "" }},
		{"is not positive", func(p *Presentation) { p.Thumbs[0].Rows = 0 }},
		{"number of milliseconds", func(p *Presentation) { p.Thumbs[0].Interval = time.Microsecond }},
		{"lasts too long", func(p *Presentation) { p.Thumbs[0].Interval = 1000 * time.Hour }},
		{"media template", func(p *Presentation) { p.Thumbs[0].Media = "sprite.jpg" }},
	} {
		p := film()
		c.change(p)
		got, err := p.AppendTo([]byte("kept"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want one with %q", err, c.want)
		}
		if string(got) != "kept" {
			t.Errorf("got text %q after an error, want %q", got, "kept")
		}
	}
}
