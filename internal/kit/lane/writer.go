package lane

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// writer is the http.ResponseWriter of a connection. What has a Content-Length leaves
// with its first bytes in one piece; what is short gets one; else it goes in chunks.
type writer struct {
	c       *conn
	header  http.Header
	status  int
	begun   bool   // the head has left, or is in held's place
	held    []byte // of a body without a length
	length  int64  // of the body; −1 is unknown
	written int64
	chunked bool
	timed   bool // has a deadline
	failed  error
}

// shortest is how much of a body without a length is held until there is more.
const shortest = 2048

func (w *writer) begin(c *conn) {
	if w.timed {
		_ = c.SetWriteDeadline(time.Time{}) // if it cannot be, writing cannot either
	}
	if w.header == nil {
		w.header = make(http.Header)
	}
	clear(w.header)
	*w = writer{c: c, header: w.header, held: w.held[:0], length: -1}
}

// Header are the fields of the answer.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader sets the status. One below 200 is sent at once, and an answer follows it;
// but after 101 comes something else, which nobody has asked for here, and the connection
// ends.
func (w *writer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("lane: %d is no status", status)) // as in net/http
	}
	switch {
	case w.status != 0 || w.begun || w.failed != nil:
	case status >= http.StatusOK:
		w.status = status
	case status == http.StatusSwitchingProtocols:
		w.failed = errSwitch
	default:
		w.c.out = append(w.fields(statusLine(w.c.out[:0], status)), "\r\n"...)
		_ = w.put(append(w.c.pieces[:0], w.c.out)) // it is kept for the answer
	}
}

// Write sends a piece of the body.
func (w *writer) Write(p []byte) (int, error) {
	if w.failed != nil {
		return 0, w.failed
	}
	if !w.begun {
		w.measure()
		if w.length < 0 && len(w.held)+len(p) <= shortest {
			w.held = append(w.held, p...)
			return len(p), nil
		}
		w.chunked = w.length < 0
	}
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	if err := w.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// measure reads the length that a handler has set.
func (w *writer) measure() {
	if text := w.header.Get("Content-Length"); text != "" {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
			w.length = n
		}
	}
	if !hasBody(w.status) {
		w.length = 0
	}
}

func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// send sends what is held and p, behind the head if that has not left.
func (w *writer) send(p []byte) error {
	pieces := w.c.pieces[:0]
	if !w.begun {
		w.begun = true
		pieces = append(pieces, w.head())
	}
	bodies := [2][]byte{w.held, p}
	for _, body := range bodies {
		if len(body) == 0 {
			continue
		}
		if w.chunked {
			pieces = append(pieces, append(strconv.AppendInt(nil, int64(len(body)), 16), "\r\n"...), body, []byte("\r\n"))
		} else {
			pieces = append(pieces, body)
		}
		w.written += int64(len(body))
	}
	w.held = w.held[:0]
	return w.put(pieces)
}

func (w *writer) put(pieces net.Buffers) error {
	if len(pieces) == 0 {
		return nil
	}
	w.c.pieces = pieces
	left := pieces // WriteTo takes from it
	_, w.failed = left.WriteTo(w.c.TCPConn)
	clear(w.c.pieces)
	return w.failed
}

// head is everything before the body.
func (w *writer) head() []byte {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	b := w.fields(statusLine(w.c.out[:0], w.status))
	if _, set := w.header["Date"]; !set {
		b = append(time.Now().UTC().AppendFormat(append(b, "Date: "...), http.TimeFormat), "\r\n"...)
	}
	if w.c.closing.Load() {
		b = append(b, "Connection: close\r\n"...)
	}
	switch {
	case w.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case hasBody(w.status):
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), w.length, 10), "\r\n"...)
	}
	w.c.out = append(b, "\r\n"...)
	return w.c.out
}

func statusLine(b []byte, status int) []byte {
	b = append(strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(status), 10), ' ')
	return append(append(b, http.StatusText(status)...), "\r\n"...)
}

// oneLine keeps a value from being two fields.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// fields appends those that a handler has set. How the body is framed is not for it to say,
// and no fields follow the body: who wants them asks by TE, and is not here.
func (w *writer) fields(b []byte) []byte {
	for name, values := range w.header {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Trailer":
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) {
			continue
		}
		for _, value := range values {
			if strings.ContainsAny(value, "\r\n") {
				value = oneLine.Replace(value)
			}
			b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
		}
	}
	return b
}

// SetWriteDeadline bounds how long this answer may take to leave.
func (w *writer) SetWriteDeadline(deadline time.Time) error {
	w.timed = true
	return w.c.SetWriteDeadline(deadline)
}

// Flush sends what is held.
func (w *writer) Flush() { _ = w.FlushError() } // it is kept for the next

// FlushError sends what is held. It fails where the client is gone.
func (w *writer) FlushError() error {
	if w.failed != nil {
		return w.failed
	}
	if !w.begun {
		w.measure()
		w.chunked = w.length < 0
	}
	return w.send(nil)
}

// ReadFrom sends what a reader has; a file goes by sendfile where its length is known.
func (w *writer) ReadFrom(from io.Reader) (int64, error) {
	if !w.begun {
		w.measure()
		w.chunked = w.length < 0
	}
	if w.length < 0 {
		return io.Copy(onlyWriter{w}, from)
	}
	if err := w.send(nil); err != nil {
		return 0, err
	}
	if part, ok := from.(*io.LimitedReader); !ok || part.N > w.length-w.written { // sendfile sees through one
		from = io.LimitReader(from, w.length-w.written)
	}
	n, err := w.c.TCPConn.ReadFrom(from)
	w.written += n
	w.failed = err
	return n, err
}

type onlyWriter struct{ io.Writer }

// errSwitch is what an answer fails with that wants to be another protocol.
var errSwitch = errors.New("the protocol cannot be changed here")

// errShort is what an answer fails with that has fewer bytes than it has said.
var errShort = errors.New("the answer is shorter than its length")

// end sends what is left, and reports whether the connection can go on.
func (w *writer) end() bool {
	if w.failed != nil {
		return false
	}
	if !w.begun {
		w.measure()
		if w.length < 0 {
			w.length = int64(len(w.held))
		}
	}
	if !w.begun || len(w.held) > 0 {
		if w.send(nil) != nil {
			return false
		}
	}
	if w.chunked {
		return w.put(append(w.c.pieces[:0], []byte("0\r\n\r\n"))) == nil
	}
	if w.written != w.length {
		w.failed = errShort
	}
	return w.failed == nil
}
