package analyse

import (
	_ "embed"
	"fmt"
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

// Predict is the network's density for one picture.
func (p *Predictor) Predict(picture Picture, colours Colours) (Map, error) {
	colours.rgb(p.planes, picture)
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
