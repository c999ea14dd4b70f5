package mp4

import "io"

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
	run, err := samplesOf(head)
	if err != nil || len(run) == 0 {
		return p, false
	}
	p = Piece{Offset: at, Size: mdat.end - at, DecodeTime: run[0].DecodeTime, Key: run[0].Sync}
	for i := range run {
		p.Duration += int64(run[i].Duration)
	}
	return p, p.DecodeTime >= 0 && p.Duration > 0
}

// besides reports whether a box may stand before the moof of a fragment.
func besides(kind string) bool { return kind == "styp" || kind == "prft" || kind == "emsg" }
