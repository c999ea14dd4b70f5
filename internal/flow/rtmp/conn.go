package rtmp

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/message"
)

// connection is one encoder's. It is the reader and writer that the library works
// on, with limits of time and, before there is a key, of bytes.
type connection struct {
	net  net.Conn
	host string
	gate *gate // of the goroutine that reads

	mu      sync.Mutex
	left    int64     // bytes that a stranger may still send; negative for no limit
	until   time.Time // of the handshake
	because string    // why it is to end, "" goes on
}

func newConnection(n net.Conn, now time.Time) *connection {
	host, _, _ := net.SplitHostPort(n.RemoteAddr().String())
	return &connection{net: n, host: host, gate: newGate(), left: strangerBytes, until: now.Add(strangerTime)}
}

func (c *connection) trusted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left < 0
}

func (c *connection) trust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = -1
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

// errTooMuch ends a stranger that talks and shows no key.
var errTooMuch = errors.New("too many bytes without a stream key")

// Read reads what the encoder sends.
func (c *connection) Read(p []byte) (int, error) {
	c.mu.Lock()
	if c.because != "" {
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	deadline := time.Now().Add(readTime)
	if c.left >= 0 {
		deadline = c.until
		if c.left == 0 {
			c.mu.Unlock()
			return 0, errTooMuch
		}
		p = p[:min(int64(len(p)), c.left)]
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
	if refused := c.gate.pass(p[:n]); refused != nil {
		return 0, refused
	}
	return n, err
}

// Write sends to the encoder.
func (c *connection) Write(p []byte) (int, error) {
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.net.Write(p)
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
	err := rtmp.Write(&message.CommandAMF0{
		ChunkStreamID: 5, MessageStreamID: 0x1000000, Name: "onStatus",
		Arguments: amf0.Data{nil, amf0.Object{{Key: "level", Value: level}, {Key: "code", Value: code}, {Key: "description", Value: text}}},
	})
	if err == nil {
		c.farewell()
	}
}
