package ts

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
)

const (
	// silentTime is how long nothing may come.
	silentTime = 15 * time.Second
	// datagrams is how many bytes the kernel shall hold: pictures come at once.
	datagrams = 4 << 20
)

// UDP is where datagrams are taken in.
type UDP struct {
	Address   *net.UDPAddr
	Interface *net.Interface // of a multicast group; nil lets the kernel choose
}

// ParseUDP reads udp://HOST:PORT, where host is an address of this machine, 0.0.0.0 or
// a multicast group, which ?interface=NAME may be joined on.
func ParseUDP(address string) (UDP, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "udp" || u.Path != "" || u.User != nil || u.Fragment != "" {
		return UDP{}, errUDP
	}
	ip := net.ParseIP(u.Hostname())
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if ip == nil || err != nil || port == 0 {
		return UDP{}, errUDP
	}
	to := UDP{Address: &net.UDPAddr{IP: ip, Port: int(port)}}
	if name := u.Query().Get("interface"); name != "" {
		if to.Interface, err = net.InterfaceByName(name); err != nil {
			return UDP{}, fault.Wrap(err, fault.Invalid, "there is no interface %q", name)
		}
	}
	return to, nil
}

var errUDP = fault.New(fault.Invalid, "the address is no udp://0.0.0.0:PORT, and no udp://GROUP:PORT of a multicast group")

// Receive puts the transport stream that comes in datagrams, with or without RTP around
// it, into the input, until ctx ends or nothing comes any more. It does not close the
// input. Datagrams say nothing of who sends: whoever reaches the port can.
func (u UDP) Receive(ctx context.Context, in ingest.Input, log *slog.Logger) error {
	var socket *net.UDPConn
	var err error
	if u.Address.IP.IsMulticast() {
		socket, err = net.ListenMulticastUDP("udp", u.Interface, u.Address)
	} else {
		socket, err = net.ListenUDP("udp", u.Address)
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "port %d cannot be listened on: %v", u.Address.Port, err)
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	if err := socket.SetReadBuffer(datagrams); err != nil {
		log.Info("the kernel holds few datagrams: many at once may be lost", "cause", err)
	}
	feed := NewFeed(in, log)
	for buffer := make([]byte, 1<<16); ; {
		if err := socket.SetReadDeadline(time.Now().Add(silentTime)); err != nil && ctx.Err() == nil {
			return err
		}
		n, _, err := socket.ReadFromUDP(buffer)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fault.New(fault.Unavailable, "nothing comes to port %d", u.Address.Port)
		case err != nil:
			return err
		}
		if err := feed.Write(withoutRTP(buffer[:n]), time.Now()); err != nil {
			return err
		}
	}
}

// withoutRTP takes away the header of RTP (RFC 3550, 5.1) from a transport stream (RFC
// 2250), which cannot begin as a packet does.
func withoutRTP(b []byte) []byte {
	const header, version, transport = 12, 2, 33
	if len(b) < header || b[0]>>6 != version || b[1]&0x7f != transport {
		return b
	}
	rest := b[header:]
	sources := 4 * int(b[0]&0x0f)
	if len(rest) < sources {
		return nil
	}
	rest = rest[sources:]
	if b[0]&0x10 != 0 { // an extension
		if len(rest) < 4 {
			return nil
		}
		size := 4 + 4*(int(rest[2])<<8|int(rest[3]))
		if len(rest) < size {
			return nil
		}
		rest = rest[size:]
	}
	return rest
}
