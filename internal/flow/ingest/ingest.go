// Package ingest is the seam between protocols and streams. A protocol's package
// (flow/rtmp, flow/srt, flow/rtsp, flow/peer, flow/ts) knows its wire and nothing of
// streams: it asks a Desk who may come in, and hands what an encoder sends to an
// Input as it was on the wire. What is wrong with it, timestamps above all, is
// repaired behind the Input, for all protocols alike.
package ingest

import (
	"bytes"
	"context"
	"time"

	"liuyun/internal/flow/hub"
)

// Timescale is the ticks a second of the timestamps that an Input takes.
const Timescale = 90000

// Desk is who keeps streams, as protocols see it. Its errors are faults: forbidden
// for a key or token that is not (or no longer) good, not found, conflict where
// another one sends, unavailable while the server stops or nothing is on air.
type Desk interface {
	// Publish lets an encoder in that showed a key. Backup says that it is the second
	// of two encoders of one stream. Whoever gets an Input closes it.
	Publish(ctx context.Context, key string, c Connection) (Input, error)
	// Watch lets a reader see a stream by its id. Token is what a signed address of the
	// stream has after its "~"; "" where it is public.
	Watch(ctx context.Context, id, token string) (Program, error)
}

// Connection is an encoder's connection.
type Connection struct {
	Protocol string // "rtmp", "rtmps", "srt", "rtsp", "whip", "ts", "hls", "file"
	Encoder  string // what it calls itself; "" is unknown
	Remote   string // its address, host:port; "" where there is none
	Backup   bool   // it stands by for another
	// Kick has the connection end soon, and the other side told why if the protocol can.
	// It may be called by any goroutine, more than once, and does not wait.
	Kick func(why string)
	// Refresh asks the encoder for a key frame; nil where the protocol cannot.
	Refresh func()
	// Quality says how the way from the encoder is; nil where the protocol does not
	// know. It may be called by any goroutine, and does not wait.
	Quality func() Quality
}

// Quality is how the way from an encoder is, as of the last seconds.
type Quality struct {
	Loss float64       // the share of packets that were lost on the way, from 0 to 1
	RTT  time.Duration // there and back; 0 is unknown
}

// Input takes what one connection sends. It is used by one goroutine at a time. After
// an error the connection is to be closed, and the other side told what
// fault.Message says: invalid is what cannot be used, conflict says that another
// encoder has taken its place.
type Input interface {
	// Expect says which kinds of track will come, as far as the protocol tells before
	// they do. Without it a feed waits a moment for the second kind.
	Expect(pictures, sound bool)
	// Video sets what pictures are decoded with: the record avcC, hvcC or av1C of
	// ISO/IEC 14496-15. It may be called again, and left out where parameter sets (the
	// sequence header of AV1) come with the pictures; then it must be called with a nil
	// config, to tell the codec.
	Video(codec hub.Codec, config []byte) error
	// Audio is the same for sound: an AudioSpecificConfig, or for Opus a dOps (see
	// hub.Track.Config).
	Audio(codec hub.Codec, config []byte) error
	// Picture takes one coded picture.
	Picture(p Picture) error
	// Sound takes one frame of sound.
	Sound(s Sound) error
	// Splice takes a splice_info_section of SCTE 35, from table_id to CRC, that belongs
	// to that moment (ticks as of pictures).
	Splice(section []byte, pts int64, at time.Time) error
	// Close ends the connection's part in the stream. It is called once, and stops
	// nothing but this.
	Close()
}

// Picture is one access unit.
type Picture struct {
	// Units are the NAL units without start codes or lengths, or the OBUs of one
	// temporal unit with their size fields. Delimiters and parameter sets may be among
	// them. They are kept by nobody after the call: the input copies.
	Units [][]byte
	// DTS and PTS are ticks of Timescale as the wire has them, with the wraps of its
	// own width undone, and nothing else repaired.
	DTS, PTS int64
	At       time.Time // when it came
}

// Clone returns the same picture with units of its own, for who keeps it.
func (p Picture) Clone() Picture {
	units := make([][]byte, len(p.Units))
	for i, u := range p.Units {
		units[i] = bytes.Clone(u)
	}
	p.Units = units
	return p
}

// Size is how many bytes its units have.
func (p Picture) Size() (n int64) {
	for _, u := range p.Units {
		n += int64(len(u))
	}
	return n
}

// Sound is one frame: raw AAC without a header, or a packet of Opus.
type Sound struct {
	Data []byte // copied
	PTS  int64
	At   time.Time
}

// Program is what can be read of a stream.
type Program interface {
	// Source is what the encoder sends, as it is passed on.
	Source() *hub.Stream
	// Enter counts one more who watches, until leave is called, once.
	Enter() (leave func())
	// Rungs are the renditions of the pictures that are made, the largest first; each
	// is a hub stream of one track, whose key frames are those of the source and whose
	// pictures have the same PTS. It may change while a stream goes on.
	Rungs() []Rung
	// Laddered reports whether Rungs are asked for; when a stream begins, none is there yet.
	Laddered() bool
	// Opus returns the sound as Opus: that of the source, or one that is made for all
	// who ask for it, from now until the last has called release. A stream without sound is
	// NotFound.
	Opus(ctx context.Context) (sound *hub.Stream, release func(), err error)
}

// Rung is one rendition of the pictures.
type Rung struct {
	Name    string // "720p"
	Height  int
	Bitrate int64 // bits a second that it is made with
	Stream  *hub.Stream
}

// Unwrapper undoes the wraps of timestamps of a width in bits, by the shorter way
// round. The zero value with Bits set is ready.
type Unwrapper struct {
	Bits uint

	known bool
	last  int64
}

// Unwrap returns the timestamp without wraps.
func (u *Unwrapper) Unwrap(raw uint64) int64 {
	size := int64(1) << u.Bits
	value := int64(raw) & (size - 1)
	if u.known {
		step := (value - u.last) & (size - 1)
		if step >= size/2 {
			step -= size
		}
		value = u.last + step
	}
	u.known, u.last = true, value
	return value
}

// MaskKey is a stream's key in a log: enough to tell two apart, no help to guess it.
func MaskKey(key string) string {
	const prefix, shown = "lys_", 6
	if len(key) < 16 || key[:len(prefix)] != prefix {
		return "…"
	}
	return key[:shown] + "…"
}
