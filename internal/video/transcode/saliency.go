package transcode

import (
	"context"
	"slices"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/analyse"
)

// Saliency says how far bits follow where people are likely to look.
type Saliency string

// The settings of Saliency.
const (
	SaliencyOff    Saliency = "off"
	SaliencyAuto   Saliency = "auto"   // as far as plain quality hardly notices
	SaliencyStrong Saliency = "strong" // as far as nothing visible is lost elsewhere
)

// ParseSaliency reads one of the settings; "" is off.
func ParseSaliency(text string) (Saliency, error) {
	switch s := Saliency(text); s {
	case "":
		return SaliencyOff, nil
	case SaliencyOff, SaliencyAuto, SaliencyStrong:
		return s, nil
	}
	return "", fault.New(fault.Invalid, "saliency %q: choose off, auto or strong", text)
}

// on reports whether it has to be found where people look.
func (s Saliency) on() bool { return s.strength() > 0 }

func (s Saliency) strength() analyse.Strength {
	switch s {
	case SaliencyAuto:
		return analyse.Auto
	case SaliencyStrong:
		return analyse.Strong
	}
	return 0
}

// proveRegions finds out which of the encoders follow regions, and says which do
// not.
func (j *job) proveRegions(ctx context.Context) error {
	j.plan.follows = map[string]bool{}
	if !j.options.Saliency.on() {
		return nil
	}
	for _, codec := range j.options.Codecs {
		follows, err := j.tools.FollowsRegions(ctx, codec, j.options.Preset)
		if err != nil {
			return err
		}
		j.plan.follows[codec] = follows
		if !follows {
			j.warn("saliency", "%s at preset %s spreads bits without regard to where people look: %s cannot be told",
				codec, j.options.Preset, j.tools.EncoderOf(codec))
		}
	}
	return nil
}

// follow gives the outputs of a unit of one codec their regions.
func (j *job) follow(u *Unit, codec string) error {
	if !j.plan.follows[codec] {
		return nil
	}
	from := int(u.Encode.First)
	spans, err := j.spans(from, from+u.Encode.Count, len(u.Encode.Outputs))
	if err != nil {
		return err
	}
	for i := range u.Encode.Outputs {
		out := &u.Encode.Outputs[i]
		out.Regions = j.plan.regions(*out, from, spans)
	}
	return nil
}

// spans are the regions of output frames [from, to), for each of so many outputs.
func (j *job) spans(from, to, outputs int) ([]analyse.Span, error) {
	shows := j.plan.timeline.Shows[from:to]
	first, end := int(shows[0]), int(shows[len(shows)-1])+1
	const context = 250 // source frames whose looks say something of those beside them
	looks, err := j.analysis.looksOf(max(0, first-context), end+context)
	if err != nil {
		return nil, err
	}
	// What comes from a screen is read in all places.
	looks = slices.DeleteFunc(looks, func(l analyse.TimedLook) bool { return j.analysis.fromScreen(l.Frame) })
	if len(looks) == 0 {
		return nil, nil
	}
	return j.options.Saliency.strength().Spans(looks, j.analysis.Shots, first, end, ffmpeg.MaxRegions/outputs), nil
}

// regions brings spans into the pixels and frames of an output of output frames
// [from, to).
func (p *plan) regions(out ffmpeg.Output, from int, spans []analyse.Span) []ffmpeg.RegionSpan {
	var list []ffmpeg.RegionSpan
	for i, s := range spans {
		at := 0
		if i > 0 {
			at = (p.slotShowing(s.Frame) - from + out.Step - 1) / out.Step
		}
		span := ffmpeg.RegionSpan{From: at}
		for _, r := range s.Regions {
			x, y, width, height := r.Pixels(out.Width, out.Height)
			if width > 0 && height > 0 {
				span.Regions = append(span.Regions, ffmpeg.Region{X: x, Y: y, Width: width, Height: height, QP: r.QP})
			}
		}
		if n := len(list); n > 0 && list[n-1].From >= at {
			list[n-1].Regions = span.Regions // it lasts less than a frame
			continue
		}
		list = append(list, span)
	}
	for _, s := range list {
		if len(s.Regions) > 0 {
			return list
		}
	}
	return nil
}
