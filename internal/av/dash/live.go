package dash

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/Eyevinn/dash-mpd/mpd"

	"liuyun/internal/base/timebase"
)

// Live is a manifest that still grows, of low latency (DASH-IF, Low-Latency Modes for
// DASH): segments are offered from when their first chunk is there. A player reads one
// version after the other. Times are those of the world: availabilityStartTime is the
// beginning of 1970, so that a Period starts at the seconds since then.
type Live struct {
	Published time.Time
	// Update is how often players should look for another version; 0 is never: it ends
	// at End.
	Update time.Duration
	End    time.Time
	// Depth is how far back players can go, Delay how far behind they should be that do
	// not know low latency, Latency how far those that do.
	Depth, Delay, Latency time.Duration
	MinBuffer, MaxSegment time.Duration
	Timing                string // URL of the time of day, ISO 8601; may be relative
	Periods               []LivePeriod
}

// LivePeriod is a part of the presentation without a break.
type LivePeriod struct {
	ID       string
	Start    time.Time     // whole milliseconds
	Duration time.Duration // 0 is until the next period, or for ever
	Events   []EventStream
	Sets     []LiveSet
}

// LiveSet is an adaptation set: renditions of one kind that may follow each other at
// any segment.
type LiveSet struct {
	Video, Text bool // else sound; Text is in fragmented MP4
	Lang        string
	Role        Role
	// Channels and SampleRate are of sound.
	Channels, SampleRate int
	// Schemes are those of the messages that are in its segments.
	Schemes []Scheme
	// Made is when the picture at a time of presentation was made. Its segments say so
	// too, each.
	Made  Made
	Rungs []LiveRung
}

// Made relates presentation to the time of day. The zero Made is unknown.
type Made struct {
	At    time.Time
	Ticks int64
}

// Scheme names a kind of message.
type Scheme struct{ URI, Value string }

// LiveRung is one representation.
type LiveRung struct {
	ID            string
	Bandwidth     int64
	Codec         string
	Width, Height int
	FrameRate     timebase.Rational
	Init, Media   string // URL templates; Media has $Number$
	Timescale     int64
	Offset        int64 // ticks that are presented at the start of the period
	Number        int64 // of the first segment
	// Early is by how much segments are offered before they are whole.
	Early time.Duration
	Spans []Span // the last may be expected only
}

// Span is when a segment is presented, in ticks.
type Span struct{ Start, Duration int64 }

// EventStream is what is told of times of a period, of one kind.
type EventStream struct {
	Scheme
	Timescale, Offset int64
	Events            []LiveEvent
}

// LiveEvent is one of them: a splice_info_section, or a text.
type LiveEvent struct {
	ID              uint64
	Start, Duration int64 // ticks; a Duration of 0 is unknown
	Splice          []byte
	Text            string
}

// AppendTo appends the manifest to dst. On an error dst is returned as it was.
func (l *Live) AppendTo(dst []byte) ([]byte, error) {
	if err := l.check(); err != nil {
		return dst, fmt.Errorf("live manifest: %w", err)
	}
	m := mpd.NewMPD(mpd.DYNAMIC_TYPE)
	m.Profiles = mpd.ListOfProfilesType(mpd.PROFILE_LIVE).AddProfile(mpd.PROFILE_CMAF)
	m.AvailabilityStartTime = "1970-01-01T00:00:00Z"
	m.PublishTime = dateTime(l.Published)
	m.MinBufferTime, m.MaxSegmentDuration = duration(l.MinBuffer), duration(l.MaxSegment)
	m.TimeShiftBufferDepth, m.SuggestedPresentationDelay = duration(l.Depth), duration(l.Delay)
	if l.Update > 0 {
		m.MinimumUpdatePeriod = duration(l.Update)
	} else {
		m.MediaPresentationDuration = since1970(l.End)
	}
	if l.Latency > 0 {
		m.ServiceDescription = []*mpd.ServiceDescriptionType{{
			Latencies: []*mpd.LatencyType{{
				Target: mpd.Ptr(millis(l.Latency)), Min: mpd.Ptr(millis(l.Latency / 2)), Max: mpd.Ptr(millis(4 * l.Latency)),
			}},
			PlaybackRates: []*mpd.PlaybackRateType{{Min: 0.96, Max: 1.04}},
		}}
	}
	for i := range l.Periods {
		m.Periods = append(m.Periods, l.period(&l.Periods[i]))
	}
	if l.Timing != "" {
		m.UTCTimings = []*mpd.DescriptorType{l.timing()}
	}
	out := bytes.NewBuffer(dst)
	if _, err := m.Write(out, "", true); err != nil {
		return dst, fmt.Errorf("write live manifest: %w", err)
	}
	return append(out.Bytes(), '\n'), nil
}

func (l *Live) timing() *mpd.DescriptorType {
	return mpd.NewDescriptor("urn:mpeg:dash:utc:http-iso:2014", l.Timing, "")
}

func (l *Live) period(p *LivePeriod) *mpd.Period {
	out := mpd.NewPeriod()
	out.Id, out.Start = p.ID, since1970(p.Start)
	if p.Duration > 0 {
		out.Duration = duration(p.Duration)
	}
	for i := range p.Events {
		out.EventStreams = append(out.EventStreams, p.Events[i].stream())
	}
	b := builder{period: out}
	texts := uint32(0)
	for i := range p.Sets {
		set := l.set(&b, &p.Sets[i])
		if p.Sets[i].Text { // it keeps its name when sound comes that is late
			set.Id = mpd.Ptr(firstText + texts)
			texts++
		}
	}
	return out
}

// firstText is the number of the first set of text in a period.
const firstText = 1000

func (l *Live) set(b *builder, s *LiveSet) *mpd.AdaptationSetType {
	kind, mimeType := "audio", mpd.MIME_TYPE_AUDIO_MP4
	switch {
	case s.Video:
		kind, mimeType = "video", mpd.MIME_TYPE_VIDEO_MP4
	case s.Text:
		kind, mimeType = "text", "application/mp4"
	}
	set := b.add(kind, mimeType)
	set.SegmentAlignment, set.StartWithSAP = true, 1
	label(set, s.Lang, s.Role, "")
	if s.sound() {
		set.AudioSamplingRate = mpd.Ptr(mpd.UIntVectorType(strconv.Itoa(s.SampleRate)))
		set.AudioChannelConfigurations = channelConfiguration(s.Channels)
	}
	for _, scheme := range s.Schemes {
		set.InbandEventStreams = append(set.InbandEventStreams, &mpd.EventStreamType{SchemeIdUri: mpd.AnyURI(scheme.URI), Value: scheme.Value})
	}
	if !s.Made.At.IsZero() {
		set.ProducerReferenceTimes = []*mpd.ProducerReferenceTimeType{{
			Inband: s.Video, Type: "encoder", WallClockTime: string(dateTime(s.Made.At)), PresentationTime: uint64(s.Made.Ticks), UTCTiming: l.timing(),
		}}
	}
	for i := range s.Rungs {
		r := &s.Rungs[i]
		rep := representation(r.ID, r.Bandwidth)
		rep.Codecs = r.Codec
		if s.Video {
			rep.Width, rep.Height, rep.Sar = uint32(r.Width), uint32(r.Height), "1:1"
			rep.FrameRate = mpd.FrameRateType(frameRate(r.FrameRate))
		}
		rep.SegmentTemplate = r.template()
		set.Representations = append(set.Representations, rep)
	}
	return set
}

func (s *LiveSet) sound() bool { return !s.Video && !s.Text }

func (r *LiveRung) template() *mpd.SegmentTemplateType {
	t := &mpd.SegmentTemplateType{Initialization: r.Init, Media: r.Media}
	t.StartNumber = mpd.Ptr(uint32(r.Number))
	t.Timescale = mpd.Ptr(uint32(r.Timescale))
	if r.Offset > 0 {
		t.PresentationTimeOffset = mpd.Ptr(uint64(r.Offset))
	}
	if r.Early > 0 {
		t.AvailabilityTimeOffset = mpd.FloatInf64(math.Round(r.Early.Seconds()*1000) / 1000)
		t.AvailabilityTimeComplete = mpd.Ptr(false)
	}
	t.SegmentTimeline = &mpd.SegmentTimelineType{}
	next := int64(-1)
	for _, s := range r.Spans {
		list := t.SegmentTimeline.S
		if n := len(list); s.Start == next && list[n-1].D == uint64(s.Duration) {
			list[n-1].R++
		} else {
			entry := &mpd.S{D: uint64(s.Duration)}
			if s.Start != next {
				entry.T = mpd.Ptr(uint64(s.Start))
			}
			t.SegmentTimeline.S = append(list, entry)
		}
		next = s.Start + s.Duration
	}
	return t
}

func (e *EventStream) stream() *mpd.EventStreamType {
	out := &mpd.EventStreamType{
		SchemeIdUri: mpd.AnyURI(e.URI), Value: e.Value, Timescale: mpd.Ptr(uint32(e.Timescale)), PresentationTimeOffset: uint64(e.Offset),
	}
	for i := range e.Events {
		event := &e.Events[i]
		one := &mpd.EventType{PresentationTime: uint64(max(event.Start, 0)), Duration: uint64(event.Duration), Id: mpd.Ptr(event.ID), Value: event.Text}
		if len(event.Splice) > 0 {
			one.Signal = mpd.NewSignal()
			name := one.Signal.XMLName // its namespace
			name.Local = "Binary"
			one.Signal.Binary = &mpd.BinaryType{XMLName: name, Value: base64.StdEncoding.EncodeToString(event.Splice)}
		}
		out.Events = append(out.Events, one)
	}
	return out
}

func dateTime(t time.Time) mpd.DateTime {
	return mpd.DateTime(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// since1970 is a time as the presentation counts.
func since1970(t time.Time) *mpd.Duration {
	return mpd.Ptr(mpd.Duration(t.UnixNano()))
}

func millis(d time.Duration) uint32 { return uint32(d / time.Millisecond) }

func (l *Live) check() error {
	if l.Update == 0 && l.End.IsZero() || l.Update < 0 || l.MinBuffer <= 0 || l.MaxSegment <= 0 || l.Depth <= 0 {
		return fmt.Errorf("updates each %v until %v, buffer %v, segments of %v or depth %v cannot be", l.Update, l.End, l.MinBuffer, l.MaxSegment, l.Depth)
	}
	if len(l.Periods) == 0 {
		return fmt.Errorf("there are no periods")
	}
	var last time.Time
	ids := map[string]bool{}
	for i := range l.Periods {
		p := &l.Periods[i]
		if p.ID == "" || ids[p.ID] || !p.Start.After(last) || p.Start.Nanosecond()%1e6 != 0 || p.Duration < 0 || len(p.Sets) == 0 {
			return fmt.Errorf("period %q: the name, the start %v or the duration %v cannot be, or it is empty", p.ID, p.Start, p.Duration)
		}
		ids[p.ID], last = true, p.Start
		c := checker{ids: map[string]bool{}, media: map[string]bool{}}
		for j := range p.Sets {
			if err := c.liveSet(&p.Sets[j]); err != nil {
				return fmt.Errorf("period %q: %w", p.ID, err)
			}
		}
	}
	return nil
}

func (c checker) liveSet(s *LiveSet) error {
	if len(s.Rungs) == 0 || s.Video && s.Text || s.sound() && (s.Channels <= 0 || s.SampleRate <= 0) || s.Role == "" {
		return fmt.Errorf("a set has no rungs, no role, or sound of %d channels at %d Hz", s.Channels, s.SampleRate)
	}
	for i := range s.Rungs {
		r := &s.Rungs[i]
		if err := c.representation(r.ID, r.Bandwidth); err != nil {
			return err
		}
		if r.Codec == "" || s.Video && (r.Width <= 0 || r.Height <= 0 || !r.FrameRate.Valid()) {
			return fmt.Errorf("representation %q: codec %q, size %dx%d or frame rate %v is missing", r.ID, r.Codec, r.Width, r.Height, r.FrameRate)
		}
		if err := checkTemplate("media", r.Media, number.MatchString(r.Media)); err != nil {
			return err
		}
		if err := checkTemplate("initialization", r.Init, !number.MatchString(r.Init) && !strings.Contains(r.Init, "$Time")); err != nil {
			return err
		}
		if err := r.check(); err != nil {
			return fmt.Errorf("representation %q: %w", r.ID, err)
		}
	}
	return nil
}

// Longest is how long the longest segment is presented.
func (r *LiveRung) Longest() time.Duration {
	longest := int64(0)
	for _, s := range r.Spans {
		longest = max(longest, s.Duration)
	}
	return time.Duration(timebase.MulDiv(longest, int64(time.Second), r.Timescale))
}

func (r *LiveRung) check() error {
	if r.Timescale <= 0 || r.Timescale > math.MaxUint32 || r.Number < 0 || r.Number > math.MaxUint32 || r.Offset < 0 {
		return fmt.Errorf("timescale %d, number %d or offset %d is out of range", r.Timescale, r.Number, r.Offset)
	}
	if len(r.Spans) == 0 {
		return fmt.Errorf("there are no segments")
	}
	end := int64(0)
	for i, s := range r.Spans {
		if s.Start < end || s.Duration <= 0 || s.Duration > math.MaxInt64-s.Start {
			return fmt.Errorf("segment %d: %d ticks from %d, and the one before ends at %d", r.Number+int64(i), s.Duration, s.Start, end)
		}
		end = s.Start + s.Duration
	}
	return nil
}
