package hls

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/hls-m3u8/m3u8"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"liuyun/internal/testkit"
)

const liveFrame = time.Second * 1001 / 30000

// liveSegment is a segment of so many parts of 15 frames, and one of 9.
func liveSegment(msn, parts int) LiveSegment {
	s := LiveSegment{URI: fmt.Sprintf("%d.m4s", msn), Map: "init0.mp4"}
	s.Parts = liveParts(msn, parts)
	s.Parts = append(s.Parts, Part{URI: fmt.Sprintf("%d.%d.m4s", msn, parts), Duration: 9 * liveFrame})
	s.Duration = s.partsDuration()
	return s
}

func liveParts(msn, n int) []Part {
	var parts []Part
	for i := range n {
		parts = append(parts, Part{URI: fmt.Sprintf("%d.%d.m4s", msn, i), Duration: 15 * liveFrame, Independent: i == 0})
	}
	return parts
}

// livePlaylist is a minute of a stream: segments 7 to 20 of 3.8 s and three
// parts of 21. A discontinuity stands before 15.
func livePlaylist() *LivePlaylist {
	p := &LivePlaylist{
		Target: 4 * time.Second, PartTarget: 15 * liveFrame, CanBlockReload: true,
		PartHoldBack: 1600 * time.Millisecond, HoldBack: 12 * time.Second, CanSkipUntil: 24 * time.Second,
		MediaSequence: 7, DiscontinuitySequence: 2,
		Hint:    "21.3.m4s",
		Reports: []Report{{URI: "../audio/media.m3u8", LastMSN: 21, LastPart: 2}},
	}
	at := time.Date(2026, 3, 1, 23, 59, 30, 5e6, time.FixedZone("", 8*3600))
	for msn := 7; msn <= 20; msn++ {
		s := liveSegment(msn, 7)
		s.Time = at
		s.Discontinuity = msn == 15
		if msn >= 15 {
			s.Map = "init1.mp4"
		}
		at = at.Add(s.Duration)
		p.Segments = append(p.Segments, s)
	}
	p.Open = LiveSegment{Map: "init1.mp4", Time: at, Parts: liveParts(21, 3)}
	return p
}

func plainLive() *LivePlaylist {
	p := &LivePlaylist{Target: 4 * time.Second}
	for msn := range 3 {
		p.Segments = append(p.Segments, LiveSegment{URI: fmt.Sprintf("%d.m4s", msn), Duration: 4 * time.Second, Map: "init.mp4", Gap: msn == 1})
	}
	return p
}

func liveGoldens() map[string]*LivePlaylist {
	delta, ranges, ended := livePlaylist(), livePlaylist(), livePlaylist()
	delta.Skip = delta.SkipMax()
	for i := range ranges.Segments[13].Parts {
		ranges.Segments[13].Parts[i].URI = "20.m4s"
		ranges.Segments[13].Parts[i].Range = Range{Offset: int64(1000 * i), Length: 1000}
		ranges.Segments[13].Parts[i].Gap = i == 3
	}
	ended.Open, ended.Hint, ended.Reports, ended.Ended = LiveSegment{}, "", nil, true
	return map[string]*LivePlaylist{
		"live.m3u8": livePlaylist(), "live-delta.m3u8": delta, "live-ranges.m3u8": ranges,
		"live-ended.m3u8": ended, "live-plain.m3u8": plainLive(),
	}
}

func liveText(t testing.TB, p *LivePlaylist) string {
	t.Helper()
	text, err := p.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLiveGolden(t *testing.T) {
	t.Parallel()
	for name, p := range liveGoldens() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := liveText(t, p)
			testkit.Golden(t, filepath.Join("testdata", name), []byte(text))
			before, _ := Check([]byte(liveText(t, livePlaylist())), nil)
			if p.Skip == 0 {
				before = nil
			}
			got, problems := Check([]byte(text), before)
			for _, problem := range problems {
				t.Error(problem)
			}
			if diff := cmp.Diff(asRead(p), got.Playlist); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

// asRead is what Check makes of the text of p.
func asRead(p *LivePlaylist) LivePlaylist {
	want := *p
	end := p.duration()
	want.PartTarget = time.Duration(microsUp(p.PartTarget)) * time.Microsecond
	want.Segments = slices.Clone(p.Segments)
	for i := range want.Segments {
		s := &want.Segments[i]
		end -= told(s.Duration)
		rounded(s)
		if end > partWindow*p.Target {
			s.Parts = nil
		}
	}
	want.Open.Parts = slices.Clone(p.Open.Parts)
	rounded(&want.Open)
	if len(want.Open.Parts) == 0 {
		want.Open = LiveSegment{}
	}
	return want
}

func rounded(s *LiveSegment) {
	s.Parts = slices.Clone(s.Parts)
	var at time.Duration
	for i := range s.Parts {
		d := s.Parts[i].Duration
		s.Parts[i].Duration = time.Duration(partMicros(at, d)) * time.Microsecond
		at += d
	}
	s.Duration = s.Duration.Round(time.Microsecond)
	s.Time = s.Time.UTC().Truncate(time.Millisecond)
}

// TestLiveForeignParser reads what is written with a parser that is not ours.
func TestLiveForeignParser(t *testing.T) {
	t.Parallel()
	goldens := liveGoldens()
	delete(goldens, "live-ranges.m3u8") // it does not know that BYTERANGE of EXT-X-PART is quoted
	for name, p := range goldens {
		parsed, _, err := m3u8.DecodeFrom(bytes.NewReader([]byte(liveText(t, p))), true)
		if err != nil {
			t.Errorf("%s: strict parser: %v", name, err)
			continue
		}
		got := parsed.(*m3u8.MediaPlaylist)
		if int(got.Count()) != len(p.Segments)-p.Skip || got.SeqNo != uint64(p.MediaSequence) || got.Closed != p.Ended {
			t.Errorf("%s: %d segments from %d, closed %t", name, got.Count(), got.SeqNo, got.Closed)
		}
		if got.PartTargetDuration != float64(microsUp(p.PartTarget))/1e6 || (got.PreloadHints != nil) != (p.Hint != "") {
			t.Errorf("%s: part target %g, hint %v", name, got.PartTargetDuration, got.PreloadHints)
		}
	}
}

func TestLiveErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want   string
		change func(*LivePlaylist)
	}{
		{"whole seconds", func(p *LivePlaylist) { p.Target += time.Millisecond }},
		{"at most an hour", func(p *LivePlaylist) { p.Target = 2 * time.Hour }},
		{"part target 5s is not between", func(p *LivePlaylist) { p.PartTarget = 5 * time.Second }},
		{"needs a part target", func(p *LivePlaylist) { p.PartTarget = 0 }},
		{"less than twice the part target", func(p *LivePlaylist) { p.PartHoldBack = time.Second }},
		{"less than three target durations", func(p *LivePlaylist) { p.HoldBack = 11 * time.Second }},
		{"less than six target durations", func(p *LivePlaylist) { p.CanSkipUntil = 23 * time.Second }},
		{"negative", func(p *LivePlaylist) { p.MediaSequence = -1 }},
		{"skips 9 segments, may skip 8", func(p *LivePlaylist) { p.Skip = 9 }},
		{"skips 1 segments, may skip 0", func(p *LivePlaylist) { p.Skip, p.CanSkipUntil = 1, 0 }},
		{"segment 8: the URI is missing", func(p *LivePlaylist) { p.Segments[1].URI = "" }},
		{"percent-encoded", func(p *LivePlaylist) { p.Segments[1].URI = "a\n#EXT-X-ENDLIST" }},
		{"segment 7: duration of 0s", func(p *LivePlaylist) { p.Segments[0].Duration = 0 }},
		{"segment 7: it lasts 4.5s, above", func(p *LivePlaylist) { p.Segments[0].Duration = 4500 * time.Millisecond }},
		{"segment 20: it lasts 3.9s, and its parts 3.8", func(p *LivePlaylist) { p.Segments[13].Duration = 3900 * time.Millisecond }},
		{"segment 20: part 1: the URI is missing", func(p *LivePlaylist) { p.Segments[13].Parts[1].URI = "" }},
		{"map is missing", func(p *LivePlaylist) { p.Segments[0].Map = "" }},
		{`map: URI "a b"`, func(p *LivePlaylist) { p.Segments[0].Map = "a b" }},
		{"without a discontinuity", func(p *LivePlaylist) { p.Segments[8].Discontinuity = false }},
		{"open segment: map \"init9.mp4\" follows", func(p *LivePlaylist) { p.Open.Map = "init9.mp4" }},
		{"the year 10000", func(p *LivePlaylist) { p.Segments[0].Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"part 1: it lasts 533.866", func(p *LivePlaylist) { p.Open.Parts[1].Duration += liveFrame }},
		{"part 1: it lasts 420ms, less than 85 %", func(p *LivePlaylist) { p.Open.Parts[1].Duration = 420 * time.Millisecond }},
		{"part 2: duration of 0s", func(p *LivePlaylist) { p.Open.Parts[2].Duration = 0 }},
		{"byte range 0@5", func(p *LivePlaylist) { p.Open.Parts[2].Range.Offset = 5 }},
		{`part 2: URI "é"`, func(p *LivePlaylist) { p.Open.Parts[2].URI = "é" }},
		{"has a URI, a duration or a gap", func(p *LivePlaylist) { p.Open.URI = "21.m4s" }},
		{"has ended, and has", func(p *LivePlaylist) { p.Ended = true }},
		{"hint: part \"21.2.m4s\" is there", func(p *LivePlaylist) { p.Hint = "21.2.m4s" }},
		{`hint: URI "<"`, func(p *LivePlaylist) { p.Hint = "<" }},
		{"rendition report: the URI is missing", func(p *LivePlaylist) { p.Reports[0].URI = "" }},
		{"part -1 is negative", func(p *LivePlaylist) { p.Reports[0].LastPart = -1 }},
		{"hint: it needs a part target", func(p *LivePlaylist) { *p = *plainLive(); p.Hint = "3.0.m4s" }},
		{"parts without a part target", func(p *LivePlaylist) { *p = *plainLive(); p.Open = livePlaylist().Open; p.Open.Map = "init.mp4" }},
	} {
		p := livePlaylist()
		c.change(p)
		got, err := p.AppendTo([]byte("kept"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want one with %q", err, c.want)
		}
		if string(got) != "kept" {
			t.Errorf("%s: dst is %q after an error", c.want, got)
		}
	}
}

func TestSkipMax(t *testing.T) {
	t.Parallel()
	p := livePlaylist()
	// 3 parts and 6 segments last 24.3 s: what is before them may go.
	if got := p.SkipMax(); got != 8 {
		t.Errorf("SkipMax = %d, want 8", got)
	}
	p.CanSkipUntil = time.Hour
	if got := p.SkipMax(); got != 0 {
		t.Errorf("SkipMax of a short playlist = %d, want 0", got)
	}
}

func TestLiveAllocatesNothing(t *testing.T) {
	p := livePlaylist()
	buffer := make([]byte, 0, 1<<16)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := p.AppendTo(buffer); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%g allocations, want none", n)
	}
}

// liveSource grows a playlist as a packager does.
type liveSource struct {
	p       LivePlaylist
	parts   int // that the open segment will have
	periods int
	at      time.Time
}

// step adds one part; with the last one the segment closes.
func (s *liveSource) step(t *rapid.T) {
	p := &s.p
	msn := int(p.MediaSequence) + len(p.Segments)
	n := len(p.Open.Parts)
	if n == 0 {
		s.parts = rapid.IntRange(1, 4).Draw(t, "parts")
		if rapid.IntRange(0, 5).Draw(t, "period") == 0 && msn > 0 {
			s.periods++
			p.Open.Discontinuity = true
			s.at = s.at.Add(time.Minute)
		}
		p.Open.Map = fmt.Sprintf("init%d.mp4", s.periods)
		p.Open.Time = s.at
	}
	d := p.PartTarget
	if last := n == s.parts-1; last {
		d = time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(d)).Draw(t, "last"))
	}
	p.Open.Parts = append(slices.Clone(p.Open.Parts), Part{
		URI: fmt.Sprintf("%d.%d.m4s", msn, n), Duration: d, Independent: n == 0 || d*100 < p.PartTarget*leastPart,
	})
	if n+1 == s.parts {
		closed := p.Open
		closed.URI, closed.Duration = fmt.Sprintf("%d.m4s", msn), closed.partsDuration()
		s.at = s.at.Add(closed.Duration)
		p.Segments = append(slices.Clone(p.Segments), closed)
		p.Open = LiveSegment{}
		msn, n = msn+1, -1
	}
	p.Hint = fmt.Sprintf("%d.%d.m4s", msn, n+1)
	for p.segmentsDuration()-firstDuration(p) >= 30*time.Second {
		if p.Segments[0].Discontinuity {
			p.DiscontinuitySequence++
		}
		p.Segments, p.MediaSequence = p.Segments[1:], p.MediaSequence+1
	}
}

// firstDuration is how long the first segment lasts.
func firstDuration(p *LivePlaylist) time.Duration {
	if len(p.Segments) == 0 {
		return 0
	}
	return p.Segments[0].Duration
}

// TestLiveGrows lets playlists grow and players follow them, by whole texts and
// by delta updates, with some versions missed.
func TestLiveGrows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &liveSource{at: time.Unix(1_800_000_000, 0), p: LivePlaylist{
			Target: 4 * time.Second, PartTarget: time.Duration(rapid.Int64Range(5e8, 1e9).Draw(t, "part target")),
			PartHoldBack: 3 * time.Second, CanSkipUntil: 24 * time.Second, CanBlockReload: true,
		}}
		var whole, deltas *Checked
		for range rapid.IntRange(1, 90).Draw(t, "steps") {
			s.step(t)
			if rapid.IntRange(0, 9).Draw(t, "missed") == 0 {
				continue
			}
			whole = follow(t, &s.p, 0, whole)
			skip := s.p.SkipMax()
			if deltas == nil || deltas.Playlist.MediaSequence != s.p.MediaSequence && rapid.Bool().Draw(t, "whole") {
				skip = 0
			}
			deltas = follow(t, &s.p, skip, deltas)
		}
	})
}

func follow(t *rapid.T, p *LivePlaylist, skip int, before *Checked) *Checked {
	version := *p
	version.Skip = skip
	text, err := version.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, problems := Check(text, before)
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, text)
	}
	if diff := cmp.Diff(asRead(&version), got.Playlist); diff != "" {
		t.Fatalf("read back (-want +got):\n%s\n%s", diff, text)
	}
	return got
}

func BenchmarkLivePlaylist(b *testing.B) {
	p := livePlaylist()
	for len(p.Segments) < 1800 { // two hours
		p.Segments = slices.Insert(p.Segments, 0, p.Segments[0])
	}
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		buffer, _ = p.AppendTo(buffer[:0])
	}
}
