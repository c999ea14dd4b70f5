// Package nn runs small convolutional neural networks on the CPU in plain Go, so
// that they work in every build with nothing to install. It reads a network from
// an ONNX file, with a reader of its own that is bounded in memory and time, and
// knows the few operators that networks of the MobileNet kind (Sandler et al.,
// 2018) are made of: convolutions, sums, means and enlargements of pictures, one
// picture at a time, in 32-bit floats. Anything else in a file is an error when
// it is read, not when it is run. It does not train, and it is no general runtime.
package nn

import (
	"fmt"
	"slices"
)

// Network is a network that is ready to run. It owns its buffers, so that running
// allocates nothing; it is for one goroutine at a time.
type Network struct {
	input, output value
	image         []float32 // the output in the order of ONNX
	steps         []step
	work          int64
}

// step computes one value from others.
type step interface{ run() }

// value is a tensor that is computed, or a constant. Pictures (rank 4, one
// picture: shape 1, channels, height, width) are kept pixel by pixel with all
// channels of a pixel together, so that the inner loops of all convolutions run
// over neighbouring floats. Others are kept in row-major order.
type value struct {
	shape []int // of ONNX
	data  []float32
}

// New reads a network from the bytes of an ONNX file. It has to have one input and
// one output of fixed shapes. New keeps nothing of model.
func New(model []byte) (*Network, error) {
	g, err := readModel(model)
	if err != nil {
		return nil, err
	}
	c := compiler{graph: g, values: make(map[string]value), uses: make(map[string]int)}
	n, err := c.compile()
	if err != nil {
		return nil, fmt.Errorf("ONNX model: %w", err)
	}
	return n, nil
}

// InputShape and OutputShape are the shapes of the two tensors, as in the file.
func (n *Network) InputShape() []int { return slices.Clone(n.input.shape) }

// OutputShape is the shape of what Run returns.
func (n *Network) OutputShape() []int { return slices.Clone(n.output.shape) }

// Work is how many multiplications with a weight a run costs.
func (n *Network) Work() int64 { return n.work }

// Run computes the output of one input, both in row-major order of their shapes.
// What it returns is the network's own and holds until the next Run. The error
// tells of an input of another size.
func (n *Network) Run(input []float32) ([]float32, error) {
	if len(input) != len(n.input.data) {
		return nil, fmt.Errorf("input has %d values, the network takes %v", len(input), n.input.shape)
	}
	toPixels(n.input.data, input, n.input.shape)
	for _, s := range n.steps {
		s.run()
	}
	fromPixels(n.image, n.output.data, n.output.shape)
	return n.image, nil
}

// count is how many values a shape holds.
func count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// toPixels brings a tensor from row-major order into ours.
func toPixels(to, from []float32, shape []int) {
	if len(shape) != 4 {
		copy(to, from)
		return
	}
	channels, size := shape[1], shape[2]*shape[3]
	for c := range channels {
		plane := from[c*size : (c+1)*size]
		for i, v := range plane {
			to[i*channels+c] = v
		}
	}
}

// fromPixels is the way back.
func fromPixels(to, from []float32, shape []int) {
	if len(shape) != 4 {
		copy(to, from)
		return
	}
	channels, size := shape[1], shape[2]*shape[3]
	for c := range channels {
		plane := to[c*size : (c+1)*size]
		for i := range plane {
			plane[i] = from[i*channels+c]
		}
	}
}
