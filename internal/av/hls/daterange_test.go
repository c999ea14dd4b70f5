package hls

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ranges() []DateRange {
	start := time.Date(2026, 5, 1, 12, 0, 4, 0, time.UTC)
	return []DateRange{
		{ID: "splice-1", Start: start, Planned: 30 * time.Second, Out: []byte{0xfc, 0x30}},
		{ID: "goal", Class: "score", Start: start, End: start.Add(time.Second), Duration: time.Second, Attributes: []DateAttribute{{"X-TEAM", "red, and blue"}}},
	}
}

// What is written is read again, and nothing is found wrong with it.
func TestDateRanges(t *testing.T) {
	t.Parallel()
	p := plainLive()
	p.Segments[0].Time = ranges()[0].Start
	p.Ranges = ranges()
	text := liveText(t, p)
	for _, want := range []string{
		`#EXT-X-DATERANGE:ID="splice-1",START-DATE="2026-05-01T12:00:04.000Z",PLANNED-DURATION=30.000000,SCTE35-OUT=0xFC30`,
		`#EXT-X-DATERANGE:ID="goal",CLASS="score",START-DATE="2026-05-01T12:00:04.000Z",END-DATE="2026-05-01T12:00:05.000Z",DURATION=1.000000,X-TEAM="red, and blue"`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	checked, problems := Check([]byte(text), nil)
	if len(problems) > 0 {
		t.Errorf("%v", problems)
	}
	got := checked.Playlist.Ranges
	got[1].Attributes[0].Value = strings.Trim(got[1].Attributes[0].Value, `"`)
	if diff := cmp.Diff(p.Ranges, got); diff != "" {
		t.Error(diff)
	}
}

// What breaks a rule of date ranges is found.
func TestWrongDateRanges(t *testing.T) {
	t.Parallel()
	p := plainLive()
	p.Segments[0].Time = ranges()[0].Start
	p.Ranges = ranges()
	good := liveText(t, p)
	before, _ := Check([]byte(good), nil)
	tests := map[string][2]string{
		"no ID":           {`ID="goal",`, ``},
		"no start":        {`CLASS="score",START-DATE="2026-05-01T12:00:04.000Z",`, `CLASS="score",`},
		"ends early":      {`END-DATE="2026-05-01T12:00:05`, `END-DATE="2026-05-01T12:00:03`},
		"other duration":  {`,DURATION=1.0`, `,DURATION=2.0`},
		"not hexadecimal": {`0xFC30`, `0xFCXX`},
		"another section": {`0xFC30`, `0xFC31`},
		"another value":   {`red, and`, `red and`},
		"not quoted":      {`CLASS="score"`, `CLASS=score`},
		"it went":         {`ID="splice-1"`, `ID="splice-2"`},
		"twice":           {`ID="splice-1"`, `ID="goal"`},
	}
	for name, change := range tests {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%s: nothing is changed", name)
		}
		if _, problems := Check([]byte(bad), before); len(problems) == 0 {
			t.Errorf("%s: nothing is found wrong with\n%s", name, bad)
		}
	}
	for name, d := range map[string]DateRange{
		"no ID": {Start: time.Now()}, "no start": {ID: "a"}, "quotes": {ID: `"`, Start: time.Now()},
		"name": {ID: "a", Start: time.Now(), Attributes: []DateAttribute{{"x-team", "a"}}},
		"ends": {ID: "a", Start: time.Now(), End: time.Unix(0, 0)},
	} {
		p.Ranges = []DateRange{d}
		if _, err := p.AppendTo(nil); err == nil {
			t.Errorf("%s: is written", name)
		}
	}
}

// A playlist of key frames, and one of text, are written and pass.
func TestKeysAndText(t *testing.T) {
	t.Parallel()
	p := plainLive()
	p.KeysOnly = true
	if _, err := p.AppendTo(nil); err == nil {
		t.Error("key frames without ranges are written")
	}
	for i := range p.Segments {
		p.Segments[i].Range = Range{Length: 1000}
	}
	text := liveText(t, p)
	if !strings.Contains(text, "#EXT-X-I-FRAMES-ONLY\n") || !strings.Contains(text, "#EXT-X-BYTERANGE:1000@0\n") {
		t.Error(text)
	}
	if _, problems := Check([]byte(text), nil); len(problems) > 0 {
		t.Error(problems)
	}
	if _, problems := Check([]byte(strings.Replace(text, "#EXT-X-BYTERANGE:1000@0\n", "", 1)), nil); len(problems) == 0 {
		t.Error("a key frame without a range passes")
	}
	p = plainLive()
	p.Text = true
	for i := range p.Segments {
		p.Segments[i].Map, p.Segments[i].URI = "", strings.Replace(p.Segments[i].URI, ".m4s", ".vtt", 1)
	}
	text = liveText(t, p)
	if _, problems := Check([]byte(text), nil); len(problems) > 0 || strings.Contains(text, "MAP") {
		t.Errorf("%v\n%s", problems, text)
	}
}
