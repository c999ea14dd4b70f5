package nn

import (
	"fmt"
	"math"
	"slices"
)

// relu is max(x, 0).
type relu struct{ in, out []float32 }

func (r *relu) run() {
	out := r.out[:len(r.in)]
	for i, v := range r.in {
		out[i] = max(v, 0)
	}
}

// mean is the mean over all pixels, for each channel.
type mean struct{ in, out []float32 }

func (m *mean) run() {
	clear(m.out)
	channels := len(m.out)
	for at := 0; at < len(m.in); at += channels {
		pixel := m.in[at : at+channels]
		for i, v := range pixel {
			m.out[i] += v
		}
	}
	scale := float32(channels) / float32(len(m.in))
	for i := range m.out {
		m.out[i] *= scale
	}
}

// broadcast is the shape of an operation on two tensors, in which dimensions of 1
// are repeated; missing ones in front are 1.
func broadcast(a, b []int) ([]int, error) {
	if len(a) < len(b) {
		a, b = b, a
	}
	shape := append([]int(nil), a...)
	offset := len(a) - len(b)
	for i, d := range b {
		switch at := offset + i; {
		case d == a[at] || d == 1:
		case a[at] == 1:
			shape[at] = d
		default:
			return nil, fmt.Errorf("shapes %v and %v do not fit", a, b)
		}
	}
	return shape, nil
}

// elementwise is a sum, difference or product of two tensors.
type elementwise struct {
	op        string
	a, b, out []float32
	size      [mostRank]int // of the result, in the order of its floats
	stepA     [mostRank]int // floats from one index of a dimension to the next; 0 repeats
	stepB     [mostRank]int
	alike     bool // both have the shape of the result
}

func newElementwise(op string, a, b, out value) *elementwise {
	s := &elementwise{op: op, a: a.data, b: b.data, out: out.data}
	s.size = reorder(full(out.shape), len(out.shape))
	s.stepA = reorder(strides(a.shape), len(out.shape))
	s.stepB = reorder(strides(b.shape), len(out.shape))
	s.alike = slices.Equal(a.shape, out.shape) && slices.Equal(b.shape, out.shape)
	return s
}

// full adds dimensions of 1 in front.
func full(shape []int) [mostRank]int {
	all := [mostRank]int{1, 1, 1, 1}
	copy(all[mostRank-len(shape):], shape)
	return all
}

// reorder brings what is told of each dimension, in ONNX's order, into the order
// in which the floats of a result of so many dimensions are kept.
func reorder(each [mostRank]int, rank int) [mostRank]int {
	if rank == mostRank {
		return [mostRank]int{each[0], each[2], each[3], each[1]}
	}
	return each
}

// strides are the steps between the floats of a tensor along its dimensions, in
// ONNX's order; 0 along those of 1.
func strides(shape []int) (steps [mostRank]int) {
	size := full(shape)
	inner := [mostRank]int{3, 2, 1, 0} // dimensions, the one that changes fastest first
	if len(shape) == mostRank {
		inner = [mostRank]int{1, 3, 2, 0}
	}
	at := 1
	for _, dimension := range inner {
		if size[dimension] > 1 {
			steps[dimension] = at
		}
		at *= size[dimension]
	}
	return steps
}

func (s *elementwise) run() {
	if s.alike {
		s.rows(s.out, s.a, s.b, 1, 1)
		return
	}
	row := s.size[3]
	at := 0
	for i := range s.size[0] {
		for j := range s.size[1] {
			for k := range s.size[2] {
				a := s.a[i*s.stepA[0]+j*s.stepA[1]+k*s.stepA[2]:]
				b := s.b[i*s.stepB[0]+j*s.stepB[1]+k*s.stepB[2]:]
				s.rows(s.out[at:at+row], a, b, s.stepA[3], s.stepB[3])
				at += row
			}
		}
	}
}

// rows computes one row; a and b go on by their steps.
func (s *elementwise) rows(out, a, b []float32, stepA, stepB int) {
	switch s.op {
	case "Add":
		for i := range out {
			out[i] = a[i*stepA] + b[i*stepB]
		}
	case "Sub":
		for i := range out {
			out[i] = a[i*stepA] - b[i*stepB]
		}
	case "Mul":
		for i := range out {
			out[i] = a[i*stepA] * b[i*stepB]
		}
	}
}

// tap says which two lines of the source make a line of the result, and how much
// of the second.
type tap struct {
	first, second int
	share         float32
}

// newTaps are the taps of bilinear scaling of from lines to to, the middle of a
// pixel being at .5 (half_pixel in ONNX).
func newTaps(from, to int, scale float64) []tap {
	taps := make([]tap, to)
	for i := range taps {
		at := (float64(i)+0.5)/scale - 0.5
		at = min(max(at, 0), float64(from-1))
		first := int(math.Floor(at))
		taps[i] = tap{first, min(first+1, from-1), float32(at - float64(first))}
	}
	return taps
}

// resize is bilinear scaling.
type resize struct {
	in, out         []float32
	channels, width int // of the source
	rows, columns   []tap
}

func (r *resize) run() {
	n := r.channels
	at := 0
	for _, row := range r.rows {
		upper := r.in[row.first*r.width*n:]
		lower := r.in[row.second*r.width*n:]
		for _, column := range r.columns {
			a, b := upper[column.first*n:][:n], upper[column.second*n:][:n]
			c, d := lower[column.first*n:][:n], lower[column.second*n:][:n]
			out := r.out[at:][:n]
			for i := range out {
				top := a[i] + (b[i]-a[i])*column.share
				bottom := c[i] + (d[i]-c[i])*column.share
				out[i] = top + (bottom-top)*row.share
			}
			at += n
		}
	}
}
