package peer

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"liuyun/internal/av/opus"
)

// history is how many packets a sender keeps for those that are lost. It is a power
// of two: two seconds at 6 Mbit/s.
const history = 1024

// A line that is too narrow loses packets because there are too many: of what is sent
// again there may be half as much as of what is sent, after a while without a loss so
// many at once, and a packet not sooner than it can have been missed anew.
const (
	mostAgain = 256
	notBefore = 100 * time.Millisecond
)

// sender sends one track to one viewer. It keeps no bytes of its own of what it
// sends, and allocates nothing a packet. Send is for one goroutine, all else for any.
type sender struct {
	kind  webrtc.RTPCodecType
	bound chan struct{} // closed when it may send

	writer webrtc.TrackLocalWriter
	header rtp.Header
	paced  *counter // numbers the packets of a connection; nil where nobody asks

	mu   sync.Mutex
	sent [history]sent
	left int // halves of packets that may be sent again

	offset          atomic.Uint32 // of its timestamps
	packets, octets atomic.Uint32
	bytes           atomic.Int64 // since it was last asked
}

// sent is a packet as it was sent. Its payload is shared.
type sent struct {
	sequence uint16
	marker   bool
	stamp    uint32
	payload  []byte
	again    int64 // when it was sent again last, Unix time in milliseconds
}

// counter numbers all packets of a connection, for the other side to say which came
// when (draft-holmer-rmcat-transport-wide-cc-extensions).
type counter struct {
	extension uint8
	last      atomic.Uint32
}

func newSender(kind webrtc.RTPCodecType) *sender {
	return &sender{kind: kind, bound: make(chan struct{}), header: rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32())}}
}

// ready reports whether it may send.
func (s *sender) ready() bool {
	select {
	case <-s.bound:
		return true
	default:
		return false
	}
}

// clock is the ticks a second of its timestamps.
func (s *sender) clock() int64 {
	if s.kind == webrtc.RTPCodecTypeVideo {
		return pictureClock
	}
	return opus.Rate
}

// ID is the track's name.
func (s *sender) ID() string { return s.kind.String() }

// RID is empty: a viewer is sent one rendition at a time.
func (s *sender) RID() string { return "" }

// StreamID is the same for both tracks, so that players keep them together.
func (s *sender) StreamID() string { return "liuyun" }

// Kind says whether it is pictures or sound.
func (s *sender) Kind() webrtc.RTPCodecType { return s.kind }

// Bind is called when the connection is there.
func (s *sender) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codecs := c.CodecParameters()
	if len(codecs) == 0 {
		return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
	}
	s.writer = c.WriteStream()
	s.header.SSRC = uint32(c.SSRC())
	s.header.PayloadType = uint8(codecs[0].PayloadType)
	for _, e := range c.HeaderExtensions() {
		if e.URI == sdp.TransportCCURI && s.kind == webrtc.RTPCodecTypeVideo {
			s.paced = &counter{extension: uint8(e.ID)}
		}
	}
	if !s.ready() {
		close(s.bound)
	}
	return codecs[0], nil
}

// Unbind is called when the connection ends.
func (s *sender) Unbind(webrtc.TrackLocalContext) error { return nil }

// send sends one payload. The payload is kept until others have taken its place.
func (s *sender) send(payload []byte, stamp uint32, marker bool) error {
	s.header.SequenceNumber++
	p := sent{sequence: s.header.SequenceNumber, marker: marker, stamp: stamp, payload: payload}
	s.mu.Lock()
	s.sent[int(p.sequence)%history] = p
	s.left = min(s.left+1, 2*mostAgain)
	s.mu.Unlock()
	s.packets.Add(1)
	s.octets.Add(uint32(len(payload)))
	return s.write(&s.header, p)
}

// write sends a packet with a header that is this goroutine's own.
func (s *sender) write(h *rtp.Header, p sent) error {
	h.SequenceNumber, h.Timestamp, h.Marker = p.sequence, p.stamp, p.marker
	if s.paced != nil {
		number := s.paced.last.Add(1)
		if !h.Extension {
			if err := h.SetExtension(s.paced.extension, []byte{0, 0}); err != nil {
				return err
			}
		}
		// The header keeps the slice, which is written over.
		b := h.GetExtension(s.paced.extension)
		b[0], b[1] = byte(number>>8), byte(number)
	}
	n, err := s.writer.WriteRTP(h, p.payload)
	s.bytes.Add(int64(n))
	return err
}

// repeat sends packets again that a viewer says it has not got.
func (s *sender) repeat(n *rtcp.TransportLayerNack, now time.Time) error {
	h := rtp.Header{Version: 2, SSRC: s.header.SSRC, PayloadType: s.header.PayloadType}
	for _, pair := range n.Nacks {
		for _, sequence := range pair.PacketList() {
			p, ok := s.recall(sequence, now)
			if !ok {
				continue
			}
			if err := s.write(&h, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// recall finds a packet to send again.
func (s *sender) recall(sequence uint16, now time.Time) (sent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.sent[int(sequence)%history]
	if p.payload == nil || p.sequence != sequence || s.left < 2 || now.UnixMilli()-p.again < notBefore.Milliseconds() {
		return sent{}, false
	}
	s.left -= 2
	p.again = now.UnixMilli()
	return *p, true
}
