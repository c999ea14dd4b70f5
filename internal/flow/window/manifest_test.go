package window

import (
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/base/fault"
)

// manifest is what tests read of an MPD.
type manifest struct {
	Type   string `xml:"type,attr"`
	Update string `xml:"minimumUpdatePeriod,attr"`
	Ends   string `xml:"mediaPresentationDuration,attr"`
	Depth  string `xml:"timeShiftBufferDepth,attr"`
	Timing struct {
		Scheme string `xml:"schemeIdUri,attr"`
		Value  string `xml:"value,attr"`
	} `xml:"UTCTiming"`
	Latency struct {
		Latency struct {
			Target int `xml:"target,attr"`
		}
	} `xml:"ServiceDescription"`
	Periods []struct {
		ID     string `xml:"id,attr"`
		Start  string `xml:"start,attr"`
		Lasts  string `xml:"duration,attr"`
		Events []struct {
			Scheme string `xml:"schemeIdUri,attr"`
			Event  []struct {
				Text   string `xml:",innerxml"`
				Start  int64  `xml:"presentationTime,attr"`
				Length int64  `xml:"duration,attr"`
			} `xml:"Event"`
		} `xml:"EventStream"`
		Sets []struct {
			Kind   string `xml:"contentType,attr"`
			Inband []struct {
				Scheme string `xml:"schemeIdUri,attr"`
			} `xml:"InbandEventStream"`
			Made struct {
				Wall  string `xml:"wallClockTime,attr"`
				Ticks int64  `xml:"presentationTime,attr"`
			} `xml:"ProducerReferenceTime"`
			Rungs []struct {
				ID       string `xml:"id,attr"`
				Codecs   string `xml:"codecs,attr"`
				Rate     int64  `xml:"bandwidth,attr"`
				Template struct {
					Init   string  `xml:"initialization,attr"`
					Media  string  `xml:"media,attr"`
					Early  float64 `xml:"availabilityTimeOffset,attr"`
					Whole  string  `xml:"availabilityTimeComplete,attr"`
					Scale  int64   `xml:"timescale,attr"`
					Offset int64   `xml:"presentationTimeOffset,attr"`
					Number int64   `xml:"startNumber,attr"`
					S      []struct {
						T *int64 `xml:"t,attr"`
						D int64  `xml:"d,attr"`
						R int64  `xml:"r,attr"`
					} `xml:"SegmentTimeline>S"`
				} `xml:"SegmentTemplate"`
			} `xml:"Representation"`
		} `xml:"AdaptationSet"`
	} `xml:"Period"`
}

func (b *bench) manifest() (m manifest) {
	b.t.Helper()
	answer, err := b.g.Manifest()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := xml.Unmarshal(answer.Text, &m); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// spans unrolls the timeline of a rung.
func (m *manifest) spans(period int, rung string) (starts, durations []int64, number int64) {
	for _, set := range m.Periods[period].Sets {
		for _, r := range set.Rungs {
			if r.ID != rung {
				continue
			}
			at := int64(0)
			for _, s := range r.Template.S {
				if s.T != nil {
					at = *s.T
				}
				for range s.R + 1 {
					starts, durations = append(starts, at), append(durations, s.D)
					at += s.D
				}
			}
			return starts, durations, r.Template.Number
		}
	}
	return nil, nil, 0
}

// The manifest has the segments of the playlists, of all renditions, the open one and
// the one after it, and what low latency needs.
func TestManifest(t *testing.T) {
	t.Parallel()
	l := newLadder(t, Options{}, &source{rate: 25, gop: every(50), noise: true}, time.Second)
	if _, err := l.g.Manifest(); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	l.start(rungTrack())
	l.until(21.5)
	m := l.manifest()
	if m.Type != "dynamic" || m.Update == "" || m.Ends != "" || m.Timing.Scheme != "urn:mpeg:dash:utc:http-iso:2014" || m.Latency.Latency.Target < 2000 || m.Depth != "PT2H" {
		t.Errorf("%+v", m)
	}
	if len(m.Periods) != 1 || len(m.Periods[0].Sets) != 2 || len(m.Periods[0].Sets[0].Rungs) != 2 {
		t.Fatalf("%+v", m.Periods)
	}
	template := m.Periods[0].Sets[0].Rungs[0].Template
	if template.Init != "video/init100.mp4" || template.Media != "video/$Number$-100.m4s" || template.Early != 3.507 || template.Whole != "false" || template.Scale != 90000 {
		t.Errorf("%+v", template)
	}
	made := m.Periods[0].Sets[0].Made
	if made.Wall != "2026-05-01T12:00:14.000Z" || made.Ticks != 14*90000+3600 {
		t.Errorf("%+v", made)
	}
	for _, name := range []string{"video", rungName, "audio"} {
		starts, durations, number := m.spans(0, name)
		scale, first := int64(90000), int64(3600)
		if name == "audio" {
			scale, first = 48000, 0
		}
		// 2 s, four of 4 s, the open one from 18 s on, and the one after it.
		if number != 100 || len(starts) != 7 {
			t.Fatalf("%s: from %d, %d segments", name, number, len(starts))
		}
		for i, want := range []int64{0, 2, 6, 10, 14, 18, 22} {
			if off := starts[i] - want*scale - first; off < -1024 || off > 2048 {
				t.Errorf("%s: segment %d starts at %d", name, i, starts[i])
			}
			if i > 0 && starts[i] != starts[i-1]+durations[i-1] {
				t.Errorf("%s: segment %d does not follow the one before", name, i)
			}
		}
	}
	if offset := m.Periods[0].Sets[0].Rungs[1].Template.Offset; offset != 3600 {
		t.Errorf("offset of %d", offset)
	}
	l.flow(time.Hour)
	l.stop()
	l.finish()
	if m = l.manifest(); m.Update != "" || !strings.HasPrefix(m.Ends, "PT") {
		t.Errorf("it does not end: %+v", m)
	}
}

// Each discontinuity begins a period, and so does a rendition that comes or goes: it
// has the time of day, and what was before keeps its place.
func TestPeriodsOfDASH(t *testing.T) {
	t.Parallel()
	l := newLadder(t, Options{}, &source{rate: 25, gop: every(50), noise: true, blind: func(at time.Duration) bool {
		return at > 20*time.Second && at < 40*time.Second
	}, silent: func(at time.Duration) bool { return at > 20*time.Second && at < 40*time.Second }}, time.Second)
	l.until(50)
	m := l.manifest()
	if len(m.Periods) != 2 || m.Periods[0].ID != "p100" || m.Periods[0].Start == m.Periods[1].Start || m.Periods[0].Lasts == "" || m.Periods[1].Lasts != "" {
		t.Fatalf("%+v", m.Periods)
	}
	if !strings.HasSuffix(m.Periods[0].Start, "H") || !strings.HasSuffix(m.Periods[1].Start, "H0M40S") {
		t.Errorf("start at %s and %s", m.Periods[0].Start, m.Periods[1].Start)
	}
	first := m.Periods[0]
	l.until(55)
	l.start(rungTrack())
	l.until(75)
	m = l.manifest()
	if n := len(m.Periods); n != 3 || m.Periods[0].Start != first.Start || len(m.Periods[1].Sets[0].Rungs) != 1 || len(m.Periods[2].Sets[0].Rungs) != 2 {
		t.Fatalf("%+v", m.Periods)
	}
	for name, want := range map[string]int{"105-100.m4s": 1000, "106-100.m4s": 8, "106-106.m4s": 1000, "107-100.m4s": 0, "106-105.m4s": 0, "106-x.m4s": 0, "106.0-106.m4s": 0} {
		f, err := l.g.Open(t.Context(), "video", name)
		if want == 0 {
			if fault.CodeOf(err) != fault.NotFound {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(name, err)
		}
		if f.Size < int64(want) || want == 8 && f.Size != 8 {
			t.Errorf("%s has %d bytes", name, f.Size)
		}
		f.Close()
	}
	l.stop()
	l.until(90)
	if m = l.manifest(); len(m.Periods) != 4 || len(m.Periods[3].Sets[0].Rungs) != 1 {
		t.Errorf("%+v", m.Periods)
	}
	l.finish()
}

// A period is listed when all that goes on has come to it: shaka never looks for what
// comes later.
func TestPeriodsBeginWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := &source{rate: 25, gop: every(50), noise: true}
	b.begin(s.tracks())
	b.play(s, 20)
	other := s.tracks()
	other[0] = rungTrack() // of another size
	b.begin(other)
	for s.now() < 30*time.Second {
		u, _ := s.next()
		b.write(u)
		for _, p := range b.manifest().Periods {
			if len(p.Sets) != 2 {
				t.Fatalf("at %v period %s has %d sets", s.now(), p.ID, len(p.Sets))
			}
		}
	}
	if n := len(b.manifest().Periods); n != 2 {
		t.Errorf("%d periods", n)
	}
	b.finish()
}

// A period that has just begun tells the rates of the one before: dash.js stands still
// where a rate changes its place among the others.
func TestRatesOutlivePeriods(t *testing.T) {
	t.Parallel()
	l := newLadder(t, Options{}, &source{rate: 25, gop: every(50), size: 5000}, 200*time.Millisecond)
	l.start(rungTrack())
	l.until(21)
	l.g.Break()
	for l.until(21.5); len(l.manifest().Periods) < 2; {
		l.until(l.source.now().Seconds() + 0.04)
	}
	periods := l.manifest().Periods
	before, after := periods[0].Sets[0].Rungs, periods[1].Sets[0].Rungs
	if len(before) != 2 || len(after) != 2 || before[0].Rate < 100_000 || before[0].Rate != after[0].Rate || before[1].Rate != after[1].Rate {
		t.Errorf("before the break %+v, after it %+v", before, after)
	}
	l.stop()
	l.finish()
}

// A source whose clock runs away from ours begins a period before it is a second off.
func TestDriftBeginsAPeriod(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	s := &source{rate: 25, gop: every(50)}
	b.begin(s.tracks())
	for s.now() < 400*time.Second {
		u, _ := s.next()
		u.Wall = u.Wall.Add(duration(u.DTS, 90000) / 200)
		b.write(u)
	}
	if m := b.manifest(); len(m.Periods) != 2 {
		t.Errorf("%d periods", len(m.Periods))
	}
	b.finish()
}

// The open segment is read as it grows, and is the same as when it is whole; who is
// too early waits.
func TestGrowing(t *testing.T) {
	t.Parallel()
	live(t, Options{}, 30, func(t *testing.T, g *Group) {
		time.Sleep(4 * time.Second)
		number := func() int64 {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.renditions[0].open.number
		}
		open, next := segmentURI(number()), segmentURI(number()+1)
		ofPeriod := strings.Replace(next, ".m4s", "-100.m4s", 1)
		for _, name := range []string{open, ofPeriod, next} {
			if name == next {
				next = segmentURI(number() + 1)
				name = next
			}
			f, err := g.Open(t.Context(), "video", name)
			if err != nil || f.Grows == nil {
				t.Fatalf("%s: %v, %+v", name, err, f)
			}
			began := time.Now()
			one := make([]byte, 1)
			if _, err := io.ReadFull(f.Grows, one); err != nil || time.Since(began) > 600*time.Millisecond {
				t.Errorf("%s: the first byte comes after %v, %v", name, time.Since(began), err)
			}
			rest, err := io.ReadAll(f.Grows)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			whole, err := g.Open(t.Context(), "video", name)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(whole.Content)
			whole.Close()
			if err != nil || !bytes.Equal(append(one, rest...), data) {
				t.Errorf("%s: %d bytes while it grew, %d when it is whole, %v", name, 1+len(rest), len(data), err)
			}
		}
		slow, err := g.Open(t.Context(), "video", segmentURI(number()))
		if err != nil || slow.Grows == nil {
			t.Fatal(err)
		}
		defer slow.Close()
		first := make([]byte, 100)
		if _, err := io.ReadFull(slow.Grows, first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		if rest, err := io.ReadAll(slow.Grows); err != nil || len(rest) == 0 {
			t.Errorf("who is slow gets %d bytes, %v", len(rest), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Open(ctx, "video", segmentURI(number()+1)); fault.CodeOf(err) != fault.Canceled {
			t.Errorf("got %v", err)
		}
	})
}
