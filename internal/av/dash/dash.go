// Package dash writes MPEG-DASH manifests (ISO/IEC 23009-1) on CMAF segments: of
// finished presentations, with one period, or of a recording one for each stretch,
// and sets of video, sound, WebVTT files and thumbnails; and of live ones, which grow
// (see Live). Segments are numbered, with their exact durations in a timeline. Plain
// structs go in and XML comes out; what a player would stumble over is an error. It
// reads no manifests, opens no files, and writes no encryption.
package dash

import (
	"bytes"
	"fmt"
	"time"

	"github.com/Eyevinn/dash-mpd/mpd"

	"liuyun/internal/base/timebase"
)

// Presentation is a whole manifest.
type Presentation struct {
	Duration  time.Duration // written in milliseconds, rounded up
	MinBuffer time.Duration // what a player must hold to play at the declared bandwidth
	Video     []VideoSet
	Audio     []AudioSet
	Text      []TextSet
	Thumbs    []Thumbnails
}

// Role is a value of the DASH role scheme (urn:mpeg:dash:role:2011).
type Role string

// The roles.
const (
	Main           Role = "main"
	Alternate      Role = "alternate"
	Commentary     Role = "commentary"
	Dub            Role = "dub"
	Description    Role = "description"
	Subtitle       Role = "subtitle"
	Caption        Role = "caption"
	ForcedSubtitle Role = "forced-subtitle"
)

// VideoSet is an adaptation set: rungs of one codec and one dynamic range, all
// cut at the same places.
type VideoSet struct {
	Color Color
	Rungs []VideoRung
}

// Color says how samples become light, in the code points of ISO/IEC 23091-2
// (CICP). The zero Color says nothing. A player that does not know the code
// points of a wide-range picture is told to leave the set alone.
type Color struct{ Primaries, Transfer, Matrix int }

// VideoRung is one representation. Samples are square.
type VideoRung struct {
	ID            string // unique in the presentation, stands for $RepresentationID$
	Bandwidth     int64  // bits a second, the peak
	Codec         string // RFC 6381
	Width, Height int
	FrameRate     timebase.Rational
	Segments      Segments
}

// AudioSet is an adaptation set: one track in one channel layout.
type AudioSet struct {
	Lang  string // RFC 5646; empty is unknown
	Role  Role
	Label string // for people; may be empty

	Channels   int // 6 of 5.1, 8 of 7.1
	SampleRate int
	Rungs      []AudioRung
}

// AudioRung is one representation.
type AudioRung struct {
	ID        string
	Bandwidth int64
	Codec     string
	Segments  Segments
}

// Segments says where the segments of a representation are and how long each
// plays. Representations of a set whose Segments are equal share one entry in
// the manifest, so URLs with $RepresentationID$ in them keep it small.
type Segments struct {
	Init      string // URL template of the initialization segment
	Media     string // URL template, with $Number$ or $Number%05d$
	Timescale int64  // ticks a second of all that follows
	Durations []int64

	First  int64 // number of the first segment; 0 is 1
	Start  int64 // when that begins, on the timeline of the media
	Offset int64 // what of that timeline is the beginning of the period
}

// TextSet is one WebVTT file for the whole presentation.
type TextSet struct {
	ID        string
	Lang      string
	Role      Role
	Label     string
	URL       string
	Bandwidth int64
}

// Thumbnails is a series of sprite sheets for scrubbing (DASH-IF IOP 6.2.6).
// Each sheet holds Columns×Rows pictures, row by row, one an Interval.
type Thumbnails struct {
	ID            string
	Bandwidth     int64
	Media         string // URL template, with $Number$; the first number is 1
	Columns, Rows int
	Width, Height int // of one picture
	Interval      time.Duration
}

// AppendTo appends the manifest to dst. On an error dst is returned as it was.
func (p *Presentation) AppendTo(dst []byte) ([]byte, error) {
	if err := p.check(); err != nil {
		return dst, fmt.Errorf("manifest: %w", err)
	}
	b := newBuilder("1", 0)
	b.fill(p.Video, p.Audio)
	for _, s := range p.Text {
		b.text(s)
	}
	for _, s := range p.Thumbs {
		b.thumbnails(s)
	}
	return write(dst, p.Duration, p.MinBuffer, b.longest, []*mpd.Period{b.period})
}

// write appends a manifest of periods.
func write(dst []byte, length, buffer, longest time.Duration, periods []*mpd.Period) ([]byte, error) {
	m := mpd.NewMPD(mpd.STATIC_TYPE)
	m.Profiles = mpd.ListOfProfilesType(mpd.PROFILE_LIVE).AddProfile(mpd.PROFILE_CMAF)
	m.MediaPresentationDuration = duration(length)
	m.MinBufferTime = duration(buffer)
	m.MaxSegmentDuration = duration(longest)
	m.Periods = periods

	out := bytes.NewBuffer(dst)
	if _, err := m.Write(out, "  ", true); err != nil {
		return dst, fmt.Errorf("write manifest: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}

// duration rounds up to milliseconds, the finest that the manifest's writer
// prints, so that no frame falls off the end.
func duration(d time.Duration) *mpd.Duration {
	up := (d + time.Millisecond - 1).Truncate(time.Millisecond)
	return mpd.Ptr(mpd.Duration(up))
}
