package main

import (
	"context"
	"fmt"
	"os"
)

// measureScaling compares units a second: two at a time on two cores against
// one at a time on one. It takes the phase that encodes, checks included, from
// its first progress line to the first of packaging.
func measureScaling(ctx context.Context, b *bench) ([]result, error) {
	return b.twoAgainstOne(ctx, scaling{
		peer: "liuyun with one unit at a time on one core", what: "at a time", notes: "encode phase",
		encode: func(c clip, preset string, cpus []int, jobs int) (p phaseOfUnits, used usage, err error) {
			run, err := b.encode(ctx, encode{clip: c, preset: preset, jobs: jobs, cpus: cpus[:jobs]})
			if err != nil {
				return p, used, err
			}
			os.RemoveAll(run.folder)
			wall, err := run.phase("encode")
			return phaseOfUnits{run.report.Plan.Units, wall, run.report.Renditions[0]}, run.usage, err
		},
	})
}

// scaling is what is done twice at a time and once.
type scaling struct {
	peer, what, notes string
	twice             bool // the clip is taken twice: there are more units to share
	encode            func(c clip, preset string, cpus []int, n int) (phaseOfUnits, usage, error)
}

// twoAgainstOne compares units a second of two on two cores with those of one. How
// much two processes of one thread hinder each other on these two cores is measured
// beside it: no program on the machine gets more.
func (b *bench) twoAgainstOne(ctx context.Context, s scaling) ([]result, error) {
	const preset = "veryfast"
	cpus, err := b.cores(2)
	if err != nil {
		return nil, err
	}
	c, err := b.joined(ctx, 1080, ladder1080)
	if err == nil && s.twice {
		c, err = b.twice(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	count := b.flags.pairs
	if b.flags.quick {
		count = 1
	}
	rates, seconds := map[int][]float64{}, map[int][]float64{}
	var last phaseOfUnits
	others := 0.0
	for range count {
		for _, n := range []int{2, 1} {
			phase, used, err := s.encode(c, preset, cpus, n)
			if err != nil {
				return nil, err
			}
			b.say("  %d %s: %d units in %.1f s; all %.1f CPU s, others %.0f %%", n, s.what, phase.units, phase.wall, used.CPU, 100*used.Others)
			last, others = phase, max(others, used.Others)
			rates[n], seconds[n] = append(rates[n], float64(phase.units)/phase.wall), append(seconds[n], used.CPU)
		}
	}
	ceiling, err := b.ceiling(ctx, c, preset, last.rung, cpus)
	if err != nil {
		return nil, err
	}
	return []result{{
		Peer: s.peer, Clip: c.name, Preset: preset, Unit: "units/s", Ours: median(rates[2]), Theirs: median(rates[1]), Bar: 1.9, Bound: atLeast,
		Notes: fmt.Sprintf("%s, %d units; all CPU seconds %.1f against %.1f; two plain ffmpeg processes of one thread reach %.3f times one; others used up to %.0f %% of the machine",
			s.notes, last.units, median(seconds[2]), median(seconds[1]), ceiling, 100*others),
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
