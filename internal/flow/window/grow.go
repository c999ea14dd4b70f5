package window

import (
	"context"
	"io"
	"os"

	"liuyun/internal/base/fault"
)

// growing reads a segment while it grows: what is there at once, then each part when
// it comes, until the segment is whole. One who is slow goes on from the disk.
type growing struct {
	ctx  context.Context
	g    *Group
	r    *rendition
	s    *segment
	at   int64 // bytes read
	held *buffer
	rest []byte // of held
	file *os.File
	next int // of the parts in memory
}

// Read waits for bytes, at most three target durations.
func (w *growing) Read(p []byte) (int, error) {
	for len(w.rest) == 0 && w.file == nil {
		w.release()
		more, wait := w.look()
		switch {
		case more:
			continue
		case wait == nil:
			return 0, w.end()
		}
		p := patience{limit: maxWait * w.g.o.Longest}
		err := p.await(w.ctx, wait)
		p.end()
		if err != nil {
			return 0, err
		}
	}
	if w.file != nil {
		n, err := w.file.ReadAt(p, w.at)
		w.at += int64(n)
		return n, err
	}
	n := copy(p, w.rest)
	w.rest, w.at = w.rest[n:], w.at+int64(n)
	return n, nil
}

// look takes the next part if there is one, and returns what to wait for else, or
// nothing at the end.
func (w *growing) look() (more bool, wait <-chan struct{}) {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	s := w.s
	switch {
	case w.next < len(s.memory):
		w.held = s.memory[w.next].hold()
		w.rest = w.held.bytes()
		w.next++
		return true, nil
	case s == w.r.open:
		return false, w.r.later()
	case w.at == s.size:
		return false, nil
	case s.saved && !s.gone:
		file, err := os.Open(w.g.files.path(w.r.file(s.number)))
		w.file = file
		return err == nil, nil
	}
	return false, nil
}

func (w *growing) release() {
	if w.held != nil {
		w.held.release()
		w.held, w.rest = nil, nil
	}
}

func (w *growing) close() {
	w.release()
	if w.file != nil {
		_ = w.file.Close() // it was read only
	}
}

// end is io.EOF if all of the segment was read.
func (w *growing) end() error {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	if w.at == w.s.size {
		return io.EOF
	}
	return fault.New(fault.Unavailable, "the segment has left the window while it was read")
}
