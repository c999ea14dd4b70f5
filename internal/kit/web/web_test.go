package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/obs"
	"liuyun/internal/kit/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// thing is what the operations of these tests are about.
type thing struct {
	Name string   `json:"name" minLength:"1" maxLength:"20"`
	Tags []string `json:"tags,omitempty" nullable:"false"`
}

type thingInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
}

type thingOutput struct {
	ETag string `header:"ETag"`
	Body thing
}

// server is an API with a few operations and what it did.
type server struct {
	*web.API
	log     bytes.Buffer
	metrics *obs.Registry
	made    int // things
	mu      sync.Mutex
	wait    chan struct{} // when set, making a thing waits for it
}

// people maps keys to who they are.
func authenticate(r *http.Request) (guard.Principal, error) {
	secret := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if cookie, err := r.Cookie(web.SessionCookie); secret == "" && err == nil {
		secret = cookie.Value
	}
	switch secret {
	case "reader":
		return guard.Principal{Tenant: "ten_1", Key: "key_1", Name: "reader", Scopes: []string{guard.AssetsRead}}, nil
	case "writer", "other":
		return guard.Principal{Tenant: "ten_1", Key: "key_2", Name: "writer", Scopes: []string{guard.AssetsRead, guard.AssetsWrite}}, nil
	case "down":
		return guard.Principal{}, fault.New(fault.Unavailable, "the database is away; try again soon")
	}
	return guard.Principal{}, fault.New(fault.Forbidden, "sign in, or send a key")
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{metrics: obs.NewRegistry()}
	s.API = web.New(web.Options{
		Title: "Things", Version: "v1", Authenticate: authenticate, Idempotency: &memory{answers: map[string][]byte{}}, Metrics: s.metrics,
		Log: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	web.Add(s.API, web.Op{ID: "list-things", Method: "GET", Path: "/v1/things", Tag: "Things", Scope: guard.AssetsRead},
		func(ctx context.Context, in *web.PageQuery) (*struct{ Body web.Page[thing] }, error) {
			p, _ := guard.From(ctx)
			return &struct{ Body web.Page[thing] }{web.Page[thing]{Data: []thing{{Name: p.Tenant}}, Next: fmt.Sprint(in.Limit)}}, nil
		})
	web.Add(s.API, web.Op{ID: "get-thing", Method: "GET", Path: "/v1/things/{id}", Tag: "Things", Scope: guard.AssetsRead}, s.get)
	web.Add(s.API, web.Op{ID: "delete-thing", Method: "DELETE", Path: "/v1/things/{id}", Tag: "Things", Scope: guard.AssetsWrite},
		func(_ context.Context, in *thingInput) (*struct{}, error) { return nil, web.CheckMatch(in.IfMatch, 7) })
	web.Add(s.API, web.Op{ID: "make-thing", Method: "POST", Path: "/v1/things", Tag: "Things", Scope: guard.AssetsWrite, Status: 201, MaxBody: 200}, s.make)
	web.Add(s.API, web.Op{ID: "sign-in", Method: "POST", Path: "/v1/session", Tag: "Session", Public: true},
		func(context.Context, *struct{ Body thing }) (*struct{}, error) { return nil, nil })
	s.Raw(web.Op{ID: "stream", Method: "GET", Path: "/v1/stream/{rest...}", Tag: "Things", Scope: guard.AssetsRead}, web.Media{Response: "text/event-stream"},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.PathValue("rest") == "fail" {
				web.Problem(w, r, fault.New(fault.StorageFull, "no room; delete something"))
				return
			}
			p, _ := guard.From(r.Context())
			_, untouched := w.(io.ReaderFrom)
			fmt.Fprint(w, p.Name, " ", r.PathValue("rest"), " ", untouched)
		}))
	return s
}

// get fails in the way that the id names.
func (s *server) get(_ context.Context, in *thingInput) (*thingOutput, error) {
	switch in.ID {
	case "absent":
		return nil, fault.New(fault.NotFound, "there is no thing absent")
	case "inner":
		return nil, errors.New("secret path of a file")
	case "panic":
		panic("oh dear")
	case "busy":
		return nil, fmt.Errorf("inside: %w", fault.Wrap(errors.New("cause"), fault.Unavailable, "the bus is away; try again"))
	case "limit":
		return nil, fault.New(fault.Limit, "too many")
	}
	return &thingOutput{web.ETag(7), thing{Name: in.ID}}, nil
}

func (s *server) make(_ context.Context, in *struct{ Body thing }) (*thingOutput, error) {
	if s.wait != nil {
		<-s.wait
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	if in.Body.Name == "again" && s.made == 1 {
		return nil, fault.New(fault.Unavailable, "not now")
	}
	return &thingOutput{web.ETag(1), thing{Name: fmt.Sprintf("%s %d", in.Body.Name, s.made)}}, nil
}

// memory keeps answers as control/account does.
type memory struct {
	mu      sync.Mutex
	answers map[string][]byte
}

func (m *memory) Claim(_ context.Context, tenant, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer, taken := m.answers[tenant+key]
	if taken && answer == nil {
		return nil, fault.New(fault.Conflict, "the first request is still being worked on")
	}
	m.answers[tenant+key] = answer
	return answer, nil
}

func (m *memory) Keep(_ context.Context, tenant, key string, answer []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[tenant+key] = answer
	return nil
}

func (m *memory) Release(_ context.Context, tenant, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.answers, tenant+key)
	return nil
}

// ask sends a request; head is a list of names and values.
func (s *server) ask(method, path, body string, head ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	for i := 0; i < len(head); i += 2 {
		r.Header.Add(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

const asWriter = "Bearer writer"

func TestAnswers(t *testing.T) {
	t.Parallel()
	writer := []string{"Authorization", asWriter}
	cookie := []string{"Cookie", web.SessionCookie + "=writer"}
	tests := []struct {
		name, method, path, body string
		head                     []string
		status                   int
		want                     string // in the body
	}{
		{"list", "GET", "/v1/things", "", writer, 200, `{"data":[{"name":"ten_1"}],"next":"50"}`},
		{"list with a limit", "GET", "/v1/things?limit=3", "", writer, 200, `"next":"3"`},
		{"limit too high", "GET", "/v1/things?limit=300", "", writer, 422, `"location":"query.limit"`},
		{"unknown parameter", "GET", "/v1/things?limits=3", "", writer, 422, `query.limits`},
		{"make", "POST", "/v1/things", `{"name":"a"}`, writer, 201, `{"name":"a 1"}`},
		{"wrong field", "POST", "/v1/things", `{"name":""}`, writer, 422, `"code":"invalid","detail":"body.name: expected length >= 1"`},
		{"unknown field", "POST", "/v1/things", `{"name":"a","nome":"b"}`, writer, 422, `body.nome`},
		{"no JSON", "POST", "/v1/things", `{`, writer, 400, `"code":"invalid"`},
		{"no body", "POST", "/v1/things", ``, writer, 400, `body is required`},
		{"other type", "POST", "/v1/things", `a=b`, append(writer, "Content-Type", "text/csv"), 415, `"code":"invalid"`},
		{"too large", "POST", "/v1/things", `{"name":"` + strings.Repeat("a", 200) + `"}`, writer, 413, `"code":"limit"`},
		{"not found", "GET", "/v1/things/absent", "", writer, 404, `{"type":"about:blank","title":"Not found","status":404,"code":"not_found","detail":"there is no thing absent"}`},
		{"unavailable", "GET", "/v1/things/busy", "", writer, 503, `"detail":"the bus is away; try again"`},
		{"limit", "GET", "/v1/things/limit", "", writer, 429, `"code":"limit"`},
		{"internal", "GET", "/v1/things/inner", "", writer, 500, `log says more under request`},
		{"panic", "GET", "/v1/things/panic", "", writer, 500, `"code":"internal"`},
		{"precondition holds", "DELETE", "/v1/things/a", "", append(writer, "If-Match", `"7"`), 204, ""},
		{"precondition fails", "DELETE", "/v1/things/a", "", append(writer, "If-Match", `"6"`), 412, `"code":"conflict"`},
		{"no key", "GET", "/v1/things", "", nil, 401, `"title":"Unauthorized","status":401,"code":"forbidden"`},
		{"lacks the scope", "POST", "/v1/things", `{"name":"a"}`, []string{"Authorization", "Bearer reader"}, 403, `assets:write`},
		{"checked before the body is read", "POST", "/v1/things", `{`, []string{"Authorization", "Bearer reader"}, 403, ``},
		{"keys cannot be looked up", "GET", "/v1/things", "", []string{"Authorization", "Bearer down"}, 503, `"code":"unavailable"`},
		{"cookie reads", "GET", "/v1/things", "", cookie, 200, ``},
		{"cookie alone changes nothing", "POST", "/v1/things", `{"name":"a"}`, cookie, 403, `X-Liuyun: 1`},
		{"cookie from the console", "POST", "/v1/things", `{"name":"a"}`, append(cookie, "X-Liuyun", "1"), 201, ``},
		{"cookie from another site", "POST", "/v1/things", `{"name":"a"}`, append(cookie, "X-Liuyun", "1", "Sec-Fetch-Site", "cross-site"), 403, `another site`},
		{"public", "POST", "/v1/session", `{"name":"a"}`, nil, 204, ``},
		{"public from another site", "POST", "/v1/session", `{"name":"a"}`, []string{"Origin", "https://evil.example"}, 403, `another site`},
		{"raw", "GET", "/v1/stream/a/b", "", writer, 200, `writer a/b false`},
		{"raw without a key", "GET", "/v1/stream/a", "", nil, 401, ``},
		{"raw problem", "GET", "/v1/stream/fail", "", writer, 507, `"code":"storage_full"`},
		{"no such path", "GET", "/v1/thongs", "", writer, 404, `"code":"not_found"`},
		{"no such method", "PUT", "/v1/things", "", writer, 405, `DELETE`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			w := s.ask(test.method, test.path, test.body, test.head...)
			if w.Code != test.status {
				t.Errorf("got status %d, want %d: %s", w.Code, test.status, w.Body)
			}
			if test.status == 405 {
				if got := w.Header().Get("Allow"); got != "GET, HEAD, POST" {
					t.Errorf("got Allow %q", got)
				}
				return
			}
			if !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("got %s, want it to hold %s", w.Body, test.want)
			}
			checkHeaders(t, w)
			if strings.Contains(w.Body.String(), "secret path") || strings.Contains(w.Body.String(), "goroutine") {
				t.Errorf("the client sees what is inside: %s", w.Body)
			}
		})
	}
}

// checkHeaders checks what every answer must have.
func checkHeaders(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if w.Header().Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
	if w.Header().Get("Link") != "" || strings.Contains(w.Body.String(), "$schema") {
		t.Error("a schema is linked")
	}
	if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got Content-Type %q for an error", w.Header().Get("Content-Type"))
	}
	if got := w.Header().Get("WWW-Authenticate") != ""; got != (w.Code == 401) {
		t.Errorf("WWW-Authenticate: got %v with status %d", got, w.Code)
	}
	if got := w.Header().Get("Retry-After") != ""; got != (w.Code == 503 || w.Code == 429 || w.Code == 507) {
		t.Errorf("Retry-After: got %v with status %d", got, w.Code)
	}
}

// A raw handler gets the server's own ResponseWriter, which can send files
// without copying.
func TestRawIsNotWrapped(t *testing.T) {
	t.Parallel()
	live := httptest.NewServer(newServer(t).Handler())
	defer live.Close()
	r, _ := http.NewRequest("GET", live.URL+"/v1/stream/x", nil)
	r.Header.Set("Authorization", asWriter)
	defer live.Client().CloseIdleConnections()
	answer, err := live.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if got, want := string(body), "writer x true"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A request that is sent again with its Idempotency-Key is answered again, not
// carried out again.
func TestIdempotency(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	send := func(body, key, who string) *httptest.ResponseRecorder {
		return s.ask("POST", "/v1/things", body, "Authorization", "Bearer "+who, "Idempotency-Key", key)
	}
	first, second := send(`{"name":"a"}`, "k1", "writer"), send(`{"name":"a"}`, "k1", "writer")
	if first.Code != 201 || second.Code != 201 || first.Body.String() != second.Body.String() || second.Header().Get("ETag") != `"1"` {
		t.Errorf("got %d %s, then %d %s", first.Code, first.Body, second.Code, second.Body)
	}
	if first.Header().Get("Idempotency-Replayed") != "" || second.Header().Get("Idempotency-Replayed") != "true" {
		t.Error("the second answer must say that it is a replay, and only that one")
	}
	if w := send(`{"name":"b"}`, "k1", "writer"); w.Code != 422 {
		t.Errorf("the same key for another request: got %d, want 422", w.Code)
	}
	if w := send(`{"name":"a"}`, "k1", "other"); w.Code != 409 || strings.Contains(w.Body.String(), "a 1") {
		t.Errorf("the same key from another credential: got %d %s, want 409", w.Code, w.Body)
	}
	if w := send(`{"name":"a"}`, "k2", "writer"); w.Code != 201 || !strings.Contains(w.Body.String(), "a 2") {
		t.Errorf("another key: got %d %s", w.Code, w.Body)
	}
	if w := send(`{"name":""}`, "k3", "writer"); w.Code != 422 {
		t.Errorf("got %d, want 422", w.Code)
	}
	if w := send(`{"name":"a"}`, strings.Repeat("k", 300), "writer"); w.Code != 400 {
		t.Errorf("a long key: got %d, want 400", w.Code)
	}
}

// An answer that may be better the next time is not kept.
func TestIdempotencyAfterAFailure(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	head := []string{"Authorization", asWriter, "Idempotency-Key", "k"}
	if w := s.ask("POST", "/v1/things", `{"name":"again"}`, head...); w.Code != 503 {
		t.Fatalf("got %d, want 503", w.Code)
	}
	if w := s.ask("POST", "/v1/things", `{"name":"again"}`, head...); w.Code != 201 {
		t.Errorf("got %d, want 201", w.Code)
	}
}

func TestIdempotencyAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.wait = make(chan struct{})
		head := []string{"Authorization", asWriter, "Idempotency-Key", "k"}
		first := make(chan int)
		go func() { first <- s.ask("POST", "/v1/things", `{"name":"a"}`, head...).Code }()
		synctest.Wait()
		if w := s.ask("POST", "/v1/things", `{"name":"a"}`, head...); w.Code != 409 {
			t.Errorf("while the first is running: got %d, want 409", w.Code)
		}
		close(s.wait)
		if got := <-first; got != 201 {
			t.Errorf("the first: got %d, want 201", got)
		}
	})
}

func TestLogAndMetrics(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.ask("GET", "/v1/things/inner", "", "Authorization", asWriter, "X-Request-Id", "from-the.proxy_1")
	s.ask("GET", "/v1/things", "", "Authorization", asWriter, "X-Request-Id", "bad\tid")
	s.ask("GET", "/v1/things/panic", "", "Authorization", asWriter)
	text := s.log.String()
	for _, want := range []string{
		`level=WARN msg=request method=GET path=/v1/things/inner status=500`, `request=from-the.proxy_1`, `error="secret path of a file"`, `tenant=ten_1`,
		`level=DEBUG msg=request method=GET path=/v1/things status=200`, `request=req_`, `level=ERROR msg="panic in a request"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Bearer") || strings.Contains(text, "bad\\tid") {
		t.Errorf("the log holds what it must not:\n%s", text)
	}
	w := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`liuyun_http_requests_total{op="get-thing",status="500"} 2`, `liuyun_http_request_duration_seconds_count{op="list-things"} 1`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// The document is the same on each run, says what a key needs, and has no schema
// that is not ours.
func TestDocument(t *testing.T) {
	t.Parallel()
	first, err := newServer(t).Document()
	if err != nil {
		t.Fatal(err)
	}
	second, _ := newServer(t).Document()
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("two documents of one API differ:\n%s", diff)
	}
	w := newServer(t).ask("GET", "/v1/openapi.json", "")
	var document struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ Security []map[string][]string }
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if document.OpenAPI != "3.1.0" {
		t.Errorf("got version %q", document.OpenAPI)
	}
	want := []map[string][]string{{"key": {"assets:write"}}, {"session": {"assets:write"}}}
	if diff := cmp.Diff(want, document.Paths["/v1/things"]["post"].Security); diff != "" {
		t.Errorf("security (-want +got):\n%s", diff)
	}
	if _, ok := document.Paths["/v1/stream/{rest}"]["get"]; !ok {
		t.Error("the raw operation is not in the document")
	}
	if document.Components.Schemas["ErrorModel"] != nil || document.Components.Schemas["ErrorDetail"] != nil || document.Components.Schemas["Problem"] == nil {
		t.Errorf("got schemas %v", document.Components.Schemas)
	}
}

func TestDocsPage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for path, want := range map[string]string{"/docs": "text/html; charset=utf-8", "/docs/docs.js": "text/javascript; charset=utf-8", "/docs/docs.css": "text/css; charset=utf-8"} {
		w := s.ask("GET", path, "")
		if w.Code != 200 || w.Header().Get("Content-Type") != want {
			t.Errorf("%s: got %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
		if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: got policy %q", path, policy)
		}
		if body := w.Body.String(); strings.Contains(body, "http://") || strings.Contains(body, "https://") || strings.Contains(body, " style=") || len(body) < 500 {
			t.Errorf("%s: empty, or has a remote part or an inline style", path)
		}
	}
}

func TestCheckMatch(t *testing.T) {
	t.Parallel()
	for header, ok := range map[string]bool{"": true, "*": true, `"5"`: true, `"4", "5"`: true, `"4"`: false, "5": false, `W/"5"`: false} {
		if err := web.CheckMatch(header, 5); (err == nil) != ok {
			t.Errorf("%s: got %v", header, err)
		}
	}
}
