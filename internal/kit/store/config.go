package store

import (
	"net/url"
	"slices"

	"github.com/jackc/pgx/v5"

	"liuyun/internal/base/fault"
)

// Config says where records are kept.
type Config struct {
	URL string `conf:"url" help:"PostgreSQL to keep records in, as postgres://user:password@host/database; empty for SQLite in the data folder, which is right for one control node."`
}

// DefaultConfig keeps records in SQLite.
func DefaultConfig() Config { return Config{} }

// Validate checks the URL's form. It connects to nothing, and its error does not
// repeat the URL, which may hold a password.
func (c Config) Validate() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || !slices.Contains([]string{"postgres", "postgresql"}, u.Scheme) {
		return fault.New(fault.Invalid, "store.url is not understood: write postgres://user:password@host/database, or nothing for SQLite")
	}
	if _, err := pgx.ParseConfig(c.URL); err != nil {
		return fault.New(fault.Invalid, "store.url is not understood by the PostgreSQL client: check the host, the port and what follows the question mark")
	}
	return nil
}
