package vod

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/store"
)

const (
	sweepEvery = 30 * time.Second
	// busyEvery is how soon a deleted asset is looked at again whose workers have not
	// let go yet: they do so within moments.
	busyEvery = 2 * time.Second
	// lateWriter is how long a worker that was cut off may still write for an asset
	// that is gone: longer than a lease. After it, what came late is removed too, and
	// the record.
	lateWriter = 10 * time.Minute
	sweepBatch = 100
)

func (s *Service) nudgeSweep() {
	select {
	case s.sweep <- struct{}{}:
	default:
	}
}

// sweepLoop removes what nobody needs any more from the blob store. It may be
// killed anywhere and run on several nodes: what is to be removed is in the
// records, and removing it twice does no harm.
func (s *Service) sweepLoop(ctx context.Context) {
	timer := time.NewTicker(sweepEvery)
	defer timer.Stop()
	for {
		busy, err := s.sweepOnce(ctx, time.Now())
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("what is no longer needed could not be removed; it is tried again", "cause", err)
		}
		timer.Reset(sweepEvery)
		if busy {
			timer.Reset(busyEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.sweep:
		case <-timer.C:
		}
	}
}

// sweepOnce removes what it may and reports whether there is soon more to remove: it
// passed over an asset at which a worker is still busy, or there were too many.
func (s *Service) sweepOnce(ctx context.Context, now time.Time) (busy bool, err error) {
	var garbage, deleted []*asset
	err = s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if garbage, err = queryAssets(tx, `WHERE garbage <> 'null' AND deleted = 0 LIMIT ?`, sweepBatch); err != nil {
			return err
		}
		deleted, err = queryAssets(tx, `WHERE deleted > 0 AND (touched < deleted OR deleted < ?) ORDER BY deleted LIMIT ?`,
			store.Time(now.Add(-lateWriter)), sweepBatch)
		return err
	})
	if err != nil {
		return false, err
	}
	var problems []error
	busy = len(deleted) == sweepBatch
	for _, a := range garbage {
		waits, err := s.collect(ctx, a)
		busy, problems = busy || waits, append(problems, err)
	}
	for _, a := range deleted {
		waits, err := s.collectAll(ctx, a, now)
		busy, problems = busy || waits, append(problems, err)
	}
	return busy, errors.Join(problems...)
}

// collect removes what an asset has no use for any more, but comparisons that a worker
// may still be writing: then it reports that there is more to remove.
func (s *Service) collect(ctx context.Context, a *asset) (busy bool, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if a, err = anyAsset(tx, a.ID); err != nil { // another round may have taken long: a new job may need it again
			return err
		}
		busy, err = s.Jobs.Busy(tx, a.Tenant, a.ID)
		return err
	})
	if err != nil {
		return false, err
	}
	var removed []string
	for _, prefix := range a.Garbage {
		if busy && strings.HasPrefix(prefix, comparisonFolders(a.ID)) {
			continue
		}
		if err := s.Blob.DeleteAll(ctx, prefix); err != nil {
			return false, err
		}
		removed = append(removed, prefix)
	}
	busy = len(removed) < len(a.Garbage)
	if len(removed) == 0 {
		return busy, nil
	}
	return busy, s.DB.Write(ctx, func(tx *store.Tx) error {
		now, err := anyAsset(tx, a.ID)
		if err != nil {
			return err
		}
		now.notGarbage(removed...)
		return saveAsset(tx, now) // no change that anybody sees
	})
}

// notGarbage takes prefixes off the list of what is to be removed.
func (a *asset) notGarbage(prefixes ...string) {
	a.Garbage = slices.DeleteFunc(a.Garbage, func(prefix string) bool { return slices.Contains(prefixes, prefix) })
	if len(a.Garbage) == 0 {
		a.Garbage = nil // so that it is in no index
	}
}

// collectAll removes everything of a deleted asset, once its workers have let
// go and again when no late one can write any more. It removes nothing, and
// reports that, while one is busy.
func (s *Service) collectAll(ctx context.Context, a *asset, now time.Time) (busy bool, err error) {
	late := now.Sub(a.Deleted) > lateWriter
	err = s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		busy, err = s.Jobs.Busy(tx, a.Tenant, a.ID)
		return err
	})
	if err != nil || (busy && !late) {
		return busy, err
	}
	for _, prefix := range []string{assetFolder(a.ID), encode.UnitsPrefix(a.ID)} {
		if err := s.Blob.DeleteAll(ctx, prefix); err != nil {
			return false, err
		}
	}
	return false, s.DB.Write(ctx, func(tx *store.Tx) error {
		if !late {
			_, err := tx.Exec(`UPDATE assets SET touched = ? WHERE id = ?`, store.Time(now), a.ID)
			return err
		}
		if err := s.Jobs.RemoveGroup(tx, a.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM asset_spent WHERE asset = ?`, a.ID); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM assets WHERE id = ?`, a.ID)
		return err
	})
}
