package hls

import (
	"fmt"
	"strings"
	"time"
)

// Problem is one breach of a rule.
type Problem struct {
	Line    int    // of the text, from 1; 0 means the playlist as a whole
	Section string // of rfc8216bis
	Text    string
}

// String returns the problem as one line.
func (p Problem) String() string {
	return fmt.Sprintf("line %d: %s (rfc8216bis %s)", p.Line, p.Text, p.Section)
}

// Checked is a playlist that Check has read, whatever problems it has.
type Checked struct {
	// Playlist is what the text says. In a delta update Segments begins with
	// the segments that were skipped, as the playlist before had them. The Map
	// of a segment is the one that applies to it.
	Playlist LivePlaylist

	// Version is EXT-X-VERSION, 1 if there is none.
	Version int64

	lines     []int // where each of Segments ends, 0 if it was skipped
	openLine  int
	withdrawn string // a hint that was taken back when its segment closed
}

// maxProblems is how many problems Check reports at most.
const maxProblems = 100

// Check reads a live media playlist of fragmented MP4 and holds it against the
// rules of rfc8216bis (draft-pantos-hls-rfc8216bis), the SHOULDs included that
// low latency depends on:
//
//   - of a single document: syntax (4.1, 4.2), tags, their attributes and order
//     (4.4.1 to 4.4.5), compatibility versions (8), durations against their
//     targets, distances, what belongs near the end, dates, the low-latency
//     profile (B.1);
//   - and, if previous is not nil, between it and the version before (6.2.1,
//     6.2.2): nothing changes but what is appended, nothing goes too early, the
//     numbers go on, the hint came true.
//
// A delta update needs the version before. text may be anything: time and
// memory are bounded by its length and by that of previous, which is not
// changed. At most 100 problems are reported.
func Check(text []byte, previous *Checked) (*Checked, []Problem) {
	r := &liveReader{previous: previous, seen: map[string]int{}}
	r.out = &Checked{Version: 1}
	r.read(string(text))
	r.checkDocument()
	if previous != nil {
		r.checkSuccession(previous)
	}
	return r.out, r.problems
}

// liveReader reads one playlist. What is wrong becomes a problem, and reading
// goes on.
type liveReader struct {
	previous *Checked
	out      *Checked
	problems []Problem

	line    int
	seen    map[string]int // the line of tags that may stand once
	segment LiveSegment    // that the tags read so far apply to
	begun   bool           // it has tags
	extinf  bool           // it has its EXTINF
	hint    int            // line of the EXT-X-PRELOAD-HINT of a part
	hinted  bool           // parts or segments after the hint were told of
	ranged  bool           // some segment has an EXT-X-BYTERANGE
	mapped  string         // the EXT-X-MAP that applies
}

func (r *liveReader) problem(line int, section, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{line, section, fmt.Sprintf(format, args...)})
	}
}

// here reports a problem of the line that is being read.
func (r *liveReader) here(section, format string, args ...any) {
	r.problem(r.line, section, format, args...)
}

// msn is the number of the segment at an index of Segments.
func (c *Checked) msn(i int) int64 { return c.Playlist.MediaSequence + int64(i) }

// checkDocument holds what was read against the rules of a single document.
func (r *liveReader) checkDocument() {
	r.checkHeader()
	r.checkDistances()
	p := &r.out.Playlist
	end := p.duration()
	var position time.Duration
	withParts := false
	for i := range p.Segments {
		s := &p.Segments[i]
		position += s.Duration
		if line := r.out.lines[i]; line > 0 {
			r.checkDuration(line, s)
			r.checkPartsOf(line, s.Parts)
			r.checkPlace(line, s, withParts, end-position)
		}
		withParts = withParts || len(s.Parts) > 0
	}
	r.checkPartsOf(r.out.openLine, p.Open.Parts)
	r.checkTimes()
	r.checkRanges()
	r.checkLowLatency()
}

func (r *liveReader) checkHeader() {
	p := &r.out.Playlist
	if p.Target == 0 {
		r.problem(0, "4.4.3.1", "there is no EXT-X-TARGETDURATION")
	}
	if r.seen["EXT-X-SKIP"] > 0 && r.seen["EXT-X-MEDIA-SEQUENCE"] == 0 {
		r.problem(0, "6.2.2", "a delta update without EXT-X-MEDIA-SEQUENCE")
	}
	need := int64(3) // EXTINF with decimals
	for _, feature := range []struct {
		used    bool
		version int64
	}{{r.ranged || p.KeysOnly, 4}, {r.mapped != "", 6}, {r.seen["EXT-X-SKIP"] > 0, 9}} {
		if feature.used {
			need = feature.version
		}
	}
	if r.out.Version < need {
		r.problem(r.seen["EXT-X-VERSION"], "8", "version %d, and what it uses needs %d", r.out.Version, need)
	}
	if p.Ended && r.hint > 0 {
		r.problem(r.hint, "4.4.5.3", "a preload hint in a playlist that has ended")
	}
}

// checkDistances checks EXT-X-SERVER-CONTROL and EXT-X-PART-INF.
func (r *liveReader) checkDistances() {
	p := &r.out.Playlist
	line := r.seen["EXT-X-SERVER-CONTROL"]
	if p.PartTarget > p.Target {
		r.problem(r.seen["EXT-X-PART-INF"], "4.4.3.7", "PART-TARGET of %v above the target duration of %v", p.PartTarget, p.Target)
	}
	switch {
	case p.PartTarget > 0 && p.PartHoldBack == 0:
		r.problem(line, "4.4.3.8", "EXT-X-PART-INF without PART-HOLD-BACK")
	case p.PartHoldBack < 2*p.PartTarget:
		r.problem(line, "4.4.3.8", "PART-HOLD-BACK of %v is less than twice the PART-TARGET of %v", p.PartHoldBack, p.PartTarget)
	case p.PartHoldBack < 3*p.PartTarget:
		r.problem(line, "4.4.3.8", "PART-HOLD-BACK of %v should be three times the PART-TARGET of %v", p.PartHoldBack, p.PartTarget)
	}
	if p.HoldBack != 0 && p.HoldBack < 3*p.Target {
		r.problem(line, "4.4.3.8", "HOLD-BACK of %v is less than three times the target duration of %v", p.HoldBack, p.Target)
	}
	if p.CanSkipUntil != 0 && p.CanSkipUntil < 6*p.Target {
		r.problem(line, "4.4.3.8", "CAN-SKIP-UNTIL of %v is less than six times the target duration of %v", p.CanSkipUntil, p.Target)
	}
	if line = r.seen["EXT-X-SKIP"]; line == 0 {
		return
	}
	if p.CanSkipUntil == 0 {
		r.problem(line, "6.2.5.1", "EXT-X-SKIP without CAN-SKIP-UNTIL")
	} else if most := p.SkipMax(); p.Skip > most {
		r.problem(line, "6.2.5.1", "skips %d segments, and only %d lie before the skip boundary", p.Skip, most)
	}
}

func (r *liveReader) checkDuration(line int, s *LiveSegment) {
	target := r.out.Playlist.Target
	if s.Duration.Round(time.Second) > target {
		r.problem(line, "4.4.3.1", "a segment of %v, above the target duration of %v", s.Duration, target)
	}
	if s.Map == "" && !r.out.Playlist.Text {
		r.problem(line, "4.4.4.5", "a segment without EXT-X-MAP")
	}
	if s.Range.Length == 0 && r.out.Playlist.KeysOnly && !s.Gap {
		r.problem(line, "4.4.3.6", "a key frame without EXT-X-BYTERANGE")
	}
	if off := s.partsDuration() - s.Duration; len(s.Parts) > 0 && off.Abs() > partSlack {
		r.problem(line, "4.4.4.9", "a segment of %v whose parts last %v", s.Duration, s.partsDuration())
	}
}

// checkPlace checks whether a segment that ends so long before the end has
// parts where it should.
func (r *liveReader) checkPlace(line int, s *LiveSegment, after bool, distance time.Duration) {
	if len(s.Parts) > 0 && distance > partWindow*r.out.Playlist.Target {
		r.problem(line, "6.2.2", "parts of a segment that ended %v before the end, beyond %d target durations", distance, partWindow)
	}
	if len(s.Parts) == 0 && after && !s.Gap {
		r.problem(line, "6.2.2", "a segment without parts after one with parts")
	}
}

func (r *liveReader) checkPartsOf(line int, parts []Part) {
	if len(parts) == 0 {
		return
	}
	target := r.out.Playlist.PartTarget
	if target == 0 {
		r.problem(line, "4.4.3.7", "parts without EXT-X-PART-INF")
		return
	}
	for i := range parts {
		d := parts[i].Duration
		if d > target {
			r.problem(line, "4.4.4.9", "part %d lasts %v, above the PART-TARGET of %v", i, d, target)
		}
		// The texts' last decimals are rounded: one microsecond is no breach.
		if d+time.Microsecond < target*leastPart/100 && !mayBeShort(parts, i) {
			r.problem(line, "4.4.4.9", "part %d lasts %v, less than %d %% of the PART-TARGET of %v", i, d, leastPart, target)
		}
	}
}

// dateSlack is how far dates may be from what durations say: less than a
// second of drift is allowed (6.2.1).
const dateSlack = time.Second

// checkTimes checks that each EXT-X-PROGRAM-DATE-TIME agrees with the one
// before it and the durations between them.
func (r *liveReader) checkTimes() {
	p := &r.out.Playlist
	var due time.Time // of the next segment
	check := func(line int, s *LiveSegment) {
		switch {
		case s.Time.IsZero() && s.Discontinuity && !due.IsZero():
			r.problem(line, "6.2.1", "a discontinuity without EXT-X-PROGRAM-DATE-TIME")
		case s.Time.IsZero() || due.IsZero():
		case s.Time.Sub(due) <= -dateSlack:
			r.problem(line, "6.2.1", "EXT-X-PROGRAM-DATE-TIME is %v before the end of the segment before", due.Sub(s.Time))
		case s.Time.Sub(due) >= dateSlack && !s.Discontinuity:
			r.problem(line, "6.2.1", "EXT-X-PROGRAM-DATE-TIME is %v after the end of the segment before, and there is no discontinuity", s.Time.Sub(due))
		}
		if !s.Time.IsZero() {
			due = s.Time
		}
		if !due.IsZero() {
			due = due.Add(s.Duration)
		}
	}
	for i := range p.Segments {
		check(r.out.lines[i], &p.Segments[i])
	}
	if len(p.Open.Parts) > 0 {
		check(r.out.openLine, &p.Open)
	}
	if due.IsZero() && p.PartTarget > 0 && len(p.Segments)+len(p.Open.Parts) > 0 {
		r.problem(0, "B.1", "low latency without EXT-X-PROGRAM-DATE-TIME")
	}
}

// checkLowLatency checks what the server configuration profile asks of a
// playlist with parts that goes on.
func (r *liveReader) checkLowLatency() {
	p := &r.out.Playlist
	if p.KeysOnly && (p.PartTarget > 0 || r.hint > 0) {
		r.problem(0, "4.4.3.6", "a playlist of key frames with parts")
	}
	if p.PartTarget == 0 {
		if r.hint > 0 {
			r.problem(r.hint, "4.4.3.7", "a hint at a part without EXT-X-PART-INF")
		}
		return
	}
	if !p.CanBlockReload {
		r.problem(r.seen["EXT-X-SERVER-CONTROL"], "B.1", "low latency without CAN-BLOCK-RELOAD")
	}
	if p.Ended {
		return
	}
	if p.Hint == "" {
		r.problem(0, "B.1", "low latency without EXT-X-PRELOAD-HINT")
		return
	}
	for i := range p.Segments {
		for _, part := range p.Segments[i].Parts {
			r.checkHinted(part)
		}
	}
	for _, part := range p.Open.Parts {
		r.checkHinted(part)
	}
}

func (r *liveReader) checkHinted(part Part) {
	if part.URI == r.out.Playlist.Hint && part.Range == (Range{}) && !r.hinted {
		r.hinted = true
		r.problem(r.hint, "4.4.5.3", "the hint %q is a part that is there already", part.URI)
	}
}

// relative says whether a URI reference has no scheme.
func relative(uri string) bool {
	before, _, found := strings.Cut(uri, ":")
	return !found || strings.ContainsAny(before, "/?#")
}
