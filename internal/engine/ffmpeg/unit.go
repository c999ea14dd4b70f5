package ffmpeg

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"liuyun/internal/base/timebase"
)

// Unit is one encode unit: a range of one source's frames, made into one or
// more renditions by one process that decodes the range once. It is the whole
// truth about that process: equal units on one class of machine give equal
// bytes, so its JSON is hashed to name its output.
type Unit struct {
	Stream   int               `json:"stream"` // index in the file
	TimeBase timebase.Rational `json:"time_base"`
	Picture  Picture           `json:"picture"`

	// Seek is the time of the random-access point to start decoding from, in
	// TimeBase ticks; nil decodes from the beginning of the file.
	Seek *int64 `json:"seek,omitempty"`
	// From and To bound the source frames by their presentation time: From ≤
	// pts < To, ticks. The frame after the last one needed is inside, so that
	// the last one is held until then.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Origin is the source time of output frame 0 of the whole timeline, ticks.
	Origin int64 `json:"origin"`

	FrameRate timebase.Rational `json:"frame_rate"` // of the timeline
	First     int64             `json:"first"`      // the unit's first output frame
	Count     int               `json:"count"`      // output frames at FrameRate
	Hold      bool              `json:"hold,omitempty"`
	// Hold repeats the last source frame until Count is reached: at the end of
	// the source, where nothing follows to say how long it lasts.

	Outputs []Output `json:"outputs"`
	// Samples are written besides; nil: none.
	Samples *Samples `json:"samples,omitempty"`
}

// Output is one rendition of a unit, written as File, an MP4 with one track.
type Output struct {
	File      string `json:"file"`
	Codec     string `json:"codec"` // h264, hevc or av1
	Width     int    `json:"width"`
	Height    int    `json:"height"`
	Step      int    `json:"step"`       // keep every Step-th frame
	KeyFrames []int  `json:"key_frames"` // random-access points asked for, in frames at FrameRate from First; 0 always is one
	Preset    string `json:"preset"`     // x264's names; mapped for the others

	Quality    float64 `json:"quality"`              // constant quality: the codec's CRF
	Zones      []Zone  `json:"zones,omitempty"`      // pictures with another, in rising order; not for av1
	MaxRate    int64   `json:"max_rate"`             // bits a second
	Buffer     int64   `json:"buffer"`               // bits
	Level      string  `json:"level,omitempty"`      // that it keeps to, "3.1"; an H.264 file may name a higher one
	References int     `json:"references,omitempty"` // the most references that Level allows
	Colour     Colour  `json:"colour"`               // as made and tagged
	ToneMap    bool    `json:"tone_map,omitempty"`
	TenBit     bool    `json:"ten_bit,omitempty"`
	Light      *Light  `json:"light,omitempty"`

	// Regions are where bits are moved to and from, by time: rising, the first
	// From 0. Only for encoders of which Tools.FollowsRegions is true; at most
	// MaxRegions in a unit.
	Regions []RegionSpan `json:"regions,omitempty"`

	// Lookahead is how many frames the encoder looks ahead at most, where its preset's
	// own number would take too much memory; 0 is the preset's. SVT-AV1 takes none.
	Lookahead int `json:"lookahead,omitempty"`
}

// Zone is a range of pictures of an output, [From, To) at the output's own frame
// rate, and the constant quality that they have instead of the output's.
type Zone struct {
	From    int     `json:"from"`
	To      int     `json:"to"`
	Quality float64 `json:"quality"`
}

// Light is the HDR metadata of a rendition: SMPTE ST 2086 and CTA-861.3.
type Light struct {
	Mastering *Mastering `json:"mastering,omitempty"`
	MaxCLL    int        `json:"max_cll,omitempty"`  // cd/m²
	MaxFALL   int        `json:"max_fall,omitempty"` // cd/m²
}

// Mastering is the mastering display: chromaticities in steps of 0.00002,
// luminances in steps of 0.0001 cd/m², the units of HEVC's SEI message.
type Mastering struct {
	Red          [2]int `json:"red"`
	Green        [2]int `json:"green"`
	Blue         [2]int `json:"blue"`
	White        [2]int `json:"white"`
	MaxLuminance int    `json:"max_luminance"`
	MinLuminance int    `json:"min_luminance"`
}

// Encode runs the process that encodes u, when there is memory for it; its outputs are
// in run.Dir then.
func (t *Tools) Encode(ctx context.Context, run Command, u Unit) (Usage, error) {
	release, err := t.reserve(ctx, u)
	if err != nil {
		return Usage{}, err
	}
	defer release()
	args, apart := t.unitArgs(u)
	if len(apart) > 0 {
		return t.encodeApart(ctx, run, args, apart)
	}
	run.Args = args
	return t.Run(ctx, run)
}

// UnitArgs are the arguments of the process that encodes u, and after them those of the
// processes beside it, where hardware encodes. The decoder, the filters and each encoder
// run on one thread: more units at a time use more cores, and bytes do not depend on how
// many there are.
func (t *Tools) UnitArgs(u Unit) []string {
	args, apart := t.unitArgs(u)
	for _, out := range apart {
		args = append(args, out.args...)
	}
	return args
}

func (t *Tools) unitArgs(u Unit) (args []string, apart []rawOutput) {
	args = t.inputArgs(readOptions{stream: u.Stream, timeBase: u.TimeBase, seek: u.Seek, threads: 1})
	graph, labels := u.graph()
	samples := ""
	if u.Samples != nil {
		graph, labels[0], samples = u.Samples.tapped(graph, labels[0])
	}
	args = append(args, "-filter_complex_threads", "1", "-filter_complex", graph)
	for i, out := range u.Outputs {
		args = append(args, "-map", "["+labels[i]+"]")
		args = append(args, t.passthrough()...)
		if t.byHardware(out) {
			args = append(args, "-c:v", "rawvideo", "-f", "rawvideo", PipeURL(len(apart)))
			apart = append(apart, rawOutput{out.File, t.device.apart(out, u)})
			continue
		}
		args = append(args, out.encoder(u)...)
		args = append(args, fileArgs(out, u.FrameRate.Mul(1, int64(out.Step)))...)
	}
	if samples != "" {
		args = append(append(args, "-map", "["+samples+"]"), t.passthrough()...)
		args = append(args, "-c:v", "rawvideo", "-f", "rawvideo", u.Samples.File)
	}
	return args, apart
}

// timescale is fine enough that every frame's time is a whole number of ticks.
func timescale(rate timebase.Rational) int64 {
	scale := rate.Num
	for scale < 10000 {
		scale *= 10
	}
	return scale
}

// graph is the filter graph and the label of each output's end in it.
func (u Unit) graph() (graph string, labels []string) {
	graph, labels = renditionGraph("0:"+strconv.Itoa(u.Stream), u.sourceFilters(), u.Picture, u.Outputs)
	parts := []string{graph}
	for i, out := range u.Outputs {
		parts, labels[i] = out.withRegions(parts, labels[i], u.FrameRate.Mul(1, int64(out.Step)))
	}
	return strings.Join(parts, ";"), labels
}

// sourceFilters turn decoded frames into the unit's output frames: exactly
// Count of them, the first at time 0.
func (u Unit) sourceFilters() []string {
	filters := append(u.Picture.deinterlace(u.TimeBase),
		// A frame whose time does not come after the ones before is left out,
		// as it is in the plan.
		`select=expr=isnan(prev_selected_pts)+gt(pts\,prev_selected_pts)`,
		fmt.Sprintf("trim=start_pts=%d:end_pts=%d", u.From, u.To))
	const repeatLast = "tpad=stop=-1:stop_mode=clone"
	last := fmt.Sprintf("trim=end_frame=%d", u.Count)
	if u.Hold && u.To == u.From+1 {
		// One picture that stands still, maybe since long before First, which
		// fps would drop for being over.
		return append(filters, repeatLast, "settb=expr="+u.FrameRate.Inv().String(), "setpts=N", "fps=fps="+u.FrameRate.String(), last)
	}
	filters = append(filters,
		fmt.Sprintf("setpts=PTS-(%d)", u.Origin),
		fmt.Sprintf("fps=fps=%s:round=near:start_time=%s", u.FrameRate, seconds(u.First, u.FrameRate.Inv())))
	if u.Hold {
		filters = append(filters, repeatLast)
	}
	return append(filters, last, fmt.Sprintf("setpts=PTS-%d", u.First))
}

// renditionGraph continues source filters with one branch an output. Each size
// is scaled from the source itself: a chain of sizes, each from the one before,
// costs 3 s of CPU less for a minute of 1080p, and its small pictures are
// further from the source than an encoder at good quality is (SSIM 0.9985).
// Pictures that are tone-mapped are so once, at the largest size that needs it, and of
// oversize pictures they are scaled before anything else holds them, and mapped in strips.
func renditionGraph(source string, filters []string, picture Picture, outputs []Output) (string, []string) {
	labels := make([]string, len(outputs))
	heads := make([]string, 0, len(outputs)) // of the branches from the source
	var parts, toned []string
	largest := -1
	for i, out := range outputs {
		labels[i] = "o" + strconv.Itoa(i)
		if !out.ToneMap {
			head := "s" + strconv.Itoa(i)
			heads = append(heads, head)
			scaled := append(keepEvery(out.Step), picture.scale(out.Width, out.Height, scaler)...)
			parts = append(parts, chain(head, append(scaled, "setsar=1", "format="+out.pixelFormat()), labels[i]))
			continue
		}
		head := "t" + strconv.Itoa(i)
		toned = append(toned, head)
		scaled := append(keepEvery(out.Step), fmt.Sprintf("scale=w=%d:h=%d:flags=%s", out.Width, out.Height, scaler))
		parts = append(parts, chain(head, append(scaled, "setsar=1", "format="+out.pixelFormat()), labels[i]))
		if largest < 0 || out.Width*out.Height > outputs[largest].Width*outputs[largest].Height {
			largest = i
		}
	}
	if largest >= 0 {
		base, mapped := picture.scale(outputs[largest].Width, outputs[largest].Height, scaler), toneMap(picture.outRange())
		if picture.tonedInStrips() {
			mapped = inStrips(mapped, outputs[largest].Height)
			if len(heads) == 0 {
				filters, base = append(base, filters...), nil
			}
		}
		heads = append(heads, "hdr")
		parts = append([]string{chain("hdr", slices.Concat(base, mapped, split(len(toned))), toned...)}, parts...)
	}
	first := chain(source, append(slices.Clone(filters), split(len(heads))...), heads...)
	return strings.Join(append([]string{first}, parts...), ";"), labels
}

// split hands frames to so many branches.
func split(branches int) []string {
	if branches < 2 {
		return nil
	}
	return []string{"split=" + strconv.Itoa(branches)}
}

// keepEvery keeps one frame in step.
func keepEvery(step int) []string {
	if step < 2 {
		return nil
	}
	return []string{"framestep=step=" + strconv.Itoa(step)}
}

// scaler is swscale's algorithm: what ffmpeg itself chooses.
const scaler = "bicubic"

func (o Output) pixelFormat() string {
	if o.TenBit {
		return "yuv420p10le"
	}
	return "yuv420p"
}

// seconds is ticks of timeBase in decimal seconds, to the microsecond, which is
// as fine as ffmpeg reads times.
func seconds(ticks int64, timeBase timebase.Rational) string {
	micros := timebase.Rescale(ticks, timeBase, timebase.R(1, 1_000_000))
	sign := ""
	if micros < 0 {
		sign, micros = "-", -micros
	}
	return fmt.Sprintf("%s%d.%06d", sign, micros/1_000_000, micros%1_000_000)
}
