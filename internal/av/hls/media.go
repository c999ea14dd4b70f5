package hls

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"liuyun/internal/base/timebase"
)

// Kind says what the segments of a media playlist are.
type Kind int

// The kinds.
const (
	Fragments Kind = iota // fragmented MP4: Map is required
	IFrames               // one key frame a segment (EXT-X-I-FRAMES-ONLY): Map and every Range are required
	WebVTT                // subtitles: no Map
)

// MediaPlaylist is one rendition of a finished presentation (RFC 8216 4.3.3).
type MediaPlaylist struct {
	Kind Kind

	// Target is EXT-X-TARGETDURATION. It is given, not computed, because all
	// renditions must declare the same one. Whole seconds.
	Target time.Duration

	// Timescale is the ticks a second of Segment.Duration.
	Timescale int64

	// Map is the URI of the initialization section.
	Map string

	Segments []Segment
}

// Segment is one media segment.
type Segment struct {
	URI      string
	Duration int64 // in ticks of MediaPlaylist.Timescale
	Range    Range // the zero Range is the whole resource
}

// Range is a byte range of a resource.
type Range struct{ Offset, Length int64 }

// AppendTo appends the playlist to dst. Durations have six decimals, rounded so
// that the sum of any first n of them is within half a microsecond of exact.
// On an error dst is returned as it was.
func (p *MediaPlaylist) AppendTo(dst []byte) ([]byte, error) {
	if err := p.check(); err != nil {
		return dst, fmt.Errorf("media playlist: %w", err)
	}
	out := append(dst, "#EXTM3U\n"+version+"#EXT-X-TARGETDURATION:"...)
	out = strconv.AppendInt(out, int64(p.Target/time.Second), 10)
	out = append(out, "\n#EXT-X-PLAYLIST-TYPE:VOD\n"...)
	if p.Kind == IFrames {
		out = append(out, "#EXT-X-I-FRAMES-ONLY\n"...)
	}
	if p.Map != "" {
		out = fmt.Appendf(out, "#EXT-X-MAP:URI=%q\n", p.Map)
	}
	var ticks, written int64
	for i, s := range p.Segments {
		ticks += s.Duration
		micros := timebase.MulDiv(ticks, int64(time.Second/time.Microsecond), p.Timescale)
		duration := micros - written
		written = micros
		if err := p.checkTarget(duration); err != nil {
			return dst, fmt.Errorf("media playlist: segment %d: %w", i, err)
		}
		out = fmt.Appendf(out, "#EXTINF:%d.%06d,\n", duration/1e6, duration%1e6)
		if s.Range != (Range{}) {
			out = fmt.Appendf(out, "#EXT-X-BYTERANGE:%d@%d\n", s.Range.Length, s.Range.Offset)
		}
		out = append(append(out, s.URI...), '\n')
	}
	return append(out, "#EXT-X-ENDLIST\n"...), nil
}

// checkTarget says whether a segment of so many microseconds, rounded to whole
// seconds, is within the target duration (rfc8216bis 4.4.3.1).
func (p *MediaPlaylist) checkTarget(micros int64) error {
	duration := time.Duration(micros) * time.Microsecond
	if duration.Round(time.Second) > p.Target {
		return fmt.Errorf("it lasts %v, above the target duration of %v", duration, p.Target)
	}
	return nil
}

func (p *MediaPlaylist) check() error {
	if p.Target <= 0 || p.Target%time.Second != 0 {
		return fmt.Errorf("target duration %v is not a positive number of whole seconds", p.Target)
	}
	if p.Timescale <= 0 {
		return fmt.Errorf("timescale %d is not positive", p.Timescale)
	}
	if len(p.Segments) == 0 {
		return fmt.Errorf("there are no segments")
	}
	if err := p.checkMap(); err != nil {
		return err
	}
	var total int64
	for i, s := range p.Segments {
		if err := p.checkSegment(s); err != nil {
			return fmt.Errorf("segment %d: %w", i, err)
		}
		if s.Duration > math.MaxInt64-total {
			return fmt.Errorf("segment %d: the durations overflow", i)
		}
		total += s.Duration
	}
	return nil
}

func (p *MediaPlaylist) checkMap() error {
	switch {
	case p.Kind == WebVTT && p.Map != "":
		return fmt.Errorf("subtitles have no initialization section, got map %q", p.Map)
	case p.Kind == WebVTT:
		return nil
	case p.Map == "":
		return fmt.Errorf("the map is missing")
	}
	if err := checkURI(p.Map); err != nil {
		return fmt.Errorf("map: %w", err)
	}
	return nil
}

func (p *MediaPlaylist) checkSegment(s Segment) error {
	if err := checkURI(s.URI); err != nil {
		return err
	}
	if s.Duration <= 0 {
		return fmt.Errorf("duration of %d ticks is not positive", s.Duration)
	}
	if p.Kind == IFrames && s.Range == (Range{}) {
		return fmt.Errorf("an I-frame needs a byte range")
	}
	if s.Range != (Range{}) && (s.Range.Offset < 0 || s.Range.Length <= 0) {
		return fmt.Errorf("byte range %d@%d is empty or negative", s.Range.Length, s.Range.Offset)
	}
	return nil
}
