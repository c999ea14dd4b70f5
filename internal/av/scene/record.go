package scene

import (
	"encoding/binary"
	"fmt"
	"math"
)

// FrameBytes is the size of a frame's record: in files, those of any pictures are read
// without the others.
const FrameBytes = 9*4 + 5

// Append appends the record of a frame.
func (f *Frame) Append(to []byte) []byte {
	for _, v := range [...]float32{f.Luma, f.Contrast, f.Texture, f.Change, f.Motion, f.Residual, f.Grain, f.Flat, f.Crisp} {
		to = binary.LittleEndian.AppendUint32(to, math.Float32bits(v))
	}
	black := byte(0)
	if f.Black {
		black = 1
	}
	return append(to, f.Bars.Left, f.Bars.Top, f.Bars.Right, f.Bars.Bottom, black)
}

// ReadFrame reads a record that Append made.
func ReadFrame(from []byte) (Frame, error) {
	if len(from) != FrameBytes {
		return Frame{}, fmt.Errorf("a frame's record has %d bytes, not %d", len(from), FrameBytes)
	}
	var f Frame
	for i, to := range [...]*float32{&f.Luma, &f.Contrast, &f.Texture, &f.Change, &f.Motion, &f.Residual, &f.Grain, &f.Flat, &f.Crisp} {
		*to = math.Float32frombits(binary.LittleEndian.Uint32(from[4*i:]))
	}
	rest := from[9*4:]
	f.Bars, f.Black = Bars{rest[0], rest[1], rest[2], rest[3]}, rest[4] != 0
	return f, nil
}
