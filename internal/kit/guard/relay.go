package guard

import (
	"context"
	"net/http"
)

// TenantHeader is the field in which a control node tells an edge whose media an answer
// is, so that the edge can count what it serves of it. Viewers do not see it.
const TenantHeader = "Liuyun-Tenant"

type relayKey struct{}

// WithRelay marks a request as one of an edge, for viewers that the edge counts.
func WithRelay(ctx context.Context) context.Context { return context.WithValue(ctx, relayKey{}, true) }

// Relay tells the edge whose media an answer is, and by which name it is purged, if the
// request is one of an edge. It reports whether it is: then what is sent is counted there.
func Relay(r *http.Request, h http.Header, tenant, tag string) bool {
	if r.Context().Value(relayKey{}) == nil {
		return false
	}
	h.Set(TenantHeader, tenant)
	h.Set("Surrogate-Key", tag)
	return true
}
