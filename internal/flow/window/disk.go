package window

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"liuyun/internal/base/fault"
)

// task is one thing to do on the disk: to append what has come of a segment to its
// file, to make a whole one durable under its name, or a line of the journal.
type task struct {
	r    *rendition
	grow *segment
	save *segment
	line record
}

// later queues a task. Group.mu is held.
func (g *Group) later(t task) {
	g.tasks = append(g.tasks, t)
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// keep does what is queued for the disk, until stop is closed and nothing is left. It
// is the only one that writes there, so that a slow disk holds nobody else.
func (g *Group) keep(stop <-chan struct{}) {
	for {
		g.work()
		select {
		case <-g.kick:
			continue
		default:
		}
		select {
		case <-g.kick:
		case <-stop:
			g.work()
			return
		}
	}
}

// work does all that is queued.
func (g *Group) work() {
	for {
		g.remove()
		g.mu.Lock()
		if len(g.tasks) == 0 {
			g.tasks = nil
			g.mu.Unlock()
			return
		}
		t := g.tasks[0]
		g.tasks = g.tasks[1:]
		g.mu.Unlock()
		var err error
		switch {
		case t.grow != nil:
			g.grow(t.r, t.grow)
			continue
		case t.save != nil:
			err = g.save(t.r, t.save)
		default:
			err = g.note(t.line)
		}
		if err != nil || t.save != nil { // a line that fits says little
			g.report(err)
		}
	}
}

// report tells the health of the disk, and the log when it changes.
func (g *Group) report(err error) {
	g.mu.Lock()
	was := g.health.Disk
	g.health.Disk = err
	g.mu.Unlock()
	switch {
	case err != nil && was == nil:
		g.o.Log.Warn("the window of a stream cannot be written and shrinks", "folder", g.o.Folder, "error", err)
	case err == nil && was != nil:
		g.o.Log.Info("the window of a stream is written again", "folder", g.o.Folder)
	}
}

// remove deletes what has left the window.
func (g *Group) remove() {
	g.mu.Lock()
	list := g.removals
	g.removals = nil
	g.mu.Unlock()
	for _, name := range list {
		if err := g.files.remove(name); err != nil {
			g.o.Log.Warn("a segment that has left the window stays on the disk", "name", name, "error", err)
		}
	}
}

// grow appends the parts of an open segment to its file, so that a kill takes no more
// than those that are not whole. What fails is tried again when the segment is whole,
// which tells of it.
func (g *Group) grow(r *rendition, s *segment) {
	g.mu.Lock()
	r.growing = false
	begun := s.written > 0
	g.mu.Unlock()
	if begun || g.room() == nil {
		_ = g.fillUp(r, s)
	}
}

// fillUp writes the parts of a segment that are not in its file yet.
func (g *Group) fillUp(r *rendition, s *segment) error {
	g.mu.Lock()
	if s.gone {
		g.mu.Unlock()
		return errGone
	}
	written, at := s.written, s.filled
	held := make(chain, 0, len(s.memory)-written)
	size := int64(0)
	for _, b := range s.memory[written:] {
		held = append(held, b.hold())
		size += int64(b.size)
	}
	g.mu.Unlock()
	err := g.files.extend(r.file(s.number), at, held)
	for _, b := range held {
		b.release()
	}
	if err != nil {
		return err
	}
	g.mu.Lock()
	s.written, s.filled = written+len(held), at+size
	g.mu.Unlock()
	return nil
}

// errGone is what fillUp returns for a segment that has left the window.
var errGone = errors.New("the segment has left the window")

// shrinkAtMost is how many old segments go for a new one where the disk is full.
const shrinkAtMost = 8

// save gives the file of a whole segment its name, with what is missing in it, in the
// place of the oldest ones if the disk is full.
func (g *Group) save(r *rendition, s *segment) error {
	g.mu.Lock()
	r.waiting--
	g.mu.Unlock()
	var err error
	for range shrinkAtMost {
		if err = g.room(); err == nil {
			err = g.fillUp(r, s)
		}
		if !isFull(err) {
			break
		}
		g.mu.Lock()
		shrunk := g.shrink()
		if shrunk {
			g.wakeAll()
		}
		g.mu.Unlock()
		if !shrunk {
			break
		}
		g.remove()
	}
	if err == nil {
		err = g.files.seal(r.file(s.number))
	}
	if errors.Is(err, errGone) {
		return g.files.abandon(r.file(s.number))
	}
	if err != nil {
		return errors.Join(err, g.files.abandon(r.file(s.number)))
	}
	g.mu.Lock()
	s.saved = true
	s.free()
	line := record{Rendition: r.name, Segment: s.record()}
	if s.gone { // meanwhile
		g.removals = append(g.removals, r.file(s.number))
	}
	g.mu.Unlock()
	return g.note(line)
}

// room asks the owner of the disk.
func (g *Group) room() error {
	if g.o.Room == nil {
		return nil
	}
	return g.o.Room()
}

// isFull reports whether there is no room on the disk.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || fault.CodeOf(err) == fault.StorageFull
}

// files is the folder of a stream. A test stops it at any step, as a kill does.
type files struct {
	folder  string
	journal *os.File
	torn    bool // the journal ends within a line
	lines   int
	open    map[string]*unfinished // by the folder they are in
	// step is asked before each change, with how many bytes it is to write; it
	// returns how many are written before the error.
	step func(what string, n int) (int, error)
}

// unfinished is the file of a segment that grows.
type unfinished struct {
	name string
	file *os.File
}

func (f *files) path(name string) string { return filepath.Join(f.folder, filepath.FromSlash(name)) }

func (f *files) ask(what string, n int) (int, error) {
	if f.step == nil {
		return n, nil
	}
	return f.step(what, n)
}

// extend writes what comes at that place of a segment's file. The file has its name
// when it is whole: see seal. It is not synced: what a kill of the process needs is in
// the cache of the kernel, and what a loss of power takes is the end of a window that
// goes on behind a discontinuity.
func (f *files) extend(name string, at int64, from chain) error {
	file, err := f.grown(name)
	if err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	for _, b := range from {
		n, err := f.ask("write", b.size)
		b.once(func(data []byte) {
			if _, failed := file.WriteAt(data[:n], at); failed != nil {
				err = failed
			}
		})
		if err != nil {
			return fmt.Errorf("write segment: %w", err)
		}
		at += int64(n)
	}
	return nil
}

// grown returns the unfinished file of that name. The one before it in its folder
// that was never finished goes.
func (f *files) grown(name string) (*os.File, error) {
	folder := path.Dir(name)
	if u := f.open[folder]; u != nil {
		if u.name == name {
			return u.file, nil
		}
		if err := f.abandon(u.name); err != nil {
			return nil, err
		}
	}
	if err := f.mkdir(f.path(folder)); err != nil {
		return nil, err
	}
	if _, err := f.ask("create", 0); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(f.path(name)+scratchSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if f.open == nil {
		f.open = make(map[string]*unfinished)
	}
	f.open[folder] = &unfinished{name, file}
	return file, nil
}

// seal ends an unfinished file and gives it its name.
func (f *files) seal(name string) error {
	if err := f.end(name); err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	if _, err := f.ask("rename", 0); err != nil {
		return err
	}
	return os.Rename(f.path(name)+scratchSuffix, f.path(name))
}

// abandon removes an unfinished file, if there is one.
func (f *files) abandon(name string) error {
	return errors.Join(f.end(name), f.removePath(f.path(name)+scratchSuffix))
}

// end closes an unfinished file, if it is open.
func (f *files) end(name string) error {
	u := f.open[path.Dir(name)]
	if u == nil || u.name != name {
		return nil
	}
	delete(f.open, path.Dir(name))
	return u.file.Close()
}

const scratchSuffix = ".part"

func (f *files) mkdir(folder string) error {
	if _, err := f.ask("mkdir", 0); err != nil {
		return err
	}
	return os.MkdirAll(folder, 0o700)
}

func (f *files) fill(path string, data []byte) error {
	if _, err := f.ask("create", 0); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := f.ask("write", len(data))
	if _, failed := file.Write(data[:n]); failed != nil {
		err = failed
	}
	return errors.Join(err, file.Close())
}

// remove deletes a file, if it is there.
func (f *files) remove(name string) error { return f.removePath(f.path(name)) }

func (f *files) removePath(path string) error {
	if _, err := f.ask("remove", 0); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// append adds a line to the journal.
func (f *files) append(line []byte) error {
	if f.journal == nil {
		if err := f.mkdir(f.folder); err != nil {
			return err
		}
		file, err := os.OpenFile(f.path(journalName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		f.journal = file
	}
	if f.torn { // what is there of the line before is no line then
		line = append([]byte{'\n'}, line...)
	}
	n, err := f.ask("append", len(line))
	written, failed := f.journal.Write(line[:n])
	if failed != nil {
		err = failed
	}
	if err != nil {
		f.torn = f.torn || written > 0
		return fmt.Errorf("write journal: %w", err)
	}
	f.torn = false
	f.lines++
	return nil
}

// replace puts a new journal in the place of the old one.
func (f *files) replace(lines []byte, count int) error {
	scratch := f.path(journalName) + scratchSuffix
	if err := f.mkdir(f.folder); err != nil {
		return err
	}
	if err := f.fill(scratch, lines); err != nil {
		return errors.Join(fmt.Errorf("write journal: %w", err), f.removePath(scratch))
	}
	if _, err := f.ask("rename", 0); err != nil {
		return err
	}
	if err := os.Rename(scratch, f.path(journalName)); err != nil {
		return err
	}
	f.close()
	f.lines, f.torn = count, false
	return nil
}

func (f *files) close() {
	if f.journal != nil {
		_ = f.journal.Close() // each line was written; closing adds nothing
		f.journal = nil
	}
}

// read returns the journal, at most a sane length of it, and nothing if there is none.
func (f *files) read() ([]byte, error) {
	file, err := os.Open(f.path(journalName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxJournal))
}
