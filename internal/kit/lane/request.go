package lane

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// conn is a connection whose requests are answered here.
type conn struct {
	*net.TCPConn
	remote  string
	closing *atomic.Bool // of the listener
	buffer  []byte
	filled  int // bytes of buffer

	// What the fields of the last request said: those of the next are usually the same,
	// byte for byte.
	fields []byte
	header http.Header
	host   string

	writer writer
	out    []byte
	pieces net.Buffers
}

// largest is how long a request may be; others are for the server behind.
const largest = 4096

// errNotHere is what next returns for what is for the server behind.
var errNotHere = errors.New("not for the lane")

// next makes r the next request. The first byte may take as long as wait, the others as
// long as the lane says.
func (c *conn) next(r *http.Request, l *Lane, wait time.Duration) error {
	if c.buffer == nil {
		c.buffer = make([]byte, largest)
	}
	end := -1
	for first := true; ; first = false {
		got := c.buffer[:c.filled]
		if !bytes.HasPrefix(got, []byte(beginning)[:min(len(beginning), len(got))]) || bareLine(got) {
			return errNotHere
		}
		if end = bytes.Index(got, []byte(endOfRequest)); end >= 0 {
			break
		}
		if first || wait != l.Header {
			if c.filled > 0 {
				wait = l.Header
			}
			if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
				return err
			}
		}
		if c.filled == len(c.buffer) {
			return errNotHere
		}
		n, err := c.Read(c.buffer[c.filled:])
		if err != nil {
			return err
		}
		c.filled += n
	}
	if !c.parse(r, l.Takes, c.buffer[:end+len(endOfRequest)]) {
		return errNotHere
	}
	c.filled = copy(c.buffer, c.buffer[end+len(endOfRequest):c.filled])
	return nil
}

// bareLine reports whether a line ends without a carriage return.
func bareLine(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return false
		}
		if i == 0 || text[i-1] != '\r' {
			return true
		}
		text = text[i+1:]
	}
}

// beginning is what each request begins with that is for the lane.
const beginning = "GET /"

// endOfRequest is what each ends with that has no body.
const endOfRequest = "\r\n\r\n"

// parse makes r the request of a text without bare lines, and reports whether it understands
// all of that.
func (c *conn) parse(r *http.Request, takes func(string) bool, text []byte) bool {
	line, fields, _ := bytes.Cut(text, []byte("\r\n"))
	target, ok := bytes.CutPrefix(line, []byte("GET "))
	if !ok {
		return false
	}
	if target, ok = bytes.CutSuffix(target, []byte(" HTTP/1.1")); !ok || !plain(target) {
		return false
	}
	uri := string(target)
	address, err := url.ParseRequestURI(uri)
	if err != nil || !takes(address.Path) || !c.understand(fields) {
		return false
	}
	r.URL = address
	r.Header, r.Host, r.RemoteAddr, r.RequestURI = c.header, c.host, c.remote, uri
	return true
}

// plain reports whether a target is a path and a query that mean what they say: nothing
// is escaped, empty or relative in the path.
func plain(target []byte) bool {
	path, _, _ := bytes.Cut(target, []byte("?"))
	for _, b := range target {
		if b <= ' ' || b >= 0x7f || b == '#' {
			return false
		}
	}
	return len(path) > 0 && path[0] == '/' && !bytes.ContainsAny(path, "%\\") && !bytes.Contains(path, []byte("//")) && !bytes.Contains(path, []byte("/."))
}

// understand reads the fields of a request as net/http does, and reports whether all of them
// are such as change nothing here.
func (c *conn) understand(fields []byte) bool {
	if c.header != nil && bytes.Equal(fields, c.fields) {
		return true
	}
	read, err := textproto.NewReader(bufio.NewReaderSize(bytes.NewReader(fields), len(fields))).ReadMIMEHeader()
	if err != nil {
		return false
	}
	header := http.Header(read)
	hosts := header["Host"]
	delete(header, "Host")
	if len(hosts) != 1 || hosts[0] == "" || !httpguts.ValidHostHeader(hosts[0]) {
		return false
	}
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) || !ordinary(name, values) {
			return false
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return false
			}
		}
	}
	c.fields, c.header, c.host = append(c.fields[:0], fields...), header, hosts[0]
	return true
}

// ordinary reports whether a field changes nothing here.
func ordinary(name string, values []string) bool {
	switch name {
	case "Connection":
		return len(values) == 1 && strings.EqualFold(values[0], "keep-alive")
	case "Pragma", "Range", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Http2-Settings",
		"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range":
		return false
	}
	return true
}
