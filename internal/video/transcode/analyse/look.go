package analyse

import (
	"math"

	"liuyun/internal/av/scene"
)

// Look is where people are likely to look at a moment, and what says so.
type Look struct {
	Map   Map            // all together
	Faces [Cells]float32 // 0 … 1
	Text  [Cells]float32 // 0 … 1
}

// How many times as dense looks are on a face, on text and on what moves by itself
// than the network says, which has learnt most of it from photographs.
const (
	faceGain   = 1.0
	textGain   = 0.6
	motionGain = 1.5
)

// combine multiplies the network's density by what is known besides. moving is 0 … 1.
func (l *Look) combine(network *Map, moving *[Cells]float32) {
	for i, v := range network {
		l.Map[i] = v * (1 + faceGain*l.Faces[i]) * (1 + textGain*l.Text[i]) * (1 + motionGain*moving[i])
	}
	l.Map.normalize()
}

// movement gathers what moves otherwise than the camera.
type movement struct {
	sum   [scene.Blocks]float64
	count int
}

// ownMotion is the motion against the camera's, in samples a picture, that counts
// in full.
const ownMotion = 2.0

func (m *movement) add(e *scene.Estimator) {
	for i, v := range e.Vectors {
		dx, dy := float64(v.X)-float64(e.Global.X), float64(v.Y)-float64(e.Global.Y)
		own := min(math.Hypot(dx, dy)/ownMotion, 1)
		// Where most is left unexplained, vectors are noise, and something happens.
		m.sum[i] += own
	}
	m.count++
}

// take returns the mean of each cell, less what most of the picture has, and
// begins anew.
func (m *movement) take() (moving [Cells]float32) {
	if m.count > 0 {
		mean := 0.0
		for _, v := range m.sum {
			mean += v / scene.Blocks
		}
		for i := range moving {
			x, y := i%Columns*cell/scene.Block, i/Columns*cell/scene.Block
			moving[i] = float32(max(0, m.sum[y*scene.BlockCols+x]-mean) / float64(m.count))
		}
	}
	*m = movement{}
	return moving
}
