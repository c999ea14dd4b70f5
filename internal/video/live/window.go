package live

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/window"
)

// streamWindow is the window of a stream. Service.windowMu guards uses and used.
type streamWindow struct {
	uses int       // by sessions, recordings and requests
	used time.Time // when one of them ended last

	// mu is held by a user while the window is opened, closed or deleted: others who come
	// meanwhile wait. It is free where uses is 0.
	mu    sync.Mutex
	group *window.Group // nil while it is not open
}

// openWindow returns the window of a stream, and makes it. It stays open until done is
// called.
func (s *Service) openWindow(stream string) (g *window.Group, done func(), err error) {
	return s.useWindow(stream, func() error { return nil })
}

// findWindow returns the window of a stream that was on air here, as openWindow does.
func (s *Service) findWindow(stream string) (g *window.Group, done func(), err error) {
	return s.useWindow(stream, func() error {
		if _, err := os.Lstat(s.windowFolder(stream)); err != nil {
			return fault.Wrap(err, fault.Unavailable, "nothing of the stream can be watched: it has not begun yet, or is over; try again in a few seconds")
		}
		return nil
	})
}

func (s *Service) windowFolder(stream string) string { return filepath.Join(s.Folder, stream) }

// useWindow returns the window of a stream. Where it is not open, it is opened if may
// returns nil.
func (s *Service) useWindow(stream string, may func() error) (g *window.Group, done func(), err error) {
	w := s.enterWindow(stream)
	done = func() { s.leaveWindow(stream, w) }
	opened := false
	w.mu.Lock()
	if w.group == nil {
		if err = may(); err == nil {
			w.group, err = s.newWindow(stream)
			opened = err == nil
		}
	}
	g = w.group
	w.mu.Unlock()
	if err != nil {
		done()
		return nil, nil, err
	}
	if opened {
		s.closeWindows(time.Now())
	}
	return g, done, nil
}

// enterWindow notes one more user.
func (s *Service) enterWindow(stream string) *streamWindow {
	s.windowMu.Lock()
	defer s.windowMu.Unlock()
	w := s.windows[stream]
	if w == nil {
		w = &streamWindow{}
		s.windows[stream] = w
	}
	w.uses++
	return w
}

// enterUnused notes the first user, with mu held, or returns nil where there is one.
func (s *Service) enterUnused(stream string) *streamWindow {
	s.windowMu.Lock()
	defer s.windowMu.Unlock()
	w := s.windows[stream]
	if w == nil {
		w = &streamWindow{}
		s.windows[stream] = w
	}
	if w.uses > 0 {
		return nil
	}
	w.uses++
	w.mu.Lock() // at once: nobody uses it
	return w
}

// leaveWindow notes that a user has ended.
func (s *Service) leaveWindow(stream string, w *streamWindow) {
	s.windowMu.Lock()
	defer s.windowMu.Unlock()
	w.uses--
	w.used = time.Now()
	if w.uses == 0 && w.group == nil {
		delete(s.windows, stream)
	}
}

// newWindow opens what lies in the folder of a stream, or begins there.
func (s *Service) newWindow(stream string) (*window.Group, error) {
	g, err := window.New(window.Options{
		Folder: s.windowFolder(stream), Keep: s.Config.Window, Soon: time.Second, Part: s.Config.Part, MaxBytes: int64(s.Config.WindowBytes),
		Room: s.Room, Buffers: &s.buffers, Log: s.Log.With("stream", stream),
	})
	if err != nil {
		return nil, err
	}
	// The recording may be over for which it kept what is old.
	if recorded, err := s.isRecorded(s.context(), stream); err == nil && !recorded {
		g.Hold(0)
	}
	return g, nil
}

// forget removes the window of a stream that is deleted, whoever uses it.
func (s *Service) forget(stream string) error {
	s.mu.Lock()
	delete(s.heads, stream)
	s.mu.Unlock()
	s.crowd.forget(stream)
	w := s.enterWindow(stream)
	defer s.leaveWindow(stream, w)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.group = nil
	return os.RemoveAll(s.windowFolder(stream))
}
