package cloud

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
)

// council is several control nodes on one PostgreSQL and one S3, whose buses are
// a cluster.
type council struct {
	shared  []string // of all their arguments
	bucket  testkit.S3Server
	routes  []string
	members []node
	folders []string
	own     [][]string
}

// newCouncil starts three control nodes, the second and third with a join token of
// the first.
func newCouncil(t *testing.T) *council {
	t.Helper()
	records, bucket := testkit.Postgres(t), testkit.S3(t)
	objects := "s3://" + bucket.Bucket + "?endpoint=" + url.QueryEscape(bucket.Endpoint)
	c := &council{bucket: bucket, shared: []string{
		"--roles", "control", "--set", "store.url=" + records.NewDatabase(t),
		"--set", "blob.url=" + objects, "--set", "blob.access_key=" + bucket.AccessKey, "--set", "blob.secret_key=" + bucket.SecretKey,
	}}
	for range 3 {
		c.routes = append(c.routes, freeAddress(t, "127.0.0.1"))
	}
	for i, route := range c.routes {
		others := append(append([]string{}, c.routes[:i]...), c.routes[i+1:]...)
		c.folders = append(c.folders, filepath.Join(t.TempDir(), "control"))
		c.own = append(c.own, append([]string{
			"--set", "node.listen=" + freeAddress(t, "127.0.0.1"), "--set", "bus.listen=" + freeAddress(t, "127.0.0.1"),
			"--set", "bus.cluster_listen=" + route, "--set", "bus.cluster_routes=" + strings.Join(others, ","),
		}, c.shared...))
		var join []string
		if i > 0 {
			token, err := c.members[0].Nodes.CreateJoinToken(t.Context(), []string{"control"}, 0)
			if err != nil {
				t.Fatal(err)
			}
			join = []string{"--join", token.Token}
		}
		c.members = append(c.members, c.serve(t, i, join...))
	}
	return c
}

// serve starts a control node, for the first time or again.
func (c *council) serve(t *testing.T, i int, more ...string) node {
	t.Helper()
	s := liuyun(t).Serve(t, c.folders[i], append(more, c.own[i]...)...)
	if i > 0 { // the first one has the key
		s.Key = c.members[0].Key
	}
	api, err := client.New(s.URL, s.Key, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	return node{s, api}
}

// again starts a control node that was killed.
func (c *council) again(t *testing.T, i int) { c.members[i] = c.serve(t, i) }

// result is the folder with what was made of an asset.
func (c *council) result(t *testing.T, asset string) string {
	t.Helper()
	reports, err := filepath.Glob(filepath.Join(c.bucket.Folder, "assets", asset, "*", "report.json"))
	if err != nil || len(reports) != 1 {
		t.Fatalf("asset %s has %d results, want 1", asset, len(reports))
	}
	return filepath.Dir(reports[0])
}

// Of three control nodes one is killed while an asset is made: first the one that
// let the others in, then one of those. Nothing stops: the others take uploads, give
// out units, tell events and serve viewers, and a worker that is started meanwhile
// finds them.
func TestControlNodesKilled(t *testing.T) {
	c := newCouncil(t)
	source := film(t)
	want := encodeAlone(t, source, "--preset", "medium", "--ladder", "360,180")
	first := cluster{node: c.members[0]}
	w := first.join(t)
	first.state(t, w.Node, "ready", "")

	for lost := range 2 {
		left, other := c.members[(lost+1)%3], c.members[(lost+2)%3]
		events := left.follow(t)
		a := c.members[lost].upload(t, source, client.UploadOptions{Options: slow()})
		left.running(t, a.ID, w.Node)
		c.members[lost].Kill()
		w.Kill()
		w = w.again(t)
		b := other.upload(t, source, client.UploadOptions{Options: quick()})
		left.ready(t, a.ID)
		sameMedia(t, c.result(t, a.ID), want)
		b = other.ready(t, b.ID)
		left.plays(t, left.Resolve(b.Playback.HLS), 300)
		events.once(t, "asset.ready", a.ID)
		events.once(t, "asset.ready", b.ID)
		c.again(t, lost)
		if got := c.members[lost].ready(t, b.ID); got.ID != b.ID {
			t.Errorf("control node %d does not know what was made while it was away", lost)
		}
	}
}

// A control node that cannot see what the others see does not start.
func TestControlNodeNeedsSharedRecords(t *testing.T) {
	records := testkit.Postgres(t)
	first := startCluster(t, "127.0.0.1", "--set", "store.url="+records.NewDatabase(t))
	p := liuyun(t)
	for _, test := range []struct {
		name, want string
		arguments  []string
	}{
		{"own records", "set store.url", nil},
		{"no cluster", "bus.cluster_listen", []string{"--set", "store.url=" + records.NewDatabase(t)}},
		{"other records", "the records do not know this node", []string{
			"--set", "store.url=" + records.NewDatabase(t), "--set", "bus.cluster_listen=" + freeAddress(t, "127.0.0.1"),
			"--set", "bus.cluster_routes=" + freeAddress(t, "127.0.0.1"),
		}},
	} {
		token, err := first.Nodes.CreateJoinToken(t.Context(), []string{"control"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(t.TempDir(), "data")
		run := p.Start(t, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--roles", "control", "--join", token.Token}, test.arguments...)...)
		result := run.Wait()
		if result.Status == 0 || !strings.Contains(result.Last().Message+result.Stderr, test.want) {
			t.Errorf("%s: %v", test.name, result)
		}
		if _, err := os.Stat(filepath.Join(data, "admin.key")); err == nil {
			t.Errorf("%s: it made a key of its own", test.name)
		}
	}
}
