package ts

import (
	"encoding/binary"

	"liuyun/internal/av/bits"
)

// program is a line of a program association table.
type program struct {
	number, pid uint16
}

// mostPrograms and mostTracks bound what tables may ask for.
const (
	mostPrograms = 32
	mostTracks   = 32
)

const (
	patTable     = 0x00
	pmtTable     = 0x02
	spliceTable  = 0xfc
	tableHeader  = 8 // up to last_section_number
	sectionCRC   = 4
	registration = 0x05
	extension    = 0x7f
	ac3          = 0x6a
	eac3         = 0x7a
	teletext     = 0x56
	subtitles    = 0x59
	opusChannels = 0x80 // in an extension descriptor
)

// whole reports whether a section is one of that table, with the long syntax, valid
// now and undamaged.
func whole(s []byte, table byte) bool {
	return len(s) >= tableHeader+sectionCRC && s[0] == table && s[1]&0x80 != 0 && s[5]&1 == 1 && bits.SectionSum(s) == 0
}

// parsePAT lists the programs of a section.
func parsePAT(s []byte) (list []program) {
	for b := s[tableHeader : len(s)-sectionCRC]; len(b) >= 4 && len(list) < mostPrograms; b = b[4:] {
		number, pid := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])&0x1fff
		if number != 0 && pid != patPID && pid != nullPID {
			list = append(list, program{number, pid})
		}
	}
	return list
}

// parsePMT lists the tracks of a section. It returns nil where the section makes no
// sense.
func parsePMT(s []byte) (list []Track) {
	b := s[tableHeader : len(s)-sectionCRC]
	if len(b) < 4 {
		return nil
	}
	info := int(binary.BigEndian.Uint16(b[2:]) & 0xfff)
	if len(b) < 4+info {
		return nil
	}
	for b = b[4+info:]; len(b) >= 5 && len(list) < mostTracks; {
		kind, pid := b[0], binary.BigEndian.Uint16(b[1:])&0x1fff
		length := int(binary.BigEndian.Uint16(b[3:]) & 0xfff)
		if len(b) < 5+length {
			return nil
		}
		t := Track{PID: pid}
		t.Codec, t.Channels = codecOf(kind, b[5:5+length])
		if pid != patPID && pid != nullPID {
			list = append(list, t)
		}
		b = b[5+length:]
	}
	return list
}

// codecOf names what an elementary stream is.
func codecOf(kind byte, descriptors []byte) (c Codec, channels int) {
	switch kind {
	case 0x1b:
		return H264, 0
	case 0x24:
		return H265, 0
	case 0x0f:
		return AAC, 0
	case 0x86:
		return Splices, 0
	case 0x06:
		return private(descriptors)
	case 0x01:
		return "MPEG-1 video", 0
	case 0x02:
		return "MPEG-2 video", 0
	case 0x10:
		return "MPEG-4 Part 2 video", 0
	case 0x33:
		return "H.266", 0
	case 0x03, 0x04:
		return "MPEG audio", 0
	case 0x11:
		return "AAC in LATM", 0
	case 0x81:
		return "AC-3", 0
	case 0x87:
		return "E-AC-3", 0
	case 0x15:
		return "metadata", 0
	}
	return "data", 0
}

// private names a stream of private data by its descriptors.
func private(descriptors []byte) (c Codec, channels int) {
	c = "private data"
	for b := descriptors; len(b) >= 2 && len(b) >= 2+int(b[1]); b = b[2+int(b[1]):] {
		body := b[2 : 2+int(b[1])]
		switch b[0] {
		case registration:
			switch {
			case len(body) < 4:
			case string(body[:4]) == "Opus":
				c = Opus
			case string(body[:4]) == "HEVC":
				c = H265
			case string(body[:4]) == "AV01":
				c = "AV1"
			}
		case extension:
			if len(body) >= 2 && body[0] == opusChannels {
				channels = int(body[1])
			}
		case ac3:
			c = "AC-3"
		case eac3:
			c = "E-AC-3"
		case teletext:
			c = "teletext"
		case subtitles:
			c = "DVB subtitles"
		}
	}
	return c, channels
}
