package window

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"liuyun/internal/base/fault"
)

var errKilled = errors.New("killed")

// killAt lets so many steps happen, then half of one, and then nothing.
func killAt(step int) func(string, int) (int, error) {
	n := 0
	return func(_ string, size int) (int, error) {
		switch n++; {
		case n < step:
			return size, nil
		case n == step:
			return size / 2, errKilled
		}
		return 0, errKilled
	}
}

func short() Options {
	return Options{Segment: time.Second, Longest: 2 * time.Second, Part: 200 * time.Millisecond, Keep: 7 * time.Second}
}

// newShort is a short window in a folder of its own, with a source that begins there.
func newShort(t *testing.T) (Options, *bench, *source) {
	t.Helper()
	o := short()
	o.Folder = t.TempDir()
	b := newBench(t, o)
	s := &source{rate: 10, gop: every(10), noise: true}
	b.begin(s.tracks())
	return o, b, s
}

// A process that is killed at any step loses at most what was not whole: another one
// goes on with the same segments, and uses no number twice.
func TestResume(t *testing.T) {
	t.Parallel()
	for step := 1; ; step++ {
		if !killedAt(t, step) {
			if step < 100 {
				t.Errorf("only %d steps", step)
			}
			return
		}
	}
}

// killedAt reports whether there was such a step.
func killedAt(t *testing.T, step int) bool {
	o := short()
	o.Folder, o.First = t.TempDir(), 100
	b := newBench(t, o)
	b.g.files.step = killAt(step)
	s := source{rate: 10, gop: every(10), noise: true}
	b.begin(s.tracks())
	killed := func() bool { return errors.Is(b.g.Health().Disk, errKilled) }
	for s.now() < 11*time.Second && !killed() {
		u, _ := s.next()
		if err := b.g.cut.write(u); err != nil {
			t.Fatal(err)
		}
		b.g.work()
	}
	b.g.files.close()

	after := newBench(t, o)
	safe := 0 // segments that were on the disk before the last one
	if lead := b.g.named("video"); lead != nil {
		for _, segment := range lead.segments[:max(len(lead.segments)-1, 0)] {
			if segment.saved && segment.number >= b.g.first {
				safe++
			}
		}
	}
	if len(after.g.renditions) == 0 {
		if safe > 0 {
			t.Errorf("step %d: nothing is left of %d segments", step, safe)
		}
		return killed()
	}
	after.check()
	for _, segment := range after.g.renditions[0].segments {
		if !segment.gap {
			safe--
		}
	}
	if safe > 0 {
		t.Errorf("step %d: %d segments are lost", step, safe)
	}
	if known := b.g.cut.next - 1; after.g.cut.next <= known {
		t.Errorf("step %d: goes on at %d, and %d was told of", step, after.g.cut.next, known)
	}
	next := after.g.cut.next
	for _, r := range after.g.renditions {
		for _, segment := range r.segments {
			same := b.g.named(r.name).find(segment.number)
			if same != nil && !same.saved && same.written > 0 && segment.gap {
				t.Errorf("step %d: %s/%d is lost, though %d parts were written", step, r.name, segment.number, same.written)
			}
			if segment.gap || same == nil {
				continue
			}
			if same.time != segment.time || same.saved && (same.duration != segment.duration || same.size != segment.size) {
				t.Errorf("step %d: %s/%d is another one", step, r.name, segment.number)
			}
			data := after.fetch(r.name, fmt.Sprintf("%d.m4s", segment.number))
			if int64(len(data)) != segment.size {
				t.Errorf("step %d: %s/%d has %d bytes of %d", step, r.name, segment.number, len(data), segment.size)
			}
			if !same.saved {
				takenOver(t, same, segment, data)
			}
		}
	}
	again := source{rate: 10, gop: every(10), noise: true}
	after.quiet = true
	after.begin(again.tracks())
	after.play(&again, 2.5)
	after.finish()
	p := after.playlist("video")
	for i, segment := range p.Segments {
		if p.MediaSequence+int64(i) == next && !segment.Discontinuity {
			t.Errorf("step %d: goes on without a discontinuity", step)
		}
	}
	left(t, after.g)
	return killed()
}

// takenOver says whether what was found of an unfinished segment is its first parts, and
// no fewer than were written.
func takenOver(t *testing.T, before, after *segment, data []byte) {
	t.Helper()
	var lasts time.Duration
	size, whole := int64(0), 0
	for size < after.size && whole < len(before.parts) {
		lasts += before.parts[whole].duration
		size += before.parts[whole].size
		whole++
	}
	if size != after.size || (lasts-after.duration).Abs() > time.Microsecond || whole < before.written {
		t.Errorf("%d bytes in %v were taken over of %d parts, of which %d were written", after.size, after.duration, len(before.parts), before.written)
		return
	}
	want := make([]byte, size)
	if _, err := chain(before.memory).ReadAt(want, 0); err != nil || !bytes.Equal(want, data) {
		t.Errorf("what was taken over is something else: %v", err)
	}
}

// left says whether the folder holds the window and nothing else.
func left(t *testing.T, g *Group) {
	t.Helper()
	want := map[string]bool{journalName: true}
	for _, r := range g.all() {
		for _, s := range r.segments {
			if !s.gap {
				want[r.file(s.number)] = true
			}
		}
	}
	err := filepath.WalkDir(g.o.Folder, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(g.o.Folder, path)
		if err == nil && !entry.IsDir() && !want[name] {
			t.Errorf("%s is left on the disk", name)
		}
		delete(want, name)
		return err
	})
	if err != nil || len(want) > 0 {
		t.Errorf("not on the disk: %v, %v", want, err)
	}
}

// An orderly end leaves no gap, and a window that has ended stays so.
func TestResumeAfterTheEnd(t *testing.T) {
	t.Parallel()
	o, b, s := newShort(t)
	b.play(s, 8)
	b.finish()
	want := b.playlist("video")
	for range 3 {
		after := newBench(t, o)
		after.check()
		got := after.playlist("video")
		if !got.Ended || len(got.Segments) != len(want.Segments) {
			t.Errorf("got %d segments, ended %v; want %d", len(got.Segments), got.Ended, len(want.Segments))
		}
		if _, err := after.g.Master(); err != nil {
			t.Error(err)
		}
	}
	o.Longest = 3 * time.Second
	if after := newBench(t, o); len(after.g.renditions) != 0 {
		t.Error("a window of another target duration was gone on with")
	}
}

// The window holds Keep, and the folder MaxBytes.
func TestBounds(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{"time": {Keep: 40 * time.Second}, "bytes": {MaxBytes: 1_500_000}, "too few bytes": {MaxBytes: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, o)
			s := source{rate: 25, gop: every(50), noise: true, size: 1000}
			b.begin(s.tracks())
			for range 20 {
				b.play(&s, (s.now() + 10*time.Second).Seconds())
				if o.MaxBytes > 1 && b.g.Health().Bytes > o.MaxBytes {
					t.Errorf("%d bytes, at most %d", b.g.Health().Bytes, o.MaxBytes)
				}
			}
			h := b.g.Health()
			switch {
			case o.Keep > 0 && (h.Window < o.Keep || h.Window > o.Keep+6*time.Second),
				o.MaxBytes > 1 && (h.Window < 30*time.Second || h.Window > time.Minute),
				o.MaxBytes == 1 && (h.Window < 18*time.Second || h.Window > 30*time.Second):
				t.Errorf("the window is %v", h.Window)
			}
			b.finish()
			left(t, b.g)
		})
	}
}

// A full disk shrinks the window and says so; live goes on from memory, and when
// there is room again the window grows.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full := map[string]func(g *Group, full *atomic.Bool){
		"the owner says so": func(g *Group, full *atomic.Bool) {
			g.o.Room = func() error {
				if full.Load() {
					return fault.New(fault.StorageFull, "full")
				}
				return nil
			}
		},
		"the disk says so": func(g *Group, full *atomic.Bool) {
			g.files.step = func(what string, n int) (int, error) {
				if full.Load() && (what == "write" || what == "append") {
					return n / 2, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
				}
				return n, nil
			}
		},
	}
	for name, fill := range full {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{})
			var isFull atomic.Bool
			fill(b.g, &isFull)
			s := source{rate: 25, gop: every(50), noise: true}
			b.begin(s.tracks())
			b.play(&s, 100)
			before := b.g.Health().Window
			isFull.Store(true)
			b.play(&s, 200)
			h := b.g.Health()
			if h.Disk == nil || h.Window >= before || h.Window < 18*time.Second || h.Window > 40*time.Second {
				t.Errorf("full: the window was %v and is %v, %v", before, h.Window, h.Disk)
			}
			wholeFiles(t, b)
			for _, r := range b.g.all() {
				held := 0
				for _, segment := range r.segments {
					held += len(segment.memory)
				}
				if held > 80 {
					t.Errorf("%s: %d parts in memory", r.name, held)
				}
			}
			isFull.Store(false)
			b.play(&s, 300)
			if h := b.g.Health(); h.Disk != nil || h.Window < 100*time.Second {
				t.Errorf("after it: the window is %v, %v", h.Window, h.Disk)
			}
			b.finish()
			after := newBench(t, Options{Folder: b.g.o.Folder})
			after.check()
			if got := after.g.Health().Window; got < 90*time.Second {
				t.Errorf("another process finds %v", got)
			}
		})
	}
}

// The journal does not grow for ever.
func TestJournalIsWrittenAnew(t *testing.T) {
	t.Parallel()
	o := short()
	b := newBench(t, o)
	b.quiet = true
	s := source{rate: 10, gop: every(10)}
	if err := b.g.cut.begin(s.tracks()); err != nil {
		t.Fatal(err)
	}
	for s.now() < 75*time.Minute {
		u, _ := s.next()
		if err := b.g.cut.write(u); err != nil {
			t.Fatal(err)
		}
		b.g.work()
	}
	if b.g.files.lines > 4200 {
		t.Errorf("%d lines", b.g.files.lines)
	}
	b.finish()
	o.Folder = b.g.o.Folder
	after := newBench(t, o)
	after.check()
	if got, want := len(after.playlist("video").Segments), len(b.playlist("video").Segments); got != want {
		t.Errorf("another process finds %d segments, want %d", got, want)
	}
}

func FuzzJournal(f *testing.F) {
	line, err := appendLine(nil, record{Start: &startRecord{Target: 6 * time.Second, Part: time.Second}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	line, _ = appendLine(line, record{Rendition: "video", Init: &initSection{Number: 3}})
	line, _ = appendLine(line, record{Rendition: "video", Segment: &segmentRecord{Number: 3, Duration: time.Second, Size: 1}})
	f.Add(line)
	f.Fuzz(func(t *testing.T, text []byte) {
		h := parseJournal(text)
		g := &Group{o: Options{Folder: t.TempDir()}, files: &files{folder: t.TempDir()}}
		if err := g.o.complete(); err != nil {
			t.Fatal(err)
		}
		g.cut = &cutter{g: g}
		g.resume(&h)
	})
}
