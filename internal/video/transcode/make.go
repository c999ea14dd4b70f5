package transcode

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// made is all that has been encoded, before packaging.
type made struct {
	video     []*assembled
	recoded   map[string]int // rendition → units encoded again to keep to its cap
	audio     []*audioTrack
	subtitles []*subtitleTrack
	poster    string // the file
	units     int
	reused    int
}

// task is one unit for the executor and where its result goes.
type task struct {
	unit   Unit
	result UnitResult
}

// work is something to do and roughly how many CPU seconds it takes.
type work struct {
	cost float64
	do   func(context.Context) error
}

// make encodes everything, what takes longest first, so that no core waits long
// at the end.
func (j *job) make(ctx context.Context) (*made, error) {
	executor := j.executor
	m := &made{recoded: map[string]int{}, audio: j.plan.audio, subtitles: j.plan.subtitles}
	length := j.plan.duration()
	if j.inventory.video != nil {
		j.progress.begin(phaseEncode, j.encodeWeight(), length)
		if err := j.optimize(ctx); err != nil {
			return nil, err
		}
	} else {
		j.progress.begin(phaseEncode, float64(len(m.audio)), length)
	}
	tasks, known, err := j.tasks()
	if err != nil {
		return nil, err
	}
	queue := j.encodeWork(executor, tasks)
	for _, t := range m.audio {
		queue = append(queue, work{j.inventory.seconds * audioCost, func(ctx context.Context) error { return j.prepareAudio(ctx, t) }})
	}
	for _, t := range m.subtitles {
		queue = append(queue, work{0, func(ctx context.Context) error { return j.loadSubtitles(ctx, t) }})
	}
	if j.inventory.video != nil {
		queue = append(queue, work{0, func(ctx context.Context) (err error) { m.poster, err = j.makePoster(ctx); return err }})
	}
	if err := runAll(ctx, executor.Slots(), queue); err != nil {
		return nil, err
	}
	tasks = append(tasks, known...)
	for _, t := range tasks {
		m.units++
		if t.result.Reused {
			m.reused++
		}
	}
	m.audio = slices.DeleteFunc(m.audio, func(t *audioTrack) bool { return t.encoded == nil })
	if len(m.audio) == 0 && j.inventory.video == nil {
		return nil, fault.New(fault.Invalid, "nothing in %s could be decoded: it is damaged, or cut off after its head", j.source.Name())
	}
	if j.inventory.video == nil {
		j.cutSound(m.audio)
	}
	m.video, err = j.assembleAll(ctx, executor, tasks, m.recoded)
	return m, err
}

// runAll runs queue, the costliest first, so many at a time, until one fails.
func runAll(ctx context.Context, slots int, queue []work) error {
	slices.SortStableFunc(queue, func(a, b work) int { return cmp.Compare(b.cost, a.cost) })
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(slots)
	for _, w := range queue {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error { return w.do(groupCtx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// encodeWeight is how many pictures of all renditions are encoded, searches at
// their most.
func (j *job) encodeWeight() float64 {
	weight := float64(len(j.plan.renditions))
	if j.options.optimizes() {
		for _, codec := range j.options.Codecs {
			if codec != "av1" {
				weight += float64(j.options.Optimize.effort()) - 1
			}
		}
	}
	return weight * float64(j.plan.layout.End)
}

// encodeWork is one piece of work a unit.
func (j *job) encodeWork(executor Executor, tasks []*task) []work {
	queue := make([]work, len(tasks))
	for i, t := range tasks {
		queue[i] = work{j.cost(t.unit), func(ctx context.Context) error {
			weight := float64(len(t.unit.Encode.Outputs))
			var err error
			t.result, err = executor.Encode(ctx, t.unit, func(frames int) {
				j.progress.add(phaseEncode, float64(frames)*weight)
			})
			if err == nil {
				j.accountUnit(t.result)
				j.encoded(t.result)
			}
			return err
		}}
	}
	return queue
}

// cost is roughly how many CPU seconds a unit takes.
func (j *job) cost(u Unit) float64 {
	sum := float64(u.Encode.Count*u.Encode.Picture.Width*u.Encode.Picture.Height) / 1e6 * decodeCost
	for _, out := range u.Encode.Outputs {
		pixels := float64(framesAt(u.Encode.Count, out.Step)) * float64(out.Width*out.Height)
		sum += pixels / 1e6 * encodeCost[out.Preset] * codecCost[out.Codec]
	}
	return sum
}

// tasks cuts the renditions into units: one process makes all rungs of a codec
// for a range of frames, so that the source is decoded once for all of them.
// SVT-AV1 takes no orders for key frames, so there a unit is one segment. known are
// those that a search has made already.
func (j *job) tasks() (tasks, known []*task, err error) {
	if j.inventory.video == nil {
		return nil, nil, nil
	}
	for _, codec := range j.options.Codecs {
		ranges := j.plan.layout.UnitRanges()
		if codec == "av1" {
			ranges = j.plan.layout.SegmentRanges()
		}
		for _, group := range j.groups(j.plan.renditionsOf(codec)) {
			for _, span := range ranges {
				unit := j.unit(span[0], span[1])
				for _, r := range group {
					if made := r.made[span[0]]; made != nil {
						known = append(known, &made.task)
						continue
					}
					unit.Encode.Outputs = append(unit.Encode.Outputs, j.plan.output(r, span))
				}
				if len(unit.Encode.Outputs) == 0 {
					continue
				}
				if err := j.follow(&unit, codec); err != nil {
					return nil, nil, err
				}
				unit.Check = j.checked(unit)
				tasks = append(tasks, &task{unit: unit})
			}
		}
	}
	return tasks, known, nil
}

// unit is the range [from, to) of the timeline without outputs.
func (j *job) unit(from, to int) Unit {
	u := Unit{
		Source: j.fingerprint,
		Class:  j.tools.Class,
		Encode: j.plan.unitFor(from, to),
		Shows:  j.plan.timeline.Shows[from:to],
		Limits: j.limits(),
	}
	u.Starts = j.plan.startingPoints(u.Encode.From)
	u.Compare.Analysis = j.analysis.hash
	u.Compare.From, u.Compare.To = around(u.Shows, j.plan.timeline.Frames)
	u.Damaged = j.analysis.damagedIn(u.Compare.From, u.Compare.To)
	return u
}

// sampleEvery: in production, the pictures of one larger rung are compared in one
// unit of so many.
const sampleEvery = 4

// checked chooses the outputs whose pictures are compared: always the smallest
// that keeps every frame, and of the others all or a sample.
func (j *job) checked(u Unit) []string {
	outputs := slices.Clone(u.Encode.Outputs)
	slices.SortFunc(outputs, func(a, b ffmpeg.Output) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Width*a.Height, b.Width*b.Height))
	})
	if j.options.Verify != VerifyAll {
		smallest, larger := outputs[:1:1], outputs[1:]
		outputs = smallest
		if draw := drawFrom(u.Hash(j.tools)); len(larger) > 0 && draw%sampleEvery == 0 {
			outputs = append(outputs, larger[draw/sampleEvery%uint64(len(larger))])
		}
	}
	names := make([]string, len(outputs))
	for i, out := range outputs {
		names[i] = out.File
	}
	return names
}

// Rounds of encoding again what breaks the cap, each at this share of the rate
// before.
const (
	capRounds = 4
	capShrink = 0.8
)

// assembleAll puts the units of each rendition end to end, and encodes units
// again where the whole does not keep to its cap.
func (j *job) assembleAll(ctx context.Context, executor Executor, tasks []*task, recoded map[string]int) ([]*assembled, error) {
	var list []*assembled
	for _, r := range j.plan.renditions {
		var units []ffmpeg.Unit
		var files []string
		for _, t := range tasks {
			for _, out := range t.unit.Encode.Outputs {
				if out.File == outputName(r.ID) {
					units = append(units, t.unit.Encode)
					files = append(files, filepath.Join(t.result.Folder, out.File))
				}
			}
		}
		a, err := j.keepToCap(ctx, executor, r, units, files, recoded)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func (j *job) keepToCap(ctx context.Context, executor Executor, r *rendition, units []ffmpeg.Unit, files []string, recoded map[string]int) (*assembled, error) {
	shrunk := map[int]float64{}
	for round := 0; ; round++ {
		a, err := r.assemble(units, files)
		if err != nil {
			return nil, err
		}
		broken := a.broken()
		if len(broken) == 0 {
			return a, nil
		}
		if round == capRounds {
			j.warn("cap", "%s goes above its cap of %d kb/s in %d places", r.ID, r.Template.MaxRate/1000, len(broken))
			return a, nil
		}
		var again []*task
		var at []int
		for i := range units {
			if broken[i] == 0 {
				continue
			}
			if shrunk[i] == 0 {
				shrunk[i] = 1
				recoded[r.ID]++
			}
			shrunk[i] *= capShrink
			lowered, err := j.lowered(r, units[i], shrunk[i])
			if err != nil {
				return nil, err
			}
			again = append(again, lowered)
			at = append(at, i)
		}
		if err := runAll(ctx, executor.Slots(), j.encodeWork(executor, again)); err != nil {
			return nil, err
		}
		for k, t := range again {
			files[at[k]] = filepath.Join(t.result.Folder, outputName(r.ID))
		}
	}
}

// lowered is a unit of one rendition alone, at a share of its rate.
func (j *job) lowered(r *rendition, u ffmpeg.Unit, share float64) (*task, error) {
	span := [2]int{int(u.First), int(u.First) + u.Count}
	unit := j.unit(span[0], span[1])
	out := j.plan.output(r, span)
	out.MaxRate = int64(float64(out.MaxRate) * share)
	out.Buffer = int64(float64(out.Buffer) * share)
	unit.Encode.Outputs = []ffmpeg.Output{out}
	unit.Check = []string{out.File}
	err := j.follow(&unit, r.Codec)
	return &task{unit: unit}, err
}
