// Package client talks to a Liuyun video cloud: it uploads, manages assets,
// streams, keys, tenants, nodes, webhooks and the sites that edges serve, purges what
// edges keep, follows events and requests, and checks signed webhooks.
// It follows the API that the server describes at /v1/openapi.json and needs
// nothing but the standard library. It does not play or encode anything.
//
//	c, err := client.New("https://cloud.example", key, client.Options{})
//	asset, err := c.Upload(ctx, file, size, client.UploadOptions{Name: "talk.mov"})
//
// An answer that is not a success is an [*Error]. Calls that may be repeated
// without harm are repeated when the connection breaks or the server is busy.
package client

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options changes how a [Client] works. The zero value is good.
type Options struct {
	// HTTP carries the calls; nil is a client of its own with limits. Its
	// Timeout must be 0, for uploads and events take long.
	HTTP *http.Client
	// Tenant is acted in; empty is the key's own. Only a key of scope admin may
	// name another.
	Tenant string
	// UserAgent names the program that calls.
	UserAgent string
	// Timeout bounds each try of a call, uploads and events excepted; 0 is 30 s.
	Timeout time.Duration
	// Tries bounds how often one call is tried; 0 is 4, 1 never repeats.
	Tries int
}

// Client is a cloud and a key to it. Its methods may be called from any
// goroutine.
type Client struct {
	Assets   Assets
	Streams  Streams
	Jobs     Jobs
	Keys     Keys
	Tenants  Tenants
	Nodes    Nodes
	Webhooks Webhooks
	Sites    Sites
	Edges    Edges

	base    *url.URL
	key     string
	options Options
	http    *http.Client
}

// New returns a client of the cloud at baseURL, such as
// "https://cloud.example". key is "lyk_…"; without one, only what is public can
// be called. It connects to nothing yet.
func New(baseURL, key string, o Options) (*Client, error) {
	base, err := url.Parse(baseURL)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.User != nil {
		return nil, fmt.Errorf("client: %q is not the address of a cloud, such as https://cloud.example", baseURL)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawQuery, base.Fragment = "", ""
	if strings.ContainsAny(key, "\r\n \t") {
		return nil, errors.New("client: the key has spaces or line ends in it")
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Tries == 0 {
		o.Tries = 4
	}
	c := &Client{base: base, key: key, options: o, http: ownHTTP(o.HTTP)}
	c.Assets, c.Jobs, c.Keys = Assets{c}, Jobs{c}, Keys{c}
	c.Streams = Streams{c}
	c.Tenants, c.Nodes, c.Webhooks = Tenants{c}, Nodes{c}, Webhooks{c}
	c.Sites, c.Edges = Sites{c}, Edges{c}
	return c, nil
}

// ownHTTP returns a client that follows no redirect: the key is for one server
// only, and a redirect would turn a POST into a GET.
func ownHTTP(given *http.Client) *http.Client {
	own := http.Client{}
	if given != nil {
		own = *given
	} else {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ResponseHeaderTimeout = time.Minute
		transport.MaxIdleConnsPerHost = 8
		own.Transport = transport
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// BaseURL returns the address of the cloud.
func (c *Client) BaseURL() string { return c.base.String() }

// Close gives up idle connections. The client may still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Resolve makes a URL of an asset, which may be a path, absolute.
func (c *Client) Resolve(reference string) string {
	u, err := url.Parse(reference)
	if err != nil || reference == "" {
		return reference
	}
	if u.Host == "" && strings.HasPrefix(u.Path, "/") {
		return c.base.String() + u.String()
	}
	return c.base.ResolveReference(u).String()
}

// newToken returns text that nobody else chooses.
func newToken() string { return rand.Text() }
