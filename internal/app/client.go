package app

import (
	"errors"
	"net/url"
)

// ClientConfig says which cloud the commands that manage one talk to. The key
// itself is never configuration: what a process is started with is seen by others.
type ClientConfig struct {
	Server  string `conf:"server" help:"The address of the cloud, such as http://127.0.0.1:8080; empty takes the one of liuyun login."`
	KeyFile string `conf:"key_file" help:"The file with the key lyk_…; empty takes the one of liuyun login."`
	CAFile  string `conf:"ca_file" help:"A certificate (PEM) to trust besides the system's, for a cloud with a local CA."`
	Tenant  string `conf:"tenant" help:"Act in this tenant (ten_…); only a key of scope admin may."`
}

// Validate checks the address.
func (c ClientConfig) Validate() error {
	if c.Server == "" {
		return nil
	}
	u, err := url.Parse(c.Server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return errors.New("server must be an address such as http://127.0.0.1:8080 or https://cloud.example")
	}
	return nil
}
