package live

import (
	"net"
	"net/url"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/conf"
)

// Config is the section "live" of the configuration.
type Config struct {
	RTMPListen  string        `conf:"rtmp_listen" help:"Where encoders push by RTMP, host:port; empty for port 1935 of the host in --listen."`
	RTMPURL     string        `conf:"rtmp_url" help:"The address that encoders are told, such as rtmp://live.example.org/live; empty for the listener's own."`
	Window      time.Duration `conf:"window" help:"How far back viewers of a stream can go."`
	WindowBytes conf.Bytes    `conf:"window_bytes" help:"How much of the disk that may take, a stream."`
	Part        time.Duration `conf:"part" help:"How long the parts of segments are: shorter is closer to live and asks more of servers and networks."`
}

// DefaultConfig keeps two hours.
func DefaultConfig() Config {
	return Config{Window: 2 * time.Hour, WindowBytes: 16 << 30, Part: 500 * time.Millisecond}
}

// Validate checks the section.
func (c Config) Validate() error {
	if c.RTMPListen != "" {
		if _, _, err := net.SplitHostPort(c.RTMPListen); err != nil {
			return fault.New(fault.Invalid, "rtmp_listen %q: write host:port, as in 0.0.0.0:1935", c.RTMPListen)
		}
	}
	if c.RTMPURL != "" {
		u, err := url.Parse(c.RTMPURL)
		if err != nil || u.Scheme != "rtmp" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return fault.New(fault.Invalid, "rtmp_url %q is not an address such as rtmp://live.example.org/live", c.RTMPURL)
		}
	}
	if c.Window < time.Minute || c.Window > 7*24*time.Hour {
		return fault.New(fault.Invalid, "window is %s; choose between 1m and 168h", c.Window)
	}
	if c.WindowBytes < 64<<20 {
		return fault.New(fault.Invalid, "window_bytes is %s; it has to be 64MiB at least", c.WindowBytes)
	}
	if c.Part < 200*time.Millisecond || c.Part > time.Second {
		return fault.New(fault.Invalid, "part is %s; choose between 200ms and 1s", c.Part)
	}
	return nil
}
