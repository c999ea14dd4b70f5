package vod

import (
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/conf"
	"liuyun/internal/kit/dial"
)

// ImportConfig is the section "import" of the configuration.
type ImportConfig struct {
	Allow   []string      `conf:"allow" help:"Private addresses, networks and host names that sources may be fetched from, besides the public Internet."`
	MaxSize conf.Bytes    `conf:"max_size" help:"The largest file that is fetched."`
	Stall   time.Duration `conf:"stall" help:"How long a server may send nothing before the connection is given up and made again."`
}

// DefaultImportConfig fetches files up to a terabyte from the public Internet.
func DefaultImportConfig() ImportConfig {
	return ImportConfig{MaxSize: 1 << 40, Stall: time.Minute}
}

// Validate says what is wrong with the section.
func (c ImportConfig) Validate() error {
	switch {
	case c.MaxSize < 1:
		return fault.New(fault.Invalid, "max_size has to be 1 byte at least")
	case c.Stall < time.Second:
		return fault.New(fault.Invalid, "stall is %s, and has to be 1s at least", c.Stall)
	}
	_, err := dial.New(c.Allow)
	return err
}
