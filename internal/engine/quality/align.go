package quality

import (
	"context"
	"math"
	"slices"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// maxFrames bounds what is kept of a file: five days at 25 frames a second.
const maxFrames = 10_000_000

// side is one of the two that are compared.
type side struct {
	input   ffmpeg.Input
	video   *ffmpeg.VideoStream
	picture ffmpeg.Picture
	times   []int64 // of the frames, ticks, as the container has them; nil where it does not say
	seen    int     // frames that the decoder gave, or would have without sampling
}

func (s *side) name() string { return s.input.Label() }

// seconds is the time of frame n from the first one on. It is known where times
// are.
func (s *side) seconds(n int) float64 {
	return float64(s.times[n]-s.times[0]) * s.video.TimeBase.Float()
}

// Video is a file that was looked at, so that it can be compared with many others.
type Video struct{ side side }

// Open looks at a file, without decoding it: its picture, and when each frame is shown.
// input must stay open for as long as the video is used.
func (c *Comparer) Open(ctx context.Context, input ffmpeg.Input) (*Video, error) {
	v := &Video{side{input: input}}
	if err := c.inspect(ctx, &v.side); err != nil {
		return nil, err
	}
	return v, nil
}

// pair is what will be compared, and at which size and depth.
type pair struct {
	ref, dis             side
	width, height, depth int
	rate                 float64 // frames a second, of the reference
}

// align lays one over the other, and refuses what would give numbers that mean
// nothing.
func align(ref, dis *Video, o Options) (*pair, error) {
	p := &pair{ref: ref.side, dis: dis.side}
	if err := p.sameShape(o); err != nil {
		return nil, err
	}
	return p, p.sameTimes()
}

// inspect finds the video stream of a side and the times of its frames.
func (c *Comparer) inspect(ctx context.Context, s *side) error {
	media, err := c.tools.Probe(ctx, s.input)
	if err != nil {
		return err
	}
	for i := range media.Video {
		if v := &media.Video[i]; !v.AttachedPicture && (s.video == nil || v.Default && !s.video.Default) {
			s.video = v
		}
	}
	if s.video == nil {
		return fault.New(fault.Invalid, "%s has no picture in it: give two video files", s.name())
	}
	v := s.video
	if err := c.tools.Check(s.name(), v.Stream); err != nil {
		return err
	}
	if v.Width <= 0 || v.Height <= 0 || !v.TimeBase.Valid() {
		return fault.New(fault.Invalid, "%s has a video track without a picture size: it is damaged or cut off", s.name())
	}
	s.picture = ffmpeg.PictureOf(v)
	untimed := false
	err = c.tools.Index(ctx, s.input, v.Index, func(p ffmpeg.Packet) error {
		switch {
		case p.Discard:
			return nil
		case len(s.times) >= maxFrames:
			return fault.New(fault.Limit, "%s has more than %d frames: compare a part of it", s.name(), maxFrames)
		}
		untimed = untimed || !p.HasPTS
		s.times = append(s.times, p.PTS)
		return nil
	})
	if err != nil {
		return err
	}
	if len(s.times) == 0 {
		return fault.New(fault.Invalid, "%s has no pictures in its video track", s.name())
	}
	slices.Sort(s.times)
	s.times = slices.Compact(s.times)
	if untimed {
		s.times = nil // what the decoder gives is checked all the same
	}
	return nil
}

// sameShape settles size and depth.
func (p *pair) sameShape(o Options) error {
	if p.ref.picture.Colour.HDR() != p.dis.picture.Colour.HDR() {
		return fault.New(fault.Invalid, "one of %s and %s is HDR and the other is not: compare the HDR encode, or bring the reference down to SDR first",
			p.ref.name(), p.dis.name())
	}
	rw, rh := p.ref.picture.Shown()
	dw, dh := p.dis.picture.Shown()
	shape, other := float64(rw)/float64(rh), float64(dw)/float64(dh)
	// An encode may round its sides to even numbers.
	if tolerance := 0.01 + 2/float64(min(dw, dh)); math.Abs(other/shape-1) > tolerance {
		return fault.New(fault.Invalid, "%s is %d×%d and %s is %d×%d, which is another shape: crop or pad one of them so that they show the same",
			p.ref.name(), rw, rh, p.dis.name(), dw, dh)
	}
	p.width, p.height = rw, rh
	if o.Width > 0 {
		scale := min(float64(o.Width)/float64(rw), float64(o.Height)/float64(rh))
		p.width, p.height = int(math.Round(float64(rw)*scale)), int(math.Round(float64(rh)*scale))
	}
	p.width, p.height = max(2, p.width&^1), max(2, p.height&^1)
	if least := 32; p.width < least || p.height < least {
		return fault.New(fault.Invalid, "%d×%d is too small to compare: a side has at least %d pixels", p.width, p.height, least)
	}
	if p.width > 16384 || p.height > 16384 {
		return fault.New(fault.Invalid, "%d×%d is too large to compare: a side has at most 16384 pixels; choose a size", p.width, p.height)
	}
	p.depth = 8
	if p.ref.video.BitDepth > 8 || p.dis.video.BitDepth > 8 {
		p.depth = 10
	}
	if rate := p.ref.video.AverageRate; rate.Valid() {
		p.rate = rate.Float()
	}
	return nil
}

// sameTimes compares the frames that both files say they have.
func (p *pair) sameTimes() error {
	r, d := p.ref.times, p.dis.times
	if r == nil || d == nil {
		return nil
	}
	if len(r) != len(d) {
		return p.notTheSame(len(r), len(d))
	}
	for i := range r {
		if err := p.sameTime(i); err != nil {
			return err
		}
	}
	return nil
}

// seconds is the time of frame n.
func (p *pair) seconds(n int) float64 {
	switch {
	case n < len(p.ref.times):
		return p.ref.seconds(n)
	case p.rate > 0:
		return float64(n) / p.rate
	}
	return 0
}

func (p *pair) notTheSame(ref, dis int) error {
	return fault.New(fault.Invalid, "%s has %d frames and %s has %d: compare an encode with exactly what it was made from, at the same frame rate and without a cut",
		p.ref.name(), ref, p.dis.name(), dis)
}

// sameTime refuses frame n of dis when it is not nearer to the reference's than
// to what comes before and after that: half of a frame at the reference's rate,
// or of the distance to its neighbours where that is less.
func (p *pair) sameTime(n int) error {
	gap := math.Inf(1)
	if p.rate > 0 {
		gap = 1 / p.rate
	}
	at := p.ref.seconds(n)
	if n > 0 {
		gap = min(gap, at-p.ref.seconds(n-1))
	}
	if n+1 < len(p.ref.times) {
		gap = min(gap, p.ref.seconds(n+1)-at)
	}
	if other := p.dis.seconds(n); math.Abs(at-other) > gap/2 {
		return fault.New(fault.Invalid, "frame %d is at %.3f s in %s and at %.3f s in %s: they are not the same frames; compare an encode with exactly what it was made from, at the same frame rate",
			n, at, p.ref.name(), other, p.dis.name())
	}
	return nil
}
