package rate

import (
	"fmt"
	"time"
)

// Bucket is a leaky bucket: a receiver's buffer of Size bits that fills at Rate
// bits a second and from which each picture is taken at its decoding time. It
// starts Start full (0…1). Where a picture is not there yet, the stream has
// broken its cap. (ITU-T H.264 Annex C.1, variable-rate operation.)
type Bucket struct {
	Rate  int64
	Size  int64
	Start float64
}

// Picture is a coded picture: its size and how long after it the next is
// decoded.
type Picture struct {
	Bits     int64
	Duration time.Duration
}

// Overflow is a place where pictures came faster than the cap allows.
type Overflow struct {
	Picture int   // index of the worst picture
	First   int   // index of the first picture that was late
	Missing int64 // bits that had not arrived at the worst picture
}

// Error says by how much.
func (o Overflow) Error() string {
	return fmt.Sprintf("picture %d needs %d bits more than the cap lets through", o.Picture, o.Missing)
}

// Check runs pictures through the bucket. It returns one Overflow a run: after
// a late picture the bucket goes on empty, and a new run begins once it has
// been half full again. Nil means that the cap holds everywhere.
func (b Bucket) Check(pictures []Picture) []Overflow {
	var found []Overflow
	level := float64(b.Size) * b.Start
	inRun := false
	for i, p := range pictures {
		level -= float64(p.Bits)
		if level < 0 {
			missing := int64(-level + 0.5)
			if !inRun {
				found = append(found, Overflow{Picture: i, First: i})
				inRun = true
			}
			if last := &found[len(found)-1]; missing > last.Missing {
				last.Picture, last.Missing = i, missing
			}
			level = 0
		}
		level = min(float64(b.Size), level+float64(b.Rate)*p.Duration.Seconds())
		if inRun && level > float64(b.Size)/2 {
			inRun = false
		}
	}
	return found
}
