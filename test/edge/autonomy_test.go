package edge

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"liuyun/client"
	"liuyun/test/program"
)

// Edges serve while the control node is away, also those that are killed and start
// without it. When it is back they hear of what has changed, and tell what they served,
// once.
func TestAutonomy(t *testing.T) {
	t.Parallel()
	const host = "localhost" // for which there is a certificate
	certificate, err := program.NewCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, o := startCloud(t, "control"), newOrigin(t)
	shield, e := c.shielded(t, certificate.Trust, "--tls", "sites")
	site, err := c.Sites.Create(t.Context(), client.SiteSettings{
		Name: "site", Hosts: []string{host}, Origins: []client.Origin{{URL: o.URL}}, StaleIfError: 600,
		Rules: []client.Rule{{Path: "/*", Response: []client.HeaderField{{Name: "X-Edge", Value: "before"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if site, err = c.Sites.UploadCertificate(t.Context(), site.ID, readFile(t, certificate.Cert), readFile(t, certificate.Key)); err != nil {
		t.Fatal(err)
	}
	served := func() int64 { return shield.served.Load() + e.served.Load() }
	has := func(t *testing.T, at *joinedEdge, path string, hit bool) {
		t.Helper()
		if got := at.get(t, host, path); got.status != http.StatusOK || got.body != o.text(path) || got.hit() != hit || got.header.Get("X-Edge") != "before" {
			t.Errorf("%s: %s, X-Edge %q; want a hit: %t", path, got, got.header.Get("X-Edge"), hit)
		}
	}
	for _, at := range []*joinedEdge{e, shield} {
		eventually(t, patience, "the site is served by its certificate", func() bool {
			got, err := at.try(t, http.MethodGet, host, "/a")
			return err == nil && got.hit()
		})
	}
	c.used(t, usageTime, served)
	was := map[*joinedEdge]int64{e: e.served.Load(), shield: shield.served.Load()}

	c.Kill()
	for _, at := range []*joinedEdge{e, shield} {
		has(t, at, "/a", true)
	}
	has(t, e, "/b", false) // the shield has none either
	has(t, shield, "/b", true)
	for range 5 { // as much as online would look like what was told last
		has(t, e, "/a", true)
		has(t, shield, "/b", true)
	}
	for at, told := range was {
		at.spooled(t, told) // what a kill loses are the last seconds
	}
	shield.Kill()
	e.Kill()
	e.again(t)
	has(t, e, "/a", true)
	has(t, e, "/b", true)
	has(t, e, "/c", false) // there is nobody to ask but the origin
	shield.again(t)
	has(t, shield, "/a", true)
	has(t, shield, "/d", false)
	for at, told := range was {
		at.spooled(t, told)
	}

	c.serve(t, c.Data)
	e.Kill() // it is perhaps just telling what it has served
	e.again(t)
	o.version.Add(1)
	c.purged(t, site.ID, client.NewPurge{Kind: client.PurgeTag, Value: "folder-a"})
	has(t, e, "/a", false)
	has(t, shield, "/a", true) // anew, as the edge has asked it
	site.Rules[0].Response[0].Value = "after"
	if _, err = c.Sites.Replace(t.Context(), site.ID, site.SiteSettings, 0); err != nil {
		t.Fatal(err)
	}
	for _, at := range []*joinedEdge{e, shield} {
		eventually(t, patience, "a changed site is served", func() bool {
			return at.get(t, host, "/b").header.Get("X-Edge") == "after"
		})
	}
	c.used(t, patience, served) // who was not answered asks less often
}

// spooled waits until the edge has written down what it has served, but for what it has
// told.
func (e *joinedEdge) spooled(t *testing.T, told int64) {
	t.Helper()
	eventually(t, patience, "usage is written down", func() bool { return e.kept(t) == e.served.Load()-told })
}

// kept is how many bytes the edge has written down that it has served, and has not told.
func (e *joinedEdge) kept(t *testing.T) (sum int64) {
	t.Helper()
	var kept struct {
		Batch struct{ Bytes map[string]int64 }
		Days  map[string]map[string]int64
	}
	text, err := os.ReadFile(filepath.Join(e.Data, "edge", "usage.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range kept.Batch.Bytes {
		sum += n
	}
	for _, day := range kept.Days {
		for _, n := range day {
			sum += n
		}
	}
	return sum
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
