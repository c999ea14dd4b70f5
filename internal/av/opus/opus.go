// Package opus reads what packaging asks of Opus: what a decoder is set up with, and
// how long a packet lasts. It decodes nothing.
package opus

import (
	"encoding/binary"
	"errors"
)

// Rate is the samples a second of everything that is said about Opus, whatever the
// sound had before it was coded.
const Rate = 48000

// SilenceSamples is how long a packet of [Silence] lasts.
const SilenceSamples = 960

// LongestPacket is how many samples a packet can have: 120 ms.
const LongestPacket = 5760

// Config is what a decoder is set up with.
type Config struct {
	Channels int
	PreSkip  int // samples to throw away at the beginning
	Input    int // samples a second before it was coded; 0 is unknown
	Gain     int // in 1/256 dB
	// Family is how channels are mapped: 0 is mono or stereo in one stream. Other
	// families have a table.
	Family          int
	Streams, Paired int
	Mapping         []byte // a byte a channel
}

// Plain is the configuration of mono or stereo of which nothing else is known.
func Plain(channels int) Config { return Config{Channels: channels, PreSkip: 312, Input: Rate} }

var errConfig = errors.New("opus configuration: it is malformed")

// Parse reads the payload of a dOps box (the binding of Opus to ISO media files, 4.3.2).
func Parse(config []byte) (Config, error) {
	if len(config) < 11 || config[0] != 0 {
		return Config{}, errConfig
	}
	c := Config{
		Channels: int(config[1]), PreSkip: int(binary.BigEndian.Uint16(config[2:])), Input: int(binary.BigEndian.Uint32(config[4:])),
		Gain: int(int16(binary.BigEndian.Uint16(config[8:]))),
	}
	return c, c.readMapping(config[10:])
}

const headMagic = "OpusHead"

// ParseHead reads an identification header (RFC 7845, 5.1).
func ParseHead(head []byte) (Config, error) {
	const length, major = 19, 0xf0
	if len(head) < length || string(head[:8]) != headMagic || head[8]&major != 0 {
		return Config{}, errConfig
	}
	c := Config{
		Channels: int(head[9]), PreSkip: int(binary.LittleEndian.Uint16(head[10:])), Input: int(binary.LittleEndian.Uint32(head[12:])),
		Gain: int(int16(binary.LittleEndian.Uint16(head[16:]))),
	}
	return c, c.readMapping(head[18:])
}

// readMapping reads the family and what belongs to it.
func (c *Config) readMapping(data []byte) error {
	c.Family = int(data[0])
	switch {
	case c.Channels == 0:
		return errConfig
	case c.Family == 0:
		if c.Channels > 2 {
			return errConfig
		}
		return nil
	case len(data) < 3+c.Channels:
		return errConfig
	}
	c.Streams, c.Paired, c.Mapping = int(data[1]), int(data[2]), append([]byte(nil), data[3:3+c.Channels]...)
	if c.Streams == 0 || c.Paired > c.Streams {
		return errConfig
	}
	return nil
}

// Record returns the payload of a dOps box.
func (c Config) Record() []byte {
	out := []byte{0, byte(c.Channels)}
	out = binary.BigEndian.AppendUint16(out, uint16(c.PreSkip))
	out = binary.BigEndian.AppendUint32(out, uint32(c.Input))
	out = binary.BigEndian.AppendUint16(out, uint16(c.Gain))
	return c.appendMapping(out)
}

// Head returns an identification header.
func (c Config) Head() []byte {
	out := append([]byte(headMagic), 1, byte(c.Channels))
	out = binary.LittleEndian.AppendUint16(out, uint16(c.PreSkip))
	out = binary.LittleEndian.AppendUint32(out, uint32(c.Input))
	out = binary.LittleEndian.AppendUint16(out, uint16(c.Gain))
	return c.appendMapping(out)
}

func (c Config) appendMapping(out []byte) []byte {
	out = append(out, byte(c.Family))
	if c.Family == 0 {
		return out
	}
	return append(append(out, byte(c.Streams), byte(c.Paired)), c.Mapping...)
}

// Samples is how many samples a channel a packet has, at 48 kHz (RFC 6716, 3.1). It is
// 0 for what is no packet.
func Samples(packet []byte) int {
	if len(packet) == 0 {
		return 0
	}
	frame := frameSamples(packet[0] >> 3)
	switch packet[0] & 3 {
	case 0:
		return frame
	case 1, 2:
		return 2 * frame
	}
	if len(packet) < 2 {
		return 0
	}
	if all := frame * int(packet[1]&0x3f); all <= LongestPacket {
		return all
	}
	return 0
}

// frameSamples is the length of frames of a configuration.
func frameSamples(configuration byte) int {
	switch {
	case configuration < 12: // SILK
		return [4]int{480, 960, 1920, 2880}[configuration&3]
	case configuration < 16: // hybrid
		return [2]int{480, 960}[configuration&1]
	}
	return [4]int{120, 240, 480, 960}[configuration&3] // CELT
}

// Silence is a packet of silence, or nil where none is known. It is read-only.
func (c Config) Silence() []byte {
	if c.Family != 0 {
		return nil
	}
	return []byte{0xf8, 0xff, 0xfe} // CELT of 20 ms, mono: both ears of a decoder get it
}
