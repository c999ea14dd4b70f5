package ladder

import (
	"math"
	"time"

	"liuyun/internal/av/h264"
	"liuyun/internal/av/rate"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// rung is one rendition of the pictures, over all children that make it. Its fields
// are guarded by the ladder.
type rung struct {
	rate.Rung
	ladder *Ladder

	stream *hub.Stream // nil while it is not made
	config []byte      // of what is in stream
	begun  bool        // stream has a key frame
	lost   int64       // of the tape, when stream was begun
	key    []byte      // the newest key frame in stream; nil before one
	track  *hub.Track  // of the source, that the child began with

	clock int64 // ticks a second
	pace  timebase.Rational
	every int64 // ticks between key frames; 0: where the source has them
	from  int64 // where the child began
	last  int64 // the newest picture in stream
	seen  int64 // the newest picture that a child made

	by    *rung // what stands in for it; nil where it is made, or nothing is
	mixed bool  // stream has been coded in more than one way

	spare   bool         // the next smaller one shows as much
	slices  *h264.Slices // of what comes; nil where they cannot be read
	spent   spent        // since it was last looked at
	bitrate int64        // of the second before that
	qp      float64      // and the mean quantiser
	offset  int          // of [rate.LiveOffsets], that it is to have
	told    int          // and that the child has
	why     rate.Why     // it is that
}

// none is the time of a picture that there is not.
const none = math.MinInt64

// aim prepares the rung for a child that begins there. It returns what that has to
// make of it, and whether it begins to be made.
func (r *rung) aim(from start, every time.Duration) (ffmpeg.LivePictures, bool) {
	begins := r.beginAt(from)
	r.every = int64(every.Seconds()*float64(r.clock) + 0.5)
	if !r.begun {
		r.seen = none // the child begins where the one before did
	}
	out := ffmpeg.LivePictures{Width: r.Width, Height: r.Height, Fit: r.reshaped(from.track), Rate: r.Cap, After: ffmpeg.Beginning, Output: r}
	if r.begun {
		out.After = r.last
	}
	if r.ladder.Adapt.Bits {
		out.Offsets, out.Offset = rate.LiveOffsets(), r.offset
	}
	return out, begins
}

// beginAt prepares the rung for what comes from there on. It reports whether its stream is
// new.
func (r *rung) beginAt(from start) (begins bool) {
	r.clock, r.pace, r.from, r.track = from.track.Clock, from.rate, from.pts, from.track
	if begins = r.stream == nil; begins {
		r.open()
	}
	return begins
}

// reshaped reports whether pictures of that track have another shape.
func (r *rung) reshaped(t *hub.Track) bool {
	const slight = 0.02 // what rounding to even sides makes
	shape := float64(t.Width*r.Height) / float64(t.Height*r.Width)
	return math.Abs(shape-1) > slight
}

// open begins a stream.
func (r *rung) open() {
	r.stream, r.config, r.begun, r.key = hub.New(rungLimits()), nil, false, nil
	r.last, r.seen = none, none
	r.lost = r.ladder.tape.missed()
}

// end ends the stream.
func (r *rung) end() {
	if r.stream != nil {
		r.stream.End(nil)
		r.stream = nil
	}
}

// at is how far the rung has come, in ticks of the clock. ok is false while it is not
// made.
func (r *rung) at() (pts, clock int64, ok bool) {
	switch {
	case r.stream == nil:
		return 0, 0, false
	case r.seen == none || r.seen < r.from:
		return r.from, r.clock, true
	}
	return r.seen, r.clock, true
}

// made is the rung as others read it, as soon as there is something to read.
func (r *rung) made() (ingest.Rung, bool) {
	return ingest.Rung{Name: r.Name, Height: r.Height, Bitrate: r.Cap, Stream: r.stream}, r.stream != nil && r.begun
}

// Begin takes how the pictures are coded that come.
func (r *rung) Begin(config []byte) error {
	r.ladder.mu.Lock()
	defer r.ladder.mu.Unlock()
	if r.ladder.adaption != nil {
		r.slices, _ = h264.NewSlices(config) // what cannot be read is not told
	}
	if r.stream == nil || (r.config != nil && h264.SameConfig(r.config, config)) {
		return nil
	}
	r.describe(config, r)
	return nil
}

// describe begins a period of the stream, of pictures that are coded like those of a rung.
func (r *rung) describe(config []byte, like *rung) {
	r.mixed = r.mixed || r.config != nil && !h264.SameConfig(r.config, config)
	r.config, r.begun, r.key = config, false, nil
	r.stream.Begin([]hub.Track{{
		Codec: hub.H264, Clock: r.clock, Config: config, Width: like.Width, Height: like.Height, Rate: r.pace,
	}})
}

// Take takes a picture, for the rung and for those that it stands in for.
func (r *rung) Take(u ffmpeg.LiveUnit) error {
	source, known := r.ladder.tape.find(u.PTS)
	missed := r.ladder.tape.missed()
	var again []ingest.Rung
	r.ladder.mu.Lock()
	if key, ok := r.see(u, source, known); ok {
		unit := hub.Unit{DTS: u.PTS, PTS: u.PTS, Key: key, Wall: source.wall, Data: u.Data}
		for _, to := range r.ladder.rungs {
			if (to == r || to.by == r) && to.put(unit, r, missed) {
				made, _ := to.made()
				again = append(again, made)
			}
		}
	}
	r.ladder.mu.Unlock()
	for _, made := range again {
		r.ladder.Made(made)
	}
	return nil
}

// see looks at a picture that the child has made. ok is false where that is of no use, and
// key reports whether it is a key frame where there is to be one.
func (r *rung) see(u ffmpeg.LiveUnit, source mark, known bool) (key, ok bool) {
	if r.stream == nil || !known || u.PTS <= r.seen {
		return false, false
	}
	if r.slices != nil {
		if qp, err := r.slices.QP(u.Data); err == nil {
			r.spent.add(len(u.Data), qp)
		}
	}
	key = u.Key && source.key
	if r.every > 0 {
		key = u.Key && r.seen != none && floor(u.PTS, r.every) > floor(r.seen, r.every)
	}
	r.seen = u.PTS
	return key, true
}

// put writes a picture that a rung has made, this one or that which stands in for it. It
// reports whether it did so to a new stream: the source was not kept up with, and what is
// missing must not be taken for one long picture.
func (r *rung) put(u hub.Unit, by *rung, missed int64) (again bool) {
	if by != r {
		if r.stream == nil || u.PTS <= r.last {
			return false
		}
		if r.config == nil || !h264.SameConfig(r.config, by.config) {
			if !u.Key {
				return false
			}
			r.describe(by.config, by)
		}
		r.seen = u.PTS
	}
	if u.Key && r.begun && missed != r.lost {
		config := r.config
		r.end()
		r.open()
		r.describe(config, by)
		again = true
	}
	if !r.begun && !u.Key {
		return again
	}
	r.begun, r.last = true, u.PTS
	if u.Key {
		if r.mixed { // not all players heed that it begins with another init section
			u.Data = h264.WithParameterSets(u.Data, r.config)
		}
		r.key = u.Data
	}
	r.stream.Write(u)
	return again
}

// repeats reports whether hold can stand for what a child would make of the source's
// key frame in that period. Where a child places key frames itself, it can not: later
// pictures refer to those that the child has made in between.
func (r *rung) repeats(period *hub.Track) bool {
	return r.key != nil && r.every == 0 && r.track == period
}

// hold writes the newest key frame once more, at the time of u. What the child still
// has from before is too late then, and what follows stills begins with a key frame.
func (r *rung) hold(u hub.Unit) {
	if u.PTS > r.seen {
		r.seen, r.last = u.PTS, u.PTS
		r.stream.Write(hub.Unit{DTS: u.PTS, PTS: u.PTS, Key: true, Still: true, Wall: u.Wall, Data: r.key})
	}
}

func floor(v, unit int64) int64 {
	q := v / unit
	if v%unit < 0 {
		q--
	}
	return q
}
