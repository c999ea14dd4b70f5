package blob

import (
	"net/url"
	"strings"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/secret"
	"liuyun/internal/kit/conf"
)

// Config is the section "blob" of the configuration.
type Config struct {
	URL            string      `conf:"url" help:"Where objects lie: empty for the data folder, or s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION."`
	AccessKey      string      `conf:"access_key" help:"The access key for S3."`
	SecretKey      secret.Text `conf:"secret_key" help:"The secret key for S3."`
	ReserveBytes   conf.Bytes  `conf:"reserve_bytes" help:"Room that is always left on the disk."`
	ReservePercent float64     `conf:"reserve_percent" help:"The same in percent of the disk; the larger of both holds."`
	CacheBytes     conf.Bytes  `conf:"cache_bytes" help:"How much a node keeps of objects that lie elsewhere."`
}

// DefaultConfig keeps objects on the disk.
func DefaultConfig() Config {
	return Config{ReserveBytes: 1 << 30, ReservePercent: 2, CacheBytes: 20 << 30}
}

// Validate checks the section.
func (c Config) Validate() error {
	if c.ReservePercent < 0 || c.ReservePercent > 50 {
		return fault.New(fault.Invalid, "reserve_percent is %v, and has to be from 0 to 50", c.ReservePercent)
	}
	if c.CacheBytes < 1<<20 {
		return fault.New(fault.Invalid, "cache_bytes is %s, and has to be 1MiB at least", c.CacheBytes)
	}
	if c.URL == "" {
		return nil
	}
	if _, err := parseS3(c.URL); err != nil {
		return err
	}
	if c.AccessKey == "" || c.SecretKey.Empty() {
		return fault.New(fault.Invalid, "objects on S3 need access_key and secret_key")
	}
	return nil
}

// Reserve is the configured reserve for the file system of folder.
func (c Config) Reserve(folder string) Reserve {
	return Reserve{Folder: folder, Bytes: int64(c.ReserveBytes), Percent: c.ReservePercent}
}

// s3URL is what url says.
type s3URL struct {
	bucket, prefix string
	endpoint       *url.URL
	region         string
}

// parseS3 reads s3://BUCKET/PREFIX?endpoint=…&region=…. The error does not repeat the
// text, which may hold a password.
func parseS3(text string) (s3URL, error) {
	bad := func(reason string) (s3URL, error) {
		return s3URL{}, fault.New(fault.Invalid, "url %s: write s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION", reason)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return bad("is no s3:// address with a bucket")
	}
	if u.User != nil {
		return bad("holds a user: keys go into access_key and secret_key")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("has a query that cannot be read")
	}
	for name := range query {
		if name != "endpoint" && name != "region" {
			return bad("knows only endpoint and region after the question mark")
		}
	}
	s := s3URL{bucket: u.Host, prefix: strings.Trim(u.Path, "/"), region: query.Get("region")}
	if s.prefix != "" {
		if err := CheckName(s.prefix); err != nil {
			return s3URL{}, err
		}
		s.prefix += "/"
	}
	endpoint := query.Get("endpoint")
	if endpoint == "" {
		endpoint = "https://s3.amazonaws.com"
	}
	s.endpoint, err = url.Parse(endpoint)
	if err != nil || s.endpoint.Host == "" || s.endpoint.User != nil || strings.Trim(s.endpoint.Path, "/") != "" ||
		s.endpoint.Scheme != "https" && s.endpoint.Scheme != "http" {
		return bad("has an endpoint that is no http:// or https:// address of a server")
	}
	return s, nil
}
