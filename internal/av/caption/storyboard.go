package caption

import (
	"fmt"
	"strings"
	"time"
)

// Storyboard is a series of sprite sheets for scrubbing. Each holds
// Columns×Rows pictures, row by row, one an Interval; the last may hold fewer.
type Storyboard struct {
	Sheets        []string // URLs, relative to the WebVTT file
	Columns, Rows int
	Width, Height int // of one picture
	Interval      time.Duration
	Duration      time.Duration // of the presentation
}

// AppendTo appends the WebVTT file that players read storyboards from: a cue a
// picture, each naming its place on its sheet as a media fragment (#xywh=). On
// an error dst is returned as it was.
func (s *Storyboard) AppendTo(dst []byte) ([]byte, error) {
	if err := s.check(); err != nil {
		return dst, fmt.Errorf("storyboard: %w", err)
	}
	dst = append(dst, "WEBVTT\n"...)
	for i, start := 0, time.Duration(0); start < s.Duration; i, start = i+1, start+s.Interval {
		sheet, place := i/(s.Columns*s.Rows), i%(s.Columns*s.Rows)
		dst = append(dst, '\n')
		dst = appendTiming(dst, start, min(start+s.Interval, s.Duration))
		dst = fmt.Appendf(dst, "\n%s#xywh=%d,%d,%d,%d\n", s.Sheets[sheet],
			place%s.Columns*s.Width, place/s.Columns*s.Height, s.Width, s.Height)
	}
	return dst, nil
}

func (s *Storyboard) check() error {
	if s.Columns <= 0 || s.Rows <= 0 || s.Width <= 0 || s.Height <= 0 {
		return fmt.Errorf("sheet of %dx%d pictures of %dx%d is not positive", s.Columns, s.Rows, s.Width, s.Height)
	}
	if s.Interval < tick || s.Duration < tick {
		return fmt.Errorf("interval %v or duration %v is shorter than a millisecond", s.Interval, s.Duration)
	}
	pictures := int((s.Duration + s.Interval - 1) / s.Interval)
	sheets := (pictures + s.Columns*s.Rows - 1) / (s.Columns * s.Rows)
	if sheets != len(s.Sheets) {
		return fmt.Errorf("%d pictures need %d sheets, there are %d", pictures, sheets, len(s.Sheets))
	}
	for _, url := range s.Sheets {
		if url == "" || strings.ContainsAny(url, "\r\n") || strings.Contains(url, arrow) {
			return fmt.Errorf("sheet URL %q is not usable", url)
		}
	}
	return nil
}
