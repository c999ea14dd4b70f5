// Package quality says how far a picture is from the one it was made from:
// PSNR, SSIM, XPSNR and VMAF of two planes, and the Bjøntegaard rate of two
// curves. Planes in, numbers out; it decodes nothing and holds no model, and the
// order of frames is the caller's business. A frame's numbers depend on nothing
// but the planes that are given with it, so frames may be measured in any order
// and on any number of cores, one Meter a goroutine.
//
// The loops over pixels are in C (kernels.c) where cgo is there, and in Go
// (plain_*.go) where it is not. Both give the same bits; a test compares them.
package quality

import (
	"errors"
	"fmt"
)

// Plane is one component of a picture, luma for VMAF. A sample takes one byte
// where Depth is 8, else two, little endian, with the value in the low bits.
// Stride is bytes from one row to the next. Nothing here writes into Pix or
// keeps it.
type Plane struct {
	Width, Height, Stride, Depth int
	Pix                          []byte
}

// Sides of a plane that can be measured. VMAF's coarsest scale is an eighth of
// the size and its longest filter has 17 taps.
const (
	MinSide = 32
	MaxSide = 16384
)

// ErrPlanes says that planes do not fit each other or the Meter, or have fewer
// bytes than their size says.
var ErrPlanes = errors.New("planes cannot be compared")

func (p *Plane) check() error {
	bytes := 1
	if p.Depth > 8 {
		bytes = 2
	}
	switch {
	case p.Depth < 8 || p.Depth > 16:
		return fmt.Errorf("%w: %d bits a sample, 8 to 16 are known", ErrPlanes, p.Depth)
	case p.Width < 1 || p.Height < 1 || p.Width > MaxSide || p.Height > MaxSide:
		return fmt.Errorf("%w: %d×%d samples", ErrPlanes, p.Width, p.Height)
	case p.Stride < p.Width*bytes:
		return fmt.Errorf("%w: %d bytes a row hold no %d samples", ErrPlanes, p.Stride, p.Width)
	case len(p.Pix) < p.Stride*(p.Height-1)+p.Width*bytes:
		return fmt.Errorf("%w: %d bytes hold no %d×%d samples", ErrPlanes, len(p.Pix), p.Width, p.Height)
	}
	return nil
}

// alike reports planes that cannot be compared sample by sample.
func alike(a, b *Plane) error {
	if err := a.check(); err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	if a.Width != b.Width || a.Height != b.Height || a.Depth != b.Depth {
		return fmt.Errorf("%w: %d×%d of %d bits and %d×%d of %d bits", ErrPlanes,
			a.Width, a.Height, a.Depth, b.Width, b.Height, b.Depth)
	}
	return nil
}

// samples unpacks the plane, row after row without gaps.
func (p *Plane) samples(into []uint16, k *kernels) {
	if p.Depth == 8 && p.Stride == p.Width {
		k.widen(p.Pix[:p.Width*p.Height], into)
		return
	}
	for y := range p.Height {
		row := into[y*p.Width:][:p.Width]
		if from := p.Pix[y*p.Stride:]; p.Depth == 8 {
			k.widen(from[:p.Width], row)
		} else {
			for x := range row {
				row[x] = uint16(from[2*x]) | uint16(from[2*x+1])<<8
			}
		}
	}
}
