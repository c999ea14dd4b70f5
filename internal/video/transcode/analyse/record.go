package analyse

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Frames and looks are kept in files as records of fixed sizes, so that those of any
// pictures are read without the others.
const (
	FrameBytes = 9*4 + 5
	LookBytes  = 4 + 4*Cells
)

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

// densityStep is the step in which densities are kept, in even ones: 256 times as
// dense as that is the most.
const densityStep = 1.0 / 256

// Append appends the record of a look.
func (l *TimedLook) Append(to []byte) []byte {
	to = binary.LittleEndian.AppendUint32(to, uint32(l.Frame))
	for _, v := range l.Map {
		to = binary.LittleEndian.AppendUint16(to, uint16(min(float64(v)*Cells/densityStep+0.5, math.MaxUint16)))
	}
	for _, layer := range [...]*[Cells]float32{&l.Faces, &l.Text} {
		for _, v := range layer {
			to = append(to, byte(v*255+0.5))
		}
	}
	return to
}

// ReadLook reads a record that Append made.
func ReadLook(from []byte) (TimedLook, error) {
	if len(from) != LookBytes {
		return TimedLook{}, fmt.Errorf("a look's record has %d bytes, not %d", len(from), LookBytes)
	}
	l := TimedLook{Frame: int(int32(binary.LittleEndian.Uint32(from)))}
	from = from[4:]
	for i := range l.Map {
		l.Map[i] = float32(binary.LittleEndian.Uint16(from[2*i:]))
		l.Faces[i] = float32(from[2*Cells+i]) / 255
		l.Text[i] = float32(from[3*Cells+i]) / 255
	}
	l.Map.normalize()
	return l, nil
}

// Seen is how much of a picture a look takes for faces and for text, 0 … 1.
type Seen struct {
	Frame       int
	Faces, Text float64
}

// Seen sums up a look.
func (l *TimedLook) Seen() Seen {
	s := Seen{Frame: l.Frame}
	for i := range l.Faces {
		s.Faces += float64(l.Faces[i]) / Cells
		s.Text += float64(l.Text[i]) / Cells
	}
	return s
}
