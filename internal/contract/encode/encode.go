// Package encode is what goes over the queue about encoding: what is asked of
// the encoder, and what it answers. Plain data; new fields have good zero values,
// so that nodes of two versions understand each other.
package encode

import "liuyun/internal/contract/worker"

// The job kinds.
const (
	// Transcode makes the stream of one asset: a Request in, a Result out. It runs
	// the analysis and the packaging where it is, and has everything between made
	// by jobs of the kind Unit.
	Transcode = "transcode"
	// Unit encodes and checks one range of one source, or analyses one. Its payload
	// is the encoder's own business; the answer is a UnitResult.
	Unit = "unit"
	// Compare measures what was made of an asset against its source: a CompareRequest
	// in, a CompareResult out.
	Compare = "compare"
)

// HardwareClass is the class of Transcode jobs whose Options have Hardware: that of
// workers which have proven encoders.
const HardwareClass = "hardware"

// Options are what a user may choose.
type Options struct {
	Codecs       []string `json:"codecs" nullable:"false"` // h264 and any of hevc, av1
	Ladder       string   `json:"ladder"`                  // "auto" or heights: "1080,720,480"
	Preset       string   `json:"preset"`                  // ultrafast … veryslow
	Segment      string   `json:"segment"`                 // a range of seconds within "2..6s"
	Loudness     string   `json:"loudness"`                // "off", "-16" or "-23" LUFS
	Saliency     string   `json:"saliency,omitempty"`      // "off", "auto" or "strong"; "" is off
	MP4          bool     `json:"mp4"`                     // an MP4 a rendition besides
	KeepOriginal bool     `json:"keep_original"`           // the source besides
	Optimize     string   `json:"optimize,omitempty"`      // "off", "quick" or "thorough"; "" is off
	Target       float64  `json:"target,omitempty"`        // mean quality of the largest rung, 40 to 99
	Bits         int64    `json:"bits,omitempty"`          // instead: bits a second of the largest rung on average
	// Hardware has encoders of graphics and video processors make H.264 and HEVC of eight
	// bits: faster, and with more bits for the same picture.
	Hardware bool `json:"hardware,omitempty"`
	// Prefer says which workers make it: time (whichever is free), cost or carbon. It
	// changes nothing of what is made.
	Prefer string `json:"prefer" enum:",time,cost,carbon"`
}

// DefaultOptions is what a user gets who asks for nothing.
func DefaultOptions() Options {
	return Options{Codecs: []string{"h264"}, Ladder: "auto", Preset: "medium", Segment: "2..6s", Loudness: "off", Saliency: "off"}
}

// Subtitle is a subtitle file that was added to an asset.
type Subtitle struct {
	Language string `json:"language"` // RFC 5646
	Name     string `json:"name"`     // for people; "" takes the language's own name
	Object   string `json:"object"`   // blob name of the SubRip or WebVTT text
}

// Request is the payload of a Transcode job.
type Request struct {
	Asset   string  `json:"asset"`
	Name    string  `json:"name"`   // the source's file name, for people and for players who save it
	Source  string  `json:"source"` // blob name
	Options Options `json:"options"`
	// Subtitles are all that were added, in a stable order; those in the source
	// are found there.
	Subtitles []Subtitle `json:"subtitles,omitempty"`
	// Previous is the Prefix of an earlier result of the same asset. Where it was
	// made with the same Options, only subtitles and manifests are made anew and
	// the source is not looked at. "" makes everything.
	Previous string `json:"previous,omitempty"`
	// Version is another number in each request of the same asset. No two requests
	// share a Prefix: the result of an earlier one may be being removed.
	Version int64 `json:"version,omitempty"`
}

// Result is the answer to a Request. All files lie below Prefix, which nobody
// else writes to but a job that makes the same bytes.
type Result struct {
	Prefix     string  `json:"prefix"`      // "assets/<asset>/<key>-<version>/"
	Stored     int64   `json:"stored"`      // bytes below Prefix
	Duration   float64 `json:"duration"`    // seconds
	CPUSeconds float64 `json:"cpu_seconds"` // of this attempt and of the units that it waited for
	// OwnCPUSeconds is CPUSeconds without the units': for who counts those as
	// they end.
	OwnCPUSeconds float64 `json:"own_cpu_seconds"`
	// OwnSpent is what those took on the machine that it ran on.
	OwnSpent worker.Spent `json:"own_spent,omitzero"`
	Units    int          `json:"units"`
	Reused   int          `json:"reused"` // units that were there already

	Tracks     []Track         `json:"tracks"`
	Renditions []Rendition     `json:"renditions"`
	Subtitles  []SubtitleTrack `json:"subtitles"`
	Warnings   []Warning       `json:"warnings"`
	Files      Files           `json:"files"`
}

// Track is one track of the source, or subtitles that were added.
type Track struct {
	Type         string  `json:"type" enum:"video,audio,subtitle"`
	Codec        string  `json:"codec"`
	Width        int     `json:"width,omitempty"`
	Height       int     `json:"height,omitempty"`
	FrameRate    float64 `json:"frame_rate,omitempty"`
	DynamicRange string  `json:"dynamic_range,omitempty"` // SDR, PQ or HLG
	Channels     int     `json:"channels,omitempty"`
	SampleRate   int     `json:"sample_rate,omitempty"`
	Language     string  `json:"language,omitempty"`
	Name         string  `json:"name,omitempty"`
}

// Rendition is one rung in one codec.
type Rendition struct {
	ID               string  `json:"id"`
	Codec            string  `json:"codec"`
	Codecs           string  `json:"codecs"` // RFC 6381
	Width            int     `json:"width"`
	Height           int     `json:"height"`
	FrameRate        float64 `json:"frame_rate"`
	DynamicRange     string  `json:"dynamic_range"`
	Bandwidth        int64   `json:"bandwidth"`
	AverageBandwidth int64   `json:"average_bandwidth"`
	Size             int64   `json:"size"` // bytes of its segments
	MP4              string  `json:"mp4"`  // file below Prefix, or ""
}

// SubtitleTrack is one language of subtitles in the result.
type SubtitleTrack struct {
	Language string `json:"language"`
	Name     string `json:"name"`
}

// Warning is something odd about the source: a stable code and a sentence.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Files are the names below Prefix that players are given; "" is absent.
type Files struct {
	HLS        string `json:"hls"`
	DASH       string `json:"dash"`
	Poster     string `json:"poster"`
	Storyboard string `json:"storyboard"`
	Original   string `json:"original"`
}

// ReportName is the file of a result that says how it came about.
const ReportName = "report.json"

// Report is what others than the encoder read of that file; it has much more in it.
// Results of earlier versions have no shots.
type Report struct {
	Plan struct {
		ShotStarts []float64 `json:"shot_starts_s"` // the first is 0
	} `json:"plan"`
	Renditions []RenditionReport `json:"renditions"`
}

// RenditionReport is one rendition, and what each shot of it was given.
type RenditionReport struct {
	ID        string  `json:"id"`
	Codec     string  `json:"codec"`
	Playlist  string  `json:"playlist"` // in the folder of its segments
	ShotBytes []int64 `json:"shot_bytes"`
}

// UnitResult is the answer of a Unit job. The output lies on the shelf, under
// units/<asset>/<Hash>/.
type UnitResult struct {
	Hash           string  `json:"hash"`
	Frames         int     `json:"frames"`
	CPUSeconds     float64 `json:"cpu_seconds"`
	MeasureSeconds float64 `json:"measure_seconds,omitempty"` // of those, to measure quality
	// Spent is what those took on the worker's machine.
	Spent    worker.Spent `json:"spent,omitzero"`
	Reused   bool         `json:"reused"` // it was there already
	Retries  int          `json:"retries"`
	Apart    bool         `json:"apart,omitempty"` // of the analysis: the source cannot be cut there, and nothing was stored
	Warnings []Warning    `json:"warnings,omitempty"`
}

// UnitsPrefix is where the units and all else that an unfinished asset needs lie.
// Who has no use for them any more deletes all below it.
func UnitsPrefix(asset string) string { return "units/" + asset + "/" }
