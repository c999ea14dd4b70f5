// Package scte35 reads and writes the splice_info_sections of ANSI/SCTE 35: what a
// broadcaster says of the places where a stream may be left and come back to. It
// reads what a playlist says of them, and no more; what it does not know passes as a
// command.
package scte35

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"liuyun/internal/av/bits"
)

// MaxSection is the longest section (9.6.1).
const MaxSection = 4096 + 3

// Kind is what a section says.
type Kind int

// The kinds.
const (
	Command Kind = iota // something else
	Out                 // the network is left: a break begins
	In                  // it is come back to
)

// Info is what a section says.
type Info struct {
	Kind  Kind
	Event uint32
	// Time is the moment that it is for, in ticks of 1/90000 modulo 2^33, with the
	// adjustment of the section; HasTime says that there is one: else it is at once.
	Time    int64
	HasTime bool
	// Duration is how long a break is said to be; 0 is unknown.
	Duration time.Duration
	Canceled bool // what was said of the event is taken back
}

const (
	tableID      = 0xfc
	insert       = 5
	timeSignal   = 6
	segmentation = 2
	identifier   = 0x43554549 // "CUEI"
	ticks        = 90000
	timeMask     = 1<<33 - 1
)

// errShort is for a section that ends before what it says.
var errShort = errors.New("the section is too short for what it says")

// Parse reads a section, from table_id to CRC.
func Parse(section []byte) (Info, error) {
	if len(section) < 20 || len(section) > MaxSection || section[0] != tableID {
		return Info{}, fmt.Errorf("%d bytes that are no splice_info_section", len(section))
	}
	if length := int(binary.BigEndian.Uint16(section[1:]) & 0xfff); length+3 != len(section) {
		return Info{}, fmt.Errorf("a section that says %d bytes, of %d", length+3, len(section))
	}
	if bits.SectionSum(section) != 0 {
		return Info{}, errors.New("the sum of the section is wrong")
	}
	if section[4]&0x80 != 0 { // encrypted: it is passed on
		return Info{}, nil
	}
	adjustment := int64(section[4]&1)<<32 | int64(binary.BigEndian.Uint32(section[5:]))
	length, kind := int(binary.BigEndian.Uint16(section[11:])&0xfff), section[13]
	r := &reader{data: section[14 : len(section)-4]}
	var info Info
	switch kind {
	case insert:
		r.insert(&info)
	case timeSignal:
		r.time(&info)
	default:
		if length == 0xfff { // 9.6.1: not said
			return Info{}, nil
		}
		r.skip(length)
	}
	if kind == timeSignal {
		r.descriptors(&info)
	}
	if r.short {
		return Info{}, errShort
	}
	info.Time = (info.Time + adjustment) & timeMask
	return info, nil
}

// reader takes bytes. When there are none left it says so, and returns zeros.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) bits(n int) uint64 {
	if r.short = r.short || len(r.data) < n/8; r.short {
		return 0
	}
	v := uint64(0)
	for _, b := range r.data[:n/8] {
		v = v<<8 | uint64(b)
	}
	r.data = r.data[n/8:]
	return v
}

func (r *reader) skip(n int) {
	if r.short = r.short || len(r.data) < n; !r.short {
		r.data = r.data[n:]
	}
}

// insert reads a splice_insert (9.7.3).
func (r *reader) insert(info *Info) {
	info.Event = uint32(r.bits(32))
	if r.bits(8)&0x80 != 0 {
		info.Canceled = true
		return
	}
	flags := r.bits(8)
	program, hasDuration, immediate := flags&0x40 != 0, flags&0x20 != 0, flags&0x10 != 0
	info.Kind = In
	if flags&0x80 != 0 {
		info.Kind = Out
	}
	switch {
	case program && !immediate:
		r.time(info)
	case !program:
		for range r.bits(8) {
			r.skip(1)
			if !immediate {
				r.time(info)
			}
		}
	}
	if hasDuration {
		info.Duration = span(r.bits(40) & timeMask)
	}
	r.skip(4)
}

// time reads a splice_time.
func (r *reader) time(info *Info) {
	first := r.bits(8)
	if first&0x80 == 0 {
		return
	}
	info.Time, info.HasTime = int64(first&1)<<32|int64(r.bits(32)), true
}

// descriptors reads what a time_signal is for: the first segmentation_descriptor
// (10.3.3) that says.
func (r *reader) descriptors(info *Info) {
	left := int(r.bits(16))
	for left >= 2 && !r.short && info.Kind == Command {
		tag, length := r.bits(8), int(r.bits(8))
		left -= 2 + length
		if r.short || len(r.data) < length {
			r.short = true
			return
		}
		d := &reader{data: r.data[:length]}
		r.data = r.data[length:]
		if tag == segmentation && d.bits(32) == identifier {
			d.segmentation(info)
		}
	}
}

func (r *reader) segmentation(info *Info) {
	event := uint32(r.bits(32))
	if r.bits(8)&0x80 != 0 {
		info.Event, info.Canceled = event, true
		return
	}
	flags := r.bits(8)
	if flags&0x80 == 0 {
		r.skip(6 * int(r.bits(8)))
	}
	var lasts time.Duration
	if flags&0x40 != 0 {
		lasts = span(r.bits(40))
	}
	r.skip(1)
	r.skip(int(r.bits(8)))
	kind := r.bits(8)
	if r.short {
		return
	}
	info.Event = event
	switch { // Table 23: breaks, advertisements, placement opportunities, blocks of them
	case kind == 0x22 || kind >= 0x30 && kind <= 0x3f && kind%2 == 0 || kind == 0x44 || kind == 0x46:
		info.Kind, info.Duration = Out, lasts
	case kind == 0x23 || kind >= 0x30 && kind <= 0x3f || kind == 0x45 || kind == 0x47:
		info.Kind = In
	}
}

func span(n uint64) time.Duration { return time.Duration(n) * time.Second / ticks }

// Insert returns a section with a splice_insert of the whole program: at once where
// info has no time.
func Insert(info Info) []byte {
	out := []byte{tableID, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, 0, insert}
	out = binary.BigEndian.AppendUint32(out, info.Event)
	if info.Canceled {
		out = append(out, 0xff)
	} else {
		out = insertBody(append(out, 0x7f), info)
	}
	command := len(out) - 14
	out[11], out[12] = 0xf0|byte(command>>8), byte(command)
	out = append(out, 0, 0) // no descriptors
	length := len(out) - 3 + 4
	out[1], out[2] = 0x30|byte(length>>8), byte(length)
	return binary.BigEndian.AppendUint32(out, bits.SectionSum(out))
}

func insertBody(out []byte, info Info) []byte {
	flags := byte(0x4f) // of the whole program; bits that are reserved are set
	if info.Kind == Out {
		flags |= 0x80
	}
	if info.Duration > 0 {
		flags |= 0x20
	}
	if !info.HasTime {
		flags |= 0x10
	}
	out = append(out, flags)
	if info.HasTime {
		out = append(out, 0xfe|byte(info.Time>>32&1))
		out = binary.BigEndian.AppendUint32(out, uint32(info.Time))
	}
	if info.Duration > 0 {
		lasts := uint64(info.Duration/time.Second)*ticks + uint64(info.Duration%time.Second)*ticks/uint64(time.Second)
		out = append(out, 0xfe|byte(lasts>>32&1)) // come back by itself
		out = binary.BigEndian.AppendUint32(out, uint32(lasts))
	}
	return append(out, 0, 1, 0, 0)
}
