package analyse

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Looks are kept in files as records of a fixed size, as frames are, so that those of any
// pictures are read without the others.
const LookBytes = 4 + 4*Cells

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
