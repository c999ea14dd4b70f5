package ffmpeg

import (
	"fmt"
	"slices"
	"strings"

	"liuyun/internal/base/timebase"
)

// Picture describes the pictures that a decoder gives, and what has to be done
// to show them: nothing in it is unknown, whoever fills it has decided.
type Picture struct {
	Width    int               `json:"width"`  // as decoded
	Height   int               `json:"height"` // as decoded
	Aspect   timebase.Rational `json:"aspect"` // of one pixel: width to height
	Rotation int               `json:"rotation,omitempty"`
	// Rotation is clockwise, in degrees: 0, 90, 180 or 270.

	Interlaced bool   `json:"interlaced,omitempty"`
	RGB        bool   `json:"rgb,omitempty"`  // also GBR and palette
	Deep       bool   `json:"deep,omitempty"` // more than eight bits a sample
	Colour     Colour `json:"colour"`
}

// Colour names a colour space by ffmpeg's names, none of them unknown.
type Colour struct {
	Primaries string `json:"primaries"`
	Transfer  string `json:"transfer"`
	Matrix    string `json:"matrix"`
	FullRange bool   `json:"full_range,omitempty"`
}

// BT709 is the colour of HDTV and of every tone-mapped rendition.
var BT709 = Colour{Primaries: "bt709", Transfer: "bt709", Matrix: "bt709"}

// HDR reports whether the transfer function is PQ or HLG.
func (c Colour) HDR() bool { return c.Transfer == "smpte2084" || c.Transfer == "arib-std-b67" }

// Range is ffmpeg's name of the range.
func (c Colour) Range() string {
	if c.FullRange {
		return "pc"
	}
	return "tv"
}

// Shown is the size in display orientation with square pixels: a side is only
// ever enlarged where the pixel's shape asks for it, never made smaller.
func (p Picture) Shown() (width, height int) {
	width, height = p.Width, p.Height
	if p.Aspect.Valid() {
		switch p.Aspect.Cmp(timebase.R(1, 1)) {
		case 1:
			width = int(timebase.MulDiv(int64(width), p.Aspect.Num, p.Aspect.Den))
		case -1:
			height = int(timebase.MulDiv(int64(height), p.Aspect.Den, p.Aspect.Num))
		}
	}
	if p.Rotation == 90 || p.Rotation == 270 {
		width, height = height, width
	}
	return width, height
}

// deinterlace turns fields into as many frames as there were; bwdif halves the
// time base, so it is set back.
func (p Picture) deinterlace(timeBase timebase.Rational) []string {
	if !p.Interlaced {
		return nil
	}
	return []string{"bwdif=mode=send_frame:parity=auto:deint=all", "settb=expr=" + timeBase.String()}
}

// rotate turns the picture upright.
func (p Picture) rotate() []string {
	switch p.Rotation {
	case 90:
		return []string{"transpose=dir=clock"}
	case 180:
		return []string{"hflip", "vflip"}
	case 270:
		return []string{"transpose=dir=cclock"}
	}
	return nil
}

// scale makes width × height (in display orientation) of the decoded picture
// and turns it upright: scaled first where that leaves fewer pixels to turn.
func (p Picture) scale(width, height int, flags string) []string {
	if p.Rotation == 90 || p.Rotation == 270 {
		width, height = height, width
	}
	options := fmt.Sprintf("scale=w=%d:h=%d:flags=%s", width, height, flags)
	if p.RGB {
		options += ":out_color_matrix=" + swscaleMatrix(p.Colour.Matrix) + ":out_range=tv"
	} else {
		options += fmt.Sprintf(":in_range=%s:out_range=%s", p.Colour.Range(), p.outRange().Range())
	}
	return append([]string{options}, p.rotate()...)
}

// outRange is the colour of renditions that keep the source's colour: its own,
// always in limited range, because players guess wrong about the other.
func (p Picture) outRange() Colour {
	c := p.Colour
	c.FullRange = false
	return c
}

// jpegColours brings a picture in the given matrix and limited range to what
// readers of JPEG take it for: BT.601, full range.
func jpegColours(matrix string) []string {
	return []string{"scale=in_color_matrix=" + swscaleMatrix(matrix) + ":out_color_matrix=bt601:out_range=pc", "format=yuvj420p"}
}

// toneMap brings HDR down to BT.709: linear light in float, BT.709 primaries, a
// curve that keeps what is below the knee, and back. Hable's curve with the
// peak that zscale finds; desaturation off, because it greys out sunsets.
func toneMap(c Colour) []string {
	in := fmt.Sprintf("zscale=pin=%s:tin=%s:min=%s:rin=%s:t=linear:npl=203",
		c.Primaries, c.Transfer, c.Matrix, zscaleRange(c))
	return []string{
		in,
		"format=gbrpf32le",
		"zscale=p=bt709",
		"tonemap=tonemap=hable:desat=0:peak=10",
		"zscale=t=bt709:m=bt709:r=tv:d=error_diffusion",
		"format=yuv420p",
	}
}

// mostStrips are as many as pictures are parted into to be tone-mapped.
const mostStrips = 8

// tonedInStrips reports whether the float frames of tone mapping are strips of a
// picture. Fields are put together before.
func (p Picture) tonedInStrips() bool { return p.Width*p.Height > Oversize && !p.Interlaced }

// strips is how many strips of equal even height a picture is parted into: 1 where its
// height allows no other.
func strips(height int) int {
	n := mostStrips
	for height%(2*n) != 0 && n > 1 {
		n--
	}
	return n
}

// inStrips has filters work on one strip of a picture after the other, so that what
// they hold is a strip. Strips know nothing of each other: chroma is interpolated to
// their edges and no further.
func inStrips(filters []string, height int) []string {
	n := strips(height)
	if n < 2 {
		return filters
	}
	return slices.Concat([]string{fmt.Sprintf("untile=1x%d", n)}, filters, []string{fmt.Sprintf("tile=1x%d", n)})
}

func zscaleRange(c Colour) string {
	if c.FullRange {
		return "full"
	}
	return "limited"
}

// swscaleMatrix is the name under which swscale knows a matrix.
func swscaleMatrix(matrix string) string {
	switch matrix {
	case "bt2020nc", "bt2020c":
		return "bt2020"
	case "bt709", "fcc", "smpte170m", "smpte240m", "bt470bg":
		return matrix
	}
	return "bt709"
}

// chain joins filters with commas and gives the chain its labels.
func chain(in string, filters []string, out ...string) string {
	labels := ""
	for _, label := range out {
		labels += "[" + label + "]"
	}
	return "[" + in + "]" + strings.Join(filters, ",") + labels
}
