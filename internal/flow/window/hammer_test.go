package window

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/testkit"
)

// Readers of all kinds find nothing broken while segments come and go (with -race).
func TestHammer(t *testing.T) {
	testkit.NoLeaks(t)
	g, err := New(Options{
		Folder: t.TempDir(), Segment: time.Second, Longest: 2 * time.Second, Part: 200 * time.Millisecond, Keep: 12 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.files.close()
	stream := hub.New(hub.Limits{Units: 1 << 12, Bytes: 1 << 26})
	s := source{rate: 25, gop: every(25), noise: true, size: 5000}
	stream.Begin(s.tracks())
	ran := make(chan error, 1)
	go func() { ran <- g.Run(t.Context(), stream.Read()) }()

	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() { readAll(t, g, []string{"video", "audio"}[i%2], i >= 4) })
	}
	for range 20_000 {
		u, _ := s.next()
		stream.Write(u)
		if s.pictures%50 == 0 { // a little slower than the readers
			_ = g.Health()
			_, _ = g.Master()
		}
	}
	stream.End(nil)
	if err := <-ran; err != nil {
		t.Error(err)
	}
	readers.Wait()
}

// readAll follows a playlist to its end, and reads what it names.
func readAll(t *testing.T, g *Group, name string, skip bool) {
	q := Query{MSN: -1, Part: -1}
	var before *hls.Checked
	for {
		answer, err := g.Playlist(t.Context(), name, q)
		if fault.CodeOf(err) == fault.Unavailable || fault.CodeOf(err) == fault.NotFound {
			time.Sleep(time.Millisecond) // it has not begun
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		checked, problems := hls.Check(answer.Text, before)
		if before != nil && checked.Playlist.MediaSequence >= before.Playlist.MediaSequence+int64(len(before.Playlist.Segments)) {
			before, q = nil, Query{MSN: -1, Part: -1} // too slow for a delta update
			continue
		}
		if len(problems) > 0 {
			t.Errorf("%s: %v\n%s", name, problems, answer.Text)
			return
		}
		before = checked
		p := &checked.Playlist
		newest := p.Segments[len(p.Segments)-1]
		if !newest.Gap { // what a slow disk or a lost second has left out is not asked for
			readOne(t, g, name, newest.URI)
		}
		for _, part := range p.Open.Parts {
			if !part.Gap {
				readOne(t, g, name, part.URI)
			}
		}
		if p.Ended {
			return
		}
		q = Query{MSN: p.MediaSequence + int64(len(p.Segments)), Part: int64(len(p.Open.Parts)), Skip: skip}
	}
}

func readOne(t *testing.T, g *Group, name, uri string) {
	f, err := g.Open(t.Context(), name, uri)
	if fault.CodeOf(err) == fault.NotFound {
		return // it went, this reader is slow
	}
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	data, err := io.ReadAll(f.Content)
	if err != nil || int64(len(data)) != f.Size || !isPart(data) {
		t.Errorf("%s/%s: %d bytes of %d, %v", name, uri, len(data), f.Size, err)
	}
}

// A unit costs no allocation: what a part costs is spread over its units.
func TestUnitsDoNotAllocate(t *testing.T) {
	b := newBench(t, Options{})
	s := source{rate: 50, gop: every(100)}
	b.quiet = true
	if err := b.g.cut.begin(s.tracks()); err != nil {
		t.Fatal(err)
	}
	units := make([]hub.Unit, 0, 2020)
	for len(units) < cap(units) {
		u, _ := s.next()
		units = append(units, u)
	}
	i := 0
	one := func() {
		if err := b.g.cut.write(units[i]); err != nil {
			t.Fatal(err)
		}
		i++
	}
	for range 305 {
		one()
	}
	// Within a part, which ends each 25 pictures.
	for b.g.cut.tracks[0].cursor != b.g.cut.tracks[0].part {
		one()
	}
	if n := testing.AllocsPerRun(15, one); n != 0 {
		t.Errorf("%v allocations a unit", n)
	}
}

func BenchmarkCut(b *testing.B) {
	g, err := New(Options{Folder: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer g.files.close()
	s := source{rate: 25, gop: every(50), noise: true, size: 10_000}
	if err := g.cut.begin(s.tracks()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		u, _ := s.next()
		if err := g.cut.write(u); err != nil {
			b.Fatal(err)
		}
		if s.pictures%25 == 0 {
			g.work()
		}
	}
}

func BenchmarkPlaylist(b *testing.B) {
	for _, hours := range []int{0, 2} {
		b.Run(fmt.Sprintf("%dh", hours), func(b *testing.B) {
			g, err := New(Options{Folder: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer g.files.close()
			s := source{rate: 5, gop: every(10)}
			if err := g.cut.begin(s.tracks()); err != nil {
				b.Fatal(err)
			}
			for s.now() < time.Duration(hours)*time.Hour+time.Minute {
				u, _ := s.next()
				if err := g.cut.write(u); err != nil {
					b.Fatal(err)
				}
				g.work()
			}
			b.ReportAllocs()
			for b.Loop() {
				g.mu.Lock()
				g.wakeAll()
				g.mu.Unlock()
				if _, err := g.Playlist(b.Context(), "video", Query{MSN: -1, Part: -1}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
