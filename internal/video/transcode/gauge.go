package transcode

import "liuyun/internal/av/quality"

// gauge says how near pictures are to those that they were made from.
type gauge interface {
	// name changes with everything that the numbers depend on.
	name() string
	// slack is by how much its numbers may be above VMAF NEG where that is high.
	slack() float64
	// cost is roughly how many CPU seconds a megapixel takes.
	cost() float64
	// meter measures pictures of one size. One goroutine at a time uses it.
	meter(width, height int) (meter, error)
}

// meter compares luma pictures of eight bits: 0 (worst) to 100. before and after are
// the source's neighbours, empty where there is none.
type meter interface {
	measure(source, made, before, after []byte) (float64, error)
}

// vmafGauge is VMAF by a model, or its estimate.
type vmafGauge struct {
	model *quality.Model // nil: estimated
	hash  string         // of the model
}

// newVMAFGauge reads a model as Netflix publishes them; without one it estimates.
func newVMAFGauge(model []byte) (*vmafGauge, error) {
	if len(model) == 0 {
		return &vmafGauge{}, nil
	}
	m, err := quality.ParseModel(model)
	if err != nil {
		return nil, err
	}
	return &vmafGauge{m, specHash("", "", []string{string(model)})}, nil
}

func (g *vmafGauge) name() string {
	if g.model == nil {
		return "vmaf estimate 2"
	}
	return "vmaf " + g.hash
}

func (g *vmafGauge) slack() float64 {
	if g.model == nil {
		return 1
	}
	return 0
}

func (*vmafGauge) cost() float64 { return 0.03 }

func (g *vmafGauge) meter(width, height int) (meter, error) {
	var models []*quality.Model
	if g.model != nil {
		models = append(models, g.model)
	}
	m, err := quality.NewMeter(width, height, 8, models...)
	return &vmafMeter{m, g.model, width, height}, err
}

type vmafMeter struct {
	*quality.Meter
	model         *quality.Model
	width, height int
}

func (m *vmafMeter) plane(pix []byte) quality.Plane {
	return quality.Plane{Width: m.width, Height: m.height, Stride: m.width, Depth: 8, Pix: pix}
}

func (m *vmafMeter) measure(source, made, before, after []byte) (float64, error) {
	ref := m.plane(source)
	var past *quality.Plane
	if len(before) > 0 {
		p := m.plane(before)
		past = &p
	}
	scores, err := m.Frame(ref, m.plane(made), past)
	if err != nil {
		return 0, err
	}
	if len(after) > 0 && past != nil {
		motion, err := m.Motion(ref, m.plane(after))
		if err != nil {
			return 0, err
		}
		scores.Settle(motion)
	}
	return scoreOf(scores, m.model)
}
