package rtsp

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
)

// source is who sends packets: a session of the server, or a client of ours.
type source interface {
	OnPacketRTP(media *description.Media, of format.Format, fn gortsplib.OnPacketRTPFunc)
	OnPacketRTCP(media *description.Media, fn gortsplib.OnPacketRTCPFunc)
}

// receiver puts what a source sends into an input.
type receiver struct {
	failed func(error) // is told once why the source is to be closed; must not wait

	mu       sync.Mutex // UDP has a goroutine for packets and one for reports
	in       ingest.Input
	closed   bool
	clock    clock
	tracks   []*inTrack
	unusable int64 // packets

	received, lost atomic.Int64 // packets
	way            way
}

// way is how packets came when it was last looked. Its mutex is held for nothing else.
type way struct {
	mu             sync.Mutex
	at             time.Time
	received, lost int64
	last           ingest.Quality
}

// inTrack is a track that is taken.
type inTrack struct {
	media *description.Media
	form  format.Format
	depacketizer
	number int      // of the clock
	order  *reorder // of pictures
}

// depacketizer makes frames of packets.
type depacketizer interface {
	// begin tells the input the codec.
	begin(in ingest.Input) error
	// rate is the ticks a second of timestamps.
	rate() int
	// take takes the next packet, and returns the frames that are whole by it. What it
	// cannot use is an error. The frames are valid until the next call.
	take(p *rtp.Packet) (frames []frame, err error)
}

// frame is a picture or a frame of sound.
type frame struct {
	units [][]byte // of a picture, or one frame of sound
	after int64    // ticks of the track's rate after the packet's timestamp
}

// newReceiver chooses the tracks that can be taken: one of pictures and one of sound.
// What is left out is told in words.
func newReceiver(d *description.Session) (r *receiver, leftOut []string, err error) {
	r = &receiver{}
	var found [2]bool
	for _, media := range d.Medias {
		kind := 0
		switch {
		case media.IsBackChannel:
			continue
		case media.Type == description.MediaTypeAudio:
			kind = 1
		case media.Type != description.MediaTypeVideo:
			continue
		}
		form, with := choose(media)
		if with == nil || found[kind] {
			leftOut = append(leftOut, describe(media))
			continue
		}
		found[kind] = true
		t := &inTrack{media: media, form: form, depacketizer: with, number: r.clock.add(with.rate())}
		if kind == 0 {
			t.order, r.clock.leading = &reorder{}, t.number
		}
		r.tracks = append(r.tracks, t)
	}
	if len(r.tracks) == 0 || (!found[0] && len(leftOut) > 0) {
		return nil, nil, fault.New(fault.Invalid, "nothing that is sent can be taken (%v); choose H.264, H.265 or AV1 with AAC or Opus", leftOut)
	}
	return r, leftOut, nil
}

// choose returns the first form of a track that can be taken.
func choose(media *description.Media) (format.Format, depacketizer) {
	for _, form := range media.Formats {
		if d := depacketizerOf(form); d != nil {
			return form, d
		}
	}
	return nil, nil
}

func describe(media *description.Media) string {
	if len(media.Formats) == 0 {
		return string(media.Type)
	}
	return fmt.Sprintf("%s %s", media.Type, media.Formats[0].RTPMap())
}

// begin tells the input what comes.
func (r *receiver) begin(in ingest.Input) error {
	r.in = in
	pictures, sound := false, false
	for _, t := range r.tracks {
		pictures, sound = pictures || t.order != nil, sound || t.order == nil
	}
	in.Expect(pictures, sound)
	for _, t := range r.tracks {
		if err := t.begin(in); err != nil {
			return err
		}
	}
	return nil
}

// listen has the source's packets taken, until close. All tracks must be set up.
func (r *receiver) listen(s source) {
	for _, t := range r.tracks {
		s.OnPacketRTP(t.media, t.form, func(p *rtp.Packet) { r.packet(t, p) })
		s.OnPacketRTCP(t.media, func(p rtcp.Packet) {
			if report, ok := p.(*rtcp.SenderReport); ok {
				r.report(t.number, report)
			}
		})
	}
}

// packet takes one packet.
func (r *receiver) packet(t *inTrack, p *rtp.Packet) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.received.Add(1)
	frames, err := t.take(p)
	if err != nil {
		r.unusable++
		return
	}
	if len(frames) == 0 {
		return
	}
	if err := r.put(t, frames, p.Timestamp, now); err != nil {
		r.closed = true
		r.failed(err)
	}
}

// put hands frames to the input.
func (r *receiver) put(t *inTrack, frames []frame, stamp uint32, at time.Time) error {
	for _, f := range frames {
		pts := r.clock.time(t.number, stamp, at) + r.clock.tracks[t.number].ticks(f.after)
		var err error
		if t.order != nil {
			err = r.in.Picture(ingest.Picture{Units: f.units, DTS: t.order.decoded(pts), PTS: pts, At: at})
		} else {
			err = r.in.Sound(ingest.Sound{Data: f.units[0], PTS: pts, At: at})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// report takes a sender report.
func (r *receiver) report(track int, report *rtcp.SenderReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.clock.report(track, report)
	}
}

// lose notes packets that did not come.
func (r *receiver) lose(count uint64) {
	r.lost.Add(int64(min(count, 1<<16))) // of a jump in the numbers nothing is known
}

// quality is how many packets were lost in the last moments. It does not wait for mu: who
// asks may hold what the input waits for, with mu held.
func (r *receiver) quality() ingest.Quality {
	w := &r.way
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if now.Sub(w.at) < 500*time.Millisecond { // it may be asked for several times a second
		return w.last
	}
	received, lost := r.received.Load(), r.lost.Load()
	came, missing := received-w.received, lost-w.lost
	w.at, w.received, w.lost, w.last = now, received, lost, ingest.Quality{}
	if missing > 0 {
		w.last.Loss = float64(missing) / float64(came+missing)
	}
	return w.last
}

// stop has nothing more go to the input. It may be called more than once.
func (r *receiver) stop() (unusable int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.unusable
}
