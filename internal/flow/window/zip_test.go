package window

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"
)

// Both forms are the same text, whichever playlist it is; a short one and a delta update
// have one form.
func TestZip(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := &source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	b.g.Plan(Plan{Rungs: []Rung{
		{Name: "720p", Width: 1280, Height: 720, Bitrate: 3_000_000}, {Name: "480p", Width: 854, Height: 480, Bitrate: 1_500_000},
		{Name: rungName, Width: 640, Height: 360, Bitrate: 800_000},
	}})
	read := func(what string, zips bool) func(Answer, error) {
		return func(answer Answer, err error) {
			t.Helper()
			if err != nil || answer.Zips() != zips {
				t.Errorf("%s of %d bytes is offered compressed: %v, want %v; %v", what, len(answer.Text), answer.Zips(), zips, err)
				return
			}
			if zips && len(answer.Gzip()) > len(answer.Text)/2 {
				t.Errorf("%s is %d bytes, compressed %d", what, len(answer.Text), len(answer.Gzip()))
			}
			if zips && !bytes.Equal(unzip(t, answer.Gzip()), answer.Text) {
				t.Errorf("%s has another text compressed", what)
			}
		}
	}
	b.play(s, 7)
	read("a short playlist of key frames", false)(b.g.Keys(t.Context(), "video"))
	b.play(s, 90)
	newest := b.playlist("video").MediaSequence + int64(len(b.playlist("video").Segments)) - 1
	for range 2 { // the second time as it was made
		read("playlist", true)(b.g.Playlist(t.Context(), "video", ask(-1, -1)))
		read("version", true)(b.g.Playlist(t.Context(), "video", ask(newest, 0)))
		read("delta update", false)(b.g.Playlist(t.Context(), "video", Query{MSN: newest, Part: 0, Skip: true}))
		read("key frames", true)(b.g.Keys(t.Context(), "video"))
		read("multivariant", true)(b.g.Master())
		read("manifest", true)(b.g.Manifest())
	}
	b.finish()
}

// A version is compressed once, for all who ask for it; the next one is another.
func TestZippedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := &source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	b.play(s, 60)
	for what, get := range map[string]func() (Answer, error){
		"playlist":   func() (Answer, error) { return b.g.Playlist(t.Context(), "video", ask(-1, -1)) },
		"key frames": func() (Answer, error) { return b.g.Keys(t.Context(), "video") },
		"manifest":   b.g.Manifest,
	} {
		forms := make([][]byte, 100)
		var all sync.WaitGroup
		for i := range forms {
			all.Go(func() {
				answer, err := get()
				if err != nil {
					t.Error(err)
					return
				}
				forms[i] = answer.Gzip()
			})
		}
		all.Wait()
		for _, form := range forms {
			if len(form) == 0 || &form[0] != &forms[0][0] {
				t.Fatalf("%s was compressed more than once", what)
			}
		}
	}
	before, err := b.g.Playlist(t.Context(), "video", ask(-1, -1))
	if err != nil {
		t.Fatal(err)
	}
	b.play(s, 70)
	after, err := b.g.Playlist(t.Context(), "video", ask(-1, -1))
	if err != nil || bytes.Equal(before.Gzip(), after.Gzip()) || !bytes.Equal(unzip(t, after.Gzip()), after.Text) {
		t.Errorf("the next version is not compressed as it is: %v", err)
	}
	if !bytes.Equal(unzip(t, before.Gzip()), before.Text) {
		t.Error("a version changed that somebody holds")
	}
	b.finish()
}

// Who asks again for a version costs no memory. It does not run beside other tests.
func TestZipAllocates(t *testing.T) {
	g := longWindow(t, 20)
	allocations := testing.AllocsPerRun(100, func() {
		answer, err := g.Playlist(t.Context(), "video", ask(-1, -1))
		if err != nil || len(answer.Gzip()) == 0 {
			t.Error(err)
		}
	})
	if allocations > 0 {
		t.Errorf("%v allocations for each", allocations)
	}
}

// The multivariant playlist is compressed anew when it says something else.
func TestZippedMaster(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := &source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	plan := Plan{}
	for n := range 6 {
		plan.Rungs = append(plan.Rungs, Rung{Name: fmt.Sprintf("%dp", 100-n), Width: 160, Height: 100 - n, Bitrate: 100_000})
	}
	b.g.Plan(plan)
	b.play(s, 20)
	get := func() Answer {
		t.Helper()
		answer, err := b.g.Master()
		if err != nil || !bytes.Equal(unzip(t, answer.Gzip()), answer.Text) {
			t.Fatal(err)
		}
		return answer
	}
	first, same := get(), get()
	plan.Rungs = append(plan.Rungs, Rung{Name: "90p", Width: 160, Height: 90, Bitrate: 90_000})
	b.g.Plan(plan)
	if other := get(); &first.Gzip()[0] != &same.Gzip()[0] || bytes.Equal(first.Text, other.Text) {
		t.Errorf("compressed anew for each, or not at all:\n%s", other.Text)
	}
	b.finish()
}

func unzip(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What compressing costs and saves: a delta update, and playlists of a minute and of two
// hours.
func BenchmarkZip(b *testing.B) {
	for _, test := range []struct {
		name     string
		segments int
		skip     bool
	}{{"delta", 1800, true}, {"minute", 15, false}, {"hours", 1800, false}} {
		g := longWindow(b, test.segments)
		answer, err := g.Playlist(b.Context(), "video", Query{MSN: -1, Part: -1, Skip: test.skip})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(test.name, func(b *testing.B) {
			size := 0
			b.ReportAllocs()
			for b.Loop() {
				size = len(g.o.Buffers.zip(answer.Text))
			}
			b.ReportMetric(float64(len(answer.Text)), "plain")
			b.ReportMetric(float64(size), "zipped")
		})
	}
}

// longWindow has a rendition with so many segments of four seconds, as a stream on air
// has: the last one is open, and the newest have parts.
func longWindow(t testing.TB, segments int) *Group {
	t.Helper()
	g, err := New(Options{Folder: t.TempDir(), First: 1_780_000_000, Keep: time.Duration(segments) * 4 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.files.close)
	s := &source{rate: 25, gop: every(100)}
	if err := g.cut.begin(s.tracks()); err != nil {
		t.Fatal(err)
	}
	for s.now() < time.Duration(segments)*4*time.Second+2*time.Second {
		u, _ := s.next()
		if err := g.cut.write(u); err != nil {
			t.Fatal(err)
		}
		if u.Key {
			g.work()
		}
	}
	return g
}
