package hls

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// once returns the section that says that a tag may stand once, if there is one.
func once(name string) string {
	switch name {
	case "EXT-X-VERSION":
		return "4.4.1.2"
	case "EXT-X-INDEPENDENT-SEGMENTS", "EXT-X-START":
		return "4.4.2"
	case "EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE",
		"EXT-X-ENDLIST", "EXT-X-I-FRAMES-ONLY", "EXT-X-PART-INF", "EXT-X-SERVER-CONTROL":
		return "4.4.3"
	case "EXT-X-SKIP":
		return "4.4.5"
	}
	return ""
}

// early returns the section that says that a tag comes before all segments, if
// there is one.
func early(name string) string {
	switch name {
	case "EXT-X-MEDIA-SEQUENCE":
		return "4.4.3.2"
	case "EXT-X-DISCONTINUITY-SEQUENCE":
		return "4.4.3.3"
	case "EXT-X-SKIP":
		return "4.4.5.2"
	}
	return ""
}

// read reads the text line by line.
func (r *liveReader) read(text string) {
	if !utf8.ValidString(text) {
		r.problem(0, "4.1", "it is not UTF-8")
	}
	for line := range strings.Lines(text) {
		r.line++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if r.line == 1 && line != "#EXTM3U" {
			r.here("4.4.1.1", "the first line is not #EXTM3U")
		}
		if i := strings.IndexFunc(line, unicode.IsControl); i >= 0 {
			r.here("4.1", "a control character")
		}
		switch {
		case line == "" || strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "#EXT"):
		case line[0] == '#':
			name, value, _ := strings.Cut(line[1:], ":")
			r.tag(name, value)
		default:
			r.uri(line)
		}
	}
	if r.line == 0 {
		r.problem(0, "4.4.1.1", "it is empty")
	}
	r.finish()
}

// tag takes one tag. Those that it does not know are left alone (6.3.1).
func (r *liveReader) tag(name, value string) {
	if section := once(name); section != "" {
		if before := r.seen[name]; before > 0 {
			r.here(section, "%s stands a second time, after line %d", name, before)
			return
		}
		r.seen[name] = r.line
	}
	if section := early(name); section != "" && (len(r.out.Playlist.Segments) > 0 || r.begun) {
		r.here(section, "%s comes after the first segment", name)
		return
	}
	switch name {
	case "EXT-X-DISCONTINUITY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME", "EXT-X-GAP", "EXTINF", "EXT-X-PART", "EXT-X-BYTERANGE":
		r.begun = true
		r.segmentTag(name, value)
	case "EXT-X-STREAM-INF", "EXT-X-MEDIA", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-SESSION-DATA", "EXT-X-SESSION-KEY", "EXT-X-CONTENT-STEERING":
		r.here("4.4.6", "%s does not belong in a media playlist", name)
	case "EXT-X-PLAYLIST-TYPE":
		r.here("6.2.2", "a live playlist has no EXT-X-PLAYLIST-TYPE")
	default:
		r.playlistTag(name, value)
	}
}

func (r *liveReader) playlistTag(name, value string) {
	p := &r.out.Playlist
	switch name {
	case "EXT-X-VERSION":
		r.out.Version = r.number("4.4.1.2", name, value)
	case "EXT-X-TARGETDURATION":
		seconds := r.number("4.4.3.1", name, value)
		if seconds < 1 || seconds > int64(maxTarget/time.Second) {
			r.here("4.4.3.1", "a target duration of %d seconds", seconds)
			return
		}
		p.Target = time.Duration(seconds) * time.Second
	case "EXT-X-MEDIA-SEQUENCE":
		p.MediaSequence = r.number("4.4.3.2", name, value)
	case "EXT-X-DISCONTINUITY-SEQUENCE":
		p.DiscontinuitySequence = r.number("4.4.3.3", name, value)
	case "EXT-X-ENDLIST":
		p.Ended = true
	case "EXT-X-I-FRAMES-ONLY":
		p.KeysOnly = true
	case "EXT-X-DATERANGE":
		r.dateRange(value)
	case "EXT-X-PART-INF":
		a := r.attributes("4.4.3.7", value)
		p.PartTarget = a.seconds("PART-TARGET", true)
	case "EXT-X-SERVER-CONTROL":
		a := r.attributes("4.4.3.8", value)
		p.CanBlockReload = a.yes("CAN-BLOCK-RELOAD")
		p.PartHoldBack = a.seconds("PART-HOLD-BACK", false)
		p.HoldBack = a.seconds("HOLD-BACK", false)
		p.CanSkipUntil = a.seconds("CAN-SKIP-UNTIL", false)
	case "EXT-X-SKIP":
		r.skip(value)
	case "EXT-X-PRELOAD-HINT":
		r.preloadHint(value)
	case "EXT-X-RENDITION-REPORT":
		r.report(value)
	}
}

// skip takes the segments that a delta update leaves out from the version
// before.
func (r *liveReader) skip(value string) {
	a := r.attributes("4.4.5.2", value)
	n := a.number("SKIPPED-SEGMENTS", true)
	if n < 1 {
		r.here("4.4.5.2", "it skips %d segments", n)
		return
	}
	p := &r.out.Playlist
	if r.previous == nil {
		r.here("6.2.5.1", "a delta update without the playlist before it")
		p.MediaSequence += min(n, 1<<32)
		return
	}
	before := &r.previous.Playlist
	from := p.MediaSequence - before.MediaSequence
	if from < 0 || from > int64(len(before.Segments)) || n > int64(len(before.Segments))-from {
		r.here("6.2.5.1", "it skips %d segments from %d, which the playlist before did not have", n, p.MediaSequence)
		return
	}
	p.Skip, p.Text = int(n), before.Text
	p.Segments = append(p.Segments, before.Segments[from:from+n]...)
	r.out.lines = make([]int, n)
	for i := range p.Segments {
		p.Segments[i].Parts = nil
	}
	r.mapped = p.Segments[n-1].Map
}

func (r *liveReader) preloadHint(value string) {
	a := r.attributes("4.4.5.3", value)
	uri := a.uri("URI", true)
	switch kind := a.enumerated("TYPE", true); {
	case kind != "PART" && kind != "MAP":
		r.here("4.4.5.3", "a hint of type %q", kind)
	case kind == "MAP":
	case r.hint > 0:
		r.here("4.4.5.3", "a second hint at a part, after line %d", r.hint)
	default:
		r.hint = r.line
		r.out.Playlist.Hint = uri
	}
}

func (r *liveReader) report(value string) {
	a := r.attributes("4.4.5.4", value)
	report := Report{URI: a.uri("URI", true), LastMSN: -1, LastPart: -1}
	if !relative(report.URI) {
		r.here("4.4.5.4", "the URI %q is not relative", report.URI)
	}
	for i := range r.out.Playlist.Reports {
		if r.out.Playlist.Reports[i].URI == report.URI {
			r.here("4.4.5.4", "a second report of %q", report.URI)
			return
		}
	}
	if len(r.out.Playlist.Reports) == maxReports {
		r.here("4.4.5.4", "more than %d reports", maxReports)
		return
	}
	if _, ok := a.values["LAST-MSN"]; ok {
		report.LastMSN = a.number("LAST-MSN", true)
	}
	if _, ok := a.values["LAST-PART"]; ok {
		report.LastPart = a.number("LAST-PART", true)
	}
	r.out.Playlist.Reports = append(r.out.Playlist.Reports, report)
}

// maxReports bounds how many renditions a playlist reports of.
const maxReports = 64

// finish closes what is left open at the end of the text.
func (r *liveReader) finish() {
	p := &r.out.Playlist
	if r.extinf {
		r.problem(r.line, "4.4.4.1", "EXTINF without a segment")
	}
	r.segment.Map = ""
	if len(r.segment.Parts) > 0 {
		r.segment.Map = r.mapped
		r.out.openLine = r.line
		if r.mapped == "" {
			r.problem(r.line, "4.4.4.5", "parts without EXT-X-MAP")
		}
	}
	r.segment.Duration, r.segment.Gap = 0, false
	p.Open = r.segment
	msn, part := r.out.last()
	for i := range p.Reports {
		// What a report leaves out is as in the playlist itself (4.4.5.4).
		report := &p.Reports[i]
		if report.LastMSN < 0 {
			report.LastMSN = msn
		}
		if report.LastPart < 0 && p.PartTarget > 0 {
			report.LastPart = max(part, 0)
		}
	}
}

// last returns the number of the last segment that has anything, and its last
// part, -1 for none.
func (c *Checked) last() (msn, part int64) {
	p := &c.Playlist
	if n := len(p.Open.Parts); n > 0 {
		return c.msn(len(p.Segments)), int64(n - 1)
	}
	if n := len(p.Segments); n > 0 {
		return c.msn(n - 1), int64(len(p.Segments[n-1].Parts) - 1)
	}
	return p.MediaSequence - 1, -1
}
