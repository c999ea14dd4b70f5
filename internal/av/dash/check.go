package dash

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"
	"unicode"

	"liuyun/internal/base/timebase"
)

// number matches the identifier that tells one segment's URL from the next
// (5.3.9.4.4).
var number = regexp.MustCompile(`\$Number(%0[0-9]+d)?\$`)

// checker remembers which representation names and segment URLs are taken.
type checker struct{ ids, media map[string]bool }

func (p *Presentation) check() error {
	if p.Duration <= 0 || p.MinBuffer <= 0 {
		return fmt.Errorf("duration %v and least buffer %v must be positive", p.Duration, p.MinBuffer)
	}
	if len(p.Video)+len(p.Audio) == 0 {
		return fmt.Errorf("there is neither video nor sound")
	}
	c := newChecker()
	if err := c.sets(p.Video, p.Audio); err != nil {
		return err
	}
	for i, s := range p.Text {
		if err := c.text(s); err != nil {
			return fmt.Errorf("text set %d: %w", i, err)
		}
	}
	for i, s := range p.Thumbs {
		if err := c.thumbnails(s); err != nil {
			return fmt.Errorf("thumbnails %d: %w", i, err)
		}
	}
	return nil
}

func newChecker() checker { return checker{ids: map[string]bool{}, media: map[string]bool{}} }

// sets checks the pictures and the sound of a period.
func (c checker) sets(video []VideoSet, audio []AudioSet) error {
	for i, s := range video {
		if err := c.video(s); err != nil {
			return fmt.Errorf("video set %d: %w", i, err)
		}
	}
	for i, s := range audio {
		if err := c.audio(s); err != nil {
			return fmt.Errorf("audio set %d: %w", i, err)
		}
	}
	return nil
}

func (c checker) video(s VideoSet) error {
	if len(s.Rungs) == 0 {
		return fmt.Errorf("there are no rungs")
	}
	for _, r := range s.Rungs {
		if err := c.representation(r.ID, r.Bandwidth); err != nil {
			return err
		}
		if r.Codec == "" || r.Width <= 0 || r.Height <= 0 || !r.FrameRate.Valid() {
			return fmt.Errorf("representation %q: codec %q, size %dx%d or frame rate %v is missing", r.ID, r.Codec, r.Width, r.Height, r.FrameRate)
		}
		if err := c.segments(r.ID, r.Segments, s.Rungs[0].Segments); err != nil {
			return fmt.Errorf("representation %q: %w", r.ID, err)
		}
	}
	return nil
}

func (c checker) audio(s AudioSet) error {
	if len(s.Rungs) == 0 {
		return fmt.Errorf("there are no rungs")
	}
	if s.Channels <= 0 || s.SampleRate <= 0 || s.Role == "" {
		return fmt.Errorf("channels %d, sample rate %d or role %q is missing", s.Channels, s.SampleRate, s.Role)
	}
	for _, r := range s.Rungs {
		if err := c.representation(r.ID, r.Bandwidth); err != nil {
			return err
		}
		if r.Codec == "" {
			return fmt.Errorf("representation %q: the codec is missing", r.ID)
		}
		if err := c.segments(r.ID, r.Segments, s.Rungs[0].Segments); err != nil {
			return fmt.Errorf("representation %q: %w", r.ID, err)
		}
	}
	return nil
}

func (c checker) text(s TextSet) error {
	if err := c.representation(s.ID, s.Bandwidth); err != nil {
		return err
	}
	if s.URL == "" || s.Role == "" {
		return fmt.Errorf("URL %q or role %q is missing", s.URL, s.Role)
	}
	return nil
}

func (c checker) thumbnails(t Thumbnails) error {
	if err := c.representation(t.ID, t.Bandwidth); err != nil {
		return err
	}
	if t.Columns <= 0 || t.Rows <= 0 || t.Width <= 0 || t.Height <= 0 {
		return fmt.Errorf("sheet of %dx%d pictures of %dx%d is not positive", t.Columns, t.Rows, t.Width, t.Height)
	}
	if t.Interval <= 0 || t.Interval%time.Millisecond != 0 {
		return fmt.Errorf("interval %v is not a positive number of milliseconds", t.Interval)
	}
	sheet := float64(t.Columns) * float64(t.Rows) * float64(t.Interval/time.Millisecond)
	if sheet > math.MaxUint32 {
		return fmt.Errorf("a sheet of %dx%d pictures %v apart lasts too long", t.Columns, t.Rows, t.Interval)
	}
	return checkTemplate("media", t.Media, number.MatchString(t.Media))
}

// representation checks the name, which has no white space (Table 9), and the
// bandwidth.
func (c checker) representation(id string, bandwidth int64) error {
	if id == "" || strings.ContainsFunc(id, unicode.IsSpace) {
		return fmt.Errorf("representation name %q is empty or has white space", id)
	}
	if c.ids[id] {
		return fmt.Errorf("two representations are called %q", id)
	}
	c.ids[id] = true
	if bandwidth <= 0 || bandwidth > math.MaxUint32 {
		return fmt.Errorf("representation %q: bandwidth %d is out of range", id, bandwidth)
	}
	return nil
}

// segments checks the segments of a representation, which must be cut where the
// first representation of the set is.
func (c checker) segments(id string, s, first Segments) error {
	if err := checkTemplate("media", s.Media, number.MatchString(s.Media)); err != nil {
		return err
	}
	if err := checkTemplate("initialization", s.Init, !number.MatchString(s.Init)); err != nil {
		return err
	}
	media := strings.ReplaceAll(s.Media, "$RepresentationID$", id)
	if c.media[media] {
		return fmt.Errorf("media template %q names the segments of another one", s.Media)
	}
	c.media[media] = true
	if s.Timescale <= 0 || s.Timescale > math.MaxUint32 {
		return fmt.Errorf("timescale %d is out of range", s.Timescale)
	}
	if s.First < 0 || s.First > math.MaxUint32 || s.Start < 0 || s.Offset < 0 {
		return fmt.Errorf("number %d, start %d or offset %d of the first segment is out of range", s.First, s.Start, s.Offset)
	}
	return s.checkDurations(first)
}

// checkDurations says whether the segments end where those of first do, to a
// microsecond.
func (s Segments) checkDurations(first Segments) error {
	if len(s.Durations) == 0 || len(s.Durations) != len(first.Durations) {
		return fmt.Errorf("there are %d segments, the first representation of the set has %d", len(s.Durations), len(first.Durations))
	}
	var end, firstEnd int64
	for i, d := range s.Durations {
		if d <= 0 || d > math.MaxInt64-end {
			return fmt.Errorf("segment %d: duration of %d ticks is out of range", i, d)
		}
		end += d
		firstEnd += first.Durations[i]
		at, firstAt := s.micros(end), first.micros(firstEnd)
		if at < firstAt-1 || at > firstAt+1 {
			return fmt.Errorf("segment %d ends at %d µs, in the first representation of the set at %d µs", i, at, firstAt)
		}
	}
	return nil
}

func (s Segments) micros(ticks int64) int64 {
	return timebase.MulDiv(ticks, int64(time.Second/time.Microsecond), s.Timescale)
}

// checkTemplate says whether s is a URL template; numbered says whether it has
// $Number$ exactly where it should.
func checkTemplate(what, s string, numbered bool) error {
	rest := strings.ReplaceAll(number.ReplaceAllString(s, ""), "$RepresentationID$", "")
	if s == "" || !numbered || strings.Contains(rest, "$") {
		return fmt.Errorf("%s template %q is not usable", what, s)
	}
	return nil
}
