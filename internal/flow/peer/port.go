package peer

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// udpPort is the UDP port of all connections. The packets of a picture go to a viewer in
// one call where the system takes them so (udp(7), UDP_SEGMENT): most of what a viewer
// costs is calls that send one packet each.
type udpPort struct {
	*net.UDPConn
	single  atomic.Bool // the system takes only one packet a call
	buffers sync.Pool   // of *[mostBundled]byte

	mu      sync.RWMutex
	bundles map[netip.AddrPort]*bundle
}

func newUDPPort(conn *net.UDPConn) *udpPort {
	p := &udpPort{UDPConn: conn, bundles: make(map[netip.AddrPort]*bundle)}
	p.buffers.New = func() any { return new([mostBundled]byte) }
	p.single.Store(!sendsSegments)
	return p
}

// ReadFromAddrPort reads a packet, see [ice.AddrPortReaderWriter].
func (p *udpPort) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	return p.ReadFromUDPAddrPort(b)
}

// WriteToAddrPort sends a packet, or keeps it while the bundle to its address is held.
func (p *udpPort) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	p.mu.RLock()
	u := p.bundles[plain(to)]
	p.mu.RUnlock()
	if u != nil && u.keep(b, to) {
		return len(b), nil
	}
	return p.WriteToUDPAddrPort(b, to)
}

// bundle returns the bundle to an address. Leave has to follow.
func (p *udpPort) bundle(to netip.AddrPort) *bundle {
	u := &bundle{port: p, key: plain(to)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bundles[u.key] = u
	return u
}

// leave forgets a bundle, or nil, unless another has taken its address over.
func (p *udpPort) leave(u *bundle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u != nil && p.bundles[u.key] == u {
		delete(p.bundles, u.key)
	}
}

// plain is an address in the one form that it is looked up by.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// What the system takes at once: so many packets, and so many bytes of them.
const (
	mostSegments = 64
	mostBundled  = 60_000
)

// bundle is packets to one address that go out together. All of them but the last have
// the same size, as those of a picture do; one that does not fit begins another.
type bundle struct {
	port *udpPort
	key  netip.AddrPort

	mu     sync.Mutex
	buffer *[mostBundled]byte // nil: it is not held
	to     netip.AddrPort
	filled int
	size   int // of all packets but the last
	count  int
}

// hold has packets wait for release, which has to follow at once. A nil bundle holds
// nothing.
func (u *bundle) hold() {
	if u == nil || u.port.single.Load() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.buffer == nil {
		u.buffer = u.port.buffers.Get().(*[mostBundled]byte)
	}
}

// release sends what waits.
func (u *bundle) release() {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.buffer != nil {
		u.send()
		u.port.buffers.Put(u.buffer)
		u.buffer = nil
	}
}

// keep takes a packet, or returns false where it is to be sent at once.
func (u *bundle) keep(b []byte, to netip.AddrPort) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.buffer == nil || len(b) > mostBundled {
		return false
	}
	if u.count > 0 && (len(b) > u.size || u.count == mostSegments || u.filled+len(b) > mostBundled) {
		u.send()
	}
	if u.count == 0 {
		u.to, u.size = to, len(b)
	}
	u.filled += copy(u.buffer[u.filled:], b)
	u.count++
	if len(b) < u.size { // only the last may be shorter
		u.send()
	}
	return true
}

// send sends what waits, packet by packet where it cannot go at once. What fails is lost
// as on the way: the viewer asks for it again.
func (u *bundle) send() {
	waiting := u.buffer[:u.filled]
	if u.count > 1 && !u.port.single.Load() {
		switch err := writeSegments(u.port.UDPConn, waiting, u.size, u.to); {
		case err == nil:
			waiting = nil
		case isUnable(err):
			u.port.single.Store(true)
		}
	}
	for len(waiting) > 0 {
		n := min(u.size, len(waiting))
		_, _ = u.port.WriteToUDPAddrPort(waiting[:n], u.to)
		waiting = waiting[n:]
	}
	u.filled, u.size, u.count = 0, 0, 0
}
