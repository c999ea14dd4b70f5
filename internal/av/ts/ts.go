// Package ts takes MPEG-2 transport streams (ISO/IEC 13818-1) apart and puts them
// together: packets, tables and PES packets, of one program. It is bytes in, bytes
// out: it knows no clock, no network and nothing of what the codecs mean.
//
// A stream may begin anywhere, lose packets and change its program. Memory is
// bounded for each PID, and nothing is allocated for a packet.
package ts

// PacketSize is the length of a packet.
const PacketSize = 188

// Timescale is the ticks a second of timestamps, which have 33 bits.
const Timescale = 90000

// Codec says what an elementary stream is: one of the constants, or a name for people
// of what this package only passes over.
type Codec string

// The codecs that are taken out and put in. Splices are only taken out.
const (
	H264    Codec = "H.264"
	H265    Codec = "H.265"
	AAC     Codec = "AAC" // with ADTS headers
	Opus    Codec = "Opus"
	Splices Codec = "SCTE 35"
)

// Pictures reports whether the codec is one of pictures.
func (c Codec) Pictures() bool { return c == H264 || c == H265 }

// Sound reports whether the codec is one of sound.
func (c Codec) Sound() bool { return c == AAC || c == Opus }

// Track is one elementary stream of a program.
type Track struct {
	PID      uint16 // chosen by a Muxer
	Codec    Codec
	Channels int // of Opus; 0 is unknown
}

// limit is how many bytes of a PES packet are kept.
func (c Codec) limit() int {
	if c.Pictures() {
		return 8 << 20
	}
	return 256 << 10
}

const (
	syncByte   = 0x47
	patPID     = 0
	nullPID    = 0x1fff
	maxSection = 4096
)
