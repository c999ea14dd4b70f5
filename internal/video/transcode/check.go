package transcode

import (
	"fmt"
	"slices"

	"liuyun/internal/av/pixel"
)

// pictureCheck compares the pictures of an output with the source frames that
// the plan names for them, as they come.
type pictureCheck struct {
	source []pixel.Signature // of the source frames around the unit
	shows  []int             // output picture → index into source
	seen   int
	own    []float64 // distance from the frame that the plan names
	other  []float64 // least distance from a neighbour that looks different
}

// Limits of the comparison, as 1 − correlation of two signatures. An encoder at
// the lowest quality that we use stays below noise; pictures that differ by less
// than motion cannot be told apart and need not be.
const (
	noise     = 0.02 // a picture further off than this is suspect
	nearer    = 0.5  // and wrong when a neighbour is nearer than this share
	unrelated = 0.6  // wrong whatever the neighbours are
	motion    = 0.01 // neighbours nearer to each other than this are one picture
	reach     = 3    // neighbours looked at on each side
)

// add takes the next picture.
func (c *pictureCheck) add(luma []byte) error {
	if c.seen >= len(c.shows) {
		return fmt.Errorf("more pictures than the plan's %d", len(c.shows))
	}
	at := c.shows[c.seen]
	own := pixel.Distance(luma, c.source[at])
	other := 2.0
	if own > noise {
		for k := max(0, at-reach); k <= min(len(c.source)-1, at+reach); k++ {
			if k == at || pixel.Distance(c.source[k], c.source[at]) < motion {
				continue
			}
			other = min(other, pixel.Distance(luma, c.source[k]))
		}
	}
	c.own, c.other = append(c.own, own), append(c.other, other)
	c.seen++
	return nil
}

// verdict is nil when every picture is the one that the plan names.
func (c *pictureCheck) verdict() error {
	if c.seen != len(c.shows) {
		return fmt.Errorf("%d pictures decoded, the plan has %d", c.seen, len(c.shows))
	}
	usual := median(c.own)
	for n, own := range c.own {
		if own <= noise {
			continue
		}
		if own > unrelated && (own > 4*usual || usual > unrelated) {
			return fmt.Errorf("picture %d is not the source's frame: distance %.3f", n, own)
		}
		if c.other[n] < nearer*own {
			return fmt.Errorf("picture %d shows a neighbouring frame: distance %.3f from its own, %.3f from a neighbour", n, own, c.other[n])
		}
	}
	return nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}
