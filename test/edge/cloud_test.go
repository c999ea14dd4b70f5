package edge

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/test/program"
)

const siteHost = "www.site.test"

// tiers is a site on an edge that asks a shield.
type tiers struct {
	*cloud
	shield, edge *joinedEdge
	origin       *origin
	site         client.Site
}

// A site is served on all edges of a cloud, by its rules, until it is purged or deleted,
// and what was served is known.
func TestCloud(t *testing.T) {
	t.Parallel()
	s := &tiers{cloud: startCloud(t, "control"), origin: newOrigin(t)}
	s.shield, s.edge = s.shielded(t, nil)
	s.made(t)
	s.tiers(t)
	s.rules(t)
	s.invalidated(t)
	s.purges(t)
	s.purgedInFlight(t)
	s.watched(t)
	s.used(t, usageTime, s.served)
	s.numbers(t)
	s.removed(t)
	s.used(t, usageTime, s.served)
}

func (s *tiers) served() int64 { return s.shield.served.Load() + s.edge.served.Load() }

// both does something on the edge, and then on its shield.
func (s *tiers) both(check func(name string, e *joinedEdge)) {
	check("edge", s.edge)
	check("shield", s.shield)
}

// stored asks for something until both have it stored as the origin has it now.
func (s *tiers) stored(t *testing.T, path string) {
	t.Helper()
	s.both(func(name string, e *joinedEdge) {
		got := viewed{}
		if !program.Eventually(patience, func() bool {
			got = e.get(t, siteHost, path)
			return got.hit() && got.body == s.origin.text(path)
		}) {
			t.Fatalf("%s is not stored on the %s: %s", path, name, got)
		}
	})
}

// made makes the site, and changes it: both serve that at once.
func (s *tiers) made(t *testing.T) {
	t.Helper()
	settings := client.SiteSettings{Name: "site", Hosts: []string{siteHost}, Origins: []client.Origin{{URL: s.origin.URL}}, StaleIfError: 600}
	var err error
	if s.site, err = s.Sites.Create(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	served := func(edge string) bool {
		as := true
		s.both(func(_ string, e *joinedEdge) {
			got := e.get(t, siteHost, "/")
			as = as && got.status == http.StatusOK && got.header.Get("X-Edge") == edge
		})
		return as
	}
	eventually(t, told, "a new site is served", func() bool { return served("") })
	settings.Rules = []client.Rule{
		{Path: "/*", Response: []client.HeaderField{{Name: "X-Edge", Value: "yes"}, {Name: "X-Origin"}}},
		{Path: "/old/*", Redirect: "http://$host/new/$rest", Status: http.StatusPermanentRedirect},
		{Path: "/kept/*", TTL: new(3600)},
		{Path: "/text/*", Compress: new(true)},
	}
	if s.site, err = s.Sites.Replace(t.Context(), s.site.ID, settings, s.site.Rev); err != nil {
		t.Fatal(err)
	}
	eventually(t, told, "a changed site is served", func() bool { return served("yes") })
}

// tiers sees that the origin is asked once, by the shield.
func (s *tiers) tiers(t *testing.T) {
	t.Helper()
	got := s.edge.get(t, siteHost, "/a")
	if by := got.caches(); len(by) != 2 || !strings.Contains(by[0], "fwd=uri-miss") || !strings.Contains(by[1], "fwd=uri-miss") || got.body != s.origin.text("/a") {
		t.Errorf("what neither has: %s", got)
	}
	s.stored(t, "/a")
	if n := s.origin.count(http.MethodGet, "/a"); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

func (s *tiers) rules(t *testing.T) {
	t.Helper()
	s.stored(t, "/kept/a")
	if n := s.origin.count(http.MethodGet, "/kept/a"); n != 1 {
		t.Errorf("the origin was asked %d times for what is kept by a rule", n)
	}
	s.both(func(name string, e *joinedEdge) {
		got := e.get(t, siteHost, "/old/a/b?c=d")
		if at := got.header.Get("Location"); got.status != http.StatusPermanentRedirect || !strings.HasPrefix(at, "http://"+siteHost+"/new/a/b") {
			t.Errorf("%s: status %d to %q", name, got.status, at)
		}
		got = e.get(t, siteHost, "/kept/a")
		if got.header.Get("X-Edge") != "yes" || got.header["X-Origin"] != nil || got.header["Surrogate-Key"] != nil || got.header["Surrogate-Control"] != nil {
			t.Errorf("%s: fields %v", name, got.header)
		}
		got = e.get(t, siteHost, "/text/a", "Accept-Encoding", "gzip")
		reader, err := gzip.NewReader(strings.NewReader(got.body))
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, got)
		}
		if text, err := io.ReadAll(reader); err != nil || string(text) != s.origin.text("/text/a") || got.header.Get("Content-Encoding") != "gzip" || !strings.Contains(got.header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("%s: compressed %v, %s, %v", name, err, got, got.header)
		}
		if got = e.get(t, siteHost, "/text/a"); got.body != s.origin.text("/text/a") {
			t.Errorf("%s: for who takes nothing compressed: %s", name, got)
		}
	})
	if n := s.origin.count(http.MethodGet, "/text/a"); n != 2 {
		t.Errorf("the origin was asked %d times for what there is in two encodings", n)
	}
}

// invalidated changes something, by the edge and its shield.
func (s *tiers) invalidated(t *testing.T) {
	t.Helper()
	s.stored(t, "/form")
	if got := s.edge.ask(t, http.MethodPost, siteHost, "/form"); got.status != http.StatusOK || got.body != "changed" {
		t.Errorf("POST: %s", got)
	}
	if n := s.origin.count(http.MethodPost, "/form"); n != 1 {
		t.Errorf("the origin got %d POST", n)
	}
	s.both(func(name string, e *joinedEdge) {
		if got := e.get(t, siteHost, "/form"); got.body != s.origin.text("/form") {
			t.Errorf("%s: after a POST: %s", name, got)
		}
	})
}

func (s *tiers) purges(t *testing.T) {
	t.Helper()
	const path, other = "/folder/b", "/other"
	for _, one := range []client.NewPurge{
		{Kind: client.PurgeTag, Value: "Folder-Folder-B"},
		{Kind: client.PurgePrefix, Value: siteHost + "/folder/"},
		{Kind: client.PurgeURL, Value: "http://" + siteHost + path},
		{Kind: client.PurgeAll},
	} {
		for _, hard := range []bool{false, true} {
			one.Hard = hard
			s.stored(t, other)
			s.stored(t, path)
			before, was := s.origin.text(path), s.origin.text(other)
			s.origin.version.Add(1)
			s.purged(t, s.site.ID, one)
			s.origin.failing.Store(true)
			s.both(func(name string, e *joinedEdge) {
				// Who purges softly would rather have it old than not at all.
				if got := e.get(t, siteHost, path); hard == (got.body == before) {
					t.Errorf("%s: purged by %s, hard %t, without an origin: %s", name, one.Kind, hard, got)
				}
			})
			s.origin.failing.Store(false)
			s.both(func(name string, e *joinedEdge) {
				var got viewed
				if !program.Eventually(patience, func() bool { got = e.get(t, siteHost, path); return got.status == http.StatusOK && got.body != before }) || got.body != s.origin.text(path) {
					t.Errorf("%s: purged by %s, hard %t: %s", name, one.Kind, hard, got)
				}
				if got := e.get(t, siteHost, other); one.Kind != client.PurgeAll && (!got.hit() || got.body != was) {
					t.Errorf("%s: what is not purged by %s: %s", name, one.Kind, got)
				}
			})
			s.purged(t, s.site.ID, client.NewPurge{Kind: client.PurgeAll, Hard: true})
		}
	}
}

// purgedInFlight purges what is being fetched: whoever asks later does not get that.
func (s *tiers) purgedInFlight(t *testing.T) {
	t.Helper()
	before := s.origin.text("/slow")
	first := make(chan viewed)
	go func() {
		got, err := s.edge.try(t, http.MethodGet, siteHost, "/slow")
		if err != nil {
			t.Error(err)
		}
		first <- got
	}()
	select {
	case <-s.origin.started:
	case <-time.After(patience):
		t.Fatal("the origin is not asked")
	}
	s.purged(t, s.site.ID, client.NewPurge{Kind: client.PurgeURL, Value: siteHost + "/slow", Hard: true})
	select {
	case s.origin.release <- struct{}{}:
	case <-time.After(patience):
		t.Fatal("nobody waits for the origin any more")
	}
	if got := <-first; got.body != before {
		t.Errorf("what was being fetched: %s", got)
	}
	s.origin.version.Add(1)
	close(s.origin.release)
	s.both(func(name string, e *joinedEdge) {
		if got := e.get(t, siteHost, "/slow"); got.status != http.StatusOK || got.body != s.origin.text("/slow") {
			t.Errorf("%s: purged while it was fetched: %s", name, got)
		}
	})
}

// watched looks at requests as they are answered.
func (s *tiers) watched(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := make(chan client.SiteRequest, 1)
	go func() {
		defer close(seen)
		for one, err := range s.Sites.Requests(ctx, s.site.ID) {
			if err != nil {
				t.Error(err)
			}
			if err != nil || one.Edge == "edge" && strings.HasPrefix(one.Path, "/watched") {
				seen <- one
				return
			}
		}
	}()
	var one client.SiteRequest
	eventually(t, patience, "a request is shown", func() bool {
		s.edge.get(t, siteHost, "/watched/x")
		select {
		case one = <-seen:
			return true
		default:
			return false
		}
	})
	if one.Client != "127.0.0.0/24" || one.Method != http.MethodGet || one.Host != siteHost || one.Path != "/watched/x" || one.Status != http.StatusOK || one.Bytes == 0 || one.Cache == "" || time.Since(one.At).Abs() > time.Minute {
		t.Errorf("a request is shown as %+v", one)
	}
}

// numbers are those of the site and of the edges.
func (s *tiers) numbers(t *testing.T) {
	t.Helper()
	var traffic client.Traffic
	var total client.TrafficPoint
	eventually(t, patience, "traffic has all that was served", func() bool {
		var err error
		if traffic, err = s.Sites.Traffic(t.Context(), s.site.ID); err != nil {
			t.Fatal(err)
		}
		total = client.TrafficPoint{}
		for _, p := range traffic.Points {
			total.Requests, total.Hits = total.Requests+p.Requests, total.Hits+p.Hits
			total.Bytes, total.Fetched = total.Bytes+p.Bytes, total.Fetched+p.Fetched
		}
		return total.Bytes >= s.served()
	})
	if total.Bytes != s.served() || total.Hits == 0 || total.Hits >= total.Requests || total.Fetched == 0 || traffic.Status["2xx"] == 0 || traffic.Status["3xx"] != 2 || traffic.Status["5xx"] == 0 {
		t.Errorf("served %d: %+v, %+v", s.served(), total, traffic)
	}
	// The edge has its shield ask; of an origin that it has not asked itself it says nothing.
	if o := traffic.Origins; len(traffic.Paths) == 0 || len(o) != 1 || o[0].Edge != "shield" || o[0].URL != s.origin.URL {
		t.Errorf("paths %v, origins %v", traffic.Paths, traffic.Origins)
	}
	found := make(map[string]client.Edge)
	for e, err := range s.Edges.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		found[e.Name] = e
	}
	for name, region := range map[string]string{"shield": "eu", "edge": "us"} {
		e := found[name]
		if e.State != "ready" || e.Region != region || e.Shield != (name == "shield") || time.Since(e.SeenAt).Abs() > time.Minute || e.Stored == 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// removed deletes the site.
func (s *tiers) removed(t *testing.T) {
	t.Helper()
	s.stored(t, "/a")
	if err := s.Sites.Delete(t.Context(), s.site.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, told, "a deleted site is not served", func() bool {
		gone := true
		s.both(func(_ string, e *joinedEdge) {
			gone = e.get(t, siteHost, "/a").status == http.StatusNotFound && gone
		})
		return gone
	})
}
