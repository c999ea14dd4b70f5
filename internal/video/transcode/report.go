package transcode

import (
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/analyse"
)

// Report says what a job made of its source. It is written to report.json as
// the last file of all, and has only what follows from the source and the
// options, so that it is the same whenever and however often a job was stopped.
type Report struct {
	Version int    `json:"version"` // of this document: 1
	Job     string `json:"job"`     // names source, options, program and engine: equal jobs give equal files
	Class   string `json:"class"`   // machines that give the same bytes

	Source     SourceReport      `json:"source"`
	Plan       PlanReport        `json:"plan"`
	Content    []analyse.Shot    `json:"content,omitempty"` // what each shot of the source shows
	Tried      []TrialReport     `json:"tried,omitempty"`   // where the title has its own ladder
	Renditions []RenditionReport `json:"renditions"`
	Audio      []AudioReport     `json:"audio"`
	Subtitles  []SubtitleReport  `json:"subtitles"`
	Playback   PlaybackReport    `json:"playback"`
	Bytes      int64             `json:"bytes"` // of all segments
	Warnings   []Warning         `json:"warnings"`

	// Run is how this run went; it is not in report.json.
	Run *RunReport `json:"run,omitempty"`
}

// SourceReport is the source as it was understood.
type SourceReport struct {
	Name        string       `json:"name"`
	Bytes       int64        `json:"bytes"`
	Fingerprint string       `json:"fingerprint"`
	Format      string       `json:"format"`
	Duration    float64      `json:"duration_s"`
	Video       *VideoFacts  `json:"video,omitempty"`
	Audio       []AudioFacts `json:"audio"`
}

// VideoFacts describe the picture that was chosen.
type VideoFacts struct {
	Stream     int           `json:"stream"`
	Codec      string        `json:"codec"`
	Width      int           `json:"width"`  // as shown
	Height     int           `json:"height"` // as shown
	Coded      [2]int        `json:"coded_size"`
	Rotation   int           `json:"rotation"`
	FrameRate  float64       `json:"frame_rate"`
	Variable   bool          `json:"variable_frame_rate"`
	Interlaced bool          `json:"interlaced"`
	Range      string        `json:"dynamic_range"` // SDR, PQ or HLG
	Colour     ffmpeg.Colour `json:"colour"`
}

// AudioFacts describe one track of sound.
type AudioFacts struct {
	Stream   int              `json:"stream"`
	Codec    string           `json:"codec"`
	Channels int              `json:"channels"`
	Rate     int              `json:"sample_rate"`
	Language string           `json:"language,omitempty"`
	Loudness *ffmpeg.Loudness `json:"loudness,omitempty"`
}

// PlanReport is the frame plan and the cuts.
type PlanReport struct {
	FrameRate    timebase.Rational `json:"frame_rate"`
	Frames       int               `json:"frames"`        // of the output
	SourceFrames int               `json:"source_frames"` // decoded
	Repeated     int               `json:"repeated"`
	Dropped      int               `json:"dropped"`
	Shots        int               `json:"shots"`
	Units        int               `json:"units"`
	Segments     int               `json:"segments"`
	Target       int               `json:"target_duration_s"`
	// ShotStarts are when shots begin, the first at 0, in seconds.
	ShotStarts []float64 `json:"shot_starts_s"`
	Memory     int64     `json:"memory_bytes,omitempty"` // that the largest process is expected to need
}

// TrialReport is what was tried to place the rungs of one codec.
type TrialReport struct {
	Codec  string  `json:"codec"`
	Spans  int     `json:"spans"`  // of the title
	Length float64 `json:"span_s"` // of each
	Sizes  []int   `json:"sizes"`  // short sides, largest first
}

// RenditionReport is one rung in one codec.
type RenditionReport struct {
	ID        string  `json:"id"`
	Codec     string  `json:"codec"`
	Codecs    string  `json:"codecs"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FrameRate float64 `json:"frame_rate"`
	Range     string  `json:"dynamic_range"`
	Quality   float64 `json:"crf"`
	Cap       int64   `json:"cap"`               // bits a second that the encoder kept to
	Peak      int64   `json:"bandwidth"`         // measured, bits a second
	Mean      int64   `json:"average_bandwidth"` // measured, bits a second
	Bytes     int64   `json:"bytes"`
	Recoded   int     `json:"recoded_units"` // encoded again lower to keep to the cap
	// Forecast is what trial encodes said of it, where the title has its own ladder.
	Forecast   *Forecast `json:"forecast,omitempty"`
	Playlist   string    `json:"playlist"`
	MP4        string    `json:"mp4,omitempty"`
	IFrameList string    `json:"iframe_playlist"`
	// ShotBytes is what each shot of the plan was given.
	ShotBytes []int64 `json:"shot_bytes"`
	// Search is how the quality of each shot was chosen, in the rendition that was
	// measured for it. Others of the codec have the same.
	Search *SearchReport `json:"search,omitempty"`
}

// SearchReport is what was expected of each shot and what came out. Quality is the
// mean of Metric, from 0 to 100, over the pictures that were measured.
type SearchReport struct {
	Effort  Optimize     `json:"effort"`
	Metric  string       `json:"metric"`  // the VMAF model's digest, or "estimate"
	Encodes float64      `json:"encodes"` // pictures encoded to find it and to make it, for each one
	Samples int          `json:"samples"` // pictures measured, in all encodes
	Quality float64      `json:"quality"`
	Bits    int64        `json:"bits"`
	Shots   []ShotReport `json:"shots"`
}

// ShotReport is one shot of a search, or a part of one: where far more begins to
// change within a shot, the rest of it is on its own. Expected is missing where the
// first encode was taken.
type ShotReport struct {
	First    int       `json:"first"`          // frame
	Rest     bool      `json:"rest,omitempty"` // the same shot as the one before
	Pictures int       `json:"pictures"`
	CRF      float64   `json:"crf"`
	Tries    int       `json:"tries"` // encodes of it, all together
	Quality  float64   `json:"quality"`
	Bits     int64     `json:"bits"`
	Expected *Expected `json:"expected,omitempty"`
}

// Expected is what a shot was thought to come to before it was encoded.
type Expected struct {
	Quality float64 `json:"quality"`
	Bits    int64   `json:"bits"`
}

// Forecast is what is expected of a rendition before it is made.
type Forecast struct {
	Mean    int64   `json:"average_bandwidth"` // bits a second
	Quality float64 `json:"vmaf"`              // compared at the size at which the source is shown
}

// AudioReport is one audio rendition.
type AudioReport struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Language string  `json:"language,omitempty"`
	Channels int     `json:"channels"`
	Rate     int     `json:"sample_rate"`
	Codecs   string  `json:"codecs"`
	Peak     int64   `json:"bandwidth"`
	Mean     int64   `json:"average_bandwidth"`
	Gain     float64 `json:"gain_db"`
	Limited  bool    `json:"limited"`
	Bytes    int64   `json:"bytes"`
	Playlist string  `json:"playlist"`
}

// SubtitleReport is one language of subtitles.
type SubtitleReport struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Language string `json:"language,omitempty"`
	Cues     int    `json:"cues"`
	Playlist string `json:"playlist"`
	File     string `json:"file"`
}

// PlaybackReport names the files to give to a player.
type PlaybackReport struct {
	HLS        string `json:"hls"`
	DASH       string `json:"dash"`
	Poster     string `json:"poster,omitempty"`
	Storyboard string `json:"storyboard,omitempty"`
	Original   string `json:"original,omitempty"`
}

// Warning is something that people should know: a code for programs and a
// sentence.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// RunReport is how one run of a job went.
type RunReport struct {
	Wall float64 `json:"wall_s"`
	CPU  float64 `json:"cpu_s"` // of all child processes, and of what measures them
	// UnitsCPU is of CPU: all that units took, those too that a search did not take
	// in the end. Of that, MeasureCPU is to measure quality and TriesCPU to encode
	// what was not taken.
	UnitsCPU   float64 `json:"units_cpu_s"`
	MeasureCPU float64 `json:"measure_cpu_s,omitempty"`
	TriesCPU   float64 `json:"tries_cpu_s,omitempty"`
	Speed      float64 `json:"speed"` // seconds of source a second
	Units      int     `json:"units"`
	Reused     int     `json:"reused_units"` // made by an earlier run
	Retried    int     `json:"retries"`
	Complete   bool    `json:"already_complete"` // nothing was left to do
	Sandbox    string  `json:"sandbox"`
}
