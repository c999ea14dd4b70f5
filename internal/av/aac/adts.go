package aac

import (
	"errors"
	"fmt"
)

// ADTS is what the header before a frame says (ISO/IEC 13818-7, 6.2).
type ADTS struct {
	ObjectType int // 1 to 4: 2 for AAC-LC, and for the core of HE-AAC
	Frequency  int // index of the sample rate, of the core
	Channels   int // channel configuration; 0 where only the frame tells
	Header     int // bytes before the frame
	Size       int // bytes, the header included
	Blocks     int // raw data blocks in the frame: more than 1 cannot be taken apart
}

// adtsHeader is the length of a header without a checksum.
const adtsHeader = 7

// errADTS is one for all: streams are searched for headers byte by byte.
var errADTS = errors.New("no adts header")

// ParseADTS reads the header at the beginning of b. It allocates nothing.
func ParseADTS(b []byte) (ADTS, error) {
	if len(b) < adtsHeader || b[0] != 0xff || b[1]&0xf6 != 0xf0 {
		return ADTS{}, errADTS
	}
	h := ADTS{
		ObjectType: int(b[2]>>6) + 1,
		Frequency:  int(b[2] >> 2 & 0xf),
		Channels:   int(b[2]&1)<<2 | int(b[3]>>6),
		Header:     adtsHeader,
		Size:       int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5),
		Blocks:     int(b[6]&3) + 1,
	}
	if b[1]&1 == 0 {
		h.Header += 2 // checksum
	}
	if h.Frequency >= len(frequencies) || h.Size < h.Header {
		return ADTS{}, errADTS
	}
	return h, nil
}

// frequencies are the sample rates that have an index (ISO/IEC 14496-3, table 1.18).
var frequencies = [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// SampleRate is the rate of the core, in Hz.
func (h ADTS) SampleRate() int { return frequencies[h.Frequency] }

// Config returns the AudioSpecificConfig that the header stands for.
func (h ADTS) Config() [2]byte {
	return [2]byte{byte(h.ObjectType<<3 | h.Frequency>>1), byte(h.Frequency&1<<7 | h.Channels<<3)}
}

// ADTSOf returns the header of frames that an AudioSpecificConfig describes, without
// a size. HE-AAC is described by its core, as ADTS always does.
func ADTSOf(config []byte) (ADTS, error) {
	if len(config) < 2 {
		return ADTS{}, fmt.Errorf("config of %d bytes", len(config))
	}
	h := ADTS{
		ObjectType: int(config[0] >> 3),
		Frequency:  int(config[0]&7)<<1 | int(config[1]>>7),
		Channels:   int(config[1] >> 3 & 0xf),
		Header:     adtsHeader, Blocks: 1,
	}
	if h.ObjectType == 5 || h.ObjectType == 29 { // spectral band replication over a core
		if len(config) < 3 || config[1]&7 == 7 && config[2]>>7 == 1 {
			return ADTS{}, fmt.Errorf("config %x has no core that adts can describe", config)
		}
		h.ObjectType = int(config[2] >> 2 & 0x1f) // after an index of four bits
	}
	if h.ObjectType < 1 || h.ObjectType > 4 || h.Frequency >= len(frequencies) || h.Channels == 0 || h.Channels > 7 {
		return ADTS{}, fmt.Errorf("config %x cannot be an adts header", config)
	}
	return h, nil
}

// AppendTo appends the header of a frame of size bytes, without a checksum.
func (h ADTS) AppendTo(dst []byte, size int) []byte {
	size += adtsHeader
	return append(dst, 0xff, 0xf1,
		byte((h.ObjectType-1)<<6|h.Frequency<<2|h.Channels>>2),
		byte(h.Channels&3<<6|size>>11), byte(size>>3), byte(size&7<<5|0x1f), 0xfc)
}
