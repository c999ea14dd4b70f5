package hls

import (
	"slices"
	"strconv"
	"time"
)

// AppendTo appends the playlist to dst. It allocates nothing but what dst
// grows by. On an error, which is what a player would stumble over, dst is
// returned as it was.
func (p *LivePlaylist) AppendTo(dst []byte) ([]byte, error) {
	if err := p.check(); err != nil {
		return dst, err
	}
	out := p.appendHead(dst)
	end := p.duration()
	written := ""
	for i := range p.Segments {
		s := &p.Segments[i]
		end -= told(s.Duration)
		if i < p.Skip {
			continue
		}
		out = appendStart(out, s, written)
		written = s.Map
		if p.edge(end) {
			out = appendParts(out, s.Parts)
		}
		if s.Gap {
			out = append(out, "#EXT-X-GAP\n"...)
		}
		out = appendSeconds(append(out, "#EXTINF:"...), micros(s.Duration))
		out = append(out, ",\n"...)
		if s.Range != (Range{}) {
			out = append(appendInt(appendInt(out, "#EXT-X-BYTERANGE:", s.Range.Length), "@", s.Range.Offset), '\n')
		}
		out = append(append(out, s.URI...), '\n')
	}
	if len(p.Open.Parts) > 0 {
		out = appendStart(out, &p.Open, written)
		out = appendParts(out, p.Open.Parts)
	}
	return p.appendTail(out), nil
}

// partWindow is for how many target durations parts stay (6.2.2).
const partWindow = 3

// edge says whether a segment that ends so long before the end has its parts.
func (p *LivePlaylist) edge(distance time.Duration) bool { return distance <= partWindow*p.Target }

// SkipMax returns the largest Skip that the playlist allows (6.2.5.1), 0 if a
// delta update would leave nothing out.
func (p *LivePlaylist) SkipMax() int {
	if p.CanSkipUntil == 0 {
		return 0
	}
	kept := p.openDuration()
	for i := len(p.Segments); i > 0; i-- {
		if kept >= p.CanSkipUntil {
			return i
		}
		kept += told(p.Segments[i-1].Duration)
	}
	return 0
}

// duration is that of all segments and of the open one's parts, as it is told.
func (p *LivePlaylist) duration() time.Duration {
	sum := p.openDuration()
	for i := range p.Segments {
		sum += told(p.Segments[i].Duration)
	}
	return sum
}

// openDuration is that of the open segment's parts, whose sum is told exactly.
func (p *LivePlaylist) openDuration() time.Duration { return told(p.Open.partsDuration()) }

func (s *LiveSegment) partsDuration() time.Duration {
	var sum time.Duration
	for i := range s.Parts {
		sum += s.Parts[i].Duration
	}
	return sum
}

func (p *LivePlaylist) appendHead(out []byte) []byte {
	out = append(out, "#EXTM3U\n"...)
	switch {
	case p.Skip > 0:
		out = append(out, "#EXT-X-VERSION:9\n"...) // EXT-X-SKIP needs it (8)
	case slices.ContainsFunc(p.Segments, func(s LiveSegment) bool { return s.Gap }):
		out = append(out, "#EXT-X-VERSION:8\n"...) // EXT-X-GAP came with it, and some readers insist
	default:
		out = append(out, version...)
	}
	if p.KeysOnly {
		out = append(out, "#EXT-X-I-FRAMES-ONLY\n"...)
	}
	out = appendInt(out, "#EXT-X-TARGETDURATION:", int64(p.Target/time.Second))
	out = p.appendControl(append(out, '\n'))
	if p.PartTarget > 0 {
		out = appendSeconds(append(out, "#EXT-X-PART-INF:PART-TARGET="...), microsUp(p.PartTarget))
		out = append(out, '\n')
	}
	out = appendInt(out, "#EXT-X-MEDIA-SEQUENCE:", p.MediaSequence)
	out = appendInt(out, "\n#EXT-X-DISCONTINUITY-SEQUENCE:", p.DiscontinuitySequence)
	if p.Skip > 0 {
		out = appendInt(out, "\n#EXT-X-SKIP:SKIPPED-SEGMENTS=", int64(p.Skip))
	}
	out = append(out, '\n')
	for i := range p.Ranges {
		out = p.Ranges[i].appendTo(out)
	}
	return out
}

func (p *LivePlaylist) appendControl(out []byte) []byte {
	separator := "#EXT-X-SERVER-CONTROL:"
	if p.CanBlockReload {
		out = append(append(out, separator...), "CAN-BLOCK-RELOAD=YES"...)
		separator = ","
	}
	seconds := func(name string, d time.Duration) {
		if d > 0 {
			out = appendSeconds(append(append(out, separator...), name...), microsUp(d))
			separator = ","
		}
	}
	seconds("PART-HOLD-BACK=", p.PartHoldBack)
	seconds("HOLD-BACK=", p.HoldBack)
	seconds("CAN-SKIP-UNTIL=", p.CanSkipUntil)
	if separator == "," {
		out = append(out, '\n')
	}
	return out
}

// appendStart appends the tags that apply to a segment and its first part.
func appendStart(out []byte, s *LiveSegment, before string) []byte {
	if s.Discontinuity {
		out = append(out, "#EXT-X-DISCONTINUITY\n"...)
	}
	if s.Map != before && s.Map != "" {
		out = append(append(append(out, `#EXT-X-MAP:URI="`...), s.Map...), "\"\n"...)
	}
	if !s.Time.IsZero() {
		out = s.Time.UTC().AppendFormat(append(out, "#EXT-X-PROGRAM-DATE-TIME:"...), "2006-01-02T15:04:05.000Z\n")
	}
	return out
}

func appendParts(out []byte, parts []Part) []byte {
	var position time.Duration
	for i := range parts {
		part := &parts[i]
		out = appendSeconds(append(out, "#EXT-X-PART:DURATION="...), partMicros(position, part.Duration))
		position += part.Duration
		out = append(append(append(out, `,URI="`...), part.URI...), '"')
		if part.Range != (Range{}) {
			out = appendInt(out, `,BYTERANGE="`, part.Range.Length)
			out = append(appendInt(out, "@", part.Range.Offset), '"')
		}
		if part.Independent {
			out = append(out, ",INDEPENDENT=YES"...)
		}
		if part.Gap {
			out = append(out, ",GAP=YES"...)
		}
		out = append(out, '\n')
	}
	return out
}

func (p *LivePlaylist) appendTail(out []byte) []byte {
	if p.Ended {
		return append(out, "#EXT-X-ENDLIST\n"...)
	}
	if p.Hint != "" {
		out = append(append(append(out, `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="`...), p.Hint...), "\"\n"...)
	}
	for i := range p.Reports {
		r := &p.Reports[i]
		out = append(append(out, `#EXT-X-RENDITION-REPORT:URI="`...), r.URI...)
		out = appendInt(out, `",LAST-MSN=`, r.LastMSN)
		if p.PartTarget > 0 {
			out = appendInt(out, ",LAST-PART=", r.LastPart)
		}
		out = append(out, '\n')
	}
	return out
}

func appendInt(out []byte, before string, n int64) []byte {
	return strconv.AppendInt(append(out, before...), n, 10)
}

// appendSeconds appends microseconds as seconds with six decimals.
func appendSeconds(out []byte, us int64) []byte {
	out = append(strconv.AppendInt(out, us/1e6, 10), '.')
	for unit := int64(1e5); unit > 0; unit /= 10 {
		out = append(out, byte('0'+us/unit%10))
	}
	return out
}

// told is a duration as players read it: to the nearest microsecond.
func told(d time.Duration) time.Duration { return d.Round(time.Microsecond) }

// micros is the same in microseconds.
func micros(d time.Duration) int64 { return int64(told(d) / time.Microsecond) }

// microsUp rounds up to a microsecond: limits and distances must not shrink.
func microsUp(d time.Duration) int64 {
	return int64((d + time.Microsecond - 1) / time.Microsecond)
}

// partMicros is what a part lasts that starts at position of its segment.
func partMicros(position, d time.Duration) int64 { return micros(position+d) - micros(position) }
