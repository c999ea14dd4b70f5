package hls

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// replaced replaces the only place that old has in text.
func replaced(t *testing.T, text, old, new string) string {
	t.Helper()
	if n := strings.Count(text, old); n != 1 {
		t.Fatalf("%q stands %d times in the playlist, want once", old, n)
	}
	return strings.Replace(text, old, new, 1)
}

// wantProblem wants one problem, with a section and words.
func wantProblem(t *testing.T, problems []Problem, section, want string) {
	t.Helper()
	for _, p := range problems {
		if p.Section == section && strings.Contains(p.Text, want) {
			return
		}
	}
	t.Errorf("problems %v, want %q of %s", problems, want, section)
}

func TestCheckFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	const (
		head  = "#EXTM3U\n"
		first = "#EXT-X-MAP:URI=\"init0.mp4\"\n"
		part1 = "#EXT-X-PART:DURATION=0.500500,URI=\"21.1.m4s\"\n"
		part2 = "#EXT-X-PART:DURATION=0.500500,URI=\"21.2.m4s\"\n"
		hint  = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"21.3.m4s\"\n"
		seg20 = "#EXTINF:3.803800,\n20.m4s\n"
		seg8  = "#EXTINF:3.803800,\n8.m4s\n"
		date8 = "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T15:59:33.808Z\n"
	)
	for _, c := range []struct{ section, want, old, new string }{
		{"4.4.1.1", "not #EXTM3U", head, "\ufeff" + head},
		{"4.4.1.1", "not #EXTM3U", head, "\n" + head},
		{"4.1", "not UTF-8", "8.m4s\n#EXT-X-PROGRAM-DATE-TIME:2026-03-01T15:59:37", "8.m4s\n#\xff\n#EXT-X-PROGRAM-DATE-TIME:2026-03-01T15:59:37"},
		{"4.1", "control character", seg8, "# \x07\n" + seg8},
		{"4.1", "percent-encoded", "\n8.m4s\n", "\n8 .m4s\n"},
		{"4.4.1.2", "stands a second time", "#EXT-X-VERSION:6\n", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6\n"},
		{"8", "version 5, and what it uses needs 6", "VERSION:6", "VERSION:5"},
		{"8", "version 1,", "#EXT-X-VERSION:6\n", ""},
		{"4.4.1.2", "not a whole number", "VERSION:6", "VERSION:six"},
		{"4.4.3.1", "there is no EXT-X-TARGETDURATION", "#EXT-X-TARGETDURATION:4\n", ""},
		{"4.4.3.1", "not a whole number", "TARGETDURATION:4", "TARGETDURATION:4.0"},
		{"4.4.3.1", "target duration of 0 seconds", "TARGETDURATION:4", "TARGETDURATION:0"},
		{"4.4.3.1", "above the target duration", "TARGETDURATION:4", "TARGETDURATION:3"},
		{"4.4.3.1", "a segment of 4.5s", seg8, strings.Replace(seg8, "3.803800", "4.5", 1)},
		{"4.4.3", "a second time", "#EXT-X-MEDIA-SEQUENCE:7\n", "#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MEDIA-SEQUENCE:7\n"},
		{"4.4.3.2", "after the first segment", "#EXT-X-MEDIA-SEQUENCE:7\n", first + "#EXT-X-MEDIA-SEQUENCE:7\n"},
		{"4.4.3.3", "after the first segment", "#EXT-X-DISCONTINUITY-SEQUENCE:2\n", first + "#EXT-X-DISCONTINUITY-SEQUENCE:2\n"},
		{"6.2.2", "EXT-X-PLAYLIST-TYPE", head, head + "#EXT-X-PLAYLIST-TYPE:EVENT\n"},
		{"4.4.6", "EXT-X-STREAM-INF", head, head + "#EXT-X-STREAM-INF:BANDWIDTH=1\n"},

		{"4.2", "PART-TARGET stands twice", "PART-TARGET=0.500500", "PART-TARGET=0.500500,PART-TARGET=0.500500"},
		{"4.2", `"part-target" is not an attribute`, "PART-TARGET=0", "part-target=0"},
		{"4.2", "value of PART-TARGET is malformed", "PART-TARGET=0.500500", "PART-TARGET="},
		{"4.2", "end with a comma", "PART-TARGET=0.500500", "PART-TARGET=0.500500,"},
		{"4.2", "value of URI is malformed", part1, strings.Replace(part1, "m4s\"", "m4s", 1)},
		{"4.2", "value of URI is malformed", part1, strings.Replace(part1, "m4s\"", "m4s\"x", 1)},
		{"4.2", "value of DURATION is malformed", part1, strings.Replace(part1, "0.5", "0 5", 1)},
		{"4.4.3.7", "must not be quoted", "PART-TARGET=0.500500", `PART-TARGET="0.500500"`},
		{"4.4.4.9", "URI must be quoted", part1, strings.ReplaceAll(part1, `"`, "")},
		{"4.4.4.9", "DURATION is missing", part1, strings.Replace(part1, "DURATION=0.500500,", "", 1)},
		{"4.4.4.9", "URI is missing", part1, "#EXT-X-PART:DURATION=0.5\n"},
		{"4.4.4.9", "may only be YES", part1, strings.Replace(part1, "URI", "GAP=NO,URI", 1)},
		{"4.4.4.9", "percent-encoded", part1, strings.Replace(part1, "21.1", "21 1", 1)},
		{"4.4.4.9", "not a positive number of seconds", part1, strings.Replace(part1, "0.500500", "0.5s", 1)},
		{"4.4.4.9", "not a byte range", part1, strings.Replace(part1, "URI", `BYTERANGE="10",URI`, 1)},
		{"4.4.4.9", "BYTERANGE must be quoted", part1, strings.Replace(part1, "URI", "BYTERANGE=10@5,URI", 1)},

		{"4.4.3.7", "parts without EXT-X-PART-INF", "#EXT-X-PART-INF:PART-TARGET=0.500500\n", ""},
		{"4.4.3.7", "PART-TARGET is missing", "PART-TARGET=0.500500", "X=1"},
		{"4.4.3.7", "PART-TARGET of 5s above", "PART-TARGET=0.500500", "PART-TARGET=5"},
		{"4.4.3.8", "without PART-HOLD-BACK", "PART-HOLD-BACK=1.600000,", ""},
		{"4.4.3.8", "less than twice", "PART-HOLD-BACK=1.600000", "PART-HOLD-BACK=1.000000"},
		{"4.4.3.8", "should be three times", "PART-HOLD-BACK=1.600000", "PART-HOLD-BACK=1.501499"},
		{"4.4.3.8", "HOLD-BACK of 11.9s", "HOLD-BACK=12.000000", "HOLD-BACK=11.9"},
		{"4.4.3.8", "CAN-SKIP-UNTIL of 23.9s", "CAN-SKIP-UNTIL=24.000000", "CAN-SKIP-UNTIL=23.9"},
		{"B.1", "without CAN-BLOCK-RELOAD", "CAN-BLOCK-RELOAD=YES,", ""},
		{"4.4.3.8", "may only be YES", "CAN-BLOCK-RELOAD=YES", "CAN-BLOCK-RELOAD=NO"},
		{"B.1", "without EXT-X-PRELOAD-HINT", hint, ""},

		{"4.4.4.1", "a segment without EXTINF", seg8, "8.m4s\n"},
		{"4.4.4.1", "EXTINF without a segment", hint, "#EXTINF:4,\n" + hint},
		{"4.4.4.1", "a second EXTINF", seg8, "#EXTINF:4,\n" + seg8},
		{"4.4.4.1", "not a duration and a comma", seg8, "#EXTINF:3.803800\n8.m4s\n"},
		{"4.4.4.1", "not a duration and a comma", seg8, "#EXTINF:-1,\n8.m4s\n"},
		{"4.4.4.1", "not a duration and a comma", seg8, "#EXTINF:3e1,\n8.m4s\n"},
		{"4.4.4.1", "not a duration and a comma", seg8, "#EXTINF:99999999999999999999,\n8.m4s\n"},
		{"4.4.4.2", "not a byte range", seg8, "#EXT-X-BYTERANGE:-1@0\n" + seg8},
		{"4.4.4.3", "a second EXT-X-DISCONTINUITY", "#EXT-X-DISCONTINUITY\n", "#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY\n"},
		{"4.4.4.3", "without EXT-X-DISCONTINUITY before it", "#EXT-X-DISCONTINUITY\n", ""},
		{"4.4.4.5", "without EXT-X-MAP", first, ""},
		{"4.4.4.5", "URI is missing", first, "#EXT-X-MAP:X=1\n"},
		{"4.4.4.5", "byte range with its offset", first, strings.Replace(first, "URI", `BYTERANGE="100",URI`, 1)},
		{"4.4.4.6", "not a date", date8, "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T15:59:33.808\n"},
		{"6.2.1", "before the end of the segment before", date8, strings.Replace(date8, "33.808", "32.808", 1)},
		{"6.2.1", "after the end of the segment before", date8, strings.Replace(date8, "33.808", "34.809", 1)},
		{"6.2.1", "a discontinuity without EXT-X-PROGRAM-DATE-TIME", "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T16:00:00.435Z\n", ""},

		{"4.4.4.9", "above the PART-TARGET", part1, strings.Replace(part1, "0.500500", "0.500501", 1)},
		{"4.4.4.9", "less than 85 %", part1, strings.Replace(part1, "0.500500", "0.425420", 1)},
		{"4.4.4.9", "comes after a part that it applies to", part2, part2 + "#EXT-X-DISCONTINUITY\n"},
		{"4.4.4.9", "whose parts last 3.3033s", "#EXT-X-PART:DURATION=0.500500,URI=\"20.1.m4s\"\n", ""},
		{"4.4.4.9", "a part between EXTINF", seg20, strings.Replace(seg20, "\n20", "\n"+part1+"20", 1)},
		{"6.2.2", "beyond 3 target durations", seg8, "#EXT-X-PART:DURATION=0.5,URI=\"8.0\"\n" + seg8},
		{"6.2.2", "a segment without parts after one with parts", seg20, seg20 + "#EXTINF:4,\n20b.m4s\n"},

		{"4.4.5.3", "a second hint", hint, hint + hint},
		{"4.4.5.3", "a hint of type \"SEGMENT\"", "TYPE=PART", "TYPE=SEGMENT"},
		{"4.4.5.3", "TYPE must not be quoted", "TYPE=PART", `TYPE="PART"`},
		{"4.4.5.3", "there already", "URI=\"21.3.m4s\"", "URI=\"21.2.m4s\""},
		{"4.4.5.3", "media after the hint", part2, hint + part2},
		{"4.4.5.3", "has ended", hint, hint + "#EXT-X-ENDLIST\n"},
		{"4.4.5.4", "not relative", "../audio/media.m3u8", "https://example.com/audio.m3u8"},
		{"4.4.5.4", "not a whole number", "LAST-MSN=21", "LAST-MSN=-1"},
		{"4.4.5.4", "more than 64 reports", hint, hint + manyReports()},
		{"4.4.5.4", "a second report", ",LAST-PART=2\n", ",LAST-PART=2\n#EXT-X-RENDITION-REPORT:URI=\"../audio/media.m3u8\",LAST-MSN=1\n"},
		{"6.2.5.1", "without the playlist before it", "#EXT-X-DISCONTINUITY-SEQUENCE:2\n", "#EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n"},
		{"4.4.5.2", "it skips 0", "#EXT-X-DISCONTINUITY-SEQUENCE:2\n", "#EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-SKIP:SKIPPED-SEGMENTS=0\n"},
		{"4.4.5.2", "after the first segment", seg20, seg20 + "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n"},
	} {
		text := replaced(t, liveText(t, livePlaylist()), c.old, c.new)
		_, problems := Check([]byte(text), nil)
		wantProblem(t, problems, c.section, c.want)
	}
}

func manyReports() string {
	var text strings.Builder
	for i := range maxReports + 1 {
		fmt.Fprintf(&text, "#EXT-X-RENDITION-REPORT:URI=\"%d\",LAST-MSN=1,LAST-PART=1\n", i)
	}
	return text.String()
}

// TestCheckStart checks a playlist that has nothing but the first parts.
func TestCheckStart(t *testing.T) {
	t.Parallel()
	p := livePlaylist()
	p.Segments, p.MediaSequence, p.DiscontinuitySequence = nil, 0, 0
	p.Open.Map, p.Hint = "init0.mp4", "0.3.m4s"
	p.Open.Parts = liveParts(0, 3)
	text := liveText(t, p)
	if _, problems := Check([]byte(text), nil); len(problems) > 0 {
		t.Errorf("the first parts: %v", problems)
	}
	_, problems := Check([]byte(replaced(t, text, "#EXT-X-MAP:URI=\"init0.mp4\"\n", "")), nil)
	wantProblem(t, problems, "4.4.4.5", "parts without EXT-X-MAP")
	p.Open.Time = time.Time{}
	_, problems = Check([]byte(liveText(t, p)), nil)
	wantProblem(t, problems, "B.1", "without EXT-X-PROGRAM-DATE-TIME")
	p.Open, p.Hint, p.Reports = LiveSegment{}, "0.0.m4s", nil
	if _, problems := Check([]byte(liveText(t, p)), nil); len(problems) > 0 {
		t.Errorf("nothing yet: %v", problems)
	}
}

func TestCheckLeavesAloneWhatIsAllowed(t *testing.T) {
	t.Parallel()
	const (
		head  = "#EXTM3U\n"
		part1 = "#EXT-X-PART:DURATION=0.500500,URI=\"21.1.m4s\"\n"
		part2 = "#EXT-X-PART:DURATION=0.500500,URI=\"21.2.m4s\"\n"
		seg8  = "#EXTINF:3.803800,\n8.m4s\n"
	)
	for _, c := range []struct{ old, new string }{
		{head, head + "#EXT-X-INDEPENDENT-SEGMENTS\n# a comment\n\n#EXT-X-SOMETHING-NEW:YES\n"},
		{seg8, "#EXTINF:3.8038,a title\r\n8.m4s\r\n"},
		{seg8, "#EXTINF:4,\n8.m4s\n"}, // as whole seconds
		{part1, strings.Replace(part1, "0.500500", "0.425425", 1)},
		{part1, strings.Replace(part1, "0.500500", "0.1,INDEPENDENT=YES", 1)},
		{part1, strings.Replace(part1, "0.500500", "0.1,GAP=YES", 1)},
		{part1 + part2, "#EXT-X-PART:DURATION=0.5,URI=\"21\",BYTERANGE=\"9@700\"\n#EXT-X-PART:DURATION=0.5,URI=\"21\",BYTERANGE=\"8\"\n"},
		{part1, strings.Replace(part1, ",URI", `,BYTERANGE="10@0",X-FOO=0xA0,Y="a,b=c",URI`, 1)},
		{"TYPE=PART,URI=\"21.3.m4s\"\n", "TYPE=PART,URI=\"21.3.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init2.mp4\"\n"},
		{",LAST-MSN=21,LAST-PART=2", ""},
		{"2026-03-01T15:59:33.808Z", "2026-03-01T23:59:34.5+08:00"}, // drift
		{"2026-03-01T16:00:00.435Z", "2026-03-01T16:00:00.435000000Z"},
		{"#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"21.3.m4s\"\n", "#EXTINF:1.5015,\n21.m4s\n#EXT-X-ENDLIST\n"},
	} {
		_, problems := Check([]byte(replaced(t, liveText(t, livePlaylist()), c.old, c.new)), nil)
		for _, p := range problems {
			t.Errorf("%q: %v", c.new, p)
		}
	}
}

// next is what follows livePlaylist: two more parts, and the first segments
// gone up to the discontinuity.
func nextLive() *LivePlaylist {
	p := livePlaylist()
	p.Open.Parts, p.Hint = liveParts(21, 5), "21.5.m4s"
	p.Segments, p.MediaSequence = p.Segments[3:], 10
	p.Reports[0].LastPart = 4
	return p
}

// closedLive follows nextLive: segment 21 is closed, and so is the first
// segment after the discontinuity gone.
func closedLive() *LivePlaylist {
	p := nextLive()
	s := liveSegment(21, 7)
	s.Map, s.Time = p.Open.Map, p.Open.Time
	p.Segments, p.MediaSequence, p.DiscontinuitySequence = append(p.Segments[6:], s), 16, 3
	p.Open = LiveSegment{Map: s.Map, Time: s.Time.Add(s.Duration), Parts: liveParts(22, 1)}
	p.Hint, p.Reports[0].LastMSN, p.Reports[0].LastPart = "22.1.m4s", 22, 0
	return p
}

func TestCheckSuccession(t *testing.T) {
	t.Parallel()
	clean := func(p *LivePlaylist, before *Checked) *Checked {
		got, problems := Check([]byte(liveText(t, p)), before)
		for _, problem := range problems {
			t.Error(problem)
		}
		return got
	}
	first := clean(livePlaylist(), nil)
	clean(livePlaylist(), first) // unchanged
	second := clean(nextLive(), first)
	clean(closedLive(), second)
	clean(closedLive(), first) // one version missed
	far := closedLive()
	far.Segments, far.MediaSequence, far.DiscontinuitySequence = far.Segments[6:], 100, 9
	far.Segments = append(far.Segments, closedLive().Segments[:5]...)
	for i := range far.Segments {
		far.Segments[i].Parts, far.Segments[i].Time = nil, time.Time{}
		far.Segments[i].Discontinuity = i == 0
	}
	far.Open.Time = time.Unix(2e9, 0)
	far.Reports[0].LastMSN = 101
	clean(far, second) // nothing in common

	for _, c := range []struct {
		section, want string
		change        func(*LivePlaylist)
	}{
		{"6.2.1", "target duration changed", func(p *LivePlaylist) { p.Target, p.HoldBack, p.CanSkipUntil = 5*time.Second, 0, 0 }},
		{"6.2.1", "PART-TARGET changed", func(p *LivePlaylist) { p.PartTarget += time.Millisecond }},
		{"6.2.1", "EXT-X-SERVER-CONTROL changed", func(p *LivePlaylist) { p.PartHoldBack *= 2 }},
		{"6.2.2", "media sequence went back", func(p *LivePlaylist) { p.MediaSequence = 6 }},
		{"6.2.2", "discontinuity sequence went back", func(p *LivePlaylist) { p.DiscontinuitySequence = 1 }},
		{"6.2.2", "removed make it 2", func(p *LivePlaylist) { p.DiscontinuitySequence = 3 }},
		{"6.2.2", "removed make it 3", func(p *LivePlaylist) {
			p.Segments, p.MediaSequence = p.Segments[6:], 16
		}},
		{"6.2.2", "less than three target durations", func(p *LivePlaylist) {
			p.Segments, p.MediaSequence, p.DiscontinuitySequence = p.Segments[8:], 18, 3
		}},
		{"6.2.1", "it ends at segment 21 part 1", func(p *LivePlaylist) { p.Open.Parts, p.Hint = p.Open.Parts[:2], "21.2.m4s" }},
		{"6.2.1", "it ends at segment 20", func(p *LivePlaylist) { p.Open = LiveSegment{} }},
		{"6.2.1", "segment 11 changed from 11.m4s", func(p *LivePlaylist) { p.Segments[1].URI = "11b.m4s" }},
		{"6.2.1", "segment 11 changed from 11.m4s of 3.8", func(p *LivePlaylist) { p.Segments[1].Duration += time.Microsecond }},
		{"6.2.1", "segment 11 changed", func(p *LivePlaylist) { p.Segments[1].Gap = true }},
		{"6.2.1", "of segment 11 changed", func(p *LivePlaylist) { p.Segments[1].Time = p.Segments[1].Time.Add(time.Millisecond) }},
		{"6.2.1", "of segment 16 changed", func(p *LivePlaylist) { p.Segments[6].Discontinuity = true }},
		{"6.2.1", "of segment 10 changed", func(p *LivePlaylist) {
			for i := range 5 {
				p.Segments[i].Map = "init00.mp4"
			}
		}},
		{"6.2.1", "of segment 21 changed", func(p *LivePlaylist) { p.Open.Time = p.Open.Time.Add(time.Millisecond) }},
		{"6.2.1", "parts of segment 21 changed", func(p *LivePlaylist) { p.Open.Parts[1].URI = "x" }},
		{"6.2.1", "parts of segment 20 changed", func(p *LivePlaylist) { p.Segments[10].Parts[1].Range = Range{0, 9} }},
		{"6.2.2", "parts of segment 20 went", func(p *LivePlaylist) {
			for i := range p.Segments {
				p.Segments[i].Parts = nil
			}
		}},
		{"6.2.1", "segment 21 had 3 parts and has 2", func(p *LivePlaylist) {
			s := liveSegment(21, 1)
			s.Map, s.Time = p.Open.Map, p.Open.Time
			p.Segments = append(p.Segments, s)
			p.Open = LiveSegment{Map: s.Map, Time: s.Time.Add(s.Duration), Parts: liveParts(22, 1)}
		}},
		{"4.4.5.3", `the hint was "21.3.m4s", and "y" came`, func(p *LivePlaylist) { p.Open.Parts[3].URI = "y" }},
		{"4.4.5.3", "and no part came", func(p *LivePlaylist) { p.Open.Parts = p.Open.Parts[:3] }},
		{"4.4.5.4", "went back from 21.2 to 21.1", func(p *LivePlaylist) { p.Reports[0].LastPart = 1 }},
	} {
		p := nextLive()
		c.change(p)
		_, problems := Check([]byte(liveText(t, p)), first)
		wantProblem(t, problems, c.section, c.want)
	}
}

// TestCheckWithdrawnHint closes segment 21 without the part that was hinted at.
func TestCheckWithdrawnHint(t *testing.T) {
	t.Parallel()
	first, _ := Check([]byte(liveText(t, livePlaylist())), nil)
	p := livePlaylist()
	s := p.Open
	s.URI, s.Duration = "21.m4s", s.partsDuration()
	p.Segments, p.Open, p.Hint = append(p.Segments, s), LiveSegment{}, "22.0.m4s"
	withdrawn, problems := Check([]byte(liveText(t, p)), first)
	if len(problems) > 0 {
		t.Errorf("the source may have broken off: %v", problems)
	}
	again, _ := Check([]byte(liveText(t, p)), withdrawn)
	p.Open = LiveSegment{Map: s.Map, Time: s.Time.Add(s.Duration), Parts: liveParts(22, 1)}
	p.Hint, p.Reports = "22.1.m4s", nil
	for _, before := range []*Checked{first, withdrawn, again} {
		_, problems = Check([]byte(liveText(t, p)), before)
		wantProblem(t, problems, "4.4.5.3", `the hint was "21.3.m4s", and "22.0.m4s" came`)
	}
	p.Open.Discontinuity = true
	for _, before := range []*Checked{first, withdrawn, again} {
		if _, problems = Check([]byte(liveText(t, p)), before); len(problems) > 0 {
			t.Errorf("it had: %v", problems)
		}
	}
}

func TestCheckAfterTheEnd(t *testing.T) {
	t.Parallel()
	ended := liveGoldens()["live-ended.m3u8"]
	before, _ := Check([]byte(liveText(t, ended)), nil)
	_, problems := Check([]byte(liveText(t, livePlaylist())), before)
	wantProblem(t, problems, "4.4.3.4", "had ended at segment 20, and goes on to 21")
	removed := *ended
	removed.Segments, removed.MediaSequence, removed.DiscontinuitySequence = ended.Segments[13:], 20, 3
	if _, problems := Check([]byte(liveText(t, &removed)), before); len(problems) > 0 {
		t.Errorf("after the end segments may go: %v", problems)
	}
}

func TestCheckDeltaUpdates(t *testing.T) {
	t.Parallel()
	first, _ := Check([]byte(liveText(t, livePlaylist())), nil)
	delta := nextLive()
	delta.Skip = delta.SkipMax()
	text := liveText(t, delta)
	got, problems := Check([]byte(text), first)
	if len(problems) > 0 || got.Playlist.Skip != 5 || got.Playlist.Segments[0].URI != "10.m4s" {
		t.Errorf("a delta update: %v, skip %d", problems, got.Playlist.Skip)
	}
	for _, c := range []struct{ section, want, old, new string }{
		{"6.2.5.1", "skips 5 segments, and only 3", "UNTIL=24.0", "UNTIL=30.0"},
		{"6.2.5.1", "without CAN-SKIP-UNTIL", ",CAN-SKIP-UNTIL=24.000000", ""},
		{"6.2.5.1", "which the playlist before did not have", "SEGMENTS=5", "SEGMENTS=12"},
		{"6.2.5.1", "which the playlist before did not have", "SEGMENTS=5", "SEGMENTS=9223372036854775807"},
		{"6.2.5.1", "which the playlist before did not have", "SEQUENCE:10", "SEQUENCE:9223372036854775807"},
		{"6.2.5.1", "which the playlist before did not have", "SEQUENCE:10", "SEQUENCE:6"},
		{"6.2.2", "without EXT-X-MEDIA-SEQUENCE", "#EXT-X-MEDIA-SEQUENCE:10\n", ""},
		{"8", "needs 9", "VERSION:9", "VERSION:8"},
		{"4.4.5", "a second time", "#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n"},
	} {
		_, problems := Check([]byte(replaced(t, text, c.old, c.new)), first)
		wantProblem(t, problems, c.section, c.want)
	}
	without := replaced(t, text, "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init1.mp4\"\n", "")
	if _, problems := Check([]byte(without), first); len(problems) == 0 {
		t.Error("a discontinuity that went is not noticed")
	}
}

func TestCheckIsBounded(t *testing.T) {
	t.Parallel()
	_, problems := Check([]byte(strings.Repeat("x y\n", 10_000)), nil)
	if len(problems) != maxProblems {
		t.Errorf("%d problems, want %d", len(problems), maxProblems)
	}
	_, problems = Check(nil, nil)
	wantProblem(t, problems, "4.4.1.1", "empty")
	if got := problems[0].String(); got != "line 0: it is empty (rfc8216bis 4.4.1.1)" {
		t.Errorf("as text: %q", got)
	}
}

// shortLive keeps seeds small: what is minimised at length is not fuzzed.
func shortLive(p *LivePlaylist) *LivePlaylist {
	n := max(len(p.Segments)-2, 0)
	for _, s := range p.Segments[:n] {
		if s.Discontinuity {
			p.DiscontinuitySequence++
		}
	}
	p.Segments, p.MediaSequence, p.Skip = p.Segments[n:], p.MediaSequence+int64(n), 0
	for i := range p.Segments {
		p.Segments[i].Parts = nil
	}
	return p
}

func FuzzCheck(f *testing.F) {
	for _, p := range liveGoldens() {
		text := []byte(liveText(f, shortLive(p)))
		f.Add(text, text)
	}
	f.Add([]byte(liveText(f, shortLive(livePlaylist()))), []byte(liveText(f, shortLive(nextLive()))))
	f.Add([]byte(liveText(f, plainLive())), []byte("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:4,\n2.m4s\n"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		first, _ := Check(one, nil)
		second, problems := Check(two, first)
		if len(problems) > maxProblems {
			t.Errorf("%d problems", len(problems))
		}
		// What is fit to be written again reads as it was.
		p := second.Playlist
		if text, err := p.AppendTo(nil); err == nil && len(problems) == 0 {
			if _, problems := Check(text, first); len(problems) > 0 {
				t.Errorf("written again: %v\n%s\nfrom\n%s", problems, text, two)
			}
		}
	})
}
