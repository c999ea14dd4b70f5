package main

import (
	"bufio"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
)

// pan makes a film of a photograph: from left to right, from right to left, or
// nearer, in turn. The map of looks moves along.
func (s *saliencySet) pan(ctx context.Context, path string, number int) (*panned, error) {
	photograph, err := readJPEG(path)
	if err != nil {
		return nil, err
	}
	looks, err := readJPEG(filepath.Join(filepath.Dir(filepath.Dir(path)), "fixmaps", filepath.Base(path)))
	if err != nil {
		return nil, err
	}
	p := &panned{name: strings.TrimSuffix(filepath.Base(path), ".jpg"), path: filepath.Join(s.bench.scratch, fmt.Sprintf("panned-%d.y4m", number))}
	planes := ycbcr(photograph)
	density := looksOf(looks)
	var frames [][]byte
	for n := range pannedFrames {
		w := viewAt(number, n, float64(planes[0].width), float64(planes[0].height))
		var frame []byte
		for i, plane := range planes {
			width, height := pannedWidth, pannedHeight
			if i > 0 {
				width, height = width/2, height/2
			}
			frame = append(frame, plane.view(w, width, height)...)
		}
		frames = append(frames, frame)
		p.luma = append(p.luma, frame[:pannedPixels:pannedPixels])
		p.weights = append(p.weights, density.weights(w))
	}
	file, err := os.Create(p.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	if err := writeY4M(out, frames); err != nil {
		return nil, err
	}
	if err := out.Flush(); err != nil {
		return nil, err
	}
	return p, s.look(ctx, p)
}

func readJPEG(path string) (image.Image, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return jpeg.Decode(file)
}

// grid is one plane of samples.
type grid struct {
	width, height int
	samples       []float64
}

func newGrid(b image.Rectangle) grid {
	return grid{b.Dx(), b.Dy(), make([]float64, b.Dx()*b.Dy())}
}

// ycbcr are the planes of a photograph in BT.709, limited range.
func ycbcr(picture image.Image) [3]grid {
	b := picture.Bounds()
	planes := [3]grid{newGrid(b), newGrid(b), newGrid(b)}
	for i := range planes[0].samples {
		r16, g16, b16, _ := picture.At(b.Min.X+i%b.Dx(), b.Min.Y+i/b.Dx()).RGBA()
		red, green, blue := float64(r16)/65535, float64(g16)/65535, float64(b16)/65535
		luma := 0.2126*red + 0.7152*green + 0.0722*blue
		planes[0].samples[i] = 16 + 219*luma
		planes[1].samples[i] = 128 + 224*(blue-luma)/1.8556
		planes[2].samples[i] = 128 + 224*(red-luma)/1.5748
	}
	return planes
}

// looksOf reads a density from the grey of a map, of which JPEG leaves a haze in
// what was black.
func looksOf(picture image.Image) grid {
	const haze = 16
	b := picture.Bounds()
	g := newGrid(b)
	for i := range g.samples {
		level, _, _, _ := picture.At(b.Min.X+i%b.Dx(), b.Min.Y+i/b.Dx()).RGBA()
		g.samples[i] = max(0, float64(level)/257-haze)
	}
	return g
}

// view is a rectangle of a photograph.
type view struct{ x, y, width, height float64 }

// viewAt is what frame n of a film shows of a photograph.
func viewAt(number, n int, width, height float64) view {
	const (
		slack = 0.06 // of the width that a pan moves by, in two seconds
		near  = 0.85 // of the width that is seen
	)
	t := float64(n) / pannedFrames
	scale, across, down := near, t, 0.5
	switch number % 3 {
	case 1:
		across, down = 1-t, 0.3
	case 2:
		scale, across = 0.95-0.1*t, 0.5
	}
	v := view{width: width * scale}
	v.height = v.width * pannedHeight / pannedWidth
	if v.height > height*scale {
		v.height = height * scale
		v.width = v.height * pannedWidth / pannedHeight
	}
	v.x = (width-v.width)/2 + (across-0.5)*min(width-v.width, slack*width)
	v.y = (height - v.height) * down
	return v
}

// at is the value between samples, by bilinear interpolation.
func (g grid) at(x, y float64) float64 {
	x, y = min(max(x, 0), float64(g.width-1)), min(max(y, 0), float64(g.height-1))
	x0, y0 := int(x), int(y)
	x1, y1 := min(x0+1, g.width-1), min(y0+1, g.height-1)
	fx, fy := x-float64(x0), y-float64(y0)
	top := g.samples[y0*g.width+x0]*(1-fx) + g.samples[y0*g.width+x1]*fx
	bottom := g.samples[y1*g.width+x0]*(1-fx) + g.samples[y1*g.width+x1]*fx
	return top*(1-fy) + bottom*fy
}

// view scales a rectangle to width × height: each sample is the mean of four.
func (g grid) view(v view, width, height int) []byte {
	out := make([]byte, 0, width*height)
	stepX, stepY := v.width/float64(width), v.height/float64(height)
	for y := range height {
		for x := range width {
			sum := 0.0
			for _, dy := range [...]float64{0.25, 0.75} {
				for _, dx := range [...]float64{0.25, 0.75} {
					sum += g.at(v.x+(float64(x)+dx)*stepX-0.5, v.y+(float64(y)+dy)*stepY-0.5)
				}
			}
			out = append(out, byte(min(max(sum/4+0.5, 0), 255)))
		}
	}
	return out
}

// weights are the looks at each block of a view; they sum to 1.
func (g grid) weights(v view) []float64 {
	list := make([]float64, weightColumns*weightRows)
	sum := 0.0
	for i := range list {
		x, y := float64(i%weightColumns)+0.5, float64(i/weightColumns)+0.5
		list[i] = g.at(v.x+x*v.width/weightColumns-0.5, v.y+y*v.height/weightRows-0.5)
		sum += list[i]
	}
	for i := range list {
		list[i] /= sum
	}
	return list
}
