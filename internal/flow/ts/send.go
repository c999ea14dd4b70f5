package ts

import (
	"context"
	"io"

	"liuyun/internal/av/aac"
	"liuyun/internal/av/bits"
	"liuyun/internal/av/h264"
	"liuyun/internal/av/h265"
	"liuyun/internal/av/opus"
	"liuyun/internal/av/ts"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// Chunk is how many bytes packets are sent in: seven of them, as much as a datagram
// holds.
const Chunk = 7 * ts.PacketSize

const (
	// offset is added to all times, so that the clock before the first unit is not
	// negative.
	offset = ts.Timescale
	// ahead is how long the clock is before the DTS: sound that comes after the picture
	// that it belongs to is still in time.
	ahead = 3 * ts.Timescale / 10
	// again is how often tables are repeated for those who come in between.
	again = ts.Timescale / 4
)

// Send writes what a reader gets to w, in writes of at most Chunk bytes, until the
// reader ends, ctx does, or w fails. It returns nil at the end of the stream. Tracks
// that a transport stream cannot carry are left out; it is invalid when none is left.
func Send(ctx context.Context, r *hub.Reader, w io.Writer) error {
	s := sender{}
	for {
		item, err := r.Next(ctx)
		if err == hub.ErrEnded {
			return nil
		}
		if err != nil {
			return err
		}
		if item.Tracks != nil {
			err = s.begin(item.Tracks)
		} else {
			s.out = s.append(s.out[:0], item.Unit)
			err = write(w, s.out)
		}
		if err != nil {
			return err
		}
	}
}

// write writes packets in datagrams.
func write(w io.Writer, packets []byte) error {
	for len(packets) > 0 {
		n := min(len(packets), Chunk)
		if _, err := w.Write(packets[:n]); err != nil {
			return err
		}
		packets = packets[n:]
	}
	return nil
}

// sender makes packets of units.
type sender struct {
	mux      *ts.Muxer
	tracks   []outgoing
	out, pes []byte
	tables   int64 // DTS at which they were last written
	stale    bool  // they have to be, now
}

// outgoing is one track of the hub's stream.
type outgoing struct {
	hub.Track
	index int    // of the muxer, -1 where it is left out
	sets  []byte // parameter sets of pictures, after start codes
	head  aac.ADTS
}

// begin takes the tracks of a period.
func (s *sender) begin(tracks []hub.Track) error {
	s.tracks = make([]outgoing, len(tracks))
	var list []ts.Track
	for i, t := range tracks {
		o := outgoing{Track: t, index: -1}
		if to, err := o.setUp(); err != nil {
			return fault.Wrap(err, fault.Invalid, "the %s of the stream cannot be put into a transport stream", t.Codec)
		} else if to.Codec != "" {
			o.index = len(list)
			list = append(list, to)
		}
		s.tracks[i] = o
	}
	if len(list) == 0 || (tracks[0].Codec == hub.AV1) {
		return fault.New(fault.Invalid, "the stream is %s, which a transport stream does not carry: read it by another protocol", tracks[0].Codec)
	}
	s.stale = true
	if s.mux != nil {
		return s.mux.SetTracks(list)
	}
	var err error
	s.mux, err = ts.NewMuxer(list)
	return err
}

// setUp prepares a track, and says what it is in a transport stream.
func (o *outgoing) setUp() (ts.Track, error) {
	switch o.Codec {
	case hub.H264:
		sequence, picture, err := h264.ParameterSets(o.Config)
		o.sets = startCodes(sequence, picture)
		return ts.Track{Codec: ts.H264}, err
	case hub.H265:
		video, sequence, picture, err := h265.ParameterSets(o.Config)
		o.sets = startCodes(video, sequence, picture)
		return ts.Track{Codec: ts.H265}, err
	case hub.AAC:
		head, err := aac.ADTSOf(o.Config)
		o.head = head
		return ts.Track{Codec: ts.AAC}, err
	case hub.Opus:
		c, err := opus.Parse(o.Config)
		return ts.Track{Codec: ts.Opus, Channels: c.Channels}, err
	}
	return ts.Track{}, nil
}

// startCodes puts units after start codes.
func startCodes(kinds ...[][]byte) (b []byte) {
	for _, units := range kinds {
		for _, u := range units {
			b = append(append(b, 0, 0, 0, 1), u...)
		}
	}
	return b
}

// append appends the packets of a unit, with tables before it where they are due.
func (s *sender) append(dst []byte, u hub.Unit) []byte {
	o := &s.tracks[u.Track]
	if o.index < 0 {
		return dst
	}
	pts, dts := o.ticks(u.PTS), o.ticks(u.DTS)
	if s.stale || (u.Key && o.Codec.Video()) || dts-s.tables >= again {
		dst = s.mux.AppendTables(dst)
		s.tables, s.stale = dts, false
	}
	s.pes = o.appendPayload(s.pes[:0], u)
	return s.mux.AppendUnit(dst, o.index, ts.Unit{Data: s.pes, PTS: pts, DTS: dts, Key: u.Key, Clock: dts - ahead})
}

// ticks is a time of the track in ticks of a transport stream.
func (o *outgoing) ticks(t int64) int64 {
	return timebase.MulDiv(t, ts.Timescale, o.Clock) + offset
}

// appendPayload appends what a PES packet carries of a unit.
func (o *outgoing) appendPayload(dst []byte, u hub.Unit) []byte {
	switch o.Codec {
	case hub.H264:
		return o.appendPicture(append(dst, 0, 0, 0, 1, 9, 0xf0), u)
	case hub.H265:
		return o.appendPicture(append(dst, 0, 0, 0, 1, 35<<1, 1, 0x50), u)
	case hub.AAC:
		return append(o.head.AppendTo(dst, len(u.Data)), u.Data...)
	}
	dst = append(dst, 0x7f, 0xe0)
	size := len(u.Data)
	for ; size >= 0xff; size -= 0xff {
		dst = append(dst, 0xff)
	}
	return append(append(dst, byte(size)), u.Data...)
}

// appendPicture appends a picture's units after start codes, which are as long as the
// lengths they have in the hub.
func (o *outgoing) appendPicture(dst []byte, u hub.Unit) []byte {
	if u.Key {
		dst = append(dst, o.sets...)
	}
	for unit, err := range bits.NALUnits(u.Data, 4) {
		if err != nil {
			return dst
		}
		dst = append(append(dst, 0, 0, 0, 1), unit...)
	}
	return dst
}
