package peer

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"
)

// Packets arrive as they were sent and in their order, whether the system takes many at
// once or not.
func TestBundle(t *testing.T) {
	for _, single := range []bool{false, true} {
		p, to, read := newWay(t)
		p.single.Store(single || !sendsSegments)
		u := p.bundle(to)
		sizes := []int{30, 1200, 1200, 1200, 700, 1200, 1200, 40, 40, 1200}
		for range 70 { // more than go at once
			sizes = append(sizes, 1100)
		}
		u.hold()
		for i, size := range sizes {
			if n, err := p.WriteToAddrPort(numbered(i, size), to); n != size || err != nil {
				t.Fatal(n, err)
			}
		}
		u.release()
		u.release()
		for i, size := range sizes {
			if got := read(); !bytes.Equal(got, numbered(i, size)) {
				t.Fatalf("packet %d of %d bytes came as %d bytes, the first of them %v", i, size, len(got), got[:min(len(got), 1)])
			}
		}
		if p.single.Load() != (single || !sendsSegments) {
			t.Error("the system takes no segments")
		}
	}
}

// Nothing waits while a bundle is not held, or is another's.
func TestBundleNotHeld(t *testing.T) {
	p, to, read := newWay(t)
	u := p.bundle(to)
	other := p.bundle(netip.MustParseAddrPort("192.0.2.1:9"))
	other.hold()
	arrives := func(number int) {
		t.Helper()
		if _, err := p.WriteToAddrPort(numbered(number, 500), to); err != nil {
			t.Fatal(err)
		}
		if got := read(); !bytes.Equal(got, numbered(number, 500)) {
			t.Fatalf("packet %d came as %d bytes", number, len(got))
		}
	}
	arrives(1)
	u.hold()
	u.release()
	arrives(2)
	u.hold()
	p.leave(u) // the viewer is elsewhere now
	arrives(3)
	u.release()
	newer := p.bundle(to)
	p.leave(u)
	newer.hold()
	if _, err := p.WriteToAddrPort(numbered(4, 500), to); err != nil {
		t.Fatal(err)
	}
	if newer.count != 1 {
		t.Error("who left took the one who has come with them")
	}
	newer.release()
	read()
	var none *bundle
	none.hold()
	none.release()
	p.leave(none)
}

// A packet costs no allocation.
func TestBundleAllocates(t *testing.T) {
	p, to, _ := newWay(t)
	u := p.bundle(to)
	data := numbered(0, 1200)
	if n := testing.AllocsPerRun(200, func() {
		u.hold()
		for range 10 {
			_, _ = p.WriteToAddrPort(data, to)
		}
		u.release()
	}); n > 0 {
		t.Errorf("%v allocations for ten packets", n)
	}
}

// newWay is a port, where to send to, and what reads there.
func newWay(t *testing.T) (*udpPort, netip.AddrPort, func() []byte) {
	t.Helper()
	listen := func() *net.UDPConn {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	far := listen()
	buffer := make([]byte, 2000)
	return newUDPPort(listen()), far.LocalAddr().(*net.UDPAddr).AddrPort(), func() []byte {
		t.Helper()
		if err := far.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := far.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return buffer[:n]
	}
}

func numbered(number, size int) []byte { return bytes.Repeat([]byte{byte(number)}, size) }
