package vod

import (
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/conf"
)

// UploadConfig is the section "upload" of the configuration.
type UploadConfig struct {
	MaxSize    conf.Bytes    `conf:"max_size" help:"The largest file that is taken."`
	Unfinished int           `conf:"unfinished" help:"How many uploads of one tenant may be under way."`
	Expires    time.Duration `conf:"expires" help:"How long an upload may rest before it is given up."`
}

// DefaultUploadConfig takes files up to a terabyte.
func DefaultUploadConfig() UploadConfig {
	return UploadConfig{MaxSize: 1 << 40, Unfinished: 100, Expires: 24 * time.Hour}
}

// Validate says what is wrong with the section.
func (c UploadConfig) Validate() error {
	switch {
	case c.MaxSize < 1:
		return fault.New(fault.Invalid, "max_size has to be 1 byte at least")
	case c.Unfinished < 1:
		return fault.New(fault.Invalid, "unfinished is %d, and has to be 1 at least", c.Unfinished)
	case c.Expires < time.Minute:
		return fault.New(fault.Invalid, "expires is %s, and has to be 1m at least", c.Expires)
	}
	return nil
}
