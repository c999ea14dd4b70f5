package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

const (
	// patience bounds what is waited for. It judges nothing: machines are slow.
	patience = time.Minute
	// told is how soon an edge serves what has changed: it is told. Who has missed that
	// asks only after five seconds.
	told = 3 * time.Second
	// usageTime is how soon what was served is in the usage of a tenant.
	usageTime = 30 * time.Second
)

// cloud is a control node with a client, and edges that join it.
type cloud struct {
	*program.Server
	*client.Client
	program   program.Program
	arguments []string // of the control node, to start it anew
}

// startCloud starts a control node with a new data folder.
func startCloud(t *testing.T, roles string, arguments ...string) *cloud {
	t.Helper()
	c := &cloud{program: program.Build(t, testkit.Root(t))}
	c.arguments = []string{"--roles", roles, "--set", "node.listen=127.0.0.1:" + freePort(t), "--set", "bus.listen=127.0.0.1:" + freePort(t)}
	c.arguments = append(c.arguments, arguments...)
	c.serve(t, filepath.Join(t.TempDir(), "control"))
	return c
}

// serve starts the control node, anew where it was there before.
func (c *cloud) serve(t *testing.T, data string) {
	t.Helper()
	c.Server = c.program.Serve(t, data, c.arguments...)
	var err error
	if c.Client, err = client.New(c.URL, c.Key, client.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Client.Close)
}

// joinedEdge is an edge of a cloud, and a viewer of it.
type joinedEdge struct {
	*program.Server
	program   program.Program
	arguments []string
	trust     *x509.CertPool // of the viewer
	viewer    *http.Client
	served    atomic.Int64 // bytes of bodies, that are to be in the usage of somebody
}

// join adds an edge. Its viewers come by HTTPS where there is somebody whom they trust.
func (c *cloud) join(t *testing.T, name string, trust *x509.CertPool, arguments ...string) *joinedEdge {
	t.Helper()
	token, err := c.Nodes.CreateJoinToken(t.Context(), []string{"edge"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	arguments = append([]string{"--roles", "edge", "--name", name, "--set", "edge.allow=127.0.0.1"}, arguments...)
	e := &joinedEdge{program: c.program, arguments: arguments, trust: trust}
	e.serve(t, filepath.Join(t.TempDir(), name), "--join", token.Token)
	return e
}

// again starts an edge that was killed. It needs no token: it is known.
func (e *joinedEdge) again(t *testing.T) {
	t.Helper()
	e.serve(t, e.Data)
}

func (e *joinedEdge) serve(t *testing.T, data string, arguments ...string) {
	t.Helper()
	e.Server = e.program.Serve(t, data, append(arguments, e.arguments...)...)
	_, address, _ := strings.Cut(e.URL, "://")
	dialer := &net.Dialer{}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: e.trust}, DisableCompression: true, ForceAttemptHTTP2: true,
	}
	e.viewer = &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(transport.CloseIdleConnections)
}

// shielded joins an edge that others ask, and one that asks it.
func (c *cloud) shielded(t *testing.T, trust *x509.CertPool, arguments ...string) (shield, edge *joinedEdge) {
	t.Helper()
	shield = c.join(t, "shield", trust, slices.Concat(arguments, []string{"--set", "edge.region=eu", "--set", "edge.shield_listen=127.0.0.1:" + freePort(t)})...)
	edge = c.join(t, "edge", trust, slices.Concat(arguments, []string{"--set", "edge.region=us"})...)
	c.settled(t)
	return shield, edge
}

// settled waits until both edges have heard of each other.
func (c *cloud) settled(t *testing.T) {
	t.Helper()
	eventually(t, patience, "both edges are ready", func() bool {
		ready := 0
		for e, err := range c.Edges.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.State == "ready" {
				ready++
			}
		}
		return ready == 2
	})
}

// viewed is an answer that a viewer got.
type viewed struct {
	status int
	header http.Header
	body   string
}

// hit reports whether it was answered from what the edge has stored.
func (v viewed) hit() bool { return strings.HasPrefix(v.last(), "liuyun; hit") }

// caches are those it came by, the last one at the end.
func (v viewed) caches() (list []string) {
	for _, line := range v.header["Cache-Status"] {
		for one := range strings.SplitSeq(line, ",") {
			list = append(list, strings.TrimSpace(one))
		}
	}
	return list
}

func (v viewed) last() string {
	list := v.caches()
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}

// String is for messages.
func (v viewed) String() string {
	return fmt.Sprintf("status %d, %q, %d bytes %.60q", v.status, v.header["Cache-Status"], len(v.body), v.body)
}

// ask asks the edge. Fields are names and values by turns.
func (e *joinedEdge) ask(t *testing.T, method, host, path string, fields ...string) viewed {
	t.Helper()
	v, err := e.try(t, method, host, path, fields...)
	if err != nil {
		t.Fatalf("%s %s%s: %v", method, host, path, err)
	}
	return v
}

func (e *joinedEdge) try(t *testing.T, method, host, path string, fields ...string) (v viewed, err error) {
	t.Helper()
	scheme, _, _ := strings.Cut(e.URL, "://")
	r, err := http.NewRequestWithContext(t.Context(), method, scheme+"://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	in, err := e.viewer.Do(r)
	if err != nil {
		return v, err
	}
	defer in.Body.Close()
	body, err := io.ReadAll(in.Body)
	v = viewed{in.StatusCode, in.Header, string(body)}
	// What the edge says itself is nobody's, nor is why a film is not played.
	if in.Header["Cache-Status"] != nil && (host != cloudHost || in.StatusCode < 300) {
		e.served.Add(int64(len(body)))
	}
	return v, err
}

// get asks the edge for something.
func (e *joinedEdge) get(t *testing.T, host, path string, fields ...string) viewed {
	t.Helper()
	return e.ask(t, http.MethodGet, host, path, fields...)
}

// eventually waits until check is true.
func eventually(t *testing.T, limit time.Duration, what string, check func() bool) {
	t.Helper()
	began := time.Now()
	if !program.Eventually(limit, check) {
		t.Fatalf("not after %s: %s", limit, what)
	}
	t.Logf("%.2f s: %s", time.Since(began).Seconds(), what)
}

// used waits until the usage of the tenant is what was served, and no more.
func (c *cloud) used(t *testing.T, limit time.Duration, want func() int64) {
	t.Helper()
	var got int64
	defer func() { t.Logf("bytes served: %d, want %d", got, want()) }()
	eventually(t, limit, "usage has what was served", func() bool {
		got = c.usedNow(t)
		return got >= want()
	})
	if got != want() {
		t.Errorf("usage says that %d bytes were served, want %d", got, want())
	}
}

func (c *cloud) usedNow(t *testing.T) int64 {
	t.Helper()
	usage, err := c.Usage(t.Context(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return usage.Total.BytesServed
}

// purged has something purged, and waits until all edges have done that.
func (c *cloud) purged(t *testing.T, site string, purge client.NewPurge) {
	t.Helper()
	p, err := c.Sites.Purge(t.Context(), site, purge)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, fmt.Sprintf("purge of %s %q is done", purge.Kind, purge.Value), func() bool {
		p, err = c.Sites.GetPurge(t.Context(), site, p.ID)
		return err == nil && p.Status == "done"
	})
	if p.Edges != 2 || p.Done != 2 || len(p.Waiting)+len(p.Away) > 0 {
		t.Errorf("a purge that is done: %+v", p)
	}
}

// origin has a version of everything, and counts what it is asked.
type origin struct {
	*httptest.Server
	version atomic.Int64 // grows with each POST
	failing atomic.Bool
	started chan struct{} // an answer to /slow has begun
	release chan struct{} // it may end

	mu    sync.Mutex
	asked map[string]int // "GET /path"
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{asked: make(map[string]int), started: make(chan struct{}, 1), release: make(chan struct{})}
	o.Server = httptest.NewServer(http.HandlerFunc(o.answer))
	t.Cleanup(o.Server.Close)
	return o
}

func (o *origin) answer(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.asked[r.Method+" "+r.URL.Path]++
	o.mu.Unlock()
	if o.failing.Load() {
		http.Error(w, "the origin fails", http.StatusServiceUnavailable)
		return
	}
	if r.Method == http.MethodPost {
		o.version.Add(1)
		_, _ = io.WriteString(w, "changed")
		return
	}
	h, now := w.Header(), o.version.Load()
	h.Set("Etag", fmt.Sprintf(`"%d"`, now))
	h.Set("Cache-Control", "max-age=3600")
	if strings.HasPrefix(r.URL.Path, "/kept/") {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Surrogate-Key", "all folder"+strings.ReplaceAll(r.URL.Path, "/", "-"))
	h.Set("X-Origin", "1")
	if r.Header.Get("If-None-Match") == h.Get("Etag") {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	text := o.text(r.URL.Path)
	if r.URL.Path != "/slow" {
		_, _ = io.WriteString(w, text)
		return
	}
	_, _ = io.WriteString(w, text[:100])
	_ = http.NewResponseController(w).Flush()
	select {
	case o.started <- struct{}{}:
	default:
	}
	select {
	case <-o.release:
		_, _ = io.WriteString(w, text[100:])
	case <-r.Context().Done():
	}
}

// text is what it has under a path now.
func (o *origin) text(path string) string {
	return strings.Repeat(fmt.Sprintf("%s, version %d\n", path, o.version.Load()), 100)
}

// count is how often it was asked for something.
func (o *origin) count(method, path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[method+" "+path]
}
