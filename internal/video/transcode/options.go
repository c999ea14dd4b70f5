package transcode

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/timeline"
)

// Options are what a user asks for. The zero value is not valid: begin with
// DefaultOptions.
type Options struct {
	Codecs       []string              // h264 and any of hevc, av1
	Ladder       string                // "auto" or heights, see rate.Parse
	Preset       string                // one of ffmpeg.Presets
	Segment      timeline.SegmentRange // how long segments may be
	Loudness     *float64              // target, LUFS; nil leaves the level
	MP4          bool                  // an MP4 a rung besides
	KeepOriginal bool                  // the source file besides
	Saliency     Saliency              // "" is off
	Subtitles    []SubtitleFile        // besides those in the source
	Workers      int                   // units at a time; 0: one a core
	Verify       Verify
}

// Verify says how many decoded pictures are compared with the source.
type Verify string

// The settings of Verify. Every picture is counted, and every decoded picture
// of the smallest rung is compared, in both.
const (
	VerifySample Verify = "sample" // of the larger rungs, one unit in eight
	VerifyAll    Verify = "all"
)

// DefaultOptions is what a user gets who asks for nothing.
func DefaultOptions() Options {
	return Options{
		Codecs:   []string{"h264"},
		Ladder:   "auto",
		Preset:   "medium",
		Segment:  timeline.SegmentRange{Least: 2 * time.Second, Most: 6 * time.Second},
		Saliency: SaliencyOff,
		Verify:   VerifySample,
	}
}

// Validate says which option is wrong and what it may be.
func (o Options) Validate() error {
	for _, codec := range o.Codecs {
		if ffmpeg.EncoderFor(codec) == "" {
			return fault.New(fault.Invalid, "there is no codec %q; choose from h264, hevc, av1", codec)
		}
	}
	switch {
	case !slices.Contains(ffmpeg.Presets(), o.Preset):
		return fault.New(fault.Invalid, "there is no preset %q; choose from %s", o.Preset, strings.Join(ffmpeg.Presets(), ", "))
	case o.Segment.Least < 2*time.Second || o.Segment.Most > 6*time.Second || o.Segment.Most < o.Segment.Least+time.Second:
		return fault.New(fault.Invalid, "segments may last 2 to 6 seconds with at least one second between the shortest and the longest, as in 2..6s")
	case o.Workers < 0 || o.Workers > 256:
		return fault.New(fault.Invalid, "%d units at a time is not between 0 and 256", o.Workers)
	case o.Saliency != "" && o.Saliency != SaliencyOff && !o.Saliency.on():
		return fault.New(fault.Invalid, "saliency %q: choose off, auto or strong", o.Saliency)
	case o.Verify != VerifySample && o.Verify != VerifyAll:
		return fault.New(fault.Invalid, "verify is %q; choose sample or all", o.Verify)
	}
	return nil
}

// ParseSegmentRange reads "2..6s" or "4s" (which allows a second each way).
func ParseSegmentRange(text string) (timeline.SegmentRange, error) {
	fail := func() (timeline.SegmentRange, error) {
		return timeline.SegmentRange{}, fault.New(fault.Invalid, "segment length %q: write a range within 2..6s, or one length such as 4s", text)
	}
	trimmed := strings.TrimSuffix(text, "s")
	lowText, highText, isRange := strings.Cut(trimmed, "..")
	low, err := strconv.ParseFloat(strings.TrimSuffix(lowText, "s"), 64)
	if err != nil {
		return fail()
	}
	high := low
	if isRange {
		if high, err = strconv.ParseFloat(highText, 64); err != nil {
			return fail()
		}
	} else {
		low, high = max(2, low-1), min(6, high+1)
	}
	r := timeline.SegmentRange{Least: seconds(low), Most: seconds(high)}
	if !(low >= 2 && high <= 6 && high >= low+1) {
		return fail()
	}
	return r, nil
}

// ParseLoudness reads "off" or a target in LUFS: −23 (EBU R 128) or −16 (web).
func ParseLoudness(text string) (*float64, error) {
	switch text {
	case "off", "":
		return nil, nil
	case "-23", "-16":
		target, err := strconv.ParseFloat(text, 64)
		return &target, err
	}
	return nil, fault.New(fault.Invalid, "loudness %q: choose -23 (broadcast, EBU R 128), -16 (web) or off", text)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// workers is how many units run at a time.
func (o Options) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// key is the part of the options that the result depends on.
func (o Options) key() string {
	o.Workers = 0
	loudness := "off"
	if o.Loudness != nil {
		loudness = fmt.Sprint(*o.Loudness)
		o.Loudness = nil
	}
	return fmt.Sprintf("%+v loudness %s", o, loudness)
}
