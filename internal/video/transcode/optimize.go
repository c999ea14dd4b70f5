package transcode

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"liuyun/internal/av/quality"
	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/analyse"
	"liuyun/internal/video/transcode/search"
)

// Optimize says how much is encoded to find out how good each shot has to be.
type Optimize string

// The settings of Optimize.
const (
	OptimizeOff      Optimize = "off"      // one constant quality for all shots
	OptimizeQuick    Optimize = "quick"    // about 1.8 times the CPU of the largest rung
	OptimizeThorough Optimize = "thorough" // about 3 times
)

// effort is what the search may encode.
func (o Optimize) effort() search.Effort {
	if o == OptimizeThorough {
		return search.Thorough
	}
	return search.Quick
}

// Spacing of what is measured and of what has a CRF of its own, in pictures.
const (
	// One picture in measureEvery is measured, up to measureClosely pictures of a
	// shot, and then one in measureFar.
	measureEvery   = 12
	measureClosely = 6
	measureFar     = 48
	leastShot      = 12
	// mostSampled is how many bytes of a unit's pictures may lie on the disk to be
	// measured.
	mostSampled = 1 << 30
)

// leastQuality is the highest CRF that all encoders know.
const leastQuality = 51

// treatment is the constant quality of each shot in a unit.
type treatment struct {
	shots []int // first frames in the timeline, from the unit's first on
	crf   []float64
	base  float64 // the constant quality of the rendition that they were found for
}

// apply gives an output of the unit these qualities, moved by as much as its own
// constant quality is from that of the rendition that they were found for: rungs of a
// title's own ladder have one each.
func (t *treatment) apply(out *ffmpeg.Output, count int) {
	if t == nil {
		return
	}
	shift := out.Quality - t.base
	out.Quality = min(t.crf[0]+shift, leastQuality)
	for i, crf := range t.crf {
		crf = min(crf+shift, leastQuality)
		to := count
		if i+1 < len(t.shots) {
			to = t.shots[i+1] - t.shots[0]
		}
		zone := ffmpeg.Zone{From: framesAt(t.shots[i]-t.shots[0], out.Step), To: framesAt(to, out.Step), Quality: crf}
		last := len(out.Zones) - 1
		switch {
		case crf == out.Quality && last < 0:
		case last >= 0 && out.Zones[last].Quality == crf && out.Zones[last].To == zone.From:
			out.Zones[last].To = zone.To
		case crf != out.Quality:
			out.Zones = append(out.Zones, zone)
		}
	}
}

// shotsIn are the first frames of what has a CRF of its own in the unit [from, to):
// shots of some length.
func (p *plan) shotsIn(from, to int, step int) []int {
	shots := []int{from}
	least := leastShot * step
	for _, at := range p.shots {
		if at-shots[len(shots)-1] >= least && to-at >= least {
			shots = append(shots, at)
		}
	}
	return shots
}

// optimize chooses the quality of every shot of each codec's largest rung, and gives
// it to the other rungs, too.
func (j *job) optimize(ctx context.Context) error {
	if !j.options.optimizes() {
		return nil
	}
	for _, codec := range j.options.Codecs {
		if codec == "av1" {
			j.warn("not_optimized", "av1 is made at one constant quality: its encoder takes none for each shot")
			continue
		}
		members := j.plan.renditionsOf(codec)
		top := members[0]
		if min(top.Rung.Width, top.Rung.Height) < quality.MinSide {
			j.warn("not_optimized", "%s is too small to be measured and is made at one constant quality", top.ID)
			continue
		}
		s := &shotSearch{job: j, rendition: top, smallest: len(members) == 1}
		if err := s.run(ctx); err != nil {
			return err
		}
		for _, r := range members {
			r.treatments = s.treatments
		}
		top.made, top.search = s.chosen, s.report()
	}
	return nil
}

func (p *plan) renditionsOf(codec string) []*rendition {
	var list []*rendition
	for _, r := range p.renditions {
		if r.Codec == codec {
			list = append(list, r)
		}
	}
	return list
}

// shotSearch runs a search.Search on units of one rendition.
type shotSearch struct {
	*job
	rendition *rendition
	smallest  bool // its pictures are compared with the source as the smallest rung's

	spans [][2]int
	parts [][]part     // of each unit
	tries [][]*attempt // of each unit

	treatments map[int]*treatment // of the unit that begins at a frame
	chosen     map[int]*attempt
}

// part is a shot, or what it is before a rise (see analyse.Rise), or from there on.
type part struct {
	first int // frame in the timeline
	// lean is by how much CRF the part leans from the others before it is encoded, by
	// the rise: above 0 from it on.
	lean float64
}

// rest reports whether the part is the same shot as the one before it.
func (p part) rest() bool { return p.lean > 0 }

// attempt is one encode of a unit.
type attempt struct {
	task
	treatment treatment
	expected  []search.Probe
	came      search.Made
}

func (s *shotSearch) run(ctx context.Context) error {
	s.spans = s.plan.layout.UnitRanges()
	s.tries = make([][]*attempt, len(s.spans))
	units := make([][]search.Shot, len(s.spans))
	for i, span := range s.spans {
		parts := s.partsIn(span[0], span[1])
		s.parts = append(s.parts, parts)
		for k, part := range parts {
			from, to := s.pictures(i, k)
			units[i] = append(units[i], search.Shot{Pictures: to - from, Texture: s.texture(i, k), Lean: part.lean})
		}
	}
	goal := search.Goal{Quality: s.options.Target, Bits: float64(s.options.Bits) * s.plan.duration().Seconds()}
	decide := search.New(units, search.Settings{Base: s.rendition.Template.Quality, Goal: goal, Effort: s.options.Optimize.effort()})
	for asked := decide.Next(); len(asked) > 0; asked = decide.Next() {
		if err := s.try(ctx, asked); err != nil {
			return err
		}
		for _, e := range asked {
			tries := s.tries[e.Unit]
			decide.Add(e, tries[len(tries)-1].came)
		}
	}
	s.treatments, s.chosen = map[int]*treatment{}, map[int]*attempt{}
	for i, k := range decide.Best() {
		t := s.tries[i][k]
		s.treatments[s.spans[i][0]], s.chosen[s.spans[i][0]] = &t.treatment, t
		for n, other := range s.tries[i] {
			if n != k {
				s.tried(other.result)
			}
		}
	}
	return nil
}

// riseLean is how far the parts of a shot lean from its middle at most. What is calm is
// seen for longer and shown again by what comes after it, and change is dear: of
// shots with rises the best difference is twice the logarithm of the rise.
const riseLean = 2.5 // CRF

// partsIn are the shots in the unit [from, to), and their rises.
func (s *shotSearch) partsIn(from, to int) []part {
	step := s.rendition.Rung.Step
	var parts []part
	shots := s.plan.shotsIn(from, to, step)
	for k, first := range shots {
		end := to
		if k+1 < len(shots) {
			end = shots[k+1]
		}
		at, factor := s.rise(first, end)
		if at-first < leastShot*step || end-at < leastShot*step {
			parts = append(parts, part{first: first})
			continue
		}
		lean := min(math.Log(factor), riseLean)
		parts = append(parts, part{first, -lean}, part{at, lean})
	}
	return parts
}

// rise is the frame of the timeline from which on far more changes in [from, to), and
// by what factor; from and 1 where there is none.
func (s *shotSearch) rise(from, to int) (at int, factor float64) {
	shows := s.plan.timeline.Shows[from:to]
	changes := make([]float32, len(shows))
	for i := 1; i < len(shows); i++ {
		for n := shows[i-1] + 1; n <= shows[i]; n++ { // none where a picture is shown once more
			changes[i] += s.analysis.Changes[n]
		}
	}
	found, factor := analyse.Rise(changes)
	return from + found, factor
}

// pictures are those of shot k of unit i, at the rendition's rate from the unit's
// first.
func (s *shotSearch) pictures(i, k int) (from, to int) {
	step, first := s.rendition.Rung.Step, s.spans[i][0]
	end := s.spans[i][1]
	if k+1 < len(s.parts[i]) {
		end = s.parts[i][k+1].first
	}
	return framesAt(s.parts[i][k].first-first, step), framesAt(end-first, step)
}

// texture is how much structure the pictures of shot k of unit i have, 0 if the
// analysis knows of none.
func (s *shotSearch) texture(i, k int) float64 {
	from, to := s.parts[i][k].first, s.spans[i][1]
	if k+1 < len(s.parts[i]) {
		to = s.parts[i][k+1].first
	}
	shows := s.plan.timeline.Shows[from:to]
	return s.analysis.texture(int(shows[0]), int(shows[len(shows)-1])+1)
}

// try makes what was asked for.
func (s *shotSearch) try(ctx context.Context, asked []search.Encode) error {
	tasks := make([]*task, len(asked))
	for n, e := range asked {
		t := &attempt{treatment: treatment{crf: e.CRF, base: s.rendition.Template.Quality}, expected: e.Expected}
		for _, part := range s.parts[e.Unit] {
			t.treatment.shots = append(t.treatment.shots, part.first)
		}
		span := s.spans[e.Unit]
		t.unit = s.unit(span[0], span[1])
		out := s.plan.output(s.rendition, span)
		t.treatment.apply(&out, span[1]-span[0])
		t.unit.Encode.Outputs = []ffmpeg.Output{out}
		if err := s.follow(&t.unit, s.rendition.Codec); err != nil {
			return err
		}
		t.unit.Measure = &Measure{At: s.samples(e.Unit), Model: json.RawMessage(s.options.Model)}
		if s.smallest || s.options.Verify == VerifyAll || drawFrom(t.unit.Hash(s.tools))%sampleEvery == 0 {
			t.unit.Check = []string{out.File}
		}
		s.tries[e.Unit] = append(s.tries[e.Unit], t)
		tasks[n] = &t.task
	}
	if err := runAll(ctx, s.executor.Slots(), s.encodeWork(s.executor, tasks)); err != nil {
		return err
	}
	for _, e := range asked {
		tries := s.tries[e.Unit]
		if err := s.weigh(e.Unit, tries[len(tries)-1]); err != nil {
			return err
		}
	}
	return nil
}

// samples are the pictures of a unit that are measured: some of each shot, the
// first of them never, as it has nothing to move from.
func (s *shotSearch) samples(unit int) []int {
	var at []int
	bytes := max(1, s.rendition.Template.LumaBytes())
	for k := range s.parts[unit] {
		from, to := s.pictures(unit, k)
		wanted := min((to-from)/measureEvery, measureClosely+max(0, to-from-measureClosely*measureEvery)/measureFar)
		count := max(1, min(wanted, mostSampled/(2*bytes*len(s.parts[unit]))))
		for n := range count {
			if picture := max(from+1, from+(2*n+1)*(to-from)/(2*count)); picture < to {
				at = append(at, picture)
			}
		}
	}
	return at
}

// unmeasured is the quality of a shot of a single picture, which has no samples.
const unmeasured = 95

// weigh reads what an encode of a unit came to.
func (s *shotSearch) weigh(unit int, t *attempt) error {
	var found measured
	if len(t.unit.Measure.At) > 0 {
		if err := readJSON(filepath.Join(t.result.Folder, measuredName), &found); err != nil {
			return err
		}
	}
	if len(found.At) != len(found.Quality) || len(found.At) != len(found.Motion) || !slices.Equal(found.At, t.unit.Measure.At) {
		return fault.New(fault.Internal, "the quality of frames from %d was measured in other pictures than asked for", t.unit.Encode.First)
	}
	sizes, err := pictureSizes(filepath.Join(t.result.Folder, t.unit.Encode.Outputs[0].File))
	if err != nil {
		return err
	}
	for k := range s.parts[unit] {
		from, to := s.pictures(unit, k)
		probe := search.Probe{CRF: t.treatment.crf[k], Quality: unmeasured}
		for _, size := range sizes[from:min(to, len(sizes))] {
			probe.Bits += 8 * float64(size)
		}
		sum, motion, count := 0.0, 0.0, 0.0
		for i, at := range found.At {
			if from <= at && at < to {
				sum, motion, count = sum+found.Quality[i], motion+found.Motion[i], count+1
			}
		}
		if count > 0 {
			probe.Quality, motion = sum/count, motion/count
		}
		t.came.Shots, t.came.Motion = append(t.came.Shots, probe), append(t.came.Motion, motion)
	}
	return nil
}

// pictureSizes are the bytes of the pictures of a unit's output, in the order in
// which they are shown.
func pictureSizes(path string) ([]uint32, error) {
	track, err := readTrack(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	order, err := presentationOrder(track)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	sizes := make([]uint32, len(order))
	for i, n := range order {
		sizes[n] = track.Samples[i].Size
	}
	return sizes, nil
}

// report says what the search did.
func (s *shotSearch) report() *SearchReport {
	r := &SearchReport{Effort: s.options.Optimize, Metric: modelName(s.options.Model), Shots: []ShotReport{}}
	pictures, encoded := 0, 0
	var bits float64
	for i, span := range s.spans {
		t := s.chosen[span[0]]
		for k, probe := range t.came.Shots {
			from, to := s.pictures(i, k)
			shot := ShotReport{
				First: s.parts[i][k].first, Rest: s.parts[i][k].rest(), Pictures: to - from, CRF: probe.CRF, Tries: len(s.tries[i]),
				Quality: rounded(probe.Quality), Bits: int64(probe.Bits),
			}
			if k < len(t.expected) {
				shot.Expected = &Expected{Quality: rounded(t.expected[k].Quality), Bits: int64(t.expected[k].Bits)}
			}
			r.Shots = append(r.Shots, shot)
			pictures += shot.Pictures
			encoded += shot.Pictures * len(s.tries[i])
			r.Quality += probe.Quality * float64(shot.Pictures)
			bits += probe.Bits
		}
		for _, try := range s.tries[i] {
			r.Samples += len(try.unit.Measure.At)
		}
	}
	r.Quality = rounded(r.Quality / float64(max(1, pictures)))
	r.Encodes = rounded(float64(encoded) / float64(max(1, pictures)))
	r.Bits = int64(bits)
	return r
}

// rounded keeps what a report needs of a number.
func rounded(v float64) float64 { return math.Round(v*100) / 100 }

// modelName names what quality is measured by.
func modelName(model []byte) string {
	if len(model) == 0 {
		return "estimate"
	}
	sum := sha256.Sum256(model)
	return "vmaf model " + hex.EncodeToString(sum[:6])
}
