package nn

import (
	"encoding/binary"
	"fmt"
	"math"
)

// What a network may have at most. They bound the memory and the time that a
// file can cost; the networks that this package is for need a tenth of them.
const (
	mostBytes  = 64 << 20 // of the file
	mostNodes  = 4096
	mostRank   = 4
	mostValues = 16 << 20 // of one tensor
	mostInputs = 16       // of one node
)

// The element types of ONNX tensors that are read.
const (
	typeFloat = 1
	typeInt64 = 7
)

// graph is an ONNX graph as it stands in the file.
type graph struct {
	opset   int64
	nodes   []node
	tensors map[string]*tensor // initializers
	inputs  []valueInfo
	outputs []valueInfo
}

// node is one operation.
type node struct {
	op      string
	inputs  []string // "" is an optional one that is left out
	outputs []string
	attrs   map[string]attribute
}

type attribute struct {
	f      float32
	i      int64
	s      string
	ints   []int64
	tensor *tensor
}

// tensor is a constant: floats or ints, in row-major order.
type tensor struct {
	name   string
	shape  []int
	floats []float32
	ints   []int64
}

// valueInfo is a declared input or output. A dimension without a fixed size is −1.
type valueInfo struct {
	name  string
	elem  int
	shape []int
}

// readModel reads a ModelProto (onnx.proto3, IR version 3 and later).
func readModel(data []byte) (*graph, error) {
	if len(data) > mostBytes {
		return nil, fmt.Errorf("model of %d bytes is larger than %d", len(data), mostBytes)
	}
	g := &graph{tensors: make(map[string]*tensor)}
	var body []byte
	err := eachField(data, func(f field) error {
		switch f.number {
		case 7:
			body = f.bytes
		case 8:
			return g.readOpset(f.bytes)
		}
		return nil
	})
	if err == nil && body == nil {
		err = fmt.Errorf("there is no graph in it")
	}
	if err == nil {
		err = eachField(body, g.readField)
	}
	if err != nil {
		return nil, fmt.Errorf("read ONNX model: %w", err)
	}
	return g, nil
}

// readOpset takes the version of the standard operators.
func (g *graph) readOpset(data []byte) error {
	domain, version := "", int64(0)
	err := eachField(data, func(f field) error {
		switch f.number {
		case 1:
			domain = string(f.bytes)
		case 2:
			version = int64(f.value)
		}
		return nil
	})
	if domain == "" || domain == "ai.onnx" {
		g.opset = version
	}
	return err
}

func (g *graph) readField(f field) error {
	switch f.number {
	case 1:
		if len(g.nodes) == mostNodes {
			return fmt.Errorf("more than %d nodes", mostNodes)
		}
		n, err := readNode(f.bytes)
		if err != nil {
			return fmt.Errorf("node %d: %w", len(g.nodes), err)
		}
		g.nodes = append(g.nodes, n)
	case 5:
		if len(g.tensors) == mostNodes {
			return fmt.Errorf("more than %d initializers", mostNodes)
		}
		t, err := readTensor(f.bytes)
		if err != nil {
			return fmt.Errorf("initializer %.64q: %w", t.name, err)
		}
		g.tensors[t.name] = t
	case 11, 12:
		v, err := readValueInfo(f.bytes)
		if err != nil {
			return fmt.Errorf("value %.64q: %w", v.name, err)
		}
		list := &g.inputs
		if f.number == 12 {
			list = &g.outputs
		}
		if len(*list) == mostInputs {
			return fmt.Errorf("more than %d inputs or outputs", mostInputs)
		}
		*list = append(*list, v)
	case 15:
		return fmt.Errorf("sparse initializers are not supported")
	}
	return nil
}

func readNode(data []byte) (node, error) {
	n := node{attrs: make(map[string]attribute)}
	err := eachField(data, func(f field) error {
		switch f.number {
		case 1:
			n.inputs = append(n.inputs, string(f.bytes))
		case 2:
			n.outputs = append(n.outputs, string(f.bytes))
		case 4:
			n.op = string(f.bytes)
		case 5:
			return n.readAttribute(f.bytes)
		case 7:
			if domain := string(f.bytes); domain != "" && domain != "ai.onnx" {
				return fmt.Errorf("operators of the domain %.64q are not supported", domain)
			}
		}
		if len(n.inputs) > mostInputs || len(n.outputs) > mostInputs || len(n.attrs) > mostInputs {
			return fmt.Errorf("more than %d inputs, outputs or attributes", mostInputs)
		}
		return nil
	})
	return n, err
}

func (n *node) readAttribute(data []byte) error {
	name, a := "", attribute{}
	err := eachField(data, func(f field) (err error) {
		switch f.number {
		case 1:
			name = string(f.bytes)
		case 2:
			a.f = math.Float32frombits(uint32(f.value))
		case 3:
			a.i = int64(f.value)
		case 4:
			a.s = string(f.bytes)
		case 5:
			a.tensor, err = readTensor(f.bytes)
		case 8:
			a.ints, err = appendInts(a.ints, f, 64)
		}
		return err
	})
	n.attrs[name] = a
	return err
}

// readTensor returns the tensor as far as it could be read also with an error.
func readTensor(data []byte) (*tensor, error) {
	t := &tensor{}
	var dims []int64
	var raw []byte
	elem := 0
	err := eachField(data, func(f field) (err error) {
		switch f.number {
		case 1:
			dims, err = appendInts(dims, f, mostRank)
		case 2:
			elem = int(f.value)
		case 4:
			err = t.appendFloats(f)
		case 7:
			t.ints, err = appendInts(t.ints, f, 64)
		case 8:
			t.name = string(f.bytes)
		case 9:
			raw = f.bytes
		case 13, 14:
			if f.number == 13 || f.value != 0 {
				err = fmt.Errorf("data outside of the file are not supported")
			}
		}
		return err
	})
	if err != nil {
		return t, err
	}
	count, err := t.setShape(dims)
	if err != nil {
		return t, err
	}
	return t, t.setData(elem, count, raw)
}

func (t *tensor) appendFloats(f field) error {
	if f.wire == wire32 {
		t.floats = append(t.floats, math.Float32frombits(uint32(f.value)))
		return nil
	}
	if len(f.bytes)%4 != 0 {
		return errTruncated
	}
	t.floats = appendFloats(t.floats, f.bytes)
	return nil
}

func appendFloats(list []float32, raw []byte) []float32 {
	for ; len(raw) >= 4; raw = raw[4:] {
		list = append(list, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
	}
	return list
}

// setShape checks the dimensions and returns how many values they hold.
func (t *tensor) setShape(dims []int64) (count int, err error) {
	t.shape, count = make([]int, len(dims)), 1
	for i, d := range dims {
		if d < 0 || d > mostValues || (d > 0 && int64(count) > mostValues/d) {
			return 0, fmt.Errorf("shape %v is too large", dims)
		}
		t.shape[i] = int(d)
		count *= int(d)
	}
	return count, nil
}

// setData takes the values from raw, where they are there, and checks their number.
func (t *tensor) setData(elem, count int, raw []byte) error {
	got := 0
	switch elem {
	case typeFloat:
		if raw != nil {
			if len(raw) != 4*count {
				return fmt.Errorf("%d bytes for %d floats", len(raw), count)
			}
			t.floats = appendFloats(make([]float32, 0, count), raw)
		}
		got = len(t.floats)
	case typeInt64:
		if raw != nil {
			if len(raw) != 8*count || count > 64 {
				return fmt.Errorf("%d bytes for %d integers", len(raw), count)
			}
			t.ints = make([]int64, count)
			for i := range t.ints {
				t.ints[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
			}
		}
		got = len(t.ints)
	default:
		return fmt.Errorf("element type %d is not supported", elem)
	}
	if got != count {
		return fmt.Errorf("%d values for %d", got, count)
	}
	return nil
}

func readValueInfo(data []byte) (valueInfo, error) {
	v := valueInfo{}
	inside := func(number int, then func([]byte) error) func(field) error {
		return func(f field) error {
			if f.number != number {
				return nil
			}
			return then(f.bytes)
		}
	}
	dimension := func(data []byte) error {
		size := -1
		err := eachField(data, func(f field) error {
			if f.number == 1 && f.value <= mostValues {
				size = int(f.value)
			}
			return nil
		})
		if v.shape = append(v.shape, size); len(v.shape) > mostRank {
			return fmt.Errorf("more than %d dimensions", mostRank)
		}
		return err
	}
	tensorType := func(data []byte) error {
		return eachField(data, func(f field) error {
			switch f.number {
			case 1:
				v.elem = int(f.value)
			case 2:
				return eachField(f.bytes, inside(1, dimension))
			}
			return nil
		})
	}
	err := eachField(data, func(f field) error {
		switch f.number {
		case 1:
			v.name = string(f.bytes)
		case 2:
			return eachField(f.bytes, inside(1, tensorType))
		}
		return nil
	})
	return v, err
}
