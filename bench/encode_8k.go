package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

const (
	// clip8K is a third of a second of 8K; it is repeated.
	clip8K = "uhd/terrarium_8k24_340ms_hevc.mp4"
	// limit8K is what everything may need that makes renditions of 4K and below of it.
	limit8K = 1500 // MB
)

// measureEncode8K takes the most that liuyun and all its children hold at a time while
// an 8K source becomes renditions of 4K and below, in SDR and from HDR.
func measureEncode8K(ctx context.Context, b *bench) ([]result, error) {
	path, err := b.media(clip8K)
	if err != nil {
		return nil, err
	}
	sdr, err := b.cached(ctx, "8k.mp4", []string{path}, []string{"-stream_loop", "8", "-i", path, "-an", "-c", "copy"})
	if err != nil {
		return nil, err
	}
	// The same pictures, said to be HDR10: what they show does not matter for memory.
	hdr, err := b.cached(ctx, "8k-hdr.mp4", []string{sdr}, []string{"-i", sdr, "-frames:v", "48", "-vf", "format=yuv420p10le",
		"-c:v", "libx265", "-preset", "ultrafast", "-crf", "28", "-tag:v", "hvc1",
		"-x265-params", "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:keyint=24:log-level=error",
		"-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"})
	if err != nil {
		return nil, err
	}
	var results []result
	for _, c := range []clip{{"8K SDR to 2160p", sdr, "2160,1440,1080,720,480"}, {"8K HDR to 2160p", hdr, "2160,1440,1080,720,480"}} {
		var peak, own int64
		var what string
		made, err := b.encode(ctx, encode{clip: c, preset: "medium", sample: func(pid int) {
			sum, largest := treeMemory(pid)
			own = max(own, residentMemory(pid))
			if sum > peak {
				peak, what = sum, largest
			}
		}})
		if err != nil {
			return results, err
		}
		os.RemoveAll(made.folder)
		results = append(results, result{
			Peer: "the limit", Clip: c.name, Preset: "medium", Unit: "MB of the whole process tree",
			Ours: float64(peak) / 1e6, Theirs: limit8K, Bar: 1, Bound: atMost,
			Notes: fmt.Sprintf("%d units; liuyun itself %.0f MB; at the peak ran %s", made.report.Run.Units, float64(own)/1e6, what),
		})
	}
	return results, nil
}

// treeMemory is what a process and its children hold now, in bytes, and what the
// largest child makes.
func treeMemory(pid int) (sum int64, what string) {
	sum = residentMemory(pid)
	var largest int64
	for _, child := range children(pid) {
		resident := residentMemory(child)
		sum += resident
		if resident > largest {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
			if err == nil {
				largest, what = resident, outputsOf(strings.Split(string(line), "\x00"))
			}
		}
	}
	return sum, what
}

// outputsOf are the files that a command of ffmpeg writes.
func outputsOf(args []string) string {
	var list []string
	for _, arg := range args {
		if strings.HasSuffix(arg, ".mp4") && !strings.HasPrefix(arg, "-") {
			list = append(list, strings.TrimSuffix(arg, ".mp4"))
		}
	}
	if len(list) == 0 {
		return "the analysis"
	}
	return strings.Join(list, " ")
}
