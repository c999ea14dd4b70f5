package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// largestMessage bounds one line and one message of an event stream.
const largestMessage = 4 << 20

var errLongMessage = errors.New("a message of the event stream is too long")

// message is one message of an event stream.
type message struct {
	id   string // its own, "" when it has none
	kind string
	data []byte
}

// eventReader reads an event stream as the HTML standard describes it, "Server-
// sent events", with the difference that an id holds for its own message only.
type eventReader struct {
	lines *bufio.Scanner
}

func newEventReader(r io.Reader) *eventReader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), largestMessage)
	return &eventReader{lines}
}

// next returns the next message that has data. At the end of the stream it
// returns io.ErrUnexpectedEOF: a message that is not ended does not count.
func (r *eventReader) next() (message, error) {
	m := message{kind: "message"}
	hasData := false
	for r.lines.Scan() {
		line := r.lines.Bytes()
		if len(line) == 0 {
			if hasData {
				return m, nil
			}
			m = message{kind: "message"}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			if !strings.ContainsAny(string(value), "\x00\r") {
				m.id = string(value)
			}
		case "event":
			m.kind = string(value)
		case "data":
			if hasData {
				m.data = append(m.data, '\n')
			}
			hasData = true
			m.data = append(m.data, value...)
			if len(m.data) > largestMessage {
				return message{}, errLongMessage
			}
		}
	}
	if err := r.lines.Err(); err != nil {
		return message{}, err
	}
	return message{}, io.ErrUnexpectedEOF
}
