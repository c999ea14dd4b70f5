package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
	"liuyun/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openDB(t *testing.T, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), t.TempDir(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context(), Migrations()); err != nil {
		t.Fatal(err)
	}
	return db
}

// node is a service behind its API.
type node struct {
	*Service
	api  http.Handler
	log  *bytes.Buffer
	held string
	past time.Duration // how far its clock is ahead
}

func newNode(t *testing.T, db *store.DB) *node {
	t.Helper()
	n := &node{log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n.Service = New(Deps{DB: db, Log: log, Version: "v9", Holds: func(*store.Tx, string) (string, error) { return n.held, nil }})
	n.now = func() time.Time { return time.Now().Add(n.past) }
	api := web.New(web.Options{Title: "t", Version: "1", Authenticate: n.Authenticate, Idempotency: n.Idempotency(), Log: log})
	n.Routes(api)
	n.api = api.Handler()
	return n
}

// call makes a request with pairs of headers; a Bearer is written "Key".
func (n *node) call(t *testing.T, method, path, body string, headers ...string) (int, map[string]any, *httptest.ResponseRecorder) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Key" {
			r.Header.Set("Authorization", "Bearer "+headers[i+1])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	n.api.ServeHTTP(w, r)
	var answer map[string]any
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%s %s: %s", method, path, w.Body)
		}
	}
	return w.Code, answer, w
}

// must is a call that has to have the status.
func (n *node) must(t *testing.T, want int, method, path, body string, headers ...string) map[string]any {
	t.Helper()
	status, answer, _ := n.call(t, method, path, body, headers...)
	if status != want {
		t.Fatalf("%s %s: got %d %v, want %d", method, path, status, answer, want)
	}
	return answer
}

// bootstrapped returns a node and its admin key.
func bootstrapped(t *testing.T, db *store.DB) (*node, string) {
	t.Helper()
	n := newNode(t, db)
	path := filepath.Join(t.TempDir(), "admin.key")
	if err := n.Bootstrap(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return n, readKeyFile(t, path)
}

func readKeyFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: the key file is not private", info.Mode(), err)
	}
	return strings.TrimSpace(string(text))
}

func str(v any) string { s, _ := v.(string); return s }

func TestRoutes(t *testing.T) {
	t.Parallel()
	t.Run(store.SQLite, func(t *testing.T) { t.Parallel(); testRoutes(t, store.Config{}) })
	t.Run(store.Postgres, func(t *testing.T) {
		t.Parallel()
		testRoutes(t, store.Config{URL: testkit.Postgres(t).NewDatabase(t)})
	})
}

func testRoutes(t *testing.T, c store.Config) {
	n, admin := bootstrapped(t, openDB(t, c))
	made := n.must(t, 201, "POST", "/v1/keys", `{"name":"ci","scopes":["keys:write","assets:read","assets:read"]}`, "Key", admin)
	secret, id := str(made["secret"]), str(made["id"])
	if !strings.HasPrefix(secret, str(made["prefix"])) || len(str(made["prefix"])) != 8 || len(made["scopes"].([]any)) != 2 {
		t.Errorf("made %v", made)
	}
	delete(made, "secret")
	if diff := cmp.Diff(made, n.must(t, 200, "GET", "/v1/keys/"+id, "", "Key", secret)); diff != "" {
		t.Errorf("what was made is not what is there (-made +got)\n%s", diff)
	}
	if page := n.must(t, 200, "GET", "/v1/keys?limit=1", "", "Key", secret); page["next"] != id || str(page["data"].([]any)[0].(map[string]any)["id"]) != id {
		t.Errorf("first page: %v", page)
	}
	if page := n.must(t, 200, "GET", "/v1/keys?limit=1&after="+id, "", "Key", secret); page["next"] != "" || len(page["data"].([]any)) != 1 {
		t.Errorf("last page: %v", page)
	}
	n.must(t, 403, "POST", "/v1/keys", `{"name":"x","scopes":["admin"]}`, "Key", secret)
	n.must(t, 400, "POST", "/v1/keys", `{"name":"x","scopes":["nothing"]}`, "Key", admin)
	n.must(t, 400, "POST", "/v1/keys", `{"name":"x","scopes":["admin"],"expires_at":"2020-01-01T00:00:00Z"}`, "Key", admin)
	adminID := str(n.must(t, 200, "GET", "/v1/session", "", "Key", admin)["key"].(map[string]any)["id"])
	n.must(t, 403, "DELETE", "/v1/keys/"+adminID, "", "Key", secret)

	ten := n.must(t, 201, "POST", "/v1/tenants", `{"name":"流云"}`, "Key", admin)
	path := "/v1/tenants/" + str(ten["id"])
	n.must(t, 412, "PATCH", path, `{"name":"b"}`, "Key", admin, "If-Match", `"7"`)
	if got := n.must(t, 200, "PATCH", path, `{"name":"b"}`, "Key", admin, "If-Match", `"1"`); got["rev"] != 2.0 || got["name"] != "b" {
		t.Errorf("changed to %v", got)
	}
	if _, got, w := n.call(t, "GET", path, "", "Key", admin); got["name"] != "b" || w.Header().Get("ETag") != `"2"` {
		t.Errorf("got %v with %s", got, w.Header())
	}
	if page := n.must(t, 200, "GET", "/v1/tenants", "", "Key", admin); len(page["data"].([]any)) != 2 {
		t.Errorf("tenants: %v", page)
	}
	// The admin acts in it; its keys go with it.
	inside := n.must(t, 201, "POST", "/v1/keys", `{"name":"in","scopes":["keys:write"]}`, "Key", admin, TenantHeader, str(ten["id"]))
	n.must(t, 404, "GET", "/v1/keys/"+str(inside["id"]), "", "Key", admin)
	n.must(t, 404, "GET", "/v1/keys/"+id, "", "Key", str(inside["secret"]))
	n.must(t, 404, "DELETE", "/v1/keys/"+id, "", "Key", str(inside["secret"]))
	n.must(t, 404, "GET", "/v1/keys", "", "Key", secret, TenantHeader, str(ten["id"]))
	n.must(t, 404, "GET", "/v1/keys", "", "Key", admin, TenantHeader, "ten_00000000000000000000000000")
	n.held = "3 assets"
	if _, got, _ := n.call(t, "DELETE", path, "", "Key", admin); got["status"] != 409.0 || !strings.Contains(str(got["detail"]), "3 assets") {
		t.Errorf("a tenant with assets: %v", got)
	}
	n.held = ""
	n.must(t, 409, "DELETE", "/v1/tenants/"+str(n.must(t, 200, "GET", "/v1/session", "", "Key", admin)["tenant"].(map[string]any)["id"]), "", "Key", admin)
	n.must(t, 204, "DELETE", path, "", "Key", admin)
	n.must(t, 404, "GET", path, "", "Key", admin)
	n.must(t, 401, "GET", "/v1/keys", "", "Key", str(inside["secret"]))

	n.must(t, 204, "DELETE", "/v1/keys/"+id, "", "Key", admin)
	n.must(t, 401, "GET", "/v1/keys", "", "Key", secret)

	// Sent again, it is not done again.
	again := []string{"Key", admin, "Idempotency-Key", "one"}
	first := n.must(t, 201, "POST", "/v1/keys", `{"name":"once","scopes":["assets:read"]}`, again...)
	second := n.must(t, 201, "POST", "/v1/keys", `{"name":"once","scopes":["assets:read"]}`, again...)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the second answer differs\n%s", diff)
	}
	if strings.Contains(n.log.String(), secretStart) {
		t.Error("the log holds a secret")
	}
}

// TestAccess tries every route with keys that must not do.
func TestAccess(t *testing.T) {
	t.Parallel()
	n, admin := bootstrapped(t, openDB(t, store.Config{}))
	key := func(body string) (secret, id string) {
		made := n.must(t, 201, "POST", "/v1/keys", body, "Key", admin)
		return str(made["secret"]), str(made["id"])
	}
	reader, _ := key(`{"name":"reader","scopes":["assets:read"]}`)
	expired, _ := key(`{"name":"expired","scopes":["admin"],"expires_at":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`)
	revoked, revokedID := key(`{"name":"revoked","scopes":["admin"]}`)
	_, target := key(`{"name":"target","scopes":["assets:read"]}`)
	n.must(t, 200, "GET", "/v1/keys", "", "Key", revoked) // now it is known
	n.must(t, 200, "GET", "/v1/keys", "", "Key", expired)
	n.must(t, 204, "DELETE", "/v1/keys/"+revokedID, "", "Key", admin)
	n.past = 2 * time.Hour
	ten := str(n.must(t, 201, "POST", "/v1/tenants", `{"name":"other"}`, "Key", admin)["id"])
	other := str(n.must(t, 201, "POST", "/v1/keys", `{"name":"other","scopes":["keys:write"]}`, "Key", admin, TenantHeader, ten)["secret"])
	routes := []struct {
		method, path, body string
		reader, other      int // status
	}{
		{"GET", "/v1/keys", "", 403, 200},
		{"POST", "/v1/keys", `{"name":"x","scopes":["assets:read"]}`, 403, 403},
		{"GET", "/v1/keys/" + target, "", 403, 404},
		{"DELETE", "/v1/keys/" + target, "", 403, 404},
		{"GET", "/v1/tenants", "", 403, 403},
		{"POST", "/v1/tenants", `{"name":"x"}`, 403, 403},
		{"GET", "/v1/tenants/" + ten, "", 403, 403},
		{"PATCH", "/v1/tenants/" + ten, `{"name":"x"}`, 403, 403},
		{"DELETE", "/v1/tenants/" + ten, "", 403, 403},
		{"GET", "/v1/session", "", 200, 200},
		{"DELETE", "/v1/session", "", 204, 204},
	}
	for _, route := range routes {
		keys := []struct {
			name, secret string
			want         int
		}{
			{"another scope", reader, route.reader},
			{"another tenant", other, route.other},
			{"expired", expired, 401},
			{"revoked", revoked, 401},
			{"wrong", "lyk_wrong", 401},
			{"a long one", strings.Repeat("x", 5000), 401},
		}
		n.tries.failed = make(map[string]failures)
		for _, k := range keys {
			if status, answer, _ := n.call(t, route.method, route.path, route.body, "Key", k.secret); status != k.want {
				t.Errorf("%s %s, %s: got %d %v, want %d", route.method, route.path, k.name, status, answer, k.want)
			}
		}
		for _, headers := range [][]string{nil, {"Authorization", "Basic " + admin}, {"Authorization", "Bearer"}, {"Cookie", web.SessionCookie + "=" + admin, web.SameSiteHeader, "1"}} {
			if status, _, _ := n.call(t, route.method, route.path, route.body, headers...); status != 401 {
				t.Errorf("%s %s with %v: got %d, want 401", route.method, route.path, headers, status)
			}
		}
	}
	n.must(t, 200, "GET", "/v1/keys/"+target, "", "Key", admin) // nobody deleted it
}

func (n *node) signedIn(t *testing.T, secret string) (cookie string) {
	t.Helper()
	status, answer, w := n.call(t, "POST", "/v1/session", `{"key":"`+secret+`"}`)
	if status != 200 || len(w.Result().Cookies()) != 1 {
		t.Fatalf("sign in: got %d %v", status, answer)
	}
	c := w.Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Errorf("cookie %v", c)
	}
	return c.Name + "=" + c.Value
}

func TestSession(t *testing.T) {
	t.Parallel()
	db := openDB(t, store.Config{})
	n, admin := bootstrapped(t, db)
	cookie := n.signedIn(t, admin)
	got := n.must(t, 200, "GET", "/v1/session", "", "Cookie", cookie)
	if got["version"] != "v9" || got["secure"] != false || got["tenant"].(map[string]any)["name"] != "default" || str(got["scopes"].([]any)[0]) != "admin" {
		t.Errorf("got %v", got)
	}
	n.must(t, 403, "POST", "/v1/tenants", `{"name":"x"}`, "Cookie", cookie)
	n.must(t, 201, "POST", "/v1/tenants", `{"name":"x"}`, "Cookie", cookie, web.SameSiteHeader, "1")
	// It slides for as long as it is used.
	for range 3 {
		n.past += 10 * time.Hour
		n.must(t, 200, "GET", "/v1/session", "", "Cookie", cookie)
		n.note(t.Context())
	}
	n.past += 13 * time.Hour
	n.must(t, 401, "GET", "/v1/session", "", "Cookie", cookie)
	n.note(t.Context())
	if left := count(t, db, "SELECT count(*) FROM sessions"); left != 0 {
		t.Errorf("%d sessions are left", left)
	}

	cookie = n.signedIn(t, admin)
	n.must(t, 204, "DELETE", "/v1/session", "", "Cookie", cookie, web.SameSiteHeader, "1")
	n.must(t, 401, "GET", "/v1/session", "", "Cookie", cookie)

	// It goes with its key, and its cookie is no key.
	made := n.must(t, 201, "POST", "/v1/keys", `{"name":"x","scopes":["assets:read"]}`, "Key", admin)
	cookie = n.signedIn(t, str(made["secret"]))
	n.must(t, 200, "GET", "/v1/session", "", "Cookie", cookie)
	_, value, _ := strings.Cut(cookie, "=")
	n.must(t, 401, "GET", "/v1/session", "", "Key", value)
	n.must(t, 204, "DELETE", "/v1/keys/"+str(made["id"]), "", "Key", admin)
	n.must(t, 401, "GET", "/v1/session", "", "Cookie", cookie)

	for _, body := range []string{"", "{}", "[]", `{"key":1}`} {
		n.must(t, 400, "POST", "/v1/session", body)
	}
	n.must(t, 413, "POST", "/v1/session", strings.Repeat(" ", 5000))
	n.must(t, 401, "POST", "/v1/session", `{"key":"lyk_x"}`)
}

func count(t *testing.T, db *store.DB, query string) (n int) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(query).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Another node notices within seconds that a key was deleted.
func TestRevokedElsewhere(t *testing.T) {
	t.Parallel()
	db := openDB(t, store.Config{})
	one, admin := bootstrapped(t, db)
	two := newNode(t, db)
	made := one.must(t, 201, "POST", "/v1/keys", `{"name":"x","scopes":["keys:write"]}`, "Key", admin)
	two.must(t, 200, "GET", "/v1/keys", "", "Key", str(made["secret"]))
	one.must(t, 204, "DELETE", "/v1/keys/"+str(made["id"]), "", "Key", admin)
	one.must(t, 401, "GET", "/v1/keys", "", "Key", str(made["secret"]))
	two.must(t, 401, "POST", "/v1/session", `{"key":"`+str(made["secret"])+`"}`)
	two.past = cacheTime + time.Second
	two.must(t, 401, "GET", "/v1/keys", "", "Key", str(made["secret"]))
}

func TestLastUsed(t *testing.T) {
	t.Parallel()
	n, admin := bootstrapped(t, openDB(t, store.Config{}))
	used := func() any {
		return n.must(t, 200, "GET", "/v1/keys", "", "Key", admin)["data"].([]any)[0].(map[string]any)["last_used_at"]
	}
	if got := used(); got != nil {
		t.Errorf("a request wrote %v", got)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	n.note(canceled) // not written, and not lost
	n.note(t.Context())
	at, err := time.Parse(time.RFC3339, str(used()))
	if err != nil || time.Since(at) > time.Minute {
		t.Errorf("used at %v, %v", at, err)
	}
}

func TestTooManyTries(t *testing.T) {
	t.Parallel()
	n, admin := bootstrapped(t, openDB(t, store.Config{}))
	n.must(t, 200, "GET", "/v1/session", "", "Key", admin)
	for i := range maxFailures {
		n.must(t, 401, "GET", "/v1/session", "", "Key", fmt.Sprint("lyk_", i))
	}
	n.must(t, 429, "GET", "/v1/session", "", "Key", "lyk_x")
	n.must(t, 429, "POST", "/v1/session", `{"key":"lyk_y"}`)
	n.must(t, 200, "GET", "/v1/session", "", "Key", admin) // who was known goes on
	n.forget()
	n.must(t, 200, "GET", "/v1/session", "", "Key", admin) // and who is right, known or not
	n.past = time.Minute + time.Second
	n.must(t, 401, "GET", "/v1/session", "", "Key", "lyk_x")
	for _, test := range []struct{ a, b string }{{"[2001:db8::1]:5", "[2001:db8::2]:6"}, {"1.2.3.4:5", "1.2.3.4:6"}, {"1.2.3.4:5", "[::ffff:1.2.3.4]:6"}} {
		if network(test.a) != network(test.b) {
			t.Errorf("%s and %s differ", test.a, test.b)
		}
	}
	if network("1.2.3.4:5") == network("1.2.3.5:5") {
		t.Error("two addresses are one")
	}
	var tr tries
	tr.failed = make(map[string]failures)
	for i := range 2 * maxAddresses {
		tr.fail(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), time.Now())
	}
	if len(tr.failed) > maxAddresses {
		t.Errorf("%d addresses are kept", len(tr.failed))
	}
}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	db := openDB(t, store.Config{})
	n := newNode(t, db)
	path := filepath.Join(t.TempDir(), "admin.key")
	works := func(secret string) bool {
		status, _, _ := n.call(t, "GET", "/v1/tenants", "", "Key", secret)
		return status == 200
	}
	start := func() {
		t.Helper()
		if err := n.Bootstrap(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(unfinished(path)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the unfinished file is left: %v", err)
		}
	}
	// Killed before the key was recorded.
	if err := os.WriteFile(unfinished(path), []byte("lyk_lost\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start()
	first := readKeyFile(t, path)
	if !works(first) || works("lyk_lost") {
		t.Error("the key in the file does not work")
	}
	// Killed after it was recorded.
	if err := os.Rename(path, unfinished(path)); err != nil {
		t.Fatal(err)
	}
	start()
	if readKeyFile(t, path) != first || !works(first) {
		t.Error("the key was lost")
	}
	start()
	if readKeyFile(t, path) != first || count(t, db, "SELECT count(*) FROM tenants") != 1 || count(t, db, "SELECT count(*) FROM api_keys") != 1 {
		t.Error("a second start made something")
	}
	// Lost, and made anew.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	start()
	if _, err := os.Stat(path); err == nil {
		t.Error("a start made a key file anew")
	}
	if err := n.ResetAdmin(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	second := readKeyFile(t, path)
	if works(first) || !works(second) || count(t, db, "SELECT count(*) FROM tenants") != 1 {
		t.Error("the new key does not replace the old one")
	}
	if got := count(t, db, "SELECT count(*) FROM api_keys WHERE hash LIKE '%lyk%'"); got != 0 {
		t.Error("a secret is kept")
	}
	// A folder that is not there: nothing is recorded.
	empty := newNode(t, openDB(t, store.Config{}))
	if err := empty.Bootstrap(t.Context(), filepath.Join(t.TempDir(), "none", "admin.key")); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	if count(t, empty.deps.DB, "SELECT count(*) FROM tenants") != 0 {
		t.Error("a tenant without a key")
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	db := openDB(t, store.Config{})
	n, admin := bootstrapped(t, db)
	tenant := str(n.must(t, 200, "GET", "/v1/session", "", "Key", admin)["tenant"].(map[string]any)["id"])
	keeper, ctx := n.Idempotency(), t.Context()
	claim := func(name string) ([]byte, fault.Code) {
		answer, err := keeper.Claim(ctx, tenant, name)
		return answer, fault.CodeOf(err)
	}
	if answer, code := claim("a"); answer != nil || code != "" {
		t.Fatalf("new: %q %s", answer, code)
	}
	if _, code := claim("a"); code != fault.Conflict {
		t.Errorf("running: %s", code)
	}
	n.past += claimTime
	if answer, code := claim("a"); answer != nil || code != "" {
		t.Errorf("void: %q %s", answer, code)
	}
	if err := keeper.Keep(ctx, tenant, "a", []byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Release(ctx, tenant, "a"); err != nil { // too late
		t.Fatal(err)
	}
	if answer, code := claim("a"); string(answer) != "answer" || code != "" {
		t.Errorf("kept: %q %s", answer, code)
	}
	claim("b")
	if err := keeper.Release(ctx, tenant, "b"); err != nil {
		t.Fatal(err)
	}
	if answer, code := claim("b"); answer != nil || code != "" {
		t.Errorf("released: %q %s", answer, code)
	}
	n.past += answerTime
	if answer, code := claim("a"); answer != nil || code != "" {
		t.Errorf("old: %q %s", answer, code)
	}
	// Bounded by bytes; the newer half stays.
	big := make([]byte, 1<<20)
	for i := range 2 * maxAnswerBytes >> 20 {
		n.past += time.Millisecond
		name := fmt.Sprint("big", i)
		claim(name)
		if err := keeper.Keep(ctx, tenant, name, big); err != nil {
			t.Fatal(err)
		}
	}
	if size := count(t, db, "SELECT sum(size) FROM answers"); size > maxAnswerBytes+len(big) {
		t.Errorf("%d bytes are kept", size)
	}
	if answer, _ := claim(fmt.Sprint("big", 2*maxAnswerBytes>>20-1)); len(answer) != len(big) {
		t.Error("the newest is gone")
	}
	n.past += 2 * answerTime
	n.note(ctx)
	if left := count(t, db, "SELECT count(*) FROM answers"); left != 0 {
		t.Errorf("%d answers are left", left)
	}
}
