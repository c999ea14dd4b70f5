package window

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A window that was closed is the same when it is opened again, and goes on behind what
// was told of.
func TestClose(t *testing.T) {
	t.Parallel()
	o, b, s := newShort(t)
	b.play(s, 8)
	b.g.Plan(Plan{WithoutSource: true})
	b.finish()
	want, known := b.playlist("video"), b.g.next
	if err := b.g.Close(); err != nil {
		t.Fatal(err)
	}
	after := newBench(t, o)
	sameWindow(t, b, after)
	got := after.playlist("video")
	if !got.Ended || got.MediaSequence != want.MediaSequence || after.g.next != known {
		t.Errorf("from %d, ended %v, next %d; want from %d, next %d", got.MediaSequence, got.Ended, after.g.next, want.MediaSequence, known)
	}
	if !after.g.plan.WithoutSource {
		t.Error("the source is offered again to players that cannot take it")
	}
}

// What the disk does not take is not closed, for nobody could open it again. It is
// written when there is room.
func TestCloseKeepsWhatIsNotWritten(t *testing.T) {
	t.Parallel()
	o, b, s := newShort(t)
	b.play(s, 3)
	full := errors.New("full")
	b.g.files.step = func(string, int) (int, error) { return 0, full }
	b.play(s, 6)
	b.finish()
	want := b.playlist("video").Segments
	last := want[len(want)-1].URI
	data := b.fetch("video", last)
	if err := b.g.Close(); !errors.Is(err, full) {
		t.Errorf("closed with %v, want %v", err, full)
	}
	if again := b.fetch("video", last); !bytes.Equal(again, data) {
		t.Error("the newest segment is another one")
	}
	b.g.files.step = nil
	if err := b.g.Close(); err != nil {
		t.Fatal(err)
	}
	sameWindow(t, b, newBench(t, o))
}

// What the disk was too slow for is on it when the window is closed.
func TestCloseWritesWhatWaits(t *testing.T) {
	t.Parallel()
	o, b, s := newShort(t)
	b.play(s, 2)
	b.quiet = true
	b.play(s, 8)
	b.finish()
	if err := b.g.Close(); err != nil {
		t.Fatal(err)
	}
	sameWindow(t, b, newBench(t, o))
}

// sameWindow wants two windows to have the same segments, with the same bytes.
func sameWindow(t *testing.T, before, after *bench) {
	t.Helper()
	after.check()
	for _, r := range before.g.all() {
		want, got := before.playlist(r.name).Segments, after.playlist(r.name).Segments
		if len(got) != len(want) {
			t.Errorf("%s has %d segments, had %d", r.name, len(got), len(want))
			continue
		}
		for i := range want {
			if got[i].URI != want[i].URI || got[i].Duration != want[i].Duration || got[i].Gap != want[i].Gap ||
				!bytes.Equal(before.fetch(r.name, want[i].URI), after.fetch(r.name, want[i].URI)) {
				t.Errorf("%s: got %+v, want %+v", r.name, got[i], want[i])
			}
		}
	}
}

// How old a window is does not change when it is opened.
func TestNewest(t *testing.T) {
	t.Parallel()
	o := short()
	o.Folder = t.TempDir()
	if _, err := Newest(filepath.Join(o.Folder, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no window: %v", err)
	}
	began := time.Now().Add(-time.Minute)
	b := newBench(t, o)
	if at, err := Newest(o.Folder); err != nil || at.Before(began) {
		t.Errorf("an empty one is of %v, %v", at, err)
	}
	s := source{rate: 10, gop: every(10), noise: true}
	b.begin(s.tracks())
	b.play(&s, 4)
	b.finish()
	if at, err := Newest(o.Folder); err != nil || at.Before(began) {
		t.Errorf("it is of %v, %v", at, err)
	}
	for _, name := range []string{"video", "audio"} {
		if err := os.Chtimes(filepath.Join(o.Folder, name), noon(), noon()); err != nil {
			t.Fatal(err)
		}
	}
	newBench(t, o)
	if at, err := Newest(o.Folder); err != nil || !at.Equal(noon()) {
		t.Errorf("opened again, it is of %v, %v; want %v", at, err, noon())
	}
}
