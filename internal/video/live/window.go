package live

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/store"
)

// openWindow returns the window of a stream, and makes it.
func (s *Service) openWindow(stream string) (*window.Group, error) {
	s.windowMu.Lock()
	defer s.windowMu.Unlock()
	if g := s.windows[stream]; g != nil {
		return g, nil
	}
	g, err := window.New(window.Options{
		Folder: filepath.Join(s.Folder, stream), Keep: s.Config.Window, Soon: time.Second, Part: s.Config.Part, MaxBytes: int64(s.Config.WindowBytes),
		Room: s.Room, Buffers: &s.buffers, Log: s.Log.With("stream", stream),
	})
	if err != nil {
		return nil, err
	}
	s.windows[stream] = g
	return g, nil
}

// findWindow returns the window of a stream that was on air here.
func (s *Service) findWindow(stream string) (*window.Group, error) {
	s.windowMu.Lock()
	g := s.windows[stream]
	s.windowMu.Unlock()
	if g != nil {
		return g, nil
	}
	if _, err := os.Lstat(filepath.Join(s.Folder, stream)); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the stream has not begun yet: try again in a few seconds")
	}
	return s.openWindow(stream)
}

// forget removes the window of a stream.
func (s *Service) forget(stream string) error {
	s.mu.Lock()
	delete(s.heads, stream)
	s.mu.Unlock()
	s.crowd.forget(stream)
	s.windowMu.Lock()
	defer s.windowMu.Unlock()
	delete(s.windows, stream)
	return os.RemoveAll(filepath.Join(s.Folder, stream))
}

// clean removes what streams left that were deleted while nobody could see to it.
func (s *Service) clean(ctx context.Context) error {
	entries, err := os.ReadDir(s.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if !id.Valid("str", name) {
			continue
		}
		err := s.DB.Read(ctx, func(tx *store.Tx) error {
			recorded, err := listRecordings(tx, `WHERE stream = ?`, name)
			if err == nil && len(recorded) == 0 {
				_, err = findStream(tx, "", name)
			}
			return err
		})
		if fault.CodeOf(err) == fault.NotFound {
			err = s.forget(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
