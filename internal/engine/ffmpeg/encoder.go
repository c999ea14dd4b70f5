package ffmpeg

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"liuyun/internal/base/timebase"
)

// Encoders that make each codec, the best first.
var codecEncoders = map[string]string{"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}

// EncoderFor is the name of the encoder that makes codec.
func EncoderFor(codec string) string { return codecEncoders[codec] }

// Presets are the speed settings, fastest first: x264's and x265's own names.
var presets = []string{"ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"}

// Presets returns the names of the speed settings, fastest first.
func Presets() []string { return append([]string(nil), presets...) }

// x264References is how many reference frames each preset uses.
var x264References = map[string]int{
	"ultrafast": 1, "superfast": 1, "veryfast": 1, "faster": 2, "fast": 2,
	"medium": 3, "slow": 5, "slower": 8, "veryslow": 16,
}

// svtPresets maps them to SVT-AV1's numbers (12 fastest … 0).
var svtPresets = map[string]string{
	"ultrafast": "12", "superfast": "11", "veryfast": "10", "faster": "9", "fast": "8",
	"medium": "7", "slow": "5", "slower": "4", "veryslow": "3",
}

// encoder is the arguments of one output's encoder.
func (o Output) encoder(u Unit) []string {
	args := []string{"-c:v", codecEncoders[o.Codec]}
	switch o.Codec {
	case "hevc":
		args = append(args, o.x265()...)
	case "av1":
		args = append(args, o.svtav1()...)
	default:
		args = append(args, o.x264(u)...)
	}
	if o.Codec != "av1" {
		args = append(args, "-forced-idr", "1", "-force_key_frames", o.keyTimes(u.FrameRate))
	}
	return append(args, o.colourArgs()...)
}

// keyTimes lists the asked-for key frames in seconds from the unit's start.
func (o Output) keyTimes(timeline timebase.Rational) string {
	var list strings.Builder
	for i, frame := range o.KeyFrames {
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteString(seconds(int64(frame), timeline.Inv()))
	}
	return list.String()
}

// x264: closed GOPs of any length, cut where asked and at scene changes.
// stitchable keeps headers equal from unit to unit; SEI (the encoder's name,
// 700 bytes a unit) is taken out.
func (o Output) x264(u Unit) []string {
	params := fmt.Sprintf("keyint=infinite:open-gop=0:stitchable=1:ref=%d", min(x264References[o.Preset], o.References))
	first := firstPicture
	if o.Preset == "ultrafast" || o.Preset == "superfast" {
		first = 1
	}
	if zones := o.zones(first, 0); zones != "" {
		params += ":zones=" + zones
	}
	if ahead := o.lookahead(x264Lookahead); ahead < x264Lookahead[o.Preset] {
		params += fmt.Sprintf(":rc-lookahead=%d", ahead)
	}
	return []string{
		"-preset", o.Preset, "-profile:v", "high", "-level", x264Level(o.Level, u.First),
		"-crf", decimal(o.Quality), "-maxrate", strconv.FormatInt(o.MaxRate, 10), "-bufsize", strconv.FormatInt(o.Buffer, 10),
		"-x264-params", params,
		"-a53cc", "0", "-bsf:v", "filter_units=remove_types=6",
	}
}

// x264Level is the level that x264 is told for a unit that begins at frame first.
// In 3.1 to 4 the standard bounds the very first picture of a stream much tighter
// than all others (ITU-T H.264 §A.3.1, MinCR); x264 would spoil the first picture
// of every unit for it. Vertical motion vectors have the same range in all of
// them, and references are given.
func x264Level(level string, first int64) string {
	switch level {
	case "3.1", "3.2", "4":
		if first > 0 {
			return "4.1"
		}
	}
	return level
}

// firstPicture is by how much more rate the first picture of a unit is given, so
// that it has the quantiser that it would have in the middle of a file. With
// macroblock trees (in x265 always) an encoder derives that of every key picture
// but the first from the pictures before: better by the factor between I and P
// pictures, 1.4. Without this, units need 1.4 % more bits for their SSIM than one
// pass over the whole file.
const firstPicture = 1.4

// zones are the ranges in which the encoder multiplies the rate that it would
// give: by 2 for each 6 of CRF, which is what the CRF itself means to both x264
// and x265. outside is 1 where the encoder counts the end of a zone as outside.
func (o Output) zones(first float64, outside int) string {
	var list []string
	add := func(from, to int, factor float64) {
		if from < to && factor != 1 {
			list = append(list, fmt.Sprintf("%d,%d,b=%s", from, to-1+outside, decimal(factor)))
		}
	}
	factor := 1.0 // of the very first picture
	for i, z := range o.Zones {
		f := math.Exp2((o.Quality - z.Quality) / 6)
		from := z.From
		if i == 0 && from == 0 {
			factor, from = f, 1
		}
		add(from, z.To, f)
	}
	add(0, 1, first*factor)
	return strings.Join(list, "/")
}

// x265: as x264; one thread, no encoder name in the stream, HDR metadata given
// by hand because ffmpeg before 7.1 does not pass it on.
func (o Output) x265() []string {
	params := []string{
		"keyint=-1", "open-gop=0", "pools=none", "frame-threads=1", "wpp=0", "info=0", "hrd=0", "log-level=error", "zones=" + o.zones(firstPicture, 1),
		"level-idc=" + o.Level, "high-tier=0",
		"colorprim=" + o.Colour.Primaries, "transfer=" + o.Colour.Transfer, "colormatrix=" + o.Colour.Matrix, "range=limited",
		fmt.Sprintf("vbv-maxrate=%d", o.MaxRate/1000), fmt.Sprintf("vbv-bufsize=%d", o.Buffer/1000),
	}
	if ahead := o.lookahead(x265Lookahead); ahead < x265Lookahead[o.Preset] {
		params = append(params, fmt.Sprintf("rc-lookahead=%d", ahead))
	}
	if o.Light != nil {
		params = append(params, "hdr10-opt=1", "repeat-headers=1")
		if m := o.Light.Mastering; m != nil {
			params = append(params, fmt.Sprintf("master-display=G(%d,%d)B(%d,%d)R(%d,%d)WP(%d,%d)L(%d,%d)",
				m.Green[0], m.Green[1], m.Blue[0], m.Blue[1], m.Red[0], m.Red[1], m.White[0], m.White[1], m.MaxLuminance, m.MinLuminance))
		}
		if o.Light.MaxCLL > 0 {
			params = append(params, fmt.Sprintf("max-cll=%d,%d", o.Light.MaxCLL, o.Light.MaxFALL))
		}
	}
	return []string{
		"-preset", o.Preset, "-crf", decimal(o.Quality), "-tag:v", "hvc1",
		"-x265-params", strings.Join(params, ":"),
	}
}

// svtav1: one segment an encode, so no key frame is asked for but the first.
func (o Output) svtav1() []string {
	params := []string{"lp=1"}
	if o.Light != nil {
		if m := o.Light.Mastering; m != nil {
			params = append(params, fmt.Sprintf("mastering-display=G(%s,%s)B(%s,%s)R(%s,%s)WP(%s,%s)L(%s,%s)",
				chroma(m.Green[0]), chroma(m.Green[1]), chroma(m.Blue[0]), chroma(m.Blue[1]), chroma(m.Red[0]), chroma(m.Red[1]),
				chroma(m.White[0]), chroma(m.White[1]), decimal(float64(m.MaxLuminance)/1e4), decimal(float64(m.MinLuminance)/1e4)))
		}
		if o.Light.MaxCLL > 0 {
			params = append(params, fmt.Sprintf("content-light=%d,%d", o.Light.MaxCLL, o.Light.MaxFALL))
		}
	}
	return []string{
		"-preset", svtPresets[o.Preset], "-crf", decimal(o.Quality), "-g", "9999",
		"-maxrate", strconv.FormatInt(o.MaxRate, 10), "-bufsize", strconv.FormatInt(o.Buffer, 10),
		"-svtav1-params", strings.Join(params, ":"),
	}
}

func chroma(v int) string { return decimal(float64(v) * 0.00002) }

// decimal writes v with at most five decimals, the finest that a unit above needs.
func decimal(v float64) string {
	return strconv.FormatFloat(math.Round(v*1e5)/1e5, 'f', -1, 64)
}
