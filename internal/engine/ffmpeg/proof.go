package ffmpeg

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"liuyun/internal/base/timebase"
	"liuyun/internal/kit/proc"
)

// proofs remember what was found out about encoders by trying them. They are
// shared by all copies of a Tools.
type proofs struct {
	mu      sync.Mutex
	regions map[string]bool // "codec preset" → whether regions are followed
}

func newProofs() *proofs { return &proofs{regions: make(map[string]bool)} }

// Encoders that are known to follow regions, libx264 where its adaptive
// quantisation is on. libsvtav1, libaom and librav1e ignore them without a word.
var regionCodecs = map[string]bool{"h264": true, "hevc": true}

// FollowsRegions reports whether the encoder of codec moves its quantiser where
// Output.Regions say so, at this preset. An encoder that does not says nothing, so
// besides a list of those that may, a few pictures are encoded with and without a
// region, once for a Tools.
func (t *Tools) FollowsRegions(ctx context.Context, codec, preset string) (bool, error) {
	if !regionCodecs[codec] || slices.Contains(t.HardwareCodecs(), codec) || !t.HasEncoder(EncoderFor(codec)) || !t.HasFilter("addroi") || !t.HasFilter("segment") {
		return false, nil
	}
	t.proofs.mu.Lock()
	defer t.proofs.mu.Unlock()
	key := codec + " " + preset
	if follows, known := t.proofs.regions[key]; known {
		return follows, nil
	}
	plain, moved, err := t.tryRegions(ctx, codec, preset)
	if err != nil {
		return false, err
	}
	t.proofs.regions[key] = float64(moved) > proofGrowth*float64(plain)
	return t.proofs.regions[key], nil
}

// Steers reports whether the quantisers of a live child can be moved while it runs: see
// [LiveSteering].
func (t *Tools) Steers(ctx context.Context) (bool, error) {
	if !t.HasFilter("streamselect") {
		return false, nil
	}
	return t.FollowsRegions(ctx, "h264", livePreset)
}

// proofGrowth is by how much an encode has to grow when all of its picture is made
// proofSteps of QP better, which doubles the bits.
const (
	proofGrowth = 1.3
	proofSteps  = -8
)

// tryRegions encodes a few pictures without regions and with them, and returns how
// many bytes each took.
func (t *Tools) tryRegions(ctx context.Context, codec, preset string) (plain, moved int64, err error) {
	const width, height = 192, 128
	without := Output{
		Codec: codec, Width: width, Height: height, Step: 1, KeyFrames: []int{0}, Preset: preset, Quality: 30,
		MaxRate: 20_000_000, Buffer: 20_000_000, Level: "3", References: 4, Colour: BT709,
	}
	with := without
	all := []Region{{Width: width, Height: height, QP: proofSteps}}
	with.Regions = []RegionSpan{{From: 0, Regions: all}, {From: 4, Regions: all}}
	rate := timebase.R(25, 1)
	graph := []string{"testsrc2=size=192x128:rate=25:duration=0.32,format=yuv420p,split=2[o0][o1]"}
	graph, end := with.withRegions(graph, "o1", rate)
	args := []string{"-filter_complex_threads", "1", "-filter_complex", strings.Join(graph, ";")}
	var sizes [2]byteCounter
	for i, out := range []struct {
		Output
		label string
	}{{without, "o0"}, {with, end}} {
		args = append(args, "-map", "["+out.label+"]")
		args = append(args, t.passthrough()...)
		args = append(args, out.encoder(Unit{FrameRate: rate})...)
		args = append(args, "-f", "rawvideo", PipeURL(i))
	}
	_, err = t.Run(ctx, Command{
		Args: args, Pipes: []io.Writer{&sizes[0], &sizes[1]},
		Limits: proc.Limits{CPU: time.Minute, Memory: 2 << 30, Wall: 2 * time.Minute},
	})
	return sizes[0].bytes, sizes[1].bytes, err
}

// byteCounter counts what is written to it.
type byteCounter struct{ bytes int64 }

// Write never fails.
func (c *byteCounter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}
