package client_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/client"
	"liuyun/internal/testkit/fakecloud"
)

func TestSites(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	ctx := t.Context()
	settings := client.SiteSettings{Name: "films", Hosts: []string{"www.example.org"}, Origins: []client.Origin{{URL: "https://origin.example.org", Weight: 3}, {URL: "https://other.example.org", Backup: true}}}
	s := must[client.Site](t)(c.Sites.Create(ctx, settings))
	settings.TLS = "off"
	if diff := cmp.Diff(settings, s.SiteSettings); diff != "" || s.ID == "" || s.Rev != 1 || s.CreatedAt.IsZero() {
		t.Errorf("made %+v (-want +got)\n%s", s, diff)
	}
	if _, err := c.Sites.Create(ctx, settings); client.CodeOf(err) != client.Conflict {
		t.Errorf("the same name again: %v, want a conflict", err)
	}
	never := 0
	settings.Rules = []client.Rule{{Path: "/live/*", TTL: &never, Response: []client.HeaderField{{Name: "X-Live", Value: "yes"}}}}
	s = must[client.Site](t)(c.Sites.Replace(ctx, s.ID, settings, s.Rev))
	if diff := cmp.Diff(settings, s.SiteSettings); diff != "" {
		t.Errorf("replaced (-want +got)\n%s", diff)
	}
	if _, err := c.Sites.Replace(ctx, s.ID, settings, 1); client.CodeOf(err) != client.Conflict {
		t.Errorf("another revision: %v, want a conflict", err)
	}
	s = must[client.Site](t)(c.Sites.UploadCertificate(ctx, s.ID, []byte("-----BEGIN CERTIFICATE-----"), []byte("key")))
	if s.Certificate == nil || len(s.Certificate.Names) != 1 || s.TLS != "uploaded" {
		t.Errorf("with a certificate %+v", s)
	}
	n := 0
	for one, err := range c.Sites.List(ctx) {
		if n++; err != nil || one.ID != s.ID {
			t.Errorf("listed %+v, %v", one, err)
		}
	}
	traffic := must[client.Traffic](t)(c.Sites.Traffic(ctx, s.ID))
	if n != 1 || len(traffic.Points) != 2 || traffic.Points[1].Hits != 290 || traffic.Status["2xx"] != 380 || traffic.Paths[0].Path != "/film.mp4" || traffic.Origins[0].State != "failing" {
		t.Errorf("%d sites, traffic %+v", n, traffic)
	}
	if err := c.Sites.Delete(ctx, s.ID); err != nil {
		t.Error(err)
	}
	if _, err := c.Sites.Get(ctx, s.ID); client.CodeOf(err) != client.NotFound {
		t.Errorf("after its deletion: %v", err)
	}
}

// A replacement whose answer is lost is not sent again: it would meet its own revision.
func TestReplaceIsNotRepeated(t *testing.T) {
	t.Parallel()
	cloud, c := start(t)
	s := newSite(t, c)
	for rev, calls := range map[int64]int{s.Rev: 1, 0: 2} {
		before := len(cloud.Calls())
		cloud.Break(fakecloud.Fault{Call: "PUT /v1/sites", Done: true})
		_, err := c.Sites.Replace(t.Context(), s.ID, s.SiteSettings, rev)
		if got := len(cloud.Calls()) - before; got != calls || client.CodeOf(err) != "" || (err == nil) != (rev == 0) {
			t.Errorf("revision %d: %v after %d calls, want %d", rev, err, got, calls)
		}
	}
}

func newSite(t *testing.T, c *client.Client) client.Site {
	t.Helper()
	return must[client.Site](t)(c.Sites.Create(t.Context(), client.SiteSettings{Name: "films", Hosts: []string{"www.example.org"}, Origins: []client.Origin{{URL: "https://origin.example.org"}}}))
}

func TestPurges(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	ctx := t.Context()
	s := newSite(t, c)
	p := must[client.Purge](t)(c.Sites.Purge(ctx, s.ID, client.NewPurge{Kind: client.PurgeTag, Value: "film", Hard: true}))
	if p.Status != "running" || p.Edges != 2 || p.Done != 0 || !p.Hard || p.Kind != client.PurgeTag || p.Value != "film" {
		t.Errorf("begun %+v", p)
	}
	p = must[client.Purge](t)(c.Sites.GetPurge(ctx, s.ID, p.ID))
	if len(p.Waiting) != 0 || p.Done != 1 || len(p.Away) != 1 || p.Away[0] != "osaka" {
		t.Errorf("got %+v", p)
	}
	must[client.Purge](t)(c.Sites.Purge(ctx, client.CloudSite, client.NewPurge{Kind: client.PurgeAll}))
	n := 0
	for one, err := range c.Sites.Purges(ctx, s.ID) {
		if n++; err != nil || one.ID != p.ID {
			t.Errorf("listed %+v, %v", one, err)
		}
	}
	if n != 1 {
		t.Errorf("%d purges are listed, want 1", n)
	}
}

// Requests go on when the connection breaks, and end when they cannot.
func TestRequests(t *testing.T) {
	t.Parallel()
	cloud, c := start(t)
	s := newSite(t, c)
	cloud.Ask("/one")
	var paths []string
	for r, err := range c.Sites.Requests(t.Context(), s.ID) {
		if err != nil {
			t.Fatal(err)
		}
		if paths = append(paths, r.Path); r.Path == "/two" {
			break
		}
		if r.Edge != "berlin" || r.Status != 200 || r.Cache != "hit" || r.Bytes != 1500 {
			t.Errorf("got %+v", r)
		}
		if len(paths) == 1 {
			cloud.Break(fakecloud.Fault{Call: "GET /v1/sites", Status: 503})
			cloud.Drop()
			cloud.Ask("/two")
		}
	}
	if diff := cmp.Diff([]string{"/one", "/one", "/two"}, paths); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	n := 0
	for _, err := range c.Sites.Requests(t.Context(), "sit_absent") {
		if n++; client.CodeOf(err) != client.NotFound {
			t.Errorf("got %v, want not found", err)
		}
	}
	if n != 1 {
		t.Errorf("yielded %d times, want once", n)
	}
}

func TestEdges(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	var names []string
	for e, err := range c.Edges.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Name == "berlin" && (e.State != "ready" || e.HitRatio != 0.975 || e.Egress != 48e6 || !e.Shield) {
			t.Errorf("got %+v", e)
		}
		names = append(names, e.Name)
	}
	if diff := cmp.Diff([]string{"osaka", "berlin"}, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
