// Package hub is where media meets in motion: a stream has one writer and many
// readers. Protocols are turned into units when they come in and made of units
// when they go out, so that N protocols cost 2N converters and not N². It holds
// the last moments of a stream in memory and nothing on a disk, and it decodes
// nothing.
package hub

import (
	"context"
	"errors"
	"sync"
	"time"

	"liuyun/internal/base/timebase"
)

// Codec says how the units of a track are coded.
type Codec string

// The codecs.
const (
	H264 Codec = "h264"
	H265 Codec = "h265"
	AV1  Codec = "av1"
	AAC  Codec = "aac"
	Opus Codec = "opus"
)

// Video reports whether the codec is one of pictures.
func (c Codec) Video() bool { return c == H264 || c == H265 || c == AV1 }

// Track is one track of a stream.
type Track struct {
	Codec Codec
	// Clock is the ticks a second of the times of its units: 90,000 for pictures, the
	// sample rate for sound.
	Clock int64
	// Config is what a decoder is set up with: the configuration record avcC, hvcC or
	// av1C of ISO/IEC 14496-15, an AudioSpecificConfig, or the dOps of Opus. Read-only.
	Config        []byte
	Width, Height int               // of pictures
	Rate          timebase.Rational // of pictures, as far as it is known
	Channels      int               // of sound
	Language      string            // RFC 5646; "" is unknown
}

// Unit is one picture or one frame of sound. It is read-only once it is written.
type Unit struct {
	Track int // index into the tracks of the period
	// DTS and PTS are ticks of the track's clock, of all tracks from the same moment.
	// They are normalised: DTS grows within a track for as long as the stream lives,
	// whatever the source did.
	DTS, PTS int64
	// Key says that decoding can begin here. Every frame of sound is one.
	Key bool
	// Still says that nobody sent it: it repeats a picture while nothing comes.
	Still bool
	// Wall is when it was made, as far as that is known; else when it came.
	Wall time.Time
	// Data is a picture's NAL units, each after four bytes of length, or its OBUs, or a
	// frame of sound without a header. Parameter sets are in Track.Config alone.
	Data []byte
}

// Item is what a reader gets: first the tracks, then units; tracks again when they
// changed.
type Item struct {
	Tracks []Track // not nil: a period begins, with these tracks
	Unit   Unit    // else
	// Lost says that units before this one were dropped, because the reader was too
	// slow. The unit is then one with which decoding can begin.
	Lost bool
}

// Limits bound what a stream holds for its readers. What is older is dropped; a
// reader that has not taken it goes on at the newest key frame.
type Limits struct {
	Units int
	Bytes int64
	// Span is how long units are held that every reader has taken, and with which nobody
	// would begin: those before the newest key frame. 0 is as long as the others allow.
	Span time.Duration
}

// DefaultLimits hold about ten seconds of a usual stream.
func DefaultLimits() Limits { return Limits{Units: 2048, Bytes: 32 << 20} }

// ErrEnded is what a reader gets at the end of a stream that ended well.
var ErrEnded = errors.New("the stream has ended")

// Stream is one writer's. Its methods may be called by several goroutines, those
// of the writer by one at a time. The zero value is not valid: see New.
type Stream struct {
	limits Limits
	made   time.Time

	mu      sync.Mutex
	ring    []slot // the oldest is at head
	head    int
	count   int
	first   uint64 // number of the oldest item
	bytes   int64
	key     uint64    // number of the newest item to begin with; valid when at least first
	tracks  []Track   // of the present period
	video   bool      // the present period has pictures
	readers []*Reader // that have begun, but for those that have lost units since; where Limits.Span is set
	ended   error     // not nil: no more is written
	arrived chan struct{}
}

// slot is an item in its place.
type slot struct {
	Item
	period []Track       // that it belongs to
	came   time.Duration // since the stream was made, where Limits.Span is set
}

// New returns a stream that waits for its first period.
func New(l Limits) *Stream {
	return &Stream{limits: l, made: time.Now(), ring: make([]slot, min(l.Units, 128)), arrived: make(chan struct{})}
}

// Begin begins a period: from here on units are of these tracks. The slice is
// read-only from then on.
func (s *Stream) Begin(tracks []Track) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tracks, s.video = tracks, false
	for _, t := range tracks {
		s.video = s.video || t.Codec.Video()
	}
	s.key = s.first + uint64(s.count)
	s.push(Item{Tracks: tracks})
}

// Write adds a unit and wakes the readers. It never waits for one, and allocates
// nothing.
func (s *Stream) Write(u Unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil || u.Track >= len(s.tracks) {
		return
	}
	if u.Key && (!s.video || s.tracks[u.Track].Codec.Video()) {
		s.key = s.first + uint64(s.count)
	}
	s.push(Item{Unit: u})
}

// End ends the stream. Readers get what is left, then cause, or ErrEnded for nil.
func (s *Stream) End(cause error) {
	if cause == nil {
		cause = ErrEnded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = cause
		s.wake()
	}
}

// push appends an item and drops the oldest ones above the limits.
func (s *Stream) push(i Item) {
	size := int64(len(i.Unit.Data))
	for s.count > 0 && (s.count == s.limits.Units || s.bytes+size > s.limits.Bytes) {
		s.drop()
	}
	added := slot{Item: i, period: s.tracks}
	if s.limits.Span > 0 {
		added.came = time.Since(s.made)
		for end := s.unneeded(added.came); s.first < end; {
			s.drop()
		}
	}
	if s.count == len(s.ring) {
		s.grow()
	}
	s.ring[(s.head+s.count)%len(s.ring)] = added
	s.count++
	s.bytes += size
	s.wake()
}

// unneeded is the number of the first item that somebody may want at that time, where
// Limits.Span is set. One who reads no more, or as slowly as that, is waited for up to
// the other limits; then it has lost units, and nothing is held for it.
func (s *Stream) unneeded(now time.Duration) uint64 {
	end := s.first
	for n := 0; n < s.count && end < s.key && now-s.ring[(s.head+n)%len(s.ring)].came > s.limits.Span; n++ {
		end++
	}
	if end == s.first {
		return end
	}
	kept := s.readers[:0]
	for _, r := range s.readers {
		if r.listed = r.next >= s.first; r.listed {
			kept = append(kept, r)
			end = min(end, r.next)
		}
	}
	clear(s.readers[len(kept):])
	s.readers = kept
	return end
}

// drop drops the oldest item.
func (s *Stream) drop() {
	s.bytes -= int64(len(s.ring[s.head].Unit.Data))
	s.ring[s.head] = slot{}
	s.head = (s.head + 1) % len(s.ring)
	s.first++
	s.count--
}

// grow makes room for more items, up to the limit.
func (s *Stream) grow() {
	larger := make([]slot, min(2*len(s.ring), s.limits.Units))
	n := copy(larger, s.ring[s.head:])
	copy(larger[n:], s.ring[:s.head])
	s.ring, s.head = larger, 0
}

// wake lets waiting readers look again. The channel is only made anew when somebody
// waits.
func (s *Stream) wake() {
	if s.arrived != nil {
		close(s.arrived)
		s.arrived = nil
	}
}

// Read returns a reader that begins at the newest key frame, or waits for the first.
func (s *Stream) Read() *Reader { return &Reader{stream: s} }

// ReadAll returns a reader that begins with the first unit of the stream, however long
// after that it comes; one that comes too late for that begins as others do.
func (s *Stream) ReadAll() *Reader { return &Reader{stream: s, all: true} }

// Tracks waits for a period that a reader would begin with, and returns its tracks.
// Nothing is held for one who asks no more than that.
func (s *Stream) Tracks(ctx context.Context) ([]Track, error) {
	r := Reader{stream: s, listed: true} // in no list, and not put into one
	item, err := r.Next(ctx)
	return item.Tracks, err
}

// Reader reads a stream. It is used by one goroutine; it needs no closing.
type Reader struct {
	stream *Stream
	next   uint64
	period []Track // that the reader knows
	begun  bool
	all    bool          // it begins with the first unit, if that is still there
	listed bool          // it is in the stream's list; the stream's mutex guards it, as it does next
	every  time.Duration // see Every
	timer  *time.Timer
}

// Every has the reader look for new items at whole multiples of d alone, where it has
// taken all: who is in no hurry is not woken for each unit. All such readers of the
// process look at the same moments. It returns the reader.
func (r *Reader) Every(d time.Duration) *Reader {
	r.every = d
	return r
}

// Next waits for the next item. Its error is ErrEnded or the stream's cause after
// the last one, or that of ctx.
func (r *Reader) Next(ctx context.Context) (Item, error) {
	if r.every > 0 && !r.Ready() {
		if err := r.pause(ctx); err != nil {
			return Item{}, err
		}
	}
	for {
		item, wait, err := r.take()
		if err != nil || wait == nil {
			return item, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return Item{}, ctx.Err()
		}
	}
}

// pause waits until it is time to look again.
func (r *Reader) pause(ctx context.Context) error {
	left := r.every - time.Duration(time.Now().UnixNano())%r.every
	if r.timer == nil {
		r.timer = time.NewTimer(left)
	} else {
		r.timer.Reset(left)
	}
	select {
	case <-r.timer.C:
		return nil
	case <-ctx.Done():
		r.timer.Stop()
		return ctx.Err()
	}
}

// Ready reports whether Next has something to return at once.
func (r *Reader) Ready() bool {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended != nil:
		return true
	case !r.begun || r.next < s.first:
		return s.decodable()
	}
	return r.next < s.first+uint64(s.count)
}

// take returns an item, or what to wait for.
func (r *Reader) take() (Item, <-chan struct{}, error) {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := r.begun && r.next < s.first
	if !r.begun || lost {
		if !s.decodable() {
			return r.waitOrEnd()
		}
		if r.next = s.key; r.all && !lost && s.first == 0 {
			r.next = 0
		}
	}
	if r.next >= s.first+uint64(s.count) {
		return r.waitOrEnd()
	}
	if !r.listed && s.limits.Span > 0 {
		r.listed = true
		s.readers = append(s.readers, r)
	}
	here := &s.ring[(s.head+int(r.next-s.first))%len(s.ring)]
	item := here.Item
	if item.Tracks == nil && (!r.begun || !sameTracks(r.period, here.period)) {
		// The reader begins within a period, whose beginning it has not seen.
		r.begun, r.period = true, here.period
		return Item{Tracks: r.period, Lost: lost}, nil, nil
	}
	if item.Tracks != nil {
		r.period = item.Tracks
	}
	r.begun = true
	r.next++
	item.Lost = lost
	return item, nil, nil
}

// waitOrEnd is what a reader gets that has taken everything.
func (r *Reader) waitOrEnd() (Item, <-chan struct{}, error) {
	s := r.stream
	if s.ended != nil {
		return Item{}, nil, s.ended
	}
	if s.arrived == nil {
		s.arrived = make(chan struct{})
	}
	return Item{}, s.arrived, nil
}

// decodable reports whether there is an item to begin with.
func (s *Stream) decodable() bool { return s.count > 0 && s.key >= s.first }

func sameTracks(a, b []Track) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
