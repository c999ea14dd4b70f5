package compare

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"liuyun/internal/av/quality"
	"liuyun/internal/base/fault"
	engine "liuyun/internal/engine/quality"
	"liuyun/internal/video/compare/report"
)

// metrics are what is measured with these models; the first is the one that the
// worst frames are chosen by. Without a model it is XPSNR, which is nearer to what
// people see than PSNR. Each model gets the name that its scores have in engine.
func metrics(files []string) (models []engine.Model, shown []report.Metric, err error) {
	for i, file := range files {
		name := modelName(file)
		for _, m := range models {
			if m.Name == name {
				return nil, nil, fault.New(fault.Invalid, "%s and %s are the same kind of model: give each kind once", models[i-1].Path, file)
			}
		}
		models = append(models, engine.Model{Name: name, Path: file})
		shown = append(shown, report.Metric{Name: name, Digits: 1})
	}
	if len(models) == 0 {
		shown = append(shown, report.Metric{Name: "XPSNR", Unit: "dB", Digits: 2})
	}
	return models, append(shown, report.Metric{Name: "PSNR", Unit: "dB", Digits: 2}, report.Metric{Name: "SSIM", Digits: 4}), nil
}

// modelName tells the published models apart by the names of their files.
func modelName(file string) string {
	file = strings.ToLower(filepath.Base(file))
	name := "VMAF"
	if strings.Contains(file, "4k") {
		name += " 4K"
	}
	if strings.Contains(file, "neg") {
		name += " NEG"
	}
	return name
}

// measure scores the frames of an encode, in the order of metrics.
func (s *Service) measure(ctx context.Context, comparer *engine.Comparer, base, f *film, models []engine.Model, o Options, scratch string) ([]frameScore, error) {
	options := base.options(o)
	options.Models, options.Scratch = models, scratch
	options.OnProgress = func(done, total int) {
		s.progress("compare "+f.Name, min(1, float64(done)/float64(max(1, total))))
	}
	found, err := comparer.Compare(ctx, base.video, f.video, options)
	if err != nil {
		return nil, err
	}
	frames := make([]frameScore, len(found.Metrics[0].Frames))
	for k, m := range found.Metrics {
		if len(m.Frames) != len(frames) {
			return nil, fmt.Errorf("compare %s: %d scores of %s for %d frames", f.Name, len(m.Frames), m.Name, len(frames))
		}
		for i, score := range m.Frames {
			frames[i].time = score.Seconds
			if k == 0 {
				frames[i].scores = make([]float64, 0, len(found.Metrics))
			}
			frames[i].scores = append(frames[i].scores, score.Value)
		}
	}
	return frames, nil
}

// options are those of a comparison with the reference f but for what it measures.
func (f *film) options(o Options) engine.Options {
	options := engine.Options{Also: []string{engine.PSNR, engine.SSIM}, Every: o.Every, Workers: o.Workers}
	if width, height := f.picture.Shown(); o.Box > 0 && max(width, height) > o.Box {
		options.Width, options.Height = o.Box, o.Box
	}
	return options
}

// savings are the BD-rates of groups with curves against the first of them, for the
// first metric and for VMAF in its other forms.
func savings(d *report.Data) []report.Saving {
	var names []string
	curves := make(map[string][]report.Encode)
	for _, e := range d.Encodes {
		if e.Group == "" {
			continue
		}
		if curves[e.Group] == nil {
			names = append(names, e.Group)
		}
		curves[e.Group] = append(curves[e.Group], e)
	}
	const leastPoints = 4
	var anchor string
	var all []report.Saving
	for _, name := range names {
		if len(curves[name]) < leastPoints {
			continue
		}
		if anchor == "" {
			anchor = name
			continue
		}
		for k, m := range d.Metrics {
			if k > 0 && !strings.HasPrefix(m.Name, "VMAF") {
				continue
			}
			if rate, err := quality.BDRate(points(curves[anchor], k), points(curves[name], k)); err == nil { // else they have no quality in common
				all = append(all, report.Saving{Group: name, Against: anchor, Metric: m.Name, Rate: rate})
			}
		}
	}
	return all
}

func points(encodes []report.Encode, metric int) []quality.Point {
	var list []quality.Point
	for _, e := range encodes {
		if e.Duration > 0 {
			list = append(list, quality.Point{Rate: 8 * float64(e.Bytes) / e.Duration, Quality: e.Scores[metric].Mean})
		}
	}
	return list
}
