//go:build !linux

package peer

import (
	"errors"
	"net"
	"net/netip"
)

// sendsSegments reports whether the system takes several packets at once.
const sendsSegments = false

func writeSegments(*net.UDPConn, []byte, int, netip.AddrPort) error { return errors.ErrUnsupported }

func isUnable(err error) bool { return err != nil }
