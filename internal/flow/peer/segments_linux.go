package peer

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendsSegments reports whether the system may take several packets at once: Linux does
// since 4.18.
const sendsSegments = true

// writeSegments sends packets of one size, of which the last may be shorter, in one call.
func writeSegments(conn *net.UDPConn, packets []byte, size int, to netip.AddrPort) error {
	var control [64]byte
	n := unix.CmsgSpace(2)
	header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	header.Level, header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	header.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(control[unix.CmsgLen(0):], uint16(size))
	_, _, err := conn.WriteMsgUDPAddrPort(packets, control[:n], to)
	return err
}

// isUnable reports whether an error of writeSegments says that it never works here: the
// system is old, or the network card cannot sum such packets.
func isUnable(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOPROTOOPT) || errors.Is(err, syscall.EOPNOTSUPP)
}
