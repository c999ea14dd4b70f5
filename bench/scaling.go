package main

import (
	"context"
	"fmt"
	"os"
)

// measureScaling compares units a second: two at a time on two cores against
// one at a time on one. It takes the phase that encodes, checks included, from
// its first progress line to the first of packaging. How much two processes of
// one thread hinder each other on these two cores is measured beside it: no
// program on the machine gets more.
func measureScaling(ctx context.Context, b *bench) ([]result, error) {
	const preset = "veryfast"
	two, err := b.cores(2)
	if err != nil {
		return nil, err
	}
	c, err := b.joined(ctx, 1080, ladder1080)
	if err != nil {
		return nil, err
	}
	count := b.flags.pairs
	if b.flags.quick {
		count = 1
	}
	var fast, slow, fastCPU, slowCPU []float64
	var others float64
	var last report
	for range count {
		for _, jobs := range []int{2, 1} {
			run, err := b.encode(ctx, encode{clip: c, preset: preset, jobs: jobs, cpus: two[:jobs]})
			if err != nil {
				return nil, err
			}
			os.RemoveAll(run.folder)
			wall, err := run.phase("encode")
			if err != nil {
				return nil, err
			}
			b.say("  %d at a time: encode phase %.1f s, all %.1f s and %.1f CPU s, others %.0f %%", jobs, wall, run.Wall, run.CPU, 100*run.Others)
			rate := float64(run.report.Plan.Units) / wall
			last, others = run.report, max(others, run.Others)
			if jobs == 2 {
				fast, fastCPU = append(fast, rate), append(fastCPU, run.CPU)
			} else {
				slow, slowCPU = append(slow, rate), append(slowCPU, run.CPU)
			}
		}
	}
	ceiling, err := b.ceiling(ctx, c, preset, last.Renditions[0], two)
	if err != nil {
		return nil, err
	}
	return []result{{
		Peer: "liuyun with one unit at a time on one core", Clip: c.name, Preset: preset,
		Unit: "units/s", Ours: median(fast), Theirs: median(slow), Bar: 1.9, Bound: atLeast,
		Notes: fmt.Sprintf("encode phase of %d units; all CPU seconds %.1f against %.1f; two plain ffmpeg processes of one thread reach %.3f times one; others used up to %.0f %% of the machine",
			last.Plan.Units, median(fastCPU), median(slowCPU), ceiling, 100*others),
		Disturbed: others > disturbance,
	}}, nil
}

// ceiling is how many times the work of one process two make at the same time,
// each on its own core: 2 where cores share nothing.
func (b *bench) ceiling(ctx context.Context, c clip, preset string, r rendition, cpus []int) (float64, error) {
	work := func(cpu int) (usage, error) {
		args := append(b.quietFFmpeg(), "-threads", "1", "-t", "20", "-i", c.path, "-map", "0:v:0")
		args = append(args, rungArgs(0, preset, r, r.Quality)...)
		return command{args: append(args, "-threads", "1", "-f", "null", "-"), cpus: []int{cpu}}.run(ctx)
	}
	alone, err := work(cpus[0])
	if err != nil {
		return 0, err
	}
	type answer struct {
		used usage
		err  error
	}
	answers := make(chan answer, 2)
	for _, cpu := range cpus[:2] {
		go func() {
			used, err := work(cpu)
			answers <- answer{used, err}
		}()
	}
	longest := 0.0
	for range 2 {
		a := <-answers
		if a.err != nil {
			err = a.err
		}
		longest = max(longest, a.used.Wall)
	}
	if err != nil {
		return 0, err
	}
	return 2 * alone.Wall / longest, nil
}
