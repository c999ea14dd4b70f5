package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/contract/worker"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire joins agents and services of one process, as the bus does.
type wire struct {
	mu        sync.Mutex
	listeners map[string][]func(string, []byte)
	server    func(ctx context.Context, node string, data []byte) (any, error)
	clock     time.Duration // how far the service's clock is ahead
	cut       bool
}

func (w *wire) Publish(subject string, v any) error {
	data, err := json.Marshal(v)
	w.mu.Lock()
	listeners, from := w.listeners[subject], subject
	if at := strings.LastIndexByte(subject, '.'); len(listeners) == 0 && at >= 0 { // somebody says it in his name
		listeners, from = w.listeners[subject[:at]], subject[at+1:]
	}
	if w.cut {
		listeners = nil
	}
	w.mu.Unlock()
	for _, fn := range listeners {
		fn(from, data)
	}
	return err
}

func (w *wire) Announce(e event.Event) error { return w.Publish(e.Type, e.Data) }

func (w *wire) Subscribe(subject string, fn func(string, []byte)) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners[subject] = append(w.listeners[subject], fn)
	return func() {}, nil
}

func (w *wire) SubscribeFrom(subject string, fn func(string, []byte)) (func(), error) {
	return w.Subscribe(subject, fn)
}

func (w *wire) ServeFrom(_ string, fn func(context.Context, string, []byte) (any, error)) (func(), error) {
	w.server = fn
	return func() {}, nil
}

func (w *wire) Request(ctx context.Context, subject string, in, out any) error {
	w.mu.Lock()
	cut, ahead := w.cut, w.clock
	w.mu.Unlock()
	if cut || w.server == nil {
		return fault.New(fault.Unavailable, "nobody answers")
	}
	data, _ := json.Marshal(in)
	v, err := w.server(ctx, subject[strings.LastIndexByte(subject, '.')+1:], data)
	if err != nil {
		return err
	}
	answer := v.(welcome)
	answer.Time = answer.Time.Add(ahead)
	data, _ = json.Marshal(answer)
	return json.Unmarshal(data, out)
}

// hands is a worker that notes what it is told.
type hands struct{ working bool }

func (h *hands) Pause()       { h.working = false }
func (h *hands) Resume()      { h.working = true }
func (h *hands) Running() int { return 3 }

func openStore(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), t.TempDir(), store.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err == nil {
		err = db.Migrate(t.Context(), Migrations())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// cloud is a control node with a node listener.
type cloud struct {
	*Service
	db      *store.DB
	ca      *guard.CA
	wire    *wire
	api     http.Handler
	address string
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	ca, err := guard.OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{db: openStore(t), ca: ca, wire: &wire{listeners: map[string][]func(string, []byte){}}}
	quiet := slog.New(slog.DiscardHandler)
	blob := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "blob "+r.URL.Path) })
	c.Service = New(Deps{Records: c.db, Messages: c.wire, CA: ca, Blob: blob, Log: quiet, Reach: func() Reach {
		return Reach{Nodes: []string{c.address}, Bus: []string{"tls://10.0.0.1:7422"}, Blob: "https://" + c.address + "/blob/"}
	}})
	listener := httptest.NewUnstartedServer(c.Handler())
	listener.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	listener.Listener = tls.NewListener(listener.Listener, guard.NodeTLS(ca.Server(guard.ControlName), ca.Pool()))
	listener.Start()
	t.Cleanup(listener.Close)
	c.address = listener.Listener.Addr().String()
	a := web.New(web.Options{Title: "t", Version: "v", Log: quiet, Authenticate: func(*http.Request) (guard.Principal, error) {
		return guard.Principal{Tenant: "ten_1", Scopes: []string{guard.Admin}}, nil
	}})
	c.Routes(a)
	c.api = a.Handler()
	return c
}

// ask calls the API and decodes the answer into out.
func (c *cloud) ask(t *testing.T, method, path, body string, status int, out any) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer x")
	w := httptest.NewRecorder()
	c.api.ServeHTTP(w, r)
	if w.Code != status {
		t.Fatalf("%s %s: got %d, want %d: %s", method, path, w.Code, status, w.Body)
	}
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *cloud) token(t *testing.T) guard.JoinToken {
	t.Helper()
	var made JoinTokenAnswer
	c.ask(t, "POST", "/v1/nodes/join_tokens", `{"expires_in":60}`, 201, &made)
	if want := "liuyun serve --roles worker --join " + made.Token; made.Command != want {
		t.Errorf("got command %q", made.Command)
	}
	token, err := guard.ParseJoinToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (c *cloud) blob(t *testing.T, identity *guard.Identity) (int, string) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true}
	if identity != nil {
		config = identity.ClientTLS()
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	answer, err := client.Get("https://" + c.address + "/blob/a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

// A machine joins with a token, is listed, reads media, and is shut out when it is
// deleted.
func TestJoin(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	folder := t.TempDir()
	identity, m, err := Join(t.Context(), c.token(t), "  box\x00 1", folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"worker"}, m.Roles); diff != "" || m.Node != identity.Node() || m.Reach.Bus[0] != "tls://10.0.0.1:7422" {
		t.Errorf("got %+v\n%s", m, diff)
	}
	var nodes web.Page[Node]
	c.ask(t, "GET", "/v1/nodes", "", 200, &nodes)
	if len(nodes.Data) != 1 || nodes.Data[0].ID != m.Node || nodes.Data[0].State != Gone || nodes.Data[0].Name != "  box 1" || nodes.Data[0].Address != "127.0.0.1" {
		t.Errorf("got %+v", nodes)
	}
	if status, text := c.blob(t, identity); status != 200 || text != "blob /a/b" {
		t.Errorf("a node: got %d %s", status, text)
	}
	if status, _ := c.blob(t, nil); status != 403 {
		t.Errorf("a stranger: got %d, want 403", status)
	}
	if err := Renew(t.Context(), identity, []string{c.address}); err != nil {
		t.Errorf("before half of its life: %v", err)
	}
	c.ask(t, "DELETE", "/v1/nodes/"+m.Node, "", 204, nil)
	if status, text := c.blob(t, identity); status != 403 || !strings.Contains(text, "join again") {
		t.Errorf("deleted: got %d %s", status, text)
	}
	c.ask(t, "DELETE", "/v1/nodes/"+m.Node, "", 404, nil)
}

// Objects are for those who work on them: what faces viewers has no business there.
func TestEdgesSeeNoObjects(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var made JoinTokenAnswer
	c.ask(t, "POST", "/v1/nodes/join_tokens", `{"expires_in":60,"roles":["edge"]}`, 201, &made)
	token, err := guard.ParseJoinToken(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	identity, _, err := Join(t.Context(), token, "edge", t.TempDir(), "edge")
	if err != nil {
		t.Fatal(err)
	}
	if status, text := c.blob(t, identity); status != 403 || !strings.Contains(text, "worker or control") {
		t.Errorf("an edge: got %d %s", status, text)
	}
}

func TestRenewGivesANewCertificate(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	identity, m, err := Join(t.Context(), c.token(t), "box", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, request, _ := guard.NewRequest()
	transport := &http.Transport{TLSClientConfig: identity.ClientTLS()}
	defer transport.CloseIdleConnections()
	again, err := apply(t.Context(), transport, c.address, "/renew", application{Request: request})
	if err != nil || again.Node != m.Node || bytes.Equal(again.Certificate, m.Certificate) {
		t.Fatalf("got %s, %v", again.Node, err)
	}
	if err := identity.Replace(key, again.Certificate); err != nil {
		t.Fatal(err)
	}
	if status, _ := c.blob(t, identity); status != 200 {
		t.Errorf("with the new certificate: got %d", status)
	}
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	good := c.token(t)
	stranger := good
	stranger.Credential = guard.NewCredential()
	elsewhere := good
	elsewhere.CA = bytes.Repeat([]byte{1}, 32)
	nobody := good
	nobody.Addresses = []string{"127.0.0.1:1"}
	tests := []struct {
		name  string
		token guard.JoinToken
		code  fault.Code
	}{
		{"unknown credential", stranger, fault.Forbidden},
		{"another cloud", elsewhere, fault.Forbidden},
		{"nobody there", nobody, fault.Unavailable},
	}
	for _, test := range tests {
		folder := t.TempDir()
		if _, _, err := Join(t.Context(), test.token, "box", folder); fault.CodeOf(err) != test.code {
			t.Errorf("%s: got %v, want %s", test.name, err, test.code)
		}
		if left, _ := os.ReadDir(folder); len(left) > 0 {
			t.Errorf("%s: left %v", test.name, left)
		}
	}
	err := c.db.Read(t.Context(), func(tx *store.Tx) error {
		if _, err := tokenRoles(tx, guard.CredentialHash(good.Credential), time.Now().Add(2*time.Minute)); fault.CodeOf(err) != fault.Forbidden {
			t.Errorf("an expired token: got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	c.ask(t, "POST", "/v1/nodes/join_tokens", `{"roles":["king"]}`, 400, nil)
}

// A control node that listens nowhere else makes no token that nobody could use.
func TestTokenNeedsAnAddress(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{"10.0.0.1:7443": true, "box.example:7443": true, "0.0.0.0:7443": false, "[::]:7443": false, ":7443": false, "": false} {
		if reachable([]string{address}) != ok {
			t.Errorf("%q: got %v", address, !ok)
		}
	}
}

// A worker whose job failed learns at once that the machine is at fault, though
// ffmpeg was found well a moment ago; and the next beat says so.
func TestSound(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	a, worker := newAgent(t, c)
	a.Tools = func(context.Context) error { return nil }
	a.beat(t.Context())
	if err := a.Sound(t.Context()); err != nil || !worker.working {
		t.Fatalf("a sound machine: %v, working %v", err, worker.working)
	}
	a.Tools = func(context.Context) error { return fault.New(fault.Unavailable, "its ffmpeg is broken") }
	a.checked = a.checked.Add(-soundFor)
	if err := a.Sound(t.Context()); fault.Message(err) != "its ffmpeg is broken" {
		t.Errorf("a broken ffmpeg: %v", err)
	}
	a.beat(t.Context())
	if last := a.Last(); last.State != Aside || worker.working {
		t.Errorf("after that it is %s %q, working %v", last.State, last.Reason, worker.working)
	}
}

// newAgent registers a node in c and returns its agent.
func newAgent(t *testing.T, c *cloud) (*Agent, *hands) {
	t.Helper()
	h := &hands{}
	a := &Agent{Line: c.wire, Worker: h, Node: c.ids.New("nod"), Name: "box", Version: "v1", Class: "x86", Folder: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	if err := c.Register(t.Context(), a.Node, "box", []string{"worker"}, "10.0.0.2"); err != nil {
		t.Fatal(err)
	}
	_, err := c.wire.SubscribeFrom(subjectBeat, func(node string, data []byte) { c.hear(t.Context(), node, data) })
	if _, serveErr := c.wire.ServeFrom(subjectGreet, c.greet); err != nil || serveErr != nil {
		t.Fatal(err, serveErr)
	}
	return a, h
}

// What keeps a node from working is noticed, told, and over when it is mended.
func TestAside(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		hurt, mend func(c *cloud, a *Agent)
		reason     string
	}{
		{"clock behind", func(c *cloud, _ *Agent) { c.wire.clock = 93 * time.Second }, func(c *cloud, _ *Agent) { c.wire.clock = 0 }, "its clock is 93 s behind the control node's; set it"},
		{"clock ahead", func(c *cloud, _ *Agent) { c.wire.clock = -8 * time.Second }, func(c *cloud, _ *Agent) { c.wire.clock = 4 * time.Second }, "its clock is 8 s ahead of"},
		{"ffmpeg", func(_ *cloud, a *Agent) {
			a.Tools = func(context.Context) error {
				return fault.New(fault.Unavailable, "its ffmpeg has no x264; install another")
			}
			a.checked = time.Time{}
		}, func(_ *cloud, a *Agent) { a.Tools = func(context.Context) error { return nil } }, "its ffmpeg has no x264; install another"},
		{"disk gone", func(_ *cloud, a *Agent) { os.Rename(a.Folder, a.Folder+".away") }, func(_ *cloud, a *Agent) { os.Rename(a.Folder+".away", a.Folder) }, "its disk cannot be written"},
		{"disk full", func(_ *cloud, a *Agent) { a.Reserve = 1 << 60 }, func(_ *cloud, a *Agent) { a.Reserve = 0 }, "its disk is full"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			a, worker := newAgent(t, c)
			check := func(state State, reason string, working bool) {
				t.Helper()
				a.beat(t.Context())
				var shown Node
				c.ask(t, "GET", "/v1/nodes/"+a.Node, "", 200, &shown)
				if shown.State != state || !strings.Contains(shown.Reason, reason) || worker.working != working {
					t.Errorf("got %s %q, working %v", shown.State, shown.Reason, worker.working)
				}
			}
			check(Ready, "", true)
			test.hurt(c, a)
			check(Aside, test.reason, false)
			test.mend(c, a)
			check(Ready, "", true)
		})
	}
}

func TestDrainAndDelete(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	a, worker := newAgent(t, c)
	a.beat(t.Context())
	var shown Node
	c.ask(t, "POST", "/v1/nodes/"+a.Node+"/drain", "", 200, &shown)
	a.beat(t.Context())
	if shown.State != Draining || worker.working || a.Last().State != Draining || shown.Running != 3 || shown.Memory == 0 || shown.DiskSize == 0 || shown.Cores == 0 {
		t.Errorf("drained: got %+v, working %v", shown, worker.working)
	}
	c.ask(t, "POST", "/v1/nodes/"+a.Node+"/resume", "", 200, nil)
	a.beat(t.Context())
	if !worker.working {
		t.Error("resumed, but it does not work")
	}
	c.wire.cut = true // the control node is away: the worker goes on
	a.beat(t.Context())
	if !worker.working {
		t.Error("a node stops when it cannot reach a control node")
	}
	c.wire.cut = false
	c.ask(t, "DELETE", "/v1/nodes/"+a.Node, "", 204, nil)
	a.beat(t.Context())
	if worker.working || !strings.Contains(a.Last().Reason, "deleted") {
		t.Errorf("a deleted node works: %+v", a.Last())
	}
	c.ask(t, "POST", "/v1/nodes/nod_x/drain", "", 404, nil)
}

// What a machine is worth as a worker is shown, and known of those that take jobs.
func TestFigures(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	a, _ := newAgent(t, c)
	a.beat(t.Context()) // as one of an earlier version
	if got := c.Workers(); len(got) != 1 || got[0].Figures != nil || got[0].Class != "x86" {
		t.Errorf("without figures: got %+v", got)
	}
	figures := &worker.Figures{Architecture: "arm64", CPU: "Neoverse-N1", Cores: 4, Speed: new(21.5), Watts: 7, WattsFrom: worker.WattsModel,
		Price: new(0.14), Hardware: []worker.Encoder{{Name: "h264_v4l2m2m", Why: "no device"}}}
	a.Figures = func() *worker.Figures { return figures }
	a.beat(t.Context())
	var shown Node
	c.ask(t, "GET", "/v1/nodes/"+a.Node, "", 200, &shown)
	if diff := cmp.Diff(figures, shown.Worker); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if got := c.Workers(); len(got) != 1 || cmp.Diff(figures, got[0].Figures) != "" || got[0].Node != a.Node {
		t.Errorf("got %+v", got)
	}
	c.ask(t, "POST", "/v1/nodes/"+a.Node+"/drain", "", 200, nil)
	a.beat(t.Context())
	if got := c.Workers(); len(got) != 0 {
		t.Errorf("drained: got %+v", got)
	}
}

// A node that is silent for 20 seconds is gone, and that is told once.
func TestGone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	a, _ := newAgent(t, c)
	told := 0
	c.wire.Subscribe(event.NodeChanged, func(_ string, data []byte) {
		if strings.Contains(string(data), `"gone"`) {
			told++
		}
	})
	a.beat(t.Context())
	now := time.Now()
	c.sweep(now.Add(goneAfter - time.Second))
	if told != 0 {
		t.Error("gone too early")
	}
	c.sweep(now.Add(goneAfter + time.Second))
	c.sweep(now.Add(goneAfter + time.Second))
	if told != 1 {
		t.Errorf("told %d times, want once", told)
	}
}

// An agent beats every five seconds, from the start.
func TestAgentRuns(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		beats := 0
		w := &wire{listeners: map[string][]func(string, []byte){}}
		w.Subscribe(subjectBeat, func(string, []byte) { beats++ })
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		a := &Agent{Line: w, Node: "nod_1", Folder: folder, Log: slog.New(slog.DiscardHandler)}
		if err := a.Run(ctx, func() {}); err != nil || beats != 3 {
			t.Errorf("got %d beats, %v", beats, err)
		}
	})
}

// The way of a question is no skew.
func TestSkew(t *testing.T) {
	t.Parallel()
	asked := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	tests := []struct{ took, ahead, want time.Duration }{
		{0, 0, 0}, {8 * time.Second, 0, 0}, {2 * time.Second, -10 * time.Second, 10 * time.Second}, {2 * time.Second, 11 * time.Second, -9 * time.Second},
	}
	for _, test := range tests {
		if got := skewOf(asked, test.took, asked.Add(test.ahead)); got != test.want {
			t.Errorf("took %s, %s: got %s, want %s", test.took, test.ahead, got, test.want)
		}
	}
}

func TestReadMachine(t *testing.T) {
	t.Parallel()
	total, available := memory([]byte("MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:   400 kB\nodd\n"))
	if total != 1000<<10 || available != 400<<10 {
		t.Errorf("got %d, %d", total, available)
	}
	before, after := readCPU([]byte("cpu  100 0 100 700 100 0 0 0 50 0\n")), readCPU([]byte("cpu  200 0 200 850 150 0 0 0 90 0\ncpu0 …"))
	if got := after.loadSince(before); got != 0.5 {
		t.Errorf("got load %g, want 0.5", got)
	}
	if got := readCPU([]byte("nonsense")).loadSince(before); got != 0 {
		t.Errorf("got %g", got)
	}
	if err := probeDisk(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := probeDisk("/nonexistent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Nodes learn of every control node, in the order of their joining, and where
// objects are from the one that they ask.
func TestReachOfAllControlNodes(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	second := New(Deps{Records: c.db, Messages: c.wire, Log: slog.New(slog.DiscardHandler), Reach: func() Reach {
		return Reach{Nodes: []string{"10.0.0.2:8450"}, Bus: []string{"tls://10.0.0.2:8451"}, Blob: "https://elsewhere/blob/"}
	}})
	if err := second.Return(t.Context(), c.ids.New("nod")); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("an unknown control node: %v", err)
	}
	if err := c.Register(t.Context(), c.ids.New("nod"), "first", []string{"control"}, ""); err != nil {
		t.Fatal(err)
	}
	_, m, err := Join(t.Context(), c.token(t), "second", t.TempDir())
	if err == nil {
		err = second.Return(t.Context(), m.Node)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, m, err = Join(t.Context(), c.token(t), "third", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := Reach{
		Nodes: []string{c.address, "10.0.0.2:8450"}, Bus: []string{"tls://10.0.0.1:7422", "tls://10.0.0.2:8451"},
		Blob: "https://" + c.address + "/blob/",
	}
	if diff := cmp.Diff(want, m.Reach); diff != "" {
		t.Errorf("reach (-want +got):\n%s", diff)
	}
	var learned Reach
	a := &Agent{Line: c.wire, Node: m.Node, Folder: t.TempDir(), Log: slog.New(slog.DiscardHandler), Learn: func(r Reach) { learned = r }}
	c.wire.server = second.greet
	a.beat(t.Context())
	want.Blob = "https://elsewhere/blob/"
	if diff := cmp.Diff(want, learned); diff != "" {
		t.Errorf("learned (-want +got):\n%s", diff)
	}
}
