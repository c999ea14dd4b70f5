package nn

import (
	"fmt"
	"slices"
)

// convolution is a Conv node: a step that works on its input with a border of
// zeros around it.
type convolution struct {
	relu bool
	do   func(relu bool)
}

func (c *convolution) run() { c.do(c.relu) }

// shape4 is a picture's size in ONNX's order, without the number of pictures.
type shape4 struct{ channels, height, width int }

func (s shape4) size() int { return s.channels * s.height * s.width }

func (c *compiler) addConv(n node) error {
	in, err := c.get(n, 0)
	if err != nil {
		return err
	}
	weight, err := c.constant(n, 1)
	if err != nil {
		return err
	}
	if len(in.shape) != 4 || len(weight.shape) != 4 || len(weight.floats) == 0 {
		return fmt.Errorf("shapes %v and %v are not supported", in.shape, weight.shape)
	}
	bias := make([]float32, weight.shape[0])
	if len(n.inputs) > 2 {
		t, err := c.constant(n, 2)
		if err != nil {
			return err
		}
		if len(t.floats) != len(bias) {
			return fmt.Errorf("%d biases for %d channels", len(t.floats), len(bias))
		}
		bias = t.floats
	}
	from := shape4{in.shape[1], in.shape[2], in.shape[3]}
	k, err := newKernel(n, from, weight)
	if err != nil {
		return err
	}
	to := k.result(from)
	out, err := c.declare(n.outputs[0], []int{1, to.channels, to.height, to.width})
	if err != nil {
		return err
	}
	if err := c.spend(to.size(), weight.shape[1], k.height, k.width); err != nil {
		return err
	}
	step, err := c.convolution(k, from, to, in.data, out.data, bias)
	if err != nil {
		return err
	}
	c.steps = append(c.steps, step)
	c.last[n.outputs[0]] = step
	return nil
}

// kernel is what a convolution does, apart from sizes of pictures.
type kernel struct {
	height, width         int
	stride                int
	top, left             int // rows and columns of zeros around the picture
	bottom, right         int
	channels              int // of the result
	depthwise             bool
	weights               []float32 // as in the file: result, source, row, column
	sourceChannels, group int
}

func newKernel(n node, from shape4, weight *tensor) (kernel, error) {
	k := kernel{
		height: weight.shape[2], width: weight.shape[3], channels: weight.shape[0], weights: weight.floats,
		sourceChannels: weight.shape[1], group: 1, stride: 1,
	}
	if a, ok := n.attrs["group"]; ok {
		k.group = int(a.i)
	}
	k.depthwise = k.group > 1
	all := func(name string, standard int64) (int64, bool) {
		list := n.attrs[name].ints
		if list == nil {
			return standard, true
		}
		return list[0], len(list) == 2 && list[0] == list[1]
	}
	dilation, even := all("dilations", 1)
	stride, square := all("strides", 1)
	pads := n.attrs["pads"].ints
	if pads == nil {
		pads = []int64{0, 0, 0, 0}
	}
	auto := n.attrs["auto_pad"].s
	switch {
	case k.group < 1:
		return k, fmt.Errorf("%d groups are not possible", k.group)
	case !even || dilation != 1 || !square || stride < 1 || stride > 4 || (auto != "" && auto != "NOTSET"):
		return k, fmt.Errorf("dilations, unequal strides and automatic borders are not supported")
	case len(pads) != 4 || slices.Min(pads) < 0 || slices.Max(pads) > 8:
		return k, fmt.Errorf("borders %v are not supported", pads)
	case k.height > 16 || k.width > 16:
		return k, fmt.Errorf("kernels of %d × %d are not supported", k.width, k.height)
	case k.depthwise && (k.group != from.channels || k.channels != from.channels || k.sourceChannels != 1):
		return k, fmt.Errorf("of groups, only one a channel is supported")
	case !k.depthwise && k.sourceChannels != from.channels:
		return k, fmt.Errorf("weights %v are not for %d channels", weight.shape, from.channels)
	}
	k.stride = int(stride)
	k.top, k.left, k.bottom, k.right = int(pads[0]), int(pads[1]), int(pads[2]), int(pads[3])
	if from.height+k.top+k.bottom < k.height || from.width+k.left+k.right < k.width {
		return k, fmt.Errorf("the picture is smaller than the kernel")
	}
	return k, nil
}

// bordered is the size of the picture with its border of zeros.
func (k kernel) bordered(s shape4) shape4 {
	return shape4{s.channels, s.height + k.top + k.bottom, s.width + k.left + k.right}
}

func (k kernel) result(from shape4) shape4 {
	b := k.bordered(from)
	return shape4{k.channels, (b.height-k.height)/k.stride + 1, (b.width-k.width)/k.stride + 1}
}

// convolution chooses the loop for a kernel.
func (c *compiler) convolution(k kernel, from, to shape4, in, out, bias []float32) (*convolution, error) {
	if !k.depthwise && k.height == 1 && k.width == 1 && k.stride == 1 && k.bordered(from) == from {
		p := &pointwise{in: in, out: out, weights: k.weights, bias: bias, from: from.channels, to: to.channels}
		return &convolution{do: p.runRelu}, nil
	}
	b := border{in: in, from: from, inside: k.bordered(from), top: k.top, left: k.left}
	if c.memory += b.inside.size(); c.memory > mostMemory {
		return nil, fmt.Errorf("more than %d values", mostMemory)
	}
	b.out = make([]float32, b.inside.size())
	if k.depthwise {
		d := &depthwise{border: b, out: out, to: to, kernel: k, bias: bias, weights: k.byTap()}
		return &convolution{do: d.runRelu}, nil
	}
	if c.memory += k.height * k.width * from.channels * to.height * to.width; c.memory > mostMemory {
		return nil, fmt.Errorf("more than %d values", mostMemory)
	}
	return &convolution{do: newDense(b, k, to, out, bias).runRelu}, nil
}

// byTap orders depthwise weights by row and column of the kernel, then channel.
func (k kernel) byTap() []float32 {
	taps := k.height * k.width
	list := make([]float32, len(k.weights))
	for channel := range k.channels {
		for tap := range taps {
			list[tap*k.channels+channel] = k.weights[channel*taps+tap]
		}
	}
	return list
}

// border copies a picture into one with zeros around it.
type border struct {
	in, out      []float32
	from, inside shape4
	top, left    int
}

func (b *border) run() {
	row := b.from.width * b.from.channels
	for y := range b.from.height {
		at := ((y+b.top)*b.inside.width + b.left) * b.inside.channels
		copy(b.out[at:at+row], b.in[y*row:(y+1)*row])
	}
}

// pointwise is a convolution of single pixels, and the product with a matrix: each
// pixel of from channels becomes one of to.
type pointwise struct {
	in, out       []float32
	weights, bias []float32 // to × from, to
	from, to      int
}

func (p *pointwise) run() { p.runRelu(false) }

// runRelu works on two pixels and four channels at a time, whose eight sums stay
// in registers.
func (p *pointwise) runRelu(relu bool) {
	n := len(p.in) / p.from
	pixel := 0
	for ; pixel+2 <= n; pixel += 2 {
		p.two(p.in[pixel*p.from:][:2*p.from], p.out[pixel*p.to:][:2*p.to])
	}
	if pixel < n {
		p.one(p.in[pixel*p.from:][:p.from], p.out[pixel*p.to:][:p.to])
	}
	if relu {
		for i, v := range p.out {
			p.out[i] = max(v, 0)
		}
	}
}

func (p *pointwise) two(in, out []float32) {
	k := p.from
	x, y := in[:k], in[k:2*k]
	toX, toY := out[:p.to], out[p.to:2*p.to]
	o := 0
	for ; o+4 <= p.to; o += 4 {
		w := p.weights[o*k : (o+4)*k]
		a, b, c, d := w[:k], w[k:2*k], w[2*k:3*k], w[3*k:4*k]
		b, c, d, y := b[:len(a)], c[:len(a)], d[:len(a)], y[:len(a)]
		x := x[:len(a)]
		bias := p.bias[o : o+4]
		ax, bx, cx, dx := bias[0], bias[1], bias[2], bias[3]
		ay, by, cy, dy := ax, bx, cx, dx
		for i := range a {
			u, v := x[i], y[i]
			wa, wb, wc, wd := a[i], b[i], c[i], d[i]
			ax += wa * u
			ay += wa * v
			bx += wb * u
			by += wb * v
			cx += wc * u
			cy += wc * v
			dx += wd * u
			dy += wd * v
		}
		toX[o], toX[o+1], toX[o+2], toX[o+3] = ax, bx, cx, dx
		toY[o], toY[o+1], toY[o+2], toY[o+3] = ay, by, cy, dy
	}
	for ; o < p.to; o++ {
		w := p.weights[o*k : (o+1)*k]
		toX[o], toY[o] = dot(p.bias[o], w, x), dot(p.bias[o], w, y)
	}
}

func (p *pointwise) one(in, out []float32) {
	for o := range out {
		out[o] = dot(p.bias[o], p.weights[o*p.from:(o+1)*p.from], in)
	}
}

// dot is start and the scalar product of two vectors of one length.
func dot(start float32, a, b []float32) float32 {
	b = b[:len(a)]
	for i, v := range a {
		start += v * b[i]
	}
	return start
}

// dense is a convolution over all channels: the neighbourhood of each pixel is
// laid out in a row, which a pointwise convolution takes.
type dense struct {
	border
	kernel
	to        shape4
	unrolled  []float32
	pointwise pointwise
}

func newDense(b border, k kernel, to shape4, out, bias []float32) *dense {
	row := k.height * k.width * b.from.channels
	d := &dense{border: b, kernel: k, to: to, unrolled: make([]float32, row*to.height*to.width)}
	weights := make([]float32, len(k.weights))
	taps := k.height * k.width
	for o := range k.channels {
		for c := range k.sourceChannels {
			for tap := range taps {
				weights[o*row+tap*k.sourceChannels+c] = k.weights[(o*k.sourceChannels+c)*taps+tap]
			}
		}
	}
	d.pointwise = pointwise{in: d.unrolled, out: out, weights: weights, bias: bias, from: row, to: to.channels}
	return d
}

func (d *dense) runRelu(relu bool) {
	d.border.run()
	row := d.kernel.width * d.from.channels
	at := 0
	for y := range d.to.height {
		for x := range d.to.width {
			for ky := range d.kernel.height {
				from := ((y*d.stride+ky)*d.inside.width + x*d.stride) * d.from.channels
				copy(d.unrolled[at:at+row], d.border.out[from:from+row])
				at += row
			}
		}
	}
	d.pointwise.runRelu(relu)
}

// depthwise is a convolution of each channel by itself.
type depthwise struct {
	border
	kernel
	out     []float32
	to      shape4
	bias    []float32
	weights []float32 // by tap, then channel
}

func (d *depthwise) runRelu(relu bool) {
	d.border.run()
	n := d.to.channels
	least := float32(0)
	for y := range d.to.height {
		for x := range d.to.width {
			out := d.out[(y*d.to.width+x)*n:][:n]
			at := (y*d.stride*d.inside.width + x*d.stride) * n
			copy(out, d.bias)
			for ky := range d.kernel.height {
				line := d.border.out[at+ky*d.inside.width*n:]
				if d.kernel.width == 3 {
					add3(out, line, d.weights[ky*3*n:])
					continue
				}
				for kx := range d.kernel.width {
					add1(out, line[kx*n:], d.weights[(ky*d.kernel.width+kx)*n:])
				}
			}
			if relu {
				for i, v := range out {
					out[i] = max(v, least)
				}
			}
		}
	}
}

// add3 adds three neighbouring pixels, each times its weights.
func add3(out, in, weights []float32) {
	n := len(out)
	a, b, c := in[:n], in[n:2*n], in[2*n:3*n]
	u, v, w := weights[:n], weights[n:2*n], weights[2*n:3*n]
	b, c, u, v, w = b[:len(a)], c[:len(a)], u[:len(a)], v[:len(a)], w[:len(a)]
	out = out[:len(a)]
	for i := range a {
		out[i] += a[i]*u[i] + b[i]*v[i] + c[i]*w[i]
	}
}

// add1 adds one pixel times its weights.
func add1(out, in, weights []float32) {
	in, weights = in[:len(out)], weights[:len(out)]
	for i := range out {
		out[i] += in[i] * weights[i]
	}
}
