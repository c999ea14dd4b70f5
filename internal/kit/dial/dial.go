// Package dial keeps requests that outsiders ask for, such as imports and webhooks,
// away from the inside of the network (server-side request forgery). It looks at the
// address that is really dialled, after names are resolved, so that no name and no
// redirect leads around it. It knows no HTTP beyond making a transport.
package dial

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"liuyun/internal/base/fault"
)

// Guard decides which addresses may be dialled: public ones, and what is allowed
// besides. The zero value allows public ones only. It may be used by several
// goroutines.
type Guard struct {
	prefixes []netip.Prefix
	hosts    []string
}

// New returns a guard that also allows the listed addresses ("10.1.2.3"), networks
// ("10.1.0.0/16") and host names ("intranet.example", wherever they lead).
func New(allow []string) (*Guard, error) {
	g := &Guard{}
	for _, item := range allow {
		if prefix, err := netip.ParsePrefix(item); err == nil {
			g.prefixes = append(g.prefixes, prefix.Masked())
			continue
		}
		if ip, err := netip.ParseAddr(item); err == nil && ip.Zone() == "" {
			g.prefixes = append(g.prefixes, netip.PrefixFrom(ip, ip.BitLen()))
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(item, "."))
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || strings.ContainsRune("/:@%*", r) }) {
			return nil, fault.New(fault.Invalid, "%q is no address, no network such as 10.0.0.0/8 and no host name", item)
		}
		g.hosts = append(g.hosts, name)
	}
	return g, nil
}

// Control refuses an address that may not be dialled, with a fault of code forbidden.
// It is the Control of a [net.Dialer].
func (g *Guard) Control(network, address string, _ syscall.RawConn) error {
	end, err := netip.ParseAddrPort(address)
	if err != nil {
		return fault.New(fault.Forbidden, "the address %q may not be called", address)
	}
	return g.Check(end.Addr())
}

// Check returns a fault of code forbidden unless ip is public or allowed.
func (g *Guard) Check(ip netip.Addr) error {
	ip = ip.WithZone("").Unmap()
	if slices.ContainsFunc(g.prefixes, func(p netip.Prefix) bool { return p.Contains(ip) }) || public(ip) {
		return nil
	}
	return fault.New(fault.Forbidden, "the address %s is inside a private network: it is not called, unless the configuration allows it", ip)
}

// CheckHost returns the same fault for the host of a URL where it is known without asking
// anybody that it cannot be dialled: an address, or localhost. Where other names lead is
// seen when they are dialled.
func (g *Guard) CheckHost(host string) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if slices.Contains(g.hosts, host) {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.Check(ip)
	}
	if host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return nil
	}
	if g.Check(netip.IPv6Loopback()) == nil {
		return nil
	}
	return g.Check(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// notPublic are the networks that the public Internet does not reach (the IANA
// registries of special-purpose addresses, RFC 6890).
var notPublic = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // behind a carrier's NAT
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local, metadata of clouds
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/3"),     // multicast, reserved, broadcast
}

// global is what of IPv6 is given out for the public, and notGlobal what of it is not
// or holds an IPv4 address that a gateway would call.
var (
	global    = netip.MustParsePrefix("2000::/3")
	notGlobal = [...]netip.Prefix{
		netip.MustParsePrefix("2001::/23"),     // Teredo, ORCHID, benchmarks and others
		netip.MustParsePrefix("2001:db8::/32"), // documentation
		netip.MustParsePrefix("2002::/16"),     // 6to4
		netip.MustParsePrefix("3fff::/20"),     // documentation
	}
)

// public reports whether ip, which is unmapped, is on the public Internet. Of IPv6 only
// what is given out counts: NAT64 (64:ff9b::/96), unique local, link-local, multicast
// and old forms with an IPv4 address inside are outside of it.
func public(ip netip.Addr) bool {
	inside := func(p netip.Prefix) bool { return p.Contains(ip) }
	switch {
	case !ip.IsValid():
		return false
	case ip.Is4():
		return !slices.ContainsFunc(notPublic[:], inside)
	default:
		return global.Contains(ip) && !slices.ContainsFunc(notGlobal[:], inside)
	}
}

// DialContext dials address, which may hold a name. Names in the list of allowed ones
// may lead anywhere.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second, Control: g.Control}
	if host, _, err := net.SplitHostPort(address); err == nil && slices.Contains(g.hosts, strings.ToLower(strings.TrimSuffix(host, "."))) {
		dialer.Control = nil
	}
	return dialer.DialContext(ctx, network, address)
}

// Transport returns a transport that dials by the guard, without any proxy: a proxy
// would dial in our place. The caller closes its idle connections.
func (g *Guard) Transport() *http.Transport {
	return &http.Transport{
		DialContext:            g.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           16,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
