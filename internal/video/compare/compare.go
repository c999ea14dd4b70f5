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
	// Looks says where people are likely to look in a picture: values of any scale, row
	// by row; nil says nothing.
	Looks func(picture image.Image) (width, height int, values []float32, err error)
}

// Options are what a user may choose.
type Options struct {
	Every   int // compare one frame in so many; at least 1
	Moments int // worst frames to show; 0 shows none
	// Models are files of VMAF models; the first decides which frames are the worst.
	// Without any that is XPSNR.
	Models []string
}

// mostMoments is how many frames a page can show.
const mostMoments = 24

// Validate says what is wrong with o.
func (o Options) Validate() error {
	switch {
	case o.Every < 1 || o.Every > 1000:
		return fault.New(fault.Invalid, "every %d: compare one frame in 1 to 1000", o.Every)
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
	s.progress("read", 0)
	base, err := openFilm(ctx, s.Tools, reference)
	if err != nil {
		return nil, err
	}
	comparer := engine.New(s.Tools)
	films := make([]*film, len(encodes))
	for i, e := range encodes { // all are looked at before the first is measured
		if films[i], err = openFilm(ctx, s.Tools, e); err != nil {
			return nil, err
		}
		if err := comparer.CheckPair(ctx, base.input(), films[i].input()); err != nil {
			return nil, err
		}
		s.progress("read", float64(i+1)/float64(len(encodes)))
	}
	d := &report.Data{Reference: base.facts(), Every: o.Every, Metrics: shown}
	if d.Shots, err = base.shots(ctx, s.Tools, func(share float64) { s.progress("shots", share) }); err != nil {
		return nil, err
	}
	scores := make([][]frameScore, len(films))
	for i, f := range films {
		if scores[i], err = s.measure(ctx, comparer, base, f, models, o.Every, scratch); err != nil {
			return nil, err
		}
		d.Encodes = append(d.Encodes, encodeOf(f, d, scores[i]))
	}
	d.Savings = savings(d)
	d.Moments = worst(scores, d.Shots, o.Moments)
	return d, s.fill(ctx, d, base, films, scores, scratch)
}

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
			s.progress("pictures", (float64(n)+float64(i+1)/float64(len(films)+1))/float64(len(d.Moments)))
		}
	}
	return nil
}
