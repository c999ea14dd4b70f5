package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"liuyun/client"
)

// measureQueue compares the CPU seconds of a clip that is uploaded to a cloud of
// one machine and encoded through its queue with those of liuyun encode, in turn
// and on the same two cores. Ours is everything from the start of the server to
// its end: the upload, the records, the queue, the bus and all children.
func measureQueue(ctx context.Context, b *bench) ([]result, error) {
	const preset = "veryfast"
	cpus, err := b.cores(2)
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
	idle, err := b.idleServer(ctx, cpus)
	if err != nil {
		return nil, err
	}
	var ours, theirs, ratios []float64
	others := 0.0
	for n := range count {
		queued, made, err := b.throughQueue(ctx, c, preset, cpus)
		if err != nil {
			return nil, err
		}
		alone, err := b.encode(ctx, encode{clip: c, preset: preset, cpus: cpus})
		if err != nil {
			return nil, err
		}
		os.RemoveAll(alone.folder)
		if made.Plan != alone.report.Plan || len(made.Renditions) != len(alone.report.Renditions) {
			return nil, fmt.Errorf("the queue made %d renditions by %+v, liuyun encode %d by %+v", len(made.Renditions), made.Plan, len(alone.report.Renditions), alone.report.Plan)
		}
		b.say("  pair %d of %d: through the queue %.1f CPU s, %.1f s; liuyun encode %.1f CPU s, %.1f s; others %.0f %%, %.0f %%",
			n+1, count, queued.CPU, queued.Wall, alone.CPU, alone.Wall, 100*queued.Others, 100*alone.Others)
		ours, theirs, ratios = append(ours, queued.CPU), append(theirs, alone.CPU), append(ratios, queued.CPU/alone.CPU)
		others = max(others, queued.Others, alone.Others)
	}
	return []result{{
		Peer: "liuyun encode", Clip: c.name, Preset: preset, Unit: "CPU s", Ours: median(ours), Theirs: median(theirs), Bar: 1.03, Bound: atMost,
		Notes: fmt.Sprintf("%d pairs, ratios %.3f to %.3f; nothing is subtracted: starting and stopping a server that does nothing takes %.2f CPU s of ours; others used up to %.0f %% of the machine",
			count, slices.Min(ratios), slices.Max(ratios), idle.CPU, 100*others),
	}}, nil
}

// throughQueue has a new cloud encode a clip, and says what all of it used.
func (b *bench) throughQueue(ctx context.Context, c clip, preset string, cpus []int) (used usage, made report, err error) {
	data, err := b.freshData()
	if err != nil {
		return used, made, err
	}
	defer os.RemoveAll(filepath.Dir(data))
	err = b.withServer(ctx, serve{data: data, cpus: cpus}, &used, func(s *server) error {
		a, err := s.uploadFile(ctx, c.path, &client.EncodeOptions{Preset: preset, Ladder: c.ladder})
		if err != nil {
			return err
		}
		if _, err := s.await(ctx, a.ID, client.Ready); err != nil {
			return err
		}
		made, err = s.report(a.ID)
		return err
	})
	return used, made, err
}

// idleServer is what a new cloud uses that is stopped when it is ready.
func (b *bench) idleServer(ctx context.Context, cpus []int) (used usage, err error) {
	data, err := b.freshData()
	if err != nil {
		return used, err
	}
	defer os.RemoveAll(filepath.Dir(data))
	err = b.withServer(ctx, serve{data: data, cpus: cpus}, &used, func(*server) error { return nil })
	return used, err
}
