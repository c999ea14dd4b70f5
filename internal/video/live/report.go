package live

import "time"

// StreamHealth is how a stream goes, as of the last second. Apart from what it says of
// each input, it is about the one that is on air.
type StreamHealth struct {
	Encoder     string          `json:"encoder" doc:"What the encoder calls itself."`
	Since       time.Time       `json:"connected_at"`
	OnAir       OnAir           `json:"on_air" doc:"What viewers see: primary or backup, an input; or slate, a still picture while nothing comes. Empty before the first picture."`
	Inputs      []StreamInput   `json:"inputs" nullable:"false" doc:"Who is connected, on air or not."`
	VideoCodec  string          `json:"video_codec" doc:"RFC 6381; empty without pictures."`
	Width       int             `json:"width"`
	Height      int             `json:"height"`
	AudioCodec  string          `json:"audio_codec" doc:"RFC 6381; empty without sound."`
	SampleRate  int             `json:"sample_rate"`
	Channels    int             `json:"channels"`
	Bitrate     int64           `json:"bitrate" doc:"Bits a second."`
	FPS         float64         `json:"fps"`
	KeyInterval float64         `json:"key_interval" doc:"Seconds between the last two key frames, or since the last if that is more."`
	Drift       float64         `json:"drift" doc:"Seconds that the encoder's clock has gained on ours since it connected."`
	Offset      float64         `json:"a_v_offset" doc:"Seconds by which pictures come before the sound that belongs to them; negative where sound comes first."`
	Delay       float64         `json:"delay" doc:"Seconds from when a picture comes to when players of low latency can have it."`
	Drops       int64           `json:"drops" doc:"Pictures and frames of sound that could not be used."`
	Silence     int64           `json:"silence" doc:"Frames of sound that were missing and are silence now."`
	Loss        float64         `json:"loss" doc:"The share of packets that were lost on the way from the encoder, from 0 to 1, where the protocol knows."`
	RTT         float64         `json:"rtt" doc:"Seconds to the encoder and back; 0 where the protocol does not know."`
	Window      float64         `json:"window" doc:"Seconds that viewers can go back."`
	Stored      int64           `json:"stored" doc:"Bytes of that on the disk."`
	Rungs       []StreamRung    `json:"rungs" nullable:"false" doc:"Renditions of the pictures that are to be made, the largest first."`
	RungsLag    float64         `json:"rungs_lag" doc:"Seconds that they are behind the source."`
	RungsLost   int64           `json:"rungs_lost" doc:"Pictures that are in no rendition, because this machine was too slow."`
	RungsUnseen int64           `json:"rungs_unseen" doc:"Pictures that were shown to nobody who decides what is made, because this machine was too slow; 0 with live.adapt: off."`
	Problems    []StreamProblem `json:"problems" nullable:"false"`
}

// StreamRung is how one rendition of the pictures goes.
type StreamRung struct {
	Name    string `json:"name"`
	State   string `json:"state" enum:"made,shed,spare" doc:"shed: the machine cannot keep up, so that it is not made for now; spare: it would show no more than the next smaller one, so that it is not made for now. Either has the pictures of the next smaller one meanwhile."`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Bitrate int64  `json:"bitrate" doc:"Bits a second that it may need."`
	// What follows is known where live.adapt is not off.
	Spent  int64   `json:"spent" doc:"Bits that it took in the last second that was looked at; 0 with live.adapt: off."`
	QP     float64 `json:"qp" doc:"The mean quantiser of that second's pictures, 0 to 51."`
	Offset float64 `json:"offset" doc:"By how many steps it is moved by what the pictures show; below 0 is better. 0 unless live.adapt is all."`
	Why    string  `json:"why" enum:",costly,cheap,black,capped" doc:"What moved it: costly, many bits for what changes; cheap, few; black, nothing to be seen; capped, more is wanted than it may need."`
}

// OnAir is what viewers see.
type OnAir string

// The slate is on air while nothing comes.
const onAirSlate OnAir = "slate"

// StreamInput is how one of a stream's encoders goes.
type StreamInput struct {
	Role        string    `json:"role" enum:"primary,backup"`
	OnAir       bool      `json:"on_air"`
	Protocol    string    `json:"protocol"`
	Encoder     string    `json:"encoder" doc:"What it calls itself."`
	Address     string    `json:"address" doc:"Where it comes from; empty where that says nothing."`
	Since       time.Time `json:"connected_at"`
	Width       int       `json:"width"`
	Height      int       `json:"height"`
	Bitrate     int64     `json:"bitrate" doc:"Bits a second."`
	FPS         float64   `json:"fps"`
	KeyInterval float64   `json:"key_interval"`
	Drift       float64   `json:"drift"`
	Drops       int64     `json:"drops"`
	Loss        float64   `json:"loss"`
	RTT         float64   `json:"rtt"`
}

// StreamProblem is something that the sender should see to.
type StreamProblem struct {
	Code    string `json:"code" doc:"key_frames, key_frames_irregular, open_gops, no_pictures, sound_missing, jumps, drift, format_changes, backup_differs, loss, storage, or one of others who look after the stream."`
	Message string `json:"message"`
	// NeedsTranscoding says that it cannot be put right while pictures and sound are
	// passed on as they are.
	NeedsTranscoding bool `json:"needs_transcoding" doc:"It cannot be put right while the stream is passed on as it is: let it be transcoded, or change the encoder."`
}
