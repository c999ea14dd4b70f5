package window

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
)

// live runs a group on a stream that comes in real time, in a bubble.
func live(t *testing.T, o Options, seconds float64, during func(t *testing.T, g *Group)) {
	t.Helper()
	if o.Folder == "" {
		o.Folder = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		o.First = 100
		g, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer g.files.close()
		s := source{rate: 25, gop: every(50), noise: true}
		stream := hub.New(hub.DefaultLimits())
		stream.Begin(s.tracks())
		ran := make(chan error, 1)
		go func() { ran <- g.Run(t.Context(), stream.Read()) }()
		written := make(chan struct{})
		go func() {
			defer close(written)
			began := time.Now()
			for at := time.Duration(0); at < time.Duration(seconds*float64(time.Second)); at = s.now() {
				time.Sleep(at - time.Since(began))
				u, _ := s.next()
				stream.Write(u)
			}
		}()
		during(t, g)
		<-written
		stream.End(nil)
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

func ask(msn, part int64) Query { return Query{MSN: msn, Part: part} }

// Requests wait as rfc8216bis 6.2.5.2 says.
func TestBlocking(t *testing.T) {
	t.Parallel()
	live(t, Options{}, 60, func(t *testing.T, g *Group) {
		playlist := func(q Query) (*hls.LivePlaylist, time.Duration, error) {
			began := time.Now()
			answer, err := g.Playlist(t.Context(), "video", q)
			if err != nil {
				return nil, time.Since(began), err
			}
			checked, problems := hls.Check(answer.Text, nil)
			if len(problems) > 0 {
				t.Errorf("%v\n%s", problems, answer.Text)
			}
			return &checked.Playlist, time.Since(began), nil
		}
		if _, err := g.Master(); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("before the first segment: %v", err)
		}
		if _, _, err := playlist(ask(-1, -1)); fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("before the first segment: %v", err)
		}
		time.Sleep(6500 * time.Millisecond) // 100 is 0 s to 2 s, 101 to 6 s, 102 open
		p, waited, err := playlist(ask(-1, -1))
		if err != nil || waited != 0 || p.MediaSequence != 100 || len(p.Segments) != 2 || p.Hint != "102.1.m4s" {
			t.Fatalf("got %+v after %v, %v", p, waited, err)
		}
		for _, test := range []struct {
			q          Query
			has        func(*hls.LivePlaylist) bool
			least, max time.Duration
			code       fault.Code
		}{
			{q: ask(100, -1)},
			{q: ask(101, 0)},
			{q: ask(102, 0)},
			{q: ask(101, 99)}, // beyond its last: the first of the next
			{q: ask(102, 1), least: 1, max: 600 * time.Millisecond, has: func(p *hls.LivePlaylist) bool { return len(p.Open.Parts) == 2 }},
			{q: ask(105, 0), code: fault.Invalid},
			{q: ask(102, 20), code: fault.Invalid},
			{q: ask(-1, 3), code: fault.Invalid},
			{q: ask(102, -1), least: 2 * time.Second, max: 4 * time.Second, has: func(p *hls.LivePlaylist) bool { return len(p.Segments) == 3 }},
			{q: ask(104, 0), least: 3 * time.Second, max: 5 * time.Second, has: func(p *hls.LivePlaylist) bool { return len(p.Segments) == 4 }},
			// The last part of a long segment, which this one does not become: hls.js guesses so.
			{q: ask(104, 11), least: 3 * time.Second, max: 5 * time.Second, has: func(p *hls.LivePlaylist) bool { return len(p.Segments) == 5 }},
		} {
			p, waited, err := playlist(test.q)
			if fault.CodeOf(err) != test.code || waited < test.least || waited > test.max {
				t.Errorf("%+v: %v after %v", test.q, err, waited)
			}
			if err == nil && test.has != nil && !test.has(p) {
				t.Errorf("%+v: got %d segments and %d parts", test.q, len(p.Segments), len(p.Open.Parts))
			}
		}
		if _, err := g.Playlist(t.Context(), "text", ask(-1, -1)); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("no rendition: %v", err)
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := g.Playlist(gone, "video", ask(105, -1)); err == nil {
			t.Error("one who has gone got an answer")
		}
	})
}

// All who wait for the same version get the same bytes, written once.
func TestWaitersShareAnAnswer(t *testing.T) {
	t.Parallel()
	live(t, Options{}, 10, func(t *testing.T, g *Group) {
		time.Sleep(6300 * time.Millisecond)
		answers := make([]Answer, 50)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				var err error
				if answers[i], err = g.Playlist(t.Context(), "video", ask(102, 1)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, a := range answers {
			if &a.Text[0] != &answers[0].Text[0] {
				t.Error("a playlist was written more than once")
			}
			if a.MaxAge < 30*time.Second {
				t.Errorf("a version is kept for %v", a.MaxAge)
			}
		}
	})
}

// A part that is hinted comes, and is what the segment holds at its place.
func TestHintsComeTrue(t *testing.T) {
	t.Parallel()
	live(t, Options{}, 30, func(t *testing.T, g *Group) {
		time.Sleep(3 * time.Second)
		segments := map[string][]byte{}
		for range 40 {
			answer, err := g.Playlist(t.Context(), "audio", ask(-1, -1))
			if err != nil {
				t.Fatal(err)
			}
			checked, _ := hls.Check(answer.Text, nil)
			name := checked.Playlist.Hint
			f, err := g.Open(t.Context(), "audio", name)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			data, err := io.ReadAll(f.Content)
			f.Close()
			if err != nil || !f.Immutable {
				t.Fatalf("%s: %v, %+v", name, err, f.Caching)
			}
			number, _, _ := strings.Cut(name, ".")
			segments[number] = append(segments[number], data...)
			synctest.Wait()
		}
		delete(segments, "101") // of which the first parts were not asked for
		whole := 0
		for number, parts := range segments {
			f, err := g.Open(t.Context(), "audio", number+".m4s")
			if err != nil {
				t.Fatal(err)
			}
			var data []byte
			if f.Grows != nil { // still open: it is read to its end
				if data, err = io.ReadAll(f.Grows); !bytes.HasPrefix(data, parts) {
					t.Errorf("segment %s: %d bytes are no beginning of %d", number, len(parts), len(data))
				}
				parts = data
			} else {
				data, err = io.ReadAll(f.Content)
			}
			f.Close()
			if err != nil || !bytes.Equal(data, parts) {
				t.Errorf("segment %s: %d bytes, its parts %d, %v", number, len(data), len(parts), err)
			}
			whole++
		}
		if whole < 3 {
			t.Errorf("only %d segments were compared", whole)
		}
		for _, name := range []string{"102.99.m4s", "99.m4s", "0102.m4s", "init5.mp4", "journal", "../video/102.m4s", "102.-1.m4s", "99999.0.m4s"} {
			if _, err := g.Open(t.Context(), "audio", name); fault.CodeOf(err) != fault.NotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// What nobody sends, nobody gets: a request ends after three target durations.
func TestSilence(t *testing.T) {
	t.Parallel()
	live(t, Options{}, 9, func(t *testing.T, g *Group) {
		time.Sleep(9 * time.Second)
		began := time.Now()
		_, err := g.Playlist(t.Context(), "video", ask(103, -1))
		if waited := time.Since(began); fault.CodeOf(err) != fault.Unavailable || waited != 18*time.Second {
			t.Errorf("got %v after %v", err, waited)
		}
	})
}

// Multivariant playlists say what was measured.
func TestMaster(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := source{rate: 25, gop: every(50), noise: true, size: 10_000}
	b.begin(s.tracks())
	b.play(&s, 20)
	b.finish()
	answer, err := b.g.Master()
	if err != nil {
		t.Fatal(err)
	}
	text := string(answer.Text)
	for _, want := range []string{
		"#EXT-X-INDEPENDENT-SEGMENTS", `CODECS="avc1.64001f,mp4a.40.2"`, "RESOLUTION=640x360", "FRAME-RATE=25.000",
		`AUDIO="audio"`, `URI="audio/media.m3u8"`, "\nvideo/media.m3u8\n", `CHANNELS="2"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	var bandwidth, average int
	_, after, _ := strings.Cut(text, "#EXT-X-STREAM-INF:")
	if _, err := fmt.Sscanf(after, "BANDWIDTH=%d,AVERAGE-BANDWIDTH=%d", &bandwidth, &average); err != nil {
		t.Fatal(err)
	}
	if average < 2_020_000 || average > 2_100_000 || bandwidth < average || bandwidth > 2_200_000 { // 25 of 10 kB a second, and sound
		t.Errorf("got %d, on average %d", bandwidth, average)
	}
}

// What comes can be had as soon as its part is whole.
func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		s := &source{rate: 25, gop: every(50), noise: true, late: time.Since(noon())}
		b.begin(s.tracks())
		for s.now() < 20*time.Second {
			u, _ := s.next()
			time.Sleep(time.Until(u.Wall))
			b.write(u)
		}
		if delay := b.g.Health().Delay; delay < 400*time.Millisecond || delay > 560*time.Millisecond {
			t.Errorf("parts of half a second are there after %v", delay)
		}
		b.finish()
	})
}

// Each answer says for how long it may be kept: a version of a playlist for six target
// durations (rfc8216bis B.1), what it is now for a second, media as long as the window.
func TestCaching(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Keep: time.Minute})
	s := &source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	b.play(s, 20)
	list := b.playlist("video")
	newest := list.MediaSequence + int64(len(list.Segments)) - 1
	version, now, media := Caching{MaxAge: 36 * time.Second}, Caching{MaxAge: time.Second}, Caching{MaxAge: time.Minute, Immutable: true}
	asked := func(answer Answer, err error) Caching {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer.Caching
	}
	playlist := func(q Query) Caching { return asked(b.g.Playlist(t.Context(), "video", q)) }
	file := func(name string) Caching {
		f, err := b.g.Open(t.Context(), "video", name)
		if err != nil {
			t.Fatal(name, err)
		}
		defer f.Close()
		return f.Caching
	}
	for name, c := range map[string]struct{ got, want Caching }{
		"playlist":             {playlist(ask(-1, -1)), now},
		"difference":           {playlist(Query{MSN: -1, Part: -1, Skip: true}), now},
		"version":              {playlist(ask(newest, -1)), version},
		"version of a part":    {playlist(ask(newest, 0)), version},
		"version's difference": {playlist(Query{MSN: newest, Part: 0, Skip: true}), version},
		"key frames":           {asked(b.g.Keys(t.Context(), "video")), now},
		"multivariant":         {asked(b.g.Master()), now},
		"manifest":             {asked(b.g.Manifest()), now},
		"init section":         {file(list.Segments[0].Map), media},
		"segment":              {file(segmentURI(newest)), media},
		"open segment":         {file(segmentURI(newest + 1)), media},
		"part":                 {file(partName(newest, 0)), media},
	} {
		if c.got != c.want {
			t.Errorf("%s: %+v, want %+v", name, c.got, c.want)
		}
	}
	b.finish()
}
