package hls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/av/mp4"
	avts "liuyun/internal/av/ts"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ts"
)

// loader fetches one playlist and its segments.
type loader struct {
	*Puller
	list  string
	queue *queue

	next   int64 // number of the segment that comes next, -1 is not known
	round  int64 // how often the playlist has begun again
	period int64 // of the last segment; -1 before the first
	mapped string
	stream *ts.Feed          // of segments that are transport streams
	movie  *mp4.StreamReader // of fragmented MP4
}

const (
	// edge is how many target durations from its end a live playlist is begun.
	edge = 3
	// stale is how many target durations a live playlist may stay as it is.
	stale = 6
	// leastStale is the same for short ones.
	leastStale = 30 * time.Second
)

// run fetches until ctx ends, or the playlist does.
func (l *loader) run(ctx context.Context) error {
	l.next, l.period = -1, -1
	changed := time.Now()
	for {
		s, at, err := l.playlist(ctx)
		if err != nil {
			return err
		}
		count, err := l.segments(ctx, s, at)
		if err != nil {
			return err
		}
		now := time.Now()
		if count > 0 {
			changed = now
		}
		if s.Ended {
			if !l.Loop || len(s.Segments) == 0 {
				return nil
			}
			l.next = -1
			l.round++
			continue
		}
		if now.Sub(changed) > max(stale*s.Target, leastStale) {
			return fault.New(fault.Unavailable, "the playlist does not go on")
		}
		again := s.Target
		if count == 0 {
			again /= 2
		}
		if err := sleep(ctx, min(max(again, 500*time.Millisecond), 10*time.Second)); err != nil {
			return err
		}
	}
}

func (l *loader) playlist(ctx context.Context) (*hls.Source, string, error) {
	text, at, err := l.load(ctx, l.list, hls.SourceRange{}, largestPlaylist)
	if err != nil {
		return nil, "", err
	}
	s, err := hls.ReadSource(text)
	if err == nil && s.Target == 0 {
		err = errors.New("it has no target duration")
	}
	if err != nil {
		return nil, "", fault.Wrap(err, fault.Invalid, "%s is no HLS playlist of media", name(l.list))
	}
	return s, at, nil
}

// segments fetches the segments that are new, and says how many.
func (l *loader) segments(ctx context.Context, s *hls.Source, at string) (count int, err error) {
	if len(s.Segments) == 0 {
		return 0, nil
	}
	last := s.Segments[len(s.Segments)-1].Number
	switch begins := beginning(s); {
	case l.next < 0, l.next > last+1: // not begun, or numbered anew
		l.next = begins
	case l.next < s.Segments[0].Number:
		l.Log.Warn("segments are gone that have not been fetched", "count", s.Segments[0].Number-l.next)
		l.next = begins
	}
	for _, segment := range s.Segments {
		if segment.Number < l.next {
			continue
		}
		l.next = segment.Number + 1
		count++
		err := l.segment(ctx, segment, at)
		switch {
		case err == nil:
		case !s.Ended && (fault.CodeOf(err) == fault.NotFound || fault.CodeOf(err) == fault.Unavailable) && ctx.Err() == nil:
			l.Log.Warn("a segment is left out", "number", segment.Number, "reason", fault.Message(err))
		default:
			return count, err
		}
	}
	return count, nil
}

// beginning is the number of the segment to begin with.
func beginning(s *hls.Source) int64 {
	if s.Ended {
		return s.Segments[0].Number
	}
	left := edge * s.Target
	for i := len(s.Segments) - 1; i > 0; i-- {
		if left -= s.Segments[i].Duration; left <= 0 {
			return s.Segments[i].Number
		}
	}
	return s.Segments[0].Number
}

// segment fetches one segment and takes it apart.
func (l *loader) segment(ctx context.Context, s hls.SourceSegment, at string) error {
	const rounds = 1 << 40
	switch {
	case s.Gap:
		return nil
	case s.Key != "":
		return fault.New(fault.Invalid, "the segments are encrypted (%s)", s.Key)
	}
	if period := l.round*rounds + s.Period; period != l.period {
		l.period, l.mapped, l.stream, l.movie = period, "", nil, nil
		l.queue.begin(period)
	}
	address, err := resolve(at, s.URI)
	if err != nil {
		return err
	}
	data, _, err := l.load(ctx, address, s.Range, largestSegment)
	if err != nil {
		return err
	}
	if s.Map != "" {
		return l.fragments(ctx, s, at, data)
	}
	return l.packets(data)
}

// packets takes a transport stream apart.
func (l *loader) packets(data []byte) error {
	if len(data) < avts.PacketSize || !bytes.Contains(data[:avts.PacketSize], []byte{0x47}) {
		return fault.New(fault.Invalid, "the segments are neither transport streams nor fragmented MP4")
	}
	if l.stream == nil {
		l.stream = ts.NewFeed(l.queue, l.Log)
	}
	if err := l.stream.Write(data, time.Time{}); err != nil {
		return err
	}
	return l.stream.Flush()
}

// fragments takes a fragmented MP4 apart.
func (l *loader) fragments(ctx context.Context, s hls.SourceSegment, at string, data []byte) error {
	if key := fmt.Sprint(s.Map, s.MapRange); l.movie == nil || key != l.mapped {
		address, err := resolve(at, s.Map)
		if err != nil {
			return err
		}
		header, _, err := l.load(ctx, address, s.MapRange, largestInit)
		if err != nil {
			return err
		}
		m := &movie{in: l.queue}
		l.mapped, l.movie = key, &mp4.StreamReader{Init: m.init, Sample: m.sample}
		if err := l.write(header); err != nil {
			return err
		}
	}
	return l.write(data)
}

// write gives the movie its next bytes.
func (l *loader) write(data []byte) error {
	_, err := l.movie.Write(data)
	if err != nil {
		l.movie = nil
		if fault.CodeOf(err) == fault.Internal && !errors.Is(err, context.Canceled) {
			return fault.Wrap(err, fault.Invalid, "the segments cannot be read (%v): they have to be transport streams, or MP4 with pictures and sound apart", err)
		}
	}
	return err
}

// movie hands samples of a track to an input.
type movie struct {
	in     ingest.Input
	track  *mp4.Track
	codec  hub.Codec
	length int // bytes of the length of a NAL unit
	units  [][]byte
}

func (m *movie) init(t *mp4.Track) error {
	m.track = t
	switch t.Codec {
	case mp4.H264:
		m.codec = hub.H264
	case mp4.HEVC:
		m.codec = hub.H265
	case mp4.AV1:
		m.codec = hub.AV1
	case mp4.AAC:
		m.codec = hub.AAC
	case mp4.Opus:
		m.codec = hub.Opus
	default:
		return fmt.Errorf("a track of %s", t.Codec)
	}
	if !m.codec.Video() {
		return m.in.Audio(m.codec, t.Config)
	}
	m.length = ingest.LengthSize(m.codec, t.Config)
	return m.in.Video(m.codec, t.Config)
}

func (m *movie) sample(s mp4.StreamSample) (err error) {
	ticks := func(t int64) int64 { return timebase.MulDiv(t, ingest.Timescale, int64(m.track.Timescale)) }
	dts := ticks(s.DecodeTime - m.track.MediaStart)
	pts := ticks(s.DecodeTime - m.track.MediaStart + int64(s.CompositionOffset))
	if !m.codec.Video() {
		return m.in.Sound(ingest.Sound{Data: s.Data, PTS: pts})
	}
	if m.units, err = ingest.AppendUnits(m.units[:0], m.codec, m.length, s.Data); err != nil {
		return err
	}
	return m.in.Picture(ingest.Picture{Units: m.units, DTS: dts, PTS: pts})
}
