package cloud

import (
	"fmt"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
)

// One tenant files many clips, then another files one. With a single worker the
// other's is done while most of the first tenant's still wait.
func TestFairness(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "127.0.0.1")
	busy, other := c.tenant(t, "busy"), c.tenant(t, "other")
	clip := testkit.Generate(t, testkit.Pattern(160, 90, "25", 1))
	const many = 12
	first := make(map[string]bool)
	for n := range many {
		a := busy.upload(t, clip, client.UploadOptions{Name: fmt.Sprintf("clip %d.mp4", n), Options: lowest()})
		first[a.ID] = true
	}
	one := other.upload(t, clip, client.UploadOptions{Options: lowest()})
	c.join(t)

	ready := other.ready(t, one.ID)
	before := 0
	for id := range first {
		if a := busy.ready(t, id); a.ReadyAt.Before(*ready.ReadyAt) {
			before++
		}
	}
	t.Logf("%d of %d clips that were filed first were ready first", before, many)
	if before > many/2 {
		t.Errorf("%d of %d clips of the busy tenant were ready before the other's one", before, many)
	}
}

// lowest are options that take next to no time.
func lowest() *client.EncodeOptions {
	return &client.EncodeOptions{Preset: "ultrafast", Ladder: "90"}
}

// tenant makes a tenant and returns its view of the cloud.
func (c cluster) tenant(t *testing.T, name string) node {
	t.Helper()
	tenant, err := c.Tenants.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := client.New(c.URL, c.Key, client.Options{Tenant: tenant.ID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inside.Close)
	return node{c.Server, inside}
}
