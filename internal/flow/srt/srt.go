// Package srt takes in and gives out media by SRT (Secure Reliable Transport), as
// MPEG-2 transport streams: it listens for encoders and readers, and calls others. It
// is the only one that knows gosrt.
package srt

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"liuyun/internal/base/fault"
)

// Limits of a listener and its connections.
const (
	mostConnections = 1000
	mostOfOne       = 64                      // from one address
	mostAsking      = 64                      // whose key or token is being looked at
	askTime         = 2 * time.Second         // for that: callers give up after three
	idleTime        = 5 * time.Second         // without any packet, those that keep a connection alive included
	silentTime      = 15 * time.Second        // without media
	deafTime        = 1500 * time.Millisecond // in which a caller who was let in answers
	mostBuffered    = 64 << 20                // bytes that wait for their time, of one connection
)

// firstRTT is the round trip of a connection from which no answer has come, in
// milliseconds: so gosrt has it.
const firstRTT = 100

// Passphrases of SRT have a length between these.
const (
	ShortestPassphrase = 10
	LongestPassphrase  = 80
)

// LongestLatency is the most that a side may ask for: the other one keeps as much.
const LongestLatency = 15 * time.Second

// request is what a caller wants, by its stream id.
type request struct {
	publish bool
	backup  bool   // of a publisher
	name    string // the key of a publisher, the stream of a reader
	token   string // of a reader
}

// parseStreamID reads a stream id: publish:KEY[:backup], read:STREAM[:TOKEN], or the
// access control syntax of SRT, #!::m=publish,r=KEY,backup=1 and
// #!::m=request,r=STREAM,token=TOKEN.
func parseStreamID(id string) (request, error) {
	if fields, formal := strings.CutPrefix(id, "#!::"); formal {
		return parseFields(fields)
	}
	mode, rest, _ := strings.Cut(id, ":")
	name, more, extra := strings.Cut(rest, ":")
	r := request{publish: mode == "publish", name: name}
	switch {
	case (mode != "publish" && mode != "read") || name == "":
		return r, errStreamID
	case !r.publish:
		r.token = more
	case extra && more != "backup":
		return r, errStreamID
	default:
		r.backup = extra
	}
	return r, nil
}

var errStreamID = fault.New(fault.Invalid, "the stream id is neither publish:KEY nor read:STREAM, nor #!::m=publish,r=KEY or #!::m=request,r=STREAM")

// parseFields reads the comma-separated fields of the access control syntax. Those that
// are not known are passed over, as it says.
func parseFields(fields string) (request, error) {
	r := request{}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "m":
			switch value {
			case "publish":
				r.publish = true
			case "request":
			default:
				return r, fault.New(fault.Invalid, "the mode of the stream id is %q; it has to be publish or request", value)
			}
		case "r":
			r.name = value
		case "token":
			r.token = value
		case "backup":
			r.backup = value == "1"
		case "t":
			if value != "stream" && value != "" {
				return r, fault.New(fault.Invalid, "the type of the stream id is %q; it has to be stream", value)
			}
		}
	}
	if r.name == "" {
		return r, errStreamID
	}
	return r, nil
}

// reasonOf is the code that a caller is refused with.
func reasonOf(err error, publish bool) gosrt.RejectionReason {
	switch fault.CodeOf(err) {
	case fault.Invalid:
		return gosrt.REJX_BAD_REQUEST
	case fault.Forbidden:
		return gosrt.REJX_FORBIDDEN
	case fault.NotFound:
		return gosrt.REJX_NOTFOUND
	case fault.Conflict:
		return gosrt.REJX_CONFLICT
	case fault.Limit:
		return gosrt.REJX_OVERLOAD
	case fault.Unavailable:
		if publish {
			return gosrt.REJX_DOWN
		}
		return gosrt.REJX_NOTFOUND
	}
	return gosrt.REJX_ISE
}

// config is what both sides start from.
func config(latency time.Duration) gosrt.Config {
	c := gosrt.DefaultConfig()
	c.Latency = min(latency, LongestLatency)
	c.PeerIdleTimeout = idleTime
	c.Logger = silent{}
	return c
}

// silent has gosrt say nothing, and build no text for it.
type silent struct{}

func (silent) HasTopic(string) bool                     { return false }
func (silent) Print(string, uint32, int, func() string) {}
func (silent) Listen() <-chan gosrt.Log                 { return nil }
func (silent) Close()                                   {}

// Listener is a port that is listened on.
type Listener struct {
	gosrt.Listener
}

// Listen opens a port. It is an error that wraps syscall.EADDRINUSE when another
// program has it. Latency is how long packets wait at least for those that were lost
// before them.
func Listen(address string, latency time.Duration) (*Listener, error) {
	at, err := resolve(address)
	if err != nil {
		return nil, err
	}
	l, err := listen(at, latency)
	for tries := 1; err != nil && at.Port() == 0 && tries < 10; tries++ {
		l, err = listen(at, latency) // another program took the free port meanwhile
	}
	if err != nil {
		return nil, err
	}
	return &Listener{l}, nil
}

func listen(at netip.AddrPort, latency time.Duration) (gosrt.Listener, error) {
	// gosrt shares a port with another program that also would, and neither gets all.
	probe, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	at = probe.LocalAddr().(*net.UDPAddr).AddrPort()
	probe.Close()
	return gosrt.Listen("srt", at.String(), config(latency))
}

// resolve finds the address to listen on: gosrt takes no names. An empty host is all
// addresses.
func resolve(address string) (netip.AddrPort, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no host:port: %w", address, err)
	}
	if at.IP == nil {
		at.IP = net.IPv6unspecified
	}
	to := at.AddrPort()
	return netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), nil
}
