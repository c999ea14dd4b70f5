package ffmpeg

import (
	"math"
	"strconv"
	"strings"
	"time"

	"liuyun/internal/base/timebase"
)

// probeDocument is as much of ffprobe's JSON as is used. ffprobe writes large
// and fractional numbers as strings, and leaves out what it does not know.
type probeDocument struct {
	Format  probeFormat   `json:"format"`
	Streams []probeStream `json:"streams"`
	Frames  []struct {
		SideData []probeSideData `json:"side_data_list"`
	} `json:"frames"`
}

type probeFormat struct {
	Name     string `json:"format_name"`
	Start    string `json:"start_time"`
	Duration string `json:"duration"`
	Size     string `json:"size"`
	BitRate  string `json:"bit_rate"`
}

type probeStream struct {
	Index    int    `json:"index"`
	Kind     string `json:"codec_type"`
	Codec    string `json:"codec_name"`
	CodecTag string `json:"codec_tag_string"`
	Profile  string `json:"profile"`
	TimeBase string `json:"time_base"`
	StartPTS *int64 `json:"start_pts"`
	Duration int64  `json:"duration_ts"`
	BitRate  string `json:"bit_rate"`

	Width       int    `json:"width"`
	Height      int    `json:"height"`
	SAR         string `json:"sample_aspect_ratio"`
	PixelFormat string `json:"pix_fmt"`
	RawBits     string `json:"bits_per_raw_sample"`
	Range       string `json:"color_range"`
	Matrix      string `json:"color_space"`
	Primaries   string `json:"color_primaries"`
	Transfer    string `json:"color_transfer"`
	FieldOrder  string `json:"field_order"`
	RealRate    string `json:"r_frame_rate"`
	AverageRate string `json:"avg_frame_rate"`
	Frames      string `json:"nb_frames"`
	Reorder     int    `json:"has_b_frames"`
	Captions    int    `json:"closed_captions"`

	Channels     int    `json:"channels"`
	Layout       string `json:"channel_layout"`
	SampleRate   string `json:"sample_rate"`
	SampleFormat string `json:"sample_fmt"`

	Disposition struct {
		Default         int `json:"default"`
		Forced          int `json:"forced"`
		HearingImpaired int `json:"hearing_impaired"`
		AttachedPicture int `json:"attached_pic"`
	} `json:"disposition"`
	Tags     map[string]string `json:"tags"`
	SideData []probeSideData   `json:"side_data_list"`
}

// probeSideData holds the fields of the kinds that are used: display matrix,
// mastering display, content light, Dolby Vision.
type probeSideData struct {
	Kind          string `json:"side_data_type"`
	DisplayMatrix string `json:"displaymatrix"`

	RedX         string `json:"red_x"`
	RedY         string `json:"red_y"`
	GreenX       string `json:"green_x"`
	GreenY       string `json:"green_y"`
	BlueX        string `json:"blue_x"`
	BlueY        string `json:"blue_y"`
	WhiteX       string `json:"white_point_x"`
	WhiteY       string `json:"white_point_y"`
	MinLuminance string `json:"min_luminance"`
	MaxLuminance string `json:"max_luminance"`
	MaxContent   int    `json:"max_content"`
	MaxAverage   int    `json:"max_average"`

	DolbyProfile int `json:"dv_profile"`
}

func (d *probeDocument) media() *Media {
	m := &Media{
		Format:   d.Format.Name,
		Start:    parseSeconds(d.Format.Start),
		Duration: max(0, parseSeconds(d.Format.Duration)),
		BitRate:  number(d.Format.BitRate),
		Size:     number(d.Format.Size),
	}
	for i := range d.Streams {
		s := &d.Streams[i]
		switch s.Kind {
		case "video":
			m.Video = append(m.Video, s.video())
		case "audio":
			m.Audio = append(m.Audio, AudioStream{
				Stream: s.common(), Channels: s.Channels, Layout: s.Layout,
				SampleRate: int(number(s.SampleRate)), SampleFormat: s.SampleFormat,
			})
		case "subtitle":
			m.Subtitles = append(m.Subtitles, SubtitleStream{
				Stream: s.common(), Text: isTextSubtitle(s.Codec),
				HearingImpaired: s.Disposition.HearingImpaired != 0,
			})
		default:
			m.Others = append(m.Others, s.common())
		}
	}
	return m
}

func (s *probeStream) common() Stream {
	out := Stream{
		Index: s.Index, Kind: s.Kind, Codec: s.Codec, CodecTag: s.CodecTag, Profile: s.Profile,
		TimeBase: rational(s.TimeBase, "/"), Duration: s.Duration, BitRate: number(s.BitRate),
		Language: s.tag("language"), Title: s.tag("title"),
		Default: s.Disposition.Default != 0, Forced: s.Disposition.Forced != 0,
	}
	if out.Codec == "unknown" {
		out.Codec = ""
	}
	if strings.HasPrefix(out.CodecTag, "[") {
		out.CodecTag = "" // not four printable characters: no name
	}
	if s.StartPTS != nil {
		out.StartPTS, out.HasStart = *s.StartPTS, true
	}
	switch s.CodecTag {
	case "encv", "enca", "drms", "drmi", "drmt", "p608":
		out.Encrypted = true
	}
	for _, d := range s.SideData {
		if d.Kind == "Encryption initialization data" || d.Kind == "Encryption info" {
			out.Encrypted = true
		}
	}
	return out
}

// tag finds a tag whose name containers spell differently, at most 200 bytes.
func (s *probeStream) tag(name string) string {
	for key, value := range s.Tags {
		if strings.EqualFold(key, name) {
			return strings.ToValidUTF8(value[:min(len(value), 200)], "")
		}
	}
	return ""
}

func (s *probeStream) video() VideoStream {
	v := VideoStream{
		Stream: s.common(), Width: s.Width, Height: s.Height,
		SAR:         rational(s.SAR, ":"),
		PixelFormat: s.PixelFormat, BitDepth: bitDepth(s.PixelFormat, int(number(s.RawBits))),
		Range: s.Range, Matrix: known(s.Matrix), Primaries: known(s.Primaries), Transfer: known(s.Transfer),
		FieldOrder: known(s.FieldOrder),
		RealRate:   rational(s.RealRate, "/"), AverageRate: rational(s.AverageRate, "/"),
		Frames: number(s.Frames), ReorderDepth: s.Reorder,
		AttachedPicture: s.Disposition.AttachedPicture != 0, ClosedCaptions: s.Captions != 0,
	}
	v.addSideData(s.SideData)
	return v
}

func (v *VideoStream) addSideData(list []probeSideData) {
	for _, d := range list {
		switch {
		case d.DisplayMatrix != "":
			v.Rotation, v.Mirrored = orientation(d.DisplayMatrix)
		case d.Kind == "Mastering display metadata":
			v.light().Mastering = d.mastering()
		case d.Kind == "Content light level metadata":
			v.light().MaxCLL, v.light().MaxFALL = max(0, d.MaxContent), max(0, d.MaxAverage)
		case strings.Contains(d.Kind, "SMPTE2094-40"):
			v.HDR10Plus = true
		case d.Kind == "DOVI configuration record":
			v.DolbyVision = d.DolbyProfile
		}
	}
}

// light is v's HDR metadata, made when there is none.
func (v *VideoStream) light() *Light {
	if v.Light == nil {
		v.Light = &Light{}
	}
	return v.Light
}

// mastering returns nil unless luminance and all chromaticities are there.
func (d probeSideData) mastering() *Mastering {
	const chromaticity, luminance = 50_000, 10_000 // units a one, units a cd/m²
	points := [4][2]int{
		{units(d.RedX, chromaticity), units(d.RedY, chromaticity)},
		{units(d.GreenX, chromaticity), units(d.GreenY, chromaticity)},
		{units(d.BlueX, chromaticity), units(d.BlueY, chromaticity)},
		{units(d.WhiteX, chromaticity), units(d.WhiteY, chromaticity)},
	}
	m := &Mastering{
		Red: points[0], Green: points[1], Blue: points[2], White: points[3],
		MaxLuminance: units(d.MaxLuminance, luminance), MinLuminance: units(d.MinLuminance, luminance),
	}
	for _, p := range points {
		if p[0] == 0 || p[1] == 0 {
			return nil
		}
	}
	if m.MaxLuminance == 0 {
		return nil
	}
	return m
}

// units reads a fraction as a whole number of 1/one; 0 for what is not positive.
func units(text string, one int64) int {
	r := rational(text, "/")
	if !r.Valid() {
		return 0
	}
	return int(min(timebase.MulDiv(one, r.Num, r.Den), math.MaxInt32))
}

// orientation reads ffprobe's print of a display matrix (ISO/IEC 14496-12
// §8.3.2): three rows "00000000:  0  65536  0". It rotates by the first two of
// the first row, clockwise, and mirrors when its determinant is negative.
func orientation(text string) (clockwise int, mirrored bool) {
	var m []float64
	for row := range strings.Lines(text) {
		_, cells, found := strings.Cut(row, ":")
		if !found {
			continue
		}
		for cell := range strings.FieldsSeq(cells) {
			n, err := strconv.ParseInt(cell, 10, 32)
			if err != nil {
				return 0, false
			}
			m = append(m, float64(n))
		}
	}
	if len(m) != 9 {
		return 0, false
	}
	degrees := int(math.Round(math.Atan2(m[1], m[0]) * 180 / math.Pi))
	return (degrees + 360) % 360, m[0]*m[4]-m[1]*m[3] < 0
}

// bitDepth prefers the pixel format's name: the raw figure is the container's.
func bitDepth(pixelFormat string, raw int) int {
	name := strings.TrimSuffix(strings.TrimSuffix(pixelFormat, "le"), "be")
	for _, depth := range []int{9, 10, 12, 14, 16} {
		if strings.HasSuffix(name, "p"+strconv.Itoa(depth)) || name == "gray"+strconv.Itoa(depth) ||
			name == "p0"+strconv.Itoa(depth) {
			return depth
		}
	}
	switch {
	case name == "":
		return raw
	case strings.HasPrefix(name, "rgb48") || strings.HasPrefix(name, "rgba64"):
		return 16
	case raw > 8 && raw <= 16:
		return raw
	}
	return 8
}

// rational reads "a/b" or "a:b"; what is not a number greater than zero gives
// an invalid Rational.
func rational(text, separator string) timebase.Rational {
	r, err := timebase.Parse(strings.Replace(text, separator, "/", 1))
	if err != nil || !r.Valid() {
		return timebase.Rational{}
	}
	return r
}

// known drops ffprobe's words for what nobody knows.
func known(name string) string {
	if name == "unknown" || name == "reserved" || name == "unspecified" {
		return ""
	}
	return name
}

// parseSeconds reads decimal seconds; 0 for "N/A" and beyond a hundred years.
func parseSeconds(text string) time.Duration {
	const century = 100 * 365.25 * 24 * 3600
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(s) || math.Abs(s) > century {
		return 0
	}
	return time.Duration(math.Round(s*1e6)) * time.Microsecond
}
