package transcode

import (
	"fmt"
	"reflect"
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
	Hardware     bool                  // what works with the options has tools of OnHardware
	Subtitles    []SubtitleFile        // besides those in the source
	Workers      int                   // units at a time; 0: one a core
	Verify       Verify
	// CRF is the constant quality of H.264, 0 the usual 23. The other codecs are
	// moved by as much.
	CRF      float64
	Optimize Optimize // "" is off
	// Target is the mean quality that the largest rung of each codec has to reach,
	// 0 to 100 as VMAF has it; Bits is what it may have a second on average. With
	// neither it is as good as one constant quality would make it.
	Target float64
	Bits   int64
	Model  []byte // of VMAF, as libvmaf reads it, to search with and to place an automatic ladder by; none: quality is estimated
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
	case !slices.Contains([]Optimize{"", OptimizeOff, OptimizeQuick, OptimizeThorough}, o.Optimize):
		return fault.New(fault.Invalid, "optimize is %q; choose off, quick or thorough", o.Optimize)
	case o.CRF != 0 && !(o.CRF >= leastCRF && o.CRF <= mostCRF):
		return fault.New(fault.Invalid, "a CRF of %g is not between %d and %d", o.CRF, leastCRF, mostCRF)
	case o.Target != 0 && !(o.Target >= leastTarget && o.Target <= mostTarget):
		return fault.New(fault.Invalid, "a mean quality of %g is not between %d and %d", o.Target, leastTarget, mostTarget)
	case o.Bits != 0 && (o.Bits < leastBits || o.Bits > mostBits):
		return fault.New(fault.Invalid, "%d bits a second on average are not between 50k and 200M", o.Bits)
	case o.Target != 0 && o.Bits != 0:
		return fault.New(fault.Invalid, "a mean quality and a mean bit rate cannot both be asked for")
	case (o.Target != 0 || o.Bits != 0) && !o.optimizes():
		return fault.New(fault.Invalid, "a mean quality or bit rate needs optimize to be quick or thorough")
	case o.Hardware && o.optimizes():
		return fault.New(fault.Invalid, "hardware encoders do not take a quality for each shot: leave out hardware, or optimize")
	case len(o.Model) > mostModel:
		return fault.New(fault.Invalid, "the VMAF model has more than %d KiB", mostModel>>10)
	case o.Verify != VerifySample && o.Verify != VerifyAll:
		return fault.New(fault.Invalid, "verify is %q; choose sample or all", o.Verify)
	}
	return nil
}

// Bounds of what may be asked for.
const (
	leastCRF    = 14
	mostCRF     = 40
	leastTarget = 40
	mostTarget  = 99
	leastBits   = 50_000
	mostBits    = 200_000_000
	mostModel   = 40 << 10 // a unit carries it through the queue
)

// crfShift is how far the constant quality is from the usual.
func (o Options) crfShift() float64 {
	if o.CRF == 0 {
		return 0
	}
	return o.CRF - usualQuality["h264"]
}

// optimizes reports whether the quality of shots is searched for.
func (o Options) optimizes() bool { return o.Optimize != "" && o.Optimize != OptimizeOff }

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
	if !o.optimizes() {
		o.Optimize, o.Model = "", nil
	}
	model := modelName(o.Model)
	o.Model, o.Hardware = nil, false // the class of the tools tells
	return fmt.Sprintf("%s loudness %s model %s", setFields(o), loudness, model)
}

// setFields writes the fields that are not zero, so that an option which comes new with a
// version, and which nobody asked for, changes no name of what was made before.
func setFields(o Options) string {
	var text strings.Builder
	value := reflect.ValueOf(o)
	for i, field := range reflect.VisibleFields(value.Type()) {
		if f := value.Field(i); !f.IsZero() {
			fmt.Fprintf(&text, "%s:%v ", field.Name, f.Interface())
		}
	}
	return text.String()
}
