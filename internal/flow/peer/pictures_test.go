package peer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/testkit"
)

// wire notes what a sender writes.
type wire struct {
	mu      sync.Mutex
	packets []rtp.Packet
}

func (w *wire) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packets = append(w.packets, rtp.Packet{Header: h.Clone(), Payload: payload})
	return len(payload) + 12, nil
}

func (w *wire) Write(b []byte) (int, error) { return len(b), nil }

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.packets)
}

func boundSender(kind webrtc.RTPCodecType, w webrtc.TrackLocalWriter) *sender {
	s := newSender(kind)
	s.writer = w
	close(s.bound)
	return s
}

// avcc is the configuration of the sets of sets().
func avcc(t *testing.T) []byte {
	t.Helper()
	sps, pps := sets(t)
	out := []byte{1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, byte(len(sps))}
	out = append(append(out, sps...), 1, 0, byte(len(pps)))
	return append(out, pps...)
}

// rendition is a hub stream whose pictures say which rendition and which number they are.
type rendition struct {
	*hub.Stream
	name byte
}

func newRendition(t *testing.T, name byte) *rendition {
	r := &rendition{hub.New(hub.Limits{Units: 512, Bytes: 1 << 20}), name}
	r.Begin([]hub.Track{{Codec: hub.H264, Clock: 90000, Config: avcc(t)}})
	return r
}

// show writes picture n; every tenth is a key frame.
func (r *rendition) show(n int) {
	slice := []byte{0x41, r.name, byte(n >> 8), byte(n)}
	if n%10 == 0 {
		slice[0] = 0x65
	}
	r.Write(hub.Unit{DTS: int64(n) * 3600, PTS: int64(n) * 3600, Key: n%10 == 0, Wall: time.Unix(0, int64(n)*40e6), Data: access(slice)})
}

// deskOf is a program of a source and rungs.
type program struct {
	source *hub.Stream
	rungs  []ingest.Rung
}

func (p *program) Source() *hub.Stream   { return p.source }
func (p *program) Rungs() []ingest.Rung  { return p.rungs }
func (p *program) Laddered() bool        { return len(p.rungs) > 0 }
func (p *program) Enter() (leave func()) { return func() {} }
func (p *program) Opus(context.Context) (*hub.Stream, func(), error) {
	return p.source, func() {}, nil
}

// A viewer goes from one rendition to another and back at key frames: no picture is
// missing, none comes twice, and time goes on as it did, whichever rendition is ahead.
func TestRenditionsChangeAtKeyFrames(t *testing.T) {
	t.Parallel()
	source, rung := newRendition(t, 'S'), newRendition(t, 'R')
	const behind = 4 // pictures that the rung comes later
	out := &wire{}
	v := &viewer{
		session: newSession("", slog.New(slog.DiscardHandler)), packs: &packs{}, video: boundSender(webrtc.RTPCodecTypeVideo, out),
		program: &program{source.Stream, []ingest.Rung{{Stream: rung.Stream, Bitrate: 1}}},
	}
	v.wanted.Store(source.Stream)
	_, release := v.packs.take(source.Stream) // as every viewer does
	defer release()
	done := make(chan error, 1)
	source.show(0)
	go func() { done <- v.sendPictures() }()
	testkit.Until(t, 30*time.Second, "the first picture", func() bool { return out.count() == 3 })
	n := 0
	play := func(pictures int) {
		for range pictures {
			before := out.count()
			n++
			source.show(n)
			if n >= behind {
				rung.show(n - behind)
			}
			testkit.Until(t, 30*time.Second, fmt.Sprintf("picture %d", n), func() bool { return out.count() > before || n%10 <= behind })
		}
	}
	play(24)
	v.wanted.Store(rung.Stream)
	play(30)
	v.wanted.Store(source.Stream)
	play(30)
	v.wanted.Store(rung.Stream)
	play(20)
	rung.End(nil) // its child is gone: the source goes on
	for range 30 {
		n++
		source.show(n)
	}
	testkit.Until(t, 30*time.Second, "the last picture", func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		last := out.packets[len(out.packets)-1].Payload
		return last[1] == 'S' && int(last[3]) == n
	})
	source.End(nil)
	if err := <-done; err != hub.ErrEnded {
		t.Errorf("it ends with %v", err)
	}
	checkChanges(t, out.packets)
}

// checkChanges looks at what a viewer of two renditions was sent.
func checkChanges(t *testing.T, packets []rtp.Packet) {
	t.Helper()
	name, number, changes := byte('S'), -1, 0
	var stamp uint32
	for i, p := range packets {
		if p.SequenceNumber != packets[0].SequenceNumber+uint16(i) {
			t.Fatalf("packet %d has the number %d", i, p.SequenceNumber)
		}
		if kind := p.Payload[0] & 0x1f; kind == sequenceSet || kind == pictureSet {
			continue
		}
		n := int(p.Payload[2])<<8 | int(p.Payload[3])
		if p.Payload[1] != name {
			changes++
			name = p.Payload[1]
			if p.Payload[0]&0x1f != idr {
				t.Errorf("a rendition begins with picture %d, no key frame", n)
			}
		}
		// When the rung ended its last pictures were still to come.
		if n != number+1 && changes < 4 {
			t.Errorf("picture %d of %c after %d", n, name, number)
		}
		if number >= 0 && int32(p.Timestamp-stamp) <= 0 {
			t.Errorf("picture %d has a time that is not after the one before", n)
		}
		if number >= 0 && changes < 4 && p.Timestamp-stamp != 3600 {
			t.Errorf("picture %d is %d ticks after the one before", n, p.Timestamp-stamp)
		}
		number, stamp = n, p.Timestamp
	}
	if changes != 4 {
		t.Errorf("%d changes, want 4", changes)
	}
}

// Who comes between two key frames is sent all pictures since the last one, to be
// shown within a moment, and is then where the others are.
func TestBeginningIsCaughtUp(t *testing.T) {
	t.Parallel()
	source := newRendition(t, 'S')
	for n := range 18 {
		source.show(n)
	}
	out := &wire{}
	v := &viewer{session: newSession("", slog.New(slog.DiscardHandler)), packs: &packs{}, program: &program{source: source.Stream}, video: boundSender(webrtc.RTPCodecTypeVideo, out)}
	v.wanted.Store(source.Stream)
	p, release := v.packs.take(source.Stream)
	defer release()
	<-p.judged
	testkit.Until(t, 30*time.Second, "the pack", func() bool { _, ok := v.packs.rate(source.Stream); return ok })
	done := make(chan error, 1)
	go func() { done <- v.sendPictures() }()
	testkit.Until(t, 30*time.Second, "the pictures since the key frame", func() bool { return out.count() == 2+8 })
	source.show(18)
	testkit.Until(t, 30*time.Second, "the next picture", func() bool { return out.count() == 2+9 })
	source.End(nil)
	<-done
	for i := 3; i < 10; i++ {
		if step := out.packets[i].Timestamp - out.packets[i-1].Timestamp; step != 90 {
			t.Errorf("picture %d is %d ticks after the one before, want 90", i, step)
		}
	}
	if step := out.packets[10].Timestamp - out.packets[9].Timestamp; step != 3600 {
		t.Errorf("the picture that is live is %d ticks after the newest of the others", step)
	}
}

// Streams that WebRTC cannot carry are known as such, and why.
func TestUnusable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		track  hub.Track
		offset []int64 // PTS of pictures
		usable bool
	}{
		"in order":      {hub.Track{Codec: hub.H264, Clock: 90000, Config: avcc(t)}, []int64{0, 3600, 7200, 10800, 14400, 18000, 21600, 25200}, true},
		"B-frames":      {hub.Track{Codec: hub.H264, Clock: 90000, Config: avcc(t)}, []int64{0, 10800, 3600, 7200, 21600, 14400, 18000, 32400}, false},
		"HEVC":          {hub.Track{Codec: hub.H265, Clock: 90000}, []int64{0}, false},
		"broken config": {hub.Track{Codec: hub.H264, Clock: 90000, Config: []byte{1}}, []int64{0}, false},
		"sound alone":   {hub.Track{Codec: hub.Opus, Clock: 48000}, []int64{0}, false},
	} {
		s := hub.New(hub.DefaultLimits())
		s.Begin([]hub.Track{test.track})
		for i, pts := range test.offset {
			s.Write(hub.Unit{DTS: int64(i) * 3600, PTS: pts, Key: i == 0, Data: access([]byte{0x41, 1, 2, 3})})
		}
		var all packs
		p, release := all.take(s)
		<-p.judged
		testkit.Until(t, 30*time.Second, name, func() bool { _, ok := all.rate(s); return ok == test.usable })
		if p.video.Load() != test.track.Codec.Video() || p.opus.Load() != (test.track.Codec == hub.Opus) {
			t.Errorf("%s: pictures %v, Opus %v", name, p.video.Load(), p.opus.Load())
		}
		release()
	}
}

// What is lost is sent again: a packet not too soon, and all not more than half as often
// as others are sent.
func TestRepeat(t *testing.T) {
	t.Parallel()
	out := &wire{}
	s := boundSender(webrtc.RTPCodecTypeVideo, out)
	s.paced = &counter{extension: 3}
	const count = 20
	for n := range count {
		if err := s.send([]byte{0x41, byte(n)}, uint32(n), n%2 == 1); err != nil {
			t.Fatal(err)
		}
	}
	first := out.packets[0].SequenceNumber
	ask := &rtcp.TransportLayerNack{Nacks: []rtcp.NackPair{{PacketID: first + 3, LostPackets: 1}, {PacketID: first + 5000}}}
	now := time.Unix(1000, 0)
	again := func(after time.Duration, want int) {
		t.Helper()
		now = now.Add(after)
		before := len(out.packets)
		if err := s.repeat(ask, now); err != nil {
			t.Fatal(err)
		}
		if n := len(out.packets) - before; n != want {
			t.Fatalf("%d packets are sent again, want %d", n, want)
		}
	}
	again(0, 2)
	for i, p := range out.packets[count:] {
		was := out.packets[3+i]
		if p.SequenceNumber != was.SequenceNumber || p.Timestamp != was.Timestamp || p.Marker != was.Marker || p.Payload[1] != was.Payload[1] {
			t.Errorf("%v again is %v", was, p)
		}
	}
	for i, p := range out.packets {
		if b := p.GetExtension(3); len(b) != 2 || int(b[1]) != i+1 {
			t.Errorf("packet %d has the number %v", i, b)
		}
	}
	again(notBefore/2, 0)
	again(notBefore/2, 2)
	again(notBefore, 2)
	again(notBefore, 2)
	again(notBefore, 2)
	again(notBefore, 0) // half of them were
}

// nowhere takes packets.
type nowhere struct{}

func (nowhere) WriteRTP(*rtp.Header, []byte) (int, error) { return 1, nil }
func (nowhere) Write([]byte) (int, error)                 { return 1, nil }

func TestSendDoesNotAllocate(t *testing.T) {
	s := boundSender(webrtc.RTPCodecTypeVideo, nowhere{})
	s.paced = &counter{extension: 3}
	payload := make([]byte, 1000)
	if n := testing.AllocsPerRun(1000, func() {
		if err := s.send(payload, 1, true); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a packet, want none", n)
	}
}
