package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

const (
	// aloneVariable says for how long edges are alone, as make soak does: an hour.
	aloneVariable = "LIUYUN_ALONE"
	aloneTime     = 30 * time.Second

	aloneHost   = "localhost" // for which there is a certificate
	aloneEdges  = 4
	alonePaths  = 400
	aloneTick   = 50 * time.Millisecond // between two requests to an edge
	aloneReturn = 10 * time.Second      // after the return of the control node, that is looked at
)

// aloneLine is what a time without a control node comes to, one line of
// bench/results/soak-alone.jsonl.
type aloneLine struct {
	When     time.Time `json:"when"`
	Name     string    `json:"name"`
	Cores    int       `json:"cores"`
	Edges    int       `json:"edges"`
	Minutes  float64   `json:"minutes"`  // without the control node
	Restarts int       `json:"restarts"` // of edges meanwhile
	Kills    int       `json:"kills"`    // of them, by kill -9
	Slowest  float64   `json:"slowest_start_s"`
	Answers  int64     `json:"answers"`
	Hits     int64     `json:"hits"`
	Wrong    int64     `json:"wrong"` // other than the site is set, or not what the origin has
	Spooled  int64     `json:"spooled_bytes"`
	Lost     int64     `json:"lost_bytes"` // of usage, by kills
	Counted  float64   `json:"counted_s"`  // until all that was spooled is counted
	Changed  float64   `json:"changed_s"`  // until all edges serve a site as it was changed then
	// Asked before and after are questions to the origin in ten seconds; API is the
	// slowest answer of the control node while edges come back.
	AskedBefore float64 `json:"asked_before"`
	AskedAfter  int64   `json:"asked_after"`
	API         float64 `json:"slowest_api_s"`
}

// alone is a cloud without its control node.
type alone struct {
	*cloud
	origin *origin
	edges  []*aloneEdge
	line   aloneLine

	answers, hits, wrong atomic.Int64
}

// aloneEdge is one of its edges. Who asks it holds using, who kills it holds all of it.
type aloneEdge struct {
	*joinedEdge
	using sync.RWMutex
	told  int64 // bytes that were counted before
	lost  int64 // that a kill has lost
}

// With the control node gone, edges serve sites by their rules and certificates, also
// those that are killed and start meanwhile; when it is back, it hears exactly what they
// have written down, and nobody is asked by all of them at once.
func TestAlone(t *testing.T) {
	t.Parallel()
	length := aloneTime
	if text := os.Getenv(aloneVariable); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", aloneVariable, err)
		}
	}
	certificate, err := program.NewCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a := &alone{cloud: startCloud(t, "control"), origin: newOrigin(t)}
	a.line = aloneLine{When: time.Now().UTC().Truncate(time.Second), Name: "soak-alone", Cores: runtime.NumCPU(), Edges: aloneEdges}
	for n := range aloneEdges {
		arguments := []string{"--tls", "sites", "--set", "edge.region=" + []string{"eu", "us"}[n%2]}
		if n < 2 {
			arguments = append(arguments, "--set", "edge.shield_listen=127.0.0.1:"+freePort(t))
		}
		a.edges = append(a.edges, &aloneEdge{joinedEdge: a.join(t, "edge"+strconv.Itoa(n), certificate.Trust, arguments...)})
	}
	site, err := a.Sites.Create(t.Context(), client.SiteSettings{
		Name: "site", Hosts: []string{aloneHost}, Origins: []client.Origin{{URL: a.origin.URL}}, StaleIfError: 600,
		// What is asked for most runs out all at once, and not when an hour is over.
		Rules: []client.Rule{{Path: "/*", TTL: new(1700), Response: []client.HeaderField{{Name: "X-Edge", Value: "before"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if site, err = a.Sites.UploadCertificate(t.Context(), site.ID, readFile(t, certificate.Cert), readFile(t, certificate.Key)); err != nil {
		t.Fatal(err)
	}
	for _, e := range a.edges {
		eventually(t, patience, "the site is served by its certificate", func() bool {
			got, err := e.try(t, http.MethodGet, aloneHost, "/0")
			return err == nil && got.hit()
		})
	}
	a.used(t, usageTime, a.served)
	for _, e := range a.edges {
		eventually(t, patience, "that usage is counted is written down", func() bool { return e.kept(t) == 0 })
		e.told = e.served.Load()
	}

	a.Kill()
	viewing, stop := context.WithCancel(t.Context())
	var viewers sync.WaitGroup
	for _, e := range a.edges {
		viewers.Go(func() { a.view(viewing, t, e) })
	}
	a.restarts(t, length)
	a.back(t, site)
	stop()
	viewers.Wait()
	for _, e := range a.edges {
		a.line.Lost += e.lost
	}
	began := time.Now()
	a.used(t, patience, func() int64 { return a.served() - a.line.Lost }) // who was not answered asks less often
	a.line.Counted += time.Since(began).Seconds()
	a.line.Answers, a.line.Hits, a.line.Wrong = a.answers.Load(), a.hits.Load(), a.wrong.Load()
	t.Logf("%+v", a.line)
	if a.line.Wrong > 0 || a.line.Hits == 0 || a.line.Kills == 0 {
		t.Error("edges did not serve as they should")
	}
	if most := 2*a.line.AskedBefore + aloneEdges; float64(a.line.AskedAfter) > most {
		t.Errorf("when the control node came back, the origin was asked %d times in %s; want %.0f at most", a.line.AskedAfter, aloneReturn, most)
	}
	if os.Getenv(aloneVariable) != "" && !t.Failed() {
		a.line.write(t)
	}
}

func (a *alone) served() (sum int64) {
	for _, e := range a.edges {
		sum += e.served.Load()
	}
	return sum
}

// view asks an edge, a few things most of the time.
func (a *alone) view(ctx context.Context, t *testing.T, e *aloneEdge) {
	tick := time.NewTicker(aloneTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n := rand.IntN(alonePaths)
		if rand.IntN(8) > 0 {
			n %= alonePaths / 10
		}
		path := "/" + strconv.Itoa(n)
		e.using.RLock()
		got, err := e.try(t, http.MethodGet, aloneHost, path)
		e.using.RUnlock()
		rule := got.header.Get("X-Edge")
		switch {
		case err != nil && errors.Is(err, context.Canceled):
			return
		case err != nil || got.status != http.StatusOK || got.body != a.origin.text(path) || rule != "before" && rule != "after":
			if a.wrong.Add(1) < 10 {
				t.Errorf("%s: %s, X-Edge %q: %v", path, got, rule, err)
			}
		default:
			a.answers.Add(1)
			if got.hit() {
				a.hits.Add(1)
			}
		}
	}
}

// restarts ends one edge after the other and starts it again, until the time is over.
func (a *alone) restarts(t *testing.T, length time.Duration) {
	t.Helper()
	began := time.Now()
	gap := min(max(length/20, 2*time.Second), 3*time.Minute)
	for n := 0; time.Since(began) < length; n++ {
		wait(t, min(gap, length-time.Since(began)))
		e := a.edges[n%len(a.edges)]
		e.using.Lock()
		if n%3 < 2 {
			e.Kill()
			a.line.Kills++
		} else {
			e.Stop()
		}
		e.lost = e.served.Load() - e.told - e.kept(t)
		start := time.Now()
		e.again(t)
		a.line.Slowest = max(a.line.Slowest, time.Since(start).Seconds())
		a.line.Restarts++
		if got := e.get(t, aloneHost, "/0"); !got.hit() || got.header.Get("X-Edge") != "before" {
			t.Errorf("an edge that was started without its control node: %s, X-Edge %q", got, got.header.Get("X-Edge"))
		}
		e.using.Unlock()
	}
	a.line.Minutes = time.Since(began).Minutes()
	for _, e := range a.edges {
		a.line.Spooled += e.kept(t)
	}
}

// back starts the control node, and changes the site. Edges that ask more often than
// they did before would have the origin asked more often too.
func (a *alone) back(t *testing.T, site client.Site) {
	t.Helper()
	asked := func() (n int64) {
		a.origin.mu.Lock()
		defer a.origin.mu.Unlock()
		for _, times := range a.origin.asked {
			n += int64(times)
		}
		return n
	}
	before := asked()
	wait(t, aloneReturn)
	a.line.AskedBefore = float64(asked() - before)
	before = asked()
	began := time.Now()
	a.serve(t, a.Data)
	site.Rules[0].Response[0].Value = "after"
	site, err := a.Sites.Replace(t.Context(), site.ID, site.SiteSettings, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range a.edges {
		eventually(t, patience, "a changed site is served", func() bool { return e.get(t, aloneHost, "/0").header.Get("X-Edge") == "after" })
	}
	a.line.Changed = time.Since(began).Seconds()
	for time.Since(began) < aloneReturn {
		asking := time.Now()
		if _, err := a.Sites.Get(t.Context(), site.ID); err != nil {
			t.Error(err)
		}
		a.line.API = max(a.line.API, time.Since(asking).Seconds())
		wait(t, aloneTick)
	}
	a.line.AskedAfter = asked() - before
	a.line.Counted = time.Since(began).Seconds()
}

// wait lets time pass.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-time.After(d):
	}
}

// write adds the line to the results.
func (l aloneLine) write(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(testkit.Root(t), "bench", "results", "soak-alone.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fmt.Fprintf(file, "%s\n", text)
}
