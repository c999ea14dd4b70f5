package hls

import "time"

// LivePlaylist is a media playlist of fragmented MP4 that still grows, with
// partial segments if PartTarget is set (Low-Latency HLS, rfc8216bis appendix B).
//
// A player reads one version after the other, so what was written once must be
// written again until it may go: a segment or part never changes its URI,
// duration, time or range (6.2.1), Target and PartTarget never change, and
// MediaSequence and DiscontinuitySequence count what went from the front.
// Check holds a playlist against the one before it.
//
// Times are written in microseconds. Within a segment the parts are rounded so
// that any first of them add up to what they should; beyond that every segment
// is rounded by itself, because what stood before it will be gone.
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

	// KeysOnly makes it a playlist of key frames (EXT-X-I-FRAMES-ONLY, 4.4.3.6): the
	// Range of each segment is one, its Duration the time to the next. It has no parts.
	KeysOnly bool

	// Text says that the segments are WebVTT: they have no Map, and no parts.
	Text bool

	// Ranges are what is told of times (EXT-X-DATERANGE).
	Ranges []DateRange

	// Segments are those that are whole, the oldest first.
	Segments []LiveSegment

	// Skip makes the text a delta update (4.4.5.2): EXT-X-SKIP stands for that
	// many of the first Segments. All of them must lie before the skip
	// boundary, CanSkipUntil before the end; SkipMax says how many do. The map
	// of the segment that follows is written all the same.
	Skip int

	// Open is the segment after the last: it has Parts, which may be none, and
	// neither URI nor Duration nor Gap. Its Discontinuity, Map and Time are
	// written as soon as it has parts.
	Open LiveSegment

	// Hint is the URI of the part that comes next (EXT-X-PRELOAD-HINT, 4.4.5.3),
	// of the open segment or of the one after it. It must come true.
	Hint string

	// Reports tell where the other renditions are (EXT-X-RENDITION-REPORT).
	Reports []Report

	// Ended writes EXT-X-ENDLIST: no Open parts, no Hint, no Reports then.
	Ended bool
}

// LiveSegment is one media segment of a LivePlaylist.
type LiveSegment struct {
	URI      string
	Range    Range // the zero Range is the whole resource
	Duration time.Duration

	// Map is the URI of the initialization section, of every segment. EXT-X-MAP
	// is written where it differs from the segment before, which needs a
	// discontinuity.
	Map string

	// Time is EXT-X-PROGRAM-DATE-TIME of the first sample, written in UTC with
	// milliseconds; the zero Time is not written.
	Time time.Time

	Discontinuity bool // between the segment before and this one
	Gap           bool // there is no such media: players do not ask for it

	// Parts make up the segment, or are none. They are written while the segment
	// ends within three target durations of the end of the playlist, and left
	// out when it is older (6.2.2).
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
	LastPart int64  // the last part of that segment, from 0; written with parts only
}
