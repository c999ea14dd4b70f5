package vod

import (
	"net/url"
	"time"

	"liuyun/internal/base/fault"
)

// ViewerConfig is how viewers reach what is published.
type ViewerConfig struct {
	URL       string        `conf:"url" help:"The address that viewers use, such as https://video.example.org; empty for addresses relative to the page."`
	SignedFor time.Duration `conf:"signed_for" help:"How long a signed address holds when nobody says how long."`
}

// DefaultViewerConfig returns relative addresses that hold for six hours.
func DefaultViewerConfig() ViewerConfig { return ViewerConfig{SignedFor: 6 * time.Hour} }

// longestSigned bounds how long a signed address may hold.
const longestSigned = 30 * 24 * time.Hour

// Validate says what is wrong with the section.
func (c ViewerConfig) Validate() error {
	if c.SignedFor < time.Minute || c.SignedFor > longestSigned {
		return fault.New(fault.Invalid, "signed_for is %s; choose between 1m and 720h", c.SignedFor)
	}
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fault.New(fault.Invalid, "url %q is not an address such as https://video.example.org", c.URL)
	}
	return nil
}
