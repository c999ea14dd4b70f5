package rtmp

import (
	"encoding/binary"
	"errors"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
)

// A tag is the body of a message of audio or video, as FLV has them and Enhanced RTMP
// (v2, veovera.org) goes on with them.

// Kinds of tags. Both kinds of media have the first three at the same numbers.
const (
	exStart      = 0 // what decoders are set up with
	exFrames     = 1
	exEnd        = 2
	exFramesX    = 3 // pictures without an offset to their presentation
	exMetadata   = 4
	exMultitrack = 5 // of sound; of pictures it is one more
	exModified   = 7

	plainFrames = 1
	plainEnd    = 2
)

// FourCCs.
const (
	fourAVC  = "avc1"
	fourHEVC = "hvc1"
	fourAV1  = "av01"
	fourAAC  = "mp4a"
	fourOpus = "Opus"
)

// tag is what one says. The zero value says nothing that concerns us.
type tag struct {
	codec  hub.Codec // "" is nothing
	start  bool      // data is what decoders are set up with; else it is a picture or a frame
	offset int64     // to its presentation, milliseconds
	data   []byte
}

var errTag = errors.New("a tag that is cut short")

// track remembers which of several tracks is taken: the first that comes.
type track struct {
	known bool
	id    byte
}

func (t *track) takes(id byte) bool {
	if !t.known {
		t.known, t.id = true, id
	}
	return t.id == id
}

// signed24 is a composition time.
func signed24(b []byte) int64 {
	return int64(int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8)
}

// videoTag reads a tag of pictures.
func videoTag(body []byte, t *track) (tag, error) {
	const extended, command = 0x80, 5
	if len(body) == 0 {
		return tag{}, nil
	}
	first := body[0]
	if first&extended == 0 {
		if first>>4 == command {
			return tag{}, nil
		}
		return plainVideoTag(body)
	}
	kind, rest, err := unmodified(first&0xf, body[1:])
	if err != nil || kind == exMetadata || first>>4&7 == command {
		return tag{}, err
	}
	return exTag(kind, exMultitrack+1, rest, t, videoFour)
}

// plainVideoTag reads a tag whose codec is a number.
func plainVideoTag(body []byte) (tag, error) {
	var codec hub.Codec
	switch body[0] & 0xf {
	case 7:
		codec = hub.H264
	case 12: // as some encoders had it before Enhanced RTMP, and so the next
		codec = hub.H265
	case 13:
		codec = hub.AV1
	default:
		return tag{}, fault.New(fault.Invalid, "the pictures are neither H.264, HEVC nor AV1; choose one of them in the encoder")
	}
	switch {
	case len(body) < 5:
		return tag{}, errTag
	case body[1] >= plainEnd:
		return tag{}, nil
	}
	return tag{codec: codec, start: body[1] != plainFrames, offset: signed24(body[2:]), data: body[5:]}, nil
}

// unmodified takes off what modifies a tag: finer timestamps, which the clock does
// without.
func unmodified(kind byte, rest []byte) (byte, []byte, error) {
	for kind == exModified {
		if len(rest) < 1 {
			return 0, nil, errTag
		}
		size := int(rest[0]) + 1
		rest = rest[1:]
		if size == 256 {
			if len(rest) < 2 {
				return 0, nil, errTag
			}
			size = int(binary.BigEndian.Uint16(rest)) + 1
			rest = rest[2:]
		}
		if len(rest) < size+1 {
			return 0, nil, errTag
		}
		kind, rest = rest[size]&0xf, rest[size+1:]
	}
	return kind, rest, nil
}

// exTag reads a tag whose codec is a FourCC, of one track or of several.
func exTag(kind, multitrack byte, rest []byte, t *track, read func(kind byte, four string, data []byte) (tag, error)) (tag, error) {
	if kind != multitrack {
		if len(rest) < 4 {
			return tag{}, errTag
		}
		return read(kind, string(rest[:4]), rest[4:])
	}
	const oneTrack, manyCodecs = 0, 2
	if len(rest) < 1 {
		return tag{}, errTag
	}
	form, kind := rest[0]>>4, rest[0]&0xf
	rest = rest[1:]
	var four string
	if form != manyCodecs {
		if len(rest) < 4 {
			return tag{}, errTag
		}
		four, rest = string(rest[:4]), rest[4:]
	}
	for len(rest) > 0 {
		if form == manyCodecs {
			if len(rest) < 4 {
				return tag{}, errTag
			}
			four, rest = string(rest[:4]), rest[4:]
		}
		if len(rest) < 1 {
			return tag{}, errTag
		}
		id, data := rest[0], rest[1:]
		rest = nil
		if form != oneTrack {
			if len(data) < 3 {
				return tag{}, errTag
			}
			size := int(data[0])<<16 | int(data[1])<<8 | int(data[2])
			if data = data[3:]; len(data) < size {
				return tag{}, errTag
			}
			data, rest = data[:size], data[size:]
		}
		if t.takes(id) {
			return read(kind, four, data)
		}
	}
	return tag{}, nil
}

func videoFour(kind byte, four string, data []byte) (tag, error) {
	var codec hub.Codec
	switch four {
	case fourAVC:
		codec = hub.H264
	case fourHEVC:
		codec = hub.H265
	case fourAV1:
		codec = hub.AV1
	default:
		return tag{}, fault.New(fault.Invalid, "the pictures are %q; choose H.264, HEVC or AV1 in the encoder", four)
	}
	switch kind {
	case exStart:
		return tag{codec: codec, start: true, data: data}, nil
	case exFrames:
		if codec == hub.AV1 {
			return tag{codec: codec, data: data}, nil
		}
		if len(data) < 3 {
			return tag{}, errTag
		}
		return tag{codec: codec, offset: signed24(data), data: data[3:]}, nil
	case exFramesX:
		return tag{codec: codec, data: data}, nil
	}
	return tag{}, nil
}

// audioTag reads a tag of sound.
func audioTag(body []byte, t *track) (tag, error) {
	const extended, aac = 9, 10
	if len(body) == 0 {
		return tag{}, nil
	}
	switch format := body[0] >> 4; {
	case format == extended:
		kind, rest, err := unmodified(body[0]&0xf, body[1:])
		if err != nil {
			return tag{}, err
		}
		return exTag(kind, exMultitrack, rest, t, audioFour)
	case format != aac:
		return tag{}, fault.New(fault.Invalid, "the sound is neither AAC nor Opus; choose one of them in the encoder")
	case len(body) < 2:
		return tag{}, nil
	}
	return tag{codec: hub.AAC, start: body[1] == exStart, data: body[2:]}, nil
}

func audioFour(kind byte, four string, data []byte) (tag, error) {
	var codec hub.Codec
	switch four {
	case fourAAC:
		codec = hub.AAC
	case fourOpus:
		codec = hub.Opus
	default:
		return tag{}, fault.New(fault.Invalid, "the sound is %q; choose AAC or Opus in the encoder", four)
	}
	if kind > exFrames {
		return tag{}, nil
	}
	return tag{codec: codec, start: kind == exStart, data: data}, nil
}
