package ts

import "liuyun/internal/av/bits"

// kind says what the packets of a PID carry.
type kind int

const (
	association kind = iota
	programMap
	splices
	elementary
)

// assembler puts together what the packets of one PID carry.
type assembler struct {
	pid   uint16
	kind  kind
	track int   // of the sink; -1 for tables
	codec Codec // "" for tables

	counter int8   // of the last packet; -1 is unknown
	open    bool   // buf begins at a beginning, and nothing is missing
	buf     []byte // a PES packet with its header, or a section
	broken  bool   // something was dropped since the last payload
}

const (
	pesPrefix = 6 // start code, stream id, length
	pesHeader = 9 // up to the length of what is optional
)

// drop gives up what was begun.
func (d *Demuxer) drop(a *assembler) {
	if a.open && len(a.buf) > 0 {
		d.stats.Dropped++
	}
	a.open, a.broken, a.buf = false, true, a.buf[:0]
}

// elementary takes a packet's payload of an elementary stream.
func (d *Demuxer) elementary(a *assembler, payload []byte, start bool) error {
	if start {
		if a.open && a.codec.Pictures() && continues(payload) {
			payload = payload[pesHeader+int(payload[8]):]
		} else {
			if err := d.finish(a); err != nil {
				return err
			}
			a.open, a.buf = true, a.buf[:0]
		}
	}
	if !a.open {
		return nil
	}
	if len(a.buf)+len(payload) > a.codec.limit() {
		d.drop(a)
		return nil
	}
	a.buf = append(a.buf, payload...)
	if len(a.buf) < pesPrefix {
		return nil
	}
	length := int(a.buf[4])<<8 | int(a.buf[5])
	if length > 0 && len(a.buf) >= pesPrefix+length {
		a.buf = a.buf[:pesPrefix+length]
		return d.finish(a)
	}
	return nil
}

// continues reports whether a PES packet without a timestamp begins, and so goes on
// with the picture before it.
func continues(b []byte) bool {
	return len(b) >= pesHeader && b[7]&0x80 == 0 && len(b) >= pesHeader+int(b[8])
}

// finish hands over a PES packet, if one is open.
func (d *Demuxer) finish(a *assembler) error {
	if !a.open || a.kind != elementary {
		return nil
	}
	b := a.buf
	length := 0
	if len(b) >= pesPrefix {
		length = int(b[4])<<8 | int(b[5])
	}
	bad := len(b) < pesHeader || b[0] != 0 || b[1] != 0 || b[2] != 1 || b[6]&0xc0 != 0x80
	if bad || len(b) < pesHeader+int(b[8]) || (length > 0 && len(b) < pesPrefix+length) {
		d.drop(a)
		return nil
	}
	p := Payload{Data: b[pesHeader+int(b[8]):], Broken: a.broken}
	optional := b[pesHeader : pesHeader+int(b[8])]
	if b[7]&0x80 != 0 && len(optional) >= 5 {
		p.Timed, p.PTS = true, stamp(optional)
		p.DTS = p.PTS
		if b[7]&0x40 != 0 && len(optional) >= 10 {
			p.DTS = stamp(optional[5:])
		}
	}
	a.open, a.broken, a.buf = false, false, a.buf[:0]
	if len(p.Data) == 0 {
		return nil
	}
	return d.sink.Payload(a.track, p)
}

// stamp reads a timestamp of 33 bits with its markers.
func stamp(b []byte) uint64 {
	return uint64(b[0]>>1&7)<<30 | uint64(b[1])<<22 | uint64(b[2]>>1)<<15 | uint64(b[3])<<7 | uint64(b[4]>>1)
}

// sections takes a packet's payload of sections.
func (d *Demuxer) sections(a *assembler, payload []byte, start bool) error {
	if !start {
		return d.section(a, payload, false)
	}
	if len(payload) == 0 || len(payload) < 1+int(payload[0]) {
		d.drop(a)
		return nil
	}
	pointer := int(payload[0])
	if err := d.section(a, payload[1:1+pointer], false); err != nil {
		return err
	}
	d.drop(a)
	a.open = true
	return d.section(a, payload[1+pointer:], true)
}

// section takes bytes of sections, and begins others behind one that is whole where
// they may.
func (d *Demuxer) section(a *assembler, payload []byte, more bool) error {
	for a.open && len(payload) > 0 {
		if len(a.buf) == 0 && payload[0] == 0xff { // stuffing
			a.open = false
			return nil
		}
		take := len(payload)
		if want := sectionLength(a.buf, payload); want > maxSection {
			d.drop(a)
			return nil
		} else if want > 0 {
			take = min(take, want-len(a.buf))
		}
		a.buf, payload = append(a.buf, payload[:take]...), payload[take:]
		if want := sectionLength(a.buf, nil); want == 0 || len(a.buf) < want {
			return nil
		}
		s := a.buf
		a.buf, a.open = a.buf[:0], more
		if err := d.use(a, s); err != nil {
			return err
		}
	}
	return nil
}

// sectionLength is the length of the section that begins with head and goes on with
// tail, 0 while that is not known.
func sectionLength(head, tail []byte) int {
	at := func(i int) int {
		if i < len(head) {
			return int(head[i])
		}
		return int(tail[i-len(head)])
	}
	if len(head)+len(tail) < 3 {
		return 0
	}
	return 3 + at(1)&0x0f<<8 + at(2)
}

// use uses a section that is whole.
func (d *Demuxer) use(a *assembler, s []byte) error {
	switch a.kind {
	case association:
		d.associate(s)
	case programMap:
		return d.mapped(s)
	case splices:
		if s[0] != spliceTable || bits.SectionSum(s) != 0 {
			d.stats.Dropped++
			return nil
		}
		return d.sink.Section(a.track, s)
	}
	return nil
}
