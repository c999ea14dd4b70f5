package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"liuyun/internal/av/quality"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/analyse"
)

// What is encoded of each photograph: a slow pan or zoom over it.
const (
	pannedWidth   = 640
	pannedHeight  = 360
	pannedPixels  = pannedWidth * pannedHeight
	pannedFrames  = 50
	weightSide    = 8 // pixels of a block that has one weight
	weightColumns = pannedWidth / weightSide
	weightRows    = pannedHeight / weightSide
	negEvery      = 5 // pictures to one of which NEG is measured
)

// saliencyQualities are the CRFs of a curve, from good to bad.
var saliencyQualities = [...]float64{19, 23, 27, 31}

// panned is a film of a photograph, and where people looked in it.
type panned struct {
	name    string
	path    string      // YUV4MPEG
	luma    [][]byte    // of each frame
	weights [][]float64 // of each frame, by block; they sum to 1
	spans   map[string][]analyse.Span
	area    float64 // the least share of the picture that four fifths of the looks are in
	cc, nss float64 // of our map against theirs
}

// measureSaliency compares what x264 needs for the same quality as people see it,
// with regions and without. Errors are weighted by where people looked, never by
// our own map. The strengths were chosen with every other photograph; the bars are
// for the rest.
func measureSaliency(strength string) func(context.Context, *bench) ([]result, error) {
	return func(ctx context.Context, b *bench) ([]result, error) {
		set, err := b.newSaliencySet(ctx)
		if err != nil {
			return nil, err
		}
		if b.flags.quick {
			set.pictures = set.pictures[:min(4, len(set.pictures))]
		}
		all := make([]gain, len(set.pictures))
		problems := make([]error, len(all))
		slots := make(chan struct{}, len(b.cpus))
		var films sync.WaitGroup
		for i, path := range set.pictures {
			slots <- struct{}{}
			films.Go(func() {
				defer func() { <-slots }()
				all[i], problems[i] = set.film(ctx, path, i, strength)
			})
		}
		films.Wait()
		if err := errors.Join(problems...); err != nil {
			return nil, err
		}
		return saliencyResults(all, strength), nil
	}
}

// film makes one film of a photograph and measures it.
func (s *saliencySet) film(ctx context.Context, path string, number int, strength string) (gain, error) {
	p, err := s.pan(ctx, path, number)
	if err != nil {
		return gain{}, err
	}
	defer os.Remove(p.path)
	g, err := s.gain(ctx, p, strength)
	if err != nil {
		return g, fmt.Errorf("%s: %w", p.name, err)
	}
	g.tuned = number%2 == 0
	s.bench.say("  %-24.24s area %4.1f %%  CC %.2f  looked at %+6.1f %%  plain PSNR %+5.1f %%  plain NEG %+5.1f %%  same CRF: %+5.1f %% bits, %+.2f dB looked at",
		p.name, 100*p.area, p.cc, g.looked, g.psnr, g.neg, g.bits, g.decibels)
	return g, nil
}

// gain is what regions change in one film, in per cent of the bits.
type gain struct {
	looked, psnr, neg float64 // at the same quality: as people look, of all the picture
	bits, decibels    float64 // at the same CRF: bits, and dB as people look
	area, cc, nss     float64
	tuned             bool
}

func saliencyResults(all []gain, strength string) []result {
	held := func(g gain) bool { return !g.tuned }
	small := func(g gain) bool { return !g.tuned && g.area <= 0.10 }
	tuned := func(g gain) bool { return g.tuned }
	looked := func(g gain) float64 { return g.looked }
	var list []result
	add := func(peer, clip string, bar float64, which func(gain) bool, what func(gain) float64) {
		sum, n := 0.0, 0.0
		var cc, nss, bits, decibels float64
		for _, g := range all {
			if which(g) {
				sum += what(g)
				cc, nss, bits, decibels = cc+g.cc, nss+g.nss, bits+g.bits, decibels+g.decibels
				n++
			}
		}
		if n == 0 {
			return
		}
		if strength != "auto" {
			bar = 0
		}
		list = append(list, result{
			Peer: peer, Clip: clip, Preset: "medium", Unit: "bits", Ours: 1 + sum/n/100, Theirs: 1, Bar: bar, Bound: atMost,
			Notes: fmt.Sprintf("%g films; %s; map against looks: CC %.3f, NSS %.2f; at the same CRF %+.1f %% bits, %+.2f dB as looked at", n, strength, cc/n, nss/n, bits/n, decibels/n),
		})
	}
	const same = "x264 without regions, same PSNR weighted by looks"
	add(same, "MIT1003, held out", 0.85, held, looked)
	add(same, "MIT1003, held out, looks in ≤ 10 %", 0.80, small, looked)
	add("x264 without regions, same VMAF NEG of all", "MIT1003, held out", 1.05, held, func(g gain) float64 { return g.neg })
	add("x264 without regions, same PSNR of all", "MIT1003, held out", 0, held, func(g gain) float64 { return g.psnr })
	add(same, "MIT1003, tuned with", 0, tuned, looked)
	return list
}

// saliencySet is what all films are measured with.
type saliencySet struct {
	bench    *bench
	tools    *ffmpeg.Tools
	neg      *quality.Model
	pictures []string
}

func (b *bench) newSaliencySet(ctx context.Context) (*saliencySet, error) {
	set := &saliencySet{bench: b}
	photographs, err := b.media("saliency/mit1003/stimuli")
	if err != nil {
		return nil, err
	}
	model, err := b.media("../vmaf/vmaf_v0.6.1neg.json")
	if err != nil {
		return nil, err
	}
	if set.pictures, err = filepath.Glob(filepath.Join(photographs, "*.jpg")); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(model)
	if err != nil {
		return nil, err
	}
	slices.Sort(set.pictures)
	if set.neg, err = quality.ParseModel(data); err != nil {
		return nil, err
	}
	config := ffmpeg.DefaultConfig()
	config.FFmpegPath, config.FFprobePath = b.ffmpeg, b.ffprobe
	set.tools, err = ffmpeg.Find(ctx, config)
	return set, err
}

// gain measures one film.
func (s *saliencySet) gain(ctx context.Context, p *panned, strength string) (gain, error) {
	var curves [2][]saliencyPoint
	for i, spans := range [2][]analyse.Span{nil, p.spans[strength]} {
		for _, q := range saliencyQualities {
			point, err := s.measure(ctx, p, q, spans)
			if err != nil {
				return gain{}, err
			}
			curves[i] = append(curves[i], point)
		}
	}
	g := gain{area: p.area, cc: p.cc, nss: p.nss}
	for _, one := range []struct {
		to   *float64
		what func(saliencyPoint) float64
	}{
		{&g.looked, func(p saliencyPoint) float64 { return p.looked }},
		{&g.psnr, func(p saliencyPoint) float64 { return p.psnr }},
		{&g.neg, func(p saliencyPoint) float64 { return p.neg }},
	} {
		var points [2][]quality.Point
		for i, c := range curves {
			for _, p := range c {
				points[i] = append(points[i], quality.Point{Rate: p.bits, Quality: one.what(p)})
			}
		}
		var err error
		if *one.to, err = quality.BDRate(points[0], points[1]); err != nil {
			return g, err
		}
	}
	n := float64(len(saliencyQualities))
	for i, plain := range curves[0] {
		g.bits += 100 * (curves[1][i].bits/plain.bits - 1) / n
		g.decibels += (curves[1][i].looked - plain.looked) / n
	}
	return g, nil
}

// saliencyPoint is one encode.
type saliencyPoint struct{ bits, looked, psnr, neg float64 }

// measure encodes a film at one quality and compares it with itself.
func (s *saliencySet) measure(ctx context.Context, p *panned, crf float64, spans []analyse.Span) (saliencyPoint, error) {
	folder, err := s.bench.folder()
	if err != nil {
		return saliencyPoint{}, err
	}
	defer os.RemoveAll(folder)
	source, err := os.Open(p.path)
	if err != nil {
		return saliencyPoint{}, err
	}
	defer source.Close()
	out := ffmpeg.Output{
		File: "out.mp4", Codec: "h264", Width: pannedWidth, Height: pannedHeight, Step: 1, KeyFrames: []int{0}, Preset: "medium",
		Quality: crf, MaxRate: 50_000_000, Buffer: 50_000_000, Level: "5", References: 16, Colour: ffmpeg.BT709,
	}
	for _, span := range spans {
		one := ffmpeg.RegionSpan{From: span.Frame}
		for _, r := range span.Regions {
			if x, y, w, h := r.Pixels(out.Width, out.Height); w > 0 && h > 0 {
				one.Regions = append(one.Regions, ffmpeg.Region{X: x, Y: y, Width: w, Height: h, QP: r.QP})
			}
		}
		out.Regions = append(out.Regions, one)
	}
	unit := ffmpeg.Unit{
		TimeBase: timebase.R(1, 25), Picture: pannedPicture(), To: pannedFrames, FrameRate: timebase.R(25, 1), Count: pannedFrames, Hold: true,
		Outputs: []ffmpeg.Output{out},
	}
	if _, err := s.tools.Encode(ctx, ffmpeg.Command{Input: ffmpeg.Input{File: source}, Dir: folder}, unit); err != nil {
		return saliencyPoint{}, err
	}
	path := filepath.Join(folder, out.File)
	bytes, _, err := s.bench.codedSize(ctx, path)
	if err != nil {
		return saliencyPoint{}, err
	}
	point, err := s.compare(ctx, p, path)
	point.bits = 8 * float64(bytes)
	return point, err
}

func pannedPicture() ffmpeg.Picture {
	return ffmpeg.Picture{Width: pannedWidth, Height: pannedHeight, Aspect: timebase.R(1, 1), Colour: ffmpeg.BT709}
}

// compare decodes an encode and measures it.
func (s *saliencySet) compare(ctx context.Context, p *panned, path string) (saliencyPoint, error) {
	file, err := os.Open(path)
	if err != nil {
		return saliencyPoint{}, err
	}
	defer file.Close()
	meter, err := quality.NewMeter(pannedWidth, pannedHeight, 8, s.neg)
	if err != nil {
		return saliencyPoint{}, err
	}
	plane := func(luma []byte) quality.Plane {
		return quality.Plane{Width: pannedWidth, Height: pannedHeight, Stride: pannedWidth, Depth: 8, Pix: luma}
	}
	var plain, looked, neg, measured float64
	n := 0
	_, err = s.tools.DecodeSmall(ctx, ffmpeg.Command{Input: ffmpeg.Input{File: file}}, pannedWidth, pannedHeight, func(luma []byte) error {
		if n >= len(p.luma) {
			return fmt.Errorf("more than %d pictures", n)
		}
		a, b := weightedErrors(p.luma[n], luma, p.weights[n])
		plain, looked = plain+a, looked+b
		if n%negEvery == 1 {
			before := plane(p.luma[n-1])
			scores, err := meter.Frame(plane(p.luma[n]), plane(luma), &before)
			if err != nil {
				return err
			}
			neg += scores.VMAF[0]
			measured++
		}
		n++
		return nil
	})
	if err == nil && n != len(p.luma) {
		err = fmt.Errorf("%d pictures of %d", n, len(p.luma))
	}
	decibels := func(sum float64) float64 { return 10 * math.Log10(255*255*float64(n)/sum) }
	return saliencyPoint{looked: decibels(looked), psnr: decibels(plain), neg: neg / measured}, err
}

// weightedErrors are the mean squared error of a picture, and that by weight.
func weightedErrors(a, b []byte, weights []float64) (plain, weighted float64) {
	for block, weight := range weights {
		x, y := block%weightColumns*weightSide, block/weightColumns*weightSide
		sum := 0
		for row := range weightSide {
			at := (y+row)*pannedWidth + x
			for i, v := range a[at : at+weightSide] {
				d := int(v) - int(b[at+i])
				sum += d * d
			}
		}
		plain += float64(sum) / pannedPixels
		weighted += weight * float64(sum) / (weightSide * weightSide)
	}
	return plain, weighted
}

// look runs the analysis over a film as the program does, and lays out regions.
func (s *saliencySet) look(ctx context.Context, p *panned) error {
	source, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer source.Close()
	finder, err := analyse.New(analyse.Config{Aspect: float64(pannedWidth) / pannedHeight, Pixels: pannedPixels, Looks: true})
	if err != nil {
		return err
	}
	var looks []analyse.TimedLook
	pass := ffmpeg.Analysis{
		TimeBase: timebase.R(1, 25), Picture: pannedPicture(), Width: analyse.Width, Height: analyse.Height, InColour: true, Threads: 1,
	}
	folder, err := s.bench.folder()
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	_, err = s.tools.Analyse(ctx, ffmpeg.Command{Input: ffmpeg.Input{File: source}, Dir: folder}, pass, func(pts int64, picture []byte) error {
		_, look, err := finder.Add(float64(pts)/25, picture)
		if look != nil {
			looks = append(looks, analyse.TimedLook{Frame: int(pts), Look: *look})
		}
		return err
	})
	if err != nil {
		return err
	}
	const budget = ffmpeg.MaxRegions / 4 // as with four rungs
	p.spans = map[string][]analyse.Span{
		"auto":   analyse.Auto.Spans(looks, nil, 0, pannedFrames, budget),
		"strong": analyse.Strong.Spans(looks, nil, 0, pannedFrames, budget),
	}
	p.compareMaps(looks)
	return nil
}

// compareMaps measures our maps against the looks at the same times.
func (p *panned) compareMaps(looks []analyse.TimedLook) {
	for _, l := range looks {
		theirs := p.weights[l.Frame]
		ours := make([]float64, len(theirs))
		for i := range ours {
			x := (i%weightColumns*2 + 1) * analyse.Columns / (2 * weightColumns)
			y := (i/weightColumns*2 + 1) * analyse.Rows / (2 * weightRows)
			ours[i] = float64(l.Map[y*analyse.Columns+x])
		}
		cc, nss := agreement(ours, theirs)
		p.cc, p.nss = p.cc+cc/float64(len(looks)), p.nss+nss/float64(len(looks))
	}
	for _, w := range p.weights {
		p.area += areaOf(w, 0.8) / float64(len(p.weights))
	}
}

// agreement is the correlation of a map with a density of looks, and the mean of
// the standardised map where people look (Bylinskii et al.: What do different
// evaluation metrics tell us about saliency models?, 2016).
func agreement(ours, looks []float64) (cc, nss float64) {
	mean := func(list []float64) (m, deviation float64) {
		for _, v := range list {
			m += v / float64(len(list))
		}
		for _, v := range list {
			deviation += (v - m) * (v - m) / float64(len(list))
		}
		return m, math.Sqrt(deviation)
	}
	a, da := mean(ours)
	c, dc := mean(looks)
	total := c * float64(len(looks))
	for i, v := range ours {
		cc += (v - a) * (looks[i] - c) / (da * dc * float64(len(ours)))
		nss += (v - a) / da * looks[i] / total
	}
	return cc, nss
}

// areaOf is the least share of the picture that has a share of the looks.
func areaOf(weights []float64, share float64) float64 {
	sorted := slices.Clone(weights)
	slices.SortFunc(sorted, func(a, b float64) int { return cmp.Compare(b, a) })
	sum := 0.0
	for i, v := range sorted {
		if sum += v; sum >= share {
			return float64(i+1) / float64(len(sorted))
		}
	}
	return 1
}

// writeY4M writes frames of 4:2:0 as YUV4MPEG.
func writeY4M(out io.Writer, frames [][]byte) error {
	if _, err := fmt.Fprintf(out, "YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C420jpeg\n", pannedWidth, pannedHeight); err != nil {
		return err
	}
	for _, frame := range frames {
		if _, err := io.WriteString(out, "FRAME\n"); err != nil {
			return err
		}
		if _, err := out.Write(frame); err != nil {
			return err
		}
	}
	return nil
}
