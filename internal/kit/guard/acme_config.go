package guard

import (
	"net/url"

	"liuyun/internal/base/fault"
)

// ACMEConfig is the section "acme" of the configuration.
type ACMEConfig struct {
	Domains   []string `conf:"domains" help:"The names under which this server is reached, for --tls acme."`
	Email     string   `conf:"email" help:"Where the authority writes when something is wrong; may be empty."`
	Directory string   `conf:"directory" help:"The authority's directory; empty is Let's Encrypt."`
}

// Validate checks the directory's address.
func (c ACMEConfig) Validate() error {
	if c.Directory == "" {
		return nil
	}
	if u, err := url.Parse(c.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		return fault.New(fault.Invalid, "directory has to be an https:// address")
	}
	return nil
}
