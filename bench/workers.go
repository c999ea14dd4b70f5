package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"liuyun/client"
	"liuyun/internal/kit/store"
)

// measureWorkers compares units a second of two machines that encode with those
// of one: processes that joined a control node, each pinned to a core of its own.
// The control node runs on the second core, so that the one worker has the first
// for itself and the two do not. The clip is taken twice: of a few units the two
// cannot take equal shares, and one waits for the other in the end.
func measureWorkers(ctx context.Context, b *bench) ([]result, error) {
	return b.twoAgainstOne(ctx, scaling{
		peer: "one worker on one core", what: "workers", notes: "from the start of the first unit to the end of the last; the control node runs on the second core", twice: true,
		encode: func(c clip, preset string, cpus []int, workers int) (phaseOfUnits, usage, error) {
			return b.withWorkers(ctx, c, preset, cpus, workers)
		},
	})
}

// withWorkers has a cloud of a control node and so many workers encode a clip.
func (b *bench) withWorkers(ctx context.Context, c clip, preset string, cpus []int, workers int) (p phaseOfUnits, all usage, err error) {
	folder, err := b.folder()
	if err != nil {
		return p, all, err
	}
	defer os.RemoveAll(folder)
	before, err := readBusy()
	if err != nil {
		return p, all, err
	}
	nodes, err := b.startCloud(ctx, folder, cpus, workers)
	defer func() {
		for _, node := range nodes {
			node.kill()
		}
	}()
	if err != nil {
		return p, all, err
	}
	control := nodes[0]
	a, err := control.uploadFile(ctx, c.path, &client.EncodeOptions{Preset: preset, Ladder: c.ladder})
	if err != nil {
		return p, all, err
	}
	if _, err := control.await(ctx, a.ID, client.Ready); err != nil {
		return p, all, err
	}
	// The workers first: they say goodbye to a control node.
	for i := range nodes {
		used, err := nodes[len(nodes)-1-i].stop()
		if err != nil {
			return p, all, err
		}
		all.CPU += used.CPU
	}
	after, err := readBusy()
	if err != nil {
		return p, all, err
	}
	all.Others = othersShare(before, after, all.CPU)
	if p, err = readUnits(ctx, control.data, a.ID); err != nil {
		return p, all, err
	}
	made, err := control.report(a.ID)
	if err == nil {
		p.rung = made.Renditions[0]
	}
	return p, all, err
}

// startCloud starts a control node and workers that join it, as on machines of
// their own. It returns those that run, the control node first, also besides an
// error.
func (b *bench) startCloud(ctx context.Context, folder string, cpus []int, workers int) ([]*server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	control := serve{
		data: filepath.Join(folder, "control"), cpus: cpus[1:2],
		args: []string{"--roles", "control", "--set", "node.listen=" + ports[0], "--set", "bus.listen=" + ports[1]},
	}
	s, err := b.serve(ctx, control)
	if err != nil {
		return nil, err
	}
	nodes := []*server{s}
	c, err := s.client("")
	if err != nil {
		return nodes, err
	}
	defer c.Close()
	for n := range workers {
		token, err := c.Nodes.CreateJoinToken(ctx, nil, time.Hour)
		if err != nil {
			return nodes, err
		}
		w, err := b.serve(ctx, serve{
			data: filepath.Join(folder, fmt.Sprintf("worker-%d", n+1)), cpus: cpus[n : n+1],
			args: []string{"--roles", "worker", "--join", token.Token, "--name", fmt.Sprintf("worker-%d", n+1)},
		})
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, w)
	}
	return nodes, nil
}

// phaseOfUnits is the part of the work in which units are encoded and checked.
type phaseOfUnits struct {
	units int
	wall  float64   // seconds from the start of the first to the end of the last
	rung  rendition // the largest
}

// readUnits reads from the records of a control node that has stopped when the
// units of an asset were made. Stretches of the analysis are jobs of the same
// kind and are not counted.
func readUnits(ctx context.Context, data, asset string) (p phaseOfUnits, err error) {
	db, err := store.Open(ctx, filepath.Join(data, "store"), store.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		return p, err
	}
	defer db.Close()
	err = db.Read(ctx, func(tx *store.Tx) error {
		var began, ended int64
		row := tx.QueryRow(`SELECT count(*), coalesce(min(started), 0), coalesce(max(ended), 0) FROM jobs
			WHERE grp = ? AND kind = 'unit' AND state = 'done' AND json_extract(payload, '$.unit') IS NOT NULL`, asset)
		if err := row.Scan(&p.units, &began, &ended); err != nil {
			return err
		}
		p.wall = store.FromTime(ended).Sub(store.FromTime(began)).Seconds()
		return nil
	})
	if err == nil && (p.units == 0 || p.wall <= 0) {
		err = errors.New("the records tell of no unit")
	}
	return p, err
}
