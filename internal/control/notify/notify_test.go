package notify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/dial"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// cloud is the service with a real bus, a real store and its API.
type cloud struct {
	*Service
	t    *testing.T
	api  *httptest.Server
	gone *atomic.Bool // the key of every request
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newCloud(t *testing.T, change func(*Service), allow ...string) *cloud {
	t.Helper()
	folder := t.TempDir()
	db, err := store.Open(t.Context(), folder, store.DefaultConfig(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), bus.Migrations(), Migrations()); err != nil {
		t.Fatal(err)
	}
	b, err := bus.New(bus.Options{Name: "one", Folder: folder + "/bus", Config: bus.DefaultConfig(), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	component(t, b.Run)
	component(t, b.Relay(db))
	gone := new(atomic.Bool)
	who := func(r *http.Request) (guard.Principal, error) {
		if gone.Load() {
			return guard.Principal{}, fault.New(fault.Forbidden, "the key is gone")
		}
		return guard.Principal{Tenant: r.Header.Get("Tenant"), Key: "key", Scopes: []string{guard.AssetsRead, guard.WebhooksWrite}}, nil
	}
	s, err := New(Deps{DB: db, Bus: b, Config: Config{Allow: allow}, Authenticate: who, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	s.timing.poll = 20 * time.Millisecond
	s.timing.waits = []time.Duration{time.Millisecond, time.Millisecond}
	if change != nil {
		change(s)
	}
	component(t, s.Run)
	a := web.New(web.Options{Title: "t", Version: "1", Log: quiet(), Authenticate: who})
	s.Routes(a)
	api := httptest.NewServer(a.Handler())
	t.Cleanup(api.Close)
	return &cloud{s, t, api, gone}
}

func component(t *testing.T, run func(context.Context, func()) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("ended before it was ready: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// ask makes a request in a tenant and decodes the answer into out.
func (c *cloud) ask(tenant, method, path string, in, out any, headers ...string) int {
	c.t.Helper()
	var body bytes.Buffer
	if in != nil {
		json.NewEncoder(&body).Encode(in)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.api.URL+path, &body)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Tenant", tenant)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer w.Body.Close()
	if out != nil && w.StatusCode < 300 {
		if err := json.NewDecoder(w.Body).Decode(out); err != nil {
			c.t.Fatal(err)
		}
	}
	return w.StatusCode
}

func (c *cloud) webhook(tenant, url string, kinds ...string) (created MadeWebhook) {
	c.t.Helper()
	if status := c.ask(tenant, "POST", "/v1/webhooks", map[string]any{"url": url, "events": append([]string{}, kinds...)}, &created); status != 201 {
		c.t.Fatalf("create: %d", status)
	}
	return created
}

func (c *cloud) emit(tenant string, kinds ...string) {
	c.t.Helper()
	for _, kind := range kinds {
		if err := c.db.Write(c.t.Context(), func(tx *store.Tx) error {
			return c.bus.Emit(tx, event.Event{Type: kind, Tenant: tenant, Data: json.RawMessage(`{"name":"clip"}`)})
		}); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cloud) deliveries(tenant, webhook string) []Delivery {
	c.t.Helper()
	var page web.Page[Delivery]
	if status := c.ask(tenant, "GET", "/v1/webhooks/"+webhook+"/deliveries", nil, &page); status != 200 {
		c.t.Fatalf("list deliveries: %d", status)
	}
	return page.Data
}

func (c *cloud) eventually(what string, condition func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// receiver is somebody else's server.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []*http.Request
	bodies []string
}

func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter)) *receiver {
	rec := &receiver{}
	rec.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		rec.mu.Lock()
		rec.got, rec.bodies = append(rec.got, r), append(rec.bodies, string(body))
		n := len(rec.got)
		rec.mu.Unlock()
		if answer != nil {
			answer(n, w)
		}
	}))
	t.Cleanup(rec.Close)
	return rec
}

const local = "127.0.0.0/8"

func TestDelivery(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil, local)
	rec := newReceiver(t, func(n int, w http.ResponseWriter) {
		if n == 1 {
			w.WriteHeader(500)
		}
		fmt.Fprintf(w, "answer %d\x00\xff%s", n, strings.Repeat("x", 2000))
	})
	h := c.webhook("ten", rec.URL+"/hook", event.AssetReady)
	other := c.webhook("other", rec.URL+"/other")
	c.emit("ten", event.AssetCreated, event.AssetReady) // the first is not wanted
	var d Delivery
	c.eventually("delivered", func() bool {
		list := c.deliveries("ten", h.ID)
		if len(list) == 1 {
			d = list[0]
		}
		return len(list) == 1 && d.State == delivered
	})
	if d.Attempts != 2 || d.Status == nil || *d.Status != 200 || len(d.Response) > maxResponse+8 || !strings.HasPrefix(d.Response, "answer 2") || d.DeliveredAt == nil {
		t.Errorf("got %+v", d)
	}
	if d.Event.Type != event.AssetReady || string(d.Event.Data) != `{"name":"clip"}` {
		t.Errorf("event: %+v", d.Event)
	}
	if n := len(c.deliveries("other", other.ID)); n != 0 {
		t.Errorf("another tenant got %d", n)
	}
	for i, r := range rec.got {
		want, err := sign(h.Secret, d.Event.ID, r.Header.Get("webhook-timestamp"), rec.bodies[i])
		if err != nil || r.Header.Get("webhook-id") != d.Event.ID || r.Header.Get("webhook-signature") != want {
			t.Errorf("try %d: %v, want signature %s", i, r.Header, want)
		}
	}
	// An event that comes twice is delivered once.
	if err := c.record(t.Context(), 1, d.Event); err != nil {
		t.Fatal(err)
	}
	if n := len(c.deliveries("ten", h.ID)); n != 1 {
		t.Errorf("%d deliveries of one event", n)
	}
	var again Delivery
	if status := c.ask("ten", "POST", "/v1/webhooks/"+h.ID+"/deliveries/"+d.ID+"/resend", nil, &again); status != 202 {
		t.Errorf("resend: %d", status)
	}
	c.eventually("sent again", func() bool { rec.mu.Lock(); defer rec.mu.Unlock(); return len(rec.got) == 3 })
}

// The example of the Standard Webhooks specification.
func TestSign(t *testing.T) {
	t.Parallel()
	got, err := sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`)
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want || err != nil {
		t.Errorf("got %s %v, want %s", got, err, want)
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	target := newReceiver(t, nil)
	slow := make(chan struct{})
	stop := sync.OnceFunc(func() { close(slow) })
	tests := []struct {
		name   string
		answer func(int, http.ResponseWriter)
		want   string
	}{
		{"refused", func(_ int, w http.ResponseWriter) { w.WriteHeader(404) }, "answered 404"},
		{"redirect", func(_ int, w http.ResponseWriter) { w.Header().Set("Location", target.URL); w.WriteHeader(302) }, "answered 302"},
		{"slow", func(int, http.ResponseWriter) { <-slow }, "no answer within"},
	}
	c := newCloud(t, func(s *Service) { s.timing.timeout = 200 * time.Millisecond }, local)
	for _, test := range tests {
		rec := newReceiver(t, test.answer)
		t.Cleanup(stop) // before its Close, which waits for the slow one
		h := c.webhook("ten", rec.URL)
		var d Delivery
		if status := c.ask("ten", "POST", "/v1/webhooks/"+h.ID+"/test", nil, &d); status != 202 || d.State != waiting {
			t.Fatalf("%s: test: %d %+v", test.name, status, d)
		}
		c.eventually(test.name+" failed", func() bool { d = c.deliveries("ten", h.ID)[0]; return d.State == failed })
		if d.Attempts != 3 || !strings.Contains(d.Error, test.want) || d.NextAt != nil {
			t.Errorf("%s: got %+v", test.name, d)
		}
		var after Webhook
		c.ask("ten", "GET", "/v1/webhooks/"+h.ID, nil, &after)
		if after.FailingSince == nil {
			t.Errorf("%s: failing_since is not set", test.name)
		}
	}
	stop()
	if len(target.got) > 0 {
		t.Error("a redirect was followed")
	}
}

// Without being allowed, loopback is refused where it is dialled: a name may lead there
// later.
func TestPrivateIsRefused(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, nil)
	c := newCloud(t, func(s *Service) {
		var err error
		if s.guard, err = dial.New([]string{"localhost"}); err != nil {
			t.Fatal(err)
		}
	})
	h := c.webhook("ten", strings.Replace(rec.URL, "127.0.0.1", "localhost", 1))
	c.emit("ten", event.AssetReady)
	var d Delivery
	c.eventually("failed", func() bool {
		list := c.deliveries("ten", h.ID)
		if len(list) == 1 {
			d = list[0]
		}
		return d.State == failed
	})
	if !strings.Contains(d.Error, "inside a private network") || len(rec.got) != 0 {
		t.Errorf("got %q after %d requests", d.Error, len(rec.got))
	}
}

// What every delivery would be refused at is not taken at all, and it is said how it can
// be allowed.
func TestPrivateIsNotTaken(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil, "10.1.0.0/16")
	h := c.webhook("ten", "http://10.1.2.3:9/x")
	for address, want := range map[string]int{
		"http://127.0.0.1:9/x": 400, "http://[::1]/x": 400, "http://localhost:9/x": 400, "http://10.2.0.1/x": 400,
		"http://[::ffff:127.0.0.1]/x": 400, "http://10.1.0.1/x": 200, "https://example.com/x": 200,
	} {
		if got := c.ask("ten", "PATCH", "/v1/webhooks/"+h.ID, map[string]any{"url": address}, nil); got != want {
			t.Errorf("a change to %s: %d, want %d", address, got, want)
		}
		if want == 200 {
			want = 201
		}
		if got := c.ask("ten", "POST", "/v1/webhooks", map[string]any{"url": address}, nil); got != want {
			t.Errorf("a new one at %s: %d, want %d", address, got, want)
		}
	}
	if err := c.checkHost("http://127.0.0.1:9/x"); !strings.Contains(fault.Message(err), "inside a private network") || !strings.Contains(fault.Message(err), "webhook.allow") {
		t.Errorf("got %v", err)
	}
}

func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "10.0.0.0/99", "http://x", "a b", "x:80"} {
		if err := (Config{Allow: []string{bad}}).Validate(); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A host that answers slowly does not hold up another.
func TestSlowHostHoldsUpNobody(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil, local)
	release := make(chan struct{})
	var most, present atomic.Int32
	slow := newReceiver(t, func(int, http.ResponseWriter) {
		if n := present.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		present.Add(-1)
	})
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	quick := newReceiver(t, nil)
	c.webhook("ten", slow.URL)
	for range 20 {
		c.emit("ten", event.AssetUpdated)
	}
	c.eventually("the slow one is busy", func() bool { return present.Load() == sendPerHost })
	h := c.webhook("ten", quick.URL, event.AssetReady)
	c.emit("ten", event.AssetReady)
	c.eventually("delivered", func() bool {
		list := c.deliveries("ten", h.ID)
		return len(list) == 1 && list[0].State == delivered
	})
	if most.Load() > sendPerHost {
		t.Errorf("%d at once to one host", most.Load())
	}
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	h := c.webhook("ten", "https://example.com/hook")
	if !strings.HasPrefix(h.Secret, secretPrefix) || !h.Enabled || h.Rev != 1 {
		t.Errorf("got %+v", h)
	}
	path := "/v1/webhooks/" + h.ID
	var changed Webhook
	tests := []struct {
		name, tenant, method, path string
		in                         any
		headers                    []string
		want                       int
	}{
		{"other tenant's", "other", "GET", path, nil, nil, 404},
		{"other tenant's change", "other", "PATCH", path, map[string]any{"enabled": false}, nil, 404},
		{"other tenant's delete", "other", "DELETE", path, nil, nil, 404},
		{"other tenant's deliveries", "other", "GET", path + "/deliveries", nil, nil, 404},
		{"other tenant's test", "other", "POST", path + "/test", nil, nil, 404},
		{"other tenant's resend", "other", "POST", path + "/deliveries/dlv_x/resend", nil, nil, 404},
		{"no such delivery", "ten", "POST", path + "/deliveries/dlv_x/resend", nil, nil, 404},
		{"bad url", "ten", "POST", "/v1/webhooks", map[string]any{"url": "ftp://example.com"}, nil, 400},
		{"user in the url", "ten", "POST", "/v1/webhooks", map[string]any{"url": "https://a:b@example.com"}, nil, 400},
		{"unknown event", "ten", "POST", "/v1/webhooks", map[string]any{"url": "https://example.com", "events": []string{"x"}}, nil, 400},
		{"old revision", "ten", "PATCH", path, map[string]any{"enabled": false}, []string{"If-Match", `"7"`}, 412},
		{"change", "ten", "PATCH", path, map[string]any{"enabled": false, "events": []string{event.AssetReady}}, []string{"If-Match", `"1"`}, 200},
		{"test of one that is off", "ten", "POST", path + "/test", nil, nil, 409},
	}
	for _, test := range tests {
		if got := c.ask(test.tenant, test.method, test.path, test.in, nil, test.headers...); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
	c.ask("ten", "GET", path, nil, &changed)
	if changed.Enabled || changed.Rev != 2 || !cmp.Equal(changed.Events, []string{event.AssetReady}) {
		t.Errorf("got %+v", changed)
	}
	second := c.webhook("ten", "https://example.com/2")
	var page web.Page[Webhook]
	c.ask("ten", "GET", "/v1/webhooks?limit=1", nil, &page)
	if len(page.Data) != 1 || page.Data[0].ID != second.ID || page.Next != second.ID {
		t.Errorf("first page: %+v", page)
	}
	c.ask("ten", "GET", "/v1/webhooks?limit=1&after="+page.Next, nil, &page)
	if len(page.Data) != 1 || page.Data[0].ID != h.ID || page.Next != "" {
		t.Errorf("second page: %+v", page)
	}
	if status := c.ask("ten", "DELETE", path, nil, nil); status != 204 {
		t.Errorf("delete: %d", status)
	}
	if status := c.ask("ten", "GET", path, nil, nil); status != 404 {
		t.Errorf("deleted: %d", status)
	}
}

// At most 1,000 deliveries of a webhook are kept, and none longer than 30 days.
func TestDeliveriesAreBounded(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	h := c.webhook("ten", "https://example.com", event.AssetReady)
	if err := c.db.Write(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE webhooks SET enabled = 0`); err != nil {
			return err
		}
		for range maxDeliveries + 20 {
			if _, err := c.insert(tx, h.ID, c.testEvent("ten")); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		c.db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM deliveries`).Scan(&n) })
		return n
	}
	if n := count(); n != maxDeliveries {
		t.Errorf("%d kept, want %d", n, maxDeliveries)
	}
	if err := c.db.Write(t.Context(), func(tx *store.Tx) error { return cleanDeliveries(tx, time.Now().Add(keepDeliveries+time.Hour)) }); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d kept after 30 days", n)
	}
}

// reader reads the stream as a browser does.
type reader struct {
	lines chan string
	stop  context.CancelFunc
}

func (c *cloud) read(tenant, lastID string) *reader {
	c.t.Helper()
	ctx, stop := context.WithCancel(c.t.Context())
	request, _ := http.NewRequestWithContext(ctx, "GET", c.api.URL+"/v1/events", nil)
	request.Header.Set("Tenant", tenant)
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/event-stream" {
		c.t.Fatalf("%d %s", response.StatusCode, got)
	}
	r := &reader{make(chan string, 1000), stop}
	go func() {
		defer close(r.lines)
		defer response.Body.Close()
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			r.lines <- scanner.Text()
		}
	}()
	c.t.Cleanup(stop)
	return r
}

// next returns the next line that begins with one of the prefixes.
func (c *cloud) next(r *reader, prefixes ...string) string {
	c.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				c.t.Fatal("the stream ended")
			}
			for _, p := range prefixes {
				if strings.HasPrefix(line, p) {
					return line
				}
			}
		case <-timeout:
			c.t.Fatalf("no line with %v within 20 s", prefixes)
		}
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	c := newCloud(t, func(s *Service) { s.timing.heartbeat = 50 * time.Millisecond })
	r := c.read("ten", "")
	first := strings.TrimPrefix(c.next(r, "id:"), "id: ")
	c.emit("other", event.AssetReady)
	c.emit("ten", event.AssetCreated, event.AssetReady)
	if got := c.next(r, "event:"); got != "event: asset.created" {
		t.Errorf("got %s", got)
	}
	data := strings.TrimPrefix(c.next(r, "data:"), "data: ")
	var e event.Event
	if err := json.Unmarshal([]byte(data), &e); err != nil || e.Tenant != "ten" || e.Type != event.AssetCreated {
		t.Errorf("got %+v %v", e, err)
	}
	if second := strings.TrimPrefix(c.next(r, "id:"), "id: "); second == first {
		t.Errorf("numbers do not grow: %s", second)
	}
	c.next(r, "event: asset.ready")
	c.next(r, ": alive")
	// What is announced has no number, and is for its tenant.
	c.bus.Announce(event.Event{Type: "asset.progress", Tenant: "other"})
	c.bus.Announce(event.Event{Type: "node.changed"})
	c.bus.Announce(event.Event{Type: "asset.progress", Tenant: "ten", Data: json.RawMessage(`{}`)})
	if got := c.next(r, "id:", "event:"); got != "event: asset.progress" {
		t.Errorf("got %s", got)
	}
	if got := c.next(r, "data:"); !strings.Contains(got, `"tenant":"ten"`) {
		t.Errorf("got %s", got)
	}
}

// An open stream ends when its key is deleted.
func TestStreamEndsWithItsKey(t *testing.T) {
	t.Parallel()
	c := newCloud(t, func(s *Service) { s.timing.heartbeat = 20 * time.Millisecond })
	r := c.read("ten", "")
	c.next(r, ": alive")
	c.gone.Store(true)
	deadline := time.After(20 * time.Second)
	for {
		select {
		case _, open := <-r.lines:
			if !open {
				return
			}
		case <-deadline:
			t.Fatal("the stream goes on without a key")
		}
	}
}

func TestStreamResumes(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil)
	r := c.read("ten", "")
	c.next(r, "id:")
	c.emit("ten", event.AssetCreated)
	seen := strings.TrimPrefix(c.next(r, "id:"), "id: ")
	r.stop()
	c.emit("ten", event.AssetUpdated, event.AssetReady)
	r = c.read("ten", seen)
	for _, want := range []string{"event: asset.updated", "event: asset.ready"} {
		if got := c.next(r, "event:"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if status := c.ask("ten", "GET", "/v1/events", nil, nil, "Last-Event-ID", "x"); status != 400 {
		t.Errorf("bad Last-Event-ID: %d", status)
	}
	c.streams.Add(maxStreams)
	if status := c.ask("ten", "GET", "/v1/events", nil, nil); status != 429 {
		t.Errorf("too many streams: %d", status)
	}
	c.streams.Add(-maxStreams)
}

// With a tenant go its webhooks, and nobody else's.
func TestForget(t *testing.T) {
	t.Parallel()
	c := newCloud(t, nil, local)
	rec := newReceiver(t, nil)
	gone, kept := c.webhook("ten", rec.URL), c.webhook("other", rec.URL)
	c.emit("ten", event.AssetReady)
	c.eventually("delivered", func() bool { return len(c.deliveries("ten", gone.ID)) == 1 })
	if err := c.db.Write(t.Context(), func(tx *store.Tx) error { return Forget(tx, "ten") }); err != nil {
		t.Fatal(err)
	}
	err := c.db.Read(t.Context(), func(tx *store.Tx) error {
		left := ""
		if err := tx.QueryRow(`SELECT id FROM webhooks`).Scan(&left); err != nil || left != kept.ID {
			t.Errorf("webhooks left: %q, %v", left, err)
		}
		n := 0
		if err := tx.QueryRow(`SELECT count(*) FROM deliveries`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d deliveries left, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
