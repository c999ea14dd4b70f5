package transcode

import (
	"liuyun/internal/engine/ffmpeg"
)

const (
	// unitMemory is what a unit of an oversize source may need, as far as its
	// renditions can be parted: with this program beside it, and what is predicted too
	// low by, 1.5 GB.
	unitMemory = 1300 << 20
	// slotMemory is what a core of a machine that encodes such sources has to offer.
	slotMemory = 650 << 20
)

// lookaheads are tried for renditions of oversize sources, until one fits: an encoder
// holds every frame that it looks ahead at, three bytes a pixel.
var lookaheads = []int{0, 20, 10, 5}

// isOversize reports whether memory decides how the source is encoded.
func (j *job) isOversize() bool {
	v := j.inventory.video
	return v != nil && v.Width*v.Height > ffmpeg.Oversize
}

// fitMemory has encoders of large renditions look ahead less where the source is
// oversize. A rendition that cannot fit looks ahead at twenty frames if it is beyond
// 4K itself, where each is 100 MB, else at five.
func (j *job) fitMemory() {
	if !j.isOversize() {
		return
	}
	for _, r := range j.plan.renditions {
		for _, ahead := range lookaheads {
			r.Template.Lookahead = ahead
			if j.memoryOf(r) <= unitMemory {
				break
			}
		}
		if j.memoryOf(r) > unitMemory && r.Template.Width*r.Template.Height > ffmpeg.Oversize {
			r.Template.Lookahead = 20
		}
	}
}

// memoryOf is what a unit of these renditions needs.
func (j *job) memoryOf(members ...*rendition) int64 {
	unit := ffmpeg.Unit{Picture: j.plan.picture, Count: manyFrames}
	for _, r := range members {
		unit.Outputs = append(unit.Outputs, r.Template)
	}
	return unit.Memory()
}

// manyFrames are more than any encoder looks ahead at.
const manyFrames = 1000

// groups are the renditions that one process makes: all, or of an oversize source as
// many as memory allows, each group at the price of another decode.
func (j *job) groups(members []*rendition) [][]*rendition {
	if !j.isOversize() {
		return [][]*rendition{members}
	}
	var list [][]*rendition
	for _, r := range members {
		if last := len(list) - 1; last >= 0 && j.memoryOf(append(list[last][:len(list[last]):len(list[last])], r)...) <= unitMemory {
			list[last] = append(list[last], r)
			continue
		}
		list = append(list, []*rendition{r})
	}
	return list
}

// mostMemory is what the largest process of the job needs, as far as is planned.
func (j *job) mostMemory() int64 {
	most := ffmpeg.Analysis{Picture: j.inventory.picture, Threads: j.analysisThreads()}.Memory()
	if j.plan == nil {
		return most
	}
	for _, codec := range j.options.Codecs {
		var members []*rendition
		for _, r := range j.plan.renditions {
			if r.Codec == codec {
				members = append(members, r)
			}
		}
		if len(members) == 0 {
			continue
		}
		for _, group := range j.groups(members) {
			most = max(most, j.memoryOf(group...))
		}
	}
	return most
}

// analysisThreads are the decoder's where the source is decoded as one.
func (j *job) analysisThreads() int {
	if j.isOversize() {
		return 1
	}
	return wholeThreads
}

// slots is how many units run at a time on this machine: the workers, unless the
// source is oversize and units of it would need more memory than the cores stand for.
func (j *job) slots() int {
	workers := j.options.workers()
	if j.inventory == nil || !j.isOversize() {
		return workers
	}
	budget := max(unitMemory, int64(workers)*slotMemory)
	return int(min(max(budget/j.mostMemory(), 1), int64(workers)))
}

// statesMemory tells what the largest unit needs and refuses, before any is begun, a
// rendition that this machine cannot hold, if it is the one that makes it.
func (j *job) statesMemory() error {
	if j.inventory.video == nil {
		return nil
	}
	most := j.mostMemory()
	j.log.Info("memory of the largest unit", "bytes", most, "at_a_time", j.executor.Slots())
	if _, here := j.executor.(*localExecutor); !here {
		return nil
	}
	for _, r := range j.plan.renditions {
		what := r.ID + " at preset " + r.Template.Preset
		if err := j.tools.Fits(what, j.memoryOf(r)); err != nil {
			return err
		}
	}
	return nil
}
