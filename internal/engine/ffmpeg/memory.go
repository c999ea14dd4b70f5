package ffmpeg

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"

	"liuyun/internal/base/fault"
)

// What a process that encodes holds, in bytes, measured with ffmpeg 5.1, x264 164,
// x265 3.5 and SVT-AV1 1.4 on one thread each; docs/internals/ladder.md has the
// measurements. A decoder's frames are the sixteen at most that the standards let it
// hold at small sizes, and six at the largest, and those on their way.
const (
	processMemory  = 64 << 20
	decodedFrames  = 9  // of the source's size; of those that are scaled before all else
	scaledFrames   = 7  // are fewer held
	toneMapPerSide = 36 // bytes a pixel: float frames, as high as a strip, and
	toneMapStrips  = 17 // beside strips, whole pictures before and after
	x264PerPixel   = 10 // and
	x264PerRef     = 10 // of each reference, with its interpolated planes, and
	x264LeastRefs  = 3  // that B pictures need, whatever the preset's number is
	x264PerAhead   = 3.1
	x265PerPixel   = 120
	x265PerAhead   = 4.0
	x265TenBit     = 1.7
	svtPerPixel    = 220
	svtTenBit      = 1.4
)

// Oversize is the number of pixels above which a source's own frames are most of what a
// process holds: beyond 4K.
const Oversize = 4096 * 2304

// Frames that each preset looks ahead.
var (
	x264Lookahead = map[string]int{
		"ultrafast": 0, "superfast": 0, "veryfast": 10, "faster": 20, "fast": 30, "medium": 40, "slow": 50, "slower": 60, "veryslow": 60,
	}
	x265Lookahead = map[string]int{
		"ultrafast": 5, "superfast": 10, "veryfast": 15, "faster": 15, "fast": 15, "medium": 20, "slow": 25, "slower": 40, "veryslow": 40,
	}
)

// Memory is how many bytes the process that encodes u will need, give or take a
// tenth: the decoder, the float pictures of tone mapping, and every encoder.
func (u Unit) Memory() int64 {
	sum, toned := 0.0, 0.0
	scaled := u.Picture.tonedInStrips()
	for _, out := range u.Outputs {
		sum += out.memory(u.Count)
		if out.ToneMap {
			toned = max(toned, u.Picture.toneMapMemory(out.Width, out.Height))
		} else {
			scaled = false
		}
	}
	decoder := u.Picture.decoderMemory()
	if scaled {
		decoder *= scaledFrames / float64(decodedFrames)
	}
	return processMemory + int64(sum+toned+decoder)
}

// Memory is what the pass will need.
func (a Analysis) Memory() int64 {
	frames := a.Picture.decoderMemory()
	if a.Threads > 1 { // each decodes a frame of its own
		frames *= float64(decodedFrames+a.Threads-1) / decodedFrames
	}
	return processMemory + int64(frames)
}

// toneMapMemory is what tone mapping at a size holds.
func (p Picture) toneMapMemory(width, height int) float64 {
	perPixel := float64(toneMapPerSide)
	if n := strips(height); p.tonedInStrips() && n > 1 {
		perPixel = perPixel/float64(n) + toneMapStrips
	}
	return perPixel * float64(width*height)
}

func (p Picture) decoderMemory() float64 {
	bytes := 1.5
	if p.Deep {
		bytes = 3
	}
	return decodedFrames * bytes * float64(p.Width*p.Height)
}

// memory of an output's encoder for so many frames.
func (o Output) memory(frames int) float64 {
	ahead := func(presets map[string]int) float64 { return float64(min(o.lookahead(presets), frames)) }
	pixels := float64(o.Width * o.Height)
	deep := func(factor float64) float64 {
		if o.TenBit {
			return factor
		}
		return 1
	}
	switch o.Codec {
	case "hevc":
		return pixels * (x265PerPixel + x265PerAhead*ahead(x265Lookahead)) * deep(x265TenBit)
	case "av1":
		return pixels * svtPerPixel * deep(svtTenBit)
	}
	return pixels * (x264PerPixel + x264PerRef*float64(max(min(x264References[o.Preset], o.References), x264LeastRefs)) + x264PerAhead*ahead(x264Lookahead))
}

func (o Output) lookahead(presets map[string]int) int {
	if o.Lookahead > 0 {
		return min(o.Lookahead, presets[o.Preset])
	}
	return presets[o.Preset]
}

// Within returns the same tools that begin no encode while those that run, and it,
// would need more than so many bytes. All who share them share the memory.
func (t *Tools) Within(bytes int64) *Tools {
	bounded := *t
	bounded.memory, bounded.memorySize = semaphore.NewWeighted(bytes), bytes
	return &bounded
}

// Fits says why a process that needs so many bytes can never run, or nothing.
func (t *Tools) Fits(what string, bytes int64) error {
	if t.memory == nil || bytes <= t.memorySize {
		return nil
	}
	return fault.New(fault.Unavailable,
		"%s needs about %s of memory and this machine has %s for it: take a faster preset, leave the largest rung out (--ladder), or use a machine with more",
		what, gigabytes(bytes), gigabytes(t.memorySize))
}

func gigabytes(bytes int64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) }

// reserve waits until there is memory for a unit.
func (t *Tools) reserve(ctx context.Context, u Unit) (release func(), err error) {
	return t.Reserve(ctx, u.Memory())
}

// Reserve waits until there are so many bytes of memory besides what runs. Who waits
// holds no child's turn.
func (t *Tools) Reserve(ctx context.Context, bytes int64) (release func(), err error) {
	if t.memory == nil {
		return func() {}, nil
	}
	// What is above all there is runs alone: what a machine cannot hold is refused where
	// it is planned, and what is predicted is not exact.
	bytes = min(bytes, t.memorySize)
	if err := t.memory.Acquire(ctx, bytes); err != nil {
		return nil, fault.Wrap(err, fault.Canceled, "stopped on request")
	}
	return func() { t.memory.Release(bytes) }, nil
}
