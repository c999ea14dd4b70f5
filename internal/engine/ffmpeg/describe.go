package ffmpeg

import (
	"strings"

	"liuyun/internal/base/timebase"
)

// PictureOf is what decoded pictures of a stream look like. It decides what the
// container leaves open.
func PictureOf(v *VideoStream) Picture {
	p := Picture{
		Width: v.Width, Height: v.Height, Aspect: timebase.R(1, 1),
		Rotation: (v.Rotation + 45) / 90 % 4 * 90,
		RGB:      isRGB(v.PixelFormat),
		Deep:     isDeep(v.PixelFormat),
		Colour:   colourOf(v),
	}
	if v.SAR.Valid() && v.SAR.Float() > 0.1 && v.SAR.Float() < 10 {
		p.Aspect = v.SAR
	}
	switch v.FieldOrder {
	case "tt", "bb", "tb", "bt":
		p.Interlaced = true
	}
	return p
}

// colourOf fills what is unknown with what players assume: BT.709 for pictures
// of HD size, BT.601 for smaller ones, said for all renditions alike, so that a
// change of rung is no change of colour.
func colourOf(v *VideoStream) Colour {
	c := Colour{Primaries: v.Primaries, Transfer: v.Transfer, Matrix: v.Matrix}
	assumed := BT709
	if v.Height < 720 && v.Width < 1280 {
		assumed = Colour{Primaries: "smpte170m", Transfer: "smpte170m", Matrix: "smpte170m"}
		if v.Height == 576 {
			assumed = Colour{Primaries: "bt470bg", Transfer: "smpte170m", Matrix: "bt470bg"}
		}
	}
	if c.HDR() {
		assumed = Colour{Primaries: "bt2020", Matrix: "bt2020nc"}
	}
	if matrixCodes[c.Matrix] == 0 {
		c.Matrix = assumed.Matrix
	}
	if primariesCodes[c.Primaries] == 0 {
		c.Primaries = assumed.Primaries
	}
	if transferCodes[c.Transfer] == 0 {
		c.Transfer = assumed.Transfer
	}
	c.FullRange = v.Range == "pc" || strings.HasPrefix(v.PixelFormat, "yuvj")
	if isRGB(v.PixelFormat) {
		return BT709
	}
	return c
}

func isRGB(format string) bool {
	for _, prefix := range []string{"rgb", "bgr", "gbr", "argb", "abgr", "rgba", "bgra", "0rgb", "0bgr", "pal8", "mono"} {
		if strings.HasPrefix(format, prefix) {
			return true
		}
	}
	return false
}

// isDeep reports whether a pixel format has more than eight bits a sample, by its
// name, as ffmpeg gives it.
func isDeep(format string) bool {
	format = strings.TrimSuffix(strings.TrimSuffix(format, "le"), "be")
	for _, depth := range []string{"p9", "p10", "p12", "p14", "p16", "48", "64", "f32", "gray10", "gray12", "gray16", "x2rgb10", "x2bgr10", "p010", "p012", "p016", "p210", "p216", "p410", "p416", "xyz12", "y210"} {
		if strings.HasSuffix(format, depth) {
			return true
		}
	}
	return false
}

// Codes are the colours by their code points (ISO/IEC 23091-2); 0 is what has none.
func (c Colour) Codes() (primaries, transfer, matrix int) {
	return primariesCodes[c.Primaries], transferCodes[c.Transfer], matrixCodes[c.Matrix]
}

// ffmpeg's names of the code points.
var (
	primariesCodes = map[string]int{
		"bt709": 1, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "film": 8, "bt2020": 9,
		"smpte428": 10, "smpte431": 11, "smpte432": 12, "jedec-p22": 22, "ebu3213": 22,
	}
	transferCodes = map[string]int{
		"bt709": 1, "bt470m": 4, "gamma22": 4, "bt470bg": 5, "gamma28": 5, "smpte170m": 6, "smpte240m": 7, "linear": 8,
		"log100": 9, "log316": 10, "iec61966-2-4": 11, "bt1361e": 12, "iec61966-2-1": 13, "bt2020-10": 14, "bt2020-12": 15,
		"smpte2084": 16, "smpte428": 17, "arib-std-b67": 18,
	}
	matrixCodes = map[string]int{
		"bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "ycgco": 8, "bt2020nc": 9, "bt2020c": 10,
	}
)
