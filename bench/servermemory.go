package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"liuyun/client"
)

// serverMemoryLimit is what a server itself may use with queuedAssets waiting,
// MB (10⁶ bytes).
const (
	serverMemoryLimit = 150
	queuedAssets      = 50
)

// measureServerMemory takes the peak memory of the server process, without its
// children: while and after so many clips are uploaded at once, on a node that
// only keeps records and on a whole cloud that has begun to encode them.
func measureServerMemory(ctx context.Context, b *bench) ([]result, error) {
	clip, err := b.smallClip(ctx)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, node := range []struct{ name, roles string }{{"control only", "control"}, {"encoding too", "control,worker"}} {
		r, err := b.serverMemory(ctx, clip, node.roles)
		if err != nil {
			return results, err
		}
		r.Clip = fmt.Sprintf("%d assets queued, %s", queuedAssets, node.name)
		results = append(results, r)
	}
	return results, nil
}

// settleTime is how long a server with everything queued is watched.
const settleTime = 20 * time.Second

func (b *bench) serverMemory(ctx context.Context, clip, roles string) (result, error) {
	data, err := b.freshData()
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(filepath.Dir(data))
	s, err := b.serve(ctx, serve{data: data, args: []string{"--roles", roles}})
	if err != nil {
		return result{}, err
	}
	defer s.kill()
	idle := residentMemory(s.Pid)
	if err := s.uploadMany(ctx, clip, queuedAssets); err != nil {
		return result{}, err
	}
	uploaded := peakMemory(s.Pid)
	waiting := queuedAssets
	if waiting, err = s.count(ctx, client.Queued); err != nil {
		return result{}, err
	}
	settle := settleTime
	if b.flags.quick {
		settle = 3 * time.Second
	}
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
	resident := residentMemory(s.Pid)
	used, err := s.stop()
	if err != nil {
		return result{}, err
	}
	return result{
		Peer: "the limit", Unit: "MB", Ours: float64(used.Largest) / 1e6, Theirs: serverMemoryLimit, Bar: 1, Bound: atMost,
		Notes: fmt.Sprintf("resident %.0f MB when idle, peak %.0f MB after %d uploads at once of which %d still waited, resident %.0f MB %.0f s later",
			float64(idle)/1e6, float64(uploaded)/1e6, queuedAssets, waiting, float64(resident)/1e6, settle.Seconds()),
	}, nil
}

// uploadMany uploads the file so many times, all at once.
func (s *server) uploadMany(ctx context.Context, path string, count int) error {
	errs := make([]error, count)
	var running sync.WaitGroup
	for n := range count {
		running.Go(func() {
			_, errs[n] = s.uploadFile(ctx, path, &client.EncodeOptions{Preset: "slow"})
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// count is how many assets are in a state.
func (s *server) count(ctx context.Context, status client.Status) (int, error) {
	c, err := s.client("")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	count := 0
	for _, err := range c.Assets.List(ctx, client.AssetFilter{Status: status}) {
		if err != nil {
			return 0, err
		}
		count++
	}
	return count, nil
}
