package transcode

import (
	"strings"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/video/transcode/timeline"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := DefaultOptions().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	tests := map[string]func(o *Options){
		`no codec "vp9"`:    func(o *Options) { o.Codecs = append(o.Codecs, "vp9") },
		`no preset "quick"`: func(o *Options) { o.Preset = "quick" },
		`no preset ""`:      func(o *Options) { o.Preset = "" },
		"segments may last": func(o *Options) { o.Segment.Least = time.Second },
		"at least one second": func(o *Options) {
			o.Segment = timeline.SegmentRange{Least: 4 * time.Second, Most: 4500 * time.Millisecond}
		},
		"2 to 6 seconds":           func(o *Options) { o.Segment.Most = 7 * time.Second },
		"-1 units at a time":       func(o *Options) { o.Workers = -1 },
		"257 units at a time":      func(o *Options) { o.Workers = 257 },
		"choose sample or all":     func(o *Options) { o.Verify = "none" },
		"choose from h264, hevc, ": func(o *Options) { o.Codecs = []string{"H264"} },
	}
	for want, change := range tests {
		o := DefaultOptions()
		change(&o)
		err := o.Validate()
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), want) {
			t.Errorf("got %v, want one with %q", err, want)
		}
	}
	if err := (Options{}).Validate(); err == nil {
		t.Error("the zero value is taken for valid")
	}
}

func TestParseSegmentRange(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for text, want := range map[string]timeline.SegmentRange{
		"2..6s":    {Least: 2 * s, Most: 6 * s},
		"2s..6s":   {Least: 2 * s, Most: 6 * s},
		"2..6":     {Least: 2 * s, Most: 6 * s},
		"2.5..4s":  {Least: 2500 * time.Millisecond, Most: 4 * s},
		"4s":       {Least: 3 * s, Most: 5 * s},
		"4":        {Least: 3 * s, Most: 5 * s},
		"2s":       {Least: 2 * s, Most: 3 * s},
		"6s":       {Least: 5 * s, Most: 6 * s},
		"3.5..4.5": {Least: 3500 * time.Millisecond, Most: 4500 * time.Millisecond},
	} {
		got, err := ParseSegmentRange(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
			continue
		}
		o := DefaultOptions()
		if o.Segment = got; o.Validate() != nil {
			t.Errorf("%q is read but not valid: %v", text, o.Validate())
		}
	}
	for _, text := range []string{"", "s", "..", "2..", "..6", "1..6s", "2..7s", "6..2s", "2..2.5s", "4..4s", "fast", "NaN", "2..NaN", "Inf", "1e9", "-4", "2..4..6", "4ms", "10s", "1s"} {
		if got, err := ParseSegmentRange(text); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: got %v, %v, want a bad option", text, got, err)
		}
	}
}

func FuzzParseSegmentRange(f *testing.F) {
	for _, seed := range []string{"2..6s", "4s", "2.5..4", "NaN..6", "2..6ss", "0x2p1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := DefaultOptions()
		var err error
		if o.Segment, err = ParseSegmentRange(text); err == nil && o.Validate() != nil {
			t.Errorf("%q is read but not valid: %v", text, o.Validate())
		}
	})
}

func TestParseLoudness(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"-23": -23, "-16": -16} {
		if got, err := ParseLoudness(text); err != nil || got == nil || *got != want {
			t.Errorf("%q: got %v, %v, want %g", text, got, err, want)
		}
	}
	for _, text := range []string{"off", ""} {
		if got, err := ParseLoudness(text); err != nil || got != nil {
			t.Errorf("%q: got %v, %v, want none", text, got, err)
		}
	}
	for _, text := range []string{"on", "23", "-24", "-16.5", "loud"} {
		if _, err := ParseLoudness(text); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: got %v, want a bad option", text, err)
		}
	}
}

// A job has another name when, and only when, another result is asked for.
func TestOptionsKey(t *testing.T) {
	t.Parallel()
	minus23, also23, minus16 := -23.0, -23.0, -16.0
	base := DefaultOptions()
	base.Loudness = &minus23
	seen := map[string]string{base.key(): "the base"}
	for name, change := range map[string]func(o *Options){
		"codec":     func(o *Options) { o.Codecs = []string{"h264", "hevc"} },
		"ladder":    func(o *Options) { o.Ladder = "720" },
		"preset":    func(o *Options) { o.Preset = "slow" },
		"segment":   func(o *Options) { o.Segment.Most = 5 * time.Second },
		"loudness":  func(o *Options) { o.Loudness = &minus16 },
		"off":       func(o *Options) { o.Loudness = nil },
		"mp4":       func(o *Options) { o.MP4 = true },
		"original":  func(o *Options) { o.KeepOriginal = true },
		"crf":       func(o *Options) { o.CRF = 24 },
		"optimize":  func(o *Options) { o.Optimize = OptimizeQuick },
		"target":    func(o *Options) { o.Optimize, o.Target = OptimizeQuick, 90 },
		"bits":      func(o *Options) { o.Optimize, o.Bits = OptimizeQuick, 1_000_000 },
		"model":     func(o *Options) { o.Optimize, o.Model = OptimizeQuick, []byte("{}") },
		"subtitles": func(o *Options) { o.Subtitles = []SubtitleFile{{Language: "en", Path: "en.srt"}} },
	} {
		o := base
		change(&o)
		if other, known := seen[o.key()]; known {
			t.Errorf("%s has the same key as %s", name, other)
		}
		seen[o.key()] = name
	}
	same := base
	same.Workers, same.Loudness, same.Optimize = 7, &also23, OptimizeOff
	if same.key() != base.key() {
		t.Errorf("the number of workers is in the key: %s against %s", same.key(), base.key())
	}
	if base.Loudness == nil {
		t.Error("key changed the options")
	}
}
