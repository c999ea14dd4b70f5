// Package compare measures encodes of a video against it: how near each frame comes
// to the reference, what every shot was given, where it is worst. Its result is the
// data of a page (compare/report), and numbers for scripts. It decides nothing about
// encoding, and refuses films that cannot be laid over each other.
package compare

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"slices"

	"liuyun/internal/av/quality"
	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	engine "liuyun/internal/engine/quality"
	"liuyun/internal/video/compare/report"
)

// Service compares. Tools must be set.
type Service struct {
	Tools *ffmpeg.Tools
	// OnProgress is told what is being done and what share of it is through, from 0
	// to 1; nil tells nobody.
	OnProgress func(phase string, share float64)
	// Refused is told of an encode that cannot be laid over the reference; the others
	// are compared without it. nil refuses all because of one.
	Refused func(e *Entry, why error)
	// Looks says where people are likely to look in a picture: values of any scale, row
	// by row; nil says nothing.
	Looks func(picture image.Image) (width, height int, values []float32, err error)
}

// Options are what a user may choose.
type Options struct {
	Every   int // compare one frame in so many; 0 is as many as makes some thousands
	Moments int // worst frames to show; 0 shows none
	// Models are files of VMAF models; the first decides which frames are the worst.
	// Without any that is XPSNR.
	Models []string
	// Box is the longest side at which films are compared, in pixels: larger ones are
	// brought down to it. 0 compares all at their own size.
	Box int
	// Starts are when shots begin, where that is known, the first at 0; without, they
	// are looked for.
	Starts []float64
	// Workers is how many frames are measured at a time; 0 is one a core.
	Workers int
}

// enough is how many frames of a film are compared at most where Every is 0.
const enough = 3000

// mostEvery is the widest sample: one frame in so many.
const mostEvery = 1000

// mostMoments is how many frames a page can show.
const mostMoments = 24

// Validate says what is wrong with o.
func (o Options) Validate() error {
	switch {
	case o.Every < 0 || o.Every > mostEvery:
		return fault.New(fault.Invalid, "every %d: compare one frame in 1 to %d, or 0 for as many as makes some thousands", o.Every, mostEvery)
	case o.Moments < 0 || o.Moments > mostMoments:
		return fault.New(fault.Invalid, "%d frames: a report shows 0 to %d of the worst", o.Moments, mostMoments)
	case len(o.Models) > quality.MaxModels:
		return fault.New(fault.Invalid, "there are %d VMAF models: %d can be used at a time", len(o.Models), quality.MaxModels)
	}
	return nil
}

// Compare measures the encodes against the reference. It works in the folder
// scratch. Errors that people can do something about are faults.
func (s *Service) Compare(ctx context.Context, reference *Entry, encodes []*Entry, scratch string, o Options) (*report.Data, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if len(encodes) == 0 {
		return nil, fault.New(fault.Invalid, "there is nothing to compare with the reference")
	}
	models, shown, err := metrics(o.Models)
	if err != nil {
		return nil, err
	}
	s.progress(phaseRead, 0)
	comparer := engine.New(s.Tools)
	base, err := openFilm(ctx, s.Tools, comparer, reference)
	if err != nil {
		return nil, err
	}
	films, err := s.open(ctx, comparer, base, encodes)
	if err != nil {
		return nil, err
	}
	if o.Every == 0 {
		o.Every = min(mostEvery, max(1, (len(base.times)+enough-1)/enough))
	}
	release, err := s.reserve(ctx, base, films, o)
	if err != nil {
		return nil, err
	}
	defer release()
	d := &report.Data{Reference: base.facts(), Every: o.Every, Metrics: shown}
	if d.Shots, err = s.shots(ctx, base, o.Starts); err != nil {
		return nil, err
	}
	films, scores, err := s.measureAll(ctx, comparer, base, films, models, o, scratch)
	if err != nil {
		return nil, err
	}
	for i, f := range films {
		d.Encodes = append(d.Encodes, encodeOf(f, d, scores[i]))
	}
	d.Savings = savings(d)
	d.Moments = worst(scores, d.Shots, o.Moments)
	return d, s.fill(ctx, d, base, films, scores, scratch)
}

// reserve waits until there is memory for the pair that needs the most.
func (s *Service) reserve(ctx context.Context, base *film, films []*film, o Options) (release func(), err error) {
	most := int64(0)
	for _, f := range films {
		most = max(most, engine.Memory(base.video, f.video, base.options(o)))
	}
	return s.Tools.Reserve(ctx, most)
}

// open looks at all encodes before the first is measured.
func (s *Service) open(ctx context.Context, comparer *engine.Comparer, base *film, encodes []*Entry) ([]*film, error) {
	var films []*film
	var refused error
	for i, e := range encodes {
		f, err := openFilm(ctx, s.Tools, comparer, e)
		if err == nil {
			err = engine.CheckPair(base.video, f.video)
		}
		switch {
		case err == nil:
			films = append(films, f)
		case !s.refuse(e, err):
			return nil, err
		default:
			refused = err
		}
		s.progress(phaseRead, float64(i+1)/float64(len(encodes)))
	}
	if len(films) == 0 {
		return nil, refused
	}
	return films, nil
}

// refuse leaves an encode out, if that may be done and it is at fault.
func (s *Service) refuse(e *Entry, why error) bool {
	if s.Refused == nil || fault.CodeOf(why) != fault.Invalid {
		return false
	}
	s.Refused(e, why)
	return true
}

// measureAll scores the films, and returns those that could be.
func (s *Service) measureAll(ctx context.Context, comparer *engine.Comparer, base *film, films []*film, models []engine.Model, o Options, scratch string) (measured []*film, scores [][]frameScore, err error) {
	var refused error
	for _, f := range films {
		found, err := s.measure(ctx, comparer, base, f, models, o, scratch)
		switch {
		case err == nil:
			measured, scores = append(measured, f), append(scores, found)
		case !s.refuse(f.Entry, err):
			return nil, nil, err
		default:
			refused = err
		}
	}
	if len(measured) == 0 {
		return nil, nil, refused
	}
	return measured, scores, nil
}

// shots are those that begin at the given times, or those that are found.
func (s *Service) shots(ctx context.Context, base *film, starts []float64) ([]report.Shot, error) {
	if len(starts) == 0 || starts[0] != 0 {
		return base.shots(ctx, s.Tools, func(share float64) { s.progress(phaseShots, share) })
	}
	var shots []report.Shot
	for _, at := range starts {
		if n := len(shots); n > 0 {
			if at <= shots[n-1].Start || at >= base.duration() {
				continue // of a film that is not quite this one
			}
			shots[n-1].End = at
		}
		shots = append(shots, report.Shot{Start: at})
	}
	shots[len(shots)-1].End = base.duration()
	return shots, nil
}

// The phases that OnProgress is told besides the encodes.
const (
	phaseRead     = "read"
	phaseShots    = "shots"
	phasePictures = "pictures"
)

func (s *Service) progress(phase string, share float64) {
	if s.OnProgress != nil {
		s.OnProgress(phase, share)
	}
}

// looks is where people look in a JPEG.
func (s *Service) looks(picture []byte) (*report.Map, error) {
	decoded, err := jpeg.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, fmt.Errorf("a picture of the report: %w", err)
	}
	width, height, values, err := s.Looks(decoded)
	if err != nil {
		return nil, err
	}
	m := &report.Map{Width: width, Height: height, Values: make([]byte, len(values))}
	if top := slices.Max(values); top > 0 {
		for i, v := range values {
			m.Values[i] = byte(255 * max(v, 0) / top)
		}
	}
	return m, nil
}

// encodeOf puts together what is known of one encode.
func encodeOf(f *film, d *report.Data, frames []frameScore) report.Encode {
	e := report.Encode{Video: f.facts(), Group: f.Group, Shots: f.spent(d.Shots)}
	for k := range d.Metrics {
		e.Scores = append(e.Scores, summary(frames, k))
	}
	for _, frame := range frames {
		e.Line = append(e.Line, report.Point{Time: frame.time, Score: frame.scores[0]})
	}
	perShot(e.Shots, d.Shots, frames)
	return e
}

// fill adds pictures and scores to the moments.
func (s *Service) fill(ctx context.Context, d *report.Data, base *film, films []*film, scores [][]frameScore, scratch string) error {
	width, height := stillSize(base)
	for n := range d.Moments {
		m := &d.Moments[n]
		for i, f := range append([]*film{base}, films...) {
			picture, err := f.still(ctx, s.Tools, f.frameAt(m.Time), width, height, scratch)
			if err != nil {
				return err
			}
			m.Pictures = append(m.Pictures, picture)
			if i == 0 && s.Looks != nil {
				if m.Saliency, err = s.looks(picture); err != nil {
					return err
				}
			}
			if i > 0 {
				m.Scores = append(m.Scores, scoreAt(scores[i-1], m.Time, 1/base.rate.Float()))
			}
			s.progress(phasePictures, (float64(n)+float64(i+1)/float64(len(films)+1))/float64(len(d.Moments)))
		}
	}
	return nil
}
