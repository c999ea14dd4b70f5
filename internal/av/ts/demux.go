package ts

import (
	"bytes"
	"slices"
)

// Sink takes what a Demuxer finds. Slices are good during the call only. An error ends
// the Write that led to it.
type Sink interface {
	// Tracks is told the tracks of the program, also those that are passed over, when
	// they are known and when they have changed.
	Tracks(list []Track) error
	// Payload takes what a PES packet carries, by the index of its track. It is not
	// called where bytes of the packet are missing.
	Payload(track int, p Payload) error
	// Section takes a whole section of a track of splices.
	Section(track int, section []byte) error
}

// Payload is the content of one PES packet: a picture, or some frames of sound.
type Payload struct {
	Data     []byte
	Timed    bool   // PTS and DTS are there
	PTS, DTS uint64 // 33 bits, as they were written
	Broken   bool   // what came before of this track was lost
}

// Demuxer takes a transport stream apart. It is used by one goroutine. The first
// program with a track of a known codec is the one that is taken out.
type Demuxer struct {
	sink   Sink
	stats  Stats
	rest   []byte // of the last Write: less than what can be looked at
	stride int    // from one packet to the next; 0 while that is unknown

	listed   []byte // the list of programs, as it came
	programs []program
	chosen   uint16 // number of the program; 0 is none yet
	table    []byte // the program's map, as it came
	pids     []*assembler
	last     *assembler // whose packet came last
}

// Stats counts what a Demuxer has seen.
type Stats struct {
	Packets   int64 // all
	Lost      int64 // times that packets were missing
	Dropped   int64 // PES packets and sections that were not whole
	Skipped   int64 // bytes between packets that belong nowhere
	Scrambled int64 // packets that are encrypted
}

// NewDemuxer returns a demuxer that feeds sink.
func NewDemuxer(sink Sink) *Demuxer {
	d := &Demuxer{sink: sink}
	d.watch(patPID, association, -1)
	return d
}

// Stats returns what has been seen so far.
func (d *Demuxer) Stats() Stats { return d.stats }

// Write takes the next bytes, however they are cut. After an error of the sink it may
// be called again; what was left of p is lost.
func (d *Demuxer) Write(p []byte) error {
	held := len(d.rest) > 0
	if held {
		d.rest = append(d.rest, p...)
		p = d.rest
	}
	used, err := d.take(p)
	if err != nil {
		used = len(p)
	}
	d.rest = append(d.rest[:0], p[used:]...)
	return err
}

// Flush hands over what only the next packet would have shown to be whole.
func (d *Demuxer) Flush() error {
	for _, a := range d.pids {
		if err := d.finish(a); err != nil {
			return err
		}
	}
	return nil
}

// take takes packets from b and says how many bytes are done with.
func (d *Demuxer) take(b []byte) (used int, err error) {
	for {
		if d.stride == 0 {
			at, stride := synchronize(b[used:])
			d.stats.Skipped += int64(at)
			if used += at; stride == 0 {
				return used, nil
			}
			d.stride = stride
		}
		if len(b)-used < d.stride {
			return used, nil
		}
		if b[used] != syncByte {
			d.stride = 0
			continue
		}
		if err := d.packet(b[used : used+PacketSize]); err != nil {
			return used, err
		}
		used += d.stride
	}
}

// synchronize finds the first of three packets, and how far they are apart: 188 bytes,
// or with a time before or a checksum behind. Without a find it says how many bytes
// need not be looked at again.
func synchronize(b []byte) (at, stride int) {
	for at < len(b) {
		next := bytes.IndexByte(b[at:], syncByte)
		if next < 0 {
			return len(b), 0
		}
		at += next
		open := false
		for _, stride := range [...]int{PacketSize, 192, 204} {
			switch {
			case at+2*stride >= len(b):
				open = open || at+stride >= len(b) || b[at+stride] == syncByte
			case b[at+stride] == syncByte && b[at+2*stride] == syncByte:
				return at, stride
			}
		}
		if open {
			return at, 0
		}
		at++
	}
	return at, 0
}

// packet takes one packet.
func (d *Demuxer) packet(p []byte) error {
	d.stats.Packets++
	pid := uint16(p[1]&0x1f)<<8 | uint16(p[2])
	if p[1]&0x80 != 0 { // damaged on its way: its counter will be missed
		return nil
	}
	a := d.find(pid)
	if a == nil {
		return nil
	}
	payload := p[4:]
	if p[3]&0x20 != 0 {
		length := int(p[4])
		if length > PacketSize-5 {
			return nil
		}
		if length > 0 && p[5]&0x80 != 0 { // a discontinuity that is announced
			a.counter = -1
		}
		payload = p[5+length:]
	}
	if p[3]&0x10 == 0 {
		return nil
	}
	if p[3]&0xc0 != 0 {
		d.stats.Scrambled++
		return nil
	}
	counter := int8(p[3] & 0x0f)
	if a.counter >= 0 {
		if counter == a.counter {
			return nil // sent twice
		}
		if counter != (a.counter+1)&0x0f {
			d.stats.Lost++
			d.drop(a)
		}
	}
	a.counter = counter
	start := p[1]&0x40 != 0
	if a.kind == elementary {
		return d.elementary(a, payload, start)
	}
	return d.sections(a, payload, start)
}

// find returns who takes packets of that PID, or nil.
func (d *Demuxer) find(pid uint16) *assembler {
	if d.last != nil && d.last.pid == pid {
		return d.last
	}
	for _, a := range d.pids {
		if a.pid == pid {
			d.last = a
			return a
		}
	}
	return nil
}

// watch has packets of a PID taken. A PID has one use: the first.
func (d *Demuxer) watch(pid uint16, kind kind, track int) *assembler {
	if a := d.find(pid); a != nil {
		return a
	}
	a := &assembler{pid: pid, kind: kind, track: track, counter: -1}
	d.pids = append(d.pids, a)
	return a
}

// forget keeps only those that keep says.
func (d *Demuxer) forget(keep func(*assembler) bool) {
	d.last = nil
	d.pids = slices.DeleteFunc(d.pids, func(a *assembler) bool { return !keep(a) })
}

// associate takes a program association table. One in several sections is as good as
// its first: a program is chosen from it, and stays while it is listed.
func (d *Demuxer) associate(s []byte) {
	if bytes.Equal(s, d.listed) {
		return
	}
	if !whole(s, patTable) {
		d.stats.Dropped++
		return
	}
	list := parsePAT(s)
	d.listed, d.programs = append(d.listed[:0], s...), list
	if slices.ContainsFunc(list, func(p program) bool { return p.number == d.chosen }) {
		list = slices.DeleteFunc(slices.Clone(list), func(p program) bool { return p.number != d.chosen })
		d.forget(func(a *assembler) bool { return a.kind != programMap || a.pid == list[0].pid })
	} else {
		d.chosen, d.table = 0, d.table[:0]
		d.forget(func(a *assembler) bool { return a.kind == association })
	}
	for _, p := range list {
		d.watch(p.pid, programMap, -1)
	}
}

// mapped takes a program map table.
func (d *Demuxer) mapped(s []byte) error {
	if bytes.Equal(s, d.table) {
		return nil
	}
	if !whole(s, pmtTable) {
		d.stats.Dropped++
		return nil
	}
	number := uint16(s[3])<<8 | uint16(s[4])
	if d.chosen != 0 && number != d.chosen {
		return nil
	}
	list := parsePMT(s)
	known := slices.ContainsFunc(list, func(t Track) bool { return t.Codec.Pictures() || t.Codec.Sound() })
	if !slices.ContainsFunc(d.programs, func(p program) bool { return p.number == number }) || (!known && len(d.programs) > 1) {
		return nil
	}
	d.chosen, d.table = number, append(d.table[:0], s...)
	d.forget(func(a *assembler) bool {
		switch a.kind {
		case association:
			return true
		case programMap:
			return slices.Contains(d.programs, program{number, a.pid})
		}
		return slices.ContainsFunc(list, func(t Track) bool { return t.PID == a.pid && t.Codec == a.codec })
	})
	for i, t := range list {
		kind := elementary
		switch {
		case t.Codec == Splices:
			kind = splices
		case !t.Codec.Pictures() && !t.Codec.Sound():
			continue
		}
		if a := d.watch(t.PID, kind, i); a.kind == kind {
			a.codec, a.track = t.Codec, i
		}
	}
	return d.sink.Tracks(list)
}
