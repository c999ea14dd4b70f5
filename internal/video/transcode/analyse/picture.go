// Package analyse looks at small pictures of a film, one after the other as one
// decode gives them, and says what an encoder should know of them: how much moves,
// how much structure and grain there is, what is black, fades or stands still,
// where the picture has bars, whether it comes from a screen, where faces and text
// may be, and where people are likely to look. It is arithmetic: it starts no
// process, opens no file, and the same pictures give the same answers.
package analyse

import "liuyun/internal/av/scene"

// Frame is what one picture shows.
type Frame = scene.Frame

// The size of the small pictures, into which each picture of the film is squeezed
// whatever its shape, and of the maps of cells that are laid over it.
const (
	Width       = scene.Width
	Height      = scene.Height
	PictureSize = Width * Height * 3 / 2

	Columns = 40
	Rows    = 24
	Cells   = Columns * Rows
	cell    = Width / Columns // a cell's side in samples
)

// Picture is one small picture in YCbCr 4:2:0, limited range: the luma of all rows,
// then both chroma planes at half the size. PictureSize bytes.
type Picture []byte

// Luma is the luma plane.
func (p Picture) Luma() []byte { return p[: Width*Height : Width*Height] }

func (p Picture) chroma() (cb, cr []byte) {
	const plane = Width * Height / 4
	return p[Width*Height:][:plane:plane], p[Width*Height+plane:][:plane:plane]
}

// Colours are the weights of red and blue in luma, and whether samples are on the
// PQ curve (SMPTE ST 2084). The zero value is that of ITU-R BT.709.
type Colours struct {
	Red, Blue float32
	PQ        bool
}

// rgb fills red, green and blue planes, 0 … 1, from a picture. The PQ curve puts
// what is white on an ordinary screen (203 cd/m²) at 0.58: it is stretched to 1.
func (c Colours) rgb(planes []float32, p Picture) {
	red, blue := c.Red, c.Blue
	if red == 0 {
		red, blue = 0.2126, 0.0722
	}
	gain := float32(1)
	if c.PQ {
		gain = 1 / 0.58
	}
	const size = Width * Height
	r, g, b := planes[:size], planes[size:2*size], planes[2*size:3*size]
	luma := p.Luma()
	cb, cr := p.chroma()
	green := 1 - red - blue
	for i, y := range luma {
		at := i/Width/2*(Width/2) + i%Width/2
		u := (float32(cb[at]) - 128) * 2 / 224
		v := (float32(cr[at]) - 128) * 2 / 224
		level := (float32(y) - 16) / 219
		levelR := level + v*(1-red)
		levelB := level + u*(1-blue)
		levelG := (level - red*levelR - blue*levelB) / green
		r[i] = min(max(levelR*gain, 0), 1)
		g[i] = min(max(levelG*gain, 0), 1)
		b[i] = min(max(levelB*gain, 0), 1)
	}
}
