package ts

import (
	"encoding/binary"
	"fmt"

	"liuyun/internal/av/bits"
)

// Muxer puts a transport stream of one program together. It keeps no clock and no
// output: what it makes is appended to what the caller has. It is used by one
// goroutine.
type Muxer struct {
	tracks   []muxTrack
	clock    int // the track that carries the program's clock
	version  byte
	tables   [2]byte // continuity counters
	sections [2][]byte
	head     []byte
}

type muxTrack struct {
	Track
	counter  byte
	streamID byte
}

const (
	pmtPID        = 0x1000
	firstPID      = 0x100
	programNumber = 1
)

// NewMuxer returns a muxer of these tracks, whose PIDs it chooses.
func NewMuxer(tracks []Track) (*Muxer, error) {
	m := &Muxer{}
	return m, m.SetTracks(tracks)
}

// SetTracks changes the tracks. Tables have to be written before the next unit.
func (m *Muxer) SetTracks(tracks []Track) error {
	list := make([]muxTrack, len(tracks))
	m.clock = 0
	for i, t := range tracks {
		t.PID = firstPID + uint16(i)
		id := byte(0xbd) // private stream 1
		switch t.Codec {
		case H264, H265:
			id = 0xe0
			m.clock = i
		case AAC:
			id = 0xc0
		case Opus:
			if t.Channels < 1 || t.Channels > 2 {
				return fmt.Errorf("opus with %d channels", t.Channels)
			}
		default:
			return fmt.Errorf("%s cannot be put into a transport stream", t.Codec)
		}
		list[i] = muxTrack{Track: t, streamID: id}
		if i < len(m.tracks) {
			list[i].counter = m.tracks[i].counter
		}
	}
	m.tracks = list
	m.version = (m.version + 1) & 0x1f
	m.sections = [2][]byte{m.association(), m.programMap()}
	return nil
}

// association makes the only section of the program association table.
func (m *Muxer) association() []byte {
	b := []byte{patTable, 0xb0, 0, 0, 1, 0xc1, 0, 0}
	b = binary.BigEndian.AppendUint16(b, programNumber)
	b = binary.BigEndian.AppendUint16(b, 0xe000|pmtPID)
	return seal(b)
}

// programMap makes the only section of the program map table.
func (m *Muxer) programMap() []byte {
	b := []byte{pmtTable, 0xb0, 0, 0, programNumber, 0xc1 | m.version<<1, 0, 0}
	clock := uint16(nullPID)
	if len(m.tracks) > 0 {
		clock = m.tracks[m.clock].PID
	}
	b = binary.BigEndian.AppendUint16(b, 0xe000|clock)
	b = binary.BigEndian.AppendUint16(b, 0xf000)
	for _, t := range m.tracks {
		kind, descriptors := byte(0x0f), []byte(nil)
		switch t.Codec {
		case H264:
			kind = 0x1b
		case H265:
			kind, descriptors = 0x24, []byte{registration, 4, 'H', 'E', 'V', 'C'}
		case Opus:
			kind, descriptors = 0x06, []byte{registration, 4, 'O', 'p', 'u', 's', extension, 2, opusChannels, byte(t.Channels)}
		}
		b = append(b, kind)
		b = binary.BigEndian.AppendUint16(b, 0xe000|t.PID)
		b = binary.BigEndian.AppendUint16(b, 0xf000|uint16(len(descriptors)))
		b = append(b, descriptors...)
	}
	return seal(b)
}

// seal writes the length and the checksum of a section.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint16(b[1:], 0xb000|uint16(len(b)-3+sectionCRC))
	return binary.BigEndian.AppendUint32(b, bits.SectionSum(b))
}

// AppendTables appends both tables, a packet each. A stream begins with them, and
// repeats them for those who come later.
func (m *Muxer) AppendTables(dst []byte) []byte {
	for i, pid := range [...]uint16{patPID, pmtPID} {
		dst = append(dst, syncByte, 0x40|byte(pid>>8), byte(pid), 0x10|m.tables[i], 0)
		dst = append(dst, m.sections[i]...)
		for n := PacketSize - 5 - len(m.sections[i]); n > 0; n-- {
			dst = append(dst, 0xff)
		}
		m.tables[i] = (m.tables[i] + 1) & 0x0f
	}
	return dst
}

// Unit is a picture or a frame of sound, as its PES packet carries it.
type Unit struct {
	Data     []byte
	PTS, DTS int64 // ticks of Timescale; the lower 33 bits are written
	Key      bool  // decoding can begin here
	// Clock is the program's clock at this unit, in ticks of Timescale. It is written
	// with units of the track that carries it, and has to be before all DTS that follow.
	Clock int64
}

// AppendUnit appends the packets of a unit of a track.
func (m *Muxer) AppendUnit(dst []byte, track int, u Unit) []byte {
	t := &m.tracks[track]
	m.head = t.header(m.head[:0], u)
	head, data := m.head, u.Data
	for first := true; first || len(head)+len(data) > 0; first = false {
		left := len(head) + len(data)
		begin := byte(0)
		var flags, clock = byte(0), false
		if first {
			begin, clock = 0x40, track == m.clock
			if u.Key {
				flags |= 0x40
			}
			if clock {
				flags |= 0x10
			}
		}
		field := 0 // bytes of the adaptation field, its length included
		switch {
		case clock:
			field = 8
		case flags != 0:
			field = 2
		}
		field = max(field, PacketSize-4-left)
		control := byte(0x10)
		if field > 0 {
			control = 0x30
		}
		dst = append(dst, syncByte, begin|byte(t.PID>>8), byte(t.PID), control|t.counter)
		t.counter = (t.counter + 1) & 0x0f
		dst = appendField(dst, field, flags, clock, u.Clock)
		room := PacketSize - 4 - field
		take := min(room, len(head))
		dst, head = append(dst, head[:take]...), head[take:]
		take = min(room-take, len(data))
		dst, data = append(dst, data[:take]...), data[take:]
	}
	return dst
}

// appendField appends an adaptation field of so many bytes.
func appendField(dst []byte, size int, flags byte, clocked bool, clock int64) []byte {
	if size == 0 {
		return dst
	}
	dst = append(dst, byte(size-1))
	if size == 1 {
		return dst
	}
	dst, size = append(dst, flags), size-2
	if clocked {
		base := uint64(clock) & (1<<33 - 1)
		dst = append(dst, byte(base>>25), byte(base>>17), byte(base>>9), byte(base>>1), byte(base&1)<<7|0x7e, 0)
		size -= 6
	}
	for ; size > 0; size-- {
		dst = append(dst, 0xff)
	}
	return dst
}

// header appends the header of a unit's PES packet.
func (t *muxTrack) header(dst []byte, u Unit) []byte {
	optional, flags := 5, byte(0x80)
	if u.DTS != u.PTS {
		optional, flags = 10, 0xc0
	}
	length := 3 + optional + len(u.Data)
	if length > 0xffff { // pictures may
		length = 0
	}
	dst = append(dst, 0, 0, 1, t.streamID, byte(length>>8), byte(length), 0x84, flags, byte(optional))
	dst = appendStamp(dst, flags>>2&0x30, u.PTS)
	if flags == 0xc0 {
		dst = appendStamp(dst, 0x10, u.DTS)
	}
	return dst
}

// appendStamp appends a timestamp of 33 bits with its markers.
func appendStamp(dst []byte, prefix byte, v int64) []byte {
	return append(dst, prefix|byte(v>>29)&0x0e|1, byte(v>>22), byte(v>>14)|1, byte(v>>7), byte(v<<1)|1)
}
