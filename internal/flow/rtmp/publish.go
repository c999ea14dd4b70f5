package rtmp

import (
	"io"
	"time"

	"github.com/bluenviron/gortmplib/pkg/amf0"

	"liuyun/internal/av/opus"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// publisher hands on what one encoder sends.
type publisher struct {
	in      ingest.Input
	stamp   ingest.Unwrapper // of pictures and sound, which have one clock
	lengths int              // bytes of the length of a NAL unit
	units   [][]byte         // of one picture; of the call

	pictures, sound track
}

func newPublisher(in ingest.Input) *publisher {
	return &publisher{in: in, stamp: ingest.Unwrapper{Bits: 32}, lengths: 4}
}

// receive passes on what comes until the connection ends, or must.
func (p *publisher) receive(c *connection) error {
	r, err := c.reader(largestMedia)
	if err != nil {
		return err
	}
	var acked uint32
	for {
		m, err := r.next()
		if err != nil {
			return err
		}
		if err := p.message(m, time.Now()); err != nil {
			return err
		}
		if err := c.control(m, r.window, &acked); err != nil {
			return err
		}
	}
}

// message takes one message. Io.EOF is the encoder's word that it has done.
func (p *publisher) message(m message, now time.Time) error {
	switch m.kind {
	case videoMessage:
		return p.video(m, now)
	case audioMessage:
		return p.audio(m, now)
	case dataAMF0:
		p.metadata(m.body)
	case dataAMF3:
		p.metadata(m.body[min(1, len(m.body)):]) // a byte, then as the other
	case commandAMF0, commandAMF3:
		if ends(m) {
			return io.EOF
		}
	}
	return nil
}

// ends reports whether a command is one with which encoders and viewers go.
func ends(m message) bool {
	body := m.body
	if m.kind == commandAMF3 {
		body = body[min(1, len(body)):]
	}
	const text = 2 // marker of a string
	if len(body) < 3 || body[0] != text {
		return false
	}
	length := int(body[1])<<8 | int(body[2])
	if len(body) < 3+length {
		return false
	}
	switch string(body[3 : 3+length]) {
	case "FCUnpublish", "deleteStream", "closeStream":
		return true
	}
	return false
}

// metadata learns of what the encoder will send.
func (p *publisher) metadata(body []byte) {
	payload, err := amf0.Unmarshal(body)
	if err != nil {
		return // nothing depends on it
	}
	for _, value := range payload {
		var o amf0.Object
		switch v := value.(type) {
		case amf0.Object:
			o = v
		case amf0.ECMAArray:
			o = amf0.Object(v)
		default:
			continue
		}
		if pictures, sound := names(o, "videocodecid"), names(o, "audiocodecid"); pictures || sound {
			p.in.Expect(pictures, sound)
		}
	}
}

// names reports whether a codec is named; 0 is none.
func names(o amf0.Object, field string) bool {
	value, found := o.Get(field)
	return found && value != float64(0)
}

// ticks are those of a millisecond.
const ticks = ingest.Timescale / 1000

func (p *publisher) video(m message, now time.Time) error {
	t, err := videoTag(m.body, &p.pictures)
	switch {
	case err == errTag:
		return fault.Wrap(err, fault.Invalid, "the encoder's pictures cannot be read")
	case err != nil:
		return err
	case t.codec == "":
		return nil
	case t.start:
		return p.configure(t)
	}
	if p.units, err = ingest.AppendUnits(p.units[:0], t.codec, p.lengths, t.data); err != nil {
		p.units = nil // nothing of it can be used, but it has a time
	}
	dts := p.stamp.Unwrap(uint64(m.stamp))
	return p.in.Picture(ingest.Picture{Units: p.units, DTS: dts * ticks, PTS: (dts + t.offset) * ticks, At: now})
}

// configure takes a configuration record.
func (p *publisher) configure(t tag) error {
	if len(t.data) == 0 {
		return nil // some say so that none has changed
	}
	p.lengths = ingest.LengthSize(t.codec, t.data)
	return p.in.Video(t.codec, t.data)
}

func (p *publisher) audio(m message, now time.Time) error {
	t, err := audioTag(m.body, &p.sound)
	switch {
	case err == errTag:
		return fault.Wrap(err, fault.Invalid, "the encoder's sound cannot be read")
	case err != nil:
		return err
	case t.codec == "" || (t.start && len(t.data) == 0):
		return nil
	case t.start && t.codec == hub.Opus:
		c, err := opus.ParseHead(t.data)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "the encoder's Opus configuration cannot be read")
		}
		return p.in.Audio(t.codec, c.Record())
	case t.start:
		return p.in.Audio(t.codec, t.data)
	}
	return p.in.Sound(ingest.Sound{Data: t.data, PTS: p.stamp.Unwrap(uint64(m.stamp)) * ticks, At: now})
}
