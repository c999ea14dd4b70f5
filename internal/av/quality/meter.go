package quality

import (
	"fmt"
	"slices"
)

// MaxModels is how many models a Meter applies to each frame.
const MaxModels = 4

// defaultGainLimit lets every enhancement through that a picture can hold.
const defaultGainLimit = 100.0

// Features are the numbers of a frame that VMAF's models are fed with, as
// libvmaf's integer extractors name and define them. VIF is visual information
// fidelity per scale, 0 the finest (Sheikh and Bovik, "Image information and
// visual quality", 2006); ADM is the detail that survives per scale and ADM2 all
// scales together (Li and others, "Image quality assessment by separately
// evaluating detail losses and additive impairments", 2011).
type Features struct {
	VIF  [4]float64
	ADM2 float64
	ADM  [4]float64
	// Motion is the mean difference of the blurred reference from the frame
	// before, in 8-bit steps; 0 where there was none. Motion2 is the smaller of
	// this frame's Motion and the next one's, see Scores.Settle.
	Motion, Motion2 float64
}

func (f *Features) get(which feature) float64 {
	switch {
	case which == featureADM2:
		return f.ADM2
	case which == featureMotion:
		return f.Motion
	case which == featureMotion2:
		return f.Motion2
	case which >= featureADM0:
		return f.ADM[which-featureADM0]
	}
	return f.VIF[which-featureVIF0]
}

// Scores is what a Meter says of one frame, in the order of its models: the
// score, and the features it comes from. Without a model, Features[0] is
// filled alone.
type Scores struct {
	VMAF     [MaxModels]float64
	Features [MaxModels]Features
	models   []*Model
}

// Motion is the motion of this frame against the one before, the same for all
// models. Of two frames that follow each other, the second's goes to the first's
// Settle.
func (s *Scores) Motion() float64 { return s.Features[0].Motion }

// Settle scores the frame again with motion2 as libvmaf defines it: the smaller
// of the frame's own motion and that of the next frame, which is known only
// later. The first frame of a video has 0 whatever follows, the last keeps its
// own motion, and so neither is settled. Settle on a frame that had no frame
// before it does nothing.
func (s *Scores) Settle(next float64) {
	for i := range s.Features {
		f := &s.Features[i]
		f.Motion2 = min(f.Motion, next)
		if i < len(s.models) {
			s.VMAF[i] = s.models[i].Score(*f)
		}
	}
}

// Meter measures frames of one size and depth. It holds all buffers that this
// takes, so Frame and Motion do not allocate. One goroutine at a time uses it.
type Meter struct {
	width, height, depth int
	models               []*Model
	vifLimits, admLimits []float64 // those of the models, each once
	kernels              kernels

	ref, dis []uint16
	vif      vifBuffers
	adm      admBuffers
	row      []int32 // of motion
}

// NewMeter prepares for frames of this size, with depth bits a sample (8 to 12).
// Models are applied to each frame; those with different gain limits share all
// the work but the last steps.
func NewMeter(width, height, depth int, models ...*Model) (*Meter, error) {
	return newMeter(native(), width, height, depth, models...)
}

func newMeter(k kernels, width, height, depth int, models ...*Model) (*Meter, error) {
	if width < MinSide || height < MinSide || width > MaxSide || height > MaxSide {
		return nil, fmt.Errorf("%w: %d×%d, a side has %d to %d", ErrPlanes, width, height, MinSide, MaxSide)
	}
	if depth < 8 || depth > 12 {
		return nil, fmt.Errorf("%w: %d bits a sample, 8 to 12 are known", ErrPlanes, depth)
	}
	if len(models) > MaxModels {
		return nil, fmt.Errorf("%w: %d models, at most %d", ErrModel, len(models), MaxModels)
	}
	m := &Meter{width: width, height: height, depth: depth, models: models, kernels: k}
	for _, model := range models {
		m.vifLimits = appendNew(m.vifLimits, model.vifLimit)
		m.admLimits = appendNew(m.admLimits, model.admLimit)
	}
	if len(models) == 0 {
		m.vifLimits, m.admLimits = []float64{defaultGainLimit}, []float64{defaultGainLimit}
	}
	m.ref = make([]uint16, width*height+slack)
	m.dis = make([]uint16, width*height+slack)
	m.vif = newVIFBuffers(width, height)
	m.adm = newADMBuffers(width, height)
	m.row = make([]int32, width+slack)
	return m, nil
}

func appendNew(list []float64, v float64) []float64 {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// Frame measures the luma of dis against ref. prevRef is the reference's frame
// before, for motion alone; nil where ref is the first. The scores that come
// back take the motion from prevRef as it is; Settle with the next frame's
// motion gives libvmaf's. To measure every n-th frame, hand each its own
// neighbour before, and Settle it with Motion(ref, next).
//
// Errors wrap ErrPlanes.
func (m *Meter) Frame(ref, dis Plane, prevRef *Plane) (Scores, error) {
	var s Scores
	if err := m.fits(&ref); err != nil {
		return s, err
	}
	if err := m.fits(&dis); err != nil {
		return s, err
	}
	var vif, adm [MaxModels][4]float64
	var adm2 [MaxModels]float64
	motion := 0.0
	ref.samples(m.ref, &m.kernels)
	if prevRef != nil {
		if err := m.fits(prevRef); err != nil {
			return s, err
		}
		prevRef.samples(m.dis, &m.kernels)
		motion = m.motion(m.dis, m.ref)
	}
	dis.samples(m.dis, &m.kernels)
	m.computeVIF(&vif)
	m.computeADM(&adm, &adm2)
	s.models = m.models
	for i := range max(1, len(m.models)) {
		v, a := 0, 0
		if len(m.models) > 0 {
			v = slices.Index(m.vifLimits, m.models[i].vifLimit)
			a = slices.Index(m.admLimits, m.models[i].admLimit)
		}
		s.Features[i] = Features{VIF: vif[v], ADM: adm[a], ADM2: adm2[a], Motion: motion, Motion2: motion}
		if len(m.models) > 0 {
			s.VMAF[i] = m.models[i].Score(s.Features[i])
		}
	}
	return s, nil
}

// Motion is the motion from one frame of the reference to the next, as Frame
// would say of the second.
func (m *Meter) Motion(prev, ref Plane) (float64, error) {
	if err := m.fits(&prev); err != nil {
		return 0, err
	}
	if err := m.fits(&ref); err != nil {
		return 0, err
	}
	prev.samples(m.dis, &m.kernels)
	ref.samples(m.ref, &m.kernels)
	return m.motion(m.dis, m.ref), nil
}

func (m *Meter) fits(p *Plane) error {
	if err := p.check(); err != nil {
		return err
	}
	if p.Width != m.width || p.Height != m.height || p.Depth != m.depth {
		return fmt.Errorf("%w: %d×%d of %d bits, the meter is for %d×%d of %d", ErrPlanes,
			p.Width, p.Height, p.Depth, m.width, m.height, m.depth)
	}
	return nil
}

// motion is the mean absolute value of the blurred difference of two frames.
// Blurring is linear, so one blur of the difference does for two of the frames.
func (m *Meter) motion(prev, ref []uint16) float64 {
	sad := m.kernels.motion(prev, ref, m.width, m.height, m.depth, m.row)
	return min(float64(sad)/256/float64(m.width*m.height), maxMotion)
}

// maxMotion is where motion is cut, far above what pictures have.
const maxMotion = 10000
