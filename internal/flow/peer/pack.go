package peer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/av/h264"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// pack is the pictures of one hub stream as payloads of RTP, made once for all who
// watch them. Its units' data are payloads, each after two bytes of length.
type pack struct {
	out    *hub.Stream
	judged chan struct{} // closed when it is known whether it can be sent
	cancel context.CancelFunc
	users  int // guarded by packs.mu

	video   atomic.Bool  // there are pictures
	opus    atomic.Bool  // the stream itself has sound as Opus
	usable  atomic.Bool  // it is H.264 whose pictures are shown in the order they come
	bitrate atomic.Int64 // bits a second
	over    atomic.Int64 // when it ended, in nanoseconds since 1970; 0: it goes on
}

// errUnusable is the end of a pack whose stream WebRTC cannot carry.
var errUnusable = errors.New("the pictures cannot be sent by WebRTC")

// packs are those that somebody watches. The zero value is ready.
type packs struct {
	mu   sync.Mutex
	open map[*hub.Stream]*pack
}

// packLimits hold a few seconds: a viewer that is slower than that goes on at the
// newest key frame.
func packLimits() hub.Limits { return hub.Limits{Units: 512, Bytes: 16 << 20} }

// take returns the pack of a stream. It goes on until the last who took it has called
// the function that comes with it.
func (s *packs) take(stream *hub.Stream) (*pack, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.open[stream]
	if p == nil || p.stale(time.Now()) {
		ctx, cancel := context.WithCancel(context.Background())
		p = &pack{out: hub.New(packLimits()), judged: make(chan struct{}), cancel: cancel}
		if s.open == nil {
			s.open = make(map[*hub.Stream]*pack)
		}
		s.open[stream] = p
		go p.run(ctx, stream.Read())
	}
	p.users++
	return p, sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.users--; p.users > 0 {
			return
		}
		p.cancel()
		if s.open[stream] == p {
			delete(s.open, stream)
		}
	})
}

// stale reports whether a pack ended so long ago that another try is worth it: the
// encoder may send other pictures now.
func (p *pack) stale(now time.Time) bool {
	over := p.over.Load()
	return over != 0 && now.UnixNano()-over > int64(10*time.Second)
}

// suits reports whether a stream can be sent, as far as is known.
func (s *packs) suits(stream *hub.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.open[stream]
	return p == nil || p.over.Load() == 0
}

// rate is the bits a second of a stream that is known to suit.
func (s *packs) rate(stream *hub.Stream) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.open[stream]
	if p == nil || p.over.Load() != 0 || !p.usable.Load() {
		return 0, false
	}
	return p.bitrate.Load(), true
}

// enough is how many pictures say whether some are shown in another order.
const enough = 8

// run packs what the reader gives until the stream ends, cannot be sent, or ctx ends.
func (p *pack) run(ctx context.Context, r *hub.Reader) {
	w := packer{pack: p}
	defer w.judge()
	for {
		item, err := r.Next(ctx)
		switch {
		case err != nil:
		case item.Tracks != nil:
			err = w.begin(item.Tracks)
		default:
			err = w.write(item)
		}
		if err != nil {
			p.usable.Store(false)
			p.over.Store(time.Now().UnixNano())
			p.out.End(err)
			return
		}
	}
}

// packer is what run keeps.
type packer struct {
	*pack
	track int // of the pictures; -1 is none
	sets  [][]byte
	waits bool // for a key frame

	seen        int
	delay, last int64 // PTS-DTS of the first picture, PTS of the last
	told        bool

	bytes int64 // since second
	since time.Time
}

// judge says that it is known now whether the pack can be used.
func (w *packer) judge() {
	if !w.told {
		w.told = true
		close(w.judged)
	}
}

func (w *packer) begin(tracks []hub.Track) error {
	w.track, w.waits, w.seen = -1, true, 0
	w.opus.Store(slices.ContainsFunc(tracks, func(t hub.Track) bool { return t.Codec == hub.Opus }))
	for i, t := range tracks {
		if !t.Codec.Video() {
			continue
		}
		w.video.Store(true)
		if t.Codec != hub.H264 {
			return errUnusable
		}
		sequence, picture, err := h264.ParameterSets(t.Config)
		if err != nil {
			return errUnusable
		}
		w.track, w.sets = i, slices.Concat(sequence, picture)
		w.usable.Store(true)
		w.out.Begin([]hub.Track{t})
		return nil
	}
	return errUnusable
}

func (w *packer) write(item hub.Item) error {
	u := item.Unit
	w.waits = w.waits || item.Lost
	if u.Track != w.track || (w.waits && !u.Key) {
		return nil
	}
	w.waits = false
	if !w.inOrder(u) {
		return errUnusable
	}
	var sets [][]byte
	if u.Key {
		sets = w.sets
	}
	data, err := appendPayloads(make([]byte, 0, len(u.Data)+len(u.Data)/256+512), sets, u.Data)
	if err != nil {
		w.waits = true
		return nil
	}
	w.count(len(data), u.Wall)
	u.Track, u.Data = 0, data
	w.out.Write(u)
	if w.seen++; w.seen >= enough {
		w.judge()
	}
	return nil
}

// inOrder reports whether a picture is shown after those before it, and as soon after
// it was decoded as they were. What reorders pictures changes that within a few.
func (w *packer) inOrder(u hub.Unit) bool {
	const slack = ingest.Timescale / 100 // encoders round to milliseconds
	delay := u.PTS - u.DTS
	if w.seen == 0 {
		w.delay = delay
	}
	ok := (w.seen == 0 || u.PTS > w.last) && delay-w.delay < slack && w.delay-delay < slack
	w.last = u.PTS
	return ok
}

// count measures the rate over about two seconds.
func (w *packer) count(bytes int, now time.Time) {
	if w.since.IsZero() {
		w.since = now
	}
	if passed := now.Sub(w.since); passed >= 2*time.Second {
		w.bitrate.Store(int64(float64(w.bytes*8) / passed.Seconds()))
		w.bytes, w.since = 0, now
	}
	w.bytes += int64(bytes)
}
