// Package scene looks at small pictures of a film, one after the other, and says of
// each how much structure and grain it has, what is black or stands still, and how it
// has moved since the one before. It is arithmetic of luma alone: the same pictures
// give the same answers.
package scene

// The size of the small pictures, into which each picture of a film is squeezed
// whatever its shape.
const (
	Width  = 160
	Height = 96
	Size   = Width * Height // bytes of its luma, limited range, row by row
)

// Meter measures pictures that follow each other. The zero value is ready to use. It
// is for one goroutine.
type Meter struct {
	Motion Estimator // to the newest picture
	before []byte
}

// Add takes the next picture. It reports whether that was compared with one before.
func (m *Meter) Add(luma []byte) (f Frame, compared bool) {
	f.Measure(luma)
	if compared = m.before != nil; compared {
		m.Motion.Estimate(m.before, luma)
		f.Compare(&m.Motion, luma)
	}
	m.before = append(m.before[:0], luma...)
	return f, compared
}
