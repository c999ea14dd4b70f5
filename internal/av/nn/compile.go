package nn

import (
	"fmt"
	"slices"
)

// What the networks of one file may cost in all.
const (
	mostMemory = 32 << 20 // values in all buffers
	mostWork   = 4 << 30  // multiplications a run
)

// compiler turns a graph into steps.
type compiler struct {
	graph  *graph
	values map[string]value
	uses   map[string]int // how often a value is an input, or the output
	steps  []step
	last   map[string]*convolution // steps whose result is the value of this name
	memory int
	work   int64
}

func (c *compiler) compile() (*Network, error) {
	if c.graph.opset < 13 || c.graph.opset > 24 {
		return nil, fmt.Errorf("operator set %d is not between 13 and 24", c.graph.opset)
	}
	c.last = make(map[string]*convolution)
	input, err := c.declareInput()
	if err != nil {
		return nil, err
	}
	if len(c.graph.outputs) != 1 {
		return nil, fmt.Errorf("it has %d outputs, not one", len(c.graph.outputs))
	}
	name := c.graph.outputs[0].name
	c.uses[name]++
	for _, n := range c.graph.nodes {
		for _, in := range n.inputs {
			c.uses[in]++
		}
	}
	for i, n := range c.graph.nodes {
		if err := c.add(n); err != nil {
			return nil, fmt.Errorf("node %d, %.64s: %w", i, n.op, err)
		}
	}
	output, ok := c.values[name]
	if !ok {
		return nil, fmt.Errorf("nothing computes the output %.64q", name)
	}
	return &Network{input: input, output: output, image: make([]float32, len(output.data)), steps: c.steps, work: c.work}, nil
}

// declareInput makes the buffer of the one input that is no constant.
func (c *compiler) declareInput() (value, error) {
	var found []valueInfo
	for _, in := range c.graph.inputs {
		if c.graph.tensors[in.name] == nil { // older files list constants, too
			found = append(found, in)
		}
	}
	if len(found) != 1 {
		return value{}, fmt.Errorf("it has %d inputs, not one", len(found))
	}
	in := found[0]
	if in.elem != typeFloat || len(in.shape) == 0 {
		return value{}, fmt.Errorf("the input is no tensor of floats")
	}
	return c.declare(in.name, in.shape)
}

// declare makes the buffer of a value.
func (c *compiler) declare(name string, shape []int) (value, error) {
	if _, ok := c.values[name]; ok || name == "" {
		return value{}, fmt.Errorf("the value %.64q is computed twice", name)
	}
	if len(shape) > mostRank || (len(shape) == 4 && shape[0] != 1) {
		return value{}, fmt.Errorf("shape %v: one picture at a time", shape)
	}
	size := 1
	for _, d := range shape {
		if d < 1 || d > mostValues || size > mostValues/d {
			return value{}, fmt.Errorf("shape %v is not fixed, or too large", shape)
		}
		size *= d
	}
	if c.memory += size; c.memory > mostMemory {
		return value{}, fmt.Errorf("more than %d values", mostMemory)
	}
	v := value{shape: slices.Clone(shape), data: make([]float32, size)}
	c.values[name] = v
	return v, nil
}

// get is input i of a node: a value that was computed before, or a constant.
func (c *compiler) get(n node, i int) (value, error) {
	if i >= len(n.inputs) {
		return value{}, fmt.Errorf("input %d is missing", i)
	}
	name := n.inputs[i]
	if v, ok := c.values[name]; ok {
		return v, nil
	}
	t := c.graph.tensors[name]
	if t == nil || t.ints != nil {
		return value{}, fmt.Errorf("the input %.64q is no value that comes before it", name)
	}
	v, err := c.declare(name, t.shape)
	if err == nil {
		toPixels(v.data, t.floats, t.shape)
	}
	return v, err
}

// constant is input i of a node as it stands in the file.
func (c *compiler) constant(n node, i int) (*tensor, error) {
	if i >= len(n.inputs) || c.graph.tensors[n.inputs[i]] == nil {
		return nil, fmt.Errorf("input %d is no constant", i)
	}
	return c.graph.tensors[n.inputs[i]], nil
}

// spend counts the multiplications of a step.
func (c *compiler) spend(factors ...int) error {
	work := int64(1)
	for _, f := range factors {
		if work *= int64(f); work > mostWork {
			break
		}
	}
	if c.work += work; c.work > mostWork {
		return fmt.Errorf("a run would take more than %d multiplications", int64(mostWork))
	}
	return nil
}

// add compiles one node.
func (c *compiler) add(n node) error {
	if len(n.outputs) != 1 {
		return fmt.Errorf("it has %d outputs, not one", len(n.outputs))
	}
	switch n.op {
	case "Constant":
		return c.addConstant(n)
	case "Conv":
		return c.addConv(n)
	case "Relu":
		return c.addRelu(n)
	case "Add", "Sub", "Mul":
		return c.addBinary(n)
	case "ReduceMean":
		return c.addMean(n)
	case "Gemm":
		return c.addGemm(n)
	case "Unsqueeze":
		return c.addUnsqueeze(n)
	case "Resize":
		return c.addResize(n)
	}
	return fmt.Errorf("the operator is not supported")
}

func (c *compiler) addConstant(n node) error {
	t := n.attrs["value"].tensor
	if t == nil {
		return fmt.Errorf("it has no value that is a tensor")
	}
	c.graph.tensors[n.outputs[0]] = t
	return nil
}

// addRelu lets the convolution before it do the work where nobody else needs
// what that computes.
func (c *compiler) addRelu(n node) error {
	in, err := c.get(n, 0)
	if err != nil {
		return err
	}
	if conv := c.last[n.inputs[0]]; conv != nil && c.uses[n.inputs[0]] == 1 {
		conv.relu = true
		c.values[n.outputs[0]] = in
		return nil
	}
	out, err := c.declare(n.outputs[0], in.shape)
	if err == nil {
		c.steps = append(c.steps, &relu{in.data, out.data})
	}
	return err
}

func (c *compiler) addBinary(n node) error {
	a, err := c.get(n, 0)
	if err != nil {
		return err
	}
	b, err := c.get(n, 1)
	if err != nil {
		return err
	}
	shape, err := broadcast(a.shape, b.shape)
	if err != nil {
		return err
	}
	out, err := c.declare(n.outputs[0], shape)
	if err != nil {
		return err
	}
	c.steps = append(c.steps, newElementwise(n.op, a, b, out))
	return nil
}

func (c *compiler) addMean(n node) error {
	in, err := c.get(n, 0)
	if err != nil {
		return err
	}
	axes := n.attrs["axes"].ints
	if len(n.inputs) > 1 { // from operator set 18 on
		t, err := c.constant(n, 1)
		if err != nil {
			return err
		}
		axes = t.ints
	}
	if len(in.shape) != 4 || !slices.Equal(axes, []int64{2, 3}) && !slices.Equal(axes, []int64{-2, -1}) {
		return fmt.Errorf("only the mean over height and width is supported")
	}
	shape := []int{1, in.shape[1]}
	if keep, ok := n.attrs["keepdims"]; !ok || keep.i != 0 {
		shape = append(shape, 1, 1)
	}
	out, err := c.declare(n.outputs[0], shape)
	if err == nil {
		c.steps = append(c.steps, &mean{in.data, out.data})
	}
	return err
}

func (c *compiler) addGemm(n node) error {
	in, err := c.get(n, 0)
	if err != nil {
		return err
	}
	weight, err := c.constant(n, 1)
	if err != nil {
		return err
	}
	bias, err := c.constant(n, 2)
	if err != nil {
		return err
	}
	one := func(name string) bool { a, ok := n.attrs[name]; return !ok || a.f == 1 }
	if !one("alpha") || !one("beta") || n.attrs["transA"].i != 0 || n.attrs["transB"].i != 1 {
		return fmt.Errorf("only transB without factors is supported")
	}
	if len(in.shape) != 2 || in.shape[0] != 1 || len(weight.shape) != 2 || weight.shape[1] != in.shape[1] ||
		len(weight.floats) == 0 || len(bias.floats) != weight.shape[0] {
		return fmt.Errorf("shapes %v, %v and %v do not fit", in.shape, weight.shape, bias.shape)
	}
	if err := c.spend(weight.shape...); err != nil {
		return err
	}
	out, err := c.declare(n.outputs[0], []int{1, weight.shape[0]})
	if err == nil {
		c.steps = append(c.steps, &pointwise{in: in.data, out: out.data, weights: weight.floats, bias: bias.floats, from: weight.shape[1], to: weight.shape[0]})
	}
	return err
}

// addUnsqueeze gives a value another shape, and no other order.
func (c *compiler) addUnsqueeze(n node) error {
	in, err := c.get(n, 0)
	if err != nil {
		return err
	}
	axes, err := c.constant(n, 1)
	if err != nil {
		return err
	}
	if len(axes.ints) != 1 || axes.ints[0] != int64(len(in.shape)) {
		return fmt.Errorf("only one new dimension at the end is supported")
	}
	shape := append(slices.Clone(in.shape), 1)
	if len(shape) > mostRank || (len(shape) == mostRank && (shape[0] != 1 || shape[2] != 1)) {
		return fmt.Errorf("shape %v is no picture of one pixel", shape)
	}
	if _, ok := c.values[n.outputs[0]]; ok {
		return fmt.Errorf("the value %.64q is computed twice", n.outputs[0])
	}
	c.values[n.outputs[0]] = value{shape: shape, data: in.data}
	return nil
}

func (c *compiler) addResize(n node) error {
	in, err := c.get(n, 0)
	if err != nil {
		return err
	}
	scales, err := c.constant(n, 2)
	if err != nil {
		return err
	}
	transform, ok := n.attrs["coordinate_transformation_mode"]
	if n.attrs["mode"].s != "linear" || (ok && transform.s != "half_pixel") || n.attrs["antialias"].i != 0 || len(n.inputs) > 3 {
		return fmt.Errorf("only bilinear scaling around the middles of pixels is supported")
	}
	f := scales.floats
	if len(in.shape) != 4 || len(f) != 4 || f[0] != 1 || f[1] != 1 || !(f[2] > 0 && f[2] <= 64) || !(f[3] > 0 && f[3] <= 64) {
		return fmt.Errorf("scales %v for shape %v are not supported", f, in.shape)
	}
	shape := []int{1, in.shape[1], int(float32(in.shape[2]) * f[2]), int(float32(in.shape[3]) * f[3])}
	out, err := c.declare(n.outputs[0], shape)
	if err != nil {
		return err
	}
	if err := c.spend(4, count(shape)); err != nil {
		return err
	}
	c.steps = append(c.steps, &resize{
		in: in.data, out: out.data, channels: shape[1], width: in.shape[3],
		rows: newTaps(in.shape[2], shape[2], float64(f[2])), columns: newTaps(in.shape[3], shape[3], float64(f[3])),
	})
	return nil
}
