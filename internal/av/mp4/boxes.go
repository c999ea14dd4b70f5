package mp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	ff "github.com/Eyevinn/mp4ff/mp4"

	ffbits "github.com/Eyevinn/mp4ff/bits"
)

// Limits on what a header may ask for.
const (
	// MaxSamples is the longest sample table that ReadTrack accepts: a day of
	// AAC at 48 kHz, and then some.
	MaxSamples = 1 << 22
	// maxTable is the longest single box that is read into memory.
	maxTable = 8*MaxSamples + 1024
	// maxChildren is how many boxes may lie side by side.
	maxChildren = 4096
)

// box is where a box lies in its file.
type box struct {
	kind  string
	start int64 // of the header
	body  int64 // of the payload
	end   int64
}

// errStop ends a walk early.
var errStop = errors.New("stop")

// walk calls visit with each box between start and end, in order. It reads only
// their headers. visit may return errStop.
func walk(r io.ReaderAt, start, end int64, visit func(box) error) error {
	for n := 0; start < end; n++ {
		if n == maxChildren {
			return fmt.Errorf("more than %d boxes side by side", maxChildren)
		}
		b, err := readHeader(r, start, end)
		if err != nil {
			return fmt.Errorf("box at byte %d: %w", start, err)
		}
		if err := visit(b); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
		start = b.end
	}
	return nil
}

// readHeader reads the header of the box at start, which must end by end.
func readHeader(r io.ReaderAt, start, end int64) (box, error) {
	var h [16]byte
	if end-start < 8 {
		return box{}, fmt.Errorf("%d bytes, too few for a header", end-start)
	}
	if err := readFull(r, h[:8], start); err != nil {
		return box{}, err
	}
	b := box{kind: string(h[4:8]), start: start, body: start + 8}
	size := int64(binary.BigEndian.Uint32(h[:4]))
	switch size {
	case 0: // to the end
		size = end - start
	case 1: // 64 bits
		if end-start < 16 {
			return box{}, fmt.Errorf("%q: %d bytes, too few for a long header", b.kind, end-start)
		}
		if err := readFull(r, h[8:], start+8); err != nil {
			return box{}, err
		}
		size = int64(binary.BigEndian.Uint64(h[8:]))
		b.body += 8
	}
	if size < b.body-start || size > end-start {
		return box{}, fmt.Errorf("%q: says %d bytes where %d are left", b.kind, uint64(size), end-start)
	}
	b.end = start + size
	return b, nil
}

// read returns the bytes of r from start to end.
func read(r io.ReaderAt, start, end int64) ([]byte, error) {
	if end-start > maxTable {
		return nil, fmt.Errorf("%d bytes, more than the %d that fit", end-start, maxTable)
	}
	data := make([]byte, end-start)
	return data, readFull(r, data, start)
}

// readFull fills p from byte offset of r.
func readFull(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// decode reads a whole leaf box and lets mp4ff decode it as a B.
func decode[B ff.Box](r io.ReaderAt, b box) (B, error) {
	var none B
	data, err := read(r, b.start, b.end)
	if err != nil {
		return none, fmt.Errorf("read %s: %w", b.kind, err)
	}
	decoded, err := ff.DecodeBoxSR(0, ffbits.NewFixedSliceReader(data))
	if err != nil {
		return none, fmt.Errorf("read %s: %w", b.kind, err)
	}
	leaf, ok := decoded.(B)
	if !ok {
		return none, fmt.Errorf("read %s: not such a box", b.kind)
	}
	return leaf, nil
}
