package node

import (
	"net"

	"liuyun/internal/base/fault"
)

// Config is how other machines reach this node.
type Config struct {
	Listen  string `conf:"listen" help:"Address on which machines join and reach this node's objects, as host:port. Empty: port 8450 of the host of --listen, or closed where that is the loopback."`
	Address string `conf:"address" help:"The host by which other machines reach this one; empty takes the addresses of its networks."`
}

// Validate checks the addresses.
func (c Config) Validate() error {
	if c.Listen == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fault.New(fault.Invalid, "listen is %q; write host:port", c.Listen)
	}
	return nil
}
