package hls

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Source is a playlist of somebody else, as one who fetches its media needs it: a
// multivariant one, which has Variants, or one of media.
type Source struct {
	Variants []SourceVariant
	Sounds   []SourceSound

	Target   time.Duration
	Segments []SourceSegment
	Ended    bool
}

// SourceVariant is one choice of a multivariant playlist.
type SourceVariant struct {
	URI       string
	Bandwidth int64
	Codecs    []string // as far as they are told
	Audio     string   // group of Sounds; "" is none
}

// SourceSound is sound apart from the pictures.
type SourceSound struct {
	Group, URI string // no URI: the sound is with the pictures
	Default    bool
}

// SourceSegment is one segment of media.
type SourceSegment struct {
	Number   int64 // media sequence number
	Period   int64 // how many discontinuities came before it, those that are gone included
	URI      string
	Range    SourceRange
	Map      string // "" for none
	MapRange SourceRange
	Duration time.Duration
	Gap      bool
	Key      string // the method of encryption; "" is none
}

// SourceRange is a part of a resource; without a Length it is all of it.
type SourceRange struct{ Offset, Length int64 }

// mostSegments bounds what is kept of a playlist: the last ones.
const mostSegments = 50_000

// ReadSource reads a playlist leniently: what it does not know it passes over. Time and
// memory are bounded by the length of text.
func ReadSource(text []byte) (*Source, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !bytes.HasPrefix(text, []byte("#EXTM3U")) {
		return nil, errors.New("it does not begin with #EXTM3U")
	}
	r := sourceReader{}
	for line := range bytes.Lines(text) {
		if err := r.line(strings.TrimSpace(string(line))); err != nil {
			return nil, err
		}
	}
	if len(r.out.Variants) == 0 && r.out.Target == 0 {
		return nil, errors.New("it has neither variants nor a target duration")
	}
	return &r.out, nil
}

type sourceReader struct {
	out     Source
	variant *SourceVariant // whose URI comes next
	next    SourceSegment  // that comes next
	after   int64          // where a range without an offset begins
}

func (r *sourceReader) line(line string) error {
	name, value, _ := strings.Cut(line, ":")
	switch {
	case line == "":
		return nil
	case line[0] != '#':
		return r.uri(line)
	}
	switch name {
	case "#EXT-X-STREAM-INF":
		a := lenient(value)
		bandwidth, _ := strconv.ParseInt(a["BANDWIDTH"], 10, 64)
		r.variant = &SourceVariant{Bandwidth: bandwidth, Audio: a["AUDIO"]}
		for codec := range strings.SplitSeq(a["CODECS"], ",") {
			if codec = strings.TrimSpace(codec); codec != "" {
				r.variant.Codecs = append(r.variant.Codecs, codec)
			}
		}
	case "#EXT-X-MEDIA":
		if a := lenient(value); a["TYPE"] == "AUDIO" {
			r.out.Sounds = append(r.out.Sounds, SourceSound{a["GROUP-ID"], a["URI"], a["DEFAULT"] == "YES"})
		}
	case "#EXT-X-TARGETDURATION":
		return r.duration(&r.out.Target, value)
	case "#EXT-X-MEDIA-SEQUENCE":
		return whole(&r.next.Number, value)
	case "#EXT-X-DISCONTINUITY-SEQUENCE":
		return whole(&r.next.Period, value)
	case "#EXT-X-DISCONTINUITY":
		r.next.Period++
	case "#EXTINF":
		seconds, _, _ := strings.Cut(value, ",")
		return r.duration(&r.next.Duration, seconds)
	case "#EXT-X-BYTERANGE":
		return r.byteRange(&r.next.Range, value, r.after)
	case "#EXT-X-MAP":
		a := lenient(value)
		r.next.Map, r.next.MapRange = a["URI"], SourceRange{}
		return r.byteRange(&r.next.MapRange, a["BYTERANGE"], 0)
	case "#EXT-X-KEY":
		if r.next.Key = lenient(value)["METHOD"]; r.next.Key == "NONE" {
			r.next.Key = ""
		}
	case "#EXT-X-GAP":
		r.next.Gap = true
	case "#EXT-X-ENDLIST":
		r.out.Ended = true
	}
	return nil
}

// uri takes the address of what the tags before it describe.
func (r *sourceReader) uri(line string) error {
	if r.variant != nil {
		r.variant.URI = line
		r.out.Variants = append(r.out.Variants, *r.variant)
		r.variant = nil
		return nil
	}
	if r.next.Duration == 0 {
		return nil // no #EXTINF: not ours to play
	}
	if len(r.out.Segments) == mostSegments {
		return fmt.Errorf("it has more than %d segments", mostSegments)
	}
	r.next.URI = line
	r.out.Segments = append(r.out.Segments, r.next)
	r.after = r.next.Range.Offset + r.next.Range.Length
	r.next.Number++
	r.next.Duration, r.next.Range, r.next.Gap = 0, SourceRange{}, false
	return nil
}

// duration reads seconds.
func (r *sourceReader) duration(to *time.Duration, text string) error {
	const longest = 24 * 3600
	seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(seconds >= 0) || seconds > longest {
		return fmt.Errorf("%q is no duration", text)
	}
	*to = max(time.Duration(seconds*float64(time.Second)), 1)
	return nil
}

// byteRange reads length[@offset].
func (r *sourceReader) byteRange(to *SourceRange, text string, offset int64) error {
	if text == "" {
		return nil
	}
	length, at, stated := strings.Cut(text, "@")
	to.Offset = offset
	if stated {
		if err := whole(&to.Offset, at); err != nil {
			return err
		}
	}
	err := whole(&to.Length, length)
	if err == nil && (to.Length == 0 || to.Offset > math.MaxInt64-to.Length) {
		err = fmt.Errorf("%q is no range", text)
	}
	return err
}

func whole(to *int64, text string) error {
	v, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || v < 0 || v > math.MaxInt64/2 {
		return fmt.Errorf("%q is no number", text)
	}
	*to = v
	return nil
}

// lenient reads a list of attributes as far as it makes sense. Quotes are taken away.
func lenient(list string) map[string]string {
	values := make(map[string]string)
	for list != "" && len(values) < maxAttributes {
		name, rest, found := strings.Cut(list, "=")
		if !found {
			break
		}
		value := rest
		if strings.HasPrefix(rest, `"`) {
			value, rest, found = strings.Cut(rest[1:], `"`)
			if !found {
				break
			}
			_, list, _ = strings.Cut(rest, ",")
		} else {
			value, list, _ = strings.Cut(rest, ",")
		}
		values[strings.TrimSpace(name)] = value
	}
	return values
}

// Usable reports whether all codecs that a variant tells are ones of these, each a
// beginning such as "avc1". A variant that tells none may be.
func (v SourceVariant) Usable(codecs ...string) bool {
	for _, c := range v.Codecs {
		if !slices.ContainsFunc(codecs, func(known string) bool { return strings.HasPrefix(c, known) }) {
			return false
		}
	}
	return true
}
