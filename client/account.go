package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// The scopes of keys.
const (
	ScopeAssetsRead    = "assets:read"
	ScopeAssetsWrite   = "assets:write"
	ScopeKeysWrite     = "keys:write"
	ScopeWebhooksWrite = "webhooks:write"
	ScopeSitesRead     = "sites:read"
	ScopeSitesWrite    = "sites:write"
	ScopeUsageRead     = "usage:read"
	ScopeNodesRead     = "nodes:read"
	ScopeAdmin         = "admin" // everything, in every tenant
)

// Session says who calls.
type Session struct {
	Tenant struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"tenant"`
	Key struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"key"`
	Scopes  []string `json:"scopes"`
	Version string   `json:"version"` // of the server
	Secure  bool     `json:"secure"`  // the server is reached by HTTPS
}

// Session returns who the client's key is.
func (c *Client) Session(ctx context.Context) (s Session, err error) {
	return s, c.get(ctx, "/v1/session", nil, &s)
}

// Key is a key to the API, without its secret.
type Key struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix"` // how the secret begins
	Scopes     []string   `json:"scopes"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	ExpiresAt  *time.Time `json:"expires_at"` // nil: never
	// Secret is the key itself, lyk_…, in the answer of Create and never again.
	Secret string `json:"secret,omitempty"`
}

// NewKey is what a key begins with.
type NewKey struct {
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // nil: never
}

// Keys are the keys of a tenant.
type Keys struct{ c *Client }

const keysPath = "/v1/keys"

// Create makes a key. Its Secret is shown this once.
func (s Keys) Create(ctx context.Context, key NewKey) (k Key, err error) {
	return k, s.c.post(ctx, keysPath, key, &k)
}

// List yields the keys, newest first. It ends after the first error.
func (s Keys) List(ctx context.Context) iter.Seq2[Key, error] {
	return list[Key](ctx, s.c, keysPath, nil)
}

// Get returns the key.
func (s Keys) Get(ctx context.Context, id string) (k Key, err error) {
	return k, s.c.get(ctx, at(keysPath, id), nil, &k)
}

// Delete removes the key: from now on nobody comes in with it.
func (s Keys) Delete(ctx context.Context, id string) error {
	return s.c.delete(ctx, at(keysPath, id))
}

// Tenant is a customer of the cloud, who sees only what is theirs.
type Tenant struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	Rev       int64     `json:"rev"`
}

// Tenants are all tenants of the cloud. They need the scope admin.
type Tenants struct{ c *Client }

const tenantsPath = "/v1/tenants"

type tenantName struct {
	Name string `json:"name"`
}

// Create makes a tenant.
func (s Tenants) Create(ctx context.Context, name string) (t Tenant, err error) {
	return t, s.c.post(ctx, tenantsPath, tenantName{name}, &t)
}

// List yields the tenants, newest first. It ends after the first error.
func (s Tenants) List(ctx context.Context) iter.Seq2[Tenant, error] {
	return list[Tenant](ctx, s.c, tenantsPath, nil)
}

// Get returns the tenant.
func (s Tenants) Get(ctx context.Context, id string) (t Tenant, err error) {
	return t, s.c.get(ctx, at(tenantsPath, id), nil, &t)
}

// Rename changes the name. rev, when it is not 0, must be the tenant's, or the
// error is a Conflict.
func (s Tenants) Rename(ctx context.Context, id, name string, rev int64) (t Tenant, err error) {
	return t, s.c.do(ctx, call{method: http.MethodPatch, path: at(tenantsPath, id), rev: rev, in: tenantName{name}, out: &t})
}

// Delete removes the tenant. The error is a Conflict while it has assets.
func (s Tenants) Delete(ctx context.Context, id string) error {
	return s.c.delete(ctx, at(tenantsPath, id))
}

// Usage is what a tenant used in a span of days.
type Usage struct {
	From  string     `json:"from"` // 2026-11-01, UTC
	To    string     `json:"to"`   // the last day, included
	Total UsageTotal `json:"total"`
	Days  []UsageDay `json:"days"`
}

// UsageTotal is the use of a whole span.
type UsageTotal struct {
	MinutesEncoded float64 `json:"minutes_encoded"`
	BytesStored    int64   `json:"bytes_stored"`
	BytesServed    int64   `json:"bytes_served"`
	CPUSeconds     float64 `json:"cpu_seconds"`
	Uploads        int64   `json:"uploads"`
}

// UsageDay is the use of one day.
type UsageDay struct {
	Day            string  `json:"day"`
	MinutesEncoded float64 `json:"minutes_encoded"`
	BytesServed    int64   `json:"bytes_served"`
	CPUSeconds     float64 `json:"cpu_seconds"`
	BytesStored    int64   `json:"bytes_stored"`
}

// Usage returns what was used from one day to another, both included. Zero times
// leave the choice to the server.
func (c *Client) Usage(ctx context.Context, from, to time.Time) (u Usage, err error) {
	query := make(url.Values)
	for name, day := range map[string]time.Time{"from": from, "to": to} {
		if !day.IsZero() {
			query.Set(name, day.UTC().Format(time.DateOnly))
		}
	}
	return u, c.get(ctx, "/v1/usage", query, &u)
}
