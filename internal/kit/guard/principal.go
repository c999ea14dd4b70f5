// Package guard says who may do what, and proves it: the principal of a request,
// signed playback addresses, join tokens, and the certificates of listeners and
// nodes. It keeps no records and knows no routes: control/account finds the
// principal of a key, kit/web asks it before a handler runs.
package guard

import (
	"context"
	"slices"
)

// The scopes. Admin allows everything, in every tenant.
const (
	AssetsRead    = "assets:read"
	AssetsWrite   = "assets:write"
	KeysWrite     = "keys:write"
	WebhooksWrite = "webhooks:write"
	SitesRead     = "sites:read"
	SitesWrite    = "sites:write"
	UsageRead     = "usage:read"
	NodesRead     = "nodes:read"
	Admin         = "admin"
)

// Scopes lists every scope, in the order in which people are shown them.
func Scopes() []string {
	return []string{AssetsRead, AssetsWrite, KeysWrite, WebhooksWrite, SitesRead, SitesWrite, UsageRead, NodesRead, Admin}
}

// Principal is who makes a request: a key, acting in a tenant. It must not be
// changed after it was put into a context.
type Principal struct {
	Tenant string   // in which it acts
	Key    string   // id of the key
	Name   string   // of the key, for people
	Scopes []string // what the key may do
}

// Allows reports whether p has the scope, or admin. The empty scope is allowed
// to everybody who is signed in.
func (p Principal) Allows(scope string) bool {
	return scope == "" || slices.Contains(p.Scopes, scope) || slices.Contains(p.Scopes, Admin)
}

type principalKey struct{}

// With returns a context that carries p.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the principal that ctx carries. It is false for a request to a
// public operation.
func From(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}
