package vod

import (
	"encoding/json"
	"time"

	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/worker"
	"liuyun/internal/kit/job"
)

// Status is where an asset is on its way.
type Status string

// created → uploading → queued → processing → ready or failed. An asset that is
// imported from an address goes from created to queued; one that is recorded from a
// stream is recording until it is ready.
const (
	Created    Status = "created"    // nothing of its source is here
	Uploading  Status = "uploading"  // some bytes are
	Queued     Status = "queued"     // waits for a worker
	Processing Status = "processing" // a worker has it
	Recording  Status = "recording"  // it is copied from a stream as that comes
	Ready      Status = "ready"
	Failed     Status = "failed"
)

// Policy says who may play an asset.
type Policy string

// The policies.
const (
	Public Policy = "public" // whoever has the address
	Signed Policy = "signed" // an address that holds for a time
)

// asset is the record. What it holds of times has microseconds, UTC.
type asset struct {
	ID, Tenant, Name string
	Status           Status
	Error            *job.Failure
	Policy           Policy
	Options          encode.Options
	Received         int64  // bytes of the source that are here
	Size             int64  // bytes of the source; 0 while unknown
	Source           string // blob of the source; "" until it is whole
	Address          string // where it is imported from, or ""
	Subtitles        []subtitle
	Job              string // the last one for it
	Version          int64  // counts those jobs
	Result           *encode.Result
	Recorded         *recorded     // nil unless it was a stream
	Spent            *worker.Spent // on it so far, nil while nothing is counted; kept apart, see addSpent
	Comparison       *comparison   // nil where there was none
	Garbage          []string      // blob prefixes that nobody needs any more
	Created          time.Time
	Updated          time.Time
	ReadyAt          time.Time
	Touched          time.Time // the last sign of life of an upload
	Deleted          time.Time
	Rev              int64
}

// subtitle is a language that somebody added.
type subtitle struct {
	Language string `json:"language"`
	Name     string `json:"name"`
	Object   string `json:"object"` // blob of the SRT or WebVTT file
}

// Asset is what the API shows.
type Asset struct {
	ID         string             `json:"id"`
	Name       string             `json:"name"`
	Status     Status             `json:"status" enum:"created,uploading,queued,processing,recording,ready,failed"`
	WaitingFor *string            `json:"waiting_for" doc:"What holds it up: storage while a disk is full, else null."`
	Progress   float64            `json:"progress" minimum:"0" maximum:"1" doc:"Of the phase that runs."`
	Phase      string             `json:"phase" enum:",upload,import,analyse,encode,package,record,compare"`
	Error      *job.Failure       `json:"error"`
	Duration   float64            `json:"duration" doc:"Seconds."`
	Size       int64              `json:"size" doc:"Bytes of the source."`
	Stored     int64              `json:"stored" doc:"Bytes of what was made of it."`
	Tracks     []encode.Track     `json:"tracks" nullable:"false" doc:"What is in the source."`
	Renditions []encode.Rendition `json:"renditions" nullable:"false" doc:"In mp4 is an address."`
	Subtitles  []SubtitleState    `json:"subtitles" nullable:"false"`
	Playback   Playback           `json:"playback"`
	Thumbnails Thumbnails         `json:"thumbnails"`
	Warnings   []encode.Warning   `json:"warnings" nullable:"false"`
	Options    encode.Options     `json:"options"`
	Spent      *AssetSpent        `json:"spent" doc:"What its making took so far; null where it was not counted."`
	Comparison *AssetComparison   `json:"comparison" doc:"How far the comparison with its source is; null where there was none."`
	Recording  *AssetRecording    `json:"recording" doc:"What it is a recording of; null unless it was a stream."`
	CreatedAt  time.Time          `json:"created_at"`
	UpdatedAt  time.Time          `json:"updated_at"`
	ReadyAt    *time.Time         `json:"ready_at"`
	Rev        int64              `json:"rev" doc:"Changes with every change; the ETag."`
}

// SubtitleState is one language of subtitles.
type SubtitleState struct {
	Language string `json:"language"`
	Name     string `json:"name"`
	Status   string `json:"status" enum:"ready,processing"`
}

// Playback says where an asset plays. Addresses are empty until it is ready.
type Playback struct {
	Policy  Policy     `json:"policy" enum:"public,signed"`
	HLS     string     `json:"hls"`
	DASH    string     `json:"dash"`
	MP4     []string   `json:"mp4" nullable:"false"`
	Embed   string     `json:"embed"`
	Expires *time.Time `json:"expires" doc:"When the addresses end; null for never."`
}

// Thumbnails are pictures of an asset.
type Thumbnails struct {
	Poster     string `json:"poster"`
	Storyboard string `json:"storyboard" doc:"WebVTT with one picture a cue."`
}

// assetFolder is where all of an asset lies but its units.
func assetFolder(asset string) string { return "assets/" + asset + "/" }

// request is the job that makes an asset's stream.
func (a *asset) request() encode.Request {
	r := encode.Request{Asset: a.ID, Name: a.Name, Source: a.Source, Options: a.Options, Version: a.Version}
	if a.Result != nil {
		r.Previous = a.Result.Prefix
	}
	for _, s := range a.Subtitles {
		r.Subtitles = append(r.Subtitles, encode.Subtitle{Language: s.Language, Name: s.Name, Object: s.Object})
	}
	return r
}

// encoded is v in JSON; what it is called with always has one.
func encoded(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}
