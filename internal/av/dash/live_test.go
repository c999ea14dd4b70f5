package dash

import (
	"strings"
	"testing"
	"time"

	"liuyun/internal/base/timebase"
)

func live() *Live {
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return &Live{
		Published: start, Update: time.Second, Depth: 2 * time.Hour, Delay: 12 * time.Second, Latency: 2500 * time.Millisecond,
		MinBuffer: time.Second, MaxSegment: 6 * time.Second, Timing: "time",
		Periods: []LivePeriod{{
			ID: "p1", Start: start,
			Events: []EventStream{{
				Scheme: Scheme{URI: "urn:scte:scte35:2014:xml+bin"}, Timescale: 1000, Offset: 4000,
				Events: []LiveEvent{{ID: 1, Start: 5000, Duration: 30000, Splice: []byte{0xfc, 0x30}}},
			}},
			Sets: []LiveSet{
				{
					Video: true, Role: Main, Made: Made{At: start, Ticks: 360000}, Schemes: []Scheme{{URI: "urn:scte:scte35:2013:bin"}},
					Rungs: []LiveRung{{
						ID: "video", Bandwidth: 1_000_000, Codec: "avc1.64001f", Width: 640, Height: 360, FrameRate: timebase.R(25, 1),
						Init: "video/init7.mp4", Media: "video/$Number$.m4s", Timescale: 90000, Offset: 360000, Number: 7, Early: 3500 * time.Millisecond,
						Spans: []Span{{360000, 180000}, {540000, 360000}, {900000, 360000}, {1440000, 360000}},
					}},
				},
				{
					Role: Main, Channels: 2, SampleRate: 48000,
					Rungs: []LiveRung{{
						ID: "audio", Bandwidth: 64_000, Codec: "mp4a.40.2", Init: "audio/init7.mp4", Media: "audio/$Number$.m4s", Timescale: 48000, Number: 7,
						Spans: []Span{{0, 96000}},
					}},
				},
				{
					Text: true, Lang: "zh-hans", Role: Caption,
					Rungs: []LiveRung{{
						ID: "text", Bandwidth: 4000, Codec: "wvtt", Init: "text/init7.mp4", Media: "text/$Number$-7.m4s", Timescale: 90000, Offset: 360000, Number: 7,
						Spans: []Span{{360000, 180000}},
					}},
				},
			},
		}},
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	text, err := live().AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`type="dynamic"`, `availabilityStartTime="1970-01-01T00:00:00Z"`, `minimumUpdatePeriod="PT1S"`, `timeShiftBufferDepth="PT2H"`,
		`<Latency referenceId="0" target="2500" max="10000" min="1250"`, `<UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-iso:2014" value="time"`,
		`<Period id="p1" start="PT493788H"`, `availabilityTimeOffset="3.5" availabilityTimeComplete="false"`, `presentationTimeOffset="360000"`,
		`<S t="360000" d="180000"></S><S d="360000" r="1"></S><S t="1440000" d="360000"></S>`, `inband="true" type="encoder" wallClockTime="2026-05-01T12:00:00.000Z" presentationTime="360000"`,
		`/35"><Binary>/DA=</Binary></Signal>`, `<InbandEventStream schemeIdUri="urn:scte:scte35:2013:bin"`, `startNumber="7"`,
		`<AdaptationSet id="1000" lang="zh-hans" contentType="text" segmentAlignment="true" mimeType="application/mp4" startWithSAP="1"><Role schemeIdUri="urn:mpeg:dash:role:2011" value="caption"></Role><Representation`,
		`<SegmentTemplate media="text/$Number$-7.m4s"`, `codecs="wvtt"`,
	} {
		if !strings.Contains(strings.ReplaceAll(string(text), "\n", ""), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	loud := live()
	loud.Periods[0].Sets[1].Channels = 8
	if text, err = loud.AppendTo(nil); err != nil || !strings.Contains(string(text), `2011" value="12"`) {
		t.Errorf("7.1: %v\n%s", err, text)
	}
	ended := live()
	ended.Update, ended.End = 0, ended.Periods[0].Start.Add(time.Minute)
	if text, err = ended.AppendTo(nil); err != nil || !strings.Contains(string(text), `mediaPresentationDuration="PT493788H1M"`) || strings.Contains(string(text), "minimumUpdatePeriod") {
		t.Errorf("%v\n%s", err, text)
	}
}

// What a player would stumble over is not written.
func TestLiveErrors(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(l *Live){
		"no end":         func(l *Live) { l.Update = 0 },
		"no periods":     func(l *Live) { l.Periods = nil },
		"no sets":        func(l *Live) { l.Periods[0].Sets = nil },
		"same period":    func(l *Live) { l.Periods = append(l.Periods, l.Periods[0]) },
		"odd start":      func(l *Live) { l.Periods[0].Start = l.Periods[0].Start.Add(time.Microsecond) },
		"overlap":        func(l *Live) { l.Periods[0].Sets[0].Rungs[0].Spans[1].Start = 1 },
		"no segments":    func(l *Live) { l.Periods[0].Sets[0].Rungs[0].Spans = nil },
		"no number":      func(l *Live) { l.Periods[0].Sets[0].Rungs[0].Media = "a.m4s" },
		"no codec":       func(l *Live) { l.Periods[0].Sets[0].Rungs[0].Codec = "" },
		"no channels":    func(l *Live) { l.Periods[0].Sets[1].Channels = 0 },
		"two kinds":      func(l *Live) { l.Periods[0].Sets[2].Video = true },
		"same rung":      func(l *Live) { l.Periods[0].Sets[1].Rungs[0].ID = "video" },
		"large number":   func(l *Live) { l.Periods[0].Sets[0].Rungs[0].Number = 1 << 33 },
		"no duration":    func(l *Live) { l.Periods[0].Sets[0].Rungs[0].Spans[0].Duration = 0 },
		"init by number": func(l *Live) { l.Periods[0].Sets[0].Rungs[0].Init = "$Number$.mp4" },
	} {
		l := live()
		spoil(l)
		if _, err := l.AppendTo(nil); err == nil {
			t.Errorf("%s: is written", name)
		}
	}
}
