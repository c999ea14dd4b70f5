package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/guard"
)

// What is told of sites says which of their names have no certificate, and why.
func TestWithoutCertificates(t *testing.T) {
	t.Parallel()
	site := func(tls string, disabled bool, hosts ...string) *edge.Site {
		return &edge.Site{Settings: edge.Settings{Hosts: hosts, TLS: tls, Disabled: disabled}}
	}
	sites := map[string]*edge.Site{
		"a": site("acme", false, "Good.example.org", "New.example.org", "late.example.org"), "b": site("uploaded", false, "new.example.org"), "c": site("acme", true, "new.example.org"),
	}
	for id, s := range sites {
		s.ID = id
	}
	ends := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	all := map[string][]edge.OriginState{"a": {{URL: "https://o", State: "up"}}}
	withoutCertificates(all, sites, []guard.CertificateState{
		{Name: "good.example.org", NotAfter: ends}, {Name: "late.example.org", NotAfter: ends, Failure: "no answer"}, {Name: "new.example.org", Failure: "refused"},
	})
	want := map[string][]edge.OriginState{"a": {
		{URL: "https://o", State: "up"},
		{URL: "https://New.example.org", State: "down", Reason: "there is no certificate for this name: refused"},
		{URL: "https://late.example.org", State: "failing", Reason: "the certificate for this name ends on 2027-01-02 and is not renewed: no answer"},
	}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
