package main

import (
	"context"
	"fmt"
	"os"
)

// measureBreakdown says where the CPU seconds go, at both sizes and presets. What each
// kind of process uses is read while liuyun runs. Decoding and scaling inside
// the units are measured by running them alone, on one thread as the units do;
// the encoder is what is left of the units.
func measureBreakdown(ctx context.Context, b *bench) ([]result, error) {
	var results []result
	for _, of := range []struct {
		height         int
		ladder, preset string
	}{{1080, ladder1080, "medium"}, {1080, ladder1080, "veryfast"}, {720, ladder720, "veryfast"}} {
		c, err := b.joined(ctx, of.height, of.ladder)
		if err != nil {
			return results, err
		}
		r, err := b.breakdown(ctx, c, of.preset)
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
}

func (b *bench) breakdown(ctx context.Context, c clip, preset string) (result, error) {
	people := newCensus()
	ours, err := b.encode(ctx, encode{clip: c, preset: preset, sample: people.look})
	if err != nil {
		return result{}, err
	}
	os.RemoveAll(ours.folder)
	rungs := ours.report.Renditions
	decode, err := b.decodeCPU(ctx, c, nil)
	if err != nil {
		return result{}, err
	}
	both, err := b.decodeCPU(ctx, c, graphOutputs(splitScale(rungs), len(rungs)))
	if err != nil {
		return result{}, err
	}
	encoder := people.kind(kindUnit) - both
	r := result{
		Peer: "the encoders alone", Clip: c.name, Preset: preset, Unit: "CPU s", Ours: ours.CPU, Theirs: encoder,
		Parts: []part{
			{"encoders in the units (the rest of them)", encoder},
			{"decoding in the units", decode},
			{"scaling in the units", both - decode},
			{kindAnalysis, people.kind(kindAnalysis)},
			{kindCheck, people.kind(kindCheck)},
			{kindSound, people.kind(kindSound)},
			{kindProbe, people.kind(kindProbe)},
			{"poster and other", people.kind(kindOther)},
			{kindItself + " (packaging, reading, hashing)", people.kind(kindItself)},
		},
	}
	missed := ours.CPU
	for _, p := range r.Parts {
		missed -= p.Value
	}
	r.Parts = append(r.Parts, part{"not seen (the last moments of children)", missed})
	units := people.each(kindUnit)
	r.Notes = fmt.Sprintf("units of %.1f CPU s, which two cores cannot share more evenly than %.3f times half of their sum; phases on the clock:",
		units, 2*makespan(units, 2)/people.kind(kindUnit))
	for _, p := range ours.phases {
		r.Notes += fmt.Sprintf(" %s %.1f s", p.name, p.wall)
	}
	return r, nil
}

// decodeCPU is the CPU seconds of decoding the clip on one thread and doing with
// it what the options say.
func (b *bench) decodeCPU(ctx context.Context, c clip, options []string) (float64, error) {
	if options == nil {
		options = []string{"-map", "0:v:0", "-f", "null", "-"}
	}
	args := append(b.quietFFmpeg(), "-threads", "1", "-filter_complex_threads", "1", "-i", c.path)
	used, err := command{args: append(args, options...)}.run(ctx)
	return used.CPU, err
}

// graphOutputs sends every end of a graph to nowhere.
func graphOutputs(graph string, count int) []string {
	options := []string{"-filter_complex", graph}
	for i := range count {
		options = append(options, "-map", fmt.Sprintf("[v%d]", i))
	}
	return append(options, "-f", "null", "-")
}
