package notify

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

// gate decides to which addresses a request of somebody else's wish may go. It
// looks at the address that is dialled, after the name was resolved, so a name
// that resolves differently the second time is of no use.
type gate struct {
	networks []netip.Prefix
	hosts    map[string]bool // in lower case
}

// reserved lists what is not the public internet and netip has no word for.
func reserved() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10",
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func (g *gate) check(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	contains := func(p netip.Prefix) bool { return p.Contains(address) }
	if slices.ContainsFunc(g.networks, contains) {
		return nil
	}
	if !address.IsGlobalUnicast() || address.IsPrivate() || slices.ContainsFunc(reserved(), contains) {
		return fault.New(fault.Forbidden, "%s is not a public address: whoever runs the server can allow it with webhook.allow", address)
	}
	return nil
}

// client returns a client that follows no redirect, uses no proxy and keeps no
// connection.
func (g *gate) client() *http.Client {
	open := &net.Dialer{Timeout: 5 * time.Second}
	guarded := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		resolved, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return g.check(resolved.Addr())
	}}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, _, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				if g.hosts[strings.ToLower(host)] {
					return open.DialContext(ctx, network, address)
				}
				return guarded.DialContext(ctx, network, address)
			},
			DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, TLSHandshakeTimeout: 5 * time.Second,
		},
	}
}
