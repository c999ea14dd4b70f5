package cache

import (
	"net"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/conf"
)

// Config is the section "edge" of the configuration.
type Config struct {
	Memory        conf.Bytes    `conf:"memory" help:"How much memory small objects may take."`
	Disk          conf.Bytes    `conf:"disk" help:"How much of the disk large objects may take. One of them may take an eighth of it."`
	TenantShare   int           `conf:"tenant_share" help:"Percent of memory and disk that one tenant may keep while others want the room; 100 is all."`
	DefaultTTL    time.Duration `conf:"default_ttl" help:"How long a response is fresh that says nothing of it, as a 200 or a 404 without Cache-Control; 0 asks the origin each time."`
	StaleIfError  time.Duration `conf:"stale_if_error" help:"How long after its freshness a response is served while the origin fails, where it does not say that itself or forbids it."`
	AnswerTimeout time.Duration `conf:"answer_timeout" help:"How long an origin may take to begin an answer, and to go on with one."`
	HTTP3         bool          `conf:"http3" help:"Where viewers come by HTTPS, serve HTTP/3 too, at the UDP port of the same number, and announce it."`
	StatusListen  string        `conf:"status_listen" help:"Where /healthz, /readyz and /metrics are answered, host:port; empty for nowhere. Everything at --listen is the origin's."`
}

// DefaultConfig is for a small machine.
func DefaultConfig() Config {
	return Config{Memory: 128 << 20, Disk: 8 << 30, TenantShare: 50, StaleIfError: time.Hour, AnswerTimeout: time.Minute, HTTP3: true}
}

// Validate checks the section.
func (c Config) Validate() error {
	switch {
	case c.Memory < 1<<20:
		return fault.New(fault.Invalid, "memory is %s; it has to be 1MiB at least", c.Memory)
	case c.Disk < 64<<20:
		return fault.New(fault.Invalid, "disk is %s; it has to be 64MiB at least", c.Disk)
	case c.TenantShare < 1 || c.TenantShare > 100:
		return fault.New(fault.Invalid, "tenant_share is %d; it is in percent, choose between 1 and 100", c.TenantShare)
	case c.DefaultTTL < 0 || c.StaleIfError < 0:
		return fault.New(fault.Invalid, "default_ttl and stale_if_error cannot be negative")
	case c.AnswerTimeout < time.Second || c.AnswerTimeout > time.Hour:
		return fault.New(fault.Invalid, "answer_timeout is %s; choose between 1s and 1h", c.AnswerTimeout)
	}
	if _, _, err := net.SplitHostPort(c.StatusListen); c.StatusListen != "" && err != nil {
		return fault.New(fault.Invalid, "status_listen %q: write host:port, as in 127.0.0.1:8081", c.StatusListen)
	}
	return nil
}
