// Package bits reads the framing that several codecs and containers share: NAL units
// with lengths and between start codes, their numbers of few bits, parameter sets by
// their own numbers, the sum of a section. It knows nothing of what they mean.
package bits

import (
	"fmt"
	"iter"
)

// NALUnits yields the NAL units of one MP4 sample, each prefixed by its length
// in lengthSize (1, 2 or 4) big-endian bytes: ISO/IEC 14496-15, 5.3.4.2. The
// units alias data. A malformed sample yields one error, and nothing after it.
func NALUnits(data []byte, lengthSize int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if lengthSize != 1 && lengthSize != 2 && lengthSize != 4 {
			yield(nil, fmt.Errorf("nal unit length of %d bytes", lengthSize))
			return
		}
		for pos := 0; pos < len(data); {
			unit, err := nalUnit(data[pos:], lengthSize)
			if err != nil {
				yield(nil, fmt.Errorf("nal unit at byte %d: %w", pos, err))
				return
			}
			if !yield(unit, nil) {
				return
			}
			pos += lengthSize + len(unit)
		}
	}
}

// nalUnit returns the first unit of data.
func nalUnit(data []byte, lengthSize int) ([]byte, error) {
	if len(data) < lengthSize {
		return nil, fmt.Errorf("length cut short at %d bytes", len(data))
	}
	var n uint32
	for _, b := range data[:lengthSize] {
		n = n<<8 | uint32(b)
	}
	data = data[lengthSize:]
	if n == 0 {
		return nil, fmt.Errorf("no bytes")
	}
	if uint64(n) > uint64(len(data)) {
		return nil, fmt.Errorf("%d bytes, %d left in the sample", n, len(data))
	}
	return data[:n], nil
}
