package live

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"time"
)

// Status is where a stream is.
type Status string

// idle → connecting → live ⇄ reconnecting → idle. A stream that is deleted has ended.
const (
	Idle         Status = "idle"         // nobody sends
	Connecting   Status = "connecting"   // an encoder is here, no picture yet
	Live         Status = "live"         // it can be watched as it happens
	Reconnecting Status = "reconnecting" // the encoder is gone, and may come back
	Ended        Status = "ended"        // deleted
)

// Policy says who may play a stream.
type Policy string

// The policies.
const (
	Public Policy = "public" // whoever has the address
	Signed Policy = "signed" // an address that holds for a time
)

// stream is the record. Times have microseconds, UTC.
type stream struct {
	ID, Tenant, Name string
	Status           Status
	Policy           Policy
	Key              string    // hash of the key
	OldKey           string    // hash of the key before, or ""
	OldUntil         time.Time // until when that one lets encoders in
	Node             string    // on which it is on air, or was the last time
	LiveSince        time.Time // zero unless it is on air
	Source           source
	Stopped          bool     // nothing is fetched for it, and no encoder let in
	Record           bool     // whenever it is on air
	Ladder           []string // renditions that are made of it
	Created, Updated time.Time
	Rev              int64
}

// admits reports whether an encoder whose key has that hash may send. It takes as
// long whatever the hash is.
func (s *stream) admits(hash string, now time.Time) bool {
	current := subtle.ConstantTimeCompare([]byte(s.Key), []byte(hash))
	old := subtle.ConstantTimeCompare([]byte(s.OldKey), []byte(hash))
	return current == 1 || (old == 1 && s.OldKey != "" && now.Before(s.OldUntil))
}

const keyPrefix = "lys_"

// newKey returns a key of 130 random bits, as people paste it into an encoder.
func newKey() string { return keyPrefix + strings.ToLower(rand.Text()) }

// hashKey is what is kept of a key: enough to know it again, too little to send
// with it.
func hashKey(key string) string {
	sum := sha256.Sum256([]byte("liuyun stream key 1\n" + key))
	return hex.EncodeToString(sum[:])
}

// Stream is what the API shows.
type Stream struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Status    Status           `json:"status" enum:"idle,connecting,live,reconnecting,ended"`
	Stopped   bool             `json:"stopped" doc:"Until it is started nothing is fetched for it and no encoder is let in."`
	Ingest    Ingest           `json:"ingest"`
	Playback  StreamPlayback   `json:"playback"`
	Viewers   int              `json:"viewers" doc:"How many watch, from this node and from edges; those behind one other cache count as one."`
	Record    bool             `json:"record" doc:"Whether it is recorded whenever it is on air, each time into an asset."`
	Recording *StreamRecording `json:"recording" doc:"What is recorded now, or not stored yet; null for nothing, and on other nodes."`
	Ladder    []string         `json:"ladder" nullable:"false" doc:"Renditions of its pictures that are made while it is on air: auto, or names; none passes it on only."`
	Source    *StreamSource    `json:"source" doc:"What is fetched for it; null where encoders push."`
	Health    *StreamHealth    `json:"health" doc:"How it goes; null unless an encoder sends to this node."`
	LiveSince *time.Time       `json:"live_since" doc:"Null unless it is on air."`
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at"`
	Rev       int64            `json:"rev" doc:"Changes with every change; the ETag."`
}

// Ingest says where an encoder sends.
type Ingest struct {
	RTMP  RTMP  `json:"rtmp"`
	RTMPS RTMPS `json:"rtmps"`
	SRT   SRT   `json:"srt"`
	RTSP  RTSP  `json:"rtsp"`
	WHIP  WHIP  `json:"whip"`
}

// WHIP is for browsers and encoders that publish by WebRTC.
type WHIP struct {
	URL string `json:"url" doc:"Where an offer is posted, with the stream key as Authorization: Bearer. Empty where no WebRTC is listened for."`
}

// SRT is for encoders that push by it.
type SRT struct {
	URL string `json:"url" doc:"With the stream id when the key is made, and never again; other programs take the stream id apart: publish: and the key. Empty where no SRT is listened for."`
}

// RTSP is for cameras and programs that push by it.
type RTSP struct {
	URL string `json:"url" doc:"With the stream key at its end when that is made, and never again. Empty where no RTSP is listened for."`
}

// RTMPS is RTMP with TLS. The key is that of RTMP.
type RTMPS struct {
	URL string `json:"url" doc:"Empty where no RTMP with TLS is listened for."`
}

// RTMP is for encoders such as OBS and ffmpeg: the address is the server, the key
// the stream key; or both in one, with a slash between.
type RTMP struct {
	URL string `json:"url" doc:"Empty where no RTMP is listened for."`
	Key string `json:"key" doc:"Shown when it is made, and never again; else empty."`
}

// StreamPlayback says where a stream plays.
type StreamPlayback struct {
	Policy  Policy     `json:"policy" enum:"public,signed"`
	HLS     string     `json:"hls"`
	DASH    string     `json:"dash" doc:"The same segments as MPEG-DASH of low latency."`
	WHEP    string     `json:"whep" doc:"For viewers by WebRTC, who see it within a fraction of a second. Empty where no WebRTC is listened for."`
	Embed   string     `json:"embed"`
	Expires *time.Time `json:"expires" doc:"When the addresses end; null for never."`
}
