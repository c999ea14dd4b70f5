package caption

import (
	"strings"
	"time"
)

// isWebVTT says whether line opens a WebVTT file (WebVTT 4.1).
func isWebVTT(line string) bool {
	rest, ok := strings.CutPrefix(line, "WEBVTT")
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// vttReader walks the lines of a WebVTT file as its parsing rules do (WebVTT
// 6.1): blocks end at a blank line, or where a line has an arrow.
type vttReader struct {
	lines []string
	track *Track
	room  int // for blocks that every segment repeats
}

func parseWebVTT(lines []string) *Track {
	r := vttReader{lines: lines[1:], track: &Track{}, room: maxBlockBytes}
	r.block() // the rest of the header
	for len(r.lines) > 0 {
		if r.lines[0] == "" {
			r.lines = r.lines[1:]
			continue
		}
		r.next()
	}
	return r.track
}

// next reads one block: a cue, a STYLE or REGION block, or what is neither.
func (r *vttReader) next() {
	first := r.lines[0]
	switch {
	case strings.Contains(first, arrow):
		r.cue("")
	case len(r.lines) > 1 && strings.Contains(r.lines[1], arrow):
		r.lines = r.lines[1:]
		r.cue(first)
	default:
		body := r.block()
		name := strings.TrimRight(first, " \t")
		if (name == "STYLE" || name == "REGION") && len(r.track.Cues) == 0 && len(body) <= r.room {
			r.room -= len(body)
			r.track.Blocks = append(r.track.Blocks, body)
		}
	}
}

// cue reads the cue whose timing is the next line.
func (r *vttReader) cue(id string) {
	c := Cue{ID: id}
	timing := r.lines[0]
	r.lines = r.lines[1:]
	var rest string
	var ok bool
	c.Start, c.End, rest, ok = parseTiming(timing)
	c.Settings = settings(rest)
	c.Text = r.block()
	r.track.add(c, ok)
}

// block takes the lines before the next blank line or arrow.
func (r *vttReader) block() string {
	n := 0
	for n < len(r.lines) && r.lines[n] != "" && !strings.Contains(r.lines[n], arrow) {
		n++
	}
	body := strings.Join(r.lines[:n], "\n")
	r.lines = r.lines[n:]
	return body
}

// settings keeps the cue settings that WebVTT has (WebVTT 3.5).
func settings(s string) string {
	var kept []string
	for _, field := range strings.Fields(s) {
		name, value, _ := strings.Cut(field, ":")
		switch name {
		case "vertical", "line", "position", "size", "align", "region":
			if value != "" && !strings.Contains(value, arrow) {
				kept = append(kept, field)
			}
		}
	}
	return strings.Join(kept, " ")
}

// AppendFile appends the track to dst as one WebVTT file. The track is one that
// Parse, Shift or Segment made, or keeps to what the fields of Cue promise.
func (t *Track) AppendFile(dst []byte) []byte {
	return t.append(append(dst, "WEBVTT\n"...))
}

// AppendSegment appends the track to dst as a segment of an HLS rendition whose
// media starts at zero (RFC 8216 3.5). An empty track is a proper segment.
func (t *Track) AppendSegment(dst []byte) []byte {
	return t.append(append(dst, "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n"...))
}

func (t *Track) append(dst []byte) []byte {
	for _, b := range t.Blocks {
		dst = append(dst, "\n"+b+"\n"...)
	}
	for _, c := range t.Cues {
		dst = append(dst, '\n')
		if c.ID != "" {
			dst = append(dst, c.ID+"\n"...)
		}
		dst = appendTiming(dst, c.Start, c.End)
		if c.Settings != "" {
			dst = append(dst, " "+c.Settings...)
		}
		dst = append(dst, "\n"+c.Text+"\n"...)
	}
	return dst
}

func appendTiming(dst []byte, start, end time.Duration) []byte {
	return append(dst, formatTime(start)+" "+arrow+" "+formatTime(end)...)
}
