package mp4

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Piece is where a whole fragment lies, and when it plays.
type Piece struct {
	Offset, Size int64 // moof and mdat, and what belongs to them before the moof
	DecodeTime   int64 // of its first sample, in ticks
	Duration     int64 // of all its samples
	Key          bool  // decoding can begin with its first sample
}

// ReadFragments returns the fragments that AppendFragment wrote, end to end, from the
// beginning of r. It ends before the first that is not whole within size bytes, as
// what was being written when a process was killed, or that is something else.
func ReadFragments(r io.ReaderAt, size int64) []Piece {
	var all []Piece
	for at := int64(0); ; {
		p, ok := readFragment(r, at, size)
		if !ok {
			return all
		}
		all = append(all, p)
		at += p.Size
	}
}

// maxMoof is the longest header of a fragment: a minute of pictures fits.
const maxMoof = 1 << 20

func readFragment(r io.ReaderAt, at, size int64) (p Piece, ok bool) {
	moof, err := readHeader(r, at, size)
	for err == nil && besides(moof.kind) {
		moof, err = readHeader(r, moof.end, size)
	}
	if err != nil || moof.kind != "moof" || moof.end-moof.start > maxMoof {
		return p, false
	}
	mdat, err := readHeader(r, moof.end, size)
	if err != nil || mdat.kind != "mdat" {
		return p, false
	}
	head, err := read(r, moof.body, moof.end)
	if err != nil {
		return p, false
	}
	p = Piece{Offset: at, Size: mdat.end - at, DecodeTime: -1}
	boxes := bytes.NewReader(head)
	err = walk(boxes, 0, boxes.Size(), func(traf box) error {
		if traf.kind != "traf" {
			return nil
		}
		return walk(boxes, traf.body, traf.end, func(b box) error {
			p.see(b.kind, head[b.body:b.end])
			return nil
		})
	})
	return p, err == nil && p.DecodeTime >= 0 && p.Duration > 0
}

// besides reports whether a box may stand before the moof of a fragment.
func besides(kind string) bool { return kind == "styp" || kind == "prft" || kind == "emsg" }

// see takes what a box of a traf says.
func (p *Piece) see(kind string, body []byte) {
	switch {
	case kind == "tfdt" && len(body) >= 12 && body[0] == 1:
		p.DecodeTime = int64(binary.BigEndian.Uint64(body[4:]))
	case kind == "trun" && len(body) >= 8:
		p.seeSamples(binary.BigEndian.Uint32(body)&0xffffff, binary.BigEndian.Uint32(body[4:]), body[8:])
	}
}

// Which fields a trun has (ISO/IEC 14496-12 8.8.8).
const (
	trunOffset      = 0x1
	trunFirstFlags  = 0x4
	trunDuration    = 0x100
	trunSampleSize  = 0x200
	trunSampleFlags = 0x400
	trunComposition = 0x800
)

func (p *Piece) seeSamples(flags, count uint32, body []byte) {
	const needed = trunDuration | trunSampleFlags
	if flags&needed != needed || flags&trunFirstFlags != 0 {
		return
	}
	if flags&trunOffset != 0 {
		body = body[min(4, len(body)):]
	}
	length, flagsAt := 8, 4
	if flags&trunSampleSize != 0 {
		length, flagsAt = length+4, flagsAt+4
	}
	if flags&trunComposition != 0 {
		length += 4
	}
	if int64(count)*int64(length) > int64(len(body)) {
		return
	}
	for i := range int(count) {
		sample := body[i*length:]
		p.Duration += int64(binary.BigEndian.Uint32(sample))
		if i == 0 {
			const notSync = 1 << 16
			p.Key = binary.BigEndian.Uint32(sample[flagsAt:])&notSync == 0
		}
	}
}
