package live

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/store"
)

const (
	// tidyEvery is how often windows are looked at that nobody uses.
	tidyEvery = time.Minute
	// openFor is how long such a window stays open: longer than players wait between two
	// requests.
	openFor = 5 * time.Minute
	// mostOpen is how much time all of those that are open may keep together: about
	// 64 MB of memory.
	mostOpen = 128 * time.Hour
	// leastOver is how long a stream that is over can be watched, however short its window.
	leastOver = time.Hour
)

// tidy closes and deletes windows that nobody needs, until ctx ends.
func (s *Service) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		now := time.Now()
		s.closeWindows(now)
		if err := s.deleteOver(ctx, now); err != nil && ctx.Err() == nil {
			s.Log.Warn("what streams that are over have left was not deleted; it is tried again", "cause", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// closeWindows closes those that nobody has used for a while, and of more than there
// may be those that were used least lately. They are opened again when somebody asks.
func (s *Service) closeWindows(now time.Time) {
	type unused struct {
		stream string
		used   time.Time
	}
	var all []unused
	s.windowMu.Lock()
	for stream, w := range s.windows {
		if w.uses == 0 {
			all = append(all, unused{stream, w.used})
		}
	}
	s.windowMu.Unlock()
	slices.SortFunc(all, func(a, b unused) int { return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.stream, b.stream)) })
	for i, u := range all {
		if i >= s.mostUnused() || now.Sub(u.used) >= openFor {
			s.closeWindow(u.stream)
		}
	}
}

// mostUnused is how many windows may be open that nobody uses.
func (s *Service) mostUnused() int { return max(4, min(int(mostOpen/s.Config.Window), 256)) }

// closeWindow closes a window, unless somebody uses it, or it has what is not on the
// disk, because that is full.
func (s *Service) closeWindow(stream string) {
	w := s.enterUnused(stream)
	if w == nil {
		return
	}
	defer s.leaveWindow(stream, w)
	defer w.mu.Unlock()
	if w.group == nil {
		return
	}
	if err := w.group.Close(); err != nil {
		s.Log.Warn("the window of a stream stays in memory, because it is not whole on the disk", "stream", stream, "cause", err)
		return
	}
	w.group = nil
}

// overFor is how long what a stream has left can be watched when it is over: as long as
// viewers can go back, and an hour at least.
func (s *Service) overFor() time.Duration { return max(s.Config.Window, leastOver) }

// deleteOver deletes what streams have left of which nothing has come for overFor, but
// for what is recorded still.
func (s *Service) deleteOver(ctx context.Context, now time.Time) error {
	return s.eachFolder(func(stream string) error {
		newest, err := window.Newest(s.windowFolder(stream))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || now.Sub(newest) < s.overFor() {
			return err
		}
		// Who begins to record after this look uses the window already, and is seen below.
		if recorded, err := s.isRecorded(ctx, stream); err != nil || recorded {
			return err
		}
		w := s.enterUnused(stream)
		if w == nil {
			return nil // on air, though nothing comes
		}
		defer s.leaveWindow(stream, w)
		defer w.mu.Unlock()
		w.group = nil
		s.Log.Info("a stream is over, and what viewers could go back to is deleted", "stream", stream, "newest", newest)
		return os.RemoveAll(s.windowFolder(stream))
	})
}

// clean removes what streams left that were deleted while nobody could see to it.
func (s *Service) clean(ctx context.Context) error {
	return s.eachFolder(func(stream string) error {
		if recorded, err := s.isRecorded(ctx, stream); err != nil || recorded {
			return err
		}
		_, err := s.streamOf(ctx, stream)
		if fault.CodeOf(err) == fault.NotFound {
			return s.forget(stream)
		}
		return err
	})
}

// eachFolder calls fn for each stream that has a folder, and returns what failed.
func (s *Service) eachFolder(fn func(stream string) error) error {
	entries, err := os.ReadDir(s.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if id.Valid("str", entry.Name()) {
			err = errors.Join(err, fn(entry.Name()))
		}
	}
	return err
}

// isRecorded reports whether a recording or clip of a stream is not finished.
func (s *Service) isRecorded(ctx context.Context, stream string) (recorded bool, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		list, err := listRecordings(tx, `WHERE stream = ?`, stream)
		recorded = len(list) > 0
		return err
	})
	return recorded, err
}
