package hls

import (
	"strconv"
	"strings"
	"time"
)

// segmentTag takes a tag that applies to the segment that follows.
func (r *liveReader) segmentTag(name, value string) {
	s := &r.segment
	if len(s.Parts) > 0 && (name == "EXT-X-DISCONTINUITY" || name == "EXT-X-MAP" || name == "EXT-X-PROGRAM-DATE-TIME") {
		r.here("4.4.4.9", "%s comes after a part that it applies to", name)
	}
	switch name {
	case "EXT-X-DISCONTINUITY":
		if s.Discontinuity {
			r.here("4.4.4.3", "a second EXT-X-DISCONTINUITY of one segment")
		}
		s.Discontinuity = true
	case "EXT-X-MAP":
		r.readMap(value)
	case "EXT-X-PROGRAM-DATE-TIME":
		date, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			r.here("4.4.4.6", "%q is not a date with its zone", value)
			return
		}
		s.Time = date
	case "EXT-X-GAP":
		s.Gap = true
	case "EXTINF":
		r.readExtinf(value)
	case "EXT-X-BYTERANGE":
		r.ranged = true
		var ok bool
		if r.segment.Range, ok = parseRange(value, 0); !ok {
			r.here("4.4.4.2", "%q is not a byte range", value)
		}
	case "EXT-X-PART":
		r.readPart(value)
	}
}

func (r *liveReader) readMap(value string) {
	a := r.attributes("4.4.4.5", value)
	uri := a.uri("URI", true)
	if text, ok := a.quoted("BYTERANGE", false); ok {
		if _, ok := parseRange(text, -1); !ok {
			r.here("4.4.4.5", "%q is not a byte range with its offset", text)
		}
	}
	if r.mapped != "" && r.mapped != uri && !r.segment.Discontinuity {
		r.here("4.4.4.3", "EXT-X-MAP changes without EXT-X-DISCONTINUITY before it")
	}
	r.mapped = uri
}

func (r *liveReader) readExtinf(value string) {
	text, _, comma := strings.Cut(value, ",")
	d, ok := parseSeconds(text)
	if r.extinf {
		r.here("4.4.4.1", "a second EXTINF of one segment")
	}
	if !ok || !comma || d == 0 {
		r.here("4.4.4.1", "%q is not a duration and a comma", value)
	}
	r.extinf = true
	r.segment.Duration = d
}

func (r *liveReader) readPart(value string) {
	a := r.attributes("4.4.4.9", value)
	part := Part{
		URI: a.uri("URI", true), Duration: a.seconds("DURATION", true),
		Independent: a.yes("INDEPENDENT"), Gap: a.yes("GAP"),
	}
	if text, ok := a.quoted("BYTERANGE", false); ok {
		next := int64(-1)
		if n := len(r.segment.Parts); n == 0 {
			next = 0
		} else if last := r.segment.Parts[n-1]; last.URI == part.URI && last.Range.Length > 0 {
			next = last.Range.Offset + last.Range.Length
		}
		if part.Range, ok = parseRange(text, next); !ok {
			r.here("4.4.4.9", "%q is not a byte range", text)
		}
	}
	if r.extinf {
		r.here("4.4.4.9", "a part between EXTINF and the segment")
	}
	r.afterHint()
	r.segment.Parts = append(r.segment.Parts, part)
}

// afterHint reports the first part or segment that follows the hint.
func (r *liveReader) afterHint() {
	if r.hint > 0 && !r.hinted {
		r.hinted = true
		r.here("4.4.5.3", "media after the hint at the next part on line %d", r.hint)
	}
}

// uri takes the line of a segment.
func (r *liveReader) uri(line string) {
	if err := checkURI(line); err != nil {
		r.here("4.1", "%v", err)
	}
	if !r.extinf {
		r.here("4.4.4.1", "a segment without EXTINF")
	}
	r.afterHint()
	r.segment.URI, r.segment.Map = line, r.mapped
	if len(r.out.Playlist.Segments) == 0 && r.mapped == "" && strings.HasSuffix(line, ".vtt") {
		r.out.Playlist.Text = true
	}
	r.out.Playlist.Segments = append(r.out.Playlist.Segments, r.segment)
	r.out.lines = append(r.out.lines, r.line)
	r.segment, r.extinf, r.begun = LiveSegment{}, false, false
}

// parseSeconds reads a decimal-floating-point or a decimal-integer (4.2) up to
// maxLive. Decimals beyond the ninth are dropped.
func parseSeconds(text string) (time.Duration, bool) {
	whole, decimals, point := strings.Cut(text, ".")
	seconds, ok := parseNumber(whole)
	if !ok || seconds > int64(maxLive/time.Second) || point && !digits(decimals) {
		return 0, false
	}
	decimals = (decimals + "000000000")[:9]
	nanos, _ := parseNumber(decimals)
	return time.Duration(seconds)*time.Second + time.Duration(nanos), true
}

// parseNumber reads a decimal-integer (4.2).
func parseNumber(text string) (int64, bool) {
	if !digits(text) {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// parseRange reads n[@o] (4.4.4.2). next is the offset if there is none, -1
// if there must be one.
func parseRange(text string, next int64) (Range, bool) {
	length, offset, at := strings.Cut(text, "@")
	n, ok := parseNumber(length)
	if at {
		var good bool
		next, good = parseNumber(offset)
		ok = ok && good
	}
	if !ok || n == 0 || next < 0 || n > 1<<53 || next > 1<<53 {
		return Range{}, false
	}
	return Range{Offset: next, Length: n}, true
}
