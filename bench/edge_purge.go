package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/client"
)

// What purges are measured with.
const (
	purgeEdges   = 20
	purgeOneWay  = 40 * time.Millisecond
	purgeCount   = 150
	purgeLooked  = 4 // edges that are asked again and again, others each time
	purgeAsk     = 5 * time.Millisecond
	purgeLimit   = 150.0 // ms
	purgeHost    = "purge.test"
	purgePatient = 10 * time.Second
)

// fleet is a control node with edges that reach it by a relay.
type fleet struct {
	control *server
	client  *client.Client
	edges   []*server
	relays  []*delayRelay
	folder  string
}

func (f *fleet) stop() {
	for _, e := range f.edges {
		e.kill()
	}
	if f.control != nil {
		f.control.kill()
	}
	for _, r := range f.relays {
		r.close()
	}
	os.RemoveAll(f.folder)
}

// startFleet starts a control node and so many edges. The control node listens for nodes
// at 127.0.0.1 and says that it is 127.0.0.2, where a relay is at the same ports.
func (b *bench) startFleet(ctx context.Context, edges int, oneWay time.Duration) (f *fleet, err error) {
	f = &fleet{}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	if f.folder, err = b.folder(); err != nil {
		return f, err
	}
	ports, err := freePorts(2 + edges) // an edge of a cloud wants to know its port
	if err != nil {
		return f, err
	}
	for _, at := range ports[:2] {
		relay, err := newDelayRelay(strings.Replace(at, "127.0.0.1", "127.0.0.2", 1), at, oneWay)
		if err != nil {
			return f, err
		}
		f.relays = append(f.relays, relay)
	}
	f.control, err = b.serve(ctx, serve{data: filepath.Join(f.folder, "control"), args: []string{
		"--roles", "control", "--set", "node.listen=" + ports[0], "--set", "bus.listen=" + ports[1], "--set", "node.address=127.0.0.2",
	}})
	if err != nil {
		return f, err
	}
	if f.client, err = f.control.client(""); err != nil {
		return f, err
	}
	token, err := f.client.Nodes.CreateJoinToken(ctx, []string{"edge"}, time.Hour)
	if err != nil {
		return f, err
	}
	for n := range edges {
		name := fmt.Sprintf("edge-%d", n+1)
		e, err := b.serve(ctx, serve{data: filepath.Join(f.folder, name), args: []string{
			"--listen", ports[2+n], "--roles", "edge", "--join", token.Token, "--name", name, "--set", "edge.allow=127.0.0.1",
			"--set", "edge.memory=8MiB", "--set", "edge.disk=64MiB",
		}})
		if err != nil {
			return f, err
		}
		f.edges = append(f.edges, e)
	}
	return f, f.awaitReady(ctx)
}

// awaitReady waits until all edges have all there is.
func (f *fleet) awaitReady(ctx context.Context) error {
	for deadline := time.Now().Add(startPatience); ; {
		ready := 0
		for e, err := range f.client.Edges.List(ctx) {
			if err != nil {
				return err
			}
			if e.State == "ready" {
				ready++
			}
		}
		if ready == len(f.edges) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d edges are ready", ready, len(f.edges))
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// measureEdgePurge measures how long a purge takes until all of twenty edges have it,
// which are as far from the control node as from another continent.
func measureEdgePurge(ctx context.Context, b *bench) ([]result, error) {
	count := purgeCount
	if b.flags.quick {
		count = 15
	}
	var serial atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=86400")
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Cache-Tag", strings.ReplaceAll(strings.Trim(r.URL.Path, "/"), "/", "-"))
		_, _ = w.Write(strconv.AppendInt(nil, serial.Add(1), 10)) // who does not take it sees that himself
	}))
	defer origin.Close()
	f, err := b.startFleet(ctx, purgeEdges, purgeOneWay)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	site, err := f.client.Sites.Create(ctx, client.SiteSettings{Name: "purge", Hosts: []string{purgeHost}, Origins: []client.Origin{{URL: origin.URL}}})
	if err != nil {
		return nil, err
	}
	if err := f.awaitReady(ctx); err != nil {
		return nil, err
	}
	busy, err := readBusy()
	if err != nil {
		return nil, err
	}
	var done, anew, last []float64
	for n := range count {
		p, err := f.purge(ctx, site.ID, n, &serial)
		if err != nil {
			return nil, fmt.Errorf("purge %d: %w", n+1, err)
		}
		done, anew, last = append(done, p.done), append(anew, p.anew...), append(last, slices.Max(p.anew))
	}
	after, err := readBusy()
	if err != nil {
		return nil, err
	}
	var memory int64
	for _, e := range f.edges {
		memory = max(memory, residentMemory(e.Pid))
	}
	clip := fmt.Sprintf("%d edges, 80 ms round trip by a relay", purgeEdges)
	three := func(v []float64) string {
		return fmt.Sprintf("p50 %.1f, p99 %.1f, most %.1f ms", percentile(v, 50), percentile(v, 99), percentile(v, 100))
	}
	notes := fmt.Sprintf("%d purges of an address, a prefix and a tag in turn, one in about 0.6 s: from the call until the API says that all edges have it: %s; %d connections through the relay; largest edge %d MB; %.0f %% of the machine was busy",
		count, three(done), f.relays[0].taken.Load()+f.relays[1].taken.Load(), memory>>20, 100*(after.busy-busy.busy)/(after.all-busy.all))
	b.say("  %s", notes)
	looked := fmt.Sprintf("until an edge answers what it has fetched since, %d edges a purge: %s; the last of each four: %s", purgeLooked, three(anew), three(last))
	b.say("  %s", looked)
	return []result{
		{Peer: "the limit", Clip: clip, Unit: "ms p50", Ours: percentile(done, 50), Theirs: purgeLimit, Bar: 1, Bound: atMost, Notes: notes},
		{Peer: "the limit", Clip: clip + ", a new answer", Unit: "ms p50", Ours: percentile(anew, 50), Theirs: purgeLimit, Notes: looked},
	}, nil
}

// purged is how long after the call, in ms, all edges had a purge by what the API says,
// and each of those that were looked at answered what it has fetched since.
type purged struct {
	done float64
	anew []float64
}

// purge has all edges keep something, purges that, and waits until none has it.
func (f *fleet) purge(ctx context.Context, site string, n int, serial *atomic.Int64) (p purged, err error) {
	path := fmt.Sprintf("/thing/%d/", n)
	what := []client.NewPurge{
		{Kind: client.PurgeURL, Value: purgeHost + path}, {Kind: client.PurgePrefix, Value: purgeHost + path}, {Kind: client.PurgeTag, Value: fmt.Sprintf("thing-%d", n)},
	}[n%3]
	what.Hard = n/3%2 == 1
	for _, e := range f.edges {
		if err := awaitHit(ctx, e, path); err != nil {
			return p, err
		}
	}
	if err := pause(ctx, 400*time.Millisecond+rand.N(400*time.Millisecond)); err != nil {
		return p, err
	}
	old := serial.Load()
	ctx, cancel := context.WithTimeout(ctx, purgePatient)
	defer cancel()
	p.anew = make([]float64, purgeLooked)
	failed := make([]error, purgeLooked)
	began := time.Now()
	var looking sync.WaitGroup
	for i := range purgeLooked {
		looking.Go(func() {
			failed[i] = awaitAnew(ctx, f.edges[(n*purgeLooked+i)%len(f.edges)], path, old)
			p.anew[i] = milliseconds(time.Since(began))
		})
	}
	made, err := f.client.Sites.Purge(ctx, site, what)
	for err == nil && made.Status != "done" {
		if err = pause(ctx, purgeAsk); err == nil {
			made, err = f.client.Sites.GetPurge(ctx, site, made.ID)
		}
	}
	p.done = milliseconds(time.Since(began))
	if err == nil && made.Done != len(f.edges) {
		err = fmt.Errorf("%d of %d edges have it, and it is done", made.Done, len(f.edges))
	}
	if err != nil {
		cancel()
	}
	looking.Wait()
	return p, cmp.Or(err, errors.Join(failed...))
}

// awaitHit asks an edge until it has something.
func awaitHit(ctx context.Context, e *server, path string) error {
	for range 100 {
		_, status, err := askEdge(ctx, e, path)
		if err != nil || strings.Contains(status, "; hit") {
			return err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("an edge does not keep %s", path)
}

// awaitAnew asks an edge until it answers what the origin has made after old.
func awaitAnew(ctx context.Context, e *server, path string, old int64) error {
	for {
		body, _, err := askEdge(ctx, e, path)
		if err != nil {
			return err
		}
		made, err := strconv.ParseInt(body, 10, 64)
		if err != nil || made > old {
			return err
		}
		if err := pause(ctx, purgeAsk); err != nil {
			return err
		}
	}
}

// askEdge asks an edge for something of the site, and returns also how it came by that.
func askEdge(ctx context.Context, e *server, path string) (body, status string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+path, nil)
	if err != nil {
		return "", "", err
	}
	r.Host = purgeHost
	in, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", "", err
	}
	defer in.Body.Close()
	text, err := io.ReadAll(io.LimitReader(in.Body, 1<<10))
	if err == nil && in.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", path, in.Status, text)
	}
	return string(text), in.Header.Get("Cache-Status"), err
}
