package front

import (
	"net"
	"net/url"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/dial"
)

// Config is what of the section "edge" of the configuration says where an edge is, and
// what it may ask.
type Config struct {
	URL          string   `conf:"url" help:"The address by which viewers reach this edge, such as https://edge1.example.org; empty sends none to it."`
	Region       string   `conf:"region" help:"Where this edge is, in a word: viewers whose network is of that region are sent here first."`
	Regions      string   `conf:"regions" help:"A file that says of networks in which region they are, a line each, as 192.0.2.0/24 eu. By it viewers are sent to an edge of their region; empty for none."`
	Capacity     int      `conf:"capacity" help:"Megabits a second that this edge can send to viewers; 0 where that is not known."`
	ShieldListen string   `conf:"shield_listen" help:"Where other edges ask this one before they ask an origin, host:port; empty for nowhere. It is reached by node.address."`
	HTTPListen   string   `conf:"http_listen" help:"Where viewers come by plain HTTP as well, host:port, where --listen is secured; empty for nowhere."`
	Allow        []string `conf:"allow" help:"Private addresses that origins of sites may have, as networks (10.0.0.0/8) or host names; all others that are private, local or reserved are refused. It does not hold for --origin."`
}

// Validate checks the form of what is set.
func (c Config) Validate() error {
	if u, err := url.Parse(c.URL); c.URL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Path != "" && u.Path != "/") {
		return fault.New(fault.Invalid, "url %q: write scheme and host, as in https://edge1.example.org", c.URL)
	}
	if len(c.Region) > 64 {
		return fault.New(fault.Invalid, "region has %d characters; 64 are the most", len(c.Region))
	}
	if c.Capacity < 0 {
		return fault.New(fault.Invalid, "capacity cannot be negative")
	}
	if _, port, err := net.SplitHostPort(c.ShieldListen); c.ShieldListen != "" && (err != nil || port == "0") {
		return fault.New(fault.Invalid, "shield_listen %q: write host:port, as in 0.0.0.0:8452", c.ShieldListen)
	}
	if _, _, err := net.SplitHostPort(c.HTTPListen); c.HTTPListen != "" && err != nil {
		return fault.New(fault.Invalid, "http_listen %q: write host:port, as in 0.0.0.0:80", c.HTTPListen)
	}
	_, err := dial.New(c.Allow)
	return err
}
