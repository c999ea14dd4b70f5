package hls

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DateRange is something that is told of a time (EXT-X-DATERANGE, 4.4.5.1). What was
// written once of an ID stays; more may be added, as an end.
type DateRange struct {
	ID    string
	Class string // may be empty
	Start time.Time
	End   time.Time // the zero Time is unknown
	// Duration and Planned are how long it is, and how long it is expected to be; 0 is
	// unknown.
	Duration, Planned time.Duration
	// Command, Out and In are splice_info_sections of SCTE 35 (4.4.5.1.1).
	Command, Out, In []byte
	Attributes       []DateAttribute // of those who wrote it
}

// DateAttribute is one of the client's attributes: its Name begins with "X-", and its
// Value is a text.
type DateAttribute struct{ Name, Value string }

// DateAttributeName reports whether an attribute may be called so.
func DateAttributeName(name string) bool {
	return strings.HasPrefix(name, "X-") && len(name) > 2 && attributeName(name)
}

func (d *DateRange) appendTo(out []byte) []byte {
	text := func(name, value string) {
		if value != "" {
			out = append(append(append(append(out, ','), name...), "=\""...), value...)
			out = append(out, '"')
		}
	}
	seconds := func(name string, n time.Duration) {
		if n > 0 {
			out = appendSeconds(append(append(append(out, ','), name...), '='), micros(n))
		}
	}
	section := func(name string, value []byte) {
		if len(value) > 0 {
			out = append(append(append(out, ','), name...), "=0x"...)
			out = append(out, strings.ToUpper(hex.EncodeToString(value))...)
		}
	}
	out = append(append(append(out, `#EXT-X-DATERANGE:ID="`...), d.ID...), '"')
	text("CLASS", d.Class)
	text("START-DATE", dateText(d.Start))
	if !d.End.IsZero() {
		text("END-DATE", dateText(d.End))
	}
	seconds("DURATION", d.Duration)
	seconds("PLANNED-DURATION", d.Planned)
	section("SCTE35-CMD", d.Command)
	section("SCTE35-OUT", d.Out)
	section("SCTE35-IN", d.In)
	for _, a := range d.Attributes {
		text(a.Name, a.Value)
	}
	return append(out, '\n')
}

func dateText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// Validate says what of d cannot be written.
func (d *DateRange) Validate() error {
	for _, s := range []string{d.ID, d.Class} {
		if err := checkQuoted("attribute", s); err != nil {
			return err
		}
	}
	switch {
	case d.ID == "" || d.Start.IsZero():
		return fmt.Errorf("the ID or the start is missing")
	case d.Duration < 0 || d.Planned < 0 || d.Duration > maxLive || d.Planned > maxLive:
		return fmt.Errorf("duration %v or %v is negative or too long", d.Duration, d.Planned)
	case !d.End.IsZero() && d.End.Before(d.Start):
		return fmt.Errorf("it ends at %v, before it starts", d.End)
	}
	for i, a := range d.Attributes {
		if !DateAttributeName(a.Name) {
			return fmt.Errorf("attribute %q has to begin with X- and have capitals, digits and dashes alone", a.Name)
		}
		if slices.ContainsFunc(d.Attributes[:i], func(b DateAttribute) bool { return b.Name == a.Name }) {
			return fmt.Errorf("attribute %q stands twice", a.Name)
		}
		if err := checkQuoted("attribute", a.Value); err != nil {
			return err
		}
	}
	return checkTime(d.Start)
}

// maxRanges bounds how many date ranges are read.
const maxRanges = 4096

// dateRange reads one tag. One of an ID that is known adds to it.
func (r *liveReader) dateRange(value string) {
	const section = "4.4.5.1"
	a := r.attributes(section, value)
	d := DateRange{}
	d.ID, _ = a.quoted("ID", true)
	d.Class, _ = a.quoted("CLASS", false)
	known := slices.IndexFunc(r.out.Playlist.Ranges, func(o DateRange) bool { return o.ID == d.ID })
	d.Start = a.date("START-DATE", known < 0)
	d.End = a.date("END-DATE", false)
	d.Duration, d.Planned = a.span("DURATION"), a.span("PLANNED-DURATION")
	d.Command, d.Out, d.In = a.bytes("SCTE35-CMD"), a.bytes("SCTE35-OUT"), a.bytes("SCTE35-IN")
	if _, ok := a.values["END-ON-NEXT"]; ok && a.yes("END-ON-NEXT") && d.Class == "" {
		r.here(section, "END-ON-NEXT without CLASS")
	}
	for name, text := range a.values {
		if strings.HasPrefix(name, "X-") {
			d.Attributes = append(d.Attributes, DateAttribute{name, text})
		}
	}
	slices.SortFunc(d.Attributes, func(a, b DateAttribute) int { return strings.Compare(a.Name, b.Name) })
	if !d.End.IsZero() && !d.Start.IsZero() && d.End.Before(d.Start) {
		r.here(section, "END-DATE is before START-DATE")
	}
	if off := d.End.Sub(d.Start) - d.Duration; !d.End.IsZero() && d.Duration > 0 && off.Abs() > time.Millisecond {
		r.here(section, "DURATION is not the time from START-DATE to END-DATE")
	}
	switch {
	case known >= 0:
		r.sameRange(&r.out.Playlist.Ranges[known], &d)
	case len(r.out.Playlist.Ranges) < maxRanges:
		r.out.Playlist.Ranges = append(r.out.Playlist.Ranges, d)
	}
}

// sameRange checks that nothing that was said of an ID is another.
func (r *liveReader) sameRange(was, is *DateRange) {
	differs := was.Class != "" && is.Class != "" && was.Class != is.Class
	for _, t := range [][2]time.Time{{was.Start, is.Start}, {was.End, is.End}} {
		differs = differs || !t[0].IsZero() && !t[1].IsZero() && !t[0].Equal(t[1])
	}
	for _, d := range [][2]time.Duration{{was.Duration, is.Duration}, {was.Planned, is.Planned}} {
		differs = differs || d[0] > 0 && d[1] > 0 && d[0] != d[1]
	}
	for _, b := range [][2][]byte{{was.Command, is.Command}, {was.Out, is.Out}, {was.In, is.In}} {
		differs = differs || len(b[0]) > 0 && len(b[1]) > 0 && !bytes.Equal(b[0], b[1])
	}
	for _, a := range was.Attributes {
		differs = differs || slices.ContainsFunc(is.Attributes, func(b DateAttribute) bool { return a.Name == b.Name && a.Value != b.Value })
	}
	if differs {
		r.here("4.4.5.1", "the date range %q changes", was.ID)
	}
}

// checkRanges checks that dates mean something.
func (r *liveReader) checkRanges() {
	p := &r.out.Playlist
	dated := !p.Open.Time.IsZero() || slices.ContainsFunc(p.Segments, func(s LiveSegment) bool { return !s.Time.IsZero() })
	if len(p.Ranges) > 0 && !dated && len(p.Segments) > 0 {
		r.problem(0, "4.4.5.1", "EXT-X-DATERANGE without EXT-X-PROGRAM-DATE-TIME")
	}
}

// checkRangesSame checks that what was said of times stays, and that nothing goes that
// is not over.
func (r *liveReader) checkRangesSame(was, is *LivePlaylist) {
	var start time.Time // of the playlist
	if len(is.Segments) > 0 {
		start = is.Segments[0].Time
	}
	for i := range was.Ranges {
		before := &was.Ranges[i]
		at := slices.IndexFunc(is.Ranges, func(d DateRange) bool { return d.ID == before.ID })
		if at >= 0 {
			r.sameRange(before, &is.Ranges[at])
			continue
		}
		if end := before.Start.Add(max(before.Duration, before.Planned)); !start.IsZero() && end.After(start) {
			r.problem(0, "6.2.1", "the date range %q went before it had left the playlist", before.ID)
		}
	}
}

// date reads a date with its zone.
func (a attributeList) date(name string, required bool) time.Time {
	text, ok := a.quoted(name, required)
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		a.reader.here(a.section, "%s of %q is not a date with its zone", name, text)
	}
	return t
}

// span reads seconds, which may be none.
func (a attributeList) span(name string) time.Duration {
	text, ok := a.value(name, false, false)
	if !ok {
		return 0
	}
	d, ok := parseSeconds(text)
	if !ok {
		a.reader.here(a.section, "%s of %q is not a number of seconds", name, text)
	}
	return d
}

// bytes reads a hexadecimal-sequence.
func (a attributeList) bytes(name string) []byte {
	text, ok := a.value(name, false, false)
	if !ok {
		return nil
	}
	digits, found := strings.CutPrefix(strings.Replace(text, "0X", "0x", 1), "0x")
	value, err := hex.DecodeString(digits)
	if err != nil || !found || len(value) == 0 {
		a.reader.here(a.section, "%s of %q is not hexadecimal", name, text)
	}
	return value
}
