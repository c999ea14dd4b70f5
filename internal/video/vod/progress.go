package vod

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/event"
	"liuyun/internal/contract/ingest"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

// progressBoard is how far the assets are that are being made, and comparisons, which
// have the names of their jobs. It is told by the bus, is in memory only, and lacks what
// was told before this process began.
type progressBoard struct {
	mu    sync.Mutex
	known map[string]progressEntry
}

type progressEntry struct {
	fraction float64
	phase    string
	seen     time.Time
}

// boardLimit bounds the board; past it the entries that are silent the longest
// go. An entry is renewed every few seconds.
const boardLimit = 4096

func (b *progressBoard) put(asset string, fraction float64, phase string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil {
		b.known = make(map[string]progressEntry)
	}
	if _, there := b.known[asset]; !there && len(b.known) >= boardLimit {
		oldest, at := "", time.Now()
		for name, entry := range b.known {
			if entry.seen.Before(at) {
				oldest, at = name, entry.seen
			}
		}
		delete(b.known, oldest)
	}
	b.known[asset] = progressEntry{fraction, phase, time.Now()}
}

func (b *progressBoard) get(asset string) (progressEntry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entry, ok := b.known[asset]
	return entry, ok
}

func (b *progressBoard) forget(asset string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, asset)
}

// Progress is a passing word on an asset; nothing is lost with it.
type Progress struct {
	ID       string  `json:"id"`
	Status   Status  `json:"status"`
	Progress float64 `json:"progress"`
	Phase    string  `json:"phase"`
	// WaitingFor is as in [Asset].
	WaitingFor *string `json:"waiting_for"`
}

// watchProgress follows the jobs of assets until ctx ends.
func (s *Service) watchProgress(ctx context.Context) error {
	stop, err := s.Bus.Subscribe(job.SubjectProgress, func(_ string, data []byte) {
		var p job.Progress
		if json.Unmarshal(data, &p) != nil {
			return
		}
		status := Processing
		switch p.Kind {
		case encode.Compare:
			s.progress.put(p.Job, p.Progress, p.Phase)
			s.tell(p.Tenant, Progress{ID: p.Group, Status: Ready, Progress: p.Progress, Phase: encode.Compare})
			return
		case encode.Transcode:
		case ingest.Import:
			status = Queued
		default:
			return
		}
		s.progress.put(p.Group, p.Progress, p.Phase)
		s.tell(p.Tenant, Progress{ID: p.Group, Status: status, Progress: p.Progress, Phase: p.Phase})
	})
	if err != nil {
		return err
	}
	defer stop()
	<-ctx.Done()
	return nil
}

const (
	roomEvery = 5 * time.Second
	roomBatch = 1000 // assets that are told of at once
)

// watchRoom tells who watches the assets that are not made yet when the disk is
// full, and when there is room again: nothing else may happen to them meanwhile.
func (s *Service) watchRoom(ctx context.Context) error {
	ticker := time.NewTicker(roomEvery)
	defer ticker.Stop()
	for full := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if now := s.Room() != nil; now != full {
			full = now
			s.tellUnfinished(ctx)
		}
	}
}

func (s *Service) tellUnfinished(ctx context.Context) {
	var unfinished []*asset
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		unfinished, err = queryAssets(tx, `WHERE status IN (?, ?) AND deleted = 0 LIMIT ?`, Queued, Processing, roomBatch)
		return err
	})
	if err != nil {
		s.Log.Debug("assets that wait were not told of", "cause", err)
		return
	}
	for _, a := range unfinished {
		entry, _ := s.progress.get(a.ID)
		s.tell(a.Tenant, Progress{ID: a.ID, Status: a.Status, Progress: entry.fraction, Phase: entry.phase})
	}
}

// tell passes progress on to who watches; it may be lost.
func (s *Service) tell(tenant string, p Progress) {
	if p.Status != Uploading && p.Status != Ready && s.Room() != nil {
		hold := job.HoldStorage
		p.WaitingFor = &hold
	}
	if err := s.Bus.Announce(event.Event{Type: event.AssetProgress, Tenant: tenant, Data: json.RawMessage(encoded(p))}); err != nil {
		s.Log.Debug("progress was not passed on", "asset", p.ID, "cause", err)
	}
}

// Run watches the jobs of assets and removes what nobody needs any more, until
// ctx ends.
func (s *Service) Run(ctx context.Context, ready func()) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.watchProgress(ctx) })
	group.Go(func() error { return s.watchRoom(ctx) })
	group.Go(func() error { s.sweepLoop(ctx); return nil })
	ready()
	return group.Wait()
}
