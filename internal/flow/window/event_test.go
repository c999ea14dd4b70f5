package window

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/av/scte35"
	"liuyun/internal/base/fault"
)

// A break is told in playlists, manifest and segments, and so is its end; what is said
// twice is told once.
func TestSplice(t *testing.T) {
	t.Parallel()
	l := newLadder(t, Options{}, &source{rate: 25, gop: every(50), noise: true}, time.Second)
	l.start(rungTrack())
	out := scte35.Insert(scte35.Info{Kind: scte35.Out, Event: 7, Duration: 30 * time.Second})
	if err := l.g.Splice(out, 0); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	l.until(20)
	if err := l.g.Splice([]byte("no section"), 0); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v", err)
	}
	const at = 20*90000 + 3600
	for range 3 {
		if err := l.g.Splice(out, at); err != nil {
			t.Fatal(err)
		}
	}
	l.until(40)
	for _, name := range []string{"video", "audio", rungName} {
		ranges := l.playlist(name).Ranges
		if len(ranges) != 1 || !bytes.Equal(ranges[0].Out, out) || ranges[0].Planned != 30*time.Second || ranges[0].Duration != 0 || !ranges[0].Start.Equal(noon().Add(20*time.Second)) {
			t.Errorf("%s: %+v", name, ranges)
		}
	}
	in := scte35.Insert(scte35.Info{Kind: scte35.In, Event: 7})
	if err := l.g.Splice(in, at+25*90000); err != nil {
		t.Fatal(err)
	}
	l.until(60)
	l.flow(time.Hour)
	if r := l.playlist("video").Ranges; len(r) != 1 || !bytes.Equal(r[0].In, in) || r[0].Duration != 25*time.Second {
		t.Errorf("%+v", r)
	}
	m := l.manifest()
	events := m.Periods[0].Events
	if len(events) != 1 || events[0].Scheme != schemeSplice || len(events[0].Event) != 1 || events[0].Event[0].Start != 20040 || events[0].Event[0].Length != 30000 ||
		!strings.Contains(events[0].Event[0].Text, "Binary") || len(m.Periods[0].Sets[0].Inband) != 2 {
		t.Errorf("%+v", m.Periods[0])
	}
	for _, name := range []string{"video", rungName} {
		count := 0
		for _, s := range l.playlist(name).Segments {
			count += bytes.Count(l.fetch(name, s.URI), append([]byte("urn:scte:scte35:2013:bin\x00\x00"), out...))
		}
		if count != 1 {
			t.Errorf("%s: the break is in %d parts", name, count)
		}
	}
	l.stop()
	l.finish()
}

// A marker is told with what its writer says, and goes when the window is past it.
func TestMarkers(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Keep: 30 * time.Second})
	s := &source{rate: 25, gop: every(50)}
	b.begin(s.tracks())
	if _, err := b.g.Mark(Marker{}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	b.play(s, 10)
	m := Marker{ID: "goal", Class: "score", At: noon().Add(9 * time.Second), Duration: time.Second, Attributes: []hls.DateAttribute{{Name: "X-TEAM", Value: "red"}}}
	if id, err := b.g.Mark(m); err != nil || id != "goal" {
		t.Fatal(id, err)
	}
	if _, err := b.g.Mark(m); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
	m.ID, m.Attributes[0].Name = "other", "team"
	if _, err := b.g.Mark(m); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v", err)
	}
	b.play(s, 20)
	if r := b.playlist("video").Ranges; len(r) != 1 || r[0].ID != "goal" || r[0].Class != "score" || r[0].Duration != time.Second {
		t.Errorf("%+v", r)
	}
	if e := b.manifest().Periods[0].Events; len(e) != 1 || !strings.Contains(e[0].Event[0].Text, "X-TEAM") {
		t.Errorf("%+v", e)
	}
	b.play(s, 60)
	if r := b.playlist("video").Ranges; len(r) != 0 {
		t.Errorf("%+v stay", r)
	}
	for i := range maxEvents + 1 {
		if _, err := b.g.Mark(Marker{At: noon().Add(time.Minute)}); (err != nil) != (i == maxEvents) {
			t.Fatalf("marker %d: %v", i, err)
		}
	}
	b.finish()
}

// What is told of times, and captions, are there again after the process was lost.
func TestTellingAgain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	b := newBench(t, Options{Folder: folder})
	s := &source{rate: 25, gop: every(50)}
	b.begin(s.tracks())
	b.play(s, 20)
	if _, err := b.g.Mark(Marker{ID: "goal", At: noon().Add(19 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	if err := b.g.Caption(Caption{Language: "en", Text: "hello", At: noon().Add(20 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	b.play(s, 40)
	b.g.files.close()
	again, err := New(Options{Folder: folder, First: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(again.events.list) != 1 || again.events.list[0].ID != "goal" || len(again.captions) != 1 || len(again.captions[0].frozen) == 0 {
		t.Errorf("%+v, %+v", again.events.list, again.captions)
	}
}
