package rtmp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/amf0"
	rtmpmessage "github.com/bluenviron/gortmplib/pkg/message"

	"liuyun/internal/flow/ingest"
)

// connection is one of an encoder or of a viewer. The library that reads the first
// messages works on it, through a gate; who passes on media reads for himself. There
// are limits of time and, before it is known, of bytes.
type connection struct {
	net    net.Conn
	host   string
	viewer bool          // of the goroutine that serves it
	in     *bufio.Reader // of the goroutine that reads, as what follows
	gate   *gate
	all    uint32 // bytes that have come; it wraps as RTMP's count does

	writing sync.Mutex

	mu      sync.Mutex
	left    int64     // bytes that a stranger may still send; negative for no limit
	until   time.Time // of the handshake
	quiet   bool      // it need not send anything once it is known
	because string    // why it is to end, "" goes on
}

// readAhead is what is asked of the socket at a time.
const readAhead = 16 << 10

func newConnection(n net.Conn, now time.Time) *connection {
	c := &connection{net: n, host: ingest.HostOf(n.RemoteAddr()), gate: newGate(), left: strangerBytes, until: now.Add(strangerTime)}
	c.in = bufio.NewReaderSize(timed{c}, readAhead)
	return c
}

func (c *connection) trusted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left < 0
}

// trust takes away the limits of strangers. Who is quiet may send nothing for long.
func (c *connection) trust(quiet bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.quiet = -1, quiet
}

// kick has the next read return, and why be told.
func (c *connection) kick(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.because == "" {
		c.because = why
		_ = c.net.SetReadDeadline(time.Unix(1, 0)) // closed already: nobody reads
	}
}

func (c *connection) kicked() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.because
}

// errTooMuch ends a stranger that talks and says nothing.
var errTooMuch = errors.New("too many bytes without a stream key")

// timed reads from the socket, within the limits.
type timed struct{ *connection }

func (t timed) Read(p []byte) (int, error) {
	c := t.connection
	c.mu.Lock()
	if c.because != "" {
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	var deadline time.Time
	switch {
	case c.left >= 0:
		deadline = c.until
		if c.left == 0 {
			c.mu.Unlock()
			return 0, errTooMuch
		}
		p = p[:min(int64(len(p)), c.left)]
	case !c.quiet:
		deadline = time.Now().Add(readTime)
	}
	err := c.net.SetReadDeadline(deadline)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.net.Read(p)
	c.mu.Lock()
	if c.left >= 0 {
		c.left -= int64(n)
	}
	c.mu.Unlock()
	c.all += uint32(n)
	return n, err
}

// Read reads for the library, never beyond the end of a message, so that the library
// has nothing left when it is done.
func (c *connection) Read(p []byte) (int, error) {
	if c.in.Buffered() == 0 {
		if _, err := c.in.Peek(1); err != nil {
			return 0, err
		}
	}
	seen, err := c.in.Peek(min(len(p), c.in.Buffered()))
	if err != nil {
		return 0, err
	}
	n, err := c.gate.pass(seen)
	if err != nil {
		return 0, err
	}
	return c.in.Read(p[:n])
}

// errBetween is what a connection ends with whose first messages and media are mixed.
var errBetween = errors.New("a message is not whole where media begins")

// reader goes on reading where the library is done. An encoder's messages may be as
// large as largest says.
func (c *connection) reader(largest uint32) (*reader, error) {
	if !c.gate.between() {
		return nil, errBetween
	}
	r := &reader{chunkState: c.gate.chunkState, in: c.in}
	r.largest = largest
	return r, nil
}

// Write sends bytes that are whole chunks.
func (c *connection) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.net.Write(p)
}

// control answers a message about the connection itself. Acked is the count of bytes
// that the other side was told last.
func (c *connection) control(m message, window uint32, acked *uint32) error {
	const pingRequest, pingResponse = 6, 7
	if m.kind == userControl && len(m.body) >= 6 && binary.BigEndian.Uint16(m.body) == pingRequest {
		answer := [18]byte{2, 0, 0, 0, 0, 0, 6, userControl, 0, 0, 0, 0, 0, pingResponse}
		copy(answer[14:], m.body[2:6])
		if _, err := c.Write(answer[:]); err != nil {
			return err
		}
	}
	if window == 0 || c.all-*acked < window {
		return nil
	}
	*acked = c.all
	answer := [16]byte{2, 0, 0, 0, 0, 0, 4, acknowledge}
	binary.BigEndian.PutUint32(answer[12:], c.all)
	_, err := c.Write(answer[:])
	return err
}

// farewell closes the connection so that what was written arrives: what comes in
// meanwhile is read, for a second.
func (c *connection) farewell() {
	defer c.net.Close()
	if half, ok := c.net.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.net.SetReadDeadline(time.Now().Add(farewellTime))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.net, 4<<20))
	}
}

// tell sends the last word.
func (c *connection) tell(rtmp *gortmplib.ServerConn, level, code, text string) {
	err := rtmp.Write(&rtmpmessage.CommandAMF0{
		ChunkStreamID: 5, MessageStreamID: 0x1000000, Name: "onStatus",
		Arguments: amf0.Data{nil, amf0.Object{{Key: "level", Value: level}, {Key: "code", Value: code}, {Key: "description", Value: text}}},
	})
	if err == nil {
		c.farewell()
	}
}
