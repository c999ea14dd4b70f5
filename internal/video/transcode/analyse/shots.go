package analyse

import (
	"math"
	"slices"

	"liuyun/internal/av/scene"
)

// Shot is what the pictures from one cut to the next have in common.
type Shot struct {
	From int `json:"from"` // pictures, [From, To)
	To   int `json:"to"`

	Luma       float64 `json:"luma"`       // mean, levels of 8-bit luma
	Contrast   float64 `json:"contrast"`   // standard deviation, levels
	Texture    float64 `json:"texture"`    // mean step from sample to sample of 160 × 96, levels
	Motion     float64 `json:"motion"`     // mean length, in widths of the picture a second
	Residual   float64 `json:"residual"`   // what motion does not explain, mean, levels a picture
	Grain      float64 `json:"grain"`      // deviation of the noise, levels of the source
	Duplicates int     `json:"duplicates"` // pictures that are the one before once more
	Black      int     `json:"black"`      // black pictures
	Fading     int     `json:"fading"`     // pictures that fade to black or from it
	Screen     bool    `json:"screen"`     // recorded from a screen, or drawn
	Bars       *Edges  `json:"bars,omitempty"`
	Faces      float64 `json:"faces"` // share of the picture that may show faces
	Text       float64 `json:"text"`  // and lines of text
}

// Edges are black bars, in shares of the picture's width and height.
type Edges struct {
	Left   float64 `json:"left"`
	Top    float64 `json:"top"`
	Right  float64 `json:"right"`
	Bottom float64 `json:"bottom"`
}

// Film is what is needed of a film besides its pictures to describe its shots.
type Film struct {
	FrameRate float64
	// Samples is how many samples of the source each one of a small picture is the
	// mean of.
	Samples float64
}

// Shots describes each shot. cuts are the first pictures of all shots but the
// first, rising; looks are in order, and may be none.
func (f Film) Shots(frames []Frame, cuts []int, looks []Seen) []Shot {
	var list []Shot
	fading := fades(frames)
	from := 0
	for _, to := range append(slices.Clone(cuts), len(frames)) {
		if to > from && to <= len(frames) {
			s := f.shot(frames[from:to], fading[from:to], from)
			looks = s.see(looks)
			s.round()
			list = append(list, s)
			from = to
		}
	}
	return list
}

func (f Film) shot(frames []Frame, fading []bool, from int) Shot {
	s := Shot{From: from, To: from + len(frames)}
	n := float64(len(frames))
	flat, crisp, moved := 0.0, 0.0, 0.0
	var grains []float64
	bars := scene.Bars{Left: 255, Top: 255, Right: 255, Bottom: 255}
	for i, one := range frames {
		s.Luma += float64(one.Luma) / n
		s.Contrast += float64(one.Contrast) / n
		s.Texture += float64(one.Texture) / n
		flat += float64(one.Flat) / n
		crisp += float64(one.Crisp) / n
		if fading[i] {
			s.Fading++
		}
		if one.Black {
			s.Black++
		} else {
			bars = both(bars, one.Bars)
		}
		if i == 0 {
			continue // it comes after a cut
		}
		if one.Duplicate() {
			s.Duplicates++
			continue
		}
		moved++
		s.Motion += float64(one.Motion)
		s.Residual += float64(one.Residual)
		grains = append(grains, float64(one.Grain))
	}
	if moved > 0 {
		s.Motion *= f.FrameRate / max(1, n-1)
		s.Residual /= moved
		slices.Sort(grains)
		s.Grain = grains[len(grains)/2] * math.Sqrt(max(1, f.Samples))
	}
	if s.Black < len(frames) {
		s.Bars = edgesOf(bars)
		s.Screen = flat-share(bars) >= screenFlat && crisp >= screenCrisp
	}
	return s
}

// round keeps what is worth telling.
func (s *Shot) round() {
	for _, v := range [...]*float64{&s.Luma, &s.Contrast, &s.Texture, &s.Motion, &s.Residual, &s.Grain, &s.Faces, &s.Text} {
		*v = math.Round(*v*1000) / 1000
	}
}

// see takes the looks of the shot from those that are left.
func (s *Shot) see(looks []Seen) (left []Seen) {
	n := 0
	for n < len(looks) && looks[n].Frame < s.To {
		s.Faces += looks[n].Faces
		s.Text += looks[n].Text
		n++
	}
	if n > 0 {
		s.Faces /= float64(n)
		s.Text /= float64(n)
	}
	return looks[n:]
}

// both is what both have black.
func both(b, o scene.Bars) scene.Bars {
	return scene.Bars{Left: min(b.Left, o.Left), Top: min(b.Top, o.Top), Right: min(b.Right, o.Right), Bottom: min(b.Bottom, o.Bottom)}
}

// barLeast is the width of a bar below which it may be an edge that was cut badly.
const barLeast = 2 // samples

func edgesOf(b scene.Bars) *Edges {
	if max(b.Left, b.Top, b.Right, b.Bottom) < barLeast {
		return nil
	}
	return &Edges{float64(b.Left) / Width, float64(b.Top) / Height, float64(b.Right) / Width, float64(b.Bottom) / Height}
}

// share is how much of the picture the bars take.
func share(b scene.Bars) float64 {
	across := 1 - float64(b.Left+b.Right)/Width
	down := 1 - float64(b.Top+b.Bottom)/Height
	return 1 - across*down
}

// What comes from a screen has samples that are exactly as their neighbours, and
// edges between them that no lens has spread. Animation has the first alone.
const (
	screenFlat  = 0.25 // of the picture without its bars
	screenCrisp = 0.05 // of the strong edges
)

// A fade is a run of pictures that become darker, or brighter, one after the other
// and end, or begin, in black.
const (
	fadeLeast = 4    // pictures
	fadeFall  = 12.0 // levels in all
	fadeSlack = 0.3  // levels that a picture may go the other way
)

// fades marks the pictures that fade to black or from it.
func fades(frames []Frame) []bool {
	fading := make([]bool, len(frames))
	mark := func(black, step int) {
		n := 0
		at := black + step
		for ; at >= 0 && at < len(frames) && !frames[at].Black; at += step {
			if frames[at].Luma < frames[at-step].Luma-fadeSlack || frames[at].Contrast+fadeSlack < frames[at-step].Contrast ||
				frames[at].Luma-frames[at-step].Luma < 0.01 {
				break
			}
			n++
		}
		if n >= fadeLeast && frames[black+step*n].Luma-frames[black].Luma >= fadeFall {
			for k := 1; k <= n; k++ {
				fading[black+step*k] = true
			}
		}
	}
	for i, one := range frames {
		if !one.Black {
			continue
		}
		if i > 0 && !frames[i-1].Black {
			mark(i, -1)
		}
		if i+1 < len(frames) && !frames[i+1].Black {
			mark(i, 1)
		}
	}
	return fading
}
