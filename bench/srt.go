package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"time"
)

// srtConn is as much of SRT as it takes to be sent a stream by any server, with as
// little work as can be: what comes is acknowledged and asked for again as others do,
// and thrown away at once, whatever its time.
type srtConn struct {
	socket  net.Conn
	began   time.Time
	own     uint32 // the numbers of both sockets
	peer    uint32
	next    uint32    // sequence number that is to come
	acked   time.Time // when it was last acknowledged what has come
	acks    uint32
	control [64]byte
}

// Kinds of control packets, and what a handshake has in it.
const (
	srtHandshake = 0
	srtKeepalive = 1
	srtAck       = 2
	srtNak       = 3
	srtShutdown  = 5

	srtHeader     = 16
	srtInduction  = 1
	srtConclusion = 0xffffffff
	srtRequest    = 1 // extensions
	srtStreamID   = 5
	srtVersion    = 0x010503
	srtFlags      = 0x3f // both keep times, late packets are left out, losses are told again and again
	srtLatency    = 120  // milliseconds
	srtSequences  = 0x7fffffff

	srtAckEvery = 10 * time.Millisecond
	srtPatience = 10 * time.Second
	srtTry      = 500 * time.Millisecond
)

// dialSRT connects to srt://host:port?streamid=….
func dialSRT(ctx context.Context, address string) (*srtConn, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	socket, err := (&net.Dialer{}).DialContext(ctx, "udp", u.Host)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { socket.Close() })
	c := &srtConn{socket: socket, began: time.Now(), own: rand.Uint32()&0x3fffffff | 1}
	c.next = rand.Uint32() & srtSequences
	hello := c.hello(4, 2, srtInduction, 0)
	cookie, err := c.ask(hello, srtInduction)
	if err != nil {
		return nil, fmt.Errorf("induction: %w", err)
	}
	hello = c.hello(5, 1|4, srtConclusion, binary.BigEndian.Uint32(cookie[28:]))
	hello = binary.BigEndian.AppendUint32(hello, srtRequest<<16|3)
	hello = binary.BigEndian.AppendUint32(hello, srtVersion)
	hello = binary.BigEndian.AppendUint32(hello, srtFlags)
	hello = binary.BigEndian.AppendUint32(hello, srtLatency<<16|srtLatency)
	id := []byte(u.Query().Get("streamid"))
	id = append(id, make([]byte, (4-len(id)%4)%4)...)
	hello = binary.BigEndian.AppendUint32(hello, srtStreamID<<16|uint32(len(id)/4))
	for ; len(id) > 0; id = id[4:] { // words of it stand the other way round
		hello = append(hello, id[3], id[2], id[1], id[0])
	}
	answer, err := c.ask(hello, srtConclusion)
	if err != nil {
		return nil, fmt.Errorf("conclusion: %w", err)
	}
	c.next, c.peer = binary.BigEndian.Uint32(answer[8:])&srtSequences, binary.BigEndian.Uint32(answer[24:])
	return c, nil
}

// hello is a handshake without its extensions.
func (c *srtConn) hello(version uint32, extensions uint16, kind, cookie uint32) []byte {
	b := make([]byte, 0, 48)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(extensions)) // and no encryption
	b = binary.BigEndian.AppendUint32(b, c.next)
	b = binary.BigEndian.AppendUint32(b, 1500) // bytes of a packet
	b = binary.BigEndian.AppendUint32(b, 8192) // packets on the way
	b = binary.BigEndian.AppendUint32(b, kind)
	b = binary.BigEndian.AppendUint32(b, c.own)
	b = binary.BigEndian.AppendUint32(b, cookie)
	return append(b, make([]byte, 16)...) // an address, which nobody reads
}

// ask sends a handshake, again and again, until one of that kind comes back.
func (c *srtConn) ask(hello []byte, kind uint32) ([]byte, error) {
	buffer := make([]byte, 1500)
	for end := time.Now().Add(srtPatience); time.Now().Before(end); {
		if err := c.tell(srtHandshake, 0, hello); err != nil {
			return nil, err
		}
		for again := time.Now().Add(srtTry); ; {
			if err := c.socket.SetReadDeadline(again); err != nil {
				return nil, err
			}
			n, err := c.socket.Read(buffer)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				break
			}
			if err != nil {
				return nil, err
			}
			answer := buffer[:n]
			if n < srtHeader+48 || binary.BigEndian.Uint16(answer) != 0x8000|srtHandshake {
				continue
			}
			answer = answer[srtHeader:]
			switch got := binary.BigEndian.Uint32(answer[20:]); {
			case got == kind:
				return answer, c.socket.SetReadDeadline(time.Time{})
			case got >= 1000 && got < 1<<30:
				return nil, fmt.Errorf("refused with %d", got)
			}
		}
	}
	return nil, errors.New("no answer comes")
}

// tell sends a control packet.
func (c *srtConn) tell(kind uint16, about uint32, body []byte) error {
	b := binary.BigEndian.AppendUint16(c.control[:0], 0x8000|kind)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, about)
	b = binary.BigEndian.AppendUint32(b, uint32(time.Since(c.began).Microseconds()))
	b = binary.BigEndian.AppendUint32(b, c.peer)
	_, err := c.socket.Write(append(b, body...))
	return err
}

// playSRT is sent a stream until ctx ends, and tells how much came of it.
func playSRT(ctx context.Context, address string, got func(bytes int64)) error {
	c, err := dialSRT(ctx, address)
	for buffer := make([]byte, 1500); err == nil; {
		var n int
		if n, err = c.socket.Read(buffer); err != nil || n < srtHeader {
			continue
		}
		if buffer[0]&0x80 == 0 {
			got(int64(n - srtHeader))
			err = c.receive(binary.BigEndian.Uint32(buffer))
			continue
		}
		switch binary.BigEndian.Uint16(buffer) & 0x7fff {
		case srtKeepalive:
			err = c.tell(srtKeepalive, 0, nil)
		case srtShutdown:
			err = errors.New("the server ends the connection")
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// receive takes note of a packet, asks for those that were lost before it, and
// acknowledges what has come.
func (c *srtConn) receive(sequence uint32) error {
	ahead := int32((sequence-c.next)<<1) >> 1
	if ahead < 0 { // again
		return nil
	}
	if ahead > 0 {
		lost := binary.BigEndian.AppendUint32(nil, c.next|1<<31) // from … to
		if err := c.tell(srtNak, 0, binary.BigEndian.AppendUint32(lost, (sequence-1)&srtSequences)); err != nil {
			return err
		}
	}
	c.next = (sequence + 1) & srtSequences
	now := time.Now()
	if now.Sub(c.acked) < srtAckEvery {
		return nil
	}
	c.acked = now
	c.acks++
	var body [28]byte // the last words are rates that nobody needs
	for i, v := range []uint32{c.next, 200, 100, 8192} {
		binary.BigEndian.PutUint32(body[4*i:], v)
	}
	return c.tell(srtAck, c.acks, body[:])
}
