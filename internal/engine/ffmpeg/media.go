package ffmpeg

import (
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/timebase"
)

// Media is what ffprobe found in a file: facts, with nothing chosen or mended.
// What is unknown is the zero value.
type Media struct {
	Format   string        // ffprobe's names: "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
	Start    time.Duration // of the earliest stream
	Duration time.Duration // as the container says or ffprobe estimates
	BitRate  int64         // bits a second, of the whole
	Size     int64         // bytes

	Video     []VideoStream
	Audio     []AudioStream
	Subtitles []SubtitleStream
	Others    []Stream // data, attachments, and what has no known kind

	Errors   int      // messages about broken data while the head was read
	Messages []string // the distinct ones, as Usage.Messages
}

// Stream is what all kinds of streams have.
type Stream struct {
	Index    int    // in the file, as ffmpeg's "0:Index"
	Kind     string // video, audio, subtitle, data, attachment; "" unknown
	Codec    string // ffmpeg's name; "" when it does not know it
	CodecTag string // four characters in MP4 and AVI: "avc1", "vvc1"
	Profile  string
	TimeBase timebase.Rational
	StartPTS int64 // ticks of TimeBase; see HasStart
	HasStart bool
	Duration int64 // ticks of TimeBase
	BitRate  int64 // bits a second
	Language string
	Title    string
	Default  bool
	Forced   bool
	// Encrypted is true where the container says so: no key of ours opens it.
	Encrypted bool
}

// VideoStream is a video stream.
type VideoStream struct {
	Stream
	Width, Height int
	SAR           timebase.Rational // of one pixel; invalid when unknown
	Rotation      int               // degrees clockwise that show it upright, 0 to 359
	Mirrored      bool              // the display matrix flips it, too
	PixelFormat   string
	BitDepth      int    // of a component; 0 when unknown
	Range         string // "tv", "pc"
	Matrix        string // ffmpeg's names in these three
	Primaries     string
	Transfer      string
	FieldOrder    string            // "progressive", "tt", "bb", "tb", "bt"
	RealRate      timebase.Rational // the least rate on which all timestamps lie (a guess)
	AverageRate   timebase.Rational
	Frames        int64 // as the container says
	ReorderDepth  int   // frames that a decoder holds back for B-frames

	Light       *Light // nil when neither container nor first frame has any
	HDR10Plus   bool
	DolbyVision int // profile; 0 when it is not

	AttachedPicture bool // cover art
	ClosedCaptions  bool // CEA-608/708 in the pictures
}

// HDR reports whether the transfer function is PQ or HLG.
func (v *VideoStream) HDR() bool { return v.Transfer == "smpte2084" || v.Transfer == "arib-std-b67" }

// SeekShift is how far from the presentation time of a random-access point of v,
// in ticks of its time base, ffmpeg has to be asked to seek so that it decodes
// from that point. Where pictures are reordered, ffmpeg seeks 3/23 s before the
// time asked for unless the format seeks by presentation time: in Matroska that
// is one group of pictures too many. Transport streams have no index: what is
// found is any packet about there, so the time has to be well before.
func (m *Media) SeekShift(v *VideoStream) int64 {
	micros := func(n int64) int64 { return timebase.Rescale(n, timebase.R(1, 1_000_000), v.TimeBase) }
	switch {
	case strings.Contains(m.Format, "mpeg"):
		return micros(-500_000)
	case strings.Contains(m.Format, "matroska") && v.ReorderDepth > 0:
		return micros(3_000_000 / 23)
	}
	return 0
}

// AudioStream is an audio stream.
type AudioStream struct {
	Stream
	Channels     int
	Layout       string // ffmpeg's name: "stereo", "5.1(side)"
	SampleRate   int    // Hz
	SampleFormat string
}

// SubtitleStream is a subtitle stream.
type SubtitleStream struct {
	Stream
	Text            bool // else pictures, or captions that have no text form
	HearingImpaired bool
}

// isTextSubtitle reports whether ffmpeg can turn the codec into WebVTT.
func isTextSubtitle(codec string) bool {
	return slices.Contains([]string{"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text", "ttml",
		"microdvd", "sami", "realtext", "stl", "subviewer", "subviewer1", "mpl2", "jacosub", "pjs", "vplayer", "eia_608"}, codec)
}
