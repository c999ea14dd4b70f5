package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"liuyun/internal/edge/front"
)

// Of an edge or a site that a shield has not heard of yet it says nothing that the other
// edge would give to a viewer, or keep. Who is no node is refused.
func TestShieldIsBehind(t *testing.T) {
	t.Parallel()
	e := &edgeNode{front: front.New(front.Deps{Log: slog.New(slog.DiscardHandler)})}
	node := &x509.Certificate{Subject: pkix.Name{CommonName: "nod_1", Organization: []string{"Liuyun node"}}}
	for name, test := range map[string]struct {
		chains [][]*x509.Certificate
		serve  http.HandlerFunc
		want   int
	}{
		"no node":     {nil, e.serveEdge, http.StatusForbidden},
		"a new node":  {[][]*x509.Certificate{{node}}, e.serveEdge, http.StatusServiceUnavailable},
		"a new site":  {nil, forOther(e.serveCloud), http.StatusServiceUnavailable},
		"from nobody": {nil, e.serveCloud, http.StatusNotFound},
	} {
		r := httptest.NewRequest(http.MethodGet, "https://www.site.test/a", nil)
		r.TLS = &tls.ConnectionState{VerifiedChains: test.chains}
		w := httptest.NewRecorder()
		test.serve(w, r)
		if w.Code != test.want || w.Header().Get("Cache-Status") != "" {
			t.Errorf("%s: status %d, %v, want %d", name, w.Code, w.Header(), test.want)
		}
	}
}

// forOther has requests be those of another edge.
func forOther(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		serve(w, r.WithContext(context.WithValue(r.Context(), forAnother{}, true)))
	}
}
