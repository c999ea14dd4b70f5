package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// rtmpConn is as much of RTMP as it takes to push a file or to be sent a stream, of
// any server, with as little work as can be.
type rtmpConn struct {
	socket   net.Conn
	in       *bufio.Reader
	out      *bufio.Writer
	read     int // size of the chunks that come
	streams  map[uint32]*rtmpMessage
	received int64
	window   int64 // after so many bytes the server wants to know
	told     int64 // bytes when it was last told
}

// rtmpMessage is one that comes.
type rtmpMessage struct {
	kind     byte
	length   int
	extended bool
	left     int
	body     []byte // of commands and the like; media are thrown away
}

// The kinds of messages that matter here, and the size of the chunks that go.
const (
	rtmpChunkSize   = 1
	rtmpAck         = 3
	rtmpWindow      = 5
	rtmpAudio       = 8
	rtmpVideo       = 9
	rtmpData        = 18
	rtmpCommand     = 20
	rtmpWriteChunks = 65536
)

// dialRTMP connects to rtmp://host:port/app/name and makes a stream there.
func dialRTMP(ctx context.Context, address string) (c *rtmpConn, name string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", err
	}
	// An address without a name has an app alone, as ffmpeg reads it.
	app, name, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if u.RawQuery != "" {
		name += "?" + u.RawQuery
	}
	socket, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, "", err
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	c = &rtmpConn{
		socket: socket, in: bufio.NewReaderSize(socket, 64<<10), out: bufio.NewWriterSize(socket, 16<<10),
		read: 128, streams: make(map[uint32]*rtmpMessage), window: math.MaxInt64,
	}
	if err := c.handshake(); err != nil {
		return nil, "", fmt.Errorf("handshake: %w", err)
	}
	c.message(2, rtmpChunkSize, 0, 0, binary.BigEndian.AppendUint32(nil, rtmpWriteChunks))
	err = c.call(1, 0, "connect", map[string]any{"app": app, "flashVer": "LNX 9,0,124,2", "tcUrl": "rtmp://" + u.Host + "/" + app, "type": "nonprivate"})
	if err == nil {
		err = c.call(2, 0, "createStream", nil)
	}
	return c, name, err
}

func (c *rtmpConn) handshake() error {
	hello := make([]byte, 1+1536)
	hello[0] = 3
	if _, err := c.socket.Write(hello); err != nil {
		return err
	}
	theirs := make([]byte, 1+1536+1536)
	if _, err := io.ReadFull(c.in, theirs[:1+1536]); err != nil {
		return err
	}
	if _, err := c.socket.Write(theirs[1 : 1+1536]); err != nil {
		return err
	}
	_, err := io.ReadFull(c.in, theirs[1+1536:])
	return err
}

// message writes one message; flush sends it.
func (c *rtmpConn) message(chunks byte, kind byte, stream, timestamp uint32, body []byte) {
	head := []byte{chunks}
	short := min(timestamp, 0xffffff)
	head = append(head, byte(short>>16), byte(short>>8), byte(short))
	head = append(head, byte(len(body)>>16), byte(len(body)>>8), byte(len(body)), kind)
	head = binary.LittleEndian.AppendUint32(head, stream)
	var extended []byte
	if short == 0xffffff {
		extended = binary.BigEndian.AppendUint32(nil, timestamp)
	}
	c.out.Write(append(head, extended...))
	for first := true; first || len(body) > 0; first = false {
		if !first {
			c.out.WriteByte(0xc0 | chunks)
			c.out.Write(extended)
		}
		n := min(len(body), rtmpWriteChunks)
		c.out.Write(body[:n])
		body = body[n:]
	}
}

// call calls a command and waits for its result. More arguments are strings.
func (c *rtmpConn) call(number float64, stream uint32, command string, object map[string]any, more ...string) error {
	c.message(3, rtmpCommand, stream, 0, amfCommand(number, command, object, more...))
	if err := c.out.Flush(); err != nil {
		return err
	}
	return c.await(command, func(body []byte) (bool, error) {
		name, _ := amfString(body)
		switch name {
		case "_result":
			return bytes.HasPrefix(body[amfStringSize(name):], amfNumber(number)), nil
		case "_error":
			return true, fmt.Errorf("%s is refused: %q", command, body)
		}
		return false, nil
	})
}

// begin publishes or plays, and waits until the server says that it goes on.
func (c *rtmpConn) begin(command string, code string, arguments ...string) error {
	c.message(8, rtmpCommand, 1, 0, amfCommand(3, command, nil, arguments...))
	if err := c.out.Flush(); err != nil {
		return err
	}
	return c.await(command, func(body []byte) (bool, error) {
		if name, _ := amfString(body); name != "onStatus" {
			return false, nil
		}
		if bytes.Contains(body, []byte(code)) {
			return true, nil
		}
		if bytes.Contains(body, []byte("error")) {
			return true, fmt.Errorf("%s is refused: %q", command, body)
		}
		return false, nil
	})
}

// await reads until a command is what is waited for.
func (c *rtmpConn) await(what string, is func(body []byte) (bool, error)) error {
	for {
		m, err := c.next()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if m.kind == rtmpCommand {
			if done, err := is(m.body); done || err != nil {
				return err
			}
		}
	}
}

// next reads until a message is whole. It is valid until the next call.
func (c *rtmpConn) next() (*rtmpMessage, error) {
	for {
		m, err := c.chunk()
		if err != nil {
			return nil, err
		}
		if err := c.acknowledge(); err != nil {
			return nil, err
		}
		if m.left > 0 {
			continue
		}
		switch {
		case m.kind == rtmpChunkSize && len(m.body) >= 4:
			c.read = int(binary.BigEndian.Uint32(m.body))
		case m.kind == rtmpWindow && len(m.body) >= 4:
			c.window = int64(binary.BigEndian.Uint32(m.body))
		}
		return m, nil
	}
}

// chunk reads one chunk.
func (c *rtmpConn) chunk() (*rtmpMessage, error) {
	first, err := c.in.ReadByte()
	if err != nil {
		return nil, err
	}
	id := uint32(first & 0x3f)
	if id < 2 { // one byte more, or two
		var more [2]byte
		if _, err := io.ReadFull(c.in, more[:id+1]); err != nil {
			return nil, err
		}
		id = 64 + uint32(more[0]) + uint32(more[1])<<8
	}
	m := c.streams[id]
	if m == nil {
		m = &rtmpMessage{}
		c.streams[id] = m
	}
	if err := c.head(m, first>>6); err != nil {
		return nil, err
	}
	n := min(m.left, c.read)
	if m.kind == rtmpVideo || m.kind == rtmpAudio {
		_, err = c.in.Discard(n)
	} else {
		begin := len(m.body)
		m.body = append(m.body, make([]byte, n)...)
		_, err = io.ReadFull(c.in, m.body[begin:])
	}
	m.left -= n
	c.received += int64(n) + 1
	return m, err
}

// head reads what follows the number of a chunk's stream.
func (c *rtmpConn) head(m *rtmpMessage, format byte) error {
	var head [11]byte
	size := []int{11, 7, 3, 0}[format]
	if _, err := io.ReadFull(c.in, head[:size]); err != nil {
		return err
	}
	if size >= 3 {
		m.extended = head[0] == 0xff && head[1] == 0xff && head[2] == 0xff
	}
	if size >= 7 {
		m.length, m.kind = int(head[3])<<16|int(head[4])<<8|int(head[5]), head[6]
	}
	if m.extended {
		if _, err := c.in.Discard(4); err != nil {
			return err
		}
	}
	if m.left == 0 {
		m.left, m.body = m.length, m.body[:0]
	}
	return nil
}

// acknowledge tells the server how much has come, when it wants to know.
func (c *rtmpConn) acknowledge() error {
	if c.received-c.told < c.window/2 {
		return nil
	}
	c.told = c.received
	c.message(2, rtmpAck, 0, 0, binary.BigEndian.AppendUint32(nil, uint32(c.received)))
	return c.out.Flush()
}

// playRTMP is sent a stream until ctx ends, and tells how much came of it.
func playRTMP(ctx context.Context, address string, got func(bytes int64)) error {
	c, name, err := dialRTMP(ctx, address)
	if err == nil {
		err = c.begin("play", "NetStream.Play.Start", name)
	}
	for err == nil {
		var m *rtmpMessage
		if m, err = c.next(); err == nil && (m.kind == rtmpVideo || m.kind == rtmpAudio) {
			got(int64(m.length))
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// flvTag is one message of a file.
type flvTag struct {
	kind      byte
	timestamp time.Duration
	body      []byte
	key       bool // of pictures
	setup     bool // of a decoder
}

// readFLV reads the messages of an FLV file.
func readFLV(path string) ([]flvTag, error) {
	data, err := os.ReadFile(path)
	if err != nil || len(data) < 13 || string(data[:3]) != "FLV" {
		return nil, errors.Join(err, fmt.Errorf("%s is no FLV", path))
	}
	var tags []flvTag
	for data = data[13:]; len(data) > 15; {
		size := int(data[1])<<16 | int(data[2])<<8 | int(data[3])
		if len(data) < 11+size+4 {
			break
		}
		at := uint32(data[7])<<24 | uint32(data[4])<<16 | uint32(data[5])<<8 | uint32(data[6])
		t := flvTag{kind: data[0], timestamp: time.Duration(at) * time.Millisecond, body: data[11 : 11+size]}
		if len(t.body) > 1 {
			t.setup = t.kind != rtmpData && t.body[1] == 0
			t.key = t.kind == rtmpVideo && t.body[0]>>4 == 1 && !t.setup
		}
		if t.kind == rtmpData {
			t.body = append(amfText("@setDataFrame"), t.body...)
		}
		tags = append(tags, t)
		data = data[11+size+4:]
	}
	if len(tags) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return tags, nil
}

// pushRTMP pushes tags as time goes by, again and again until ctx ends. sent is told
// of each one.
func pushRTMP(ctx context.Context, address string, tags []flvTag, length time.Duration, sent func(flvTag)) error {
	c, name, err := dialRTMP(ctx, address)
	if err == nil {
		err = c.begin("publish", "NetStream.Publish.Start", name, "live")
	}
	began := time.Now()
	for round := time.Duration(0); err == nil; round++ {
		for i := range tags {
			t := &tags[i]
			if round > 0 && (t.setup || t.kind == rtmpData) {
				continue
			}
			at := t.timestamp + round*length
			if err = pause(ctx, time.Until(began.Add(at))); err != nil {
				break
			}
			c.message(t.kind-4, t.kind, 1, uint32(at.Milliseconds()), t.body)
			if err = c.out.Flush(); err != nil {
				break
			}
			sent(*t)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// AMF0, as far as commands need it.

func amfNumber(v float64) []byte {
	return binary.BigEndian.AppendUint64([]byte{0}, math.Float64bits(v))
}

func amfText(s string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{2}, uint16(len(s))), s...)
}

func amfStringSize(s string) int { return 3 + len(s) }

func amfString(body []byte) (string, bool) {
	if len(body) < 3 || body[0] != 2 {
		return "", false
	}
	size := int(binary.BigEndian.Uint16(body[1:]))
	if len(body) < 3+size {
		return "", false
	}
	return string(body[3 : 3+size]), true
}

func amfCommand(number float64, command string, object map[string]any, more ...string) []byte {
	body := append(amfText(command), amfNumber(number)...)
	if object == nil {
		body = append(body, 5) // null
	} else {
		body = append(body, 3)
		for name, value := range object {
			body = append(binary.BigEndian.AppendUint16(body, uint16(len(name))), name...)
			body = append(body, amfText(value.(string))...)
		}
		body = append(body, 0, 0, 9)
	}
	for _, s := range more {
		body = append(body, amfText(s)...)
	}
	return body
}
