package rtmp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Types of messages (RTMP 1.0, 5.4 and 7.1).
const (
	setChunkSize  = 1
	abortMessage  = 2
	acknowledge   = 3
	userControl   = 4
	setAckWindow  = 5
	audioMessage  = 8
	videoMessage  = 9
	dataAMF3      = 15
	commandAMF3   = 17
	dataAMF0      = 18
	commandAMF0   = 20
	longTimestamp = 0xffffff
)

// Bounds of what comes in.
const (
	firstChunk   = 128 // bytes, until another size is set
	largestChunk = 8 << 20
	largestMedia = 8 << 20
	largestWord  = 64 << 10 // of a message that is no media
	mostBegun    = 12 << 20
)

// chunkStream is what a chunk may leave out because an earlier one had it.
type chunkStream struct {
	known    bool
	extended bool   // timestamps have 32 bits
	stamp    uint32 // of the message, milliseconds
	delta    uint32
	length   uint32 // of the message
	got      uint32 // of it
	message  byte   // type
	body     []byte // what has come of it, where it is kept
}

// chunkState is where a connection's chunk streams are.
type chunkState struct {
	size    uint32 // the most bytes of a message in a chunk
	largest uint32 // and of audio and video in a message
	streams [64]chunkStream
	begun   int64  // bytes of messages that are not whole yet
	window  uint32 // the other side wants to hear each time that so many bytes have come; 0 does not
}

func newChunkState() chunkState { return chunkState{size: firstChunk, largest: largestMedia} }

// headerSize is that of a chunk's header without its first byte, by the type of it.
func headerSize(kind byte) int { return [4]int{11, 7, 3, 0}[kind] }

// header reads a chunk's header without its first byte, and reports whether four
// bytes of a timestamp follow it, see stamped.
func (c *chunkState) header(s *chunkStream, kind byte, header []byte) (long bool, err error) {
	switch {
	case kind != 0 && !s.known:
		return false, fmt.Errorf("a chunk stream begins in the middle")
	case kind != 3 && s.got > 0:
		return false, fmt.Errorf("a message begins within another")
	}
	if kind < 2 {
		s.known, s.message = true, header[6]
		s.length = uint32(header[3])<<16 | uint32(header[4])<<8 | uint32(header[5])
		most := uint32(largestWord)
		if s.message == audioMessage || s.message == videoMessage {
			most = c.largest
		}
		if s.length > most {
			return false, fmt.Errorf("a message of %d bytes, type %d", s.length, s.message)
		}
	}
	if kind == 3 {
		if s.got == 0 && !s.extended {
			s.stamp += s.delta
		}
		return s.extended, nil
	}
	field := uint32(header[0])<<16 | uint32(header[1])<<8 | uint32(header[2])
	s.extended = field == longTimestamp
	if !s.extended {
		s.stamped(kind, field)
	}
	return s.extended, nil
}

// stamped takes a timestamp, or what it is more than the one before.
func (s *chunkStream) stamped(kind byte, value uint32) {
	switch kind {
	case 0:
		s.stamp, s.delta = value, 0
	case 3:
		if s.got == 0 {
			s.stamp += s.delta
		}
	default:
		s.delta = value
		s.stamp += value
	}
}

// begin is called where a chunk's body begins, and returns its length.
func (c *chunkState) begin(s *chunkStream) (int, error) {
	if s.got == 0 {
		if c.begun += int64(s.length); c.begun > mostBegun {
			return 0, fmt.Errorf("%d bytes of messages at a time", c.begun)
		}
		s.body = s.body[:0]
	}
	return int(min(s.length-s.got, c.size)), nil
}

// end is called where a chunk's body ends. It reports whether its message is whole,
// and obeys those that are about chunks.
func (c *chunkState) end(s *chunkStream) (whole bool, err error) {
	if s.got < s.length {
		return false, nil
	}
	c.begun -= int64(s.length)
	s.got = 0
	if !c.concerns(s) || len(s.body) < 4 {
		return true, nil
	}
	value := binary.BigEndian.Uint32(s.body)
	switch s.message {
	case setChunkSize:
		if value == 0 || value > largestChunk {
			return false, fmt.Errorf("chunks of %d bytes", value)
		}
		c.size = value
	case abortMessage:
		if value >= uint32(len(c.streams)) {
			return true, nil
		}
		if aborted := &c.streams[value]; aborted.got > 0 {
			c.begun -= int64(aborted.length)
			aborted.got, aborted.length = 0, 0
		}
	case setAckWindow:
		c.window = value
	}
	return true, nil
}

// concerns reports whether a message is about chunks.
func (c *chunkState) concerns(s *chunkStream) bool {
	return s.message == setChunkSize || s.message == abortMessage || s.message == setAckWindow
}

// message is one message. Its body holds until the next one is read.
type message struct {
	kind  byte
	stamp uint32 // milliseconds
	body  []byte
}

// reader reads messages, once the library has said hello. It allocates nothing for a
// message that is no larger than those before it.
type reader struct {
	chunkState
	in   *bufio.Reader
	last *chunkStream // whose body was handed out
}

// keptBody is how large a buffer a chunk stream keeps.
const keptBody = 1 << 20

// next returns the next message that is whole.
func (r *reader) next() (message, error) {
	if r.last != nil && cap(r.last.body) > keptBody {
		r.last.body = nil
	}
	r.last = nil
	for {
		s, err := r.chunk()
		if err != nil {
			return message{}, err
		}
		if s != nil {
			r.last = s
			return message{s.message, s.stamp, s.body}, nil
		}
	}
}

// chunk reads a chunk, and returns its stream where that has a whole message now.
func (r *reader) chunk() (*chunkStream, error) {
	basic, err := r.in.ReadByte()
	if err != nil {
		return nil, err
	}
	id, kind := basic&0x3f, basic>>6
	if id < 2 {
		return nil, fmt.Errorf("a chunk stream with a long id")
	}
	s := &r.streams[id]
	header, err := r.in.Peek(headerSize(kind))
	if err != nil {
		return nil, unexpected(err)
	}
	long, err := r.header(s, kind, header)
	if err != nil {
		return nil, err
	}
	_, _ = r.in.Discard(len(header)) // is there
	if long {
		value, err := r.in.Peek(4)
		if err != nil {
			return nil, unexpected(err)
		}
		s.stamped(kind, binary.BigEndian.Uint32(value))
		_, _ = r.in.Discard(4) // is there
	}
	if err := r.read(s); err != nil {
		return nil, err
	}
	if whole, err := r.end(s); err != nil || !whole {
		return nil, err
	}
	return s, nil
}

// read reads a chunk's body. What is claimed to come is not believed: the buffer
// grows with what has come.
func (r *reader) read(s *chunkStream) error {
	left, err := r.begin(s)
	if err != nil {
		return err
	}
	for left > 0 {
		if len(s.body) == cap(s.body) {
			grown := make([]byte, len(s.body), min(int(s.length), max(2*cap(s.body), 4096)))
			copy(grown, s.body)
			s.body = grown
		}
		part := s.body[len(s.body):min(cap(s.body), len(s.body)+left)]
		if _, err := io.ReadFull(r.in, part); err != nil {
			return unexpected(err)
		}
		s.body = s.body[:len(s.body)+len(part)]
		s.got += uint32(len(part))
		left -= len(part)
	}
	return nil
}

// unexpected says that the end came where none should.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
