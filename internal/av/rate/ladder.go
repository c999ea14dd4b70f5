// Package rate is the arithmetic of bit rates: which renditions to make of a
// source, what each may cost, and whether what was made keeps to it. Files and
// live streams share it. It encodes nothing and knows no encoder's options.
package rate

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"liuyun/internal/base/timebase"
)

// Source is what a ladder depends on: the picture as it is shown (rotated, with
// square pixels) and its frame rate.
type Source struct {
	Width, Height int
	FrameRate     timebase.Rational
}

// Rung is one rendition of the picture before a codec is chosen.
type Rung struct {
	Name          string // "720p": the short side
	Width, Height int    // even, in display orientation
	Step          int    // every Step-th frame of the source's rate is kept: 1 or 2, 4 …
	Cap           int64  // bits a second that H.264 may reach; 0 in a request: chosen by CapFor
}

// Standard short sides, from which the automatic ladder takes what fits.
var standardSides = []int{4320, 2160, 1440, 1080, 720, 480, 360, 240}

const (
	// nearTop: a standard rung whose short side is within this factor below the
	// source's own is replaced by the source's own size.
	nearTop = 0.84
	// most rungs that the automatic ladder gives.
	mostRungs = 6
	// leastSide is the smallest picture side that encoders take.
	leastSide = 16
	// highestSmallRate is the frame rate that rungs below 1080 keep at most.
	highestSmallRate = 60
	smallSide        = 1080
)

// Ladder returns the automatic rungs for src, largest first: its own size,
// then the standard sizes below it, never larger than the source.
func Ladder(src Source) []Rung {
	side := min(src.Width, src.Height)
	rungs := []Rung{src.rung(side)}
	for _, standard := range standardSides {
		if float64(standard) > nearTop*float64(side) {
			continue
		}
		if len(rungs) == mostRungs {
			break
		}
		rungs = append(rungs, src.rung(standard))
	}
	return rungs
}

// What else a ladder may be asked for: Title is that of the title itself, see Place, and
// Standard the sizes of Ladder whatever the title.
const (
	Title    = "title"
	Standard = "standard"
)

// Parse reads a ladder as people write it: Auto, Title and Standard, which are the same
// here, or short sides with an optional cap, "1080:6M,720,480:900k". Sides above the source are an error
// that names the largest possible; duplicates are an error too.
func Parse(text string, src Source) ([]Rung, error) {
	if text == "" || text == Auto || text == Title || text == Standard {
		return Ladder(src), nil
	}
	top := min(src.Width, src.Height)
	var rungs []Rung
	for part := range strings.SplitSeq(text, ",") {
		sideText, capText, hasCap := strings.Cut(strings.TrimSpace(part), ":")
		side, err := strconv.Atoi(strings.TrimSuffix(sideText, "p"))
		if err != nil || side < leastSide {
			return nil, fmt.Errorf("ladder: %q is not a picture height like 720 or 720:3M", part)
		}
		if side > top {
			return nil, fmt.Errorf("ladder: %dp would be larger than the source; the most is %dp", side, top)
		}
		rung := src.rung(side)
		if hasCap {
			if rung.Cap, err = ParseBitrate(capText); err != nil {
				return nil, fmt.Errorf("ladder: %q: %w", part, err)
			}
		}
		if slices.ContainsFunc(rungs, func(r Rung) bool { return r.Name == rung.Name }) {
			return nil, fmt.Errorf("ladder: %s is named twice", rung.Name)
		}
		rungs = append(rungs, rung)
	}
	slices.SortFunc(rungs, func(a, b Rung) int { return b.Width*b.Height - a.Width*a.Height })
	return rungs, nil
}

// ParseBitrate reads "800k", "2.5M" or "96000": bits a second.
func ParseBitrate(text string) (int64, error) {
	number, scale := text, 1.0
	switch {
	case strings.HasSuffix(text, "k"):
		number, scale = text[:len(text)-1], 1e3
	case strings.HasSuffix(text, "M"):
		number, scale = text[:len(text)-1], 1e6
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(value) || value*scale < 1000 || value*scale > 1e9 {
		return 0, fmt.Errorf("%q is not a bit rate between 1k and 1000M", text)
	}
	return int64(value * scale), nil
}

// rung returns src scaled so that its short side is side.
func (src Source) rung(side int) Rung {
	short := min(src.Width, src.Height)
	scale := float64(side) / float64(short)
	r := Rung{
		Name:   strconv.Itoa(side) + "p",
		Width:  even(float64(src.Width)*scale, src.Width),
		Height: even(float64(src.Height)*scale, src.Height),
		Step:   1,
	}
	if side < smallSide {
		for src.FrameRate.Mul(1, int64(r.Step)).Float() > highestSmallRate+0.5 {
			r.Step *= 2
		}
	}
	r.Cap = CapFor(r.Width*r.Height, src.FrameRate.Mul(1, int64(r.Step)))
	return r
}

// Sized is src scaled so that its short side is side, with the cap of CapFor. side
// is not above the source's own.
func (src Source) Sized(side int) Rung { return src.rung(side) }

// even rounds v to the nearest even number that is not above limit (the
// source's own side: never upscale) and not below leastSide.
func even(v float64, limit int) int {
	n := int(v/2+0.5) * 2
	if n > limit {
		n -= 2
	}
	return max(n, leastSide)
}

// CapFor is the peak that H.264 may reach for a picture of so many pixels: 5.5
// Mb/s at 1080p30, growing more slowly than the pixels (power 0.75, since
// larger pictures have more in common with their neighbourhood) and than the
// frame rate (power 0.5).
func CapFor(pixels int, frameRate timebase.Rational) int64 {
	fps := min(max(frameRate.Float(), 5), 240)
	bits := 5.5e6 * math.Pow(float64(pixels)/(1920*1080), 0.75) * math.Pow(fps/30, 0.5)
	return max(int64(bits/25e3+0.5)*25e3, 100e3)
}
