// Command bench measures the built program against named peers on this machine
// and writes each figure as a ratio of one run: ours over theirs, with the bar
// that the project sets itself. It runs whole programs and reads what they say
// of themselves; it times no function and changes nothing in the tree but
// bench/results. See README.md for what each figure is.
//
//	go run ./bench                    all of them (make bench)
//	go run ./bench -list
//	go run ./bench -only cpu-medium,bits
//	go run ./bench -quick             short clips, one pair, nothing recorded
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// benchmark is one figure, or a few of one kind.
type benchmark struct {
	name string
	what string
	run  func(context.Context, *bench) ([]result, error)
}

// benchmarks are all of them, in the order of running: those that share runs
// stand together.
func benchmarks() []benchmark {
	return []benchmark{
		{"cpu-medium", "CPU seconds of everything against one plain ffmpeg command, medium", pairedCPU("medium", 1.10)},
		{"wall-medium", "wall seconds on two cores against the same command, medium", pairedWall("medium", 1.08)},
		{"cpu-veryfast", "CPU seconds of everything against one plain ffmpeg command, veryfast", pairedCPU("veryfast", 1.25)},
		{"wall-veryfast", "wall seconds on two cores against the same command, veryfast", pairedWall("veryfast", 1.08)},
		{"bits", "bits at equal SSIM against a single pass with the same key frames", measureBits},
		{"encode-search", "bits at equal VMAF and NEG of searched shots against one CRF for all, at what cost", measureSearch},
		{"memory", "peak memory of liuyun itself against its limit", measureMemory},
		{"scaling", "units a second, two at a time on two cores against one on one", measureScaling},
		{"encode-ladder", "delivered bits and NEG of programmes from their own ladders against Apple's fixed one", measureEncodeLadder},
		{"encode-8k", "peak memory of everything that makes 4K and below of an 8K source against 1.5 GB", measureEncode8K},
		{"breakdown", "where the CPU seconds go, against the encoder alone", measureBreakdown},
		{"analysis", "CPU seconds of the analysis, decode included, against four rungs", measureAnalysis},
		{"saliency", "bits at the same quality where people look, --saliency auto against off", measureSaliency("auto")},
		{"saliency-strong", "the same with --saliency strong", measureSaliency("strong")},
		{"vmaf", "VMAF of 1080p: frames a CPU second against 10, libvmaf and our own in Go; error against libvmaf", measureVMAF},
		{"lists", "lists of a cloud with 100,000 assets against 50 ms, p99", measureLists},
		{"reads", "single assets among them at 500 a second against 10 ms, p99", measureReads},
		{"coldstart", "start of a cloud with them against 3 s", measureColdStart},
		{"servermemory", "peak memory of a server with 50 assets queued against 150 MB", measureServerMemory},
		{"upload", "CPU seconds of receiving 4 GB against nginx's PUT", measureUpload},
		{"queue", "CPU seconds of encoding through the queue against liuyun encode", measureQueue},
		{"workers", "units a second of two workers on a core each against one", measureWorkers},
		{"live-hls", "CPU seconds of delivering a GB by LL-HLS, viewers too, against MediaMTX", measureLiveHLS},
		{"live-rtmp", "CPU seconds of delivering a GB by RTMP, viewers too, against MediaMTX and nginx", measureLiveRTMP},
		{"live-srt", "CPU seconds of delivering a GB by SRT, readers too, against MediaMTX", measureLiveSRT},
		{"live-whep", "CPU seconds of delivering a GB by WebRTC, viewers too, against MediaMTX", measureLiveWHEP},
		{"live-ladder", "CPU seconds of a stream with three renditions against one plain ffmpeg command", measureLiveLadder},
		{"live-adapt", "bits of a live ladder that follows what is seen against one that does not, and its CPU", liveAdapt("mixed")},
		{"live-adapt-people", "the same of a programme of people", liveAdapt("people")},
		{"live-adapt-drawn", "the same of animation and screens", liveAdapt("animation and screen")},
		{"live-memory", "peak memory of a server to which 200 encoders push against 200 MB", measureLiveMemory},
		{"live-start", "seconds from a first key frame to a viewer's first part against 1.5 s", measureLiveStart},
		{"live-glass", "seconds from a picture to the screen, p95, against 2.5 s, 1.3 s with short parts, 0.15 s by WebRTC", measureLiveGlass},
		{"edge-hit", "CPU of what a cache has, server and client, against nginx", measureEdgeHit},
		{"edge-live", "first byte of a segment that is being made, for 50 who ask, against 2 ms and 0.2 s", measureEdgeLive},
		{"edge-start", "start of an edge that has a million objects against 2 s", measureEdgeStart},
		{"edge-purge", "purge of 20 edges at 80 ms round trip against 150 ms, p50", measureEdgePurge},
		{"edge-tier", "parts of a live stream through an edge and a shield against 100 ms later and 1.1 requests each", measureEdgeTier},
		{"edge-kill", "stalls of live viewers while an edge, its shield and the control node are killed and come back", measureEdgeKill},
		{"edge-trace", "bytes of a trace of 5 million requests that a cache has, against nginx and Varnish at equal space", measureEdgeTrace},
	}
}

// flags are the options as they are written.
type flags struct {
	list   bool
	only   string
	quick  bool
	pairs  int
	liuyun string
	meter  string
	// programme is the one that encode-search has alone; "" is all.
	programme string
}

func run(ctx context.Context) error {
	var f flags
	flag.BoolVar(&f.list, "list", false, "list the benchmarks and stop")
	flag.StringVar(&f.only, "only", "", "run these, comma-separated")
	flag.BoolVar(&f.quick, "quick", false, "short clips and one pair: a trial, nothing is recorded")
	flag.IntVar(&f.pairs, "pairs", 3, "pairs of runs for paired figures")
	flag.StringVar(&f.liuyun, "liuyun", builtProgram, "the program to measure")
	flag.StringVar(&f.meter, "meter", "", "for the vmaf benchmark: score what this file describes, and say what it took")
	flag.StringVar(&f.programme, "programme", "", "for the encode-search benchmark: this programme alone")
	flag.Parse()
	if f.meter != "" {
		return meterMain(f.meter, os.Stdout)
	}
	if f.list {
		for _, b := range benchmarks() {
			fmt.Printf("%-14s %s\n", b.name, b.what)
		}
		return nil
	}
	chosen, err := choose(benchmarks(), f.only)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, f)
	if err != nil {
		return err
	}
	defer b.close()
	return b.runAll(ctx, chosen)
}

// choose returns the benchmarks that are named, or all.
func choose(all []benchmark, names string) ([]benchmark, error) {
	if names == "" {
		return all, nil
	}
	wanted := make(map[string]bool)
	for name := range strings.SplitSeq(names, ",") {
		wanted[strings.TrimSpace(name)] = true
	}
	var chosen []benchmark
	for _, b := range all {
		if wanted[b.name] {
			chosen = append(chosen, b)
			delete(wanted, b.name)
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("there is no benchmark %q; -list names them", name)
	}
	return chosen, nil
}

// runAll runs the benchmarks one after the other, records each figure as soon
// as it is there, and prints all of them at the end. A figure above its bar is
// told, not an error: the run itself went well.
func (b *bench) runAll(ctx context.Context, chosen []benchmark) error {
	var figures []result
	var failed []error
	for _, one := range chosen {
		b.say("%s: %s", one.name, one.what)
		found, err := one.run(ctx, b)
		var absent *absentError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &absent):
			b.say("%s: skipped: %v", one.name, err)
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", one.name, err))
		}
		for i := range found {
			found[i].Name = one.name
			found[i].judge(b.machine)
			if err := b.record(found[i]); err != nil {
				return err
			}
		}
		figures = append(figures, found...)
	}
	writeTable(os.Stdout, figures)
	return errors.Join(failed...)
}

// record appends a figure to its file, unless it is worth nothing later.
func (b *bench) record(r result) error {
	if b.flags.quick || r.Disturbed {
		return nil
	}
	return appendResult(filepath.Join(b.root, "bench", "results"), r)
}
