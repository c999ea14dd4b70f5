package transcode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"liuyun/internal/av/h264"
	"liuyun/internal/av/h265"
	"liuyun/internal/av/rate"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/analyse"
	"liuyun/internal/video/transcode/timeline"
)

// plan is everything that is decided before anything is encoded.
type plan struct {
	stream    int
	picture   ffmpeg.Picture
	timeBase  timebase.Rational // of the source's picture
	timeline  *timeline.Timeline
	start     time.Duration // of the presentation, in the source's time
	keys      []int64       // presentation times of the source's random-access points, ticks, rising
	stretches []*stretch    // of the source, for the analysis
	seekShift int64         // ticks from a random-access point to the time to seek to, see ffmpeg.SeekShift
	layout    timeline.Layout
	target    int // TARGETDURATION, seconds

	renditions []*rendition
	audio      []*audioTrack
	subtitles  []*subtitleTrack
	board      *storyboard
	shots      []int           // first frames of shots but the first, in frames of the timeline, rising
	follows    map[string]bool // codec → its encoder follows regions
	tried      []TrialReport
}

// soundBeyond is how much longer than the picture sound may be before the last
// picture is held for it; less is a matter of frame sizes.
const soundBeyond = 500 * time.Millisecond

// makePlan looks at every frame of the source and decides what to make.
func (j *job) makePlan(ctx context.Context) error {
	inv := j.inventory
	j.plan = &plan{
		audio: inv.audio, subtitles: inv.subtitles,
		target: int((j.options.Segment.Most + time.Second - 1) / time.Second),
	}
	if inv.video != nil {
		if err := j.planPicture(ctx); err != nil {
			return err
		}
	}
	if inv.video == nil {
		j.planSound()
	}
	p := j.plan
	for _, t := range p.audio {
		t.Spec.Origin = p.start.Microseconds()
		t.Spec.Duration = p.duration()
		if inv.video == nil {
			t.Spec.Duration = 0 // sound alone is as long as it is
		}
	}
	return nil
}

// planSound lays out a source without a picture on a clock of milliseconds. How
// long it is is known when it has been encoded: see cutSound.
func (j *job) planSound() {
	rate := timebase.R(1000, 1)
	j.plan.start = j.inventory.audioStart
	j.plan.timeline = &timeline.Timeline{TimeBase: rate.Inv(), FrameRate: rate}
	j.plan.layout = timeline.Layout{End: max(1, int((j.inventory.audioEnd - j.inventory.audioStart).Milliseconds()))}
}

// cutSound cuts a presentation of sound alone at its real length.
func (j *job) cutSound(tracks []*audioTrack) {
	p := j.plan
	count := 1
	for _, t := range tracks {
		length := timebase.MulDiv(t.encoded.Duration()-t.encoded.MediaStart, 1000, int64(t.encoded.Timescale))
		count = max(count, int(length))
	}
	p.layout = timeline.NewLayout(count, p.timeline.FrameRate, j.options.Segment, nil, 1, func(int) float64 { return 0 })
}

func (j *job) planPicture(ctx context.Context) error {
	if err := j.readKeys(ctx); err != nil {
		return err
	}
	return j.planAnalysed(ctx)
}

// planAnalysed goes on when it is known where decoding may begin.
func (j *job) planAnalysed(ctx context.Context) error {
	p := j.plan
	inv := j.inventory
	v := inv.video
	p.stream, p.picture, p.timeBase, p.seekShift = v.Index, inv.picture, v.TimeBase, inv.media.SeekShift(v)
	p.board = planStoryboard(p.picture, inv.seconds)
	j.progress.begin(phaseAnalyse, max(1, inv.seconds*v.AverageRate.Float()), inv.media.Duration)
	found, err := j.analyse(ctx, ffmpeg.Analysis{
		Stream: v.Index, TimeBase: v.TimeBase, Picture: p.picture,
		Width: analyse.Width, Height: analyse.Height, InColour: true,
		Exact: j.options.Verify == VerifyAll,
		Tiles: p.board.spec(timebase.Rescale(inv.start().Microseconds(), timebase.R(1, 1_000_000), v.TimeBase), v.TimeBase),
	})
	if errors.Is(err, timeline.ErrNoFrames) && len(inv.audio) > 0 {
		j.warn("no_picture", "there is a video track, but no picture of it could be decoded; the sound alone is made")
		inv.video, p.board = nil, nil
		return nil
	}
	if err != nil {
		return err
	}
	j.analysis = found
	if found.Ends != "" {
		j.warn("damaged", "the picture ends early: %s", found.Ends)
	}
	if len(found.Damaged) > 0 {
		j.warn("damaged", "the picture is damaged in places; what could be decoded is there")
	}
	if err := j.findSoundEnd(ctx, found.Times); err != nil {
		return err
	}
	line, left, err := timeline.New(found.Times, j.clock())
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the times of the pictures in %s make no sense: %v", j.source.Name(), err)
	}
	if left > 0 {
		j.warn("timestamps", "%d pictures have times that do not come after the ones before and are left out", left)
	}
	p.timeline = line
	p.start = time.Duration(timebase.Rescale(line.Origin, line.TimeBase, timebase.R(1, int64(time.Second))))
	j.noteTimeline()
	if j.signatures, err = found.openSignatures(); err != nil {
		return err
	}
	if err := j.planRenditions(); err != nil {
		return err
	}
	j.cut(found.Shots)
	if err := j.placeRungs(ctx); err != nil {
		return err
	}
	j.fitMemory()
	if err := j.statesMemory(); err != nil {
		return err
	}
	return j.proveRegions(ctx)
}

// findSoundEnd measures where the sound ends when the container says that it goes
// on long after the last picture: in a file that was cut off it says what was
// meant to be.
func (j *job) findSoundEnd(ctx context.Context, times []int64) error {
	inv := j.inventory
	if len(inv.audio) == 0 || len(times) == 0 {
		return nil
	}
	inv.videoEnd = ticksTime(slices.Max(times)+inv.lastFor, inv.video.TimeBase)
	if inv.audioEnd-inv.videoEnd <= soundBeyond {
		return nil
	}
	end := inv.videoEnd
	for i := range inv.media.Audio {
		a := &inv.media.Audio[i]
		if !slices.ContainsFunc(inv.audio, func(t *audioTrack) bool { return t.Source == a.Index }) {
			continue
		}
		err := j.tools.Index(ctx, j.input, a.Index, func(p ffmpeg.Packet) error {
			if p.HasPTS {
				end = max(end, ticksTime(p.PTS+p.Duration, a.TimeBase))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if inv.audioEnd-end > soundBeyond {
		j.warn("cut_off", "the file ends before its time: %.1f s of the %.1f s that it announces are there", (end - inv.start()).Seconds(), (inv.audioEnd - inv.start()).Seconds())
	}
	inv.audioEnd = end
	return nil
}

// clock is what the container says about the picture's time.
func (j *job) clock() timeline.Clock {
	inv, v := j.inventory, j.inventory.video
	ticks := func(d time.Duration) int64 {
		return timebase.Rescale(int64(d), timebase.R(1, int64(time.Second)), v.TimeBase)
	}
	c := timeline.Clock{TimeBase: v.TimeBase, Declared: []timebase.Rational{v.RealRate, v.AverageRate}, Start: timeline.NoStart, End: timeline.NoEnd, LastFor: inv.lastFor}
	if len(inv.audio) > 0 {
		c.Start = ticks(inv.audioStart)
		c.End = ticks(inv.audioEnd - soundBeyond)
		if inv.audioEnd-inv.videoEnd > soundBeyond {
			c.End = ticks(inv.audioEnd)
		}
	}
	return c
}

func (j *job) noteTimeline() {
	line := j.plan.timeline
	if line.Constant {
		return
	}
	repeated, dropped := line.Repeated()
	j.warn("variable_frame_rate", "frames do not come evenly: made %s a second, %d repeated and %d left out, in sync with the sound",
		rateText(line.FrameRate), repeated, dropped)
}

func rateText(r timebase.Rational) string {
	if r.Den == 1 {
		return fmt.Sprint(r.Num)
	}
	return fmt.Sprintf("%.2f", r.Float())
}

// planRenditions chooses the rungs and what the encoders are told.
func (j *job) planRenditions() error {
	p := j.plan
	width, height := p.picture.Shown()
	rungs, err := rate.Parse(j.options.Ladder, rate.Source{Width: width, Height: height, FrameRate: p.timeline.FrameRate})
	if err != nil {
		return fault.New(fault.Invalid, "%v", err)
	}
	for _, codec := range j.options.Codecs {
		for _, rung := range rungs {
			p.renditions = append(p.renditions, j.rendition(codec, rung))
		}
	}
	return nil
}

// How much of H.264's rate the newer codecs need for the same picture, and the
// constant quality that looks alike in each.
var (
	rateShare    = map[string]float64{"h264": 1, "hevc": 0.65, "av1": 0.55}
	usualQuality = map[string]float64{"h264": 23, "hevc": 26, "av1": 34}
)

// bufferSeconds is the encoder's rate buffer at the cap.
const bufferSeconds = 1.5

func (j *job) rendition(codec string, rung rate.Rung) *rendition {
	p := j.plan
	fps := p.timeline.FrameRate.Mul(1, int64(rung.Step))
	hdr := p.picture.Colour.HDR()
	out := ffmpeg.Output{
		Codec: codec, Width: rung.Width, Height: rung.Height, Step: rung.Step, Preset: j.options.Preset,
		Quality: usualQuality[codec] + j.options.crfShift(), MaxRate: int64(float64(rung.Cap) * rateShare[codec]), Colour: p.picture.Colour,
	}
	out.Colour.FullRange = false
	switch {
	case hdr && codec == "h264":
		out.ToneMap, out.Colour = true, ffmpeg.BT709
	case hdr:
		out.TenBit, out.Light = true, j.inventory.light
		if out.Light == nil {
			out.Light = &ffmpeg.Light{}
		}
	case codec != "h264":
		out.TenBit = p.picture.Deep // who decodes HEVC or AV1 decodes ten bits of it
	}
	out.Buffer = int64(float64(out.MaxRate) * bufferSeconds)
	switch codec {
	case "h264":
		out.Level, out.References = h264.Level(out.Width, out.Height, fps.Float(), out.MaxRate)
	case "hevc":
		out.Level = h265.Level(out.Width, out.Height, fps.Float(), out.MaxRate)
	}
	return &rendition{ID: codec + "-" + rung.Name, Codec: codec, Rung: rung, Template: out, FrameRate: fps}
}

// cut places units and segments. shots are source frames.
func (j *job) cut(shots []int) {
	p := j.plan
	align := 1
	for _, r := range p.renditions {
		align = max(align, r.Rung.Step)
	}
	var at []int
	for _, shot := range shots {
		if slot := p.slotShowing(shot); slot > 0 {
			at = append(at, slot)
		}
	}
	p.shots = slices.Compact(slices.Clone(at))
	p.layout = timeline.NewLayout(len(p.timeline.Shows), p.timeline.FrameRate, j.options.Segment, at, align, p.preroll)
	if j.options.optimizes() {
		p.layout = p.layout.AtShots(at)
	}
}

// slotShowing is the first output frame that shows source frame f or a later one.
func (p *plan) slotShowing(f int) int {
	n, _ := slices.BinarySearch(p.timeline.Shows, int32(f))
	return min(n, len(p.timeline.Shows)-1)
}

// preroll is how many seconds are decoded before a unit that begins at frame.
func (p *plan) preroll(frame int) float64 {
	at := p.timeline.Frames[p.timeline.Shows[frame]]
	key := p.timeline.Frames[0]
	if i := p.keyBefore(at); i >= 0 {
		key = p.keys[i]
	}
	return float64(at-key) * p.timeline.TimeBase.Float()
}

// keyBefore is the index of the last random-access point not after at, or −1.
func (p *plan) keyBefore(at int64) int {
	i, exact := slices.BinarySearch(p.keys, at)
	if exact {
		return i
	}
	return i - 1
}

// startingPoints are where decoding may begin for a unit whose first source
// frame is at from, the cheapest first: the nearest random-access point, one a
// few seconds earlier in case that one was none (open GOPs, broken indexes), and
// the beginning of the file (nil).
func (p *plan) startingPoints(from int64) []*int64 {
	var points []*int64
	if i := p.keyBefore(from); i > 0 {
		nearest := p.keys[i]
		asked := nearest + p.seekShift
		points = append(points, &asked)
		const earlier = 4.0 // seconds
		for i > 0 && float64(nearest-p.keys[i])*p.timeline.TimeBase.Float() < earlier {
			i--
		}
		if i > 0 {
			before := p.keys[i] + p.seekShift
			points = append(points, &before)
		}
	}
	return append(points, nil)
}

// unitFor is output frames [from, to) as the engine is told, without outputs.
func (p *plan) unitFor(from, to int) ffmpeg.Unit {
	line := p.timeline
	first, last := line.Shows[from], line.Shows[to-1]
	u := ffmpeg.Unit{
		Stream: p.stream, TimeBase: line.TimeBase, Picture: p.picture,
		From: line.Frames[first], Origin: line.Origin,
		FrameRate: line.FrameRate, First: int64(from), Count: to - from,
	}
	if int(last)+1 < len(line.Frames) {
		u.To = line.Frames[last+1] + 1
	} else {
		u.To, u.Hold = line.Frames[last]+1, true
	}
	if points := p.startingPoints(u.From); len(points) > 0 {
		u.Seek = points[0]
	}
	return u
}

// output is a rendition's part of the unit for frames [span[0], span[1]).
func (p *plan) output(r *rendition, span [2]int) ffmpeg.Output {
	out := r.Template
	out.File = outputName(r.ID)
	for _, frame := range p.layout.SegmentsIn(span[0], span[1]) {
		out.KeyFrames = append(out.KeyFrames, frame-span[0])
	}
	r.treatments[span[0]].apply(&out, span[1]-span[0])
	return out
}

// readKeys finds the random-access points of the picture in the container. A
// source whose clock jumps is repaired first.
func (j *job) readKeys(ctx context.Context) error {
	v := j.inventory.video
	clock := brokenClock{timeBase: v.TimeBase}
	var found randomAccess
	err := j.tools.Index(ctx, j.input, v.Index, func(packet ffmpeg.Packet) error {
		clock.add(packet)
		found.add(packet)
		return nil
	})
	if err != nil {
		return err
	}
	format := j.inventory.media.Format
	if clock.jumps > 0 && j.repaired == nil && mayJump(format) {
		if err := j.repair(ctx, clock.jumps); err != nil {
			return err
		}
		return j.readKeys(ctx)
	}
	slices.Sort(found.keys)
	j.plan.keys = found.keys
	// Formats without an index find about any place: not worth a try.
	j.plan.stretches = []*stretch{{}}
	if !mayJump(format) {
		j.plan.stretches = found.stretches(v.TimeBase)
	}
	return nil
}
