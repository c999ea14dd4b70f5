package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memoryLimit is what liuyun itself may use while it encodes, MB (10⁶ bytes).
const memoryLimit = 100

// measureMemory takes the peak memory of the liuyun process alone: its children
// are ffmpeg and need what the codec needs.
func measureMemory(ctx context.Context, b *bench) ([]result, error) {
	large, err := b.joined(ctx, 1080, ladder1080)
	if err != nil {
		return nil, err
	}
	long, err := b.long(ctx)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, source := range []struct {
		clip   clip
		preset string
	}{{large, "veryfast"}, {long, "ultrafast"}} {
		var peak int64
		ours, err := b.encode(ctx, encode{clip: source.clip, preset: source.preset, sample: func(pid int) {
			peak = max(peak, peakMemory(pid))
		}})
		if err != nil {
			return results, err
		}
		os.RemoveAll(ours.folder)
		results = append(results, result{
			Peer: "the limit", Clip: source.clip.name, Preset: source.preset,
			Unit: "MB", Ours: float64(peak) / 1e6, Theirs: memoryLimit, Bar: 1, Bound: atMost,
			Notes: fmt.Sprintf("%.0f s of video, %d units; the largest process of the tree needed %.0f MB",
				ours.report.Source.Duration, ours.report.Plan.Units, float64(ours.Largest)/1e6),
		})
	}
	return results, nil
}

// peakMemory is the high-water mark of a process's resident memory in bytes, 0
// when it is gone. (The usage of a process that has ended mixes it with that of
// its children.)
func peakMemory(pid int) int64 { return processMemory(pid, "VmHWM") }

// residentMemory is what a process has in memory now, in bytes.
func residentMemory(pid int) int64 { return processMemory(pid, "VmRSS") }

func processMemory(pid int, field string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	text, _ := statusField(status, field)
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes << 10
}
