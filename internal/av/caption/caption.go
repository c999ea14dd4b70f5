// Package caption reads subtitle files as people have them (WebVTT and SubRip,
// in the character encodings in use) and writes WebVTT: one file for DASH, or
// the segments of an HLS rendition. It also writes the WebVTT index of a
// storyboard. It does not lay out or draw text, and it reads no captions that
// are inside a picture.
//
// The WebVTT reader and writer are ours because what passes through must not
// lose anything: a payload is kept as it is written, and with it voices, ruby,
// classes and inner timestamps, as are cue names, all cue settings, STYLE and
// REGION blocks. go-astisub v0.34.0 replaces cue names by numbers, does not read
// REGION blocks and fails on a cue that names one, drops all voices of a line
// but the first, takes the lines of a NOTE block with a line of its own for cue
// names, unescapes and re-escapes text as HTML, and writes to the global log.
package caption

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits on what one file may hold. A cue beyond them is skipped.
const (
	maxCueBytes   = 16 << 10         // of one payload
	maxBlockBytes = 64 << 10         // of all STYLE and REGION blocks, which every segment repeats
	maxTime       = 10_000 * 3600    // of a timestamp, in seconds
	tick          = time.Millisecond // what WebVTT can say
)

// ErrFormat says that the text is neither WebVTT nor SubRip.
var ErrFormat = errors.New("neither WebVTT nor SubRip")

// Track is the cues of one language. A Track and what is made from it may be
// read from many goroutines.
type Track struct {
	// Blocks are STYLE and REGION blocks, in order, without blank lines.
	Blocks []string

	// Cues are in order of Start.
	Cues []Cue

	// Skipped counts the cues that could not be used: no duration, a timestamp
	// that is none, a payload beyond all reason.
	Skipped int
}

// Cue is one caption.
type Cue struct {
	ID         string
	Start, End time.Duration // whole milliseconds, Start < End
	Settings   string        // WebVTT cue settings: "line:0 align:left"
	Text       string        // WebVTT cue text: lines without a blank one between them, escaped
}

// Parse reads a whole subtitle file. The format and the encoding are told from
// the bytes: UTF-8 and UTF-16 with or without a byte order mark, else GB 18030
// where all of the text is likely to be, else Windows-1252. Cues that cannot be
// used are skipped and counted. An X-TIMESTAMP-MAP is ignored: it places a
// segment within a transport stream, and this is a file of its own. Memory is
// in proportion to len(data), which the caller limits.
func Parse(data []byte) (*Track, error) {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\uFFFD").Replace(decode(data))
	lines := strings.Split(text, "\n")
	var t *Track
	switch {
	case isWebVTT(lines[0]):
		t = parseWebVTT(lines)
	case strings.Contains(text, arrow):
		t = parseSubRip(lines)
	default:
		return nil, ErrFormat
	}
	if len(t.Cues) == 0 && t.Skipped > 0 {
		return nil, fmt.Errorf("none of the %d cues can be used", t.Skipped)
	}
	slices.SortStableFunc(t.Cues, func(a, b Cue) int { return cmp.Compare(a.Start, b.Start) })
	return t, nil
}

// add takes a cue if it can be used.
func (t *Track) add(c Cue, ok bool) {
	if !ok || c.End <= c.Start || len(c.Text) > maxCueBytes || len(c.ID) > maxCueBytes || len(c.Settings) > maxCueBytes {
		t.Skipped++
		return
	}
	if c.Text != "" {
		t.Cues = append(t.Cues, c)
	}
}

// Shift returns the track moved by d, later where it is positive, inner
// timestamps included. What ends before the beginning is left out, what starts
// before it starts there.
func (t *Track) Shift(d time.Duration) *Track {
	d = d.Round(tick)
	out := &Track{Blocks: t.Blocks, Skipped: t.Skipped}
	for _, c := range t.Cues {
		c.Start, c.End = max(c.Start+d, 0), c.End+d
		if c.End <= 0 {
			continue
		}
		c.Text = shiftInner(c.Text, d)
		out.Cues = append(out.Cues, c)
	}
	return out
}

// shiftInner moves the timestamps inside a payload, "<00:01.000>".
func shiftInner(text string, d time.Duration) string {
	var out strings.Builder
	for {
		open := strings.IndexByte(text, '<')
		if open < 0 {
			break
		}
		length := strings.IndexByte(text[open:], '>')
		if length < 0 {
			break
		}
		out.WriteString(text[:open])
		tag := text[open : open+length+1]
		if at, ok := parseTime(tag[1:length]); ok {
			tag = "<" + formatTime(max(at+d, 0)) + ">"
		}
		out.WriteString(tag)
		text = text[open+length+1:]
	}
	out.WriteString(text)
	return out.String()
}
