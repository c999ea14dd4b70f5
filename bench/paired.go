package main

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// pairs are runs of ours and of the plain command in turn, A B A B, so that what
// drifts on the machine meets both alike.
type pairs struct {
	ours   []usage
	theirs []usage
	report report
}

// disturbance is the share of the machine that others may use before a wall
// figure means nothing.
const disturbance = 0.05

// pairedCPU compares the CPU seconds of both on the two clips.
func pairedCPU(preset string, bar float64) func(context.Context, *bench) ([]result, error) {
	return func(ctx context.Context, b *bench) ([]result, error) {
		return b.paired(ctx, preset, func(p *pairs) result {
			return p.result("CPU s", bar, func(u usage) float64 { return u.CPU })
		})
	}
}

// pairedWall compares the seconds on the clock of the same runs.
func pairedWall(preset string, bar float64) func(context.Context, *bench) ([]result, error) {
	return func(ctx context.Context, b *bench) ([]result, error) {
		return b.paired(ctx, preset, func(p *pairs) result {
			r := p.result("s", bar, func(u usage) float64 { return u.Wall })
			r.Disturbed = p.others() > disturbance
			return r
		})
	}
}

func (b *bench) paired(ctx context.Context, preset string, figure func(*pairs) result) ([]result, error) {
	clips, err := b.clips(ctx)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, c := range clips {
		p, err := b.runPairs(ctx, c, preset)
		if err != nil {
			return results, err
		}
		r := figure(p)
		r.Clip, r.Preset = c.name, preset
		results = append(results, r)
	}
	return results, nil
}

// runPairs makes the runs, or takes those that another figure has made.
func (b *bench) runPairs(ctx context.Context, c clip, preset string) (*pairs, error) {
	key := c.name + " " + preset
	if p := b.pairs[key]; p != nil {
		return p, nil
	}
	cpus, err := b.cores(2)
	if err != nil {
		return nil, err
	}
	count := b.flags.pairs
	if b.flags.quick {
		count = 1
	}
	p := &pairs{}
	for n := range count {
		ours, err := b.encode(ctx, encode{clip: c, preset: preset, cpus: cpus})
		if err != nil {
			return nil, err
		}
		os.RemoveAll(ours.folder)
		theirs, err := b.plain(ctx, c, preset, ours.report, cpus)
		if err != nil {
			return nil, err
		}
		p.report = ours.report
		p.ours, p.theirs = append(p.ours, ours.usage), append(p.theirs, theirs)
		b.say("  %s %s, pair %d of %d: ours %.1f CPU s, %.1f s; theirs %.1f CPU s, %.1f s; others %.0f %%, %.0f %%", c.name, preset, n+1, count,
			ours.CPU, ours.Wall, theirs.CPU, theirs.Wall, 100*ours.Others, 100*theirs.Others)
	}
	b.pairs[key] = p
	return p, nil
}

// result compares one value of the runs by its medians.
func (p *pairs) result(unit string, bar float64, value func(usage) float64) result {
	var ours, theirs, ratios []float64
	for i := range p.ours {
		a, b := value(p.ours[i]), value(p.theirs[i])
		ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, a/b)
	}
	recoded := 0
	for _, r := range p.report.Renditions {
		recoded += r.Recoded
	}
	return result{
		Peer: plainPeer, Unit: unit, Ours: median(ours), Theirs: median(theirs), Bar: bar, Bound: atMost,
		Notes: fmt.Sprintf("%d pairs, ratios %.3f to %.3f, %d units, %d encoded again for the cap, %d retried, others used up to %.0f %% of the machine",
			len(ratios), slices.Min(ratios), slices.Max(ratios), p.report.Plan.Units, recoded, p.report.Run.Retried, 100*p.others()),
	}
}

// others is the most that anything else used of the machine in any run.
func (p *pairs) others() float64 {
	most := 0.0
	for i := range p.ours {
		most = max(most, p.ours[i].Others, p.theirs[i].Others)
	}
	return most
}
