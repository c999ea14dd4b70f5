package nn

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// message writes protocol buffers, for networks of a test.
type message []byte

func (m message) number(field int, v uint64) message {
	return binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3), v)
}

func (m message) bytes(field int, data []byte) message {
	m = binary.AppendUvarint(binary.AppendUvarint(m, uint64(field)<<3|2), uint64(len(data)))
	return append(m, data...)
}

func (m message) text(field int, s string) message { return m.bytes(field, []byte(s)) }

func (m message) float(field int, v float32) message {
	m = binary.AppendUvarint(m, uint64(field)<<3|5)
	return binary.LittleEndian.AppendUint32(m, math.Float32bits(v))
}

// floats is a TensorProto.
func floats(name string, shape []int, values ...float32) message {
	var m message
	var raw []byte
	for _, d := range shape {
		m = m.number(1, uint64(d))
	}
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return m.number(2, typeFloat).text(8, name).bytes(9, raw)
}

// integers is a TensorProto of one dimension.
func integers(name string, values ...int64) message {
	m := message(nil).number(1, uint64(len(values))).number(2, typeInt64).text(8, name)
	var packed []byte
	for _, v := range values {
		packed = binary.AppendUvarint(packed, uint64(v))
	}
	return m.bytes(7, packed)
}

func attrInts(name string, values ...int64) message {
	m := message(nil).text(1, name)
	for _, v := range values {
		m = m.number(8, uint64(v))
	}
	return m
}

func attrInt(name string, v int64) message     { return message(nil).text(1, name).number(3, uint64(v)) }
func attrText(name, v string) message          { return message(nil).text(1, name).text(4, v) }
func attrFloat(name string, v float32) message { return message(nil).text(1, name).float(2, v) }

// operation is a NodeProto from its inputs to "y".
func operation(op string, inputs []string, attrs ...message) message {
	var m message
	for _, in := range inputs {
		m = m.text(1, in)
	}
	m = m.text(2, "y").text(4, op)
	for _, a := range attrs {
		m = m.bytes(5, a)
	}
	return m
}

// network is a model from "x" of the given shape to "y".
func network(shape []int, nodes []message, constants ...message) []byte {
	var dims message
	for _, d := range shape {
		dims = dims.bytes(1, message(nil).number(1, uint64(d)))
	}
	kind := message(nil).bytes(1, message(nil).number(1, typeFloat).bytes(2, dims))
	var g message
	for _, n := range nodes {
		g = g.bytes(1, n)
	}
	for _, c := range constants {
		g = g.bytes(5, c)
	}
	g = g.bytes(11, message(nil).text(1, "x").bytes(2, kind)).bytes(12, message(nil).text(1, "y").bytes(2, kind))
	return message(nil).number(1, 8).bytes(7, g).bytes(8, message(nil).number(2, 13))
}

// Each operation by itself, on numbers that can be worked out by hand.
func TestOperations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		shape     []int
		node      message
		constants []message
		input     []float32
		want      []float32
	}{
		{"sum of channels", []int{1, 2, 1, 2}, operation("Conv", []string{"x", "w", "b"}), []message{floats("w", []int{1, 2, 1, 1}, 1, 10), floats("b", []int{1}, 0.5)},
			[]float32{1, 2, 3, 4}, []float32{31.5, 42.5}},
		{"five results of three pixels", []int{1, 1, 1, 3}, operation("Conv", []string{"x", "w"}), []message{floats("w", []int{5, 1, 1, 1}, 1, 2, 3, 4, 5)},
			[]float32{1, 2, 3}, []float32{1, 2, 3, 2, 4, 6, 3, 6, 9, 4, 8, 12, 5, 10, 15}},
		{"3 × 3 with a border", []int{1, 1, 2, 3}, operation("Conv", []string{"x", "w"}, attrInts("pads", 1, 1, 1, 1)),
			[]message{floats("w", []int{1, 1, 3, 3}, 0, 0, 0, 1, 2, 4, 0, 0, 8)},
			[]float32{1, 2, 3, 4, 5, 6}, []float32{2 + 8 + 40, 1 + 4 + 12 + 48, 2 + 6, 8 + 20, 4 + 10 + 24, 5 + 12}},
		{"stride of 2", []int{1, 1, 1, 5}, operation("Conv", []string{"x", "w"}, attrInts("strides", 2, 2)), []message{floats("w", []int{1, 1, 1, 2}, 1, 10)},
			[]float32{1, 2, 3, 4, 5}, []float32{21, 43}},
		{"each channel by itself", []int{1, 2, 1, 3}, operation("Conv", []string{"x", "w", "b"}, attrInt("group", 2)),
			[]message{floats("w", []int{2, 1, 1, 2}, 1, 10, 1, 100), floats("b", []int{2}, 0, 1)},
			[]float32{1, 2, 3, 4, 5, 6}, []float32{21, 32, 505, 606}},
		{"each channel, 3 wide", []int{1, 2, 1, 3}, operation("Conv", []string{"x", "w"}, attrInt("group", 2), attrInts("pads", 0, 1, 0, 1)),
			[]message{floats("w", []int{2, 1, 1, 3}, 1, 10, 100, 1, 1, 1)}, []float32{1, 2, 3, 4, 5, 6}, []float32{210, 321, 32, 9, 15, 11}},
		{"rectifier", []int{2, 2}, operation("Relu", []string{"x"}), nil, []float32{-1, 2, -3, 4}, []float32{0, 2, 0, 4}},
		{"difference from a constant", []int{1, 2, 1, 2}, operation("Sub", []string{"x", "c"}), []message{floats("c", nil, 1)}, []float32{1, 2, 3, 4}, []float32{0, 1, 2, 3}},
		{"constant less all", []int{2}, operation("Sub", []string{"c", "x"}), []message{floats("c", nil, 1)}, []float32{1, 2}, []float32{0, -1}},
		{"by channel", []int{1, 2, 1, 2}, operation("Mul", []string{"x", "c"}), []message{floats("c", []int{1, 2, 1, 1}, 1, 10)}, []float32{1, 2, 3, 4}, []float32{1, 2, 30, 40}},
		{"by column", []int{1, 2, 1, 2}, operation("Add", []string{"x", "c"}), []message{floats("c", []int{2}, 10, 20)}, []float32{1, 2, 3, 4}, []float32{11, 22, 13, 24}},
		{"of three dimensions", []int{1, 2, 1, 2}, operation("Add", []string{"x", "c"}), []message{floats("c", []int{2, 1, 2}, 10, 20, 30, 40)}, []float32{1, 2, 3, 4}, []float32{11, 22, 33, 44}},
		{"made larger by a constant", []int{2, 1}, operation("Add", []string{"x", "c"}), []message{floats("c", []int{1, 2}, 10, 20)}, []float32{1, 2}, []float32{11, 21, 12, 22}},
		{"mean", []int{1, 2, 1, 2}, operation("ReduceMean", []string{"x"}, attrInts("axes", 2, 3), attrInt("keepdims", 0)), nil, []float32{1, 2, 3, 5}, []float32{1.5, 4}},
		{"matrix", []int{1, 2}, operation("Gemm", []string{"x", "w", "b"}, attrInt("transB", 1), attrFloat("alpha", 1)),
			[]message{floats("w", []int{3, 2}, 1, 0, 0, 1, 1, 1), floats("b", []int{3}, 0, 0, 1)}, []float32{3, 4}, []float32{3, 4, 8}},
		{"enlarged", []int{1, 1, 1, 2}, operation("Resize", []string{"x", "", "s"}, attrText("mode", "linear"), attrText("coordinate_transformation_mode", "half_pixel")),
			[]message{floats("s", []int{4}, 1, 1, 2, 2)}, []float32{0, 4}, []float32{0, 1, 3, 4, 0, 1, 3, 4}},
		{"another shape", []int{1, 2}, operation("Unsqueeze", []string{"x", "a"}), []message{integers("a", 2)}, []float32{1, 2}, []float32{1, 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n, err := New(network(test.shape, []message{test.node}, test.constants...))
			if err != nil {
				t.Fatal(err)
			}
			got, err := n.Run(test.input)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

// A rectifier after a convolution is part of it only where nobody else wants what
// comes before.
func TestRectifierAfterConvolution(t *testing.T) {
	t.Parallel()
	conv := message(nil).text(1, "x").text(1, "w").text(2, "a").text(4, "Conv")
	relu := message(nil).text(1, "a").text(2, "b").text(4, "Relu")
	both := operation("Add", []string{"a", "b"})
	alone := operation("Add", []string{"b", "b"})
	weights := floats("w", []int{1, 1, 1, 1}, 1)
	for name, test := range map[string]struct {
		nodes []message
		want  []float32
	}{
		"shared": {[]message{conv, relu, both}, []float32{-1, 4}},
		"alone":  {[]message{conv, relu, alone}, []float32{0, 4}},
	} {
		n, err := New(network([]int{1, 1, 1, 2}, test.nodes, weights))
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.Run([]float32{-1, 2})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What is not supported is said when the file is read.
func TestRefusals(t *testing.T) {
	t.Parallel()
	picture := []int{1, 2, 4, 4}
	weights := floats("w", []int{2, 2, 1, 1}, 1, 2, 3, 4)
	tests := []struct {
		name  string
		model []byte
		want  string
	}{
		{"empty", nil, "no graph"},
		{"cut off", network(picture, []message{operation("Relu", []string{"x"})})[:20], "middle of a field"},
		{"unknown operation", network(picture, []message{operation("Softmax", []string{"x"})}), "Softmax: the operator is not supported"},
		{"two pictures", network([]int{2, 2, 4, 4}, nil), "one picture"},
		{"unfixed shape", network([]int{1, 0}, nil), "not fixed"},
		{"too large", network([]int{1, 4096, 4096, 2}, nil), "too large"},
		{"nothing computes", network(picture, []message{operation("Relu", []string{"z"})}), "no value that comes before"},
		{"no output", network(picture, nil), "nothing computes the output"},
		{"groups of two", network([]int{1, 4, 4, 4}, []message{operation("Conv", []string{"x", "w"}, attrInt("group", 2))}, floats("w", []int{2, 2, 1, 1}, 1, 2, 3, 4)), "only one a channel"},
		{"dilation", network(picture, []message{operation("Conv", []string{"x", "w"}, attrInts("dilations", 2, 2))}, weights), "dilations"},
		{"border below zero", network(picture, []message{operation("Conv", []string{"x", "w"}, attrInts("pads", -1, 0, 0, 0))}, weights), "borders"},
		{"biases", network(picture, []message{operation("Conv", []string{"x", "w", "b"})}, weights, floats("b", []int{1}, 1)), "1 biases for 2 channels"},
		{"nearest", network(picture, []message{operation("Resize", []string{"x", "", "s"}, attrText("mode", "nearest"))}, floats("s", []int{4}, 1, 1, 2, 2)), "only bilinear"},
		{"shapes", network(picture, []message{operation("Add", []string{"x", "c"})}, floats("c", []int{3}, 1, 2, 3)), "do not fit"},
		{"short data", network(picture, nil, floats("c", []int{3}, 1, 2)), "8 bytes for 3 floats"},
		{"computed twice", network(picture, []message{operation("Relu", []string{"x"}), operation("Relu", []string{"x"})}), "computed twice"},
	}
	for _, test := range tests {
		if _, err := New(test.model); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
	}
}

// FuzzNew reads any bytes, and runs what is small enough.
func FuzzNew(f *testing.F) {
	f.Add(network([]int{1, 1, 2, 3}, []message{operation("Conv", []string{"x", "w"}, attrInts("pads", 1, 1, 1, 1))}, floats("w", []int{1, 1, 3, 3}, 0, 0, 0, 1, 2, 4, 0, 0, 8)))
	f.Add(network([]int{1, 2, 1, 2}, []message{operation("Add", []string{"x", "c"})}, floats("c", []int{2, 1, 2}, 10, 20, 30, 40)))
	f.Add(network([]int{1, 1, 1, 2}, []message{operation("Resize", []string{"x", "", "s"}, attrText("mode", "linear"))}, floats("s", []int{4}, 1, 1, 2, 2)))
	f.Add(network([]int{1, 2}, []message{operation("Gemm", []string{"x", "w", "b"}, attrInt("transB", 1))}, floats("w", []int{3, 2}, 1, 0, 0, 1, 1, 1), floats("b", []int{3}, 0, 0, 1)))
	f.Add(network([]int{1, 2, 1, 2}, []message{operation("ReduceMean", []string{"x"}, attrInts("axes", 2, 3))}))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := New(data)
		if err != nil || n.Work() > 1<<20 || count(n.InputShape()) > 1<<20 {
			return
		}
		if _, err := n.Run(make([]float32, count(n.InputShape()))); err != nil {
			t.Errorf("a run of the right size: %v", err)
		}
	})
}
