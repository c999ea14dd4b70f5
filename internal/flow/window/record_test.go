package window

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"liuyun/internal/base/timebase"
)

// rows reads all rows from a number to a last one.
func rows(t *testing.T, g *Group, from, last int64) (list []*Row) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		row, err := g.Row(ctx, from, last)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list, from = append(list, row), row.Number+1
	}
}

// Rows have what the playlists have, of all renditions, and end where they are told to.
func TestRows(t *testing.T) {
	t.Parallel()
	b := newBench(t, short())
	s := source{rate: 10, gop: every(10), noise: true}
	b.begin(s.tracks())
	b.play(&s, 5)
	open, next := b.g.Next()
	list := rows(t, b.g, 100, open-1)
	if len(list) != int(open-100) || list[0].Number != 100 {
		t.Fatalf("%d rows before %d, %d", len(list), open, next)
	}
	var end int64
	for _, row := range list {
		if len(row.Cells) != 2 || row.Cells[0].Rendition != "video" || row.Cells[1].Rendition != "audio" {
			t.Fatalf("row %+v", row)
		}
		c := row.Cells[0]
		if c.Gap || c.Clock != 90000 || end != 0 && c.Start != end {
			t.Errorf("row %d begins at %d, the one before ended at %d", row.Number, c.Start, end)
		}
		end = c.Start + timebase.MulDiv(int64(c.Duration), c.Clock, int64(time.Second))
		if data := b.fetch("video", c.Name()); int64(len(data)) != c.Size {
			t.Errorf("%s has %d bytes of %d", c.Name(), len(data), c.Size)
		}
		section, ok := b.g.Section("audio", row.Cells[1].Init)
		if !ok || section.Channels != 2 || len(b.fetch("audio", section.Name())) == 0 {
			t.Errorf("section %+v", section)
		}
	}
	if got := b.g.Rows(list[1].Cells[0].Time, list[1].Cells[0].Time.Add(time.Millisecond)); len(got) != 1 || got[0].Number != 101 {
		t.Errorf("of a moment: %v", got)
	}
	waits, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.g.Row(waits, next, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a row that has not come: %v", err)
	}
	b.finish()
	if got := rows(t, b.g, open, next-1); len(got) != int(next-open) {
		t.Errorf("%d rows after the end", len(got))
	}
	if got := rows(t, b.g, 1, 50); len(got) != 0 {
		t.Errorf("%d rows from before the window", len(got))
	}
}

// What is held stays on the disk when it has left the window, also in another process,
// until it is let go.
func TestHold(t *testing.T) {
	t.Parallel()
	o := short()
	o.Folder, o.First = t.TempDir(), 100
	b := newBench(t, o)
	s := source{rate: 10, gop: every(10), noise: true}
	b.begin(s.tracks())
	b.play(&s, 4)
	b.g.Hold(102)
	b.play(&s, 40)
	there := func(g *Group, number int64) bool {
		_, err := os.Stat(filepath.Join(g.o.Folder, "video", fmt.Sprintf("%d.m4s", number)))
		return err == nil
	}
	if first := b.g.first; first < 120 || there(b.g, 101) || !there(b.g, 102) {
		t.Errorf("the window begins with %d; 101 is there: %v, 102: %v", first, there(b.g, 101), there(b.g, 102))
	}
	after := newBench(t, o)
	after.check()
	if after.g.first != b.g.first || !there(after.g, 102) {
		t.Errorf("in another process the window begins with %d, not %d; 102 is there: %v", after.g.first, b.g.first, there(after.g, 102))
	}
	if list := rows(t, after.g, 102, 110); len(list) != 9 || list[0].Cells[0].Gap {
		t.Errorf("%d rows", len(list))
	}
	after.g.Hold(0)
	again := source{rate: 10, gop: every(10), noise: true}
	after.quiet = true
	after.begin(again.tracks())
	after.play(&again, 3)
	after.finish()
	if there(after.g, 102) || !there(after.g, after.g.first) {
		t.Error("what was let go stays")
	}
	left(t, after.g)
}

// The bound of the folder holds for what is held too.
func TestHoldIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{MaxBytes: 1_000_000, Keep: 40 * time.Second})
	b.g.Hold(1)
	s := source{rate: 25, gop: every(50), noise: true, size: 1000}
	b.begin(s.tracks())
	for range 12 {
		b.play(&s, (s.now() + 10*time.Second).Seconds())
		if got := b.g.Health().Bytes; got > 1_000_000 {
			t.Fatalf("%d bytes", got)
		}
	}
	if list := rows(t, b.g, 100, b.g.next-2); len(list) == 0 || list[0].Number == 100 {
		t.Errorf("%d rows", len(list))
	}
}
