package transcode

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"liuyun/internal/av/mp4"
	"liuyun/internal/av/rate"
	"liuyun/internal/engine/ffmpeg"
)

// trial is what is encoded of a title to learn what its rungs will need: the same
// few spans at each of some settings, at the preset of the final encode.
type trial struct {
	codec    string
	settings []setting
	spans    [][2]int // output frames [from, to)
	segments float64  // of the title, a second: each begins with a key frame
	width    int      // at which qualities are compared
	height   int
}

// setting is one size at one constant quality.
type setting struct {
	rung rate.Rung
	crf  float64
}

const (
	// probeShare is what trials may cost of the encode that they are for; at least
	// leastSpans are tried all the same, and mostSpans are enough for any length.
	probeShare            = 0.2
	leastSpans, mostSpans = 4, 24
	// spanSeconds is long enough for the encoder to find its pace after a key frame.
	spanSeconds = 1.0
	// trialEvery: of a span, one frame in so many is compared. It has no divisor in
	// common with the four frames of a pyramid of B pictures.
	trialEvery = 5
	// trialCap lifts the caps of trials so far that they never bind.
	trialCap = 4
	// judgedSide is the largest short side at which pictures are compared: VMAF's
	// model is of a viewer before a screen of 1080 lines.
	judgedSide = 1080
)

// probeSettings are the sizes, as shares of the largest, and the CRFs at each: around
// where the top rung will be, and lower ones for sizes that are seen enlarged.
var probeSettings = map[string][]struct {
	share float64
	crfs  [2]float64
}{
	"h264": {{1, [2]float64{20, 30}}, {2. / 3, [2]float64{22, 32}}, {3. / 8, [2]float64{24, 36}}},
	"hevc": {{1, [2]float64{23, 33}}, {2. / 3, [2]float64{25, 35}}, {3. / 8, [2]float64{27, 39}}},
}

// plannedTrial decides what to try. The layout has to be there.
func (j *job) plannedTrial(codec string, src rate.Source) trial {
	p := j.plan
	top := min(src.Width, src.Height, judgedSide)
	judged := src.Sized(top)
	t := trial{codec: codec, width: judged.Width, height: judged.Height}
	for _, s := range probeSettings[codec] {
		for _, crf := range s.crfs {
			t.settings = append(t.settings, setting{src.Sized(evenSide(float64(top) * s.share)), crf})
		}
	}
	length := p.duration().Seconds()
	t.segments = float64(len(p.layout.Segments)) / max(length, 1)
	fps := p.timeline.FrameRate.Float()
	frames := len(p.timeline.Shows)
	size := min(frames, int(math.Ceil(spanSeconds*fps)))
	count := min(j.affordable(t, size), max(1, frames/size))
	for i := range count {
		t.spans = append(t.spans, p.spanAt(int((float64(i)+0.5)/float64(count)*float64(frames)), size))
	}
	t.spans = slices.Compact(t.spans)
	return t
}

// evenSide rounds to an even number of pixels that encoders take.
func evenSide(v float64) int { return max(int(v/2+0.5)*2, leastPicture) }

// affordable is how many spans of so many frames keep to probeShare.
func (j *job) affordable(t trial, size int) int {
	p := j.plan
	whole := j.unit(0, len(p.timeline.Shows))
	for _, r := range p.renditions {
		if r.Codec == t.codec {
			whole.Encode.Outputs = append(whole.Encode.Outputs, r.Template)
		}
	}
	span := j.unit(0, size)
	span.Encode.Outputs = t.outputs(j)
	judged := float64(t.width*t.height) / 1e6 * float64(len(t.settings)) * math.Ceil(float64(size)/trialEvery)
	each := j.cost(span) + judged*j.gauge.cost()
	return min(max(int(probeShare*j.cost(whole)/each), leastSpans), mostSpans)
}

// spanAt is a span of size frames around a frame, moved so that it crosses no shot
// where the shot is long enough.
func (p *plan) spanAt(frame, size int) [2]int {
	from, to := 0, len(p.timeline.Shows)
	for _, cut := range p.shots {
		if cut <= frame {
			from = cut
		} else {
			to = cut
			break
		}
	}
	if to-from < size {
		from, to = 0, len(p.timeline.Shows)
	}
	first := min(max(frame-size/2, from), to-size)
	return [2]int{first, first + size}
}

// outputs are what is made of each span.
func (t trial) outputs(j *job) []ffmpeg.Output {
	outputs := make([]ffmpeg.Output, len(t.settings))
	for i, s := range t.settings {
		rung := s.rung
		rung.Cap *= trialCap
		out := j.rendition(t.codec, rung).Template
		out.Quality, out.KeyFrames, out.File = s.crf, []int{0}, fmt.Sprintf("%d.mp4", i)
		outputs[i] = out
	}
	return outputs
}

// probe encodes the spans, compares them with the source and returns what the title
// came to at each setting.
func (j *job) probe(ctx context.Context, t trial) ([]rate.Probe, error) {
	found := make([]spanProbe, len(t.spans))
	queue := make([]work, len(t.spans))
	for i, span := range t.spans {
		queue[i] = work{0, func(ctx context.Context) (err error) {
			found[i], err = j.probeSpan(ctx, t, span)
			return err
		}}
	}
	if err := runAll(ctx, j.executor.Slots(), queue); err != nil {
		return nil, err
	}
	fps := j.plan.timeline.FrameRate.Float()
	probes := make([]rate.Probe, len(t.settings))
	for i, s := range t.settings {
		p := rate.Probe{Side: min(s.rung.Width, s.rung.Height), CRF: s.crf}
		for _, f := range found {
			bits := f.Key[i]*t.segments + f.Other[i]*(fps-t.segments)
			p.Bits += bits / float64(len(found))
			p.Peak = max(p.Peak, bits)
			p.Quality += f.Quality[i] / float64(len(found))
		}
		probes[i] = p
	}
	return probes, nil
}

// spanProbe is what one span came to at each setting.
type spanProbe struct {
	Key     []float64 `json:"key"`     // bits of the first picture
	Other   []float64 `json:"other"`   // bits of another, mean
	Quality []float64 `json:"quality"` // mean
}

const spanProbeName = "probe.json"

// probeSpan encodes one span at all settings and measures it, or takes what an
// earlier run found.
func (j *job) probeSpan(ctx context.Context, t trial, span [2]int) (spanProbe, error) {
	unit := j.unit(span[0], span[1])
	unit.Encode.Outputs = t.outputs(j)
	made, err := j.executor.Encode(ctx, unit, func(int) {})
	if err != nil {
		return spanProbe{}, err
	}
	j.accountUnit(made)
	var found spanProbe
	hash := specHash(j.tools.Class, j.fingerprint, []string{made.Hash, j.gauge.name(), fmt.Sprint("probe 2 ", t.width, t.height)})
	folder, _, err := j.work.once(ctx, hash, func(scratch string) error {
		if err := found.weigh(made.Folder, unit.Encode.Outputs); err != nil {
			return err
		}
		if err := j.judge(ctx, t, unit, made.Folder, &found); err != nil {
			return err
		}
		return explainWrite(writeJSON(filepath.Join(scratch, spanProbeName), found), j.work.root)
	})
	if err != nil {
		return spanProbe{}, err
	}
	err = readJSON(filepath.Join(folder, spanProbeName), &found)
	if n := len(t.settings); err == nil && (len(found.Key) != n || len(found.Other) != n || len(found.Quality) != n) {
		err = fmt.Errorf("a probe has %d of %d settings", len(found.Quality), n)
	}
	return found, err
}

// weigh reads how many bits the pictures have.
func (f *spanProbe) weigh(folder string, outputs []ffmpeg.Output) error {
	f.Key, f.Other = make([]float64, len(outputs)), make([]float64, len(outputs))
	for i, out := range outputs {
		track, err := readTrack(filepath.Join(folder, out.File))
		if err != nil {
			return err
		}
		f.Key[i], f.Other[i] = pictureBits(track.Samples)
	}
	return nil
}

// pictureBits is the size of the first picture and the mean of the others.
func pictureBits(samples []mp4.Sample) (key, other float64) {
	key = 8 * float64(samples[0].Size)
	if len(samples) == 1 {
		return key, key
	}
	for _, s := range samples[1:] {
		other += 8 * float64(s.Size)
	}
	return key, other / float64(len(samples)-1)
}

// judge compares the encodes of a span with the source.
func (j *job) judge(ctx context.Context, t trial, unit Unit, folder string, found *spanProbe) error {
	scratch, err := j.work.newScratch()
	if err != nil {
		return explainWrite(err, j.work.root)
	}
	defer os.RemoveAll(scratch)
	s := ffmpeg.Stacked{Unit: unit.Encode, Width: t.width, Height: t.height}
	for _, out := range unit.Encode.Outputs {
		s.Files = append(s.Files, out.File)
	}
	// As of units: an index that is wrong gives other pictures from where it says.
	for _, start := range unit.Starts {
		s.Unit.Seek = start
		judge := stackJudge{gauge: j.gauge, width: t.width, height: t.height, size: t.width * t.height, sums: make([]float64, len(s.Files))}
		var usage ffmpeg.Usage
		usage, err = j.tools.Luma(ctx, ffmpeg.Command{Input: j.input, Dir: folder, Limits: unit.Limits}, s, judge.add)
		j.account(usage)
		switch {
		case ctx.Err() != nil:
			return err
		case err == nil && judge.frame != unit.Encode.Count:
			err = fmt.Errorf("%d of %d pictures of a trial could be compared", judge.frame, unit.Encode.Count)
		case err == nil:
			found.Quality, err = judge.finish()
			return err
		}
	}
	return err
}

// stackJudge measures one in trialEvery of stacked pictures as they come.
type stackJudge struct {
	gauge         gauge
	width, height int
	meter         meter     // made with the first picture: before, nothing runs
	size          int       // of a picture
	sums          []float64 // of qualities, by encode
	count         int       // that were measured
	frame         int
	before        []byte // the source's last frame
	held          []byte // stacked pictures that wait for the source's next frame
	past          []byte // the source's frame before those
}

func (s *stackJudge) add(stack []byte) error {
	source := stack[:s.size]
	if s.meter == nil {
		var err error
		if s.meter, err = s.gauge.meter(s.width, s.height); err != nil {
			return err
		}
	}
	if s.held != nil {
		if err := s.measure(source); err != nil {
			return err
		}
	}
	// The middle of each group, so that short spans have one too.
	if s.frame%trialEvery == trialEvery/2 {
		s.held, s.past = slices.Clone(stack), slices.Clone(s.before)
	}
	s.before = append(s.before[:0], source...)
	s.frame++
	return nil
}

func (s *stackJudge) measure(after []byte) error {
	source := s.held[:s.size]
	for i := range s.sums {
		q, err := s.meter.measure(source, s.held[(i+1)*s.size:(i+2)*s.size], s.past, after)
		if err != nil {
			return err
		}
		s.sums[i] += q
	}
	s.count++
	s.held = nil
	return nil
}

// finish returns the mean quality of each encode.
func (s *stackJudge) finish() ([]float64, error) {
	if s.held != nil {
		if err := s.measure(nil); err != nil {
			return nil, err
		}
	}
	if s.count == 0 {
		return nil, fmt.Errorf("of %d pictures none could be compared", s.frame)
	}
	for i := range s.sums {
		s.sums[i] /= float64(s.count)
	}
	return s.sums, nil
}

// report is what was tried, for people.
func (t trial) report(j *job) TrialReport {
	r := TrialReport{Codec: t.codec, Spans: len(t.spans)}
	if len(t.spans) > 0 {
		frames := t.spans[0][1] - t.spans[0][0]
		r.Length = math.Round(100*float64(frames)/j.plan.timeline.FrameRate.Float()) / 100
	}
	for _, s := range t.settings {
		if side := min(s.rung.Width, s.rung.Height); !slices.Contains(r.Sizes, side) {
			r.Sizes = append(r.Sizes, side)
		}
	}
	return r
}
