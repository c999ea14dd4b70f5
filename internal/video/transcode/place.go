package transcode

import (
	"context"
	"errors"
	"math"
	"slices"

	"liuyun/internal/av/rate"
	"liuyun/internal/base/fault"
)

// placedCodecs have rungs by the title's own hull. AV1 keeps the standard sizes: its
// encoder is too slow to try much, and needs few bits at any size.
var placedCodecs = []string{"h264", "hevc"}

// ownLadder reports whether rungs may be the title's own.
func (o Options) ownLadder() bool { return o.Ladder == rate.Auto || o.Ladder == rate.Title }

// chooseGauge decides what rungs are placed by, if they are: an automatic ladder is
// the title's own where there is a model, and one that is asked for without a model is
// placed by an estimate.
func (j *job) chooseGauge() error {
	model := j.options.Model
	if !j.options.ownLadder() || len(model) == 0 && j.options.Ladder != rate.Title {
		return nil
	}
	g, err := newVMAFGauge(model)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the VMAF model cannot be used: %v", err)
	}
	j.gauge = g
	j.spec = append(j.spec, j.gauge.name())
	return nil
}

// placeRungs replaces the standard rungs by those that the title itself asks for. The
// layout has to be there; it may be another afterwards.
func (j *job) placeRungs(ctx context.Context) error {
	p := j.plan
	width, height := p.picture.Shown()
	src := rate.Source{Width: width, Height: height, FrameRate: p.timeline.FrameRate}
	if !j.placesRungs(src) {
		return nil
	}
	var all []*rendition
	for _, codec := range j.options.Codecs {
		standard := slices.Clone(p.renditions)
		standard = slices.DeleteFunc(standard, func(r *rendition) bool { return r.Codec != codec })
		if slices.Contains(placedCodecs, codec) {
			placed, err := j.placeCodec(ctx, codec, src, standard)
			if err != nil {
				return err
			}
			standard = placed
		}
		all = append(all, standard...)
	}
	p.renditions = all
	return nil
}

// placesRungs reports whether rungs are placed for the source. VMAF knows no HDR, above
// 60 pictures a second smaller rungs have other pictures than the source, and of a span
// of one or two pictures there is none to compare. A quality or a rate that is asked for
// says itself how good the largest rung is.
func (j *job) placesRungs(src rate.Source) bool {
	slow := src.FrameRate.Float() <= highestPlacedRate
	large := min(src.Width, src.Height) >= leastPlaced
	span := min(float64(len(j.plan.timeline.Shows)), math.Ceil(spanSeconds*src.FrameRate.Float()))
	goal := j.options.Target != 0 || j.options.Bits != 0
	return j.gauge != nil && slow && large && span > trialEvery/2 && !goal && !j.plan.picture.Colour.HDR()
}

const (
	highestPlacedRate = 60.5
	leastPlaced       = 120 // short side: below, there is nothing to choose
)

// placeCodec are the renditions of one codec: what the hull says up to judgedSide, and
// the standard sizes above.
func (j *job) placeCodec(ctx context.Context, codec string, src rate.Source, standard []*rendition) ([]*rendition, error) {
	t := j.plannedTrial(codec, src)
	probes, err := j.probe(ctx, t)
	if err != nil {
		return nil, err
	}
	placement := rate.DefaultPlacement()
	placement.Share = rateShare[codec]
	placement.Floor *= placement.Share
	placement.Margin += j.gauge.slack()
	rungs, err := rate.Place(src, probes, placement)
	for _, p := range probes {
		j.log.Debug("tried", "codec", codec, "side", p.Side, "crf", p.CRF, "bits", int(p.Bits), "peak", int(p.Peak), "quality", p.Quality)
	}
	if errors.Is(err, rate.ErrFewProbes) {
		j.warn("standard_ladder", "this title needs more bits than any cap allows; its %s rungs are the standard ones", codec)
		return standard, nil
	}
	if err != nil {
		return nil, err
	}
	j.plan.tried = append(j.plan.tried, t.report(j))
	list := slices.DeleteFunc(standard, func(r *rendition) bool { return min(r.Rung.Width, r.Rung.Height) <= judgedSide })
	for _, rung := range rungs {
		list = append(list, j.placedRendition(codec, rung))
	}
	return list, nil
}

// placedRendition is a rung of the title's own ladder. Its cap is the codec's own.
func (j *job) placedRendition(codec string, placed rate.PlacedRung) *rendition {
	rung := placed.Rung
	rung.Cap = int64(float64(placed.Cap) / rateShare[codec])
	r := j.rendition(codec, rung)
	r.Template.Quality = placed.CRF
	r.Forecast = &Forecast{Mean: int64(placed.Bits), Quality: math.Round(placed.Quality*10) / 10}
	return r
}
