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
)

// progressBoard is how far the assets are that are being made. It is told by the
// bus, is in memory only, and lacks what was told before this process began.
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
		case encode.Transcode:
		case ingest.Import:
			status = Queued
		default:
			return
		}
		s.progress.put(p.Group, p.Progress, p.Phase)
		s.tell(p.Tenant, Progress{p.Group, status, p.Progress, p.Phase})
	})
	if err != nil {
		return err
	}
	defer stop()
	<-ctx.Done()
	return nil
}

// tell passes progress on to who watches; it may be lost.
func (s *Service) tell(tenant string, p Progress) {
	if err := s.Bus.Announce(event.Event{Type: event.AssetProgress, Tenant: tenant, Data: json.RawMessage(encoded(p))}); err != nil {
		s.Log.Debug("progress was not passed on", "asset", p.ID, "cause", err)
	}
}

// Run watches the jobs of assets and removes what nobody needs any more, until
// ctx ends.
func (s *Service) Run(ctx context.Context, ready func()) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.watchProgress(ctx) })
	group.Go(func() error { s.sweepLoop(ctx); return nil })
	ready()
	return group.Wait()
}
