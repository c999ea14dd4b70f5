package analyse

import (
	_ "embed"
	"fmt"
	"image"
	"math"

	"liuyun/internal/av/nn"
)

// The network and what is known of it: net_126k.md.
//
//go:embed net_126k.onnx
var network []byte

// Map is the density of looks over the cells of a picture, row by row; it sums
// to 1.
type Map [Cells]float32

// Predictor says where people are likely to look in a picture by itself. It is for
// one goroutine at a time.
type Predictor struct {
	network *nn.Network
	planes  []float32
}

// NewPredictor reads the network, which is built in.
func NewPredictor() (*Predictor, error) {
	n, err := nn.New(network)
	if err != nil {
		return nil, fmt.Errorf("the built-in network: %w", err)
	}
	return &Predictor{network: n, planes: make([]float32, 3*Width*Height)}, nil
}

// Looks is the network's density for pictures of any size, as rows of Columns values.
// What it returns may be used by one goroutine at a time.
func Looks() (func(picture image.Image) (width, height int, values []float32, err error), error) {
	p, err := NewPredictor()
	if err != nil {
		return nil, err
	}
	return func(picture image.Image) (int, int, []float32, error) {
		m, err := p.PredictImage(picture)
		return Columns, Rows, m[:], err
	}, nil
}

// Predict is the network's density for one picture.
func (p *Predictor) Predict(picture Picture, colours Colours) (Map, error) {
	colours.rgb(p.planes, picture)
	return p.run()
}

// PredictImage is the network's density for a picture of any size.
func (p *Predictor) PredictImage(picture image.Image) (Map, error) {
	const size = Width * Height
	b := picture.Bounds()
	for i := range size {
		// The mean of what falls onto one sample, at least one pixel.
		x0, y0 := b.Min.X+i%Width*b.Dx()/Width, b.Min.Y+i/Width*b.Dy()/Height
		x1, y1 := max(x0+1, b.Min.X+(i%Width+1)*b.Dx()/Width), max(y0+1, b.Min.Y+(i/Width+1)*b.Dy()/Height)
		var sum [3]uint64
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				red, green, blue, _ := picture.At(x, y).RGBA()
				sum[0], sum[1], sum[2] = sum[0]+uint64(red), sum[1]+uint64(green), sum[2]+uint64(blue)
			}
		}
		for k, v := range sum {
			p.planes[k*size+i] = float32(v) / float32((x1-x0)*(y1-y0)) / 0xffff
		}
	}
	return p.run()
}

// run is the network's density for what is in planes.
func (p *Predictor) run() (Map, error) {
	logs, err := p.network.Run(p.planes)
	if err != nil {
		return Map{}, err
	}
	var m Map
	copy(m[:], logs)
	m.softmax()
	return m, nil
}

// softmax turns logarithms into a density.
func (m *Map) softmax() {
	top := m[0]
	for _, v := range m {
		top = max(top, v)
	}
	for i, v := range m {
		m[i] = float32(math.Exp(float64(v - top)))
	}
	m.normalize()
}

// normalize makes the sum 1. A map of nothing becomes even.
func (m *Map) normalize() {
	sum := 0.0
	for _, v := range m {
		sum += float64(v)
	}
	if !(sum > 1e-20) {
		for i := range m {
			m[i] = 1.0 / Cells
		}
		return
	}
	for i, v := range m {
		m[i] = float32(float64(v) / sum)
	}
}
