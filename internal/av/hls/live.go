package hls

import (
	"errors"
	"time"
)

// LivePlaylist is a media playlist of fragmented MP4 that still grows, with
// partial segments if PartTarget is set (Low-Latency HLS, rfc8216bis appendix B).
//
// A player reads one version after the other, so what was written once must be
// written again until it may go: a segment or part never changes its URI,
// duration, time or range (6.2.1), Target and PartTarget never change, and
// MediaSequence and DiscontinuitySequence count what went from the front.
// Check holds a playlist against the one before it.
type LivePlaylist struct {
	// Target is EXT-X-TARGETDURATION: whole seconds, the same for ever and in
	// every rendition. No segment, rounded to whole seconds, may be longer.
	Target time.Duration

	// PartTarget is PART-TARGET of EXT-X-PART-INF: no part is longer, and each
	// but the last of a segment lasts at least 85 % of it. It is written in
	// microseconds, rounded up. 0 means no parts.
	PartTarget time.Duration

	// EXT-X-SERVER-CONTROL (4.4.3.8). PartHoldBack is required with parts and
	// at least twice PartTarget, better three times. HoldBack is 0 or at least
	// three times Target; CanSkipUntil is 0 or at least six times Target.
	CanBlockReload bool
	PartHoldBack   time.Duration
	HoldBack       time.Duration
	CanSkipUntil   time.Duration

	MediaSequence         int64 // number of Segments[0], from 0
	DiscontinuitySequence int64 // how many segments with Discontinuity have gone from the front

	// Segments are those that are whole, the oldest first.
	Segments []LiveSegment

	// Skip makes the text a delta update (4.4.5.2): EXT-X-SKIP stands for that
	// many of the first Segments. All of them must lie before the skip
	// boundary, CanSkipUntil before the end; SkipMax says how many do.
	Skip int

	// Open is the segment after the last: it has Parts, which may be none, and
	// neither URI nor Duration. Its Discontinuity, Map and Time are written as
	// soon as it has parts; a Map that is new also while it has none but a Hint.
	Open LiveSegment

	// Hint is the URI of the part that comes next (EXT-X-PRELOAD-HINT, 4.4.5.3).
	Hint string

	// Reports tell where the other renditions are (EXT-X-RENDITION-REPORT).
	Reports []Report

	// Ended writes EXT-X-ENDLIST: no Open parts, no Hint, no Reports then.
	Ended bool
}

// LiveSegment is one media segment of a LivePlaylist.
type LiveSegment struct {
	URI      string
	Duration time.Duration

	// Map is the URI of the initialization section, of every segment.
	// EXT-X-MAP is written where it differs from the segment before.
	Map string

	// Time is EXT-X-PROGRAM-DATE-TIME of the first sample, written in UTC with
	// milliseconds; the zero Time is not written.
	Time time.Time

	Discontinuity bool // between the segment before and this one
	Gap           bool // there is no such media: players do not ask for it

	// Parts make up the segment, or are none. Only those within three target
	// durations of the end belong in a playlist (4.4.4.9).
	Parts []Part
}

// Part is one partial segment (EXT-X-PART, 4.4.4.9).
type Part struct {
	URI         string
	Duration    time.Duration
	Range       Range // the zero Range is the whole resource
	Independent bool  // holds a key frame
	Gap         bool  // there is no such media
}

// Report is where another rendition is (EXT-X-RENDITION-REPORT, 4.4.5.4).
type Report struct {
	URI      string // of its playlist, relative to this one
	LastMSN  int64  // number of its last segment, the open one if that has parts
	LastPart int64  // the last part of that segment; written with parts only
}

// AppendTo appends the playlist to dst. It allocates nothing but what dst
// grows by. On an error, which is what a player would stumble over, dst is
// returned as it was.
func (p *LivePlaylist) AppendTo(dst []byte) ([]byte, error) {
	return dst, errors.New("live playlist: not yet")
}

// SkipMax returns the largest Skip that the playlist allows (6.2.5.1), 0 if a
// delta update would leave nothing out.
func (p *LivePlaylist) SkipMax() int { return 0 }
