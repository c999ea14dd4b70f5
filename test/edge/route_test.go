package edge

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// Viewers are sent to an edge of their region while it lives, and to another one soon
// after it is gone; each edge tells players of the others. Without edges they stay with
// the control node.
func TestRoute(t *testing.T) {
	t.Parallel()
	regions := filepath.Join(t.TempDir(), "regions")
	if err := os.WriteFile(regions, []byte("# who is where\n127.0.0.0/8 near\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &cloud{program: program.Build(t, testkit.Root(t))}
	own := "127.0.0.1:" + freePort(t)
	c.arguments = []string{
		"--roles", "control", "--listen", own, "--set", "viewer.url=http://" + own + "/route", "--set", "edge.regions=" + regions,
		"--set", "node.listen=127.0.0.1:" + freePort(t), "--set", "bus.listen=127.0.0.1:" + freePort(t),
	}
	c.serve(t, filepath.Join(t.TempDir(), "control"))
	sent := func() string {
		in, err := noRedirects().Get(c.URL + "/route/play/str_x/master.m3u8?q=1")
		if err != nil {
			t.Fatal(err)
		}
		defer in.Body.Close()
		return in.Header.Get("Location")
	}
	const path = "/play/str_x/master.m3u8?q=1"
	eventually(t, patience, "without edges viewers stay", func() bool { return sent() == "http://"+own+path })

	port := freePort(t) // the same of both: players replace the host alone
	edgeAt := func(host, region string) *joinedEdge {
		at := host + ":" + port
		return c.join(t, region, nil, "--listen", at, "--set", "edge.url=http://"+at, "--set", "edge.region="+region, "--set", "edge.regions="+regions)
	}
	far, near := edgeAt("127.0.0.2", "far"), edgeAt("127.0.0.1", "near")
	eventually(t, patience, "viewers are sent to the edge of their region", func() bool { return sent() == near.URL+path })

	var id string
	for e, err := range c.Edges.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Name == "far" {
			id = e.ID
		}
	}
	eventually(t, patience, "an edge tells players of another one that is nearer", func() bool {
		var steering struct {
			Priority []string `json:"PATHWAY-PRIORITY"`
			Clones   []struct {
				Replacement struct {
					Host string `json:"HOST"`
				} `json:"URI-REPLACEMENT"`
			} `json:"PATHWAY-CLONES"`
		}
		got := far.get(t, cloudHost, "/steer/hls?node="+id+"&content=play%2Fstr_x")
		if json.Unmarshal([]byte(got.body), &steering) != nil {
			return false
		}
		return len(steering.Priority) == 2 && steering.Priority[1] == "." && len(steering.Clones) == 1 && steering.Clones[0].Replacement.Host == "127.0.0.1"
	})

	near.Kill()
	began := time.Now()
	eventually(t, 30*time.Second, "viewers are sent to an edge that lives", func() bool { return strings.HasPrefix(sent(), far.URL) })
	t.Logf("%.1f s after the edge was killed", time.Since(began).Seconds())
}

// noRedirects is a client that shows redirects.
func noRedirects() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
