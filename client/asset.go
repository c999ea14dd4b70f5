package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Status says how far an asset is.
type Status string

// The states of an asset.
const (
	Created    Status = "created"    // nothing was uploaded yet
	Uploading  Status = "uploading"  // bytes come in
	Queued     Status = "queued"     // waits for a worker
	Processing Status = "processing" // is being encoded
	Recording  Status = "recording"  // is being copied from a stream
	Ready      Status = "ready"      // can be watched
	Failed     Status = "failed"     // see Error
)

// Ended reports whether the state stays until somebody acts.
func (s Status) Ended() bool { return s == Ready || s == Failed }

// Policy says who may watch.
type Policy string

// The policies.
const (
	Public Policy = "public" // whoever has the URL
	Signed Policy = "signed" // who has a signed URL that has not expired
)

// Asset is a video with all that was made of it.
type Asset struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Status Status `json:"status"`
	// WaitingFor is "storage" while the asset is held because the disk is full,
	// else empty.
	WaitingFor string  `json:"waiting_for"`
	Progress   float64 `json:"progress"` // of the phase, from 0 to 1
	Phase      string  `json:"phase"`    // upload, import, analyse, encode, package, record or compare
	// Failure says why the asset failed; nil unless it did.
	Failure    *Failure      `json:"error"`
	Duration   float64       `json:"duration"` // seconds; 0 while unknown
	Size       int64         `json:"size"`     // bytes of the source
	Stored     int64         `json:"stored"`   // bytes of what was made
	Tracks     []Track       `json:"tracks"`
	Renditions []Rendition   `json:"renditions"`
	Subtitles  []Subtitle    `json:"subtitles"`
	Playback   Playback      `json:"playback"`
	Thumbnails Thumbnails    `json:"thumbnails"`
	Warnings   []Failure     `json:"warnings"` // what was odd about the source
	Options    EncodeOptions `json:"options"`
	// Spent is what its making took; nil where it was not counted.
	Spent *AssetSpent `json:"spent"`
	// Comparison is how far its comparison with its source is; nil where there was none.
	Comparison *AssetComparison `json:"comparison"`
	// Recording is what it is a recording of; nil unless it was a stream.
	Recording *AssetRecording `json:"recording"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
	ReadyAt   *time.Time      `json:"ready_at"`
	Rev       int64           `json:"rev"` // grows with each change
}

// Spent is what work took. What is not known of all of it is nil.
type Spent struct {
	CPUSeconds float64  `json:"cpu_seconds"`
	Cost       *float64 `json:"cost"`
	Energy     *float64 `json:"energy_wh"` // watt-hours
	Carbon     *float64 `json:"carbon_g"`  // grams of CO2e
}

// AssetSpent is what the making of an asset took.
type AssetSpent struct {
	Spent
	Currency string `json:"currency"` // of Cost
	// PerMinute is the same for a minute of video; nil until the asset is ready.
	PerMinute *Spent `json:"per_minute"`
}

// AssetRecording says of what an asset is a recording. The times are nil until it is
// ready.
type AssetRecording struct {
	Stream string     `json:"stream"`
	Start  *time.Time `json:"start"`
	End    *time.Time `json:"end"`
}

// Failure is what went wrong, or what was odd.
type Failure struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Track is a stream of the source. What does not fit its type is zero.
type Track struct {
	Type         string  `json:"type"` // video, audio or subtitle
	Codec        string  `json:"codec"`
	Width        int     `json:"width"`
	Height       int     `json:"height"`
	FrameRate    float64 `json:"frame_rate"`
	DynamicRange string  `json:"dynamic_range"`
	Channels     int     `json:"channels"`
	SampleRate   int     `json:"sample_rate"`
	Language     string  `json:"language"`
	Name         string  `json:"name"`
}

// Rendition is one quality that viewers get.
type Rendition struct {
	ID               string  `json:"id"`
	Codec            string  `json:"codec"`
	Codecs           string  `json:"codecs"` // RFC 6381
	Width            int     `json:"width"`
	Height           int     `json:"height"`
	FrameRate        float64 `json:"frame_rate"`
	DynamicRange     string  `json:"dynamic_range"`
	Bandwidth        int64   `json:"bandwidth"`         // bits a second, peak
	AverageBandwidth int64   `json:"average_bandwidth"` // bits a second, mean
	Size             int64   `json:"size"`              // bytes
	MP4              string  `json:"mp4"`               // URL, or empty
}

// Subtitle is a subtitle track that viewers can choose.
type Subtitle struct {
	Language string `json:"language"`
	Name     string `json:"name"`
	Status   string `json:"status"` // ready, or processing while it is being added
}

// Playback is where an asset is watched. URLs may be paths: see [Client.Resolve].
type Playback struct {
	Policy     Policy     `json:"policy,omitempty"`
	HLS        string     `json:"hls"`
	DASH       string     `json:"dash"`
	MP4        []string   `json:"mp4"`
	Embed      string     `json:"embed"` // a page for an iframe
	Poster     string     `json:"poster,omitempty"`
	Storyboard string     `json:"storyboard,omitempty"`
	Expires    *time.Time `json:"expires"` // of signed URLs
}

// Thumbnails are the pictures of an asset.
type Thumbnails struct {
	Poster     string `json:"poster"`
	Storyboard string `json:"storyboard"` // WebVTT that names parts of sheets
}

// EncodeOptions says what to make of a source. What is left zero, the server
// decides.
type EncodeOptions struct {
	Codecs       []string `json:"codecs,omitempty"`   // h264 (always made), hevc, av1
	Ladder       string   `json:"ladder,omitempty"`   // auto, or heights with caps: 1080:6M,720
	Preset       string   `json:"preset,omitempty"`   // ultrafast to veryslow
	Segment      string   `json:"segment,omitempty"`  // 2..6s, or one length such as 4s
	Loudness     string   `json:"loudness,omitempty"` // -23, -16 or off
	Saliency     string   `json:"saliency,omitempty"` // off, auto or strong: bits follow where people look
	MP4          bool     `json:"mp4,omitempty"`      // one MP4 a rendition besides
	KeepOriginal bool     `json:"keep_original,omitempty"`
	Hardware     bool     `json:"hardware,omitempty"` // by hardware encoders, of a worker that has some
	Prefer       string   `json:"prefer,omitempty"`   // which workers make it: time, cost or carbon
	Optimize     string   `json:"optimize,omitempty"` // search the quality of every shot: off, quick or thorough
	Target       float64  `json:"target,omitempty"`   // with it: mean quality of the largest rung, 40 to 99
	Bits         int64    `json:"bits,omitempty"`     // or its bits a second on average
}

// Assets are the videos of a tenant.
type Assets struct{ c *Client }

const assetsPath = "/v1/assets"

// NewAsset is what an asset begins with.
type NewAsset struct {
	Name string `json:"name"`
	// URL, when set, is where the server fetches the source itself.
	URL     string         `json:"url,omitempty"`
	Policy  Policy         `json:"playback_policy,omitempty"`
	Options *EncodeOptions `json:"options,omitempty"`
}

// Create makes an asset. Without a URL its source is uploaded afterwards, with
// [Assets.PutSource], or by an [Client.Upload] that names it.
func (s Assets) Create(ctx context.Context, asset NewAsset) (a Asset, err error) {
	return a, s.c.post(ctx, assetsPath, asset, &a)
}

// AssetFilter chooses assets; what is empty does not matter.
type AssetFilter struct {
	Status Status
	Query  string // text that the name contains
}

func (f AssetFilter) add(query url.Values) url.Values {
	set(query, "status", string(f.Status))
	set(query, "q", f.Query)
	return query
}

// List yields the assets, newest first. It ends after the first error.
func (s Assets) List(ctx context.Context, f AssetFilter) iter.Seq2[Asset, error] {
	return list[Asset](ctx, s.c, assetsPath, f.add(make(url.Values)))
}

// Page returns a part of the list.
func (s Assets) Page(ctx context.Context, f AssetFilter, o PageOptions) (p Page[Asset], err error) {
	return p, s.c.get(ctx, assetsPath, f.add(o.values()), &p)
}

// Get returns the asset.
func (s Assets) Get(ctx context.Context, id string) (a Asset, err error) {
	return a, s.c.get(ctx, at(assetsPath, id), nil, &a)
}

// AssetChange says what to change; what is nil stays.
type AssetChange struct {
	Name   *string `json:"name,omitempty"`
	Policy *Policy `json:"playback_policy,omitempty"`
	// Rev, when it is not 0, must be the asset's, or nothing changes and the
	// error is a Conflict.
	Rev int64 `json:"-"`
}

// Update changes the asset.
func (s Assets) Update(ctx context.Context, id string, change AssetChange) (a Asset, err error) {
	return a, s.c.do(ctx, call{method: http.MethodPatch, path: at(assetsPath, id), rev: change.Rev, in: change, out: &a})
}

// Delete removes the asset and all that was made of it, whatever its state.
func (s Assets) Delete(ctx context.Context, id string) error {
	return s.c.delete(ctx, at(assetsPath, id))
}

// Retry puts a failed asset into the queue again.
func (s Assets) Retry(ctx context.Context, id string) (a Asset, err error) {
	return a, s.c.post(ctx, at(assetsPath, id)+"/retry", nil, &a)
}

// SignedPlayback returns URLs that work until they expire, whatever the asset's
// policy. expiresIn is at most 30 days; 0 is 6 hours.
func (s Assets) SignedPlayback(ctx context.Context, id string, expiresIn time.Duration) (p Playback, err error) {
	in := struct {
		ExpiresIn int64 `json:"expires_in,omitempty"`
	}{int64(expiresIn / time.Second)}
	return p, s.c.post(ctx, at(assetsPath, id)+"/playback", in, &p)
}

// Encoding is how the bits of an asset are spread over its shots. It has no shots
// where the asset was recorded, or encoded by an earlier version.
type Encoding struct {
	Shots []struct {
		Start float64 `json:"start"` // seconds
		End   float64 `json:"end"`   // seconds
	} `json:"shots"`
	Renditions []struct {
		ID    string  `json:"id"`
		Bytes []int64 `json:"shot_bytes"` // one a shot
	} `json:"renditions"`
}

// Encoding returns what each shot of an asset that is ready was given.
func (s Assets) Encoding(ctx context.Context, id string) (e Encoding, err error) {
	return e, s.c.do(ctx, call{method: http.MethodGet, path: at(assetsPath, id) + "/encoding", out: &e})
}

// AssetComparison is how far the comparison of an asset with its source is.
type AssetComparison struct {
	Status   string   `json:"status"`   // queued, running, ready or failed
	Progress float64  `json:"progress"` // from 0 to 1
	Failure  *Failure `json:"error"`    // nil unless it failed
	// Report is the URL of a page with all of it, which works until it expires; empty
	// until it is ready. It may be a path: see [Client.Resolve].
	Report  string     `json:"report"`
	Expires *time.Time `json:"expires"`
	// LeftOut are renditions that cannot be laid over the source.
	LeftOut []struct {
		Rendition string `json:"rendition"`
		Message   string `json:"message"`
	} `json:"left_out"`
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at"`
}

// CompareOptions say how to compare; the server decides what is left zero.
type CompareOptions struct {
	Every  int  `json:"every,omitempty"`  // one frame in so many
	Frames *int `json:"frames,omitempty"` // how many of the worst frames the page shows, at most 12
}

// Compare has an asset that is ready compared with its source, unless that is being
// done. Ask for the asset to see how far it is.
func (s Assets) Compare(ctx context.Context, id string, o CompareOptions) (a Asset, err error) {
	return a, s.c.post(ctx, at(assetsPath, id)+"/comparison", o, &a)
}

// DropComparison stops the comparison of an asset, or removes what it came to.
func (s Assets) DropComparison(ctx context.Context, id string) (a Asset, err error) {
	return a, s.c.do(ctx, call{method: http.MethodDelete, path: at(assetsPath, id) + "/comparison", out: &a})
}

// Comparison is how near the renditions of an asset come to its source. All times are
// seconds.
type Comparison struct {
	Reference ComparedVideo `json:"reference"`
	Every     int           `json:"every"` // one frame in so many was compared
	Shots     []struct {
		Start float64 `json:"start_s"`
		End   float64 `json:"end_s"`
	} `json:"shots"`
	Encodes []struct {
		ComparedVideo
		Group  string `json:"group"` // encodes of one group are one curve of quality over bits
		Scores []struct {
			Metric  string  `json:"metric"` // VMAF, VMAF NEG, XPSNR, PSNR or SSIM
			Unit    string  `json:"unit"`
			Mean    float64 `json:"mean"`
			P5      float64 `json:"p5"` // one frame in twenty is worse
			Worst   float64 `json:"worst"`
			WorstAt float64 `json:"worst_at_s"`
		} `json:"scores"` // shots and worst frames go by the first
		Shots []struct {
			Bytes int64    `json:"bytes"`
			Score *float64 `json:"score"` // nil where no frame was compared
		} `json:"shots"` // as those of the reference
	} `json:"encodes"`
	BDRate []struct {
		Group   string  `json:"group"`
		Against string  `json:"against"`
		Metric  string  `json:"metric"`
		Percent float64 `json:"percent"` // below 0 is fewer bits for the same quality
	} `json:"bd_rate"`
}

// ComparedVideo describes a file of a comparison.
type ComparedVideo struct {
	Name      string  `json:"name"`
	Codec     string  `json:"codec"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FrameRate float64 `json:"frame_rate"`
	Duration  float64 `json:"duration_s"`
	Bytes     int64   `json:"bytes"` // of the picture alone
	BitRate   int64   `json:"bit_rate"`
}

// Comparison returns the numbers of the comparison of an asset that is ready.
func (s Assets) Comparison(ctx context.Context, id string) (c Comparison, err error) {
	return c, s.c.get(ctx, at(assetsPath, id)+"/comparison", nil, &c)
}

// Report writes the page of an asset's comparison to w. It asks for the asset first:
// addresses of reports work for a while only.
func (s Assets) Report(ctx context.Context, id string, w io.Writer) error {
	a, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	if a.Comparison == nil || a.Comparison.Report == "" {
		return &Error{Status: http.StatusNotFound, Code: NotFound, Title: "Not Found", Detail: "there is no comparison of this asset that is ready"}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.c.Resolve(a.Comparison.Report), nil)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	response, err := s.c.http.Do(request)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return decode(response, nil)
	}
	if _, err := io.Copy(w, response.Body); err != nil {
		return fmt.Errorf("client: read the report: %w", err)
	}
	return nil
}

// LargestSubtitle is the most bytes that a subtitle file may have.
const LargestSubtitle = 8 << 20

// PutSubtitle adds or replaces the subtitles of a language with a SubRip or
// WebVTT file. name is for viewers and may be empty.
func (s Assets) PutSubtitle(ctx context.Context, id, language, name string, file io.Reader) (a Asset, err error) {
	text, err := io.ReadAll(io.LimitReader(file, LargestSubtitle+1))
	if err != nil {
		return a, fmt.Errorf("client: read subtitles: %w", err)
	}
	if len(text) > LargestSubtitle {
		return a, &Error{Status: http.StatusRequestEntityTooLarge, Code: Limit, Title: "Too large",
			Detail: fmt.Sprintf("the subtitles are larger than %d bytes", LargestSubtitle)}
	}
	query := make(url.Values)
	set(query, "name", name)
	kind := "application/x-subrip"
	if bytes.HasPrefix(bytes.TrimPrefix(text, []byte("\ufeff")), []byte("WEBVTT")) {
		kind = "text/vtt"
	}
	return a, s.c.do(ctx, call{method: http.MethodPut, path: at(at(assetsPath, id)+"/subtitles", language), query: query,
		raw: text, kind: kind, out: &a})
}

// DeleteSubtitle removes the subtitles of a language.
func (s Assets) DeleteSubtitle(ctx context.Context, id, language string) (a Asset, err error) {
	return a, s.c.do(ctx, call{method: http.MethodDelete, path: at(at(assetsPath, id)+"/subtitles", language), out: &a})
}

// LargestSource is the most bytes that [Assets.PutSource] may send.
const LargestSource = 256 << 20

// PutSource sends the whole source of an asset in one request, which is not
// resumed when it breaks. For more than [LargestSource] bytes, or over a line
// that breaks, use [Client.Upload].
func (s Assets) PutSource(ctx context.Context, id string, source io.Reader, size int64) (a Asset, err error) {
	request, err := s.c.request(ctx, http.MethodPut, at(assetsPath, id)+"/source", nil, io.LimitReader(source, size))
	if err != nil {
		return a, err
	}
	request.ContentLength = size
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err := s.c.http.Do(request)
	if err != nil {
		return a, fmt.Errorf("client: %w", err)
	}
	defer response.Body.Close()
	return a, decode(response, &a)
}
