package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// StreamStatus says where a stream is.
type StreamStatus string

// The states of a stream.
const (
	StreamIdle         StreamStatus = "idle"         // nobody sends
	StreamConnecting   StreamStatus = "connecting"   // an encoder is there, no picture yet
	StreamLive         StreamStatus = "live"         // it can be watched
	StreamReconnecting StreamStatus = "reconnecting" // the encoder is gone, and may come back
	StreamEnded        StreamStatus = "ended"        // it is deleted
)

// Stream is something live: encoders send to it, viewers watch it.
type Stream struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Status    StreamStatus     `json:"status"`
	Stopped   bool             `json:"stopped"` // until it is started nothing is taken in for it
	Ingest    Ingest           `json:"ingest"`
	Playback  StreamPlayback   `json:"playback"`
	Viewers   int              `json:"viewers"`    // from this node and from edges
	Record    bool             `json:"record"`     // it is recorded whenever it is on air
	Recording *StreamRecording `json:"recording"`  // nil unless it is recorded now
	Ladder    []string         `json:"ladder"`     // renditions that are made of it: "auto", or names; none passes it on only
	Source    *StreamSource    `json:"source"`     // nil where encoders push
	Health    *StreamHealth    `json:"health"`     // nil while nobody sends
	LiveSince *time.Time       `json:"live_since"` // nil unless it is on air
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at"`
	Rev       int64            `json:"rev"` // grows with each change
}

// Ingest is where an encoder sends.
type Ingest struct {
	RTMPS struct {
		URL string `json:"url"` // with TLS; the key is that of RTMP
	} `json:"rtmps"`
	RTMP struct {
		URL string `json:"url"`
		// Key is what the encoder sends with, lys_…, in the answers of Create and
		// RotateKey and never again.
		Key string `json:"key"`
	} `json:"rtmp"`
	SRT struct {
		// URL has the stream id with the key in the answers of Create and RotateKey, and
		// never again.
		URL string `json:"url"`
	} `json:"srt"`
	RTSP struct {
		// URL ends with the key in the answers of Create and RotateKey, and never again.
		URL string `json:"url"`
	} `json:"rtsp"`
	WHIP struct {
		// URL takes an offer of WebRTC, with the key as Authorization: Bearer.
		URL string `json:"url"`
	} `json:"whip"`
}

// StreamPlayback is where a stream is watched. URLs may be paths: see [Client.Resolve].
type StreamPlayback struct {
	Policy  Policy     `json:"policy,omitempty"`
	HLS     string     `json:"hls"`
	DASH    string     `json:"dash"`
	WHEP    string     `json:"whep"`    // WebRTC: within a fraction of a second; "" where there is none
	Embed   string     `json:"embed"`   // a page for an iframe
	Expires *time.Time `json:"expires"` // of signed URLs
}

// StreamSource is where a stream comes from that nobody pushes.
type StreamSource struct {
	URL     string     `json:"url"`      // without passwords; "" for an asset
	Asset   string     `json:"asset"`    // "" for an address
	State   string     `json:"state"`    // stopped, connecting, running, waiting
	Problem string     `json:"problem"`  // why it waits
	NextTry *time.Time `json:"next_try"` // nil unless it waits
}

// NewStreamSource says where a stream shall come from: an address (srt, rtsp, rtsps,
// http, https, udp), or an asset that is played again and again.
type NewStreamSource struct {
	URL   string `json:"url,omitempty"`
	Asset string `json:"asset,omitempty"`
}

// StreamRecording is what is recorded of a stream now.
type StreamRecording struct {
	Asset    string    `json:"asset"` // ready when the recording has ended
	Since    time.Time `json:"since"`
	Duration float64   `json:"duration"` // seconds that are stored
	Stored   int64     `json:"stored"`   // bytes of that
	Problem  string    `json:"problem"`  // why nothing can be stored for now
}

// StreamHealth is how a stream goes, as of the last second.
type StreamHealth struct {
	Encoder     string    `json:"encoder"`
	ConnectedAt time.Time `json:"connected_at"`
	// OnAir is "primary" or "backup", an input; "slate", a still picture while nothing
	// comes; or empty before the first picture.
	OnAir       string        `json:"on_air"`
	Inputs      []StreamInput `json:"inputs"`
	VideoCodec  string        `json:"video_codec"` // RFC 6381; empty without pictures
	Width       int           `json:"width"`
	Height      int           `json:"height"`
	AudioCodec  string        `json:"audio_codec"` // RFC 6381; empty without sound
	SampleRate  int           `json:"sample_rate"`
	Channels    int           `json:"channels"`
	Bitrate     int64         `json:"bitrate"` // bits a second
	FPS         float64       `json:"fps"`
	KeyInterval float64       `json:"key_interval"` // seconds between the last two key frames
	Drift       float64       `json:"drift"`        // seconds that the encoder's clock has gained
	Offset      float64       `json:"a_v_offset"`   // seconds that pictures come before their sound
	Delay       float64       `json:"delay"`        // seconds until players of low latency can have a picture
	Loss        float64       `json:"loss"`         // the share of packets lost on the way, from 0 to 1
	RTT         float64       `json:"rtt"`          // seconds to the encoder and back
	Drops       int64         `json:"drops"`        // pictures and frames of sound that could not be used
	Silence     int64         `json:"silence"`      // frames of sound that were missing
	Window      float64       `json:"window"`       // seconds that viewers can go back
	Stored      int64         `json:"stored"`       // bytes of that on the disk
	Rungs       []StreamRung  `json:"rungs"`        // renditions that are to be made, the largest first
	RungsLag    float64       `json:"rungs_lag"`    // seconds that they are behind
	RungsLost   int64         `json:"rungs_lost"`   // pictures that are in none of them
	RungsUnseen int64         `json:"rungs_unseen"` // pictures by which nothing was decided, because the machine was too slow
	Problems    []struct {
		Code             string `json:"code"`
		Message          string `json:"message"`
		NeedsTranscoding bool   `json:"needs_transcoding"` // passing on cannot put it right
	} `json:"problems"`
}

// StreamStatistics is what a session of a stream has come to, as of the last second: from
// its first encoder until it is idle. The node that has it knows it, until the next one
// begins or that node is stopped.
type StreamStatistics struct {
	Since    *time.Time `json:"since"`     // nil where there was no session since the server started
	Until    *time.Time `json:"until"`     // nil while it goes on
	BytesIn  int64      `json:"bytes_in"`  // from encoders
	BytesOut int64      `json:"bytes_out"` // to viewers
	Viewers  int        `json:"viewers"`
	Most     int        `json:"viewers_most"` // at a time
	MostAt   *time.Time `json:"viewers_most_at"`
	Ways     struct {
		HTTP   StreamWay `json:"http"` // HLS and DASH
		WebRTC StreamWay `json:"webrtc"`
		RTMP   StreamWay `json:"rtmp"`
		RTSP   StreamWay `json:"rtsp"`
		SRT    StreamWay `json:"srt"`
	} `json:"ways"`
	// Series is the last hour while it goes on, a point each ten seconds, the newest last.
	Series []StreamPoint `json:"series"`
}

// StreamWay is what viewers get by one way.
type StreamWay struct {
	BytesOut int64 `json:"bytes_out"`
	Viewers  int   `json:"viewers"`
}

// StreamPoint is ten seconds of a stream.
type StreamPoint struct {
	At      time.Time `json:"at"`       // their end
	Viewers int       `json:"viewers"`  // the most at a time
	BitsIn  int64     `json:"bits_in"`  // a second
	BitsOut int64     `json:"bits_out"` // a second
}

// StreamRung is how one rendition of the pictures goes.
type StreamRung struct {
	Name    string `json:"name"`
	State   string `json:"state"` // "made", "shed" while the machine cannot keep up, "spare" while it would show no more than the next
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Bitrate int64  `json:"bitrate"` // bits a second that it may need

	// What is known unless live.adapt is off.
	Spent  int64   `json:"spent"`  // bits in the last second
	QP     float64 `json:"qp"`     // the mean quantiser
	Offset float64 `json:"offset"` // by how much it is moved by what the pictures show
	Why    string  `json:"why"`    // what moved it
}

// StreamInput is how one of a stream's encoders goes.
type StreamInput struct {
	Role        string    `json:"role"` // "primary" or "backup"
	OnAir       bool      `json:"on_air"`
	Protocol    string    `json:"protocol"`
	Encoder     string    `json:"encoder"`
	Address     string    `json:"address"`
	ConnectedAt time.Time `json:"connected_at"`
	Width       int       `json:"width"`
	Height      int       `json:"height"`
	Bitrate     int64     `json:"bitrate"` // bits a second
	FPS         float64   `json:"fps"`
	KeyInterval float64   `json:"key_interval"`
	Drift       float64   `json:"drift"`
	Drops       int64     `json:"drops"`
	Loss        float64   `json:"loss"`
	RTT         float64   `json:"rtt"`
}

// Streams are the streams of a tenant.
type Streams struct{ c *Client }

const streamsPath = "/v1/streams"

// NewStream is what a stream begins with.
type NewStream struct {
	Name   string `json:"name,omitempty"`
	Policy Policy `json:"playback_policy,omitempty"`
	Record bool   `json:"record,omitempty"` // whenever it is on air, each time into an asset
	// Ladder is as of Stream; nil takes what the server's configuration says.
	Ladder []string `json:"ladder,omitzero"`
	// Source is fetched at once; the zero value waits for an encoder.
	Source NewStreamSource `json:"source,omitzero"`
}

// Create makes a stream. Its key is shown this once.
func (s Streams) Create(ctx context.Context, stream NewStream) (r Stream, err error) {
	return r, s.c.post(ctx, streamsPath, stream, &r)
}

// List yields the streams, newest first; those in one state, or all with "". It
// ends after the first error.
func (s Streams) List(ctx context.Context, status StreamStatus) iter.Seq2[Stream, error] {
	query := make(url.Values)
	set(query, "status", string(status))
	return list[Stream](ctx, s.c, streamsPath, query)
}

// Get returns the stream.
func (s Streams) Get(ctx context.Context, id string) (r Stream, err error) {
	return r, s.c.get(ctx, at(streamsPath, id), nil, &r)
}

// Statistics returns what the stream has taken in and sent, and who has watched.
func (s Streams) Statistics(ctx context.Context, id string) (r StreamStatistics, err error) {
	return r, s.c.get(ctx, at(streamsPath, id)+"/statistics", nil, &r)
}

// StreamChange says what to change; what is nil stays.
type StreamChange struct {
	Name   *string `json:"name,omitempty"`
	Policy *Policy `json:"playback_policy,omitempty"`
	Record *bool   `json:"record,omitempty"`
	// Ladder is as of Stream; an empty one that is not nil passes the stream on only.
	Ladder []string `json:"ladder,omitzero"`
	// Source is fetched at once; one without an address and an asset has encoders push.
	Source *NewStreamSource `json:"source,omitempty"`
	// Rev, when it is not 0, must be the stream's, or nothing changes and the
	// error is a Conflict.
	Rev int64 `json:"-"`
}

// Update changes the stream.
func (s Streams) Update(ctx context.Context, id string, change StreamChange) (r Stream, err error) {
	return r, s.c.do(ctx, call{method: http.MethodPatch, path: at(streamsPath, id), rev: change.Rev, in: change, out: &r})
}

// Start ends what Stop began. A source is fetched by the node that is asked; one that
// waits to be tried again is tried now.
func (s Streams) Start(ctx context.Context, id string) (r Stream, err error) {
	return r, s.c.post(ctx, at(streamsPath, id)+"/start", nil, &r)
}

// Stop ends what is on air: who sends is sent away, viewers see that it is over. Until
// Start nothing is fetched for the stream, and no encoder is let in.
func (s Streams) Stop(ctx context.Context, id string) (r Stream, err error) {
	return r, s.c.post(ctx, at(streamsPath, id)+"/stop", nil, &r)
}

// Delete removes the stream, also while it is on air.
func (s Streams) Delete(ctx context.Context, id string) error {
	return s.c.delete(ctx, at(streamsPath, id))
}

// RotateKey gives the stream another key, which is shown this once. The one before
// lets encoders in for grace longer; who is on air stays there.
func (s Streams) RotateKey(ctx context.Context, id string, grace time.Duration) (r Stream, err error) {
	query := make(url.Values)
	if grace > 0 {
		query.Set("grace", strconv.FormatInt(int64(grace/time.Second), 10))
	}
	return r, s.c.do(ctx, call{method: http.MethodPost, path: at(streamsPath, id) + "/keys", query: query, out: &r})
}

// SignedPlayback returns URLs that work until they expire, whatever the stream's
// policy. expiresIn is at most 30 days; 0 is 6 hours.
func (s Streams) SignedPlayback(ctx context.Context, id string, expiresIn time.Duration) (p StreamPlayback, err error) {
	in := struct {
		ExpiresIn int64 `json:"expires_in,omitempty"`
	}{int64(expiresIn / time.Second)}
	return p, s.c.post(ctx, at(streamsPath, id)+"/playback", in, &p)
}

// NewClip says what of a stream is to be a clip: from Start, or the Last before End.
type NewClip struct {
	Name  string
	Start time.Time
	Last  time.Duration
	End   time.Time // zero is now
}

// Clip is an asset that is made of what a stream has in its window.
type Clip struct {
	Asset string     `json:"asset"` // ready when all of it is stored
	Name  string     `json:"name"`
	Start time.Time  `json:"start"` // really: at a key frame
	End   *time.Time `json:"end"`   // nil where it goes up to now
}

// Clip makes an asset of what viewers can go back to. Nothing is encoded again, so
// that it begins and ends a little before and after what was asked.
func (s Streams) Clip(ctx context.Context, id string, clip NewClip) (c Clip, err error) {
	in := struct {
		Name  string     `json:"name,omitempty"`
		Start *time.Time `json:"start,omitempty"`
		End   *time.Time `json:"end,omitempty"`
		Last  float64    `json:"last,omitempty"`
	}{clip.Name, given(clip.Start), given(clip.End), clip.Last.Seconds()}
	return c, s.c.post(ctx, at(streamsPath, id)+"/clips", in, &c)
}
