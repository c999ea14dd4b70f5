package rtmp

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"time"

	"github.com/bluenviron/gortmplib/pkg/amf0"

	"liuyun/internal/av/opus"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// player sends a stream to one viewer. What it sends lies in the hub's units; nothing
// is copied, and nothing is allocated for a unit.
type player struct {
	c    *connection
	sent func(bytes int64)

	tracks []hub.Track
	video  int // the track of each that is sent; -1 is none
	audio  int
	begun  bool
	base   int64 // the time of the stream that is 0 for the viewer, milliseconds
	newest int64 // what was sent last

	heads  []byte // headers of what waits to be sent
	pieces [][]byte
	out    net.Buffers
	joined []byte // the same in one piece, for connections that have to encrypt it
	waits  int    // bytes
	sounds int    // frames of sound among what waits
}

const (
	playChunk   = 65536 // bytes, as the library has told the viewer
	playVideo   = 6     // chunk streams
	playAudio   = 4
	playData    = 7
	mostWaiting = 256 << 10
	mostSounds  = 4
)

// play sends the stream until it ends, ctx does, or the viewer is gone. A viewer who is
// too slow gets what the hub still has, from a key frame on; one who takes nothing for
// as long as a write may last is sent away.
func (p *player) play(ctx context.Context, source *hub.Stream) error {
	p.video, p.audio = -1, -1
	r := source.Read()
	for {
		item, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if item.Tracks != nil {
			err = p.begin(item.Tracks)
		} else {
			p.unit(&item.Unit)
		}
		if err != nil {
			return err
		}
		// Sound goes with the next picture: one write for both.
		holds := p.video >= 0 && p.sounds > 0 && p.sounds == len(p.pieces)/2 && p.sounds < mostSounds
		if p.waits == 0 || (p.waits < mostWaiting && (holds || r.Ready())) {
			continue
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
}

// begin tells what is coming.
func (p *player) begin(tracks []hub.Track) error {
	p.tracks, p.video, p.audio = tracks, -1, -1
	for i := range tracks {
		switch {
		case tracks[i].Codec.Video() && p.video < 0:
			p.video = i
		case !tracks[i].Codec.Video() && p.audio < 0:
			p.audio = i
		}
	}
	info, err := p.metadata()
	if err != nil {
		return err
	}
	p.send(p.open(), playData, dataAMF0, info)
	if p.video >= 0 {
		t := &tracks[p.video]
		at := p.open()
		p.heads = appendVideoHead(p.heads, t.Codec, true, true, 0)
		p.send(at, playVideo, videoMessage, t.Config)
	}
	if p.audio >= 0 {
		t := &tracks[p.audio]
		config := t.Config
		if t.Codec == hub.Opus {
			c, err := opus.Parse(config)
			if err != nil {
				return err
			}
			config = c.Head()
		}
		at := p.open()
		p.heads = appendAudioHead(p.heads, t.Codec, true)
		p.send(at, playAudio, audioMessage, config)
	}
	return nil
}

// metadata is the message onMetaData.
func (p *player) metadata() ([]byte, error) {
	about := amf0.ECMAArray{}
	add := func(key string, value any) { about = append(about, amf0.ObjectEntry{Key: key, Value: value}) }
	if p.video >= 0 {
		t := &p.tracks[p.video]
		add("videocodecid", codecNumber(t.Codec))
		add("width", float64(t.Width))
		add("height", float64(t.Height))
		if t.Rate.Valid() {
			add("framerate", float64(t.Rate.Num)/float64(t.Rate.Den))
		}
	}
	if p.audio >= 0 {
		t := &p.tracks[p.audio]
		add("audiocodecid", codecNumber(t.Codec))
		add("audiosamplerate", float64(t.Clock))
		add("audiochannels", float64(t.Channels))
		add("stereo", t.Channels == 2)
	}
	return amf0.Data{"onMetaData", about}.Marshal()
}

// codecNumber is how metadata names a codec: FLV's number, or a FourCC as a number.
func codecNumber(c hub.Codec) float64 {
	switch c {
	case hub.H264:
		return 7
	case hub.AAC:
		return 10
	}
	return float64(binary.BigEndian.Uint32([]byte(fourOf(c))))
}

func fourOf(c hub.Codec) string {
	switch c {
	case hub.H265:
		return fourHEVC
	case hub.AV1:
		return fourAV1
	}
	return fourOpus
}

// unit sends one picture or frame.
func (p *player) unit(u *hub.Unit) {
	if u.Track != p.video && u.Track != p.audio {
		return
	}
	t := &p.tracks[u.Track]
	dts := milliseconds(u.DTS, t.Clock)
	if !p.begun {
		p.begun, p.base = true, dts
	}
	if dts < p.base {
		return // sound from before the picture that the viewer begins with
	}
	p.newest = dts - p.base
	at := p.open()
	if u.Track == p.video {
		p.heads = appendVideoHead(p.heads, t.Codec, false, u.Key, milliseconds(u.PTS, t.Clock)-dts)
		p.send(at, playVideo, videoMessage, u.Data)
		return
	}
	p.sounds++
	p.heads = appendAudioHead(p.heads, t.Codec, false)
	p.send(at, playAudio, audioMessage, u.Data)
}

func milliseconds(at, clock int64) int64 { return timebase.MulDiv(at, 1000, clock) }

// appendVideoHead appends what stands before a picture, or before what pictures are
// decoded with.
func appendVideoHead(dst []byte, c hub.Codec, start, key bool, offset int64) []byte {
	kind := byte(2)
	if key {
		kind = 1
	}
	late := [3]byte{byte(offset >> 16), byte(offset >> 8), byte(offset)}
	if c == hub.H264 {
		packet := byte(plainFrames)
		if start {
			packet = exStart
		}
		return append(dst, kind<<4|7, packet, late[0], late[1], late[2])
	}
	packet := byte(exFrames)
	if start {
		packet = exStart
	}
	dst = append(dst, 0x80|kind<<4|packet)
	dst = append(dst, fourOf(c)...)
	if c == hub.H265 && !start {
		dst = append(dst, late[:]...)
	}
	return dst
}

func appendAudioHead(dst []byte, c hub.Codec, start bool) []byte {
	packet := byte(exFrames)
	if start {
		packet = exStart
	}
	if c == hub.AAC {
		return append(dst, 0xaf, packet)
	}
	return append(append(dst, 0x90|packet), fourOf(c)...)
}

// longestHeader is that of a message's first chunk.
const longestHeader = 1 + 11 + 4

// open begins a message, and returns what send wants to know. The first bytes of its
// body are appended to heads.
func (p *player) open() int {
	at := len(p.heads)
	p.heads = append(p.heads, make([]byte, longestHeader)...)
	return at
}

// send puts a message that was opened into what waits, with data as the rest of its
// body.
func (p *player) send(at int, stream, kind byte, data []byte) {
	head := p.heads[at:]
	body := len(head) - longestHeader
	stamp, long := uint32(p.newest), p.newest >= longTimestamp
	field := stamp
	if long {
		field = longTimestamp
		binary.BigEndian.PutUint32(head[12:], stamp)
	} else {
		head = head[4:]
	}
	length := body + len(data)
	copy(head, []byte{
		stream, byte(field >> 16), byte(field >> 8), byte(field), byte(length >> 16), byte(length >> 8), byte(length), kind, 1, 0, 0, 0,
	})
	p.pieces = append(p.pieces, head)
	p.waits += len(head) + len(data)
	first := playChunk - body
	for len(data) > first {
		p.pieces = append(p.pieces, data[:first], p.again(stream, stamp, long))
		data, first = data[first:], playChunk
	}
	p.pieces = append(p.pieces, data)
}

// again is the header of a further chunk of a message.
func (p *player) again(stream byte, stamp uint32, long bool) []byte {
	at := len(p.heads)
	p.heads = append(p.heads, 0xc0|stream)
	if long {
		p.heads = binary.BigEndian.AppendUint32(p.heads, stamp)
	}
	p.waits += len(p.heads) - at
	return p.heads[at:]
}

// flush sends what waits.
func (p *player) flush() error {
	c := p.c
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.net.SetWriteDeadline(time.Now().Add(playTime))
	if err == nil {
		if plain, ok := c.net.(*net.TCPConn); ok {
			p.out = p.pieces
			_, err = p.out.WriteTo(plain)
		} else {
			p.joined = p.joined[:0]
			for _, piece := range p.pieces {
				p.joined = append(p.joined, piece...)
			}
			_, err = c.net.Write(p.joined)
		}
	}
	p.sent(int64(p.waits))
	clear(p.pieces)
	p.pieces, p.heads, p.waits, p.sounds = p.pieces[:0], p.heads[:0], 0, 0
	return err
}

// listen reads what a viewer says until it goes.
func (c *connection) listen() error {
	r, err := c.reader(largestWord)
	if err != nil {
		return err
	}
	var acked uint32
	for {
		m, err := r.next()
		if err != nil {
			return err
		}
		if (m.kind == commandAMF0 || m.kind == commandAMF3) && ends(m) {
			return io.EOF
		}
		if err := c.control(m, r.window, &acked); err != nil {
			return err
		}
	}
}
