package viewer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// conn is one connection of HTTP/1.1 that is kept. A request on it allocates nothing
// but what its caller keeps: net/http costs more than the servers that are measured.
type conn struct {
	address string // host:port
	head    string // what follows the request line
	socket  net.Conn
	in      *bufio.Reader
	out     []byte
	stop    func() bool
}

func newConn(host, cookie string) *conn {
	head := " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: liuyun-viewer\r\n"
	if cookie != "" {
		head += "Cookie: " + cookie + "\r\n"
	}
	return &conn{address: host, head: head + "\r\n", in: bufio.NewReaderSize(nil, 64<<10)}
}

// get asks for a target, as in "/a/b?c". The body is appended to into, or thrown
// away where that is nil. It ends when ctx does.
func (c *conn) get(ctx context.Context, target string, into *[]byte) (a answer, err error) {
	for {
		kept := c.socket != nil
		if err = c.open(ctx); err != nil {
			return a, err
		}
		c.out = append(append(append(c.out[:0], "GET "...), target...), c.head...)
		if _, err = c.socket.Write(c.out); err == nil {
			_, err = c.in.Peek(1)
		}
		if err == nil {
			break
		}
		c.close()
		if !kept || ctx.Err() != nil {
			return a, err
		}
		// The server has closed what was kept: once more on a new one.
	}
	if a, err = c.read(into); err != nil || a.last {
		c.close()
	}
	return a, err
}

func (c *conn) open(ctx context.Context) error {
	if c.socket != nil {
		return nil
	}
	socket, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	c.socket = socket
	c.in.Reset(socket)
	c.stop = context.AfterFunc(ctx, func() { socket.Close() })
	return nil
}

func (c *conn) close() {
	if c.socket == nil {
		return
	}
	c.stop()
	c.socket.Close()
	c.socket = nil
}

// answer is what the head of an answer says.
type answer struct {
	status  int
	length  int64 // of the body; −1 is unknown
	chunked bool
	last    bool // the connection ends with it
}

// read reads an answer.
func (c *conn) read(into *[]byte) (answer, error) {
	a, err := c.readHead()
	if err != nil {
		return a, err
	}
	switch {
	case a.chunked:
		a.length, err = c.readChunks(into)
	case a.length < 0:
		return a, errors.New("an answer without a length")
	default:
		err = c.readBody(a.length, into)
	}
	return a, err
}

func (c *conn) readHead() (answer, error) {
	a := answer{length: -1}
	line, err := c.line()
	if err != nil {
		return a, err
	}
	// HTTP/1.1 200 OK
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return a, fmt.Errorf("%q is no answer", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, err
	}
	for {
		if line, err = c.line(); err != nil || len(line) == 0 {
			return a, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			a.length, err = strconv.ParseInt(string(value), 10, 64)
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			a.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Connection")):
			a.last = bytes.EqualFold(value, []byte("close"))
		}
		if err != nil {
			return a, err
		}
	}
}

// line is valid until the next read.
func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

func (c *conn) readBody(length int64, into *[]byte) error {
	if into == nil {
		_, err := c.in.Discard(int(length))
		return err
	}
	begin := len(*into)
	*into = append(*into, make([]byte, length)...)
	_, err := io.ReadFull(c.in, (*into)[begin:])
	return err
}

func (c *conn) readChunks(into *[]byte) (sum int64, err error) {
	for {
		line, err := c.line()
		if err != nil {
			return sum, err
		}
		size, err := strconv.ParseInt(string(line), 16, 64)
		if err != nil {
			return sum, err
		}
		if err := c.readBody(size, into); err != nil {
			return sum, err
		}
		sum += size
		if _, err := c.line(); err != nil || size == 0 {
			return sum, err
		}
	}
}
